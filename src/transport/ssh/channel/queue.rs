//! The queue between the session and a channel's reader, which never makes the session wait.
//!
//! russh hands a channel's data out through a queue of its own, which stalls the whole connection while nothing
//! reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::{mpsc, watch};

use crate::transport::{ExitStatus, ReadEvent};

/// Memory of unread output, in bytes, at which a channel is given up, so that a reader that has stopped cannot fill the memory.
pub(crate) const UNREAD_LIMIT: usize = 256 * 1024 * 1024;

/// What an event takes besides its bytes. It counts, because output may come byte by byte.
const EACH: usize = 128;

/// The session's end of a channel's queue.
pub(crate) struct Inlet {
    events: mpsc::UnboundedSender<ReadEvent>,
    unread: Arc<AtomicUsize>,
    exited: Arc<AtomicBool>,
    closed: watch::Sender<bool>,
    /// Whether the server has taken the command.
    pub(crate) started: bool,
    /// The server has said that no more output comes.
    output_ended: AtomicBool,
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

    /// Tells when the channel is closed.
    pub(crate) fn watch_closed(&self) -> watch::Receiver<bool> {
        self.closed.clone()
    }

    /// The next event; `None` when nothing more will come.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<ReadEvent>> {
        let polled = self.events.poll_recv(context);
        if let Poll::Ready(Some(event)) = &polled {
            self.unread.fetch_sub(size(event), Ordering::Relaxed);
        }
        polled
    }

    /// Waits until the channel is closed.
    pub(crate) async fn closed(&self) {
        _ = self.closed.clone().wait_for(|closed| *closed).await;
    }
}

fn size(event: &ReadEvent) -> usize {
    match event {
        ReadEvent::Stdout(bytes) | ReadEvent::Stderr(bytes) => bytes.len().saturating_add(EACH),
        ReadEvent::OutputEnd | ReadEvent::Exit(_) => 0,
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
            output_ended: AtomicBool::new(false),
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
    /// Takes an event in. False: the reader has gone, or is too far behind.
    pub(crate) fn push(&self, event: ReadEvent) -> bool {
        // Windows do not count any of these, so a queue must not fill with them.
        let passed_over = match &event {
            ReadEvent::Stdout(bytes) | ReadEvent::Stderr(bytes) => bytes.is_empty(),
            ReadEvent::OutputEnd => self.output_ended.swap(true, Ordering::Relaxed),
            ReadEvent::Exit(_) => self.exited.swap(true, Ordering::Relaxed),
        };
        if passed_over {
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

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn the_end_is_said_once() {
        let (inlet, mut outlet) = queue();
        assert!(inlet.push(ReadEvent::Exit(ExitStatus::Code(3))));
        assert!(inlet.push(ReadEvent::Exit(ExitStatus::Code(4))));
        for _ in 0..2 {
            assert!(inlet.push(ReadEvent::Stdout(Bytes::new())));
            assert!(inlet.push(ReadEvent::OutputEnd));
        }
        inlet.end(Some("lost"));
        drop(inlet);
        let mut events = Vec::new();
        while let Ok(event) = outlet.events.try_recv() {
            events.push(event);
        }
        let ends = [ReadEvent::Exit(ExitStatus::Code(3)), ReadEvent::OutputEnd];
        assert_eq!(events, ends);
    }

    #[test]
    fn a_reader_too_far_behind_loses_its_channel_and_learns_why() {
        let (inlet, mut outlet) = queue();
        // The same memory over and over, so that the test needs little of it.
        let piece = Bytes::from(vec![0u8; 16 * 1024 * 1024]);
        let pieces = UNREAD_LIMIT / piece.len();
        for _ in 1..pieces {
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

    #[test]
    fn output_byte_by_byte_takes_no_more_memory() {
        let (inlet, outlet) = queue();
        let mut taken = 0;
        while inlet.push(ReadEvent::Stderr(Bytes::from_static(b"y"))) {
            taken += 1;
        }
        assert!(taken <= UNREAD_LIMIT / EACH, "{taken} pieces");
        drop(outlet);
    }
}
