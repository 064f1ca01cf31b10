//! The options of a spec: their names, and what each value may be.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::spec::parse::{parse_head, parse_port};
use crate::spec::{ConfigChoice, HostKeyPolicy, JumpHost, MAX_AHEAD, MAX_TIMEOUT, SshChoice};

/// The options of the manual. A program's own options never take these names.
pub(super) const ORIGINAL: [&str; 8] = [
    "kf", "keyfile", "key", "compress", "ssh", "user", "extra", "rpython",
];

/// The options added since.
pub(super) const ADDED: [&str; 10] = [
    "timeout",
    "identity",
    "known_hosts",
    "config",
    "hostkey",
    "batch",
    "jump",
    "allow",
    "name",
    "ahead",
];

/// Those that only SSH has a use for.
pub(super) const SSH_ONLY: [&str; 7] = [
    "identity",
    "known_hosts",
    "config",
    "hostkey",
    "batch",
    "jump",
    "ahead",
];

/// Those that make sense for a child process of this machine.
pub(super) const LOCAL: [&str; 5] = ["compress", "rpython", "timeout", "allow", "name"];

/// What [`crate::spec::canonical`] writes in place of a key; refused when it comes back.
pub(super) const HIDDEN_KEY: &str = "(hidden)";

pub(super) fn is_known(name: &str) -> bool {
    ORIGINAL.contains(&name) || ADDED.contains(&name)
}

/// The name under which an option may stand once.
pub(super) fn slot(name: &str) -> &str {
    match name {
        "kf" | "keyfile" => "key",
        other => other,
    }
}

pub(super) fn list(names: &[&str]) -> String {
    names.join(", ")
}

pub(super) fn switch(value: &str) -> Option<bool> {
    match value {
        "1" | "yes" | "on" | "true" => Some(true),
        "0" | "no" | "off" | "false" => Some(false),
        _ => None,
    }
}

pub(super) fn ssh(value: &str) -> SshChoice {
    match switch(value) {
        Some(true) => SshChoice::Yes,
        Some(false) => SshChoice::No,
        None => SshChoice::Program(PathBuf::from(value)),
    }
}

/// Splits into words as a POSIX shell does, but knows no comments: `#` is a letter like any other.
pub(super) fn words(value: &str) -> Option<Vec<String>> {
    // The splitter takes `#` for a comment. It gets another letter in its place, one that the value does not have.
    let stand_in = ('\u{e000}'..='\u{f8ff}').find(|letter| !value.contains(*letter))?;
    let words = shlex::split(&value.replace('#', stand_in.encode_utf8(&mut [0; 4])))?;
    Some(
        words
            .into_iter()
            .map(|word| word.replace(stand_in, "#"))
            .collect(),
    )
}

/// Seconds, with at most nine digits after the point; more than 0.
pub(super) fn timeout(value: &str) -> Option<Duration> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").parse().ok()?;
    let time = Duration::new(whole.parse().ok()?, nanoseconds);
    (!time.is_zero() && time <= Duration::from_secs(MAX_TIMEOUT)).then_some(time)
}

/// How many interpreters are started ahead of need.
pub(super) fn ahead(value: &str) -> Option<usize> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| value.parse().ok())
        .flatten()
        .filter(|count| *count <= MAX_AHEAD)
}

pub(super) fn config(value: &str) -> ConfigChoice {
    match value {
        "none" => ConfigChoice::None,
        path => ConfigChoice::File(PathBuf::from(path)),
    }
}

pub(super) fn hostkey(value: &str) -> Option<HostKeyPolicy> {
    [
        HostKeyPolicy::Ask,
        HostKeyPolicy::Refuse,
        HostKeyPolicy::AcceptNew,
        HostKeyPolicy::Off,
    ]
    .into_iter()
    .find(|policy| policy.as_str() == value)
}

/// `none`, or `[user@]host[:port]` with commas between.
pub(super) fn jump(value: &str) -> Result<Vec<JumpHost>, String> {
    if value == "none" {
        return Ok(Vec::new());
    }
    value.split(',').map(jump_host).collect()
}

fn jump_host(text: &str) -> Result<JumpHost, String> {
    let end = crate::spec::items::head_end(text);
    let (head, tail) = text.split_at_checked(end).unwrap_or((text, ""));
    let (user, host) = parse_head(head).map_err(|(_, reason)| format!("jump: {reason}"))?;
    let port = match tail.strip_prefix(':') {
        Some(digits) => {
            Some(parse_port(digits).ok_or_else(|| format!("jump: {}", not_a_port(digits)))?)
        }
        None => None,
    };
    Ok(JumpHost { user, host, port })
}

pub(super) fn not_a_port(text: &str) -> impl fmt::Display {
    format!("{text:?} is no port: a port is a number from 1 to 65535")
}

/// Dotted names of Python, with commas between: letters, digits, `_`, and a final `.*` for a whole module.
pub(super) fn allow(value: &str) -> Option<Vec<String>> {
    let is_identifier = |part: &str| {
        let mut letters = part.chars();
        letters
            .next()
            .is_some_and(|first| first.is_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_alphanumeric() || letter == '_')
    };
    let is_name = |name: &str| {
        name.strip_suffix(".*")
            .unwrap_or(name)
            .split('.')
            .all(is_identifier)
    };
    value
        .split(',')
        .map(|name| is_name(name).then(|| name.to_string()))
        .collect()
}
