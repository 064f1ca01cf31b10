//! From the keywords that apply to a host to typed settings, with OpenSSH's defaults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keywords::Collected;
use super::tokens::{Local, Tokens};
use crate::transport::ssh::settings::{
    AddressFamily, AgentChoice, HostKeyPolicy, IdentityFile, JumpHost, Route, Settings, SshTarget,
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

/// The methods in OpenSSH's order, without those that we do not have.
const USUAL_METHODS: &str = "publickey,keyboard-interactive,password";

/// Puts the settings together. The error is a sentence that names keyword and value.
pub(super) fn assemble(
    target: &SshTarget,
    collected: &Collected,
    local: &Local,
) -> Result<Settings, String> {
    let mut tokens = Tokens {
        hostname: target.host.clone(),
        original: target.host.clone(),
        local: local.clone(),
        ..Tokens::default()
    };
    let hostname = match collected.first("hostname") {
        Some(pattern) => tokens.expand(pattern, "h")?,
        None => target.host.clone(),
    };
    // Names know no upper and lower case; OpenSSH goes on with the lower-case one.
    let hostname = hostname.to_lowercase();
    tokens.hostname.clone_from(&hostname);
    let port = match target.port {
        Some(port) => port,
        None => match collected.first("port") {
            Some(text) => parse_port(text)?,
            None => 22,
        },
    };
    tokens.port = port;
    let user = match (&target.user, collected.first("user")) {
        (Some(user), _) => user.clone(),
        (None, Some(user)) => user.to_owned(),
        (None, None) => local.user.clone(),
    };
    tokens.user.clone_from(&user);
    let host_key_alias = collected.first("hostkeyalias").map(str::to_owned);
    tokens.key_alias.clone_from(&host_key_alias);
    let route = route(collected, &mut tokens)?;

    let batch_mode = flag(collected, "batchmode", false)?;
    let alive_interval = match collected.first("serveraliveinterval") {
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
        address_family: match lower(collected, "addressfamily").as_deref() {
            None | Some("any") => AddressFamily::Any,
            Some("inet") => AddressFamily::Inet,
            Some("inet6") => AddressFamily::Inet6,
            Some(other) => return Err(unsupported("AddressFamily", other)),
        },
        bind_address: collected.first("bindaddress").map(str::to_owned),
        connect_timeout: match collected.first("connecttimeout") {
            None | Some("none") => None,
            Some(text) => Some(Duration::from_secs(parse_time("ConnectTimeout", text)?)),
        },
        connection_attempts: number(collected, "connectionattempts", 1)?.max(1),
        identity_files: identity_files(collected, &tokens)?,
        certificate_files: collected
            .all("certificatefile")
            .filter(|text| *text != "none")
            .map(|text| tokens.expand_path(text))
            .collect::<Result<_, _>>()?,
        identities_only: flag(collected, "identitiesonly", false)?,
        agent: agent(collected, &tokens)?,
        pubkey_authentication: match lower(collected, "pubkeyauthentication").as_deref() {
            // `unbound` and `host-bound` say how, not whether.
            None | Some("yes" | "true" | "unbound" | "host-bound") => true,
            Some("no" | "false") => false,
            Some(other) => return Err(unsupported("PubkeyAuthentication", other)),
        },
        password_authentication: flag(collected, "passwordauthentication", true)?,
        keyboard_interactive: flag(collected, "kbdinteractiveauthentication", true)?,
        preferred_authentications: collected
            .first("preferredauthentications")
            .unwrap_or(USUAL_METHODS)
            .split(',')
            .map(str::to_owned)
            .collect(),
        password_prompts: number(collected, "numberofpasswordprompts", 3)?,
        batch_mode,
        pubkey_algorithms: text(collected, "pubkeyacceptedalgorithms"),
        user_known_hosts: known_hosts(
            collected,
            "userknownhostsfile",
            &["~/.ssh/known_hosts", "~/.ssh/known_hosts2"],
            &tokens,
        )?,
        global_known_hosts: known_hosts(
            collected,
            "globalknownhostsfile",
            &["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"],
            &tokens,
        )?,
        revoked_host_keys: match collected.first("revokedhostkeys") {
            None | Some("none") => None,
            Some(text) => Some(tokens.expand_path(text)?),
        },
        host_key_policy: match lower(collected, "stricthostkeychecking").as_deref() {
            None | Some("ask") => HostKeyPolicy::Ask,
            Some("yes" | "true") => HostKeyPolicy::Refuse,
            Some("accept-new") => HostKeyPolicy::AcceptNew,
            Some("no" | "false" | "off") => HostKeyPolicy::Off,
            Some(other) => return Err(unsupported("StrictHostKeyChecking", other)),
        },
        host_key_alias,
        hash_known_hosts: flag(collected, "hashknownhosts", false)?,
        trust_localhost: flag(collected, "nohostauthenticationforlocalhost", false)?,
        host_key_algorithms: text(collected, "hostkeyalgorithms"),
        ca_signature_algorithms: text(collected, "casignaturealgorithms"),
        kex_algorithms: text(collected, "kexalgorithms"),
        ciphers: text(collected, "ciphers"),
        macs: text(collected, "macs"),
        compression: flag(collected, "compression", false)?,
        alive_interval,
        alive_count_max: number(collected, "serveralivecountmax", 3)?,
        config: target.config.clone(),
        environment: environment(collected),
    })
}

fn unsupported(keyword: &str, value: &str) -> String {
    format!("{keyword} does not take the value '{value}'")
}

fn text(collected: &Collected, name: &str) -> Option<String> {
    collected.first(name).map(str::to_owned)
}

fn lower(collected: &Collected, name: &str) -> Option<String> {
    collected.first(name).map(str::to_lowercase)
}

fn flag(collected: &Collected, name: &str, default: bool) -> Result<bool, String> {
    match lower(collected, name).as_deref() {
        None => Ok(default),
        Some("yes" | "true") => Ok(true),
        Some("no" | "false") => Ok(false),
        Some(other) => Err(unsupported(name, other)),
    }
}

fn number(collected: &Collected, name: &str, default: u32) -> Result<u32, String> {
    match collected.first(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| unsupported(name, text)),
    }
}

pub(super) fn parse_port(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(unsupported("Port", text)),
    }
}

/// Seconds, or numbers with the units s, m, h, d, w, as in `1h30m`.
fn parse_time(keyword: &str, text: &str) -> Result<u64, String> {
    let bad = || unsupported(keyword, text);
    let mut total: u64 = 0;
    let mut digits = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86400,
            'w' => 604_800,
            _ => return Err(bad()),
        };
        let count: u64 = digits.parse().map_err(|_| bad())?;
        total = total
            .checked_add(count.checked_mul(unit).ok_or_else(bad)?)
            .ok_or_else(bad)?;
        digits.clear();
    }
    if !digits.is_empty() {
        let seconds: u64 = digits.parse().map_err(|_| bad())?;
        total = total.checked_add(seconds).ok_or_else(bad)?;
    } else if text.is_empty() {
        return Err(bad());
    }
    Ok(total)
}

fn identity_files(collected: &Collected, tokens: &Tokens) -> Result<Vec<IdentityFile>, String> {
    if !collected.has("identityfile") {
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
        .all("identityfile")
        .filter(|text| *text != "none")
        .map(|text| {
            Ok(IdentityFile {
                path: tokens.expand_path(text)?,
                named: true,
            })
        })
        .collect()
}

fn agent(collected: &Collected, tokens: &Tokens) -> Result<AgentChoice, String> {
    match collected.first("identityagent") {
        None | Some("SSH_AUTH_SOCK") => Ok(AgentChoice::Environment),
        Some("none") => Ok(AgentChoice::None),
        Some(text) => match text.strip_prefix('$') {
            // `$NAME` names the variable that holds the path.
            Some(name) if !name.starts_with('{') => match std::env::var(name) {
                Ok(path) => Ok(AgentChoice::Socket(PathBuf::from(path))),
                Err(_) => Ok(AgentChoice::None),
            },
            _ => Ok(AgentChoice::Socket(tokens.expand_path(text)?)),
        },
    }
}

fn known_hosts(
    collected: &Collected,
    name: &str,
    usual: &[&str],
    tokens: &Tokens,
) -> Result<Vec<PathBuf>, String> {
    let named: Vec<&str> = collected.all(name).collect();
    let files = if named.is_empty() { usual } else { &named };
    files
        .iter()
        .filter(|text| **text != "none" && **text != "/dev/null")
        .map(|text| {
            if Path::new(text).is_absolute() && !text.contains(['%', '$']) {
                Ok(PathBuf::from(text))
            } else {
                tokens.expand_path(text)
            }
        })
        .collect()
}

/// ProxyJump and ProxyCommand: whichever stood first wins, which the reader has seen to.
fn route(collected: &Collected, tokens: &mut Tokens) -> Result<Route, String> {
    if let Some(jump) = collected.first("proxyjump").filter(|jump| *jump != "none") {
        jump.clone_into(&mut tokens.jump);
        let hops: Result<Vec<JumpHost>, String> = jump.split(',').map(parse_jump).collect();
        let hops = hops?;
        if let Some(last) = hops.last()
            && last.host == tokens.hostname
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
    match collected.first("proxycommand") {
        None | Some("none") => Ok(Route::Direct),
        Some(command) => Ok(Route::Command(tokens.expand(command, "CdhijkLlnpru")?)),
    }
}

/// `[user@]host[:port]` or `ssh://[user@]host[:port]`, with brackets around IPv6 addresses.
pub(super) fn parse_jump(text: &str) -> Result<JumpHost, String> {
    let bad = || unsupported("ProxyJump", text);
    let rest = text.strip_prefix("ssh://").unwrap_or(text);
    let rest = rest.trim_end_matches('/');
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, rest),
    };
    let (host, port) = match rest.strip_prefix('[') {
        Some(inner) => {
            let (host, behind) = inner.split_once(']').ok_or_else(bad)?;
            match behind.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if behind.is_empty() => (host, None),
                None => return Err(bad()),
            }
        }
        None => match rest.rsplit_once(':') {
            // More than one colon without brackets is an IPv6 address.
            Some((host, _)) if host.contains(':') => (rest, None),
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    if host.is_empty() || user.as_deref() == Some("") {
        return Err(bad());
    }
    Ok(JumpHost {
        user,
        host: host.to_owned(),
        port: port.map(parse_port).transpose().map_err(|_| bad())?,
    })
}

/// Variables by SetEnv, and by SendEnv those of our own environment that match.
fn environment(collected: &Collected) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut patterns: Vec<&str> = Vec::new();
    for pattern in collected.all("sendenv") {
        match pattern.strip_prefix('-') {
            Some(removed) => {
                patterns.retain(|kept| !super::pattern::matches(kept, removed));
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
            .any(|pattern| super::pattern::matches(name, pattern))
        {
            variables.push((name.to_owned(), value.to_owned()));
        }
    }
    variables.sort();
    for assignment in collected.all("setenv") {
        if let Some((name, value)) = assignment.split_once('=') {
            variables.retain(|(known, _)| known != name);
            variables.push((name.to_owned(), value.to_owned()));
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jump_hosts_are_read_in_every_form() {
        let hop = |user: Option<&str>, host: &str, port| JumpHost {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
        };
        assert_eq!(parse_jump("gate").unwrap(), hop(None, "gate", None));
        assert_eq!(
            parse_jump("a@gate:22022").unwrap(),
            hop(Some("a"), "gate", Some(22022))
        );
        assert_eq!(
            parse_jump("ssh://a@gate:1").unwrap(),
            hop(Some("a"), "gate", Some(1))
        );
        assert_eq!(parse_jump("[::1]:5").unwrap(), hop(None, "::1", Some(5)));
        assert_eq!(parse_jump("a@[::1]").unwrap(), hop(Some("a"), "::1", None));
        assert_eq!(parse_jump("::1").unwrap(), hop(None, "::1", None));
        for bad in ["", "@gate", "gate:", "gate:0", "gate:x", "[::1", "[::1]x"] {
            assert!(parse_jump(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_seconds_or_carry_units() {
        assert_eq!(parse_time("X", "90"), Ok(90));
        assert_eq!(parse_time("X", "1h30m"), Ok(5400));
        assert_eq!(parse_time("X", "1m5"), Ok(65));
        assert!(parse_time("X", "").is_err());
        assert!(parse_time("X", "m").is_err());
        assert!(parse_time("X", "99999999999999999999w").is_err());
    }
}
