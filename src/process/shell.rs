//! Lines for shells: `/bin/sh`, and the one that the user works with. On Windows the first is missing, and the second is cmd.exe.

use std::ffi::{OsStr, OsString};
use std::process::Command;

use super::Group;

/// The shell that every Unix has.
const SHELL: &str = "/bin/sh";

/// Why nothing is started by [`shell`] here.
///
/// # Errors
/// On Windows, where `C:\bin\sh` might be anybody's.
pub fn has_shell() -> Result<(), &'static str> {
    if cfg!(unix) {
        Ok(())
    } else {
        Err("Windows has no /bin/sh")
    }
}

/// A line for `/bin/sh`.
pub fn shell(line: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(SHELL);
    command.arg("-c").arg(line);
    command
}

/// The shell that the user works with, which also interprets what `ssh_config` has run: `$SHELL`, or cmd.exe.
pub fn user_shell() -> OsString {
    let (variable, usual) = if cfg!(unix) {
        ("SHELL", SHELL)
    } else {
        ("ComSpec", "cmd.exe")
    };
    std::env::var_os(variable)
        .filter(|shell| !shell.is_empty())
        .unwrap_or_else(|| usual.into())
}

/// A line for [`user_shell`].
#[cfg(unix)]
pub fn user_line(line: &str) -> Command {
    let mut command = Command::new(user_shell());
    command.arg("-c").arg(line);
    command
}

/// A line for [`user_shell`], which splits it by rules of its own.
#[cfg(not(unix))]
pub fn user_line(line: &str) -> Command {
    let mut command = Command::new(user_shell());
    std::os::windows::process::CommandExt::raw_arg(&mut command, format!("/D /S /C \"{line}\""));
    command
}

/// What [`user_shell`] makes of a command that it becomes itself, where it can, in the group that it is to belong to.
pub fn user_command(command: &str, group: Group) -> Command {
    if cfg!(not(unix)) {
        return user_line(command);
    }
    let mut shell = match group {
        Group::Shared => ignoring_interrupts(user_shell()),
        Group::Own => Command::new(user_shell()),
    };
    shell.arg("-c").arg(format!("exec {command}"));
    shell
}

/// A program for [`Group::Shared`]: it does not notice a Ctrl-C, just as if it were in a group of its own.
/// A signal that is ignored stays ignored in what the shell becomes.
pub fn ignoring_interrupts(program: impl AsRef<OsStr>) -> Command {
    let mut command = shell("trap '' INT; exec \"$0\" \"$@\"");
    command.arg(program);
    command
}
