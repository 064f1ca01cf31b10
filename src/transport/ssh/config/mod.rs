//! `ssh_config`: what the user's and the machine's files say about a host.
//!
//! Our own reader (`read`) knows for certain what most files use. Where a file uses more, `ssh -G`
//! is asked (`openssh_query`); where there is no `ssh` program, a warning names what was skipped.

mod assemble;
mod explain;
mod keywords;
mod match_block;
mod openssh_query;
mod pattern;
mod read;
pub(crate) mod settings;
mod table;
pub(crate) mod target;
mod tokens;
mod values;
mod words;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

pub use explain::explain;
pub(crate) use pattern::{Verdict, matches, matches_host, matches_list};
pub(crate) use table::check_keyword;

use crate::error::{ConnectError, Stage};
use crate::transport::ssh::config::settings::{ConfigSource, Override, Settings, SshTarget};
use crate::transport::ssh::timing::Stages;
use keywords::Collected;
use table::{Kind, lookup};
use tokens::Local;

/// Settings and what could not be taken into account.
struct Resolved {
    settings: Settings,
    warnings: Vec<String>,
}

/// What the bytes of an ssh_config come to for a host, as text. For fuzzers.
#[cfg(feature = "internals")]
pub(crate) fn read_bytes(host: &str, bytes: &[u8]) -> Result<String, String> {
    let target = SshTarget::new(host);
    let local = Local::current();
    let reading = read::read_bytes(&target, &local, bytes)?;
    check_refused(&reading.collected)?;
    let settings = assemble::assemble(&target, &reading.collected, &local)?;
    Ok(format!("{:?} {settings:?}", reading.beyond))
}

/// Finds out everything that a connection to `target` is made with.
pub(crate) async fn resolve(stages: &Stages, target: &SshTarget) -> Result<Settings, ConnectError> {
    let since = Instant::now();
    let wanted = target.clone();
    // Files are read, and commands of `Match exec` run.
    let resolved = stages
        .reading(Stage::Configure, &[], move || resolve_now(&wanted))
        .await
        .map_err(|error| slow(target, error))?
        .map_err(|message| {
            let hint = match check_options(target) {
                Ok(()) => "fix the ssh_config, or leave it out with config=none",
                Err(_) => "fix what the spec or an option -o says",
            };
            stages.error(Stage::Configure, message).with_hint(hint)
        })?;
    for warning in resolved.warnings {
        stages.reached(Stage::Configure, since, format!("WARNING: {warning}"));
    }
    Ok(resolved.settings)
}

/// What takes too long: it may read any number of files, and run commands.
fn slow(target: &SshTarget, mut error: ConnectError) -> ConnectError {
    if !error.timed_out {
        return error;
    }
    let file = match &target.config {
        ConfigSource::File(path) => path.display().to_string(),
        _ => "the ssh_config".to_owned(),
    };
    error.message = format!("{} reading {file}", error.message);
    error.with_hint("it, or what it includes, is a pipe that nobody writes to, or on a network drive that does not answer, or a command of its `Match exec` does not end; config=none leaves it out")
}

fn resolve_now(target: &SshTarget) -> Result<Resolved, String> {
    let local = Local::current();
    let reading = read::read(target, &local, from_options(target)?)?;
    let mut warnings = Vec::new();
    let mut collected = reading.collected;
    if !reading.beyond.is_empty() {
        match openssh_query::program() {
            Some(program) => collected = openssh_query::ask_once(&program, target, &collected)?,
            // It may be one that restricts, and `ssh` would not go on either.
            None if !reading.unknown.is_empty() => {
                let names: Vec<&str> = reading.unknown.iter().map(String::as_str).collect();
                return Err(format!(
                    "{} in the ssh_config is not known here, and there is no ssh program to interpret it; where it does not matter, name it in IgnoreUnknown",
                    names.join(", ")
                ));
            }
            None => warnings.extend(reading.beyond.iter().filter(|name| first_time(name)).map(
                |name| {
                    format!("{name} in the ssh_config is skipped: there is no ssh program to interpret it")
                },
            )),
        }
    }
    check_refused(&collected)?;
    warnings.extend(collected.turned_on(Kind::Lacking).into_iter().filter(|name| first_time(name)).map(
        |name| {
            format!("{name} in the ssh_config has no effect here; where it decides, take ssh=/usr/bin/ssh")
        },
    ));
    let settings = assemble::assemble(target, &collected, &local)?;
    Ok(Resolved { settings, warnings })
}

/// Whether what the target itself says can be taken, whatever stands in files.
fn check_options(target: &SshTarget) -> Result<(), String> {
    let collected = from_options(target)?;
    assemble::assemble(target, &collected, &Local::current()).map(drop)
}

/// Whether a keyword of ssh_config takes a value, as a line has them.
///
/// # Errors
/// A sentence that names both.
pub(crate) fn check_option(keyword: &str, value: &str) -> Result<(), String> {
    let mut target = SshTarget::new("localhost");
    let line = (keyword.to_owned(), value.to_owned());
    target.options.push(Override::from(line));
    check_options(&target)
}

/// What restricts and is not kept here refuses: to go on without it might be to connect to somebody else.
fn check_refused(collected: &Collected) -> Result<(), String> {
    if let Some(words) = collected.first("RefuseConnection") {
        return Err(format!("RefuseConnection in the ssh_config says: {words}"));
    }
    match collected.turned_on(Kind::Refused).first() {
        None => Ok(()),
        Some(name) => Err(format!(
            "{name} in the ssh_config restricts connections in a way that is not supported here, so this one is refused; take ssh=/usr/bin/ssh, or turn it off for this host"
        )),
    }
}

/// Each keyword is warned about once a process.
fn first_time(name: &str) -> bool {
    static WARNED: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    WARNED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_default()
        .insert(name.to_owned())
}

/// What the target itself says; it stands before every file.
fn from_options(target: &SshTarget) -> Result<Collected, String> {
    let mut collected = from_paths(target);
    for option in &target.options {
        let Override::Line(keyword, value) = option else {
            continue;
        };
        let Some((name, kind)) = lookup(keyword) else {
            return Err(format!("unknown SSH option '{keyword}'"));
        };
        let values = if kind.is_raw() {
            vec![value.clone()]
        } else {
            words::words(value).map_err(|error| format!("option {keyword}: {error}"))?
        };
        if !collected.is_late(name) {
            collected.add(name, kind, values);
        }
    }
    Ok(collected)
}

/// The file names that the target itself says, which no text of a configuration can.
fn from_paths(target: &SshTarget) -> Collected {
    let mut collected = Collected::default();
    for option in &target.options {
        if let Override::Path(keyword, path) = option
            && let Some((name, kind)) = lookup(keyword)
        {
            collected.add_path(name, kind, path.clone());
        }
    }
    collected
}
