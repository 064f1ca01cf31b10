//! The table of options: a row says an option's names, which transports take it, and how its value is read and shown.
//!
//! The parser, the canonical text, the checks and the Python package loop over it. Its order is that of the canonical text.

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::spec::head::parse_user;
use crate::spec::types::FINGERPRINT_HASH;
use crate::spec::values::{self, OptionValue};
use crate::spec::{ConfigChoice, ConnectionSpec, KeySource, SshChoice, Transport};

/// One option.
pub(crate) struct SpecOption {
    /// Its name in a spec.
    pub(crate) name: &'static str,
    /// Other names that a spec may use.
    pub(crate) aliases: &'static [&'static str],
    /// What other programs call it. Not accepted, but answered with the name.
    pub(super) elsewhere: &'static [&'static str],
    /// The keyword of Python's `Client`.
    pub(crate) keyword: &'static str,
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
    /// Its value is shown to nobody (CS-28).
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

use OptionValue::{Count, Names, Path, Program, Seconds, Switch, Text, Words};
use Since::{Added, Original};
use Takes::{Local, OpenSsh, Ssh, Tcp};

const ALL: &[Takes] = &[Ssh, OpenSsh, Tcp, Local];
const REMOTE: &[Takes] = &[Ssh, OpenSsh, Tcp];
const BY_SSH: &[Takes] = &[Ssh, OpenSsh];

/// What [`ConnectionSpec`]'s `Display` writes in place of a key; refused when it comes back.
pub(super) const HIDDEN_KEY: &str = "(hidden)";

/// Every option there is.
pub(crate) static OPTIONS: &[SpecOption] = &[
    SpecOption {
        name: "ssh",
        aliases: &[],
        elsewhere: &["transport"],
        keyword: "ssh",
        since: Original,
        takes: REMOTE,
        sets: Sets::Own,
        parse: Parse::Path(|spec, value| spec.ssh = Some(values::ssh(value))),
        show: |spec| {
            spec.ssh.as_ref().map(|choice| match choice {
                SshChoice::Yes => Switch(true),
                SshChoice::No => Switch(false),
                SshChoice::Program(path) => Program(path.clone()),
            })
        },
        secret: false,
    },
    SpecOption {
        name: "kf",
        aliases: &["keyfile"],
        elsewhere: &[],
        keyword: "key",
        since: Original,
        takes: REMOTE,
        sets: Sets::Key,
        parse: Parse::Path(|spec, value| spec.key = Some(KeySource::File(value.into()))),
        show: |spec| match &spec.key {
            Some(KeySource::File(path)) => Some(Path(path.clone())),
            _ => None,
        },
        secret: false,
    },
    SpecOption {
        name: "key",
        aliases: &[],
        elsewhere: &["secret"],
        keyword: "key",
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
    },
    SpecOption {
        name: "compress",
        aliases: &[],
        elsewhere: &["compression"],
        keyword: "enable_compression",
        since: Original,
        takes: ALL,
        sets: Sets::Own,
        parse: Parse::Text(|spec, value| set(&mut spec.compress, values::switch(value))),
        show: |spec| spec.compress.map(Switch),
        secret: false,
    },
    SpecOption {
        name: "user",
        aliases: &[],
        elsewhere: &["username", "login", "remoteuser"],
        keyword: "user",
        since: Original,
        takes: REMOTE,
        sets: Sets::User,
        parse: Parse::Text(|spec, value| set(&mut spec.user, parse_user(value))),
        show: |spec| spec.user.clone().map(Text),
        secret: false,
    },
    SpecOption {
        name: "extra",
        aliases: &[],
        elsewhere: &["sshargs", "sshoptions", "options"],
        keyword: "extra_args",
        since: Original,
        takes: REMOTE,
        sets: Sets::Own,
        parse: Parse::Words(|spec, words| spec.extra = words),
        show: |spec| (!spec.extra.is_empty()).then(|| Words(spec.extra.clone())),
        secret: false,
    },
    SpecOption {
        name: "rpython",
        aliases: &[],
        elsewhere: &["python", "pythonpath", "interpreter", "pythoninterpreter"],
        keyword: "rpython",
        since: Original,
        takes: ALL,
        sets: Sets::Own,
        parse: Parse::Text(|spec, value| set(&mut spec.rpython, Ok(value.to_string()))),
        show: |spec| spec.rpython.clone().map(Text),
        secret: false,
    },
    SpecOption {
        name: "timeout",
        aliases: &[],
        elsewhere: &["connecttimeout"],
        keyword: "timeout",
        since: Added,
        takes: ALL,
        sets: Sets::Own,
        parse: Parse::Text(|spec, value| set(&mut spec.timeout, values::timeout(value))),
        show: |spec| spec.timeout.map(Seconds),
        secret: false,
    },
    SpecOption {
        name: "identity",
        aliases: &[],
        elsewhere: &["identityfile", "privatekey", "sshkey", "keyfilename"],
        keyword: "identity",
        since: Added,
        takes: BY_SSH,
        sets: Sets::Own,
        parse: Parse::Path(|spec, value| spec.identity = Some(PathBuf::from(value))),
        show: |spec| spec.identity.clone().map(Path),
        secret: false,
    },
    SpecOption {
        name: "known_hosts",
        aliases: &[],
        elsewhere: &["userknownhostsfile", "knownhostsfile"],
        keyword: "known_hosts",
        since: Added,
        takes: BY_SSH,
        sets: Sets::Own,
        parse: Parse::Path(|spec, value| spec.known_hosts = Some(PathBuf::from(value))),
        show: |spec| spec.known_hosts.clone().map(Path),
        secret: false,
    },
    SpecOption {
        name: "config",
        aliases: &[],
        elsewhere: &["sshconfig", "configfile"],
        keyword: "config",
        since: Added,
        takes: BY_SSH,
        sets: Sets::Own,
        parse: Parse::Path(|spec, value| spec.config = Some(values::config(value))),
        show: |spec| {
            spec.config.as_ref().map(|choice| match choice {
                ConfigChoice::None => Text("none".to_string()),
                ConfigChoice::File(path) => Path(path.clone()),
            })
        },
        secret: false,
    },
    SpecOption {
        name: "hostkey",
        aliases: &[],
        elsewhere: &["stricthostkeychecking", "hostkeychecking", "fingerprint"],
        keyword: "hostkey",
        since: Added,
        takes: BY_SSH,
        sets: Sets::Own,
        parse: Parse::Text(|spec, value| set(&mut spec.hostkey, values::hostkey(value))),
        show: |spec| spec.hostkey.as_ref().map(|policy| Text(policy.to_string())),
        secret: false,
    },
    SpecOption {
        name: "batch",
        aliases: &[],
        elsewhere: &["batchmode"],
        keyword: "batch",
        since: Added,
        takes: BY_SSH,
        sets: Sets::Own,
        parse: Parse::Text(|spec, value| set(&mut spec.batch, values::switch(value))),
        show: |spec| spec.batch.map(Switch),
        secret: false,
    },
    SpecOption {
        name: "jump",
        aliases: &[],
        elsewhere: &["proxyjump", "jumphost", "via", "bastion"],
        keyword: "jump",
        since: Added,
        takes: BY_SSH,
        sets: Sets::Own,
        parse: Parse::Text(|spec, value| set(&mut spec.jump, values::jump(value))),
        show: |spec| {
            spec.jump
                .as_ref()
                .map(|hosts| Text(values::show_jump(hosts)))
        },
        secret: false,
    },
    SpecOption {
        name: "allow",
        aliases: &[],
        elsewhere: &["unpickle"],
        keyword: "allow",
        since: Added,
        takes: ALL,
        sets: Sets::Own,
        parse: Parse::Text(|spec, value| {
            spec.allow = values::allow(value)?;
            Ok(())
        }),
        show: |spec| (!spec.allow.is_empty()).then(|| Names(spec.allow.clone())),
        secret: false,
    },
    SpecOption {
        name: "name",
        aliases: &[],
        elsewhere: &["label", "alias"],
        keyword: "name",
        since: Added,
        takes: ALL,
        sets: Sets::Own,
        parse: Parse::Text(|spec, value| set(&mut spec.name, Ok(value.to_string()))),
        show: |spec| spec.name.clone().map(Text),
        secret: false,
    },
    SpecOption {
        name: "ahead",
        aliases: &[],
        elsewhere: &["standby"],
        keyword: "ahead",
        since: Added,
        // A program makes a connection for each client, so there is none on which another could wait.
        takes: &[Ssh],
        sets: Sets::Own,
        parse: Parse::Text(|spec, value| set(&mut spec.ahead, values::ahead(value))),
        show: |spec| spec.ahead.map(Count),
        secret: false,
    },
];

fn set<T>(field: &mut Option<T>, value: Result<T, String>) -> Result<(), String> {
    *field = Some(value?);
    Ok(())
}

impl SpecOption {
    /// Its name and its other names.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
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
                "option {name:?} has no meaning for an ssh program, which makes a connection for each client: write ssh=yes"
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

/// What to say about an option, or the port, with `:local`.
pub(super) fn no_meaning_for_local(name: &str) -> String {
    let takes: Vec<&str> = OPTIONS
        .iter()
        .filter(|option| option.takes.contains(&Local))
        .map(|option| option.name)
        .collect();
    format!(
        "{name:?} has no meaning for :local; it takes {}",
        takes.join(", ")
    )
}

/// The option of this name.
pub(crate) fn find(name: &str) -> Option<&'static SpecOption> {
    OPTIONS
        .iter()
        .find(|option| option.names().any(|known| known == name))
}

/// Whether a colon behind this beginning of an item belongs to its value: the one of a fingerprint (CS-30).
pub(super) fn keeps_colon(item: &str) -> bool {
    item.strip_suffix(FINGERPRINT_HASH)
        .and_then(|rest| rest.split_once('='))
        .is_some_and(|(name, before)| {
            name == "hostkey" && (before.is_empty() || before.ends_with(','))
        })
}

/// What to say about an option that does not exist (CS-9).
pub(super) fn unknown(name: &str) -> String {
    let plain = |name: &str| name.to_lowercase().replace(['_', '-', ' '], "");
    let wanted = plain(name);
    if wanted == "port" {
        return "a port is not an option: it stands directly behind the host, as in host:2222"
            .to_string();
    }
    if wanted == "password" || wanted == "passwd" {
        return "a password has no place in a connection spec; use a key or an agent".to_string();
    }
    let same = OPTIONS.iter().find_map(|option| {
        let known = option.names().find(|known| plain(known) == wanted);
        let elsewhere =
            || option.elsewhere.contains(&wanted.as_str()) || plain(option.keyword) == wanted;
        known.or_else(|| elsewhere().then_some(option.name))
    });
    let near = || {
        OPTIONS
            .iter()
            .flat_map(SpecOption::names)
            .map(|known| (strsim::damerau_levenshtein(known, &wanted), known))
            // One slip in a short name makes another word of it, two in a long one do not.
            .filter(|(slips, known)| *slips <= (known.len() / 3).min(2))
            .min_by_key(|(slips, _)| *slips)
            .map(|(_, known)| known)
    };
    match same.or_else(near) {
        Some(known) => format!("unknown option {name:?}; did you mean {known:?}?"),
        None => {
            let known: Vec<&str> = OPTIONS.iter().flat_map(SpecOption::names).collect();
            format!("unknown option {name:?}; there are {}", known.join(", "))
        }
    }
}
