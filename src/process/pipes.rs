//! A child's three pipes as a transport's two halves.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use super::{Child, ExitStatus, Spawned};

/// What a process wrote, or how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadEvent {
    /// Bytes of its standard output.
    Stdout(Bytes),
    /// Bytes of its standard error.
    Stderr(Bytes),
    /// Its standard output has ended, though the process itself may go on; said once, by transports that learn of it.
    OutputEnd,
    /// It ended; said once, as far as the transport learns of it.
    Exit(ExitStatus),
}

/// How much is read at once, in bytes; a pipe holds 64 KiB unless it is made larger.
const READ: usize = 128 * 1024;

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
    ended: bool,
    out: BytesMut,
    err: BytesMut,
}

impl Spawned {
    /// The halves of a transport.
    pub fn into_halves(self) -> (Writer, Reader) {
        let writer = Writer {
            stdin: Some(self.stdin),
        };
        let reader = Reader {
            stdout: Some(self.stdout),
            stderr: self.stderr,
            child: self.child,
            ended: false,
            out: BytesMut::new(),
            err: BytesMut::new(),
        };
        (writer, reader)
    }
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
            let writes = self.stdout.is_some();
            self.out.reserve(READ);
            self.err.reserve(READ / 16);
            let event = tokio::select! {
                read = read(&mut self.stdout, &mut self.out) => read.then(|| ReadEvent::Stdout(self.out.split().freeze())),
                read = read(&mut self.stderr, &mut self.err) => read.then(|| ReadEvent::Stderr(self.err.split().freeze())),
                // A grandchild may hold the pipes open long after the child has gone.
                status = self.child.wait(), if !self.ended => {
                    self.ended = true;
                    Some(ReadEvent::Exit(status))
                }
            };
            if event.is_some() {
                return event;
            }
            if writes && self.stdout.is_none() {
                return Some(ReadEvent::OutputEnd);
            }
        }
        if self.ended {
            return None;
        }
        let status = self.child.wait().await;
        self.ended = true;
        Some(ReadEvent::Exit(status))
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
