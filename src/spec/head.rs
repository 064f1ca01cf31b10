//! The head of a spec: user, host and port, and where the head ends.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use crate::spec::{Host, JumpHost};

/// What stands in front of a spec that is written as a URL (CS-31).
pub(super) const URL_SCHEME: &str = "ssh://";

/// Where the head (user and host) ends: at the first colon outside brackets.
pub(super) fn head_end(spec: &str) -> usize {
    let mut inside = false;
    for (at, character) in spec.char_indices() {
        match character {
            '[' => inside = true,
            ']' => inside = false,
            ':' if !inside => return at,
            _ => {}
        }
    }
    // A bracket that is never closed: the colons after it count, so that the options behind it are still hidden.
    if inside {
        spec.find(':').unwrap_or(spec.len())
    } else {
        spec.len()
    }
}

/// Digits only, 1 to 65535 (CS-4).
pub(super) fn parse_port(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .filter(|port| *port != 0)
        .ok_or_else(|| format!("{text:?} is not a valid port: a port is a number from 1 to 65535"))
}

/// Lists and ranges are for those that expand them first.
const SEVERAL: &str = "this is not one host: a list or a range is made into specs by `easycluster hosts`, and by hosts() of the Python package";

type HeadError = (Range<usize>, String);

/// `[user@]host`; an error's place is in bytes of `head`.
pub(super) fn parse_head(head: &str) -> Result<(Option<String>, Host), HeadError> {
    let bracket = head.find('[');
    // The last `@`, so that user@realm@host works; but one in an address's zone does not end a user.
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

/// `[user@]host[:port]`, as `jump` lists them (CS-21).
pub(super) fn parse_jump_host(text: &str) -> Result<JumpHost, String> {
    let (head, tail) = text.split_at_checked(head_end(text)).unwrap_or((text, ""));
    let (user, host) = parse_head(head).map_err(|(_, reason)| reason)?;
    let port = tail.strip_prefix(':').map(parse_port).transpose()?;
    Ok(JumpHost { user, host, port })
}

/// A user name is passed to programs, so it does not look like an option (CS-3).
pub(super) fn parse_user(user: &str) -> Result<String, String> {
    if user.is_empty() {
        return Err("the user name is empty".to_string());
    }
    if user.starts_with('-')
        || user.chars().any(|character| {
            character.is_whitespace() || "'\"`$;&|<>(){}[]*?!#,/=:".contains(character)
        })
    {
        return Err(if user.contains([',', '[']) {
            SEVERAL.to_string()
        } else {
            "this is not a valid user name".to_string()
        });
    }
    Ok(user.to_string())
}

// The reasons below do not repeat the text: the place is marked, and what a mistyped bracket swallowed may be a key.

/// A name, an IPv4 address, or an IPv6 address in brackets (CS-2).
pub(super) fn parse_host(host: &str) -> Result<Host, String> {
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
            "the host is empty; for this machine without a network, write :local".to_string(),
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
        return Err("this is not a valid IPv4 address".to_string());
    }
    let allowed = |character: char| character.is_alphanumeric() || "._-%+~".contains(character);
    if host.starts_with('-') || !host.chars().all(allowed) {
        return Err(match host {
            host if host.contains([',', '[']) => SEVERAL.to_string(),
            host if host.contains('/') => {
                "this is not a valid host name, and a path has no place in a connection spec"
                    .to_string()
            }
            _ => "this is not a valid host name".to_string(),
        });
    }
    Ok(Host::Name(host.to_string()))
}

/// An address without its brackets, with or without a zone.
pub(super) fn parse_ipv6(text: &str) -> Result<Host, String> {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let parsed: Ipv6Addr = address
        .parse()
        .map_err(|_| "this is not a valid IPv6 address, and only those are written in brackets")?;
    let good_zone = |zone: &str| {
        !zone.is_empty()
            && zone
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || "._-".contains(character))
    };
    match zone {
        Some(zone) if !good_zone(zone) => Err(
            "this is not a valid zone: the name or number of a network interface follows the %"
                .to_string(),
        ),
        zone => Ok(Host::V6(parsed, zone.map(str::to_string))),
    }
}

/// Where a whole IPv6 address stands without its brackets, with options behind it or not. Cut at colons it could even pass for a host
/// and a port.
pub(super) fn bare_ipv6(spec: &str) -> Option<Range<usize>> {
    let head = before_options(spec);
    let start = head.rfind('@').map_or(0, |at| at + 1);
    let address = head.get(start..)?;
    address
        .split_once('%')
        .map_or(address, |(address, _)| address)
        .parse::<Ipv6Addr>()
        .is_ok()
        .then_some(start..head.len())
}

/// What stands before the first `:NAME=`.
fn before_options(spec: &str) -> &str {
    let begins = |at: &usize| {
        let behind = spec.get(at + 1..).unwrap_or_default();
        let name = behind.split_once('=').map_or("", |(name, _)| name);
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let at = spec.match_indices(':').map(|(at, _)| at).find(begins);
    at.and_then(|at| spec.get(..at)).unwrap_or(spec)
}
