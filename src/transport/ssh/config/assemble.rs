//! From the keywords that apply to a host to typed settings, with OpenSSH's defaults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::spec::{HostKeyPolicy, JumpHost};
use crate::system::account;
use crate::transport::ssh::config::keywords::{Collected, File};
use crate::transport::ssh::config::settings::{
    AddressFamily, AgentChoice, IdentityFile, Override, Rekey, Route, Settings, SshTarget,
};
use crate::transport::ssh::config::table::Kind;
use crate::transport::ssh::config::tokens::{Local, Tokens};
use crate::transport::ssh::config::values::{
    flag, lower, number, parse_jump, parse_port, parse_size, parse_time, text, unsupported,
};

/// Identity files that are tried when none is named, in OpenSSH's order.
const USUAL_IDENTITIES: &[&str] = &[
    "id_rsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
    "id_dsa",
];

/// RSA keys below this are refused whatever the configuration says, in bits.
const LEAST_RSA_SIZE: u32 = 1024;

/// The methods in OpenSSH's order, without those that we do not have.
const USUAL_METHODS: &str = "publickey,keyboard-interactive,password";

/// Puts the settings together. The error is a sentence that names keyword and value.
pub(crate) fn assemble(
    target: &SshTarget,
    collected: &Collected,
    local: &Local,
) -> Result<Settings, String> {
    let global = ["ssh_known_hosts", "ssh_known_hosts2"]
        .map(|name| account::ssh_folder().join(name).display().to_string());
    let mut tokens = Tokens {
        hostname: target.host.clone(),
        original: target.host.clone(),
        local: local.clone(),
        ..Tokens::default()
    };
    let hostname = match collected.first("HostName") {
        Some(pattern) => tokens.expand_for("HostName", pattern)?,
        None => target.host.clone(),
    };
    // Names know no upper and lower case; OpenSSH goes on with the lower-case one.
    let hostname = hostname.to_lowercase();
    tokens.hostname.clone_from(&hostname);
    let port = match target.port {
        Some(port) => port,
        None => match collected.first("Port") {
            Some(text) => parse_port(text)?,
            None => 22,
        },
    };
    tokens.port = port;
    let user = match (&target.user, collected.first("User")) {
        (Some(user), _) => user.clone(),
        (None, Some(user)) => user.to_owned(),
        (None, None) => local.user.clone(),
    };
    tokens.user.clone_from(&user);
    // OpenSSH goes on with the lower-case one.
    let host_key_alias = lower(collected, "HostKeyAlias");
    tokens.key_alias.clone_from(&host_key_alias);
    let route = route(collected, &mut tokens)?;

    let batch_mode = flag(collected, "BatchMode", false)?;
    let alive_interval = match collected.first("ServerAliveInterval") {
        None | Some("none") => None,
        Some(text) => Some(Duration::from_secs(parse_time(
            "ServerAliveInterval",
            text,
        )?)),
    };
    Ok(Settings {
        host: target.host.clone(),
        hostname,
        port,
        user,
        route,
        address_family: match lower(collected, "AddressFamily").as_deref() {
            None | Some("any") => AddressFamily::Any,
            Some("inet") => AddressFamily::Inet,
            Some("inet6") => AddressFamily::Inet6,
            Some(other) => return Err(unsupported("AddressFamily", other)),
        },
        bind_address: collected.first("BindAddress").map(str::to_owned),
        connect_timeout: match collected.first("ConnectTimeout") {
            None | Some("none") => None,
            Some(text) => Some(Duration::from_secs(parse_time("ConnectTimeout", text)?)),
        },
        connection_attempts: number(collected, "ConnectionAttempts", 1)?.max(1),
        identity_files: identity_files(collected, &tokens)?,
        certificate_files: collected
            .all("CertificateFile")
            .filter(|text| *text != "none")
            .map(|text| tokens.expand_path("CertificateFile", text))
            .collect::<Result<_, _>>()?,
        identities_only: flag(collected, "IdentitiesOnly", false)?,
        agent: agent(collected, &tokens)?,
        pubkey_authentication: match lower(collected, "PubkeyAuthentication").as_deref() {
            // `unbound` and `host-bound` say how, not whether.
            None | Some("yes" | "true" | "unbound" | "host-bound") => true,
            Some("no" | "false") => false,
            Some(other) => return Err(unsupported("PubkeyAuthentication", other)),
        },
        password_authentication: flag(collected, "PasswordAuthentication", true)?,
        keyboard_interactive: flag(collected, "KbdInteractiveAuthentication", true)?,
        preferred_authentications: collected
            .first("PreferredAuthentications")
            .unwrap_or(USUAL_METHODS)
            .split(',')
            .map(str::to_owned)
            .collect(),
        password_prompts: number(collected, "NumberOfPasswordPrompts", 3)?,
        batch_mode,
        pubkey_algorithms: text(collected, "PubkeyAcceptedAlgorithms"),
        user_known_hosts: known_hosts(
            collected,
            "UserKnownHostsFile",
            &["~/.ssh/known_hosts", "~/.ssh/known_hosts2"],
            &tokens,
        )?,
        global_known_hosts: known_hosts(
            collected,
            "GlobalKnownHostsFile",
            &global.each_ref().map(String::as_str),
            &tokens,
        )?,
        revoked_host_keys: match collected.first("RevokedHostKeys") {
            None | Some("none") => None,
            Some(text) => Some(tokens.expand_path("RevokedHostKeys", text)?),
        },
        host_key_policy: host_key_policy(target, collected)?,
        host_key_alias,
        hash_known_hosts: flag(collected, "HashKnownHosts", false)?,
        trust_localhost: flag(collected, "NoHostAuthenticationForLocalhost", false)?,
        host_key_algorithms: text(collected, "HostKeyAlgorithms"),
        ca_signature_algorithms: text(collected, "CASignatureAlgorithms"),
        kex_algorithms: text(collected, "KexAlgorithms"),
        ciphers: text(collected, "Ciphers"),
        macs: text(collected, "MACs"),
        compression: flag(collected, "Compression", false)?,
        alive_interval,
        alive_count_max: number(collected, "ServerAliveCountMax", 3)?,
        config: target.config.clone(),
        environment: environment(collected),
        required_rsa_size: number(collected, "RequiredRSASize", 0)?.max(LEAST_RSA_SIZE),
        rekey: rekey(collected)?,
        check_host_ip: flag(collected, "CheckHostIP", false)?,
        lacking_methods: collected.turned_on(Kind::LackingMethod),
    })
}

/// RekeyLimit: bytes, and a time behind them.
fn rekey(collected: &Collected) -> Result<Rekey, String> {
    let mut words = collected.all("RekeyLimit");
    let bytes = match words.next() {
        None | Some("default" | "none" | "0") => None,
        Some(text) => match parse_size("RekeyLimit", text)? {
            // As OpenSSH: a connection that does nothing but renew its keys.
            1..16 => return Err(format!("RekeyLimit '{text}' is too small")),
            bytes => (bytes > 0).then_some(bytes),
        },
    };
    let time = match words.next() {
        None | Some("none" | "0") => None,
        Some(text) => Some(Duration::from_secs(parse_time("RekeyLimit", text)?)),
    };
    Ok(Rekey { bytes, time })
}

fn identity_files(collected: &Collected, tokens: &Tokens) -> Result<Vec<IdentityFile>, String> {
    if !collected.has("IdentityFile") {
        let folder = tokens.local.home.join(".ssh");
        return Ok(USUAL_IDENTITIES
            .iter()
            .map(|name| IdentityFile {
                path: folder.join(name),
                named: false,
            })
            .collect());
    }
    collected
        .files("IdentityFile")
        .filter(|file| *file != File::Text("none"))
        .map(|file| {
            Ok(IdentityFile {
                path: path_of("IdentityFile", &file, tokens)?,
                named: true,
            })
        })
        .collect()
}

fn agent(collected: &Collected, tokens: &Tokens) -> Result<AgentChoice, String> {
    if let Some(File::AsItIs(path)) = collected.files("IdentityAgent").next() {
        return Ok(AgentChoice::Socket(path.to_path_buf()));
    }
    match collected.first("IdentityAgent") {
        None | Some("SSH_AUTH_SOCK") => Ok(AgentChoice::Environment),
        Some("none") => Ok(AgentChoice::None),
        Some(text) => match text.strip_prefix('$') {
            // `$NAME` names the variable that holds the path.
            Some(name) if !name.starts_with('{') => match std::env::var(name) {
                Ok(path) => Ok(AgentChoice::Socket(PathBuf::from(path))),
                Err(_) => Ok(AgentChoice::None),
            },
            _ => Ok(AgentChoice::Socket(
                tokens.expand_path("IdentityAgent", text)?,
            )),
        },
    }
}

fn known_hosts(
    collected: &Collected,
    name: &str,
    usual: &[&str],
    tokens: &Tokens,
) -> Result<Vec<PathBuf>, String> {
    let mut files: Vec<File<'_>> = collected.files(name).collect();
    if files.is_empty() {
        files = usual.iter().map(|text| File::Text(text)).collect();
    }
    files
        .iter()
        .filter(|file| **file != File::Text("none"))
        .map(|file| path_of(name, file, tokens))
        .filter(|path| path.as_deref() != Ok(Path::new("/dev/null")))
        .collect()
}

/// A file name that a line has, with everything in it expanded; or one that is taken as it is.
fn path_of(keyword: &str, file: &File<'_>, tokens: &Tokens) -> Result<PathBuf, String> {
    match *file {
        File::AsItIs(path) => Ok(path.to_path_buf()),
        File::Text(text) => tokens.expand_path(keyword, text),
    }
}

fn host_key_policy(target: &SshTarget, collected: &Collected) -> Result<HostKeyPolicy, String> {
    let own = target.options.iter().find_map(|option| match option {
        Override::HostKey(policy) => Some(policy.clone()),
        Override::Line(..) | Override::Path(..) => None,
    });
    if let Some(policy) = own {
        return Ok(policy);
    }
    match lower(collected, "StrictHostKeyChecking").as_deref() {
        None | Some("ask") => Ok(HostKeyPolicy::Ask),
        Some("yes" | "true") => Ok(HostKeyPolicy::Refuse),
        Some("accept-new") => Ok(HostKeyPolicy::AcceptNew),
        Some("no" | "false" | "off") => Ok(HostKeyPolicy::Off),
        Some(other) => Err(unsupported("StrictHostKeyChecking", other)),
    }
}

/// ProxyJump and ProxyCommand: whichever stood first wins, which the reader has seen to.
fn route(collected: &Collected, tokens: &mut Tokens) -> Result<Route, String> {
    if let Some(jump) = collected.first("ProxyJump").filter(|jump| *jump != "none") {
        jump.clone_into(&mut tokens.jump);
        // The tokens are those of the host behind, as in the ProxyCommand that OpenSSH makes of it.
        let jump = tokens.expand_for("ProxyJump", jump)?;
        let hops: Result<Vec<JumpHost>, String> = jump.split(',').map(parse_jump).collect();
        let hops = hops?;
        if let Some(last) = hops.last()
            && last.host.to_plain() == tokens.hostname
            && last.port.unwrap_or(22) == tokens.port
            && last.user.as_ref().is_none_or(|user| *user == tokens.user)
        {
            return Err(format!(
                "ProxyJump leads to {} through itself; leave it out with `Host * !{}` or ProxyJump none",
                last.host, last.host
            ));
        }
        return Ok(Route::Jump(hops));
    }
    match collected.first("ProxyCommand") {
        None | Some("none") => Ok(Route::Direct),
        Some(command) => Ok(Route::Command(tokens.expand_for("ProxyCommand", command)?)),
    }
}

/// Variables by SetEnv, and by SendEnv those of our own environment that match.
fn environment(collected: &Collected) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut patterns: Vec<&str> = Vec::new();
    for pattern in collected.all("SendEnv") {
        match pattern.strip_prefix('-') {
            Some(removed) => {
                patterns
                    .retain(|kept| !crate::transport::ssh::config::pattern::matches(kept, removed));
            }
            None => patterns.push(pattern),
        }
    }
    for (name, value) in std::env::vars_os() {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
            continue;
        };
        if patterns
            .iter()
            .any(|pattern| crate::transport::ssh::config::pattern::matches(name, pattern))
        {
            variables.push((name.to_owned(), value.to_owned()));
        }
    }
    variables.sort();
    for assignment in collected.all("SetEnv") {
        if let Some((name, value)) = assignment.split_once('=') {
            variables.retain(|(known, _)| known != name);
            variables.push((name.to_owned(), value.to_owned()));
        }
    }
    variables
}
