//! One channel as its owner holds it: what came and waits to be taken, who waits, and how it ends.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Connection;
use super::completion::Failure;
use crate::error::Error;
use crate::session::{ChannelEvent, ChannelId};
use crate::wire::{HEADER, Segments};

/// Why nothing more can be sent or taken.
#[derive(Debug, Clone)]
pub enum ChannelError {
    /// The connection has ended.
    Lost(Failure),
    /// The other end broke off what it sent, and says why.
    Broken(String),
    /// The other end reads no more.
    Unread,
    /// This end was closed.
    Closed,
    /// An item is longer than this many bytes.
    TooLarge(u64),
}

impl ChannelError {
    /// As the public error.
    pub fn into_error(self, host: &str) -> Error {
        let host = host.to_owned();
        let reason = match self {
            ChannelError::Lost(failure) => return failure.into_error(&host),
            ChannelError::TooLarge(limit) => return Error::TooLarge { host, limit },
            ChannelError::Broken(reason) => reason,
            ChannelError::Unread => "the other end reads no more".to_owned(),
            ChannelError::Closed => "this end has been closed".to_owned(),
        };
        Error::Channel { host, reason }
    }
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<(Segments, bool)>,
    /// What has been taken of an item that has not come in full.
    item: Segments,
    /// The other end sends no more, and why if it broke off.
    ended: Option<Option<String>>,
    /// The other end reads no more.
    unread: bool,
    /// This end sends no more; this end reads no more.
    done: bool,
    stopped: bool,
    lost: Option<Failure>,
    /// Taken and not returned.
    taken: u64,
    readers: Vec<Waker>,
    writers: Vec<Waker>,
}

/// What the connection knows of a channel.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<State>);

impl Line {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what happened; gives those whom it wakes.
    pub(super) fn take(&self, event: ChannelEvent) -> Vec<Waker> {
        let mut state = self.lock();
        match event {
            ChannelEvent::Data { payload, more } => {
                if state.stopped {
                    return Vec::new();
                }
                state.chunks.push_back((payload, more));
                std::mem::take(&mut state.readers)
            }
            ChannelEvent::Ended(reason) => {
                state.ended.get_or_insert(reason);
                std::mem::take(&mut state.readers)
            }
            ChannelEvent::Room => std::mem::take(&mut state.writers),
            ChannelEvent::Stopped => {
                state.unread = true;
                std::mem::take(&mut state.writers)
            }
            ChannelEvent::Closed => Vec::new(),
        }
    }

    /// The connection has ended; gives those whom it wakes.
    pub(super) fn lose(&self, failure: &Failure) -> Vec<Waker> {
        let mut state = self.lock();
        state.lost.get_or_insert_with(|| failure.clone());
        let mut wakers = std::mem::take(&mut state.readers);
        wakers.append(&mut state.writers);
        wakers
    }
}

/// One end of a channel. Dropped without [`end`](Self::end), its direction breaks off.
#[derive(Debug)]
pub struct Channel {
    connection: Connection,
    id: ChannelId,
    line: Arc<Line>,
    window: u64,
}

impl Channel {
    pub(super) fn new(
        connection: Connection,
        id: ChannelId,
        line: Arc<Line>,
        window: u64,
    ) -> Channel {
        Channel {
            connection,
            id,
            line,
            window,
        }
    }

    /// The number by which a request names it.
    pub fn number(&self) -> u32 {
        self.id.number()
    }

    /// Which it is.
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// The connection that it belongs to.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Ready when there is room to send more.
    pub fn poll_room(&self, context: &mut Context<'_>) -> Poll<Result<(), ChannelError>> {
        {
            let mut state = self.line.lock();
            if let Some(error) = cannot_send(&state) {
                return Poll::Ready(Err(error));
            }
            note(&mut state.writers, context);
        }
        // Noted first and looked for second, because it may come in between.
        match self.connection.shared().has_room(self.id) {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    /// Waits until there is room to send more.
    ///
    /// # Errors
    /// Why nothing more can be sent.
    pub async fn room(&self) -> Result<(), ChannelError> {
        std::future::poll_fn(|context| self.poll_room(context)).await
    }

    /// Queues an item, or some bytes; any number of them is taken.
    ///
    /// # Errors
    /// Why nothing more can be sent.
    pub fn send(&self, payload: impl Into<Segments>) -> Result<(), ChannelError> {
        if let Some(error) = cannot_send(&self.line.lock()) {
            return Err(error);
        }
        let payload = payload.into();
        let taken = self
            .connection
            .shared()
            .with_session(|session| session.channel_send(self.id, payload));
        if taken {
            return Ok(());
        }
        Err(cannot_send(&self.line.lock()).unwrap_or(ChannelError::Unread))
    }

    /// Ends the direction from here: behind what is queued, or at once for a reason.
    pub fn end(&self, reason: Option<&str>) {
        let wakers = {
            let mut state = self.line.lock();
            if std::mem::replace(&mut state.done, true) {
                return;
            }
            std::mem::take(&mut state.writers)
        };
        self.connection
            .shared()
            .with_session(|session| session.channel_end(self.id, reason));
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Reads no more. What came and was not taken is dropped.
    pub fn stop(&self) {
        let (wakers, dropped) = {
            let mut state = self.line.lock();
            if std::mem::replace(&mut state.stopped, true) {
                return;
            }
            let dropped = (
                std::mem::take(&mut state.chunks),
                std::mem::take(&mut state.item),
            );
            (std::mem::take(&mut state.readers), dropped)
        };
        self.connection
            .shared()
            .with_session(|session| session.channel_stop(self.id));
        wakers.into_iter().for_each(Waker::wake);
        drop(dropped);
    }

    /// The next bytes as they came; none at the end.
    pub fn poll_bytes(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Segments, ChannelError>>> {
        let chunk = self.poll_chunk(context);
        chunk.map(|chunk| chunk.map(|chunk| chunk.map(|(payload, _)| payload)))
    }

    /// The next item, of at most `limit` bytes; none at the end. May be dropped at any time and asked again.
    pub fn poll_item(
        &self,
        context: &mut Context<'_>,
        limit: u64,
    ) -> Poll<Option<Result<Segments, ChannelError>>> {
        loop {
            let (payload, more) = match self.poll_chunk(context) {
                Poll::Ready(Some(Ok(chunk))) => chunk,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) if self.line.lock().item.is_empty() => return Poll::Ready(None),
                Poll::Ready(None) => {
                    let reason = "the other end ended in the middle of an item".to_owned();
                    return Poll::Ready(Some(Err(ChannelError::Broken(reason))));
                }
                Poll::Pending => return Poll::Pending,
            };
            let mut state = self.line.lock();
            if !more && state.item.is_empty() {
                return Poll::Ready(Some(Ok(payload)));
            }
            state.item.append(payload);
            if state.item.len() as u64 > limit {
                drop(state);
                self.stop();
                return Poll::Ready(Some(Err(ChannelError::TooLarge(limit))));
            }
            if !more {
                return Poll::Ready(Some(Ok(std::mem::take(&mut state.item))));
            }
        }
    }

    /// Whether something came and waits, or nothing more will come.
    pub fn is_readable(&self) -> bool {
        let state = self.line.lock();
        !state.chunks.is_empty() || state.ended.is_some() || state.stopped || state.lost.is_some()
    }

    /// Ready when something came and waits, or nothing more will come.
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_readable() {
            return Poll::Ready(());
        }
        note(&mut self.line.lock().readers, context);
        // Noted first and looked for second, because it may come in between.
        match self.is_readable() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    fn poll_chunk(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<(Segments, bool), ChannelError>>> {
        let (chunk, taken) = {
            let mut state = self.line.lock();
            if state.stopped {
                return Poll::Ready(Some(Err(ChannelError::Closed)));
            }
            let Some(chunk) = state.chunks.pop_front() else {
                return match (&state.ended, &state.lost) {
                    (Some(None), _) => Poll::Ready(None),
                    (Some(Some(reason)), _) => {
                        Poll::Ready(Some(Err(ChannelError::Broken(reason.clone()))))
                    }
                    (None, Some(failure)) => {
                        Poll::Ready(Some(Err(ChannelError::Lost(failure.clone()))))
                    }
                    (None, None) => {
                        note(&mut state.readers, context);
                        Poll::Pending
                    }
                };
            };
            state.taken += (HEADER + chunk.0.len()) as u64;
            // A quarter at a time: few frames, and the other end never runs dry.
            let due = state.taken >= self.window / 4 && state.ended.is_none();
            let taken = due.then(|| std::mem::take(&mut state.taken));
            (chunk, taken)
        };
        if let Some(taken) = taken {
            self.connection
                .shared()
                .with_session(|session| session.channel_taken(self.id, taken));
        }
        Poll::Ready(Some(Ok(chunk)))
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.end(Some("the other end has dropped the channel"));
        self.stop();
    }
}

fn cannot_send(state: &State) -> Option<ChannelError> {
    if state.done {
        return Some(ChannelError::Closed);
    }
    if state.unread {
        return Some(ChannelError::Unread);
    }
    state.lost.clone().map(ChannelError::Lost)
}

fn note(wakers: &mut Vec<Waker>, context: &Context<'_>) {
    if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
        wakers.push(context.waker().clone());
    }
}
