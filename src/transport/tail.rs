//! The end of what a process printed, which is kept for errors.

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
