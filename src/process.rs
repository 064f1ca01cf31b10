//! A child process of this one as a transport's two halves; `local` and `openssh` start one each.

use std::fmt;
use std::io;
use std::process::Stdio;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// What a process wrote, or how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadEvent {
    /// Bytes of its standard output.
    Stdout(Bytes),
    /// Bytes of its standard error.
    Stderr(Bytes),
    /// It ended; said once, as far as the transport learns of it.
    Exit(ExitStatus),
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitStatus {
    /// Its exit code.
    Code(i32),
    /// The signal that ended it, by name without `SIG`, such as `KILL`.
    Signal(String),
    /// It ended, or the connection did, and nobody said how; the sentence says what is known.
    Unknown(String),
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitStatus::Code(code) => write!(f, "the process ended with exit status {code}"),
            ExitStatus::Signal(name) => write!(f, "the process was ended by signal {name}"),
            ExitStatus::Unknown(why) => f.write_str(why),
        }
    }
}

/// How much is read at once, in bytes; a pipe holds 64 KiB unless it is made larger.
const READ: usize = 128 * 1024;

/// Which process group a child belongs to. Either way a Ctrl-C on our terminal is ours to handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// One of its own, which is ended as a whole. The system stops it where it reads the terminal.
    Own,
    /// Ours, so that it may ask on the terminal. It is to ignore the interrupt: see [`DEAF`].
    Ours,
}

/// Goes before a shell's command: what it runs does not hear a Ctrl-C, as if it were in a group of its own.
pub const DEAF: &str = "trap '' INT; ";

/// The write half: the child's standard input.
#[derive(Debug)]
pub struct Writer {
    stdin: Option<ChildStdin>,
}

/// The read half: output, standard error and the child itself, which ends when this is dropped.
#[derive(Debug)]
pub struct Reader {
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    child: Child,
    group: Option<u32>,
    ended: bool,
    out: BytesMut,
    err: BytesMut,
}

/// Starts a command in a process group of its own, with pipes.
///
/// # Errors
/// What the system says where the program cannot be started.
pub fn spawn(mut command: Command, group: Group) -> io::Result<(Writer, Reader)> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    #[cfg(unix)]
    if group == Group::Own {
        command.process_group(0);
    }
    #[cfg(not(unix))]
    let _ = group;
    let mut child = command.spawn()?;
    let writer = Writer {
        stdin: child.stdin.take(),
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let group = child.id();
    let (out, err) = (BytesMut::new(), BytesMut::new());
    Ok((
        writer,
        Reader {
            stdout,
            stderr,
            child,
            group,
            ended: false,
            out,
            err,
        },
    ))
}

impl Writer {
    /// Writes all of it.
    ///
    /// # Errors
    /// What the system says, such as a broken pipe.
    pub async fn write(&mut self, data: Vec<Bytes>) -> io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        for piece in data {
            stdin.write_all(&piece).await?;
        }
        stdin.flush().await
    }

    /// Ends the child's input.
    pub async fn finish(&mut self) {
        self.stdin = None;
    }
}

impl Reader {
    /// The next event; safe to drop and call again.
    pub async fn next(&mut self) -> Option<ReadEvent> {
        while self.stdout.is_some() || self.stderr.is_some() {
            self.out.reserve(READ);
            self.err.reserve(READ / 16);
            let event = tokio::select! {
                read = read(&mut self.stdout, &mut self.out) => read.then(|| ReadEvent::Stdout(self.out.split().freeze())),
                read = read(&mut self.stderr, &mut self.err) => read.then(|| ReadEvent::Stderr(self.err.split().freeze())),
                // A grandchild may hold the pipes open long after the child has gone.
                status = self.child.wait(), if !self.ended => {
                    self.ended = true;
                    Some(ReadEvent::Exit(exit_status(status)))
                }
            };
            if event.is_some() {
                return event;
            }
        }
        if self.ended {
            return None;
        }
        let status = self.child.wait().await;
        self.ended = true;
        Some(ReadEvent::Exit(exit_status(status)))
    }
}

/// Reads some; on the end the stream is put away. Cancel-safe, because a read either takes place or does not.
async fn read<R: tokio::io::AsyncRead + Unpin>(
    stream: &mut Option<R>,
    buffer: &mut BytesMut,
) -> bool {
    match stream {
        None => std::future::pending().await,
        Some(open) => {
            let more = matches!(open.read_buf(buffer).await, Ok(count) if count > 0);
            if !more {
                *stream = None;
            }
            more
        }
    }
}

fn exit_status(status: io::Result<std::process::ExitStatus>) -> ExitStatus {
    match status {
        Err(error) => ExitStatus::Unknown(format!(
            "the child process could not be waited for: {error}"
        )),
        Ok(status) => {
            #[cfg(unix)]
            if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
                return ExitStatus::Signal(signal_name(signal));
            }
            status
                .code()
                .map_or_else(|| ExitStatus::Unknown(status.to_string()), ExitStatus::Code)
        }
    }
}

#[cfg(unix)]
pub(crate) fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        4 => "ILL",
        6 => "ABRT",
        7 => "BUS",
        8 => "FPE",
        9 => "KILL",
        11 => "SEGV",
        13 => "PIPE",
        14 => "ALRM",
        15 => "TERM",
        other => return other.to_string(),
    };
    name.to_owned()
}

impl Drop for Reader {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(pid) = self
            .group
            .and_then(|id| rustix::process::Pid::from_raw(id as i32))
        {
            // The group outlives its leader while a member is left; gone already is as good.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}
