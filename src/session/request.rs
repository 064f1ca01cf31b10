//! What a caller asks for: a request, its payload and where it shall run.

use std::time::Instant;

use bytes::Bytes;
use thiserror::Error;

use super::channels::ChannelId;
use crate::wire::{Kind, MAX_BUFFERS, MAX_MESSAGE, Segments, buffer_table};

/// Names a submitted request; never used twice by one session. Its low 32 bits are the number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(super) u64);

impl RequestId {
    /// The number that frames carry, OUTPUT among them.
    pub fn number(self) -> u32 {
        self.0 as u32
    }
}

/// The requests of spec/messages.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Call a global by its dotted name.
    Call,
    /// Call a method of a server object.
    Method,
    /// Evaluate an expression.
    Eval,
    /// Run statements.
    Exec,
    /// Run source in a definitions module.
    Define,
    /// Define a function from its source and call it.
    Run,
}

impl RequestKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [RequestKind; 6] = [
        RequestKind::Call,
        RequestKind::Method,
        RequestKind::Eval,
        RequestKind::Exec,
        RequestKind::Define,
        RequestKind::Run,
    ];
}

impl From<RequestKind> for Kind {
    fn from(kind: RequestKind) -> Kind {
        match kind {
            RequestKind::Call => Kind::Call,
            RequestKind::Method => Kind::Method,
            RequestKind::Eval => Kind::Eval,
            RequestKind::Exec => Kind::Exec,
            RequestKind::Define => Kind::Define,
            RequestKind::Run => Kind::Run,
        }
    }
}

impl TryFrom<Kind> for RequestKind {
    /// The kind, which is not one of a request.
    type Error = Kind;

    fn try_from(kind: Kind) -> Result<RequestKind, Kind> {
        Ok(match kind {
            Kind::Call => RequestKind::Call,
            Kind::Method => RequestKind::Method,
            Kind::Eval => RequestKind::Eval,
            Kind::Exec => RequestKind::Exec,
            Kind::Define => RequestKind::Define,
            Kind::Run => RequestKind::Run,
            other => return Err(other),
        })
    }
}

/// Where a request runs (ME-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadTarget {
    /// The server thread with this number, 0 or more; 0 is Python's main thread.
    Id(i32),
    /// A thread of its own that ends with it.
    OneShot,
}

/// A request's pickle and the buffers that it takes out of band. Nothing of it is copied on the way out.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    /// The pickle, in one piece or several.
    pub pickle: Segments,
    /// The buffers in the pickle's order; none unless the pickle is of protocol 5.
    pub buffers: Vec<Bytes>,
}

impl Payload {
    pub(super) fn into_message(self) -> Result<Segments, SubmitError> {
        let mut message = self.pickle;
        if !self.buffers.is_empty() {
            if self.buffers.len() > MAX_BUFFERS {
                return Err(SubmitError::TooManyBuffers(self.buffers.len()));
            }
            let table = buffer_table(message.len(), self.buffers.iter().map(Bytes::len));
            let pickle = std::mem::replace(&mut message, Segments::from(table));
            message.append(pickle);
            for buffer in self.buffers {
                message.push(buffer);
            }
        }
        if message.len() as u64 > MAX_MESSAGE {
            return Err(SubmitError::TooLarge(message.len() as u64));
        }
        Ok(message)
    }
}

impl From<Bytes> for Payload {
    fn from(pickle: Bytes) -> Payload {
        Payload {
            pickle: pickle.into(),
            buffers: Vec::new(),
        }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(pickle: Vec<u8>) -> Payload {
        Payload::from(Bytes::from(pickle))
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it does.
    pub kind: RequestKind,
    /// Where it runs.
    pub thread: ThreadTarget,
    /// Its arguments.
    pub payload: Payload,
    /// The payload names server objects as plain tuples (ME-7, `'rust'` peers).
    pub references: bool,
    /// No answer is wanted: it completes with [`Outcome::Sent`](super::Outcome::Sent) and has no deadline.
    pub no_reply: bool,
    /// Requests submitted later for other threads wait until this one is answered (ME-14).
    pub barrier: bool,
    /// The caller knows that it prints nothing, is over soon and gives little plain data, so that what other calls may
    /// need is not sent behind it before the stub has greeted (BS-10).
    pub plain: bool,
    /// When the call is given up.
    pub deadline: Option<Instant>,
    /// The server objects that the payload names, the method's own among them: releases of these wait until the
    /// request is answered (ME-8).
    pub keeps: Vec<u64>,
    /// The channels that the payload names: if it does not come to a result, they end with it.
    pub channels: Vec<ChannelId>,
}

impl Request {
    /// A request with no deadline, no references and nothing special about it.
    pub fn new(kind: RequestKind, thread: ThreadTarget, payload: impl Into<Payload>) -> Request {
        Request {
            kind,
            thread,
            payload: payload.into(),
            references: false,
            no_reply: false,
            barrier: false,
            plain: false,
            deadline: None,
            keeps: Vec::new(),
            channels: Vec::new(),
        }
    }
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// The session is closed or closing.
    #[error("the connection is closed")]
    Closed,
    /// Negative thread numbers are the session's own.
    #[error("{0} is not a thread number; they are 0 or more")]
    BadThread(i32),
    /// The message is longer than the protocol allows.
    #[error("the arguments take {0} bytes; the limit is {MAX_MESSAGE}")]
    TooLarge(u64),
    /// More buffers than the protocol allows.
    #[error("the arguments have {0} buffers out of band; the limit is {MAX_BUFFERS}")]
    TooManyBuffers(usize),
    /// Every request number is in use.
    #[error("too many calls are in flight")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Sender;

    #[test]
    fn every_kind_of_request_is_one_of_the_wire_and_back() {
        let of_the_wire = (0..=u8::MAX).filter_map(|code| Kind::from_code(code, Sender::Client));
        let requests: Vec<Kind> = of_the_wire.filter(|kind| kind.is_request()).collect();
        assert_eq!(RequestKind::ALL.map(Kind::from).to_vec(), requests);
        for kind in RequestKind::ALL {
            assert_eq!(RequestKind::try_from(Kind::from(kind)), Ok(kind));
        }
        assert_eq!(RequestKind::try_from(Kind::Data), Err(Kind::Data));
    }
}
