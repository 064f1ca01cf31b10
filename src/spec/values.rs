//! What the values of options may be: switches, words, times, counts, names, hosts; and the text of each kind again.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::spec::head::parse_jump_host;
use crate::spec::types::listed;
use crate::spec::{
    ConfigChoice, HostKeyPolicy, JumpHost, MAX_AHEAD, MAX_RESULT, MAX_TIMEOUT, SshChoice,
};

/// An option's value, by its kind: what the canonical text and Python's parameters are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OptionValue {
    /// Yes or no.
    Switch(bool),
    /// As typed.
    Text(String),
    /// A file, its leading `~/` not yet expanded.
    Path(PathBuf),
    /// A program to run.
    Program(PathBuf),
    /// Words that a shell splits.
    Words(Vec<String>),
    /// Names with commas between them.
    Names(Vec<String>),
    /// A time.
    Seconds(Duration),
    /// A number.
    Count(usize),
    /// A number of bytes.
    Size(u64),
}

/// As a spec writes it.
impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionValue::Switch(value) => f.write_str(if *value { "yes" } else { "no" }),
            OptionValue::Text(text) => f.write_str(text),
            OptionValue::Path(path) | OptionValue::Program(path) => write!(f, "{}", path.display()),
            // Joining fails only on a NUL, which no spec holds.
            OptionValue::Words(words) => {
                f.write_str(&shlex::try_join(words.iter().map(String::as_str)).unwrap_or_default())
            }
            OptionValue::Names(names) => f.write_str(&listed(names)),
            OptionValue::Seconds(time) => {
                let text = format!("{}.{:09}", time.as_secs(), time.subsec_nanos());
                f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
            }
            OptionValue::Count(count) => write!(f, "{count}"),
            OptionValue::Size(bytes) => {
                let unit = UNITS
                    .iter()
                    .rev()
                    .find(|(_, size)| bytes.is_multiple_of(*size));
                match unit {
                    Some((letter, size)) => write!(f, "{}{letter}", bytes / size),
                    None => write!(f, "{bytes}"),
                }
            }
        }
    }
}

fn one_of(value: &str, words: &str) -> String {
    format!("{value:?} is not one of {words}")
}

fn yes_or_no(value: &str) -> Option<bool> {
    match value {
        "1" | "yes" | "on" | "true" => Some(true),
        "0" | "no" | "off" | "false" => Some(false),
        _ => None,
    }
}

pub(super) fn switch(value: &str) -> Result<bool, String> {
    yes_or_no(value).ok_or_else(|| one_of(value, "1, yes, on, true, 0, no, off, false"))
}

pub(super) fn ssh(value: &OsStr) -> SshChoice {
    match value.to_str().and_then(yes_or_no) {
        Some(true) => SshChoice::Yes,
        Some(false) => SshChoice::No,
        None => SshChoice::Program(PathBuf::from(value)),
    }
}

/// Splits into words as a POSIX shell does, but knows no comments: `#` is a character like any other.
pub(super) fn words(value: &str) -> Result<Vec<String>, String> {
    // The splitter takes `#` for a comment. It gets another character in its place, one that the value does not have.
    let stand_in = ('\u{e000}'..='\u{f8ff}').find(|character| !value.contains(*character));
    let words = stand_in.and_then(|stand_in| {
        let words = shlex::split(&value.replace('#', stand_in.encode_utf8(&mut [0; 4])))?;
        let restored = words.into_iter().map(|word| word.replace(stand_in, "#"));
        Some(restored.collect())
    });
    words.ok_or_else(|| "a quote is not closed".to_string())
}

/// Seconds, with at most nine digits after the point; more than 0.
pub(super) fn timeout(value: &str) -> Result<Duration, String> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let time = (digits(whole) && digits(fraction) && fraction.len() <= 9)
        .then(|| {
            let nanoseconds = format!("{fraction:0<9}").parse().ok()?;
            Some(Duration::new(whole.parse().ok()?, nanoseconds))
        })
        .flatten();
    time.filter(|time| !time.is_zero() && *time <= Duration::from_secs(MAX_TIMEOUT))
        .ok_or_else(|| {
            format!("{value:?} is not a valid time limit: seconds, more than 0 and at most {MAX_TIMEOUT}")
        })
}

/// The letters behind a number of bytes.
const UNITS: [(char, u64); 4] = [
    ('K', 1 << 10),
    ('M', 1 << 20),
    ('G', 1 << 30),
    ('T', 1 << 40),
];

/// A number of bytes, with a unit or without (CS-33).
pub(super) fn size(value: &str) -> Result<u64, String> {
    let unit = UNITS
        .iter()
        .find_map(|(letter, size)| Some((value.strip_suffix(*letter)?, *size)));
    let (digits, unit) = unit.unwrap_or((value, 1));
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain
        .then(|| digits.parse::<u64>().ok()?.checked_mul(unit))
        .flatten()
        .filter(|bytes| (1..=MAX_RESULT).contains(bytes))
        .ok_or_else(|| {
            format!("{value:?} is not a number of bytes from 1 to 1T, such as 500M (K, M, G and T stand for powers of 1024)")
        })
}

/// How many interpreters are started ahead of need.
pub(super) fn ahead(value: &str) -> Result<usize, String> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| value.parse().ok())
        .flatten()
        .filter(|count| *count <= MAX_AHEAD)
        .ok_or_else(|| format!("{value:?} is not a number from 0 to {MAX_AHEAD}"))
}

pub(super) fn config(value: &OsStr) -> ConfigChoice {
    if value == "none" {
        ConfigChoice::None
    } else {
        ConfigChoice::File(PathBuf::from(value))
    }
}

/// A word, or fingerprints with commas between them (CS-19, CS-30).
pub(super) fn hostkey(value: &str) -> Result<HostKeyPolicy, String> {
    let words = [
        HostKeyPolicy::Ask,
        HostKeyPolicy::Refuse,
        HostKeyPolicy::AcceptNew,
        HostKeyPolicy::Off,
    ];
    if let Some(policy) = words.into_iter().find(|policy| policy.to_string() == value) {
        return Ok(policy);
    }
    let pins: Result<Vec<_>, String> = value.split(',').map(str::parse).collect();
    match pins {
        Ok(pins) => Ok(HostKeyPolicy::Pinned(pins)),
        Err(reason) if value.contains(crate::spec::types::FINGERPRINT_HASH) => Err(reason),
        Err(_) => Err(one_of(
            value,
            "ask, refuse, accept-new, off, and not a fingerprint such as SHA256:...",
        )),
    }
}

/// `none`, or `[user@]host[:port]` with commas between (CS-21).
pub(super) fn jump(value: &str) -> Result<Vec<JumpHost>, String> {
    if value == "none" {
        return Ok(Vec::new());
    }
    value.split(',').map(parse_jump_host).collect()
}

pub(super) fn show_jump(hosts: &[JumpHost]) -> String {
    if hosts.is_empty() {
        return "none".to_string();
    }
    listed(hosts)
}

/// Dotted names of Python, with commas between: letters, digits, `_`, and a final `.*` for a whole module (CS-22).
pub(super) fn allow(value: &str) -> Result<Vec<String>, String> {
    if value == "*" {
        return Err(
            "a spec cannot trust a server wholly; in Python, allow='*' beside the spec does"
                .to_owned(),
        );
    }
    names(value, ".*", "decimal.Decimal,numpy.*")
}

pub(super) fn forward(value: &str) -> Result<Vec<String>, String> {
    names(value, "!", "mypkg,tool")
}

/// Dotted names, each perhaps with the ending behind it.
fn names(value: &str, ending: &str, such_as: &str) -> Result<Vec<String>, String> {
    let is_identifier = |part: &str| {
        let mut characters = part.chars();
        characters
            .next()
            .is_some_and(|first| first.is_alphabetic() || first == '_')
            && characters.all(|character| character.is_alphanumeric() || character == '_')
    };
    let is_name = |name: &str| {
        name.strip_suffix(ending)
            .unwrap_or(name)
            .split('.')
            .all(is_identifier)
    };
    let names: Option<Vec<String>> = value
        .split(',')
        .map(|name| is_name(name).then(|| name.to_string()))
        .collect();
    names.ok_or_else(|| format!("{value:?} is not a list of Python names such as {such_as}"))
}
