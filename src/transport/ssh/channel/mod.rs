//! One command on one channel: its input, its output without blocking other channels, its end.
//!
//! The read half of the russh channel is dropped; the handler puts the data into a queue of ours (`queue`).

pub(crate) mod opening;
pub(crate) mod queue;
pub(crate) mod standby;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use russh::ChannelWriteHalf;
use russh::client::Msg;
use tokio::runtime::Handle as Runtime;
use tokio::sync::watch;

use crate::transport::ReadEvent;
use crate::transport::ssh::channel::opening::Confirmed;
use crate::transport::ssh::channel::queue::Outlet;
use crate::transport::ssh::handler::Shared;

/// What a channel in use needs of its connection.
pub(crate) struct Lease {
    /// The runtime of the session, because the thread that drops a channel may have none.
    pub(crate) runtime: Runtime,
    pub(crate) shared: Arc<Shared>,
    /// Runs once the channel is closed, and keeps the connection until then.
    pub(crate) on_release: Box<dyn FnOnce() + Send + Sync>,
}

/// Closes the channel when the last half is gone: russh does not, and sshd counts open ones.
struct Guard {
    write: Option<ChannelWriteHalf<Msg>>,
    lease: Option<Lease>,
    /// The command is to be signalled first.
    signals: AtomicBool,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (Some(write), Some(lease)) = (self.write.take(), self.lease.take()) else {
            return;
        };
        lease.shared.forget(write.id());
        let signals = self.signals.load(Ordering::Relaxed);
        lease.runtime.spawn(async move {
            if signals {
                // To the process group; by OpenSSH from 7.9 on.
                _ = write.signal(russh::Sig::TERM).await;
            }
            _ = write.close().await;
            // After the close message, because the last user's going ends the connection.
            (lease.on_release)();
        });
    }
}

impl Guard {
    fn write(&self) -> io::Result<&ChannelWriteHalf<Msg>> {
        self.write.as_ref().ok_or_else(broken_pipe)
    }
}

fn broken_pipe() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the channel is closed")
}

/// Batches of at most so many bytes are written in steps of `STEP` bytes. russh encrypts everything that waits for it into
/// one buffer, which stays as large as it ever was: tens of kilobytes a connection for nothing but the first call's parts.
/// Who sends more is better served by few large writes.
const IN_STEPS: usize = 64 * 1024;
const STEP: usize = 10 * 1024;

/// The input of a remote command.
#[derive(Debug)]
pub struct Writer {
    guard: Arc<Guard>,
    closed: watch::Receiver<bool>,
}

impl Writer {
    /// Sends all of `buffers`. Waits for the channel's window; an error when the channel is closed.
    pub async fn write(&mut self, buffers: Vec<Bytes>) -> io::Result<()> {
        let write = self.guard.write()?;
        let whole = buffers.iter().map(Bytes::len).sum::<usize>();
        let step = if whole > IN_STEPS { usize::MAX } else { STEP };
        let send = async {
            let mut waiting = 0;
            for mut buffer in buffers {
                while !buffer.is_empty() {
                    if waiting >= step {
                        // The session's task takes what waits, and writes it.
                        tokio::task::yield_now().await;
                        waiting = 0;
                    }
                    let piece = buffer.split_to(buffer.len().min(step - waiting));
                    waiting += piece.len();
                    write.data_bytes(piece).await.map_err(|_| broken_pipe())?;
                }
            }
            Ok(())
        };
        // russh would wait forever for the window of a channel that the server has closed.
        tokio::select! {
            biased;
            sent = send => sent,
            _ = self.closed.wait_for(|closed| *closed) => Err(broken_pipe()),
        }
    }

    /// Ends the command's input.
    pub async fn finish(&mut self) {
        if let Ok(write) = self.guard.write() {
            _ = write.eof().await;
        }
    }
}

/// The output of a remote command.
#[derive(Debug)]
pub struct Reader {
    outlet: Outlet,
    /// Kept so that the channel stays open while it is read.
    guard: Arc<Guard>,
}

impl Reader {
    /// Has the command signalled where the channel is closed before its end.
    pub fn signal_at_close(&self) {
        self.guard.signals.store(true, Ordering::Relaxed);
    }

    /// The next event; `None` when nothing more will come. Cancel-safe.
    pub async fn next(&mut self) -> Option<ReadEvent> {
        std::future::poll_fn(|context| self.outlet.poll_next(context)).await
    }

    /// As `next`, for a stream that is polled.
    pub(crate) fn poll_next(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<ReadEvent>> {
        self.outlet.poll_next(context)
    }
}

/// The two halves of a channel that the server has confirmed. From here on dropping both closes it.
pub(crate) fn halves(Confirmed { write, outlet }: Confirmed, lease: Lease) -> (Writer, Reader) {
    let closed = outlet.watch_closed();
    let guard = Arc::new(Guard {
        write: Some(write),
        lease: Some(lease),
        signals: AtomicBool::new(false),
    });
    (
        Writer {
            guard: Arc::clone(&guard),
            closed,
        },
        Reader { outlet, guard },
    )
}

/// Asks for the command without waiting for the answer: a refusal ends the channel.
pub(crate) async fn exec(
    write: &ChannelWriteHalf<Msg>,
    environment: &[(String, String)],
    command: &str,
) -> Result<(), russh::Error> {
    for (name, value) in environment {
        write.set_env(false, name.as_str(), value.as_str()).await?;
    }
    write.exec(true, command).await
}

impl Writer {
    /// Starts the command of this channel.
    pub(crate) async fn exec(
        &mut self,
        environment: &[(String, String)],
        command: &str,
    ) -> io::Result<()> {
        exec(self.guard.write()?, environment, command)
            .await
            .map_err(|_| broken_pipe())
    }
}
