//! The table of options: a row says an option's names, which transports take it, and how its value is read and shown.
//!
//! The parser, the canonical text, the checks and the Python package loop over it. Its order is that of the canonical text.

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::spec::head::parse_user;
use crate::spec::types::FINGERPRINT_HASH;
use crate::spec::values::{self, OptionValue};
use crate::spec::{ConfigChoice, ConnectionSpec, KeySource, SshChoice, Step, Transport, step};

/// One option.
pub(crate) struct SpecOption {
    /// Its name in a spec.
    pub(crate) name: &'static str,
    /// Other names that a spec may use.
    pub(crate) aliases: &'static [&'static str],
    /// What other programs call it. Not accepted, but answered with the name.
    pub(super) elsewhere: &'static [&'static str],
    /// The keyword of Python's `Client`, where it is not the name.
    keyword: Option<&'static str>,
    /// Where it comes from; CS-26 makes the difference.
    pub(super) since: Since,
    /// The transports that take it (CS-25).
    pub(super) takes: &'static [Takes],
    /// What it sets; one such thing may be set once (CS-8).
    pub(crate) sets: Sets,
    /// Reads its value.
    pub(super) parse: Parse,
    /// Its value, where it is set.
    pub(crate) show: fn(&ConnectionSpec) -> Option<OptionValue>,
    /// Its value is never shown (CS-28).
    pub(super) secret: bool,
}

/// Whether EasyCluster 0.22.3 had an option. A program's own options never take the names of those.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    Original,
    Added,
}

/// The kinds of transports.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Ssh,
    OpenSsh,
    Tcp,
    Local,
}

/// What an option sets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sets {
    /// The shared key, which several options give.
    Key,
    /// The user, which also stands in front of the host.
    User,
    /// The steps, to which programs may add passwords.
    Steps,
    /// A field that no other option sets.
    Own,
}

/// How a value is read; the error is a reason without the spec.
pub(super) enum Parse {
    Text(fn(&mut ConnectionSpec, &str) -> Result<(), String>),
    /// File names need not be UTF-8 where a program gives them.
    Path(fn(&mut ConnectionSpec, &OsStr)),
    /// Words as a shell splits them; there may be none.
    Words(fn(&mut ConnectionSpec, Vec<String>)),
}

use OptionValue::{Count, Names, Path, Program, Seconds, Size, Switch, Text, Words};
use Since::{Added, Original};
use Takes::{Local, OpenSsh, Ssh, Tcp};

const ALL: &[Takes] = &[Ssh, OpenSsh, Tcp, Local];
const REMOTE: &[Takes] = &[Ssh, OpenSsh, Tcp];
const BY_SSH: &[Takes] = &[Ssh, OpenSsh];

/// What a row leaves out. The rest every row says; a test holds them to it.
const PLAIN: SpecOption = SpecOption {
    name: "",
    aliases: &[],
    elsewhere: &[],
    keyword: None,
    since: Added,
    takes: ALL,
    sets: Sets::Own,
    parse: Parse::Path(|_, _| {}),
    show: |_| None,
    secret: false,
};

/// What [`ConnectionSpec`]'s `Display` writes instead of a key; refused when it is parsed.
pub(super) const HIDDEN_KEY: &str = "(hidden)";

/// Every option there is.
pub(crate) static OPTIONS: &[SpecOption] = &[
    SpecOption {
        name: "ssh",
        elsewhere: &["transport"],
        since: Original,
        takes: REMOTE,
        parse: Parse::Path(|spec, value| spec.ssh = Some(values::ssh(value))),
        show: |spec| {
            spec.ssh.as_ref().map(|choice| match choice {
                SshChoice::Yes => Switch(true),
                SshChoice::No => Switch(false),
                SshChoice::Program(path) => Program(path.clone()),
            })
        },
        ..PLAIN
    },
    SpecOption {
        name: "kf",
        aliases: &["keyfile"],
        keyword: Some("key"),
        since: Original,
        takes: REMOTE,
        sets: Sets::Key,
        parse: Parse::Path(|spec, value| spec.key = Some(KeySource::File(value.into()))),
        show: |spec| match &spec.key {
            Some(KeySource::File(path)) => Some(Path(path.clone())),
            _ => None,
        },
        ..PLAIN
    },
    SpecOption {
        name: "key",
        elsewhere: &["secret"],
        since: Original,
        takes: REMOTE,
        sets: Sets::Key,
        parse: Parse::Text(|spec, value| {
            if value == HIDDEN_KEY {
                return Err(
                    "this spec was printed with its key left out; put the key back".to_string(),
                );
            }
            spec.key = Some(KeySource::Text(value.to_string()));
            Ok(())
        }),
        show: |spec| match &spec.key {
            Some(KeySource::Text(text)) => Some(Text(text.clone())),
            _ => None,
        },
        secret: true,
        ..PLAIN
    },
    SpecOption {
        name: "compress",
        elsewhere: &["compression"],
        keyword: Some("enable_compression"),
        since: Original,
        parse: Parse::Text(|spec, value| set(&mut spec.compress, values::switch(value))),
        show: |spec| spec.compress.map(Switch),
        ..PLAIN
    },
    SpecOption {
        name: "user",
        elsewhere: &["username", "login", "remoteuser"],
        since: Original,
        takes: REMOTE,
        sets: Sets::User,
        parse: Parse::Text(|spec, value| set(&mut spec.user, parse_user(value))),
        show: |spec| spec.user.clone().map(Text),
        ..PLAIN
    },
    SpecOption {
        name: "extra",
        elsewhere: &["sshargs", "sshoptions", "options"],
        keyword: Some("extra_args"),
        since: Original,
        takes: REMOTE,
        parse: Parse::Words(|spec, words| spec.extra = words),
        show: |spec| (!spec.extra.is_empty()).then(|| Words(spec.extra.clone())),
        ..PLAIN
    },
    SpecOption {
        name: "rpython",
        elsewhere: &["python", "pythonpath", "interpreter", "pythoninterpreter"],
        since: Original,
        parse: Parse::Text(|spec, value| set(&mut spec.rpython, Ok(value.to_string()))),
        show: |spec| spec.rpython.clone().map(Text),
        ..PLAIN
    },
    SpecOption {
        name: "timeout",
        elsewhere: &["connecttimeout"],
        parse: Parse::Text(|spec, value| set(&mut spec.timeout, values::timeout(value))),
        show: |spec| spec.timeout.map(Seconds),
        ..PLAIN
    },
    SpecOption {
        name: "identity",
        elsewhere: &["identityfile", "privatekey", "sshkey", "keyfilename"],
        takes: BY_SSH,
        parse: Parse::Path(|spec, value| spec.identity = Some(PathBuf::from(value))),
        show: |spec| spec.identity.clone().map(Path),
        ..PLAIN
    },
    SpecOption {
        name: "known_hosts",
        elsewhere: &["userknownhostsfile", "knownhostsfile"],
        takes: BY_SSH,
        parse: Parse::Path(|spec, value| spec.known_hosts = Some(PathBuf::from(value))),
        show: |spec| spec.known_hosts.clone().map(Path),
        ..PLAIN
    },
    SpecOption {
        name: "config",
        elsewhere: &["sshconfig", "configfile"],
        takes: BY_SSH,
        parse: Parse::Path(|spec, value| spec.config = Some(values::config(value))),
        show: |spec| {
            spec.config.as_ref().map(|choice| match choice {
                ConfigChoice::None => Text("none".to_string()),
                ConfigChoice::File(path) => Path(path.clone()),
            })
        },
        ..PLAIN
    },
    SpecOption {
        name: "hostkey",
        elsewhere: &["stricthostkeychecking", "hostkeychecking", "fingerprint"],
        takes: BY_SSH,
        parse: Parse::Text(|spec, value| set(&mut spec.hostkey, values::hostkey(value))),
        show: |spec| spec.hostkey.as_ref().map(|policy| Text(policy.to_string())),
        ..PLAIN
    },
    SpecOption {
        name: "batch",
        elsewhere: &["batchmode"],
        takes: BY_SSH,
        parse: Parse::Text(|spec, value| set(&mut spec.batch, values::switch(value))),
        show: |spec| spec.batch.map(Switch),
        ..PLAIN
    },
    SpecOption {
        name: "jump",
        elsewhere: &["proxyjump", "jumphost", "via", "bastion"],
        takes: BY_SSH,
        parse: Parse::Text(|spec, value| set(&mut spec.jump, values::jump(value))),
        show: |spec| {
            spec.jump
                .as_ref()
                .map(|hosts| Text(values::show_jump(hosts)))
        },
        ..PLAIN
    },
    SpecOption {
        name: "allow",
        elsewhere: &["unpickle"],
        parse: Parse::Text(|spec, value| {
            spec.allow = values::allow(value)?;
            Ok(())
        }),
        show: |spec| (!spec.allow.is_empty()).then(|| Names(spec.allow.clone())),
        ..PLAIN
    },
    SpecOption {
        name: "forward",
        parse: Parse::Text(|spec, value| {
            spec.forward = values::forward(value)?;
            Ok(())
        }),
        show: |spec| (!spec.forward.is_empty()).then(|| Names(spec.forward.clone())),
        ..PLAIN
    },
    SpecOption {
        name: "name",
        elsewhere: &["label", "alias"],
        parse: Parse::Text(|spec, value| set(&mut spec.name, Ok(value.to_string()))),
        show: |spec| spec.name.clone().map(Text),
        ..PLAIN
    },
    SpecOption {
        name: "ahead",
        elsewhere: &["standby"],
        // A program makes a connection for each client, so there is none on which another could wait.
        takes: &[Ssh],
        parse: Parse::Text(|spec, value| set(&mut spec.ahead, values::ahead(value))),
        show: |spec| spec.ahead.map(Count),
        ..PLAIN
    },
    SpecOption {
        name: "max_result",
        elsewhere: &["maxresult", "resultlimit"],
        parse: Parse::Text(|spec, value| set(&mut spec.max_result, values::size(value))),
        show: |spec| spec.max_result.map(Size),
        ..PLAIN
    },
    SpecOption {
        name: "then",
        elsewhere: &["steps", "through"],
        sets: Sets::Steps,
        parse: Parse::Text(|spec, value| {
            spec.then = step::steps(value)?;
            Ok(())
        }),
        show: |spec| (!spec.then.is_empty()).then(|| Text(step::show_steps(&spec.then))),
        ..PLAIN
    },
    SpecOption {
        name: "become",
        elsewhere: &["sudo", "becomeuser", "sudouser"],
        parse: Parse::Text(|spec, value| {
            set(&mut spec.become_step, user_to_become(value).map(Step::sudo))
        }),
        show: |spec| match &spec.become_step {
            Some(Step::Sudo { user, .. }) => Some(Text(user.clone())),
            _ => None,
        },
        ..PLAIN
    },
];

/// Other programs turn this on by a switch; a user who is called so can still be named by `then=sudo/USER`.
fn user_to_become(value: &str) -> Result<String, String> {
    match values::switch(value) {
        Ok(_) => Err(format!(
            "{value:?} is not a user: become=root, or no become= at all"
        )),
        Err(_) => parse_user(value),
    }
}

fn set<T>(field: &mut Option<T>, value: Result<T, String>) -> Result<(), String> {
    *field = Some(value?);
    Ok(())
}

impl SpecOption {
    /// Its name and its other names.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The keyword of Python's `Client`.
    pub(crate) fn keyword(&self) -> &'static str {
        self.keyword.unwrap_or(self.name)
    }

    /// Whether EasyCluster 0.22.3 had it.
    pub(super) fn is_original(&self) -> bool {
        self.since == Original
    }

    /// Reads a value into its field.
    pub(super) fn read(&self, spec: &mut ConnectionSpec, value: &OsStr) -> Result<(), String> {
        let text = || value.to_str().ok_or("the value is not UTF-8");
        match self.parse {
            Parse::Text(read) => read(spec, text()?),
            Parse::Path(read) => {
                read(spec, value);
                Ok(())
            }
            Parse::Words(read) => {
                read(spec, values::words(text()?)?);
                Ok(())
            }
        }
    }

    /// Several values as one text: words as a shell quotes them, else with commas between.
    #[cfg(feature = "python")]
    pub(crate) fn joined(&self, parts: Vec<String>) -> String {
        match self.parse {
            Parse::Words(_) => OptionValue::Words(parts),
            Parse::Text(_) | Parse::Path(_) => OptionValue::Names(parts),
        }
        .to_string()
    }

    /// Whether a value may be empty (CS-6).
    pub(super) fn may_be_empty(&self) -> bool {
        matches!(self.parse, Parse::Words(_))
    }

    /// Why it cannot go by this transport, where it cannot.
    pub(super) fn conflict(&self, name: &str, transport: &Transport) -> Option<String> {
        let kind = kind_of(transport);
        if self.takes.contains(&kind) {
            return None;
        }
        Some(match kind {
            Local => no_meaning_for_local(name),
            Tcp => format!("option {name:?} is for SSH only: write user@host, or add ssh=yes"),
            Ssh | OpenSsh => format!(
                "option {name:?} cannot be used with an ssh program, which makes a connection for each client: write ssh=yes"
            ),
        })
    }
}

fn kind_of(transport: &Transport) -> Takes {
    match transport {
        Transport::Ssh => Ssh,
        Transport::OpenSsh(_) => OpenSsh,
        Transport::Tcp => Tcp,
        Transport::Local => Local,
    }
}

/// What Python calls a transport.
#[cfg(feature = "python")]
pub(crate) fn transport_name(transport: &Transport) -> &'static str {
    match kind_of(transport) {
        Ssh => "ssh",
        OpenSsh => "openssh",
        Tcp => "tcp",
        Local => "local",
    }
}

/// What to say about an option, or the port, with `:local`.
pub(super) fn no_meaning_for_local(name: &str) -> String {
    let takes: Vec<&str> = OPTIONS
        .iter()
        .filter(|option| option.takes.contains(&Local))
        .map(|option| option.name)
        .collect();
    format!(
        "{name:?} cannot be used with :local; it takes {}",
        takes.join(", ")
    )
}

/// The option of this name.
pub(crate) fn find(name: &str) -> Option<&'static SpecOption> {
    OPTIONS
        .iter()
        .find(|option| option.names().any(|known| known == name))
}

/// Whether a colon behind this beginning of an item belongs to its value: the one of a fingerprint (CS-30), or of a variable
/// (CS-37).
pub(super) fn keeps_colon(item: &str) -> bool {
    if item == "identity=env" {
        return true;
    }
    item.strip_suffix(FINGERPRINT_HASH)
        .and_then(|rest| rest.split_once('='))
        .is_some_and(|(name, before)| {
            name == "hostkey" && (before.is_empty() || before.ends_with(','))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_reads_what_it_shows() {
        for option in OPTIONS {
            let samples = ["f", "yes", "7", "refuse", "a.b", "sudo/f"];
            let set = samples
                .iter()
                .find_map(|value| {
                    let spec = ConnectionSpec::default();
                    spec.with(option, OsStr::new(value)).ok()
                })
                .unwrap_or_else(|| panic!("{}: no sample is taken", option.name));
            let shown = (option.show)(&set).unwrap_or_else(|| panic!("{}: not set", option.name));
            let again = ConnectionSpec::default()
                .with(option, OsStr::new(&shown.to_string()))
                .unwrap();
            assert_eq!(again, set, "{}", option.name);
            for name in option.names() {
                let found = find(name).map(|found| found.name);
                assert_eq!(found, Some(option.name), "{name} stands twice");
            }
        }
    }
}
