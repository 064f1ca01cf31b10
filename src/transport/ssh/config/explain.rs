//! The settings of a host in the words of `ssh -G`, for people who wonder and for tests that compare.

use std::path::Path;

use crate::error::{ConnectError, Stage};
use crate::spec::HostKeyPolicy;
use crate::transport::ssh::config::resolve_now;
use crate::transport::ssh::config::settings::{
    AddressFamily, AgentChoice, Route, Settings, SshTarget,
};

/// What a connection to `target` would be made with, as pairs of keyword and value in the manner of
/// `ssh -G`, paths and tokens expanded. Keywords without a value are left out. Reads files, runs
/// the commands of `Match exec`, and blocks while it does.
///
/// # Errors
/// At stage configure: the file and line that cannot be understood.
pub fn explain(target: &SshTarget) -> Result<Vec<(String, String)>, ConnectError> {
    resolve_now(target)
        .map(|resolved| pairs(&resolved.settings))
        .map_err(|message| ConnectError::new(&target.host, Stage::Configure, message))
}

fn pairs(settings: &Settings) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut say = |keyword: &str, value: String| found.push((keyword.to_owned(), value));
    let yes_no = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
    say("host", settings.host.clone());
    say("user", settings.user.clone());
    say("hostname", settings.hostname.clone());
    say("port", settings.port.to_string());
    let family = match settings.address_family {
        AddressFamily::Any => "any",
        AddressFamily::Inet => "inet",
        AddressFamily::Inet6 => "inet6",
    };
    say("addressfamily", family.to_owned());
    say("batchmode", yes_no(settings.batch_mode));
    say("compression", yes_no(settings.compression));
    say("hashknownhosts", yes_no(settings.hash_known_hosts));
    say("identitiesonly", yes_no(settings.identities_only));
    say(
        "kbdinteractiveauthentication",
        yes_no(settings.keyboard_interactive),
    );
    say(
        "nohostauthenticationforlocalhost",
        yes_no(settings.trust_localhost),
    );
    say(
        "passwordauthentication",
        yes_no(settings.password_authentication),
    );
    say(
        "pubkeyauthentication",
        if settings.pubkey_authentication {
            "true"
        } else {
            "false"
        }
        .to_owned(),
    );
    let policy = match settings.host_key_policy {
        HostKeyPolicy::Ask => "ask",
        HostKeyPolicy::Refuse | HostKeyPolicy::Pinned(_) => "true",
        HostKeyPolicy::AcceptNew => "accept-new",
        HostKeyPolicy::Off => "false",
    };
    say("stricthostkeychecking", policy.to_owned());
    say(
        "connectionattempts",
        settings.connection_attempts.to_string(),
    );
    say(
        "connecttimeout",
        settings
            .connect_timeout
            .map_or_else(|| "none".to_owned(), |limit| limit.as_secs().to_string()),
    );
    say(
        "numberofpasswordprompts",
        settings.password_prompts.to_string(),
    );
    say("serveralivecountmax", settings.alive_count_max.to_string());
    say(
        "serveraliveinterval",
        settings
            .alive_interval
            .map_or_else(|| "0".to_owned(), |interval| interval.as_secs().to_string()),
    );
    for file in &settings.identity_files {
        say("identityfile", shown(&file.path));
    }
    for file in &settings.certificate_files {
        say("certificatefile", shown(file));
    }
    let list = |files: &[std::path::PathBuf]| {
        let names: Vec<String> = files.iter().map(|file| shown(file)).collect();
        names.join(" ")
    };
    say("userknownhostsfile", list(&settings.user_known_hosts));
    say("globalknownhostsfile", list(&settings.global_known_hosts));
    match &settings.agent {
        AgentChoice::Environment => {}
        AgentChoice::None => say("identityagent", "none".to_owned()),
        AgentChoice::Socket(path) => say("identityagent", shown(path)),
    }
    match &settings.route {
        Route::Direct => {}
        Route::Jump(hops) => {
            let hops: Vec<String> = hops.iter().map(ToString::to_string).collect();
            say("proxyjump", hops.join(","));
        }
        Route::Command(command) => say("proxycommand", command.clone()),
    }
    let optional = [
        ("bindaddress", &settings.bind_address),
        ("hostkeyalias", &settings.host_key_alias),
        ("hostkeyalgorithms", &settings.host_key_algorithms),
        ("kexalgorithms", &settings.kex_algorithms),
        ("ciphers", &settings.ciphers),
        ("macs", &settings.macs),
        ("pubkeyacceptedalgorithms", &settings.pubkey_algorithms),
        ("casignaturealgorithms", &settings.ca_signature_algorithms),
    ];
    for (keyword, value) in optional {
        if let Some(value) = value {
            say(keyword, value.clone());
        }
    }
    say("requiredrsasize", settings.required_rsa_size.to_string());
    say("checkhostip", yes_no(settings.check_host_ip));
    if let Some(file) = &settings.revoked_host_keys {
        say("revokedhostkeys", shown(file));
    }
    say(
        "preferredauthentications",
        settings.preferred_authentications.join(","),
    );
    for (name, value) in &settings.environment {
        say("environment", format!("{name}={value}"));
    }
    found
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
