//! Options at a wrong place of the command line: before the subcommand that has them, or an inventory where a key belongs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::cli::command;
use crate::cli::other_lines::ours;
use crate::cli::other_programs::typed_as_ours;
use crate::cli::programs::habits::{command_from, line, named, with_separator};
use crate::cli::terminal::failure::Failure;
use crate::cli::terminal::ssh_options::{KEYS, check_key, is_key};

/// What was meant where the line begins with an option of `exec` and the others, which the program itself does not have or takes for
/// something else. `words` are those behind the name of this program.
pub(super) fn before_subcommand(words: &[String], program: &clap::Command) -> Option<Failure> {
    let first = words.first().filter(|word| word.starts_with('-'))?;
    let exec = program.find_subcommand("exec")?;
    takes_value(first, exec)?;
    let failure = if first == "-i" {
        Failure::usage(
            "-i without a subcommand installs the standalone server as a service, and takes no file",
        )
    } else {
        Failure::usage(format!("{first} stands behind a subcommand"))
    };
    if let Some(typed) = ours(words) {
        return Some(failure.with_hint(typed));
    }
    let (options, rest) = apart(words, exec)?;
    let is_subcommand = |word: &String| program.find_subcommand(word).is_some();
    if let Some((subcommand, behind)) = rest.split_first().filter(|(word, _)| is_subcommand(word)) {
        let words = [
            &["easycluster".to_owned(), subcommand.clone()],
            &options[..],
            behind,
        ]
        .concat();
        return Some(failure.with_hint(typed(&words)));
    }
    let of_file = options.iter().any(|word| word == "-f" || word == "--hosts");
    let place = rest.iter().position(|word| word == "--");
    let place = place.or_else(|| command_from(&rest, usize::from(!of_file)));
    let (hosts, behind) = rest.split_at(place.unwrap_or(rest.len()));
    let hosts = match of_file {
        true => hosts.to_vec(),
        false => named(hosts),
    };
    let of = |subcommand: &str, behind: &[String]| {
        let begin = ["easycluster".to_owned(), subcommand.to_owned()];
        typed(&[&begin, &options[..], &hosts, behind].concat())
    };
    let separated = |command: &[String]| of("exec", &[&["--".to_owned()], command].concat());
    Some(failure.with_hint(match behind {
        [] => format!(
            "{}, or {}",
            of("ping", &[]),
            separated(&["COMMAND".to_owned()])
        ),
        [separator, command @ ..] if separator == "--" => separated(command),
        command => separated(command),
    }))
}

/// What was meant where options stand among what is copied, behind the `--`.
pub(super) fn behind_separator(typed_words: &[String]) -> Option<Failure> {
    let program = command();
    let copy = program.find_subcommand("copy")?;
    let place = typed_words.iter().position(|word| word == "--")?;
    let (before, behind) = typed_words.split_at(place);
    let (mut options, mut paths) = (Vec::new(), Vec::new());
    let mut rest = behind.iter();
    while let Some(word) = rest.next() {
        let with_value = takes_value(word, copy).filter(|_| !Path::new(word).exists());
        match with_value {
            Some(with_value) => {
                options.push(word.clone());
                if with_value {
                    options.extend(rest.next().cloned());
                }
            }
            None => paths.push(word.clone()),
        }
    }
    let first = options.first()?;
    Some(
        Failure::usage(format!(
            "{first} stands among the paths, and there is no file of that name"
        ))
        .with_hint(format!(
            "options stand before `--`: {}",
            typed(&[before, &options[..], &paths[..]].concat())
        )),
    )
}

/// The options at the beginning of the words, each with its value, and what follows them. An inventory behind `-i` is one behind `-I`.
fn apart(words: &[String], exec: &clap::Command) -> Option<(Vec<String>, Vec<String>)> {
    let mut options = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest
        .clone()
        .next()
        .filter(|word| *word != "--" && word.starts_with('-'))
    {
        rest.next();
        let with_value = takes_value(word, exec)?;
        options.push(word.clone());
        if !with_value {
            continue;
        }
        let value = rest.next().filter(|value| !value.starts_with('-'))?;
        if word == "-i" && !is_key(Path::new(value)) && looks_like_inventory(value) {
            options.pop();
            options.push("-I".to_owned());
        }
        options.push(value.clone());
    }
    Some((options, rest.cloned().collect()))
}

fn looks_like_inventory(name: &str) -> bool {
    let endings = [".ini", ".yml", ".yaml", ".json", ","];
    Path::new(name).exists() || endings.iter().any(|ending| name.ends_with(ending))
}

/// Whether an option of this subcommand takes the next word as its value; `None` where it has no such option.
fn takes_value(word: &str, subcommand: &clap::Command) -> Option<bool> {
    let (name, joined) = match word.split_once('=') {
        Some((name, _)) => (name, true),
        None => (word, false),
    };
    let found = subcommand.get_arguments().find(|argument| {
        let short = argument.get_short().map(|letter| format!("-{letter}"));
        let long = argument.get_long().map(|long| format!("--{long}"));
        short.as_deref() == Some(name) || long.as_deref() == Some(name)
    })?;
    Some(found.get_action().takes_values() && !joined)
}

/// The refusal of a file behind `-i` of a subcommand that is no key, with the line that takes it for the inventory that it may be.
pub(super) fn inventory_for_key(matches: &clap::ArgMatches, words: &[OsString]) -> Option<Failure> {
    let (subcommand, given) = matches.subcommand()?;
    let keys = given.try_get_many::<PathBuf>(KEYS).ok()??;
    let other = keys
        .into_iter()
        .find(|path| !path.starts_with("env:") && path.is_file() && !is_key(path))?;
    let failure = check_key(other).err()?;
    let mut words = typed_as_ours(words);
    let name = other.to_string_lossy();
    let place = words.iter().position(|word| *word == name)?;
    let option = words.get_mut(place.checked_sub(1)?)?;
    if option != "-i" {
        return Some(failure);
    }
    "-I".clone_into(option);
    let hosts: Vec<String> = given
        .try_get_many::<String>("specs")
        .ok()?
        .map(|hosts| hosts.cloned().collect())
        .unwrap_or_default();
    let command = command_from(&hosts, 1).and_then(|place| hosts.get(place));
    let line = match command {
        Some(command) if subcommand == "exec" && !words.iter().any(|word| word == "--") => {
            with_separator(&words, command)
        }
        _ => typed(&words),
    };
    Some(failure.with_hint(format!(
        "-i takes a private key, as ssh does; with an inventory: {line}"
    )))
}

fn typed(words: &[String]) -> String {
    line(words.iter().map(String::as_str))
}
