//! The process behind one connection: the client's command line under a shell, with a clean
//! environment, in a process group of its own that ends with the connection.

use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::wire::authentication::Exit;

/// What a command inherits. Everything else of the server's environment stays with the server, as
/// with sshd: a password in the variable of a shell that once started the server is nobody's.
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

/// A running command.
pub struct Running {
    child: Child,
    group: Group,
    /// Its standard input.
    pub stdin: ChildStdin,
    /// Its standard output.
    pub stdout: ChildStdout,
    /// Its standard error.
    pub stderr: ChildStderr,
}

/// Kills the whole process group when dropped, however the connection ends.
struct Group(Option<Pid>);

impl Group {
    fn kill(&mut self) {
        if let Some(pid) = self.0.take() {
            // An error means that nobody is left in the group.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The environment of a command, from the server's: what is passed on, plus `extra` names.
pub fn environment(
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

/// Starts `command` by `/bin/sh -c`.
pub fn start(command: &str, environment: &[(OsString, OsString)]) -> io::Result<(Running, u32)> {
    let mut shell = Command::new("/bin/sh");
    // As after a login: commands start in the home directory, not wherever the server was started.
    let home = environment.iter().find(|(name, _)| name == "HOME");
    match home.map(|(_, home)| std::path::Path::new(home)) {
        Some(home) if home.is_dir() => shell.current_dir(home),
        _ => shell.current_dir("/"),
    };
    let mut child = shell
        .arg("-c")
        .arg(command)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let number = child.id().unwrap_or(0);
    let group = Group(i32::try_from(number).ok().and_then(Pid::from_raw));
    let missing = || io::Error::other("the command has no standard streams");
    let stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    let running = Running {
        child,
        group,
        stdin,
        stdout,
        stderr,
    };
    Ok((running, number))
}

/// A command without its streams, so that they can be moved elsewhere.
pub struct Remains {
    child: Child,
    group: Group,
}

impl Running {
    /// Takes the streams off.
    pub fn split(self) -> (ChildStdin, ChildStdout, ChildStderr, Remains) {
        let Running {
            child,
            group,
            stdin,
            stdout,
            stderr,
        } = self;
        (stdin, stdout, stderr, Remains { child, group })
    }
}

impl Remains {
    /// Waits for the end of the command, then ends what it left in its group. Can be cancelled.
    pub async fn wait(&mut self) -> Exit {
        let exit = match self.child.wait().await {
            Ok(status) => describe(status),
            Err(_) => Exit::Unknown,
        };
        self.group.kill();
        exit
    }

    /// Ends the whole group now and reaps the command.
    pub async fn kill(mut self) {
        self.group.kill();
        let _ = self.child.wait().await;
    }
}

fn describe(status: ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Status(code),
        (None, Some(signal)) => Exit::Signal(crate::process::signal_name(signal)),
        (None, None) => Exit::Unknown,
    }
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
