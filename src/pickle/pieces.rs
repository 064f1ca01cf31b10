//! Reads a pickle in the pieces in which it arrived, because joining a large one would take its memory twice.

use std::borrow::Cow;

use super::opcodes::small_value;
use crate::wire::Segments;

/// A place in a run of bytes.
#[derive(Clone)]
pub(crate) struct Pieces<'a> {
    current: &'a [u8],
    rest: Vec<&'a [u8]>,
}

/// A run of bytes, which lies in one piece or in several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Span<'a> {
    Whole(&'a [u8]),
    /// In a box, because it is rare and spans are many: a vector alone would make each of them larger.
    #[allow(clippy::box_collection)]
    Cut(Box<Vec<&'a [u8]>>),
}

/// How many small values were passed over.
#[derive(Default)]
pub(crate) struct SmallValues {
    /// All of them.
    pub(crate) count: usize,
    /// Those of which Python has one object: None and the truth values.
    pub(crate) constants: usize,
}

impl<'a> Span<'a> {
    /// The bytes in one piece; copied if they lie in several.
    pub(crate) fn joined(&self) -> Cow<'a, [u8]> {
        match self {
            Span::Whole(bytes) => Cow::Borrowed(bytes),
            Span::Cut(pieces) => Cow::Owned(pieces.concat()),
        }
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Span::Whole(bytes) => bytes.len(),
            Span::Cut(pieces) => pieces.iter().map(|piece| piece.len()).sum(),
        }
    }
}

impl<'a> From<&'a [u8]> for Pieces<'a> {
    fn from(data: &'a [u8]) -> Pieces<'a> {
        Pieces {
            current: data,
            rest: Vec::new(),
        }
    }
}

impl<'a> From<&'a Segments> for Pieces<'a> {
    fn from(data: &'a Segments) -> Pieces<'a> {
        let mut rest: Vec<&[u8]> = data.pieces().map(|piece| &piece[..]).collect();
        rest.reverse();
        Pieces {
            current: rest.pop().unwrap_or_default(),
            rest,
        }
    }
}

impl<'a> Pieces<'a> {
    /// How many bytes are left.
    pub(crate) fn len(&self) -> u64 {
        let rest = self.rest.iter().map(|piece| piece.len() as u64);
        self.current.len() as u64 + rest.sum::<u64>()
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

    /// Passes `count` bytes over; `None` where there are fewer.
    #[inline]
    pub(crate) fn skip(&mut self, count: u64) -> Option<()> {
        if let Some((_, rest)) = self.current.split_at_checked(usize::try_from(count).ok()?) {
            self.current = rest;
            return Some(());
        }
        self.skip_pieces(count)
    }

    #[cold]
    fn skip_pieces(&mut self, mut count: u64) -> Option<()> {
        while count > 0 {
            let taken = self.take(count).len() as u64;
            if taken == 0 {
                return None;
            }
            count -= taken;
        }
        Some(())
    }

    /// The next byte; `None` at the end.
    #[inline]
    pub(crate) fn byte(&mut self) -> Option<u8> {
        if let Some((byte, rest)) = self.current.split_first() {
            self.current = rest;
            return Some(*byte);
        }
        self.take(1).first().copied()
    }

    /// Passes up to `most` instructions over that push a small value without parts and lie in one piece.
    #[inline]
    pub(crate) fn small_values(&mut self, most: usize) -> SmallValues {
        let mut found = SmallValues::default();
        while found.count < most
            && let Some(length) = self.current.first().and_then(|code| small_value(*code))
            && let Some((_, rest)) = self.current.split_at_checked(length)
        {
            self.current = rest;
            found.count += 1;
            found.constants += usize::from(length == 1);
        }
        found
    }

    /// The next `count` bytes; `None` where there are fewer.
    pub(crate) fn span(&mut self, count: u64) -> Option<Span<'a>> {
        let length = usize::try_from(count).ok()?;
        if let Some((taken, rest)) = self.current.split_at_checked(length) {
            self.current = rest;
            return Some(Span::Whole(taken));
        }
        if self.len() < count {
            return None;
        }
        let mut pieces = Vec::new();
        let mut left = count;
        while left > 0 {
            let taken = self.take(left);
            left -= taken.len() as u64;
            pieces.push(taken);
        }
        Some(match pieces.as_slice() {
            [only] => Span::Whole(only),
            _ => Span::Cut(Box::new(pieces)),
        })
    }

    /// A number in `width` bytes, least first; `None` where there are fewer.
    #[inline]
    pub(crate) fn number(&mut self, width: u8) -> Option<u64> {
        let of = |bytes: &[u8]| {
            let digits = bytes.iter().rev();
            digits.fold(0, |number, digit| (number << 8) | u64::from(*digit))
        };
        if let Some((bytes, rest)) = self.current.split_at_checked(usize::from(width)) {
            self.current = rest;
            return Some(of(bytes));
        }
        Some(of(&self.span(u64::from(width))?.joined()))
    }

    /// The next line without its end, which is skipped; `None` if it has no end.
    pub(crate) fn line(&mut self) -> Option<Span<'a>> {
        let mut ahead = self.clone();
        let mut length = 0;
        while ahead.byte()? != b'\n' {
            length += 1;
        }
        let line = self.span(length)?;
        self.byte()?;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn cut(data: &[u8], every: usize) -> Segments {
        let mut segments = Segments::new();
        for piece in data.chunks(every) {
            segments.push(Bytes::copy_from_slice(piece));
        }
        segments
    }

    #[test]
    fn any_cut_reads_the_same() {
        let data = b"\x01\x02\x03\x04a line\ntake me and then the rest";
        for every in 1..=data.len() {
            let segments = cut(data, every);
            let mut pieces = Pieces::from(&segments);
            assert_eq!(pieces.len(), data.len() as u64);
            assert_eq!(pieces.number(4), Some(0x04030201));
            assert_eq!(pieces.line().unwrap().joined(), &b"a line"[..]);
            let mut passed = pieces.clone();
            assert_eq!((passed.skip(8), passed.len()), (Some(()), 17));
            let span = pieces.span(8).unwrap();
            assert_eq!(span.joined(), &b"take me "[..]);
            assert_eq!(span.len(), 8);
            assert_eq!(pieces.len(), 17);
            assert_eq!(pieces.span(17).unwrap().joined(), &b"and then the rest"[..]);
            assert_eq!(pieces.len(), 0);
            assert_eq!((pieces.byte(), pieces.span(1)), (None, None));
            assert_eq!(pieces.span(0), Some(Span::Whole(b"")));
        }
    }

    #[test]
    fn what_ends_early_is_told() {
        let segments = cut(b"\x01\x02\x03", 2);
        let pieces = Pieces::from(&segments);
        assert_eq!(pieces.clone().number(4), None);
        assert_eq!(pieces.clone().line(), None);
        assert_eq!(pieces.clone().span(u64::MAX), None);
        assert_eq!(pieces.clone().skip(4), None);
        assert_eq!(Pieces::from(&Segments::new()).len(), 0);
    }
}
