//! The command line of one connection's client: with a clean environment, in the home directory.

use std::ffi::OsString;
use std::io;

use crate::process::{self, ErrorOutput, Group, Spawned};

/// What a command inherits. Everything else of the server's environment stays with the server, as
/// with sshd: a password in a variable of the shell that started the server must not reach clients.
const PASSED_ON: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "XDG_RUNTIME_DIR",
    "TERM",
];
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The environment of a command, from the server's: what is passed on, plus `extra` names.
pub(super) fn environment(
    all: impl Iterator<Item = (OsString, OsString)>,
    extra: &[String],
) -> Vec<(OsString, OsString)> {
    let mut kept: Vec<_> = all
        .filter(|(name, _)| {
            name.to_str().is_some_and(|name| {
                PASSED_ON.contains(&name)
                    || name.starts_with("LC_")
                    || extra.iter().any(|wanted| wanted == name)
            })
        })
        .collect();
    if !kept.iter().any(|(name, _)| name == "PATH") {
        kept.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    kept
}

/// Starts `command` by `/bin/sh -c`, in a group of its own.
///
/// # Errors
/// What the system says where no process can be started.
pub(super) fn start(command: &str, environment: &[(OsString, OsString)]) -> io::Result<Spawned> {
    let mut shell = process::shell(command);
    // As after a login: commands start in the home directory, not wherever the server was started.
    let home = environment.iter().find(|(name, _)| name == "HOME");
    match home.map(|(_, home)| std::path::Path::new(home)) {
        Some(home) if home.is_dir() => shell.current_dir(home),
        _ => shell.current_dir("/"),
    };
    shell
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)));
    process::spawn(shell, Group::Own, ErrorOutput::Piped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_clean() {
        let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let all = vec![
            pair("HOME", "/home/u"),
            pair("SECRET", "x"),
            pair("PYTHONPATH", "/evil"),
            pair("LC_ALL", "C"),
            pair("WANTED", "1"),
            pair("NOTIFY_SOCKET", "/run/x"),
        ];
        let kept = environment(all.into_iter(), &["WANTED".to_owned()]);
        let names: Vec<_> = kept
            .iter()
            .map(|(name, _)| name.to_str().unwrap())
            .collect();
        assert_eq!(names, ["HOME", "LC_ALL", "WANTED", "PATH"]);
    }
}
