//! What the tests share: a real sshd of their own, an agent, the interpreters of this machine, and a look at processes.

// Tests and benchmarks include this; each takes what it needs of it.
#![allow(dead_code, unused_imports)]

pub mod agent;
pub mod alone;
pub mod interpreters;
pub mod keys;
pub mod machine;
pub mod parts;
pub mod processes;
pub mod relay;
pub mod remote;
pub mod sshd;
mod sshd_config;
pub mod stand_in;
pub mod suite;
mod waiting;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use agent::Agent;
pub use alone::alone;
pub use interpreters::{Interpreter, few_interpreters, interpreter_at_least, interpreters};
pub use keys::KeyPair;
pub use machine::Machine;
pub use sshd::{Sshd, SshdOptions};
pub use waiting::{PATIENCE, poll, until, within};

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
///
/// Another process writes it: what this one has open for writing, every child that another test starts at the same
/// time holds open too until it runs its own program, and the system refuses to run a file that somebody writes.
pub fn write_program(file: &Path, text: &str) {
    let mut child = Command::new("sh")
        .args(["-c", "cat >\"$0\" && chmod 700 \"$0\""])
        .arg(file)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sh starts");
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    stdin.write_all(text.as_bytes()).expect("written");
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
}
