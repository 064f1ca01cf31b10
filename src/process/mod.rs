//! Every process that this program starts: what it is, which group it belongs to, its pipes and its end.

mod exit;
mod pipes;
mod shell;

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

pub use std::process::Command;

use crate::descriptors::of_connection;

use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

pub use exit::ExitStatus;
pub use pipes::{ReadEvent, Reader, Writer};
pub use shell::{has_shell, ignoring_interrupts, shell, user_command, user_line, user_shell};

/// A program by its path, or by its name in `PATH`.
pub fn program(name: impl AsRef<OsStr>) -> Command {
    Command::new(name)
}

/// The file that a shell would start by this name: the named one, or the first in `PATH`.
pub fn find_program(name: impl AsRef<Path>) -> Option<PathBuf> {
    let name = name.as_ref();
    if name.components().count() > 1 {
        return name.is_file().then(|| name.to_path_buf());
    }
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| {
            let mut file = folder.join(name).into_os_string();
            if name.extension().is_none() {
                file.push(std::env::consts::EXE_SUFFIX);
            }
            PathBuf::from(file)
        })
        .find(|file| file.is_file())
}

/// Which process group a child belongs to. Either way a Ctrl-C on our terminal is ours to handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// One of its own, which ends as a whole. The system stops it where it reads the terminal.
    Own,
    /// Ours, so that it may ask on the terminal; [`ignoring_interrupts`] keeps a Ctrl-C from it.
    Shared,
}

/// Where a child's standard error goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorOutput {
    /// Into a pipe, to be read.
    Piped,
    /// Where ours goes.
    Inherited,
}

/// A started process and its pipes.
#[derive(Debug)]
pub struct Spawned {
    /// Its standard input.
    pub stdin: ChildStdin,
    /// Its standard output.
    pub stdout: ChildStdout,
    /// Its standard error, where it is piped.
    pub stderr: Option<ChildStderr>,
    /// The process.
    pub child: Child,
}

/// Starts a command with pipes, in the group that it is to belong to. Must be called within a tokio runtime.
///
/// # Errors
/// What the system says where the program cannot be started.
pub fn spawn(mut command: Command, group: Group, errors: ErrorOutput) -> io::Result<Spawned> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(match errors {
            ErrorOutput::Piped => Stdio::piped(),
            ErrorOutput::Inherited => Stdio::inherit(),
        });
    #[cfg(unix)]
    if group == Group::Own {
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
    }
    let mut command = tokio::process::Command::from(command);
    let mut process = command.kill_on_drop(true).spawn()?;
    let missing = || io::Error::other("the process has no standard streams");
    let (stdin, stdout, stderr) = (
        process.stdin.take().ok_or_else(missing)?,
        process.stdout.take().ok_or_else(missing)?,
        process.stderr.take(),
    );
    of_connection(&stdin);
    of_connection(&stdout);
    if let Some(stderr) = &stderr {
        of_connection(stderr);
    }
    let id = process.id();
    let group = Leader(id.filter(|_| group == Group::Own));
    Ok(Spawned {
        stdin,
        stdout,
        stderr,
        child: Child { process, id, group },
    })
}

/// The most that is taken of what a short command writes, in bytes.
const MOST_WRITTEN: u64 = 256 << 20;

/// Runs a short command to its end, without input, and takes up what it writes. It shares our group: a
/// Ctrl-C ends it with us. Blocks.
///
/// # Errors
/// What the system says where the program cannot be started; and one that writes without an end, which would fill the memory, is killed.
pub fn run(command: Command) -> io::Result<Output> {
    run_within(command, MOST_WRITTEN)
}

fn run_within(mut command: Command, most: u64) -> io::Result<Output> {
    let piped = command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = piped.stderr(Stdio::piped()).spawn()?;
    let missing = || io::Error::other("the process has no standard streams");
    let mut said = child.stderr.take().ok_or_else(missing)?;
    let written = child.stdout.take().ok_or_else(missing)?;
    // Both are read at once, as neither waits for the other; of what is said the beginning is kept.
    let said = std::thread::spawn(move || {
        let mut kept = Vec::new();
        let read = said.by_ref().take(most).read_to_end(&mut kept);
        read.and_then(|_| io::copy(&mut said, &mut io::sink()))
            .map(|_| kept)
    });
    let mut stdout = Vec::new();
    let read = written
        .take(most.saturating_add(1))
        .read_to_end(&mut stdout);
    let too_long = read? as u64 > most;
    if too_long {
        child.kill()?;
    }
    let status = child.wait()?;
    if too_long {
        return Err(io::Error::other(format!(
            "it writes more than {} MiB",
            most >> 20
        )));
    }
    let stderr = said
        .join()
        .map_err(|_| io::Error::other("its errors cannot be read"))??;
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

/// Runs a short command to its end, without input and output, and gives whether it succeeded. Blocks.
///
/// # Errors
/// What the system says where the program cannot be started.
pub fn succeeds(mut command: Command) -> io::Result<bool> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(command.status()?.success())
}

/// A started process. Dropped, it is killed with all that is left of its group.
#[derive(Debug)]
pub struct Child {
    process: tokio::process::Child,
    id: Option<u32>,
    group: Leader,
}

impl Child {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.id.unwrap_or(0)
    }

    /// The group that it leads, to be signalled while another task waits for its end.
    pub fn group(&self) -> Leader {
        self.group
    }

    /// Waits for its end; what it left in its group goes on. Cancel-safe.
    pub async fn wait(&mut self) -> ExitStatus {
        ExitStatus::of_child(self.process.wait().await)
    }

    /// Kills all that is left of its group, once: its number may belong to other processes later.
    pub fn kill_group(&mut self) {
        std::mem::take(&mut self.group).kill();
    }

    /// Leaves alone what is left of its group, also when this is dropped.
    pub fn leave_group(&mut self) {
        self.group = Leader::default();
    }

    /// Kills the group and reaps the process.
    pub async fn kill(mut self) {
        self.kill_group();
        // One that leads no group is killed here; one that has ended already says so.
        let _ = self.process.kill().await;
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill_group();
    }
}

/// The leader of a process group, or none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Leader(Option<u32>);

impl Leader {
    /// Kills every member.
    fn kill(self) {
        #[cfg(unix)]
        self.signal(rustix::process::Signal::KILL);
    }

    /// Sends a signal to every member. A group without members needs none.
    #[cfg(unix)]
    pub fn signal(self, signal: rustix::process::Signal) {
        let leader = self
            .0
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw);
        if let Some(leader) = leader {
            // The group outlives its leader while a member is left; gone already is as good.
            let _ = rustix::process::kill_process_group(leader, signal);
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::AsyncReadExt;

    #[test]
    fn what_writes_without_an_end_is_killed_and_whatever_it_says_is_read() {
        let shell = |line: &str| {
            let mut command = program("/bin/sh");
            command.args(["-c", line]);
            run_within(command, 1 << 16)
        };
        let error = shell("exec yes").expect_err("no end");
        assert!(error.to_string().contains("it writes more than"), "{error}");
        let output = shell("yes | head -c 300000 >&2; echo done; exit 3").expect("output");
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(
            (output.stdout.as_slice(), output.stderr.len()),
            (&b"done\n"[..], 1 << 16)
        );
    }

    /// The number that the line after a marker names.
    async fn number(stdout: &mut ChildStdout) -> i32 {
        let mut text = String::new();
        while !text.ends_with('\n') {
            let mut byte = [0u8; 1];
            stdout.read_exact(&mut byte).await.unwrap();
            text.push(byte[0] as char);
        }
        text.trim().parse().unwrap()
    }

    fn is_alive(number: i32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        let state = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        state.is_some_and(|state| state != 'Z')
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_group_ends_with_its_handle_and_a_group_left_alone_goes_on() {
        let line = "sleep 60 & echo $!; wait";
        let mut ended = spawn(shell(line), Group::Own, ErrorOutput::Piped).unwrap();
        let mut left = spawn(shell(line), Group::Own, ErrorOutput::Piped).unwrap();
        let (first, second) = (
            number(&mut ended.stdout).await,
            number(&mut left.stdout).await,
        );
        assert!(is_alive(first) && is_alive(second));
        drop(ended);
        let leader = left.child.group();
        left.child.leave_group();
        left.child.kill().await;
        for _ in 0..500 {
            if !is_alive(first) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!is_alive(first), "the child of a child outlived its group");
        assert!(is_alive(second), "what was to be left alone was killed");
        leader.signal(rustix::process::Signal::KILL);
    }

    #[tokio::test]
    async fn what_shares_our_group_ignores_an_interrupt() {
        let mut quiet = ignoring_interrupts("/bin/sh");
        quiet.arg("-c").arg("kill -INT $$; exit 5");
        let mut spawned = spawn(quiet, Group::Shared, ErrorOutput::Piped).unwrap();
        assert_eq!(spawned.child.wait().await, ExitStatus::Code(5));
        let mut spawned = spawn(
            shell("kill -INT $$; exit 5"),
            Group::Own,
            ErrorOutput::Piped,
        )
        .unwrap();
        // Where the tests were started with interrupts ignored, as a shell does for what runs in the background, that is
        // inherited, and a shell cannot undo it.
        let expected = if crate::system::signals::is_ignored(2) {
            ExitStatus::Code(5)
        } else {
            ExitStatus::Signal("INT".to_owned())
        };
        assert_eq!(spawned.child.wait().await, expected);
    }
}
