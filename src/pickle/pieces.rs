//! Reads a pickle that lies in pieces as it came, because joining a large one would take its memory twice.

use std::io;

use crate::wire::Segments;

/// A place in a run of bytes.
#[derive(Clone)]
pub(crate) struct Pieces<'a> {
    current: &'a [u8],
    rest: Vec<&'a [u8]>,
}

impl<'a> Pieces<'a> {
    /// The beginning of `data`.
    pub(crate) fn new(data: &'a Segments) -> Pieces<'a> {
        let mut rest: Vec<&[u8]> = data.pieces().map(|piece| &piece[..]).collect();
        rest.reverse();
        Pieces {
            current: rest.pop().unwrap_or_default(),
            rest,
        }
    }

    /// How many bytes are left.
    pub(crate) fn len(&self) -> u64 {
        let rest = self.rest.iter().map(|piece| piece.len() as u64);
        self.current.len() as u64 + rest.sum::<u64>()
    }

    /// Whether none are left.
    pub(crate) fn is_empty(&self) -> bool {
        self.current.is_empty() && self.rest.is_empty()
    }

    /// Takes up to `most` bytes, but none of another piece; none only at the end.
    fn take(&mut self, most: u64) -> &'a [u8] {
        if self.current.is_empty() {
            self.current = self.rest.pop().unwrap_or_default();
        }
        let count = usize::try_from(most).unwrap_or(usize::MAX);
        let (taken, left) = self
            .current
            .split_at_checked(count)
            .unwrap_or((self.current, &[]));
        self.current = left;
        taken
    }

    /// The next byte; `None` at the end.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(1).first().copied()
    }

    /// Passes `count` bytes over; `None` where there are fewer.
    pub(crate) fn skip(&mut self, mut count: u64) -> Option<()> {
        while count > 0 {
            let taken = self.take(count).len() as u64;
            if taken == 0 {
                return None;
            }
            count -= taken;
        }
        Some(())
    }

    /// A number in `width` bytes, least first; `None` where there are fewer.
    pub(crate) fn number(&mut self, width: u32) -> Option<u64> {
        let mut number = 0;
        for place in 0..width {
            number |= u64::from(self.byte()?) << (8 * place);
        }
        Some(number)
    }

    /// The length of the next line with its end, which is passed over; `None` if it has no end.
    pub(crate) fn line(&mut self) -> Option<u64> {
        let mut length = 1;
        while self.byte()? != b'\n' {
            length += 1;
        }
        Some(length)
    }
}

impl io::Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.take(buffer.len() as u64);
        match buffer.get_mut(..taken.len()) {
            Some(target) => target.copy_from_slice(taken),
            None => return Err(io::ErrorKind::InvalidInput.into()),
        }
        Ok(taken.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::io::Read;

    fn cut(data: &[u8], every: usize) -> Segments {
        let mut segments = Segments::new();
        for piece in data.chunks(every) {
            segments.push(Bytes::copy_from_slice(piece));
        }
        segments
    }

    #[test]
    fn any_cut_reads_the_same() {
        let data = b"\x01\x02\x03\x04a line\nskip me and then the rest";
        for every in 1..=data.len() {
            let segments = cut(data, every);
            let mut pieces = Pieces::new(&segments);
            assert_eq!(pieces.len(), data.len() as u64);
            assert_eq!(pieces.number(4), Some(0x04030201));
            assert_eq!(pieces.line(), Some(7));
            assert_eq!(pieces.skip(8), Some(()));
            let mut rest = String::new();
            pieces.clone().read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "and then the rest");
            assert_eq!(pieces.skip(17), Some(()));
            assert!(pieces.is_empty());
            assert_eq!((pieces.byte(), pieces.skip(1)), (None, None));
        }
    }

    #[test]
    fn what_ends_early_is_told() {
        let segments = cut(b"\x01\x02\x03", 2);
        let pieces = Pieces::new(&segments);
        assert_eq!(pieces.clone().number(4), None);
        assert_eq!(pieces.clone().line(), None);
        assert_eq!(pieces.clone().skip(u64::MAX), None);
        assert!(Pieces::new(&Segments::new()).is_empty());
    }
}
