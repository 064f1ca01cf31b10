//! Configuration values of every kind: switches, numbers, times, ports, jump hosts. Errors are sentences with the keyword in them.

use crate::spec::{Host, JumpHost};
use crate::transport::ssh::config::keywords::Collected;

pub(crate) fn unsupported(keyword: &str, value: &str) -> String {
    format!("{keyword} does not take the value '{value}'")
}

pub(crate) fn text(collected: &Collected, name: &str) -> Option<String> {
    collected.first(name).map(str::to_owned)
}

pub(crate) fn lower(collected: &Collected, name: &str) -> Option<String> {
    collected.first(name).map(str::to_lowercase)
}

pub(crate) fn flag(collected: &Collected, name: &str, default: bool) -> Result<bool, String> {
    match lower(collected, name).as_deref() {
        None => Ok(default),
        Some("yes" | "true") => Ok(true),
        Some("no" | "false") => Ok(false),
        Some(other) => Err(unsupported(name, other)),
    }
}

pub(crate) fn number(collected: &Collected, name: &str, default: u32) -> Result<u32, String> {
    match collected.first(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| unsupported(name, text)),
    }
}

pub(crate) fn parse_port(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        // The one service that such a line names.
        Err(_) if text == "ssh" => Ok(22),
        _ => Err(unsupported("Port", text)),
    }
}

/// Seconds, or numbers with the units s, m, h, d, w, as in `1h30m`.
pub(crate) fn parse_time(keyword: &str, text: &str) -> Result<u64, String> {
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

/// Bytes, with the units K, M, G, T, P and E.
pub(crate) fn parse_size(keyword: &str, text: &str) -> Result<u64, String> {
    let bad = || unsupported(keyword, text);
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        "p" => 1 << 50,
        "e" => 1_u64 << 60,
        _ => return Err(bad()),
    };
    let count: u64 = digits.parse().map_err(|_| bad())?;
    count.checked_mul(factor).ok_or_else(bad)
}

/// `[user@]host[:port]` or `ssh://[user@]host[:port]`, with brackets around IPv6 addresses.
pub(crate) fn parse_jump(text: &str) -> Result<JumpHost, String> {
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
        host: Host::from_plain(host),
        port: port.map(parse_port).transpose().map_err(|_| bad())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jump_hosts_are_read_in_every_form() {
        let hop = |user: Option<&str>, host: &str, port| JumpHost {
            user: user.map(str::to_owned),
            host: Host::from_plain(host),
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
    fn sizes_are_bytes_or_carry_units() {
        assert_eq!(parse_size("X", "90"), Ok(90));
        assert_eq!(parse_size("X", "512K"), Ok(512 << 10));
        assert_eq!(parse_size("X", "1g"), Ok(1 << 30));
        for bad in ["", "K", "1KK", "1Z", "99999999999999999999"] {
            assert!(parse_size("X", bad).is_err(), "{bad}");
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
