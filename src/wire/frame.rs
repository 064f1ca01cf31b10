//! One frame: a header and its payload.

use bytes::BytesMut;

use super::header::{HEADER, Header};
use super::kind::{Flags, Kind};
use super::segments::Segments;

/// A frame as it was read: its payload may still be deflated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// Its flags.
    pub flags: Flags,
    /// The request that it belongs to, or 0.
    pub request: u32,
    /// The server thread that it belongs to, or 0.
    pub thread: i32,
    /// The bytes behind the header, at most [`MAX_PAYLOAD`](super::MAX_PAYLOAD).
    pub payload: Segments,
}

impl Frame {
    /// A frame without flags that belongs to no request and no thread.
    pub fn control(kind: Kind, payload: impl Into<Segments>) -> Frame {
        Frame {
            kind,
            flags: Flags::NONE,
            request: 0,
            thread: 0,
            payload: payload.into(),
        }
    }

    /// Its header.
    pub fn header(&self) -> Header {
        Header {
            kind: self.kind,
            flags: self.flags,
            length: self.payload.len() as u32,
            request: self.request,
            thread: self.thread,
        }
    }

    /// Appends header and payload to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        out.reserve(HEADER + self.payload.len());
        out.extend_from_slice(&self.header().encode());
        for piece in self.payload.pieces() {
            out.extend_from_slice(piece);
        }
    }
}
