//! What the tests share: a real sshd of their own, an agent, the interpreters of this machine, and a look at processes.

// Each test file takes what it needs of this.
#![allow(dead_code, unused_imports)]

pub mod agent;
pub mod interpreters;
pub mod keys;
pub mod processes;
pub mod remote;
pub mod sshd;
mod sshd_config;
pub mod suite;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use agent::Agent;
pub use interpreters::{Interpreter, interpreter_at_least, interpreters};
pub use keys::KeyPair;
pub use sshd::{Sshd, SshdOptions};

/// How long anything may take to become ready or to go away, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks every few milliseconds until there is an answer; `None` when the patience is over.
pub fn poll<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The full path of a program, also where only the system administrator's path has it.
pub fn program(name: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"])
        .map(|folder| PathBuf::from(folder).join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("these tests need the program {name}, which is not installed; `make prepare` installs it"))
}

/// Writes a script that can be run.
pub fn write_program(file: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(file, text).expect("written");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o700)).expect("allowed");
}
