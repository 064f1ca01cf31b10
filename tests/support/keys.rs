//! SSH key pairs, made by ssh-keygen.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A key pair in files: the private one, and beside it the public one.
#[derive(Debug, Clone)]
pub struct KeyPair {
    pub private: PathBuf,
}

impl KeyPair {
    /// Makes a pair. `kind` is a type of ssh-keygen (`ed25519`, `ecdsa`, `rsa`).
    pub fn make(private: &Path, kind: &str, passphrase: &str) -> Self {
        let mut command = keygen();
        command
            .args(["-q", "-t", kind, "-N", passphrase, "-C", "test key", "-f"])
            .arg(private)
            .args(bits(kind));
        if !passphrase.is_empty() {
            // Few rounds of what makes guessing slow; a test of every kind of key file has the usual ones.
            command.args(["-a", "2"]);
        }
        run(command);
        KeyPair {
            private: private.to_path_buf(),
        }
    }

    /// Makes a pair whose private half is in another format of ssh-keygen (`PEM`, `PKCS8`), without a passphrase.
    pub fn make_as(private: &Path, kind: &str, format: &str) -> Self {
        let mut command = keygen();
        command
            .args(["-q", "-t", kind, "-m", format, "-N", "", "-f"])
            .arg(private)
            .args(bits(kind));
        run(command);
        KeyPair {
            private: private.to_path_buf(),
        }
    }

    /// Makes a pair in the FIDO device that a library drives; the private file is a handle on it.
    pub fn make_in_device(handle: &Path, kind: &str, library: &Path) -> Self {
        let mut command = keygen();
        command
            .args(["-q", "-t", kind, "-N", "", "-w"])
            .arg(library)
            .arg("-f")
            .arg(handle);
        run(command);
        KeyPair {
            private: handle.to_path_buf(),
        }
    }

    /// The public key's file.
    pub fn public_file(&self) -> PathBuf {
        let mut name = self.private.clone().into_os_string();
        name.push(".pub");
        name.into()
    }

    /// The public key's line, without its newline.
    pub fn public(&self) -> String {
        std::fs::read_to_string(self.public_file())
            .expect("the public key is there")
            .trim()
            .to_string()
    }

    /// Signs `subject` with this pair as a certificate authority; the certificate comes to stand beside the subject's key.
    pub fn certify(&self, subject: &KeyPair, principals: &str, host: bool) -> PathBuf {
        let mut command = keygen();
        command.arg("-q").arg("-s").arg(&self.private).args([
            "-I",
            "test certificate",
            "-n",
            principals,
        ]);
        if host {
            command.arg("-h");
        }
        command.arg(subject.public_file());
        run(command);
        let mut name = subject.private.clone().into_os_string();
        name.push("-cert.pub");
        name.into()
    }

    /// `SHA256:...`, as ssh-keygen shows it.
    pub fn fingerprint(&self) -> String {
        let mut command = keygen();
        command.arg("-l").arg("-f").arg(self.public_file());
        let text = run(command);
        text.split_whitespace()
            .find(|word| word.starts_with("SHA256:"))
            .expect("a fingerprint")
            .to_string()
    }
}

/// RSA keys as long as they have to be: longer ones take a second to be made.
fn bits(kind: &str) -> &'static [&'static str] {
    if kind == "rsa" { &["-b", "2048"] } else { &[] }
}

fn keygen() -> Command {
    let mut command = Command::new(super::program("ssh-keygen"));
    command.stdin(Stdio::null());
    command
}

fn run(mut command: Command) -> String {
    let output = command.output().expect("ssh-keygen starts");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
