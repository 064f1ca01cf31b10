//! What the tests of the program share: a server to talk to, the program to run, and a look at what is left behind.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use easycluster::cli::commands::demo::embedded_sshd::{EmbeddedSshd, generate_ed25519};
use russh::keys::ssh_key::LineEnding;
use tempfile::TempDir;
use tokio::process::{Child, Command};

pub use crate::support::{PATIENCE, until};

/// An SSH server in this process, and the files a client needs to log in to it.
pub struct Scene {
    pub server: EmbeddedSshd,
    pub folder: TempDir,
}

impl Scene {
    pub async fn new() -> Scene {
        let folder = tempfile::tempdir().expect("temporary folder");
        let key = generate_ed25519().expect("key");
        write_private(
            &folder.path().join("key"),
            &key.to_openssh(LineEnding::LF).expect("key as text"),
        );
        let server = EmbeddedSshd::start(key.public_key().clone())
            .await
            .expect("server");
        std::fs::write(
            folder.path().join("known_hosts"),
            server.known_hosts_line().expect("known_hosts line"),
        )
        .expect("known_hosts");
        Scene { server, folder }
    }

    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// A spec that leads to the server, shown as `name`.
    pub fn spec(&self, name: &str) -> String {
        format!(
            "me@127.0.0.1:{}:identity={}:known_hosts={}:config=none:batch=yes:name={name}",
            self.server.address().port(),
            self.key().display(),
            self.folder.path().join("known_hosts").display(),
        )
    }

    /// A file in the temporary folder.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("file");
        path
    }

    /// Fails where the program has left processes on the other side; then ends the server.
    pub async fn end(self) {
        let port = self.server.address().port();
        until(|| match remote_processes(port) {
            left if left.is_empty() => Ok(()),
            left => Err(left),
        })
        .await;
        tokio::time::timeout(PATIENCE, self.server.shutdown())
            .await
            .expect("the server ends in time");
    }
}

/// The living processes that a login on this port has started, known by their environment.
pub fn remote_processes(port: u16) -> Vec<String> {
    let mark = format!(" 127.0.0.1 {port}\0");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().map(str::to_owned) else {
            continue;
        };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        if environment.contains("SSH_CONNECTION=") && environment.contains(&mark) && alive(&pid) {
            found.push(pid);
        }
    }
    found
}

pub fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).expect("private file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("mode");
}

pub fn alive(pid: &str) -> bool {
    // A zombie is gone as far as its work is concerned; only its parent can make it vanish.
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    !stat
        .rsplit(')')
        .next()
        .is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

pub async fn until_gone(pid: &str) {
    let gone = || (!alive(pid)).then_some(());
    until(|| gone().ok_or("the process is left running")).await;
}

/// What the program said and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub stdout: String,
    pub stderr: String,
    pub code: Option<i32>,
}

impl Said {
    /// Its stdout's lines in alphabetical order, for what many hosts print in any order.
    pub fn sorted_stdout(&self) -> Vec<&str> {
        let mut lines: Vec<&str> = self.stdout.lines().collect();
        lines.sort_unstable();
        lines
    }

    /// The last line of stderr: a summary or a hint. On a busy machine lines before it tell how far it is.
    pub fn last_line(&self) -> &str {
        self.stderr.lines().last().unwrap_or_default()
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_easycluster");

/// The program with these arguments, not started yet; away from the user's own files and agent.
pub fn program<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Command {
    let mut command = apart(PROGRAM);
    command.args(arguments);
    command
}

/// A shell that runs this line, not started yet; it has the program's own folder first in PATH.
pub fn shell(line: &str) -> Command {
    let folder = Path::new(PROGRAM).parent().expect("a folder").display();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = apart("/bin/sh");
    command
        .args(["-c", line])
        .env("PATH", format!("{folder}:{path}"));
    command
}

/// A command away from the user's own files and agent, whose output is read.
fn apart(name: &str) -> Command {
    let mut command = Command::new(name);
    command
        .env_remove("SSH_AUTH_SOCK")
        .env_remove("CLICOLOR_FORCE")
        .env_remove("GITHUB_ACTIONS")
        .env_remove("GITLAB_CI")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub async fn easycluster<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Said {
    said(program(arguments).spawn().expect("the program starts")).await
}

/// Runs the program with this standard input.
pub async fn easycluster_with_input(arguments: &[&str], input: &str) -> Said {
    let mut file = tempfile::tempfile().expect("temporary file");
    file.write_all(input.as_bytes()).expect("write");
    std::io::Seek::rewind(&mut file).expect("rewind");
    said(
        program(arguments)
            .stdin(Stdio::from(file))
            .spawn()
            .expect("the program starts"),
    )
    .await
}

pub async fn said(child: Child) -> Said {
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .expect("the program ends in time")
        .expect("output");
    Said {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code(),
    }
}
