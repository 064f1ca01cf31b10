//! A live authenticated connection: moves messages over a socket in both directions, answers
//! pings, keeps to the windows and notices a dead peer. Both ends of the TCP transport run it.

mod reading;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use crate::wire::authentication::{
    AuthenticationError, Exit, Message, Open, Opened, Opener, SEALED_HEADER, SEALED_TAG, Sealer,
    WINDOW,
};

use reading::Reading;

/// Silence after which a side asks whether the other is there (AU-17).
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(15);
/// Silence after which the other side is taken for dead (AU-17).
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// Room made for reading at once.
const READ_SIZE: usize = 65_536;
/// Bytes sealed before they are handed to the socket.
const WRITE_SIZE: usize = 262_144;

/// Which end of the link this is: it decides what the other may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// This is the client's end.
    Client,
    /// This is the server's end.
    Server,
}

/// When a side asks and when it gives up.
#[derive(Clone, Copy, Debug)]
pub struct Liveness {
    /// Silence after which a PING goes out.
    pub ping: Duration,
    /// Silence after which the link ends.
    pub silence: Duration,
}

impl Default for Liveness {
    fn default() -> Self {
        Liveness {
            ping: PING_INTERVAL,
            silence: SILENCE_LIMIT,
        }
    }
}

/// Why a link ended out of order.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// A frame or its content was not acceptable.
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    /// The other side said why.
    #[error("{0}")]
    Peer(String),
    /// The connection ended without an orderly end.
    #[error("the connection was cut off")]
    Truncated,
    /// Nothing was heard for so long.
    #[error("nothing was received from the other side for {} s", .0.as_secs_f64())]
    Silent(Duration),
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What came from the other side.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// Client's command.
    Open(Open),
    /// Server's answer to it.
    Opened(Opened),
    /// Standard input or output.
    Data(Bytes),
    /// Standard error.
    Stderr(Bytes),
    /// No more DATA.
    End,
    /// How the command ended.
    Exit(Exit),
    /// The orderly end.
    Close,
}

enum Outgoing {
    Plain(Vec<u8>),
    Data(Bytes),
    Stderr(Bytes),
}

#[derive(Default)]
struct State {
    queue: VecDeque<Outgoing>,
    /// Bytes taken by this side's owner and not yet returned.
    credit: u32,
    /// Bytes received and not yet taken; the other side may not let it pass the window.
    held: u32,
    ping: bool,
    pong: bool,
    /// Nothing more is queued; what is queued is sent, then the socket is shut down.
    ending: bool,
    /// The writer has sent all it will.
    written: bool,
}

struct Shared {
    state: Mutex<State>,
    /// Wakes the writing task.
    work: Notify,
    /// Tells that the writing task has ended.
    done: Notify,
    /// Ends the reading task.
    stop: Notify,
    /// Ends the writing task, whatever it waits for.
    broken: Notify,
    /// What this side may still send.
    window: Semaphore,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; a poisoned lock holds good data all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, outgoing: Outgoing) {
        let mut state = self.state();
        if !state.ending {
            state.queue.push_back(outgoing);
            drop(state);
            self.work.notify_one();
        }
    }

    fn end(&self) {
        self.state().ending = true;
        // A task that waits for room in the window must not wait forever.
        self.window.close();
        self.work.notify_one();
    }
}

impl Shared {
    /// Returns when the writing task has ended.
    async fn written(&self) {
        loop {
            let done = self.done.notified();
            if self.state().written {
                return;
            }
            done.await;
        }
    }
}

/// Ends the link when its last handle is gone.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        let shared = &self.0;
        shared.queue(Outgoing::Plain(Message::Close.head()));
        shared.end();
        shared.stop.notify_one();
    }
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Owner")
    }
}

/// The sending handle.
#[derive(Clone, Debug)]
pub(crate) struct LinkSender(Arc<Owner>);

/// The receiving handle.
#[derive(Debug)]
pub(crate) struct LinkReceiver {
    incoming: mpsc::UnboundedReceiver<Result<Incoming, LinkError>>,
    owner: Arc<Owner>,
}

/// Takes over an authenticated socket. `rest` is what was read from it behind the handshake.
/// Needs a tokio runtime; two tasks run until the link ends or both handles are dropped.
pub(crate) fn start(
    stream: TcpStream,
    rest: BytesMut,
    side: Side,
    sealer: Sealer,
    opener: Opener,
    liveness: Liveness,
) -> (LinkSender, LinkReceiver) {
    let shared = Arc::new(Shared {
        state: Mutex::default(),
        work: Notify::new(),
        done: Notify::new(),
        stop: Notify::new(),
        broken: Notify::new(),
        window: Semaphore::new(WINDOW as usize),
    });
    let (read, write) = stream.into_split();
    // The channel needs no bound of its own: the window bounds what is in it.
    let (sender, incoming) = mpsc::unbounded_channel();
    tokio::spawn(write_all(write, sealer, shared.clone()));
    let reader = Reading {
        read,
        opener,
        side,
        liveness,
        buffer: rest,
        came: 0,
        shared: shared.clone(),
        received: sender,
    };
    tokio::spawn(reader.run());
    let owner = Arc::new(Owner(shared));
    (LinkSender(owner.clone()), LinkReceiver { incoming, owner })
}

fn over() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the connection has ended")
}

impl LinkSender {
    /// Sends bytes of standard input or output; waits while the other side has no room.
    pub(crate) async fn data(&self, bytes: Bytes) -> io::Result<()> {
        self.bulk(bytes, Outgoing::Data).await
    }

    /// Sends bytes of standard error; waits while the other side has no room.
    pub(crate) async fn stderr(&self, bytes: Bytes) -> io::Result<()> {
        self.bulk(bytes, Outgoing::Stderr).await
    }

    async fn bulk(&self, mut bytes: Bytes, wrap: fn(Bytes) -> Outgoing) -> io::Result<()> {
        let shared = &self.0.0;
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(Message::DATA_MAX));
            let size = u32::try_from(piece.len()).map_err(|_| over())?;
            let room = shared.window.acquire_many(size).await;
            room.map_err(|_| over())?.forget();
            shared.queue(wrap(piece));
        }
        Ok(())
    }

    /// Sends a message without bulk data.
    pub(crate) fn send(&self, message: &Message<'_>) {
        let mut content = message.head();
        content.extend_from_slice(message.body());
        self.0.0.queue(Outgoing::Plain(content));
    }

    /// Sends what is queued, then ends this direction; returns when that is done or has failed.
    pub(crate) async fn finish(&self) {
        let shared = &self.0.0;
        shared.end();
        shared.written().await;
    }
}

impl LinkReceiver {
    /// The next thing that arrived; None after an orderly end and after an error was returned. Can be
    /// cancelled without losing anything. Say `taken` of bulk data when it is out of the way.
    pub(crate) async fn next(&mut self) -> Option<Result<Incoming, LinkError>> {
        self.incoming.recv().await
    }

    /// What says `taken`, for use where the receiver itself is not.
    pub(crate) fn taker(&self) -> Taker {
        Taker(self.owner.clone())
    }
}

/// Gives the other side room for more.
#[derive(Debug)]
pub(crate) struct Taker(Arc<Owner>);

impl Taker {
    /// So many bytes of DATA or STDERR are out of the way.
    pub(crate) fn taken(&self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let shared = &self.0.0;
        let mut state = shared.state();
        state.held = state.held.saturating_sub(bytes);
        state.credit = state.credit.saturating_add(bytes);
        let due = state.credit >= WINDOW / 4;
        drop(state);
        if due {
            shared.work.notify_one();
        }
    }
}

async fn write_all(mut write: OwnedWriteHalf, mut sealer: Sealer, shared: Arc<Shared>) {
    let result = tokio::select! {
        result = write_queue(&mut write, &mut sealer, &shared) => result,
        () = shared.broken.notified() => Err(LinkError::Truncated),
    };
    if result.is_ok() {
        // The other side sees the end of input behind the last frame.
        let _ = write.shutdown().await;
    }
    // A failure is not reported from here: the reading task sees the same socket fail.
    shared.state().written = true;
    shared.window.close();
    shared.done.notify_waiters();
}

async fn write_queue(
    write: &mut OwnedWriteHalf,
    sealer: &mut Sealer,
    shared: &Shared,
) -> Result<(), LinkError> {
    let mut out = Vec::new();
    loop {
        let ending = fill(&mut out, sealer, shared)?;
        if out.is_empty() {
            if ending {
                return Ok(());
            }
            // An idle link holds no buffer.
            out = Vec::new();
            shared.work.notified().await;
            continue;
        }
        write.write_all(&out).await?;
        out.clear();
    }
}

/// Seals what is due, control messages first; says whether the link is ending.
fn fill(out: &mut Vec<u8>, sealer: &mut Sealer, shared: &Shared) -> Result<bool, LinkError> {
    let mut state = shared.state();
    if state.credit >= WINDOW / 4 {
        let credit = std::mem::take(&mut state.credit);
        sealer.seal(&[&Message::Credit(credit).head()], out)?;
    }
    if std::mem::take(&mut state.pong) {
        sealer.seal(&[&Message::Pong.head()], out)?;
    }
    if std::mem::take(&mut state.ping) {
        sealer.seal(&[&Message::Ping.head()], out)?;
    }
    while out.len() < WRITE_SIZE {
        let Some(next) = state.queue.pop_front() else {
            break;
        };
        match next {
            Outgoing::Plain(content) => sealer.seal(&[&content], out)?,
            Outgoing::Data(bytes) => sealer.seal(&[&Message::Data(&[]).head(), &bytes], out)?,
            Outgoing::Stderr(bytes) => sealer.seal(&[&Message::Stderr(&[]).head(), &bytes], out)?,
        }
    }
    Ok(state.ending)
}

#[cfg(test)]
mod tests;
