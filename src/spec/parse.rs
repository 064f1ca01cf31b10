//! From the text of a spec to a [`ConnectionSpec`]: head, port, then one option after the other.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::keys::Key;
use crate::spec::head::{URL_SCHEME, bare_ipv6, head_end, parse_head, parse_port};
use crate::spec::items::{Item, split};
use crate::spec::options::{self, OPTIONS, Sets, SpecOption};
use crate::spec::suggestion;
use crate::spec::{
    ConnectionSpec, Host, KeySource, MAX_SPEC, SpecError, SpecErrorKind, SshChoice, Transport,
};

use SpecErrorKind::{Conflict, Duplicate, Malformed, Unknown};

/// How this machine is written: no host can be called so, since a host name is never empty.
const LOCAL: &str = ":local";

/// The place of the port among the options that were seen. A colon keeps it apart from a program's own option called `port`.
const PORT: &str = ":port";

/// Which options outside the grammar a program takes for itself (CS-26).
///
/// They go before the options that this project added, so that a program which had a `name` or `timeout` of its own keeps it,
/// but never before those of EasyCluster 0.22.3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CustomOptions<'a> {
    /// None: an unknown option is an error.
    #[default]
    None,
    /// These names.
    Names(&'a [&'a str]),
    /// Every name but those of EasyCluster 0.22.3.
    Any,
}

/// What a program adds to the text of a spec.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParseOptions<'a> {
    /// Options that are handed through in [`ConnectionSpec::custom`].
    pub custom: CustomOptions<'a>,
    /// The port where the spec has none.
    pub default_port: Option<u16>,
    /// The shared key where the spec has none.
    pub default_key: Option<Key>,
    /// Compression where the spec says nothing.
    pub default_compress: Option<bool>,
    /// A host without a user, without `ssh=` and without any shared key is reached by SSH, as the `ssh` program does (CS-32).
    pub ssh_without_key: bool,
}

impl ConnectionSpec {
    /// Parses a spec by the plain grammar.
    ///
    /// # Errors
    /// [`SpecError`], whose text shows the spec with the place marked.
    pub fn parse(spec: &str) -> Result<Self, SpecError> {
        Self::parse_with(spec, &ParseOptions::default())
    }

    /// Parses a spec with a program's own options and defaults.
    ///
    /// # Errors
    /// As [`ConnectionSpec::parse`].
    pub fn parse_with(spec: &str, options: &ParseOptions<'_>) -> Result<Self, SpecError> {
        parse(spec, options)
    }

    /// The spec of `[user@]host` as a program has it: an IPv6 address need not stand in brackets. The error is a reason alone.
    pub(crate) fn for_head(text: &str) -> Result<Self, String> {
        if text == LOCAL {
            return Ok(Self::for_host(Host::Local));
        }
        let host_at = text.rfind('@').map_or(0, |at| at + 1);
        let (user, host) = text.split_at_checked(host_at).unwrap_or(("", text));
        let bracketed = if host.contains(':') && !host.starts_with('[') {
            format!("{user}[{host}]")
        } else {
            text.to_string()
        };
        let (user, host) = parse_head(&bracketed).map_err(|(_, reason)| reason)?;
        Ok(ConnectionSpec {
            user,
            ..ConnectionSpec::for_host(host)
        })
    }

    /// The same with one option set, by its name in a spec; a value that was there is replaced.
    ///
    /// Nothing is escaped in `value`, and file names need not be UTF-8. Whether the transport takes the option is not checked:
    /// one that it has no use for has no effect.
    ///
    /// # Errors
    /// An option that does not exist, and a value that it does not take.
    pub fn with_option(self, name: &str, value: impl AsRef<OsStr>) -> Result<Self, SpecError> {
        let value = value.as_ref();
        let fail = |kind, reason: String| {
            SpecError::of_option(kind, name, &value.to_string_lossy(), reason)
        };
        match options::find(name) {
            Some(option) => self
                .with(option, value)
                .map_err(|reason| fail(Malformed, reason)),
            None => Err(fail(Unknown, suggestion::unknown(name))),
        }
    }

    /// The same with this option set. The error is a reason alone.
    pub(crate) fn with(mut self, option: &SpecOption, value: &OsStr) -> Result<Self, String> {
        if value.is_empty() && !option.may_be_empty() {
            return Err(no_value(option.name));
        }
        option.read(&mut self, value)?;
        Ok(self)
    }
}

impl FromStr for ConnectionSpec {
    type Err = SpecError;

    fn from_str(spec: &str) -> Result<Self, SpecError> {
        Self::parse(spec)
    }
}

fn no_value(name: &str) -> String {
    format!("option {name:?} has no value")
}

fn parse(spec: &str, settings: &ParseOptions<'_>) -> Result<ConnectionSpec, SpecError> {
    let is_url = spec.starts_with(URL_SCHEME);
    let head_at = if is_url { URL_SCHEME.len() } else { 0 };
    let tail_at = head_at + head_end(spec.get(head_at..).unwrap_or_default());
    check_text(spec, tail_at)?;
    let mut reader = Reader {
        spec,
        settings,
        seen: BTreeMap::new(),
    };
    let is_local = spec
        .strip_prefix(LOCAL)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    let (mut parsed, tail_at) = if is_local {
        (ConnectionSpec::for_host(Host::Local), LOCAL.len())
    } else {
        (reader.head(head_at, tail_at, is_url)?, tail_at)
    };
    if let Some(tail) = spec.get(tail_at + 1..) {
        // `ssh://host:22/` names nothing below the host, so its slash has no meaning.
        let tail = match tail.strip_suffix('/') {
            Some(port) if is_url && !port.contains('=') => port,
            _ => tail,
        };
        for (position, item) in split(tail, tail_at + 1).iter().enumerate() {
            let is_number =
                !item.text.is_empty() && item.text.bytes().all(|byte| byte.is_ascii_digit());
            match () {
                () if item.text.is_empty() => {}
                () if position == 0 && is_number => reader.port(&mut parsed, item)?,
                () => reader.option(&mut parsed, item, is_number)?,
            }
        }
    }
    if is_url {
        match parsed.ssh {
            None => parsed.ssh = Some(SshChoice::Yes),
            Some(SshChoice::No) => {
                let reason = format!("{URL_SCHEME} means SSH, but an option says otherwise");
                return Err(reader.error(Conflict, 0..head_at, reason));
            }
            Some(SshChoice::Yes | SshChoice::Program(_)) => {}
        }
    }
    if parsed.host != Host::Local {
        parsed.port = parsed.port.or(settings.default_port);
        let default_key = || settings.default_key.clone().map(KeySource::Given);
        parsed.key = parsed.key.or_else(default_key);
        let has_no_server = parsed.key.is_none() && parsed.transport() == Transport::Tcp;
        if settings.ssh_without_key && has_no_server && parsed.ssh.is_none() {
            parsed.ssh = Some(SshChoice::Yes);
        }
    }
    parsed.compress = parsed.compress.or(settings.default_compress);
    reader.check_transport(&parsed)?;
    Ok(parsed)
}

/// What holds for the text as a whole: its length, its characters (CS-1), and no IPv6 address without brackets (CS-2).
fn check_text(spec: &str, tail_at: usize) -> Result<(), SpecError> {
    if spec.len() > MAX_SPEC {
        let reason = format!("the spec is longer than {MAX_SPEC} bytes");
        // Only the host is shown: a cut somewhere in the options could leave half a key without its name.
        let head = spec.get(..tail_at).unwrap_or_default();
        let host: String = head.chars().take(64).collect();
        return Err(SpecError::new(
            Malformed,
            &host,
            host.len()..host.len(),
            reason,
        ));
    }
    if let Some((at, character)) = spec
        .char_indices()
        .find(|(_, character)| character.is_control())
    {
        let reason = format!(
            "control character U+{:04X} in a connection spec",
            u32::from(character)
        );
        let place = at..at + character.len_utf8();
        return Err(SpecError::new(Malformed, spec, place, reason));
    }
    if let Some(place) = bare_ipv6(spec) {
        let user = spec.get(..place.start).unwrap_or_default();
        let address = spec.get(place.clone()).unwrap_or_default();
        let reason = format!("an IPv6 address must be in brackets: {user}[{address}]");
        return Err(SpecError::new(Malformed, spec, place, reason));
    }
    Ok(())
}

/// An option that stood in the spec.
struct Seen {
    name: String,
    place: Range<usize>,
    /// None for the port and for a program's own options.
    option: Option<&'static SpecOption>,
}

struct Reader<'a> {
    spec: &'a str,
    settings: &'a ParseOptions<'a>,
    /// What stood where first, by what it sets.
    seen: BTreeMap<String, Seen>,
}

impl Reader<'_> {
    fn error(
        &self,
        kind: SpecErrorKind,
        place: Range<usize>,
        reason: impl fmt::Display,
    ) -> SpecError {
        SpecError::new(kind, self.spec, place, reason)
    }

    fn head(
        &mut self,
        head_at: usize,
        tail_at: usize,
        is_url: bool,
    ) -> Result<ConnectionSpec, SpecError> {
        let head = self.spec.get(head_at..tail_at).unwrap_or_default();
        let head = match head.strip_suffix('/') {
            Some(host) if is_url && tail_at == self.spec.len() => host,
            _ => head,
        };
        let (user, host) = parse_head(head).map_err(|(place, reason)| {
            self.error(
                Malformed,
                head_at + place.start..head_at + place.end,
                reason,
            )
        })?;
        if let Some(user) = &user {
            let place = head_at..head_at + user.len();
            if is_url && user.contains('%') {
                let reason = "percent-encoding is not decoded: write the user's name with the character itself";
                return Err(self.error(Malformed, place, reason));
            }
            let option = OPTIONS.iter().find(|option| option.sets == Sets::User);
            if let Some(option) = option {
                let seen = Seen {
                    name: option.name.to_string(),
                    place,
                    option: Some(option),
                };
                self.seen.insert(slot(Some(option), option.name), seen);
            }
        }
        Ok(ConnectionSpec {
            user,
            ..ConnectionSpec::for_host(host)
        })
    }

    fn port(&mut self, parsed: &mut ConnectionSpec, item: &Item) -> Result<(), SpecError> {
        let place = item.place.clone();
        let port = parse_port(&item.text)
            .map_err(|reason| self.error(Malformed, place.clone(), reason))?;
        parsed.port = Some(port);
        let seen = Seen {
            name: "port".to_string(),
            place,
            option: None,
        };
        self.seen.insert(PORT.to_string(), seen);
        Ok(())
    }

    fn option(
        &mut self,
        parsed: &mut ConnectionSpec,
        item: &Item,
        is_number: bool,
    ) -> Result<(), SpecError> {
        let Some((name, value)) = item.name_and_value() else {
            let reason = no_equals_sign(self.spec, item, is_number);
            return Err(self.error(Malformed, item.place.clone(), reason));
        };
        let known = options::find(name);
        let is_custom = !known.is_some_and(SpecOption::is_original)
            && match self.settings.custom {
                CustomOptions::None => false,
                CustomOptions::Names(names) => names.contains(&name),
                CustomOptions::Any => !name.is_empty(),
            };
        let option = known.filter(|_| !is_custom);
        if option.is_none() && !is_custom {
            return Err(self.error(Unknown, item.name_place(), suggestion::unknown(name)));
        }
        let seen = Seen {
            name: name.to_string(),
            place: item.name_place(),
            option,
        };
        if self.seen.insert(slot(option, name), seen).is_some() {
            let reason = match option.map(|option| option.sets) {
                Some(Sets::Key) => {
                    "the key is given twice (kf, keyfile and key are one option)".to_string()
                }
                Some(Sets::User) => "the user is given twice".to_string(),
                Some(Sets::Steps | Sets::Own) | None => format!("option {name:?} is given twice"),
            };
            return Err(self.error(Duplicate, item.place.clone(), reason));
        }
        let Some(option) = option else {
            parsed.custom.insert(name.to_string(), value.to_string());
            return Ok(());
        };
        if value.is_empty() && !option.may_be_empty() {
            return Err(self.error(Malformed, item.place.clone(), no_value(name)));
        }
        option
            .read(parsed, OsStr::new(value))
            .map_err(|reason| self.error(Malformed, item.value_place(), reason))
    }

    /// Refuses the options that the chosen transport could only ignore (CS-25).
    fn check_transport(&self, parsed: &ConnectionSpec) -> Result<(), SpecError> {
        let transport = parsed.transport();
        for (
            slot,
            Seen {
                name,
                place,
                option,
            },
        ) in &self.seen
        {
            let reason = match option {
                Some(option) => option.conflict(name, &transport),
                None if slot == PORT && transport == Transport::Local => {
                    Some(options::no_meaning_for_local(name))
                }
                None => None,
            };
            if let Some(reason) = reason {
                return Err(self.error(Conflict, place.clone(), reason));
            }
        }
        Ok(())
    }
}

/// What a spec may set once: what the option sets, which others may set too, or the program's own option of that name.
fn slot(option: Option<&SpecOption>, name: &str) -> String {
    match option.map(|option| option.sets) {
        Some(Sets::Key) => ":key".to_string(),
        Some(Sets::User) => ":user".to_string(),
        Some(Sets::Steps | Sets::Own) | None => name.to_string(),
    }
}

fn no_equals_sign(spec: &str, item: &Item, is_number: bool) -> String {
    let text = item.text.as_str();
    let scheme = spec.split_once("://").map_or("", |(scheme, _)| scheme);
    if let Some(option) = options::find(text).map(|option| option.name) {
        return format!("option {text:?} has no value: it is written {option}=VALUE");
    }
    if text.starts_with("//") && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return format!(
            "{scheme}:// is not understood; only {URL_SCHEME} may stand in front of a host"
        );
    }
    let reason = if is_number {
        "a port follows the host directly"
    } else if text.starts_with('/') || text.starts_with('~') || text.starts_with('.') {
        "a path has no place in a connection spec; files are copied by `easycluster copy HOST -- FILE :PATH`"
    } else if text.contains('@') {
        "neither a port nor an option; a password has no place in a connection spec, use a key or an agent"
    } else {
        "neither a port nor an option: an option is written name=value, and a colon inside a value is written \\:"
    };
    reason.to_owned()
}
