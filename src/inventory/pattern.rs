//! Patterns, which choose hosts of an inventory as Ansible does: `web:&prod:!web03`, globs, `~regex`, `group[0:3]`; and ranges.

use std::collections::HashSet;

use regex_lite::Regex;

use super::InventoryError;
use super::groups::{ALL, Groups};
use super::ranges::expand;
use crate::spec::nearest;

/// The hosts that these patterns together choose, in the order in which the inventory has them within each pattern.
///
/// # Errors
/// A name that is neither a group nor a host, a pattern that matches nothing, and patterns that leave nothing.
pub(super) fn select(groups: &Groups, patterns: &[&str]) -> Result<Vec<usize>, InventoryError> {
    let words: Vec<&str> = patterns.iter().flat_map(|pattern| split(pattern)).collect();
    let kind = |start: char| {
        let words = words.iter().copied();
        words
            .filter_map(move |word| word.strip_prefix(start))
            .collect::<Vec<&str>>()
    };
    let (all_of, none_of) = (kind('&'), kind('!'));
    let mut some_of: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| !word.starts_with(['&', '!']))
        .collect();
    if some_of.is_empty() {
        if words.is_empty() {
            return Err(InventoryError::new("no pattern is given")
                .with_hint("`all` means every host of the inventory"));
        }
        some_of.push(ALL);
    }
    let mut chosen: Vec<usize> = Vec::new();
    let mut there: HashSet<usize> = HashSet::new();
    for word in some_of {
        let found = matching(groups, word)?;
        if found.is_empty() {
            return Err(nothing(groups, word));
        }
        chosen.extend(found.into_iter().filter(|host| there.insert(*host)));
    }
    for word in all_of {
        let found: HashSet<usize> = matching(groups, word)?.into_iter().collect();
        chosen.retain(|host| found.contains(host));
    }
    for word in none_of {
        let found: HashSet<usize> = matching(groups, word)?.into_iter().collect();
        chosen.retain(|host| !found.contains(host));
    }
    if chosen.is_empty() {
        return Err(nothing(groups, &patterns.join(" ")));
    }
    Ok(chosen)
}

fn nothing(groups: &Groups, pattern: &str) -> InventoryError {
    if groups.given {
        return InventoryError::new(format!("no host that is given matches {pattern:?}"));
    }
    if groups.hosts.is_empty() {
        return InventoryError::new("the inventory names no host").with_hint(
            "a host stands in a line of its own; a program prints groups with their hosts as JSON",
        );
    }
    InventoryError::new(format!("no host of the inventory matches {pattern:?}"))
        .with_hint("`easycluster hosts -I FILE all` lists the hosts")
}

/// The parts of a pattern: between commas, else between colons, none of them in brackets. An address or `host:port` is one.
pub(super) fn split(pattern: &str) -> Vec<&str> {
    let separator = if outside_brackets(pattern, ',').next().is_some() {
        ','
    } else if is_host(pattern) {
        return vec![pattern.trim()];
    } else {
        ':'
    };
    let mut parts = Vec::new();
    let mut start = 0;
    for at in outside_brackets(pattern, separator) {
        parts.push(pattern.get(start..at).unwrap_or_default());
        start = at + 1;
    }
    parts.push(pattern.get(start..).unwrap_or_default());
    let parts = parts.into_iter().map(str::trim);
    parts.filter(|part| !part.is_empty()).collect()
}

fn outside_brackets(text: &str, wanted: char) -> impl Iterator<Item = usize> {
    let mut inside = false;
    text.char_indices().filter_map(move |(at, letter)| {
        match letter {
            '[' => inside = true,
            ']' => inside = false,
            _ => {}
        }
        (letter == wanted && !inside).then_some(at)
    })
}

/// Whether this is the name of one host, with colons in it: an IPv6 address, or a port behind a name.
fn is_host(pattern: &str) -> bool {
    if pattern.parse::<std::net::Ipv6Addr>().is_ok() {
        return true;
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    pattern
        .rsplit_once(':')
        .is_some_and(|(host, port)| digits(port) && outside_brackets(host, ':').next().is_none())
}

/// The hosts that one part means, without its `&` or `!`.
fn matching(groups: &Groups, word: &str) -> Result<Vec<usize>, InventoryError> {
    if let Some(host) = groups.find_host(word) {
        return Ok(vec![host]);
    }
    if let Some(name) = word.strip_prefix('@') {
        return match groups.find_group(name) {
            Some(group) => Ok(groups.hosts_of(&[group])),
            None => Err(unknown(groups, name, "group")),
        };
    }
    if word.starts_with('~') {
        return by_expression(groups, word);
    }
    // `web[01-20]` names hosts also where there is a group `web`, which Ansible takes some of.
    if word.contains('-')
        && let Some(hosts) = in_range(groups, word)?
    {
        return Ok(hosts);
    }
    if let Some((base, subscript)) = subscripted(word) {
        let hosts = by_expression(groups, base)?;
        if !hosts.is_empty() {
            return subscript.of(&hosts).ok_or_else(|| {
                InventoryError::new(format!("{word:?}: there are only {} hosts", hosts.len()))
            });
        }
    }
    let found = by_expression(groups, word)?;
    if !found.is_empty() {
        return Ok(found);
    }
    // Ansible has no ranges here, but knows no other meaning either.
    if let Some(hosts) = in_range(groups, word)? {
        return Ok(hosts);
    }
    if word.contains(['*', '?', '[']) || groups.find_group(word).is_some() || word == ALL {
        return Ok(Vec::new());
    }
    Err(unknown(groups, word, "host or group"))
}

/// The hosts of a range, if the inventory has any of them; then it must have all.
fn in_range(groups: &Groups, word: &str) -> Result<Option<Vec<usize>>, InventoryError> {
    let Some(names) = word.contains('[').then(|| expand(word).ok()).flatten() else {
        return Ok(None);
    };
    let hosts: Vec<Option<usize>> = names.iter().map(|name| groups.find_host(name)).collect();
    if hosts.iter().all(Option::is_none) {
        return Ok(None);
    }
    match names.iter().zip(&hosts).find(|(_, host)| host.is_none()) {
        Some((name, _)) => Err(unknown(groups, name, "host")),
        None => Ok(Some(hosts.into_iter().flatten().collect())),
    }
}

/// A name that there is not; the one that is probably meant.
fn unknown(groups: &Groups, name: &str, what: &str) -> InventoryError {
    let error = InventoryError::new(if groups.given {
        format!("no {what} {name:?} is among those given")
    } else {
        format!("the inventory has no {what} {name:?}")
    });
    let names = groups.groups.iter().map(|group| group.name.as_str());
    let names = names.chain(groups.hosts.iter().map(|host| host.name.as_str()));
    // Comparing is slow where there are very many.
    match nearest(name, names.take(10_000)) {
        Some(known) => error.with_hint(format!("did you mean {known:?}?")),
        None if groups.given => error.with_hint(match what {
            "group" => "groups are those of the file of hosts",
            _ => "only hosts that are given can be left out",
        }),
        None if name.contains('@') => error.with_hint(
            "with an inventory, hosts are patterns of it; -l USER names the user",
        ),
        None => error.with_hint(
            "with an inventory, hosts are patterns of it; `easycluster hosts -I FILE all` lists them",
        ),
    }
}

/// Hosts of the groups whose names match; and hosts whose own names do, if no group does or this is no plain word.
fn by_expression(groups: &Groups, word: &str) -> Result<Vec<usize>, InventoryError> {
    let name = Expression::new(word)?;
    let matching: Vec<usize> = (0..groups.groups.len())
        .filter(|number| {
            groups
                .groups
                .get(*number)
                .is_some_and(|group| name.matches(&group.name))
        })
        .collect();
    let mut found = groups.hosts_of(&matching);
    let mut there: HashSet<usize> = found.iter().copied().collect();
    if matching.is_empty() || word.starts_with('~') || word.contains(['.', '?', '*', '[']) {
        let hosts = groups.hosts.iter().enumerate();
        let hosts = hosts.filter(|(_, host)| {
            name.matches(&host.name) || host.aliases.iter().any(|alias| name.matches(alias))
        });
        found.extend(
            hosts
                .map(|(number, _)| number)
                .filter(|host| there.insert(*host)),
        );
    }
    Ok(found)
}

/// A name, or what matches names.
enum Expression<'a> {
    Name(&'a str),
    Matching(Regex),
}

impl<'a> Expression<'a> {
    fn new(word: &'a str) -> Result<Self, InventoryError> {
        let regex = match word.strip_prefix('~') {
            Some(regex) => format!("^(?:{regex})"),
            None if word.contains(['*', '?', '[']) => from_glob(word),
            None => return Ok(Expression::Name(word)),
        };
        let wrong = |error: regex_lite::Error| {
            InventoryError::new(format!("{word:?} is not a regular expression: {error}"))
                .with_hint("look-around and back references are not known")
        };
        Regex::new(&regex).map(Expression::Matching).map_err(wrong)
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Expression::Name(word) => *word == name,
            Expression::Matching(regex) => regex.is_match(name),
        }
    }
}

/// A glob as Python's `fnmatch` reads it, as a regular expression.
fn from_glob(glob: &str) -> String {
    let mut out = String::from("^(?s:");
    let mut rest = glob;
    while let Some(letter) = rest.chars().next() {
        rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        match letter {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => {
                let negated = rest.strip_prefix('!');
                let body = negated.unwrap_or(rest);
                // A bracket that comes first stands for itself.
                let skip = usize::from(body.starts_with(']'));
                let end = body.get(skip..).and_then(|text| text.find(']'));
                match end {
                    None => out.push_str("\\["),
                    Some(end) => {
                        let end = end + skip;
                        class(
                            body.get(..end).unwrap_or_default(),
                            negated.is_some(),
                            &mut out,
                        );
                        rest = body.get(end + 1..).unwrap_or_default();
                    }
                }
            }
            other => out.push_str(&regex_lite::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    out + ")$"
}

/// A class of letters; an empty range in it, such as `z-a`, is nothing.
fn class(body: &str, negated: bool, out: &mut String) {
    let letters: Vec<char> = body.chars().collect();
    let mut members = String::new();
    let mut push = |letter: char| {
        if letter.is_ascii_punctuation() {
            members.push('\\');
        }
        members.push(letter);
    };
    let mut at = 0;
    let mut ranges: Vec<(char, char)> = Vec::new();
    while let Some(first) = letters.get(at) {
        match (letters.get(at + 1), letters.get(at + 2)) {
            (Some('-'), Some(last)) => {
                ranges.push((*first, *last));
                at += 3;
            }
            _ => {
                push(*first);
                at += 1;
            }
        }
    }
    for (first, last) in ranges.into_iter().filter(|(first, last)| first <= last) {
        let escaped = |letter: char| match letter.is_ascii_punctuation() {
            true => format!("\\{letter}"),
            false => letter.to_string(),
        };
        members.push_str(&format!("{}-{}", escaped(first), escaped(last)));
    }
    match (members.is_empty(), negated) {
        // Nothing matches nothing, and all but nothing is anything.
        (true, false) => out.push_str("[^\\s\\S]"),
        (true, true) => out.push('.'),
        (false, false) => out.push_str(&format!("[{members}]")),
        (false, true) => out.push_str(&format!("[^{members}]")),
    }
}

/// Which of several hosts: one by its number, from the end where that is negative, or those from one to another.
struct Subscript {
    first: i64,
    last: Option<i64>,
}

impl Subscript {
    fn of(&self, hosts: &[usize]) -> Option<Vec<usize>> {
        let count = i64::try_from(hosts.len()).ok()?;
        let first = if self.first < 0 {
            self.first + count
        } else {
            self.first
        };
        match self.last {
            None => Some(vec![*hosts.get(usize::try_from(first).ok()?)?]),
            Some(last) => {
                let last = if last == -1 { count - 1 } else { last };
                let end = usize::try_from(last.min(count - 1) + 1).ok()?;
                Some(
                    hosts
                        .get(usize::try_from(first).ok()?..end)
                        .unwrap_or_default()
                        .to_vec(),
                )
            }
        }
    }
}

/// `base[3]`, `base[-1]`, `base[0:3]`, `base[2:]`.
fn subscripted(word: &str) -> Option<(&str, Subscript)> {
    let (base, inside) = word.strip_suffix(']')?.rsplit_once('[')?;
    if base.is_empty() {
        return None;
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |text: &str| text.parse::<i64>().ok().filter(|_| !text.starts_with('+'));
    let subscript = match inside
        .split_once([':', '-'])
        .filter(|(first, _)| !first.is_empty())
    {
        Some((first, "")) if digits(first) => Subscript {
            first: number(first)?,
            last: Some(-1),
        },
        Some((first, last)) if digits(first) && digits(last) => {
            let (first, last) = (number(first)?, number(last)?);
            // As Ansible has it: `[3:0]` is the one of number 3.
            Subscript {
                first,
                last: (last != 0).then_some(last),
            }
        }
        Some(_) => return None,
        None => Subscript {
            first: number(inside)?,
            last: None,
        },
    };
    Some((base, subscript))
}
