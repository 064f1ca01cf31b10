//! One command on one channel: its input, its output without holding up other channels, its end.
//!
//! russh hands a channel's data out through a queue that stalls the whole connection while nobody
//! reads it. So the read half of the russh channel is dropped, and the handler puts the data into
//! a queue of ours, which never makes the session wait.

pub(crate) mod opening;
pub(crate) mod standby;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use russh::ChannelWriteHalf;
use russh::client::Msg;
use tokio::sync::{mpsc, watch};

use crate::transport::ssh::channel::opening::Confirmed;
use crate::transport::ssh::connection::Connection;
use crate::transport::{ExitStatus, ReadEvent};

/// Unread bytes at which a channel is given up, so that a reader that has stopped cannot fill the memory.
pub(crate) const UNREAD_LIMIT: usize = 256 * 1024 * 1024;

/// The session's end of a channel's queue.
pub(crate) struct Inlet {
    events: mpsc::UnboundedSender<ReadEvent>,
    unread: Arc<AtomicUsize>,
    exited: Arc<AtomicBool>,
    closed: watch::Sender<bool>,
    /// Whether the server has taken the command.
    pub(crate) started: bool,
}

/// The reader's end of a channel's queue.
#[derive(Debug)]
pub(crate) struct Outlet {
    events: mpsc::UnboundedReceiver<ReadEvent>,
    unread: Arc<AtomicUsize>,
    exited: Arc<AtomicBool>,
    closed: watch::Receiver<bool>,
}

impl Outlet {
    /// Nothing can come of the channel any more, but for what is in the queue.
    pub(crate) fn is_over(&self) -> bool {
        // A channel without its end of the queue is one that the session has dropped.
        *self.closed.borrow()
            || self.closed.has_changed().is_err()
            || self.exited.load(Ordering::Relaxed)
    }

    /// Waits until the channel is closed.
    pub(crate) async fn closed(&self) {
        _ = self.closed.clone().wait_for(|closed| *closed).await;
    }
}

fn size(event: &ReadEvent) -> usize {
    match event {
        ReadEvent::Stdout(bytes) | ReadEvent::Stderr(bytes) => bytes.len(),
        ReadEvent::Exit(_) => 0,
    }
}

/// A queue for one channel.
pub(crate) fn queue() -> (Inlet, Outlet) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (closed, watcher) = watch::channel(false);
    let unread = Arc::new(AtomicUsize::new(0));
    let exited = Arc::new(AtomicBool::new(false));
    (
        Inlet {
            events: sender,
            unread: Arc::clone(&unread),
            exited: Arc::clone(&exited),
            closed,
            started: false,
        },
        Outlet {
            events: receiver,
            unread,
            exited,
            closed: watcher,
        },
    )
}

impl Inlet {
    /// Takes an event in. False: nobody reads any more, or too far behind.
    pub(crate) fn push(&self, event: ReadEvent) -> bool {
        if matches!(event, ReadEvent::Exit(_)) && self.exited.swap(true, Ordering::Relaxed) {
            return true;
        }
        let bytes = size(&event);
        let before = self.unread.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > UNREAD_LIMIT {
            self.end(Some(&format!(
                "the channel was given up: {} MiB of its output were not read",
                UNREAD_LIMIT >> 20
            )));
            return false;
        }
        self.events.send(event).is_ok()
    }

    /// The channel is over: `why` stands in for an exit status that never came.
    pub(crate) fn end(&self, why: Option<&str>) {
        if !self.exited.swap(true, Ordering::Relaxed) {
            let why = why.unwrap_or("the server closed the channel without an exit status");
            _ = self
                .events
                .send(ReadEvent::Exit(ExitStatus::Unknown(why.to_owned())));
        }
        self.closed.send_replace(true);
    }
}

/// Closes the channel when the last half is gone: russh does not, and sshd counts open ones.
struct Guard {
    write: Option<ChannelWriteHalf<Msg>>,
    connection: Option<Arc<Connection>>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (Some(write), Some(connection)) = (self.write.take(), self.connection.take()) else {
            return;
        };
        connection.shared().forget(write.id());
        // The runtime of the session, because the thread that drops us may have none.
        let runtime = connection.runtime().clone();
        runtime.spawn(async move {
            _ = write.close().await;
            connection.released();
            // After the close message, because the last user's going ends the connection.
            drop(connection);
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
        let send = async {
            for buffer in buffers {
                write.data_bytes(buffer).await.map_err(|_| broken_pipe())?;
            }
            Ok(())
        };
        // russh would wait for ever for the window of a channel that the server has closed.
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
    /// Kept so that the channel stays open while somebody reads.
    _guard: Arc<Guard>,
}

impl Reader {
    /// The next event; `None` when nothing more will come. Cancel-safe.
    pub async fn next(&mut self) -> Option<ReadEvent> {
        let event = self.outlet.events.recv().await?;
        self.outlet
            .unread
            .fetch_sub(size(&event), Ordering::Relaxed);
        Some(event)
    }
}

impl Reader {
    /// As `next`, for a stream that is polled.
    pub(crate) fn poll_next(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<ReadEvent>> {
        let polled = self.outlet.events.poll_recv(context);
        if let std::task::Poll::Ready(Some(event)) = &polled {
            self.outlet.unread.fetch_sub(size(event), Ordering::Relaxed);
        }
        polled
    }
}

/// Wires a channel that the server has confirmed. From here on dropping both halves closes it.
pub(crate) fn wire(
    Confirmed { write, outlet }: Confirmed,
    connection: Arc<Connection>,
) -> (Writer, Reader) {
    let closed = outlet.closed.clone();
    let guard = Arc::new(Guard {
        write: Some(write),
        connection: Some(connection),
    });
    (
        Writer {
            guard: Arc::clone(&guard),
            closed,
        },
        Reader {
            outlet,
            _guard: guard,
        },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_said_once() {
        let (inlet, mut outlet) = queue();
        assert!(inlet.push(ReadEvent::Exit(ExitStatus::Code(3))));
        assert!(inlet.push(ReadEvent::Exit(ExitStatus::Code(4))));
        inlet.end(Some("lost"));
        drop(inlet);
        let mut events = Vec::new();
        while let Ok(event) = outlet.events.try_recv() {
            events.push(event);
        }
        assert_eq!(events, [ReadEvent::Exit(ExitStatus::Code(3))]);
    }

    #[test]
    fn a_reader_too_far_behind_loses_its_channel_and_learns_why() {
        let (inlet, mut outlet) = queue();
        // The same memory over and over, so that the test needs little of it.
        let piece = Bytes::from(vec![0u8; 16 * 1024 * 1024]);
        let pieces = UNREAD_LIMIT / piece.len();
        for _ in 0..pieces {
            assert!(inlet.push(ReadEvent::Stdout(piece.clone())));
        }
        assert!(!inlet.push(ReadEvent::Stdout(piece)));
        assert!(*outlet.closed.borrow());
        let mut last = None;
        while let Ok(event) = outlet.events.try_recv() {
            last = Some(event);
        }
        let Some(ReadEvent::Exit(ExitStatus::Unknown(why))) = last else {
            panic!("{last:?}");
        };
        assert!(why.contains("256 MiB of its output were not read"), "{why}");
    }
}
