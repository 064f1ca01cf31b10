//! What a session tells its owner.

use bytes::Bytes;

use crate::wire::{Flags, Message, ProtocolError, Segments, split_buffers};

use super::channels::{ChannelEvent, ChannelId};
use super::request::RequestId;
use super::untaken::Held;

/// The payload of a RESULT or ERROR, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The pickle.
    pub pickle: Segments,
    /// The buffers that it takes out of band, in order.
    pub buffers: Vec<Segments>,
    /// Whether it holds references to server objects as plain tuples.
    pub references: bool,
    /// Counts it among what the owner holds, until it is dropped.
    pub(crate) held: Held,
}

impl Answer {
    pub(super) fn from_message(message: Message, held: Held) -> Result<Answer, ProtocolError> {
        let references = message.flags.contains(Flags::REFERENCES);
        let (pickle, buffers) = if message.flags.contains(Flags::BUFFERS) {
            split_buffers(message.payload)?
        } else {
            (message.payload, Vec::new())
        };
        Ok(Answer {
            pickle,
            buffers,
            references,
            held,
        })
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It returned a value.
    Result(Answer),
    /// It failed on the server; the payload says how (ME-6).
    Error(Answer),
    /// It wanted no answer and was handed to the transport in full.
    Sent,
    /// It was cancelled. Where the server had begun it and answered in time, `error` is its ERROR, in most cases of
    /// kind `cancelled` with the stack where it stood.
    Cancelled {
        /// The server's answer, if it came in time.
        error: Option<Answer>,
    },
    /// Its deadline passed. `error` as for [`Cancelled`](Outcome::Cancelled).
    TimedOut {
        /// The server's answer, if it came in time.
        error: Option<Answer>,
    },
    /// The answer was longer than this many bytes, and was dropped while it arrived (ME-26).
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The connection ended first; the owner knows why.
    Lost {
        /// Whether any of it was sent, so that the server may have run it.
        sent: bool,
    },
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The stub's HELLO, a pickled dict (ME-2). The first event, and there is only one of it.
    Connected(Bytes),
    /// A call ended.
    Completed {
        /// Which.
        id: RequestId,
        /// How.
        outcome: Outcome,
    },
    /// Remote code printed something. Its reader returns the bytes by
    /// [`Session::output_consumed`](super::Session::output_consumed).
    Output {
        /// Standard error instead of standard output.
        stderr: bool,
        /// The number of the call whose thread printed it, or 0.
        request: u32,
        /// What was printed.
        data: Bytes,
    },
    /// A class that references may name from now on (ME-7).
    Class(Bytes),
    /// Something happened on a channel.
    Channel {
        /// Which.
        id: ChannelId,
        /// What.
        event: ChannelEvent,
    },
    /// A PING came back, with its payload.
    Pong(Bytes),
    /// The stub gives up and ends; what is pending completes as [`Outcome::Lost`].
    Fatal {
        /// A code of spec/errors.md, or what the stub said in its place.
        code: String,
        /// The stub's sentence.
        text: String,
    },
}
