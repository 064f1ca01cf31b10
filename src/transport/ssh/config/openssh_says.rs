//! What `ssh -G` says about a host, for configuration files that use more than our reader knows.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::process;
use crate::transport::ssh::config::from_paths;
use crate::transport::ssh::config::keywords::{Collected, Kind, lookup};
use crate::transport::ssh::config::settings::{ConfigSource, Override, SshTarget};
use crate::transport::ssh::config::target::option_text;
use crate::transport::ssh::config::words::words;

/// The `ssh` program, if there is one.
pub(crate) fn program() -> Option<PathBuf> {
    process::find_program("ssh")
}

/// How long an answer is good for: long enough for many clients that start at once, short enough for somebody who edits the file.
const ANSWER_LIFETIME: Duration = Duration::from_secs(10);

/// When an answer was had, and the answer.
type Answer = (Instant, Collected);

/// As `ask`, with answers kept for a while.
pub(crate) fn ask_once(program: &Path, target: &SshTarget) -> Result<Collected, String> {
    static ANSWERS: Mutex<Option<HashMap<SshTarget, Answer>>> = Mutex::new(None);
    let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    let answers = answers.get_or_insert_default();
    answers.retain(|_, (when, _)| when.elapsed() < ANSWER_LIFETIME);
    if let Some((_, known)) = answers.get(target) {
        return Ok(known.clone());
    }
    // The lock is held meanwhile, so that clients of one host that start at once ask once.
    let answer = ask(program, target)?;
    answers.insert(target.clone(), (Instant::now(), answer.clone()));
    Ok(answer)
}

/// Asks `ssh -G`. Its answer names everything, so what it would say without any file is taken away.
fn ask(program: &Path, target: &SshTarget) -> Result<Collected, String> {
    let said = lines(program, target, &target.config)?;
    let usual = lines(program, target, &ConfigSource::None)?;
    // Only lines are said to `ssh`: no text can say a file name as it is.
    let mut collected = from_paths(target);
    for line in &said {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        let Some((known, kind)) = lookup(name).map(|(known, kind)| (known.to_owned(), kind)) else {
            continue;
        };
        // A list that differs in one line is the user's as a whole.
        let same = |lines: &[String]| -> Vec<String> {
            lines
                .iter()
                .filter(|line| line.split_once(' ').map_or(line.as_str(), |(n, _)| n) == name)
                .cloned()
                .collect()
        };
        if kind == Kind::Ignored || same(&said) == same(&usual) {
            continue;
        }
        let values = match kind {
            Kind::FirstRaw => vec![value.to_owned()],
            _ => words(value)?,
        };
        if target.only_identity && known == "identityfile" && collected.has("identityfile") {
            continue;
        }
        collected.add(&known, kind, values);
    }
    Ok(collected)
}

fn lines(program: &Path, target: &SshTarget, config: &ConfigSource) -> Result<Vec<String>, String> {
    let mut command = process::program(program);
    command.arg("-G");
    match config {
        ConfigSource::Standard => {}
        ConfigSource::None => {
            command.args(["-F", "none"]);
        }
        ConfigSource::File(path) => {
            command.arg("-F").arg(crate::spec::expand_home(path));
        }
    }
    if let Some(user) = &target.user {
        command.arg("-l").arg(user);
    }
    if let Some(port) = target.port {
        command.arg("-p").arg(port.to_string());
    }
    if *config != ConfigSource::None || target.config == ConfigSource::None {
        for option in &target.options {
            if let Override::Line(..) = option {
                command.arg("-o").arg(option_text(option)?);
            }
        }
    }
    command.arg("--").arg(&target.host);
    let output =
        process::run(command).map_err(|error| format!("{}: {error}", program.display()))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect())
}
