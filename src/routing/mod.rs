//! Frames between processes that know each other by numbers, such as workers of Dask: their form, and what waits for whom.
//!
//! Pure: no I/O and no clock. `python/router.rs` moves the bytes, and `python/easycluster/dask/comm.py` is at both ends of them.

mod queues;

use bytes::{Bytes, BytesMut};

use crate::wire::{Gather, Segments};

pub(crate) use queues::Queues;

/// Bytes of a header, whose layout is that of `dask/comm.py`. Read here are the numbers of source and target, which are its first
/// four bytes, the kind, and the length of the payload, its last four.
pub(crate) const HEADER: usize = 16;
/// Payloads up to this length are copied, so that what waits keeps no memory but its own that is worth counting: a payload may be a
/// small part of what has come at once.
const COPIED: usize = 1 << 16;

/// What frames may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The longest payload.
    pub(crate) most: u32,
    /// The header of a frame that tells that its source is not there, which no process says of itself.
    pub(crate) gone: [u8; HEADER],
}

/// A process has sent what the rules forbid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// One frame on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The process that it is for.
    pub(crate) target: u16,
    /// Header and payload.
    pub(crate) bytes: Segments,
}

/// Takes apart what one process sends.
#[derive(Debug)]
pub(crate) struct Frames {
    number: u16,
    rules: Rules,
    came: Gather,
    header: Option<[u8; HEADER]>,
}

impl Frames {
    /// Those of the process of that number.
    pub(crate) fn new(number: u16, rules: Rules) -> Frames {
        Frames {
            number,
            rules,
            came: Gather::new(),
            header: None,
        }
    }

    /// Takes what has come, however it was cut.
    pub(crate) fn push(&mut self, bytes: Segments) {
        bytes.into_iter().for_each(|piece| self.came.push(piece));
    }

    /// The next frame that is whole.
    ///
    /// # Errors
    /// [`Broken`] where the process speaks for another, sends more than a payload may have, or says of itself what only the router
    /// says. Nothing that it sends is to be taken any more.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, Broken> {
        let Some(head) = self.header.take().or_else(|| self.came.take_array()) else {
            return Ok(None);
        };
        let [s0, s1, t0, t1, _, _, _, _, _, _, _, _, l0, l1, l2, l3] = head;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        if u16::from_be_bytes([s0, s1]) != self.number
            || length > self.rules.most
            || kind_of(&head) == kind_of(&self.rules.gone)
        {
            return Err(Broken);
        }
        let Some(payload) = self.came.take(length as usize) else {
            self.header = Some(head);
            return Ok(None);
        };
        Ok(Some(Frame {
            target: u16::from_be_bytes([t0, t1]),
            bytes: framed(&head, payload),
        }))
    }
}

fn framed(head: &[u8; HEADER], payload: Segments) -> Segments {
    if payload.len() > COPIED {
        let mut frame = Segments::from(Bytes::copy_from_slice(head));
        frame.append(payload);
        return frame;
    }
    let mut frame = BytesMut::with_capacity(HEADER + payload.len());
    frame.extend_from_slice(head);
    for piece in payload.pieces() {
        frame.extend_from_slice(piece);
    }
    Segments::from(frame.freeze())
}

fn kind_of(head: &[u8; HEADER]) -> u8 {
    let [_, _, _, _, _, _, _, _, _, kind, ..] = *head;
    kind
}

/// What tells one process that another is not there.
fn gone(rules: Rules, process: u16, told: u16) -> Segments {
    let [_, _, _, _, rest @ ..] = rules.gone;
    let mut header = BytesMut::with_capacity(HEADER);
    header.extend_from_slice(&process.to_be_bytes());
    header.extend_from_slice(&told.to_be_bytes());
    header.extend_from_slice(&rest);
    Segments::from(header.freeze())
}
