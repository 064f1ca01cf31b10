//! Inventories of Ansible in INI form: sections of hosts, of child groups and of variables.

use std::collections::HashMap;

use super::groups::{Groups, UNGROUPED, Variable, Variables};
use super::ranges::expand_word;
use super::{InventoryError, literal};
use crate::Plain;

/// What the lines of a section are.
#[derive(Clone, Copy, PartialEq)]
enum Section {
    Hosts,
    Children,
    Variables,
}

/// Reads an inventory; `file` is what errors call it.
pub(super) fn read(text: &str, file: &str, groups: &mut Groups) -> Result<(), InventoryError> {
    let mut group = groups.group(UNGROUPED, file);
    let mut section = Section::Hosts;
    // Groups that a line needs and no section has declared: the line, and what it says.
    let mut wanted: HashMap<String, (usize, String)> = HashMap::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let place = format!("{file}, line {number}");
        let wrong = |reason: String| InventoryError::new(reason).at(place.as_str());
        if let Some((name, kind)) = header(line) {
            section = match kind {
                None | Some("hosts") => Section::Hosts,
                Some("children") => Section::Children,
                Some("vars") => Section::Variables,
                Some(other) => {
                    return Err(wrong(format!("[{name}:{other}] is not a kind of section"))
                        .with_hint("a section is [GROUP], [GROUP:children] or [GROUP:vars]"));
                }
            };
            let known = groups.find_group(name).is_some();
            if section != Section::Variables {
                wanted.remove(name);
            } else if !known {
                let what = format!("[{name}:vars], but there is no group {name}");
                wanted.entry(name.to_owned()).or_insert((number, what));
            }
            group = groups.group(name, &place);
            continue;
        }
        if line.starts_with('[') && line.ends_with(']') && !is_address(line) {
            return Err(wrong(format!("{line} is not a section")).with_hint(
                "a section is [GROUP], [GROUP:children] or [GROUP:vars], without spaces",
            ));
        }
        match section {
            Section::Hosts => host_line(line, &place, group, groups)?,
            Section::Children => {
                let name = without_comment(line);
                if name.is_empty() || name.contains([':', ']', ' ', '\t']) {
                    return Err(wrong(format!("{line:?} is not the name of a group")));
                }
                if groups.find_group(name).is_none() {
                    let what = format!("the child group {name} does not exist");
                    wanted.insert(name.to_owned(), (number, what));
                }
                let child = groups.group(name, &place);
                groups.add_child(group, child);
            }
            Section::Variables => {
                let (name, value) = line
                    .split_once('=')
                    .ok_or_else(|| wrong(format!("{line:?} is not NAME=VALUE")))?;
                let variable = Variable {
                    value: Some(literal::value(value.trim())),
                    place: place.clone(),
                };
                groups.set_of_group(group, name.trim(), variable.into());
            }
        }
    }
    // The first in the file.
    match wanted.into_values().min() {
        None => Ok(()),
        Some((number, what)) => Err(InventoryError::new(what)
            .with_hint("write its section, [GROUP], even if it is empty")
            .at_line(file, number)),
    }
}

/// `[name]` or `[name:kind]`, with a comment behind it or not.
pub(super) fn header(line: &str) -> Option<(&str, Option<&str>)> {
    let (inside, behind) = line.strip_prefix('[')?.split_once(']')?;
    let behind = behind.trim_start();
    if !behind.is_empty() && !behind.starts_with('#') {
        return None;
    }
    let (name, kind) = match inside.split_once(':') {
        Some((name, kind)) => (name, Some(kind)),
        None => (inside, None),
    };
    let word = |kind: &str| {
        kind.chars()
            .all(|letter| letter.is_alphanumeric() || letter == '_')
    };
    let good = !name.is_empty()
        && !name.contains(char::is_whitespace)
        && kind.is_none_or(|kind| !kind.is_empty() && word(kind));
    good.then_some((name, kind))
}

/// Whether a line is nothing but an IPv6 address in brackets.
fn is_address(line: &str) -> bool {
    let inside = line.trim_start_matches('[').trim_end_matches(']');
    inside.parse::<std::net::Ipv6Addr>().is_ok()
}

fn without_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

/// `name[:port] name=value ...`
fn host_line(
    line: &str,
    place: &str,
    group: usize,
    groups: &mut Groups,
) -> Result<(), InventoryError> {
    let wrong = |reason: String| InventoryError::new(reason).at(place);
    let words = words(line).map_err(|reason| wrong(reason.to_owned()))?;
    let mut words = words.into_iter();
    let Some(pattern) = words.next() else {
        return Ok(());
    };
    let mut variables = Variables::new();
    for word in words {
        let (name, value) = word.split_once('=').ok_or_else(|| {
            wrong(format!("{word:?} is not NAME=VALUE"))
                .with_hint("behind a host stand variables, such as ansible_user=deploy")
        })?;
        let variable = Variable {
            value: Some(literal::value(value)),
            place: place.to_owned(),
        };
        variables.insert(name.into(), variable.into());
    }
    add_hosts(&pattern, &variables, place, group, groups)
}

/// Adds the hosts that `name`, `name:port` or `name[01:10]` stands for.
pub(super) fn add_hosts(
    pattern: &str,
    variables: &Variables,
    place: &str,
    group: usize,
    groups: &mut Groups,
) -> Result<(), InventoryError> {
    let wrong = |reason: String| InventoryError::new(reason).at(place);
    if pattern.starts_with("---") || pattern.ends_with(':') {
        return Err(wrong(format!("{pattern:?} is not the name of a host"))
            .with_hint("is this YAML? then call the file .yml"));
    }
    let (name, port) = split_port(pattern);
    let port = match port {
        None => None,
        Some(text) => Some(
            text.parse::<u16>()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| wrong(format!("{text:?} is not a port: 1 to 65535")))?,
        ),
    };
    let mut names = Vec::new();
    if name.parse::<std::net::Ipv6Addr>().is_ok() {
        names.push(name.to_owned());
    } else {
        expand_word(name, &mut names).map_err(|error| error.at(place))?;
    }
    for name in names {
        let is_new = groups.find_host(&name).is_none();
        let number = groups.host(&name, group, place)?;
        if let Some(port) = port.filter(|_| is_new) {
            let variable = Variable {
                value: Some(Plain::Int(port.into())),
                place: place.to_owned(),
            };
            let port = Variables::from([("ansible_port".into(), variable.into())]);
            groups.set_of_host(number, &port);
        }
        groups.set_of_host(number, variables);
    }
    Ok(())
}

/// A host and the port behind it: `[::1]:22` and `web[1:3]:22` have one, `fe80::1` has none.
fn split_port(pattern: &str) -> (&str, Option<&str>) {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (host, port) = match pattern.rsplit_once(':') {
        Some((host, port)) if digits(port) && balanced(host) => (host, Some(port)),
        _ => (pattern, None),
    };
    let inside = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match inside {
        Some(address) if address.parse::<std::net::Ipv6Addr>().is_ok() => (address, port),
        _ if port.is_some() && pattern.parse::<std::net::Ipv6Addr>().is_ok() => (pattern, None),
        _ => (host, port),
    }
}

/// Whether every bracket is closed, so that a colon behind is not in one.
fn balanced(text: &str) -> bool {
    text.matches('[').count() == text.matches(']').count()
}

/// Splits a line into words as Python's `shlex` does for Ansible: quotes, backslashes, and a `#` outside of quotes, even in a word,
/// begins a comment.
fn words(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '#' => break,
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\\' => {
                let next = letters.next().ok_or("nothing follows the backslash")?;
                word.get_or_insert_default().push(next);
            }
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next().ok_or("a quote is not closed")? {
                        end if end == letter => break,
                        '\\' if letter == '"' => {
                            let next = letters.next().ok_or("a quote is not closed")?;
                            if next != '"' && next != '\\' {
                                word.push('\\');
                            }
                            word.push(next);
                        }
                        other => word.push(other),
                    }
                }
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_python_splits_them() {
        for (line, expected) in [
            ("a b='c d' e=\"f\\\"g\"", vec!["a", "b=c d", "e=f\"g"]),
            ("a x=1#2 y", vec!["a", "x=1"]),
            ("a x='#'", vec!["a", "x=#"]),
            ("a x=\\'b", vec!["a", "x='b"]),
            ("a x=\"\\n\"", vec!["a", "x=\\n"]),
            ("a ''", vec!["a", ""]),
        ] {
            assert_eq!(words(line).unwrap(), expected, "{line}");
        }
        assert!(words("a 'b").is_err() && words("a\\").is_err());
    }

    #[test]
    fn ports_stand_behind_hosts() {
        for (pattern, expected) in [
            ("web1", ("web1", None)),
            ("web1:22", ("web1", Some("22"))),
            ("web[1:3]", ("web[1:3]", None)),
            ("web[1:3]:22", ("web[1:3]", Some("22"))),
            ("[::1]:22", ("::1", Some("22"))),
            ("[::1]", ("::1", None)),
            ("fe80::1", ("fe80::1", None)),
        ] {
            assert_eq!(split_port(pattern), expected, "{pattern}");
        }
    }
}
