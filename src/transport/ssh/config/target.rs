//! What a connection spec says in place of the configuration files, for the native transport and for an `ssh` program alike.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{ConnectError, Stage};
use crate::spec::{ConfigChoice, ConnectionSpec, HostKeyPolicy, expand_home, key_variable};
use crate::system::names;
use crate::transport::ssh::config::settings::{ConfigSource, Override, SshTarget};

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
        options: overrides(spec),
        config: config_source(spec),
    };
    extra(spec, &mut target)?;
    Ok(target)
}

/// Which configuration files the spec names.
pub(crate) fn config_source(spec: &ConnectionSpec) -> ConfigSource {
    match &spec.config {
        None => ConfigSource::Standard,
        Some(ConfigChoice::None) => ConfigSource::None,
        Some(ConfigChoice::File(path)) => ConfigSource::File(expand_home(path)),
    }
}

/// What the options of the spec say in place of the configuration files, for both transports by SSH. Of two for one keyword the
/// first counts.
pub(crate) fn overrides(spec: &ConnectionSpec) -> Vec<Override> {
    let mut list = Vec::new();
    let line = |keyword: &str, value: &str| Override::Line(keyword.to_owned(), value.to_owned());
    // CS-24: `~/` is the home directory of the environment, as for every other file of a spec.
    let file = |keyword, path: &Path| match path.to_str() {
        Some("none") => line(keyword, "none"),
        _ => Override::Path(keyword, expand_home(path)),
    };
    let nowhere = |keyword| Override::Path(keyword, PathBuf::from("/dev/null"));
    if let Some(path) = &spec.identity {
        list.push(file("IdentityFile", path));
        list.push(line("IdentitiesOnly", "yes"));
    }
    if let Some(policy) = &spec.hostkey {
        list.push(Override::HostKey(policy.clone()));
        if *policy == HostKeyPolicy::Off {
            // CS-19: anything is accepted and nothing recorded.
            list.push(nowhere("UserKnownHostsFile"));
            list.push(nowhere("GlobalKnownHostsFile"));
        }
    }
    if let Some(path) = &spec.known_hosts {
        list.push(file("UserKnownHostsFile", path));
        list.push(nowhere("GlobalKnownHostsFile"));
    }
    if let Some(batch) = spec.batch {
        list.push(line("BatchMode", if batch { "yes" } else { "no" }));
    }
    if let Some(hosts) = &spec.jump {
        let hops: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        if hops.is_empty() {
            list.push(line("ProxyCommand", "none"));
            list.push(line("ProxyJump", "none"));
        } else {
            // The scope of an address is not a token.
            list.push(line("ProxyJump", &hops.join(",").replace('%', "%%")));
        }
    }
    list
}

/// An override as the `ssh` program takes it behind `-o`.
///
/// # Errors
/// A reason, where no text makes the program take it: a file name that holds `${`, and fingerprints.
pub(crate) fn option_text(option: &Override) -> Result<OsString, String> {
    match option {
        Override::Line(keyword, value) => Ok(format!("{keyword}={value}").into()),
        Override::HostKey(policy) => {
            let value = match policy {
                HostKeyPolicy::Ask => "ask",
                HostKeyPolicy::Refuse => "yes",
                HostKeyPolicy::AcceptNew => "accept-new",
                HostKeyPolicy::Off => "no",
                HostKeyPolicy::Pinned(_) => {
                    return Err(
                        "an ssh program does not compare the host key with a fingerprint"
                            .to_owned(),
                    );
                }
            };
            Ok(format!("StrictHostKeyChecking={value}").into())
        }
        Override::Path(_, path) if key_variable(path).is_some() => {
            Err("an ssh program takes keys from files, not from a variable".to_owned())
        }
        Override::Path(keyword, path) => {
            let name = names::bytes(path.as_os_str());
            if name.windows(2).any(|pair| pair == b"${") {
                return Err(format!(
                    "an ssh program takes ${{ in {} for a variable",
                    path.display()
                ));
            }
            let mut text = format!("{keyword}=\"").into_bytes();
            for byte in name.iter() {
                match byte {
                    b'\\' | b'"' => text.extend([b'\\', *byte]),
                    b'%' => text.extend(b"%%"),
                    _ => text.push(*byte),
                }
            }
            text.push(b'"');
            Ok(names::from_bytes(text))
        }
    }
}

/// Arguments in the manner of the `ssh` program. Those that only concern terminals and forwardings have no effect.
fn extra(spec: &ConnectionSpec, target: &mut SshTarget) -> Result<(), ConnectError> {
    let fail = |message: String| {
        ConnectError::new(spec.label(), Stage::Configure, message)
            .with_hint("take ssh=/usr/bin/ssh for what only the ssh program does")
    };
    let line = |target: &mut SshTarget, keyword: &str, value: &str| {
        let option = Override::Line(keyword.to_owned(), value.to_owned());
        target.options.push(option);
    };
    let mut words = spec.extra.iter();
    while let Some(word) = words.next() {
        let Some(flags) = word.strip_prefix('-').filter(|flags| !flags.is_empty()) else {
            return Err(fail(format!("extra: '{word}' is not an option of ssh")));
        };
        for (index, letter) in flags.char_indices() {
            if "46ACTXYanqtvxNgGksKMy".contains(letter) {
                match letter {
                    '4' => line(target, "AddressFamily", "inet"),
                    '6' => line(target, "AddressFamily", "inet6"),
                    'C' => line(target, "Compression", "yes"),
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
                    line(target, keyword.trim(), value.trim());
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
            line(target, keyword, &value);
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides_of(text: &str) -> Vec<Override> {
        overrides(&format!("u@h:{text}").parse().expect("a good spec"))
    }

    fn line(keyword: &str, value: &str) -> Override {
        Override::Line(keyword.into(), value.into())
    }

    #[test]
    fn options_are_overrides_of_their_kind() {
        let nowhere = |keyword| Override::Path(keyword, "/dev/null".into());
        let path = |keyword, path: &str| Override::Path(keyword, path.into());
        for (text, expected) in [
            ("timeout=3:name=n:rpython=p", vec![]),
            (
                "identity=/we${ird}/%h",
                vec![
                    path("IdentityFile", "/we${ird}/%h"),
                    line("IdentitiesOnly", "yes"),
                ],
            ),
            (
                "identity=none",
                vec![line("IdentityFile", "none"), line("IdentitiesOnly", "yes")],
            ),
            (
                "known_hosts=k:hostkey=off",
                vec![
                    Override::HostKey(HostKeyPolicy::Off),
                    nowhere("UserKnownHostsFile"),
                    nowhere("GlobalKnownHostsFile"),
                    path("UserKnownHostsFile", "k"),
                    nowhere("GlobalKnownHostsFile"),
                ],
            ),
            (
                "jump=none:batch=0",
                vec![
                    line("BatchMode", "no"),
                    line("ProxyCommand", "none"),
                    line("ProxyJump", "none"),
                ],
            ),
            (
                "jump=a@[\\:\\:1]\\:22,b",
                vec![line("ProxyJump", "a@[::1]:22,b")],
            ),
        ] {
            assert_eq!(overrides_of(text), expected, "{text}");
        }
    }

    #[test]
    fn a_program_is_told_by_text_where_text_can_say_it() {
        let text = |option: Override| option_text(&option).map(|text| text.into_string().unwrap());
        let path = |path: &str| text(Override::Path("IdentityFile", path.into()));
        assert_eq!(text(line("A", "b c")).as_deref(), Ok("A=b c"));
        assert_eq!(
            path("/a b/%h\"\\").as_deref(),
            Ok(r#"IdentityFile="/a b/%%h\"\\""#)
        );
        assert!(path("/${x}").is_err());
        assert!(path("env:KEY").is_err());
        let policy = |policy| text(Override::HostKey(policy));
        assert_eq!(
            policy(HostKeyPolicy::Refuse).as_deref(),
            Ok("StrictHostKeyChecking=yes")
        );
        assert!(policy(HostKeyPolicy::Pinned(Vec::new())).is_err());
    }
}
