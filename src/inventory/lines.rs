//! Lists of connection specs: one or more in a line, with ranges, `#` comments, `[group]` above those of a group, and
//! `@group` for those of another.

use super::InventoryError;
use super::groups::{Groups, UNGROUPED};
use super::ini::header;
use super::ranges::{expand_word, split_commas};
use super::source::without_mark;
use crate::spec::{ConnectionSpec, ParseOptions};

/// Reads a list; `file` is what errors call it.
pub(super) fn read(text: &str, file: &str, groups: &mut Groups) -> Result<(), InventoryError> {
    let mut group = groups.group(UNGROUPED, file);
    // `@group` may stand above the group.
    let mut links: Vec<(usize, &str, usize)> = Vec::new();
    for (line, number) in without_mark(text).lines().zip(1..) {
        let line = without_comment(line).trim();
        if line.is_empty() {
            continue;
        }
        if let Some((name, kind)) = header(line) {
            if kind.is_some() {
                let reason = format!("{line}: sections of children or variables are Ansible's");
                return Err(InventoryError::new(reason)
                    .with_hint("take -I for an inventory of Ansible")
                    .at_line(file, number));
            }
            group = groups.group(name, &format!("{file}, line {number}"));
            continue;
        }
        for word in split_commas(line) {
            match word.strip_prefix('@') {
                Some(name) => links.push((group, name, number)),
                None => {
                    add(word, &format!("{file}, line {number}"), group, groups)
                        .map_err(|error| with_habit(error, word))?;
                }
            }
        }
    }
    for (group, name, number) in links {
        let child = groups.find_group(name).ok_or_else(|| {
            InventoryError::new(format!("there is no group {name}"))
                .with_hint("a group begins with its name in brackets: [web]")
                .at_line(file, number)
        })?;
        groups.add_child(group, child);
    }
    Ok(())
}

/// What a line may be that holds blanks where no spec has them.
fn with_habit(error: InventoryError, word: &str) -> InventoryError {
    let mut words = word.split_whitespace();
    match (error.hint(), words.next(), words.next()) {
        (None, Some(_), Some(second)) if second.contains('=') => error
            .with_hint("the line looks like one of an inventory of Ansible, which -I FILE takes"),
        (None, Some(_), Some(_)) => {
            error.with_hint("hosts in a line of a file stand with commas between them")
        }
        _ => error,
    }
}

/// Adds the hosts of words of a command line, of which `@group` is a group of what has been read or is read later; gives the hosts,
/// and the groups by their names.
pub(super) fn add_words<'a>(
    words: &'a [String],
    groups: &mut Groups,
) -> Result<(Vec<usize>, Vec<&'a str>), InventoryError> {
    let group = groups.group(UNGROUPED, "");
    let (mut hosts, mut named) = (Vec::new(), Vec::new());
    for word in words.iter().flat_map(|word| split_commas(word)) {
        match word.strip_prefix('@') {
            Some(name) => named.push(name),
            None => hosts.extend(add(word, "", group, groups)?),
        }
    }
    Ok((hosts, named))
}

/// Adds the hosts of a spec with ranges, and gives their numbers. `place` may be empty.
fn add(
    word: &str,
    place: &str,
    group: usize,
    groups: &mut Groups,
) -> Result<Vec<usize>, InventoryError> {
    let at_place = |error: InventoryError| match place {
        "" => error,
        place => error.at(place),
    };
    let mut specs = Vec::new();
    expand_word(word, &mut specs).map_err(at_place)?;
    let mut numbers = Vec::new();
    for spec in specs {
        let parsed = parse(&spec).map_err(at_place)?;
        let mut without_user = parsed.clone();
        without_user.user = None;
        let name = without_user.label();
        // The short name, or the whole spec where another one has that.
        let taken = groups
            .find_host(&name)
            .and_then(|host| groups.hosts.get(host))
            .is_some_and(|host| host.spec.as_ref() != Some(&spec));
        let name = if taken { parsed.to_string() } else { name };
        let known = groups.find_host(&name);
        // One that is in several groups is meant to be.
        let twice = known.is_some_and(|host| {
            let ungrouped = groups.find_group(UNGROUPED);
            let places = [Some(group), ungrouped];
            ungrouped == Some(group)
                || places
                    .into_iter()
                    .flatten()
                    .any(|it| groups.is_in(it, host))
        });
        let number = groups.host(&name, group, place)?;
        if twice {
            let place = if place.is_empty() {
                String::new()
            } else {
                format!("{place}: ")
            };
            let warning = format!("{place}{name} is named more than once, and counts once");
            groups.warnings.push(warning);
        } else if known.is_none()
            && let Some(host) = groups.host_mut(number)
        {
            host.aliases = vec![parsed.host.to_plain(), parsed.label()];
            host.spec = Some(spec);
        }
        numbers.push(number);
    }
    Ok(numbers)
}

fn parse(spec: &str) -> Result<ConnectionSpec, InventoryError> {
    let options = ParseOptions {
        ssh_without_key: true,
        ..ParseOptions::default()
    };
    ConnectionSpec::parse_with(spec, &options)
        .map_err(|error| InventoryError::new(error.to_string()))
}

/// Whether a text is a list of specs and no inventory in INI form: a word in front has what only specs have.
pub(super) fn is_list(text: &str) -> bool {
    text.lines().map(without_comment).any(|line| {
        let first = line.split_whitespace().next().unwrap_or_default();
        let option = |rest: &str| {
            let name = rest.split('=').next().unwrap_or_default();
            rest.contains('=') && crate::spec::find_option(name).is_some()
        };
        !first.starts_with(';')
            && header(line.trim()).is_none()
            && (first.contains('@')
                || first == ":local"
                || first.starts_with("ssh://")
                || first.split(':').skip(1).any(option))
    })
}

/// The line without what follows a `#` at its beginning or after white space.
pub(super) fn without_comment(line: &str) -> &str {
    let begins = |(place, _): &(usize, &str)| {
        let before = line.get(..*place).unwrap_or_default();
        before.chars().next_back().is_none_or(char::is_whitespace)
    };
    match line.match_indices('#').find(begins) {
        Some((place, _)) => line.get(..place).unwrap_or_default(),
        None => line,
    }
}
