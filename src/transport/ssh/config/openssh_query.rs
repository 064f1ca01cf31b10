//! What `ssh -G` says about a host, for configuration files that use more than our reader knows.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::process;
use crate::transport::ssh::config::from_paths;
use crate::transport::ssh::config::keywords::Collected;
use crate::transport::ssh::config::settings::{ConfigSource, Override, SshTarget};
use crate::transport::ssh::config::table::{Kind, lookup};
use crate::transport::ssh::config::target::option_text;

/// The `ssh` program, if there is one.
pub(crate) fn program() -> Option<PathBuf> {
    process::find_program("ssh")
}

/// How long an answer is good for: long enough for many clients that start at once, short enough for somebody who edits the file.
const ANSWER_LIFETIME: Duration = Duration::from_secs(10);

/// When an answer was had, and the answer.
type Answer = (Instant, Collected);

/// As `ask`, with answers kept for a while.
/// `read` is what our own reader made of the files.
pub(crate) fn ask_once(
    program: &Path,
    target: &SshTarget,
    read: &Collected,
) -> Result<Collected, String> {
    static ANSWERS: Mutex<Option<HashMap<SshTarget, Answer>>> = Mutex::new(None);
    let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    let answers = answers.get_or_insert_default();
    answers.retain(|_, (when, _)| when.elapsed() < ANSWER_LIFETIME);
    if let Some((_, known)) = answers.get(target) {
        return Ok(known.clone());
    }
    // The lock is held meanwhile, so that clients of one host that start at once ask once.
    let answer = ask(program, target, read)?;
    answers.insert(target.clone(), (Instant::now(), answer.clone()));
    Ok(answer)
}

/// Asks `ssh -G`. Its answer names everything, so what it would say without any file is taken away.
fn ask(program: &Path, target: &SshTarget, read: &Collected) -> Result<Collected, String> {
    let said = lines(program, target, &target.config)?;
    let usual = lines(program, target, &ConfigSource::None)?;
    // Only lines are said to `ssh`: no text can say a file name as it is.
    let mut collected = from_paths(target);
    for line in &said {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        // A list that differs in one line is the user's as a whole.
        let same = |lines: &[String]| -> Vec<String> {
            lines
                .iter()
                .filter(|line| line.split_once(' ').map_or(line.as_str(), |(n, _)| n) == name)
                .cloned()
                .collect()
        };
        if same(&said) == same(&usual) {
            continue;
        }
        let Some((known, kind)) = lookup(name) else {
            // `host` is the name that was asked about.
            if name == "host" {
                continue;
            }
            return Err(format!(
                "{name} in the ssh_config is newer than what is known here, and may be a restriction"
            ));
        };
        if target.only_identity && known == "IdentityFile" && collected.has("IdentityFile") {
            continue;
        }
        take(&mut collected, known, kind, value, read);
    }
    Ok(collected)
}

/// Takes one value in as `ssh -G` prints it: without quotes, and partly with everything in it expanded.
fn take(collected: &mut Collected, known: &str, kind: Kind, value: &str, read: &Collected) {
    match known {
        // Both lists are expanded already, and stand on one line.
        "UserKnownHostsFile" | "GlobalKnownHostsFile" => {
            if !collected.has(known) {
                for file in files_of(value, read.all(known).count()) {
                    collected.add_path(known, Kind::Every, file.into());
                }
            }
        }
        "IdentityAgent" if !value.starts_with('$') && value.starts_with('/') => {
            collected.add_path(known, kind, value.into());
        }
        // A name that is expanded already.
        "HostName" => collected.add(known, kind, vec![value.replace('%', "%%")]),
        "RekeyLimit" => {
            let words = value.split(' ').map(str::to_owned).collect();
            collected.add(known, kind, words);
        }
        // One assignment a line, and all lines count.
        "SetEnv" => collected.add(known, Kind::Every, vec![value.to_owned()]),
        _ => collected.add(known, kind, vec![value.to_owned()]),
    }
}

/// The file names on one line, which are printed without quotes around blanks: where the configuration
/// names one, the line is that one, and else a new name begins where a path from the root does.
fn files_of(value: &str, named: usize) -> Vec<String> {
    if named == 1 {
        return vec![value.to_owned()];
    }
    let mut found: Vec<String> = Vec::new();
    for word in value.split(' ') {
        match found.last_mut() {
            Some(last) if !word.starts_with(['/', '~']) && word != "none" => {
                last.push(' ');
                last.push_str(word);
            }
            _ => found.push(word.to_owned()),
        }
    }
    found
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
        // Its lines end as those of a terminal do.
        let said = String::from_utf8_lossy(&output.stderr).replace('\r', "");
        return Err(said.trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_with_blanks_stay_whole() {
        assert_eq!(files_of("/root/my hosts", 1), ["/root/my hosts"]);
        assert_eq!(files_of("/root/my hosts", 0), ["/root/my hosts"]);
        assert_eq!(files_of("/a b /c d", 2), ["/a b", "/c d"]);
        assert_eq!(files_of("/a /b", 0), ["/a", "/b"]);
        assert_eq!(files_of("none", 1), ["none"]);
    }
}
