//! Bytes in pieces: payloads that cross the library without being copied into one buffer.

use std::collections::VecDeque;
use std::mem;

use bytes::{Buf, Bytes, BytesMut};

/// A run of bytes kept as the pieces it came in. One piece costs no allocation.
#[derive(Clone, Debug, Default)]
pub struct Segments {
    // Empty only when the whole is empty; no piece of `rest` is ever empty.
    first: Bytes,
    rest: VecDeque<Bytes>,
    len: usize,
}

impl Segments {
    /// No bytes.
    pub fn new() -> Segments {
        Segments::default()
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a piece at the end.
    pub fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        self.len += piece.len();
        if self.first.is_empty() {
            self.first = piece;
        } else {
            self.rest.push_back(piece);
        }
    }

    /// Adds the pieces of another run at the end.
    pub fn append(&mut self, other: Segments) {
        self.push(other.first);
        for piece in other.rest {
            self.push(piece);
        }
    }

    /// Takes the first `count` bytes away, or all where there are fewer; nothing is copied.
    pub fn split_to(&mut self, count: usize) -> Segments {
        let mut out = Segments::new();
        let mut left = count.min(self.len);
        while left > 0 {
            let piece = if self.first.len() <= left {
                let next = self.rest.pop_front().unwrap_or_default();
                mem::replace(&mut self.first, next)
            } else {
                self.first.split_to(left)
            };
            left -= piece.len();
            self.len -= piece.len();
            out.push(piece);
        }
        out
    }

    /// Takes the first `N` bytes away as an array; none and nothing taken where there are fewer.
    pub fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        if let Some(head) = self.first.first_chunk::<N>() {
            let head = *head;
            self.first.advance(N);
            self.len -= N;
            if self.first.is_empty() {
                self.first = self.rest.pop_front().unwrap_or_default();
            }
            return Some(head);
        }
        if self.len < N {
            return None;
        }
        let mut head = [0; N];
        let mut slots = head.iter_mut();
        for piece in self.split_to(N).pieces() {
            for (byte, slot) in piece.iter().zip(slots.by_ref()) {
                *slot = *byte;
            }
        }
        Some(head)
    }

    /// The pieces in order; none of them is empty.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first)
            .chain(&self.rest)
            .filter(|piece| !piece.is_empty())
    }

    /// All of it in one buffer; copied once where there are several pieces, not at all where there is one.
    pub fn into_bytes(self) -> Bytes {
        if self.rest.is_empty() {
            return self.first;
        }
        let mut whole = BytesMut::with_capacity(self.len);
        for piece in self.pieces() {
            whole.extend_from_slice(piece);
        }
        whole.freeze()
    }

    /// All of it copied into one vector.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut whole = Vec::with_capacity(self.len);
        for piece in self.pieces() {
            whole.extend_from_slice(piece);
        }
        whole
    }
}

impl From<Bytes> for Segments {
    fn from(piece: Bytes) -> Segments {
        let mut segments = Segments::new();
        segments.push(piece);
        segments
    }
}

impl From<Vec<u8>> for Segments {
    fn from(piece: Vec<u8>) -> Segments {
        Segments::from(Bytes::from(piece))
    }
}

impl IntoIterator for Segments {
    type Item = Bytes;
    type IntoIter = std::iter::Chain<
        std::option::IntoIter<Bytes>,
        std::collections::vec_deque::IntoIter<Bytes>,
    >;

    fn into_iter(self) -> Self::IntoIter {
        let first = (!self.first.is_empty()).then_some(self.first);
        first.into_iter().chain(self.rest)
    }
}

impl PartialEq for Segments {
    fn eq(&self, other: &Segments) -> bool {
        self.len == other.len && self.pieces().flatten().eq(other.pieces().flatten())
    }
}

impl Eq for Segments {}

/// Pieces this short are copied together, so that a peer that sends single bytes costs no allocation for each.
const SMALL_PIECE: usize = 2048;

/// Collects pieces of any size: large ones as they are, small ones copied together.
#[derive(Debug, Default)]
pub struct Gather {
    whole: Segments,
    // What follows `whole`: small pieces, copied together.
    tail: BytesMut,
}

impl Gather {
    /// Nothing yet.
    pub fn new() -> Gather {
        Gather::default()
    }

    /// Bytes collected.
    pub fn len(&self) -> usize {
        self.whole.len() + self.tail.len()
    }

    /// Whether nothing was collected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a piece.
    pub fn push(&mut self, piece: Bytes) {
        if self.is_empty() {
            self.whole.push(piece);
        } else if piece.len() < SMALL_PIECE {
            self.tail.extend_from_slice(&piece);
        } else {
            self.flush();
            self.whole.push(piece);
        }
    }

    /// Takes the first `count` bytes away; none and nothing taken where there are fewer.
    pub fn take(&mut self, count: usize) -> Option<Segments> {
        self.reach(count)?;
        Some(self.whole.split_to(count))
    }

    /// Takes the first `N` bytes away as an array; none and nothing taken where there are fewer.
    pub fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.reach(N)?;
        self.whole.take_array()
    }

    /// All that was collected.
    pub fn finish(mut self) -> Segments {
        self.flush();
        self.whole
    }

    fn reach(&mut self, count: usize) -> Option<()> {
        if self.whole.len() < count {
            if self.len() < count {
                return None;
            }
            self.flush();
        }
        Some(())
    }

    fn flush(&mut self) {
        if !self.tail.is_empty() {
            self.whole.push(self.tail.split().freeze());
        }
    }
}
