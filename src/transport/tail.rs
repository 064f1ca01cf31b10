//! What is looked for in what a process prints: a marker wherever it is cut, and the end, which is kept for errors.

use bytes::{Buf, Bytes, BytesMut};

/// How much of the noise before the stub runs is kept for the error message, in bytes (BS-4).
pub(crate) const NOISE_KEPT: usize = 8192;

/// The last `NOISE_KEPT` bytes of a stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
}

impl Tail {
    pub(crate) fn extend(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
        let over = self.bytes.len().saturating_sub(NOISE_KEPT);
        self.bytes.drain(..over);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Where `needle` begins in `haystack`.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return None;
    }
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// Looks for a marker in output that comes in pieces.
#[derive(Debug)]
pub(crate) struct Search {
    marker: String,
    /// The begin of it, perhaps: the last that came.
    held: BytesMut,
}

impl Search {
    pub(crate) fn new(marker: String) -> Search {
        Search {
            marker,
            held: BytesMut::new(),
        }
    }

    /// Takes output; gives what stands in front of the marker, and what follows it once it is there.
    pub(crate) fn feed(&mut self, data: &[u8]) -> (Bytes, Option<Bytes>) {
        let marker = self.marker.as_bytes();
        self.held.extend_from_slice(data);
        if let Some(at) = find(&self.held, marker) {
            let before = self.held.split_to(at);
            let mut behind = self.held.split();
            behind.advance(marker.len());
            return (before.freeze(), Some(behind.freeze()));
        }
        let mut begins = (1..marker.len()).rev().filter_map(|end| marker.get(..end));
        let begun = begins.find(|begin| self.held.ends_with(begin));
        let sure = self.held.len() - begun.map_or(0, <[u8]>::len);
        (self.held.split_to(sure).freeze(), None)
    }

    /// What was held back, as nothing follows it.
    pub(crate) fn rest(&mut self) -> Bytes {
        self.held.split().freeze()
    }
}
