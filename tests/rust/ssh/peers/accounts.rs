//! Accounts that are otherwise for one server alone: another home, another password, in a mount namespace of its own.

use std::process::{Command, Stdio};

use crate::support::{parts, program};

/// As whom the server runs.
#[derive(Clone, Copy)]
pub enum As {
    /// The current user, who is root inside.
    Himself,
    /// Root, by sudo where the current user is another.
    Root,
}

/// A command that runs a shell script where files such as /etc/passwd can be covered without touching the machine, where
/// the system allows that.
pub fn namespace(user: As, script: &str) -> Option<Command> {
    parts::need("accounts", allowed(user).then(|| command(user, script)))
}

fn allowed(user: As) -> bool {
    let may_sudo = || {
        let sudo = Command::new("sudo").args(["-n", "true"]).output();
        sudo.is_ok_and(|done| done.status.success())
    };
    if matches!(user, As::Root) && !rustix::process::geteuid().is_root() && !may_sudo() {
        return false;
    }
    command(user, "mount --bind /etc/passwd /etc/passwd")
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|done| done.status.success())
}

fn command(user: As, script: &str) -> Command {
    let mut command = Command::new(program("unshare"));
    if !rustix::process::geteuid().is_root() {
        match user {
            As::Himself => {
                command.arg("--map-root-user");
            }
            As::Root => {
                command = Command::new(program("sudo"));
                command.arg("-n").arg(program("unshare"));
            }
        }
    }
    command.args(["--mount", "/bin/sh", "-c", script]);
    command
}
