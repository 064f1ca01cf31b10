//! What a connection spec says, in `ssh_config` keywords: its fields win over the files as `ssh -o` does.

use std::path::Path;

use crate::error::{ConnectError, Stage};
use crate::spec::{ConfigChoice, ConnectionSpec, HostKeyPolicy, expand_home};

use crate::transport::ssh::config::settings::{ConfigSource, SshTarget};

/// The target of a spec whose transport is native SSH.
///
/// # Errors
/// At stage configure, if `extra` has an argument that is not an option of `ssh` with a meaning here.
pub fn target_of(spec: &ConnectionSpec) -> Result<SshTarget, ConnectError> {
    let mut target = SshTarget {
        host: spec.host.to_plain(),
        port: spec.port,
        user: spec.user.clone(),
        only_identity: spec.identity.is_some(),
        options: Vec::new(),
        config: match &spec.config {
            None => ConfigSource::Standard,
            Some(ConfigChoice::None) => ConfigSource::None,
            Some(ConfigChoice::File(path)) => ConfigSource::File(expand_home(path)),
        },
    };
    let mut option =
        |keyword: &str, value: String| target.options.push((keyword.to_owned(), value));
    if let Some(path) = &spec.identity {
        option("IdentityFile", quoted(path));
        option("IdentitiesOnly", "yes".to_owned());
    }
    if let Some(policy) = spec.hostkey {
        let value = match policy {
            HostKeyPolicy::Ask => "ask",
            HostKeyPolicy::Refuse => "yes",
            HostKeyPolicy::AcceptNew => "accept-new",
            HostKeyPolicy::Off => "no",
        };
        option("StrictHostKeyChecking", value.to_owned());
        if policy == HostKeyPolicy::Off {
            // CS-19: anything is accepted and nothing recorded. First wins, so `known_hosts` comes behind.
            option("UserKnownHostsFile", "none".to_owned());
            option("GlobalKnownHostsFile", "none".to_owned());
        }
    }
    if let Some(path) = &spec.known_hosts {
        option("UserKnownHostsFile", quoted(path));
        option("GlobalKnownHostsFile", "none".to_owned());
    }
    if let Some(batch) = spec.batch {
        option("BatchMode", if batch { "yes" } else { "no" }.to_owned());
    }
    if let Some(jump) = &spec.jump {
        let hops: Vec<String> = jump.iter().map(ToString::to_string).collect();
        if hops.is_empty() {
            option("ProxyCommand", "none".to_owned());
        }
        option(
            "ProxyJump",
            if hops.is_empty() {
                "none".to_owned()
            } else {
                hops.join(",")
            },
        );
    }
    extra(spec, &mut target)?;
    Ok(target)
}

/// A path as one word of a configuration line.
fn quoted(path: &Path) -> String {
    // CS-24: the home directory of the environment, as for every other file of a spec.
    let path = expand_home(path);
    let escaped = path
        .to_string_lossy()
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    format!("\"{}\"", escaped.replace('%', "%%"))
}

/// Arguments in the manner of the `ssh` program. Those that only concern terminals and forwardings have no effect.
fn extra(spec: &ConnectionSpec, target: &mut SshTarget) -> Result<(), ConnectError> {
    let fail = |message: String| {
        ConnectError::new(spec.label(), Stage::Configure, message)
            .with_hint("take ssh=/usr/bin/ssh for what only the ssh program does")
    };
    let mut words = spec.extra.iter();
    while let Some(word) = words.next() {
        let Some(flags) = word.strip_prefix('-').filter(|flags| !flags.is_empty()) else {
            return Err(fail(format!("extra: '{word}' is not an option of ssh")));
        };
        for (index, letter) in flags.char_indices() {
            if "46ACTXYanqtvxNgGksKMy".contains(letter) {
                match letter {
                    '4' => target.options.push(("AddressFamily".into(), "inet".into())),
                    '6' => target
                        .options
                        .push(("AddressFamily".into(), "inet6".into())),
                    'C' => target.options.push(("Compression".into(), "yes".into())),
                    _ => {}
                }
                continue;
            }
            // The rest of the word, or the next word, is the value.
            let rest = flags.get(index + letter.len_utf8()..).unwrap_or_default();
            let value = if rest.is_empty() {
                words
                    .next()
                    .cloned()
                    .ok_or_else(|| fail(format!("extra: -{letter} lacks its value")))?
            } else {
                rest.to_owned()
            };
            let keyword = match letter {
                'o' => {
                    let (keyword, value) = value
                        .split_once(['=', ' '])
                        .ok_or_else(|| fail(format!("extra: -o {value} is not KEY=VALUE")))?;
                    target
                        .options
                        .push((keyword.trim().to_owned(), value.trim().to_owned()));
                    break;
                }
                'i' => "IdentityFile",
                'J' => "ProxyJump",
                'b' => "BindAddress",
                'c' => "Ciphers",
                'm' => "MACs",
                'l' => {
                    target.user.get_or_insert(value);
                    break;
                }
                'p' => {
                    let port = value
                        .parse()
                        .map_err(|_| fail(format!("extra: -p {value} is not a port")))?;
                    target.port.get_or_insert(port);
                    break;
                }
                'F' => {
                    target.config = if value == "none" {
                        ConfigSource::None
                    } else {
                        ConfigSource::File(value.into())
                    };
                    break;
                }
                'e' | 'D' | 'L' | 'R' | 'E' | 'B' | 'S' | 'O' | 'Q' | 'W' | 'w' | 'I' => {
                    return Err(fail(format!(
                        "extra: -{letter} has no meaning for the native transport"
                    )));
                }
                other => return Err(fail(format!("extra: ssh has no option -{other}"))),
            };
            target.options.push((keyword.to_owned(), value));
            break;
        }
    }
    Ok(())
}
