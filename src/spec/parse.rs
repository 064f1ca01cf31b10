//! From the text of a spec to a [`ConnectionSpec`]: head, port, then one option after the other.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::path::PathBuf;

use crate::spec::items::{Item, head_end, split};
use crate::spec::options;
use crate::spec::options::not_a_port;
use crate::spec::{
    ConnectionSpec, CustomOptions, Host, KeySource, MAX_SPEC, ParseOptions, SpecError,
    SpecErrorKind, Transport,
};

use SpecErrorKind::{Conflict, Duplicate, Malformed, Unknown};

/// How this machine is written: no host can be called so, since a host name is never empty.
const LOCAL: &str = ":local";

pub(super) fn parse(spec: &str, settings: &ParseOptions<'_>) -> Result<ConnectionSpec, SpecError> {
    if spec.len() > MAX_SPEC {
        let reason = format!("the spec is longer than {MAX_SPEC} bytes");
        // Only the host is shown: a cut somewhere in the options could leave half a key without its name.
        let host: String = spec
            .get(..head_end(spec))
            .unwrap_or_default()
            .chars()
            .take(64)
            .collect();
        return Err(SpecError::new(
            Malformed,
            &host,
            host.len()..host.len(),
            reason,
        ));
    }
    if let Some((at, letter)) = spec.char_indices().find(|(_, letter)| letter.is_control()) {
        let reason = format!(
            "control character U+{:04X} in a connection spec",
            u32::from(letter)
        );
        return Err(SpecError::new(
            Malformed,
            spec,
            at..at + letter.len_utf8(),
            reason,
        ));
    }

    if let Some(place) = bare_ipv6(spec) {
        let (user, address) = spec.split_at_checked(place.start).unwrap_or(("", spec));
        let reason = format!("an IPv6 address stands in brackets: {user}[{address}]");
        return Err(SpecError::new(Malformed, spec, place, reason));
    }

    let is_local = spec
        .strip_prefix(LOCAL)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    let (mut parsed, tail_at) = if is_local {
        (ConnectionSpec::for_host(Host::Local), LOCAL.len())
    } else {
        let end = head_end(spec);
        let head = spec.get(..end).unwrap_or(spec);
        let (user, host) = parse_head(head)
            .map_err(|(place, reason)| SpecError::new(Malformed, spec, place, reason))?;
        (
            ConnectionSpec {
                user,
                ..ConnectionSpec::for_host(host)
            },
            end,
        )
    };

    let mut reader = Reader {
        spec,
        settings,
        seen: BTreeMap::new(),
    };
    if parsed.user.is_some() {
        let user_end = spec
            .get(..tail_at)
            .and_then(|head| head.rfind('@'))
            .unwrap_or_default();
        reader.seen.insert("user".to_string(), 0..user_end);
    }
    if let Some(tail) = spec.get(tail_at + 1..) {
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
    reader.check_transport(&parsed)?;

    if parsed.host != Host::Local {
        parsed.port = parsed.port.or(settings.default_port);
        parsed.key = parsed
            .key
            .or_else(|| settings.default_key.clone().map(KeySource::Given));
    }
    parsed.compress = parsed.compress.or(settings.default_compress);
    Ok(parsed)
}

/// Where a whole IPv6 address stands without its brackets. Cut at colons it could even pass for a host and a port.
fn bare_ipv6(spec: &str) -> Option<Range<usize>> {
    let start = spec.rfind('@').map_or(0, |at| at + 1);
    spec.get(start..)?
        .parse::<Ipv6Addr>()
        .is_ok()
        .then_some(start..spec.len())
}

struct Reader<'a> {
    spec: &'a str,
    settings: &'a ParseOptions<'a>,
    /// Where each option stood first.
    seen: BTreeMap<String, Range<usize>>,
}

impl Reader<'_> {
    fn error(
        &self,
        kind: SpecErrorKind,
        place: Range<usize>,
        reason: impl std::fmt::Display,
    ) -> SpecError {
        SpecError::new(kind, self.spec, place, reason)
    }

    fn port(&mut self, parsed: &mut ConnectionSpec, item: &Item) -> Result<(), SpecError> {
        // A colon keeps it apart from a program's own option called `port`.
        self.seen.insert(":port".to_string(), item.place.clone());
        match parse_port(&item.text) {
            Some(port) => parsed.port = Some(port),
            None => return Err(self.error(Malformed, item.place.clone(), not_a_port(&item.text))),
        }
        Ok(())
    }

    fn option(
        &mut self,
        parsed: &mut ConnectionSpec,
        item: &Item,
        is_number: bool,
    ) -> Result<(), SpecError> {
        let Some((name, value)) = item.name_and_value() else {
            return Err(self.error(
                Malformed,
                item.place.clone(),
                Self::no_equals_sign(item, is_number),
            ));
        };
        let is_original = options::ORIGINAL.contains(&name);
        let is_custom = !is_original
            && match self.settings.custom {
                CustomOptions::None => false,
                CustomOptions::Names(names) => names.contains(&name),
                CustomOptions::Any => !name.is_empty(),
            };
        if !is_custom && !options::is_known(name) {
            let known = options::list(&[&options::ORIGINAL[..], &options::ADDED[..]].concat());
            let reason = format!("unknown option {name:?}; there are {known}");
            return Err(self.error(Unknown, item.name_place(), reason));
        }
        if self
            .seen
            .insert(options::slot(name).to_string(), item.name_place())
            .is_some()
        {
            let reason = match options::slot(name) {
                "key" => "the key is given twice (kf, keyfile and key say the same)".to_string(),
                "user" => "the user is given twice".to_string(),
                _ => format!("option {name:?} is given twice"),
            };
            return Err(self.error(Duplicate, item.place.clone(), reason));
        }
        if is_custom {
            parsed.custom.insert(name.to_string(), value.to_string());
            return Ok(());
        }
        if value.is_empty() && name != "extra" {
            return Err(self.error(
                Malformed,
                item.place.clone(),
                format!("option {name:?} has no value"),
            ));
        }
        set(parsed, name, value).map_err(|reason| self.error(Malformed, item.value_place(), reason))
    }

    fn no_equals_sign(item: &Item, is_number: bool) -> &'static str {
        if is_number {
            "a port stands directly behind the host"
        } else if item.text.contains('@') {
            "neither a port nor an option; a password has no place in a connection spec, use a key or an agent"
        } else {
            "neither a port nor an option: an option is written name=value, and a colon inside a value is written \\:"
        }
    }

    /// Refuses the options that the chosen transport could only ignore.
    fn check_transport(&self, parsed: &ConnectionSpec) -> Result<(), SpecError> {
        let transport = parsed.transport();
        for (name, place) in &self.seen {
            let name = name.as_str();
            if parsed.custom.contains_key(name) {
                continue;
            }
            if transport == Transport::Local && !options::LOCAL.contains(&name) {
                let what = name.trim_start_matches(':');
                let reason = format!(
                    "{what:?} has no meaning for :local; it takes {}",
                    options::list(&options::LOCAL)
                );
                return Err(self.error(Conflict, place.clone(), reason));
            }
            if transport == Transport::Tcp && options::SSH_ONLY.contains(&name) {
                let reason =
                    format!("option {name:?} is for SSH only: write user@host, or add ssh=yes");
                return Err(self.error(Conflict, place.clone(), reason));
            }
            if matches!(transport, Transport::OpenSsh(_)) && name == "ahead" {
                let reason = "option \"ahead\" has no meaning for an ssh program, which makes a connection for each client: write ssh=yes";
                return Err(self.error(Conflict, place.clone(), reason));
            }
        }
        Ok(())
    }
}

fn set(parsed: &mut ConnectionSpec, name: &str, value: &str) -> Result<(), String> {
    let one_of = |words: &str| format!("{value:?} is none of {words}");
    match name {
        "kf" | "keyfile" => parsed.key = Some(KeySource::File(PathBuf::from(value))),
        "key" if value == options::HIDDEN_KEY => {
            return Err(
                "this spec was printed with its key left out; put the key back".to_string(),
            );
        }
        "key" => parsed.key = Some(KeySource::Text(value.to_string())),
        "compress" => {
            parsed.compress = Some(
                options::switch(value)
                    .ok_or_else(|| one_of("1, yes, on, true, 0, no, off, false"))?,
            )
        }
        "batch" => {
            parsed.batch = Some(
                options::switch(value)
                    .ok_or_else(|| one_of("1, yes, on, true, 0, no, off, false"))?,
            )
        }
        "ssh" => parsed.ssh = Some(options::ssh(value)),
        "user" => parsed.user = Some(parse_user(value)?),
        "extra" => parsed.extra = options::words(value).ok_or("a quote is not closed")?,
        "rpython" => parsed.rpython = Some(value.to_string()),
        "timeout" => {
            let reason = || {
                format!(
                    "{value:?} is no time limit: seconds, more than 0 and at most {}",
                    crate::spec::MAX_TIMEOUT
                )
            };
            parsed.timeout = Some(options::timeout(value).ok_or_else(reason)?);
        }
        "identity" => parsed.identity = Some(PathBuf::from(value)),
        "known_hosts" => parsed.known_hosts = Some(PathBuf::from(value)),
        "config" => parsed.config = Some(options::config(value)),
        "hostkey" => {
            parsed.hostkey = Some(
                options::hostkey(value).ok_or_else(|| one_of("ask, refuse, accept-new, off"))?,
            )
        }
        "jump" => parsed.jump = Some(options::jump(value)?),
        "allow" => {
            let reason =
                || format!("{value:?} is no list of Python names such as decimal.Decimal,numpy.*");
            parsed.allow = options::allow(value).ok_or_else(reason)?;
        }
        "name" => parsed.name = Some(value.to_string()),
        "ahead" => {
            let reason = || {
                format!(
                    "{value:?} is no number from 0 to {}",
                    crate::spec::MAX_AHEAD
                )
            };
            parsed.ahead = Some(options::ahead(value).ok_or_else(reason)?);
        }
        other => return Err(format!("unknown option {other:?}")),
    }
    Ok(())
}

/// Digits only, 1 to 65535.
pub(super) fn parse_port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .filter(|port| *port != 0)
}

type HeadError = (Range<usize>, String);

/// `[user@]host`; an error's place is in bytes of `head`.
pub(super) fn parse_head(head: &str) -> Result<(Option<String>, Host), HeadError> {
    let bracket = head.find('[');
    // The last `@`, so that user@realm@host works; but one in an address's zone is no user's.
    let searched = bracket.and_then(|at| head.get(..at)).unwrap_or(head);
    let at_sign = searched.rfind('@');
    let host_at = at_sign.map_or(0, |at| at + 1);
    let host = head.get(host_at..).unwrap_or_default();
    let user = match at_sign {
        Some(at) => {
            Some(parse_user(head.get(..at).unwrap_or_default()).map_err(|reason| (0..at, reason))?)
        }
        None => None,
    };
    let host = parse_host(host).map_err(|reason| (host_at..head.len(), reason))?;
    Ok((user, host))
}

/// A user name is passed to programs, so it does not look like an option.
fn parse_user(user: &str) -> Result<String, String> {
    if user.is_empty() {
        return Err("the user name is empty".to_string());
    }
    if user.starts_with('-')
        || user
            .chars()
            .any(|letter| letter.is_whitespace() || "'\"`$;&|<>(){}[]*?!#,/=:".contains(letter))
    {
        return Err("this is no user name".to_string());
    }
    Ok(user.to_string())
}

// The reasons below do not repeat the text: the place is marked, and what a mistyped bracket swallowed may be a key.
fn parse_host(host: &str) -> Result<Host, String> {
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, after)) = rest.split_once(']') else {
            return Err("the bracket of the IPv6 address is not closed".to_string());
        };
        if !after.is_empty() {
            return Err("only a colon, then a port or an option, follows the bracket".to_string());
        }
        return parse_ipv6(address);
    }
    if host.is_empty() {
        return Err(
            "the host is empty; this machine without a network is written :local".to_string(),
        );
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(Host::V4(address));
    }
    let numbers = host
        .split('.')
        .filter(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        .count();
    if numbers == 4 && host.split('.').count() == 4 {
        return Err("this is no IPv4 address".to_string());
    }
    let allowed = |letter: char| letter.is_alphanumeric() || "._-%+~".contains(letter);
    if host.starts_with('-') || !host.chars().all(allowed) {
        return Err("this is no host name".to_string());
    }
    Ok(Host::Name(host.to_string()))
}

fn parse_ipv6(text: &str) -> Result<Host, String> {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let parsed: Ipv6Addr = address
        .parse()
        .map_err(|_| "this is no IPv6 address; only those stand in brackets")?;
    let good_zone = |zone: &str| {
        !zone.is_empty()
            && zone
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
    };
    match zone {
        Some(zone) if !good_zone(zone) => Err(
            "this is no zone: the name or number of a network interface follows the %".to_string(),
        ),
        zone => Ok(Host::V6(parsed, zone.map(str::to_string))),
    }
}
