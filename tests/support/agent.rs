//! A real ssh-agent on a socket of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{PATIENCE, poll, program};

pub struct Agent {
    folder: tempfile::TempDir,
    child: Child,
}

impl Agent {
    /// Starts an agent without keys and waits until it answers.
    pub fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// The same with further arguments, and variables that the libraries it loads read.
    pub fn start_with(arguments: &[&str], environment: &[(&str, &Path)]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("agent")
            .tempdir()
            .expect("a temporary folder");
        let child = Command::new(program("ssh-agent"))
            .arg("-D")
            .arg("-a")
            .arg(folder.path().join("socket"))
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("ssh-agent starts");
        let agent = Agent { folder, child };
        // ssh-add's exit status 1 says: an agent without keys; 2: no agent.
        let answers = || {
            agent
                .ssh_add(&["-l"])
                .status()
                .is_ok_and(|status| status.code() == Some(1))
                .then_some(())
        };
        poll(PATIENCE, answers).expect("ssh-agent answers");
        agent
    }

    /// The value for SSH_AUTH_SOCK.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Adds a private key that has no passphrase, and its certificate where one stands beside it.
    pub fn add(&self, private: &Path) {
        let status = self
            .ssh_add(&["-q"])
            .arg(private)
            .status()
            .expect("ssh-add starts");
        assert!(status.success(), "ssh-add {}", private.display());
    }

    /// Adds what the PKCS#11 token behind this library holds.
    pub fn add_token(&self, library: &Path, pin: &str) {
        // ssh-add asks for the PIN by a program where there is no terminal.
        let asks = self.folder.path().join("askpass");
        super::write_program(&asks, &format!("#!/bin/sh\necho '{pin}'\n"));
        let output = self
            .ssh_add(&["-s"])
            .arg(library)
            .env("SSH_ASKPASS", asks)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .stderr(Stdio::piped())
            .output()
            .expect("ssh-add starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ssh-add -s: {said}");
    }

    /// Adds a key that lives in a FIDO device, which this library drives.
    pub fn add_from_device(&self, library: &Path, private: &Path) {
        let output = self
            .ssh_add(&["-q", "-S"])
            .arg(library)
            .arg(private)
            .stderr(Stdio::piped())
            .output()
            .expect("ssh-add starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ssh-add -S: {said}");
    }

    /// The public keys that it holds, a line each.
    pub fn public_keys(&self) -> Vec<String> {
        let output = self
            .ssh_add(&["-L"])
            .stdout(Stdio::piped())
            .output()
            .expect("ssh-add starts");
        let lines = String::from_utf8_lossy(&output.stdout);
        lines.lines().map(str::to_owned).collect()
    }

    fn ssh_add(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("ssh-add"));
        command.args(arguments).env("SSH_AUTH_SOCK", self.socket());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
