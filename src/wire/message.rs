//! Messages: cut into frames on the way out, put together on the way in (FR-8, FR-9, FR-12).

use super::compression::{deflate, inflate};
use super::error::ProtocolError;
use super::frame::Frame;
use super::kind::{Flags, Kind};
use super::segments::{Gather, Segments};

/// Payload bytes of one frame of a message that is sent in several.
pub const CHUNK: usize = 131_072;
/// The longest message, in bytes.
pub const MAX_MESSAGE: u64 = 1 << 40;

/// A message that is being sent: yields its frames one by one, slices of its payload.
#[derive(Debug)]
pub struct Outgoing {
    kind: Kind,
    flags: Flags,
    request: u32,
    thread: i32,
    left: Segments,
    started: bool,
}

impl Outgoing {
    /// A message of this kind. `flags` are those of its first frame without MORE and DEFLATED.
    pub fn new(kind: Kind, flags: Flags, request: u32, thread: i32, payload: Segments) -> Outgoing {
        Outgoing {
            kind,
            flags,
            request,
            thread,
            left: payload,
            started: false,
        }
    }

    /// Sets the thread, where it was not known from the start.
    pub fn set_thread(&mut self, thread: i32) {
        self.thread = thread;
    }

    /// Whether a frame was taken already.
    pub fn started(&self) -> bool {
        self.started
    }

    /// Whether every frame was taken.
    pub fn is_done(&self) -> bool {
        self.started && self.left.is_empty()
    }

    /// Payload bytes of the next frame, before deflating.
    pub fn next_length(&self) -> usize {
        self.left.len().min(CHUNK)
    }

    /// The next frame. Once the message is done there is none.
    pub fn next_frame(&mut self, compress: bool) -> Option<Frame> {
        self.next_chunk(CHUNK, compress)
    }

    /// The same with at most so many bytes of payload before deflating.
    pub fn next_chunk(&mut self, most: usize, compress: bool) -> Option<Frame> {
        if self.is_done() {
            return None;
        }
        let mut payload = self.left.split_to(most.min(CHUNK));
        let (kind, own) = match self.kind {
            Kind::Channel => (Kind::Channel, Flags::NONE),
            _ if self.started => (Kind::Data, Flags::NONE),
            kind => (kind, self.flags),
        };
        self.started = true;
        let mut flags = own.with_if(Flags::MORE, !self.left.is_empty());
        if compress && let Some(deflated) = deflate(&payload) {
            payload = Segments::from(deflated);
            flags = flags | Flags::DEFLATED;
        }
        Some(Frame {
            kind,
            flags,
            request: self.request,
            thread: self.thread,
            payload,
        })
    }
}

/// A whole message as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The kind of its first frame.
    pub kind: Kind,
    /// The flags of its first frame, without MORE and DEFLATED.
    pub flags: Flags,
    /// Its payload, inflated.
    pub payload: Segments,
}

/// A message that is being received.
#[derive(Debug)]
pub struct Incoming {
    kind: Kind,
    flags: Flags,
    limit: u64,
    received: u64,
    // None once the message is not wanted any more: its chunks are counted, not kept.
    gather: Option<Gather>,
}

impl Incoming {
    /// Begins a message with its first frame; `limit` is the longest one taken, in bytes.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn begin(first: Frame, limit: u64, keep: bool) -> Result<Progress, ProtocolError> {
        let message = Incoming {
            kind: first.kind,
            flags: first.flags.without(Flags::MORE | Flags::DEFLATED),
            limit: limit.min(MAX_MESSAGE),
            received: 0,
            gather: keep.then(Gather::new),
        };
        message.push(first)
    }

    /// Takes the next frame of this message.
    ///
    /// # Errors
    /// [`ProtocolError::TooLarge`] where the message passes its limit; what [`inflate`] says.
    pub fn push(mut self, frame: Frame) -> Result<Progress, ProtocolError> {
        // Not worth the work: the pickle is not wanted.
        let payload = if frame.flags.contains(Flags::DEFLATED) && self.gather.is_some() {
            Segments::from(inflate(frame.payload)?)
        } else {
            frame.payload
        };
        self.received = self.received.saturating_add(payload.len() as u64);
        if self.received > self.limit {
            return Err(ProtocolError::TooLarge {
                what: "a message",
                size: self.received,
                limit: self.limit,
            });
        }
        if let Some(gather) = &mut self.gather {
            for piece in payload {
                gather.push(piece);
            }
        }
        if frame.flags.contains(Flags::MORE) {
            return Ok(Progress::Under(self));
        }
        Ok(Progress::Done(Message {
            kind: self.kind,
            flags: self.flags,
            payload: self.gather.map(Gather::finish).unwrap_or_default(),
        }))
    }

    /// The kind of its first frame.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many bytes it holds.
    pub fn held(&self) -> usize {
        self.gather.as_ref().map_or(0, Gather::len)
    }

    /// Drops what was received and keeps nothing of what still comes.
    pub fn discard(&mut self) {
        self.gather = None;
    }
}

/// Where a message stands after a frame.
#[derive(Debug)]
pub enum Progress {
    /// More frames follow.
    Under(Incoming),
    /// This was the last.
    Done(Message),
}
