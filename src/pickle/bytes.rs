//! Which pickles are large bytes and nothing else, so that their value is available without unpickling.

use super::opcodes::{Action, Literal};
use super::pieces::Pieces;
use super::reader::{Budget, Reader};
use crate::wire::Segments;

/// Fewer bytes than this are not looked at; unpickling them costs nothing.
const WORTH_A_LOOK: usize = 64 * 1024;

/// Where the bytes of such a pickle lie.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PlainBytes {
    /// A bytearray.
    pub(crate) mutable: bool,
    pub(crate) start: usize,
    pub(crate) length: usize,
}

/// Knows a pickle of large bytes or a large bytearray and nothing else; `None` for every other, and for small ones.
pub(crate) fn plain_bytes(pickle: &Segments) -> Option<PlainBytes> {
    if pickle.len() < WORTH_A_LOOK {
        return None;
    }
    let mut reader = Reader::new(Pieces::from(pickle), Budget::RUST);
    // In protocol 2 these are another Python's idea of bytes.
    let (Action::Nothing, 3..=5) = (reader.next().ok()?, reader.number().ok()?) else {
        return None;
    };
    let mutable = match reader.next().ok()? {
        Action::Push(Literal::Bytes) => false,
        Action::Push(Literal::ByteArray) => true,
        _ => return None,
    };
    let bytes = reader.bytes().ok()?;
    let end = pickle
        .len()
        .checked_sub(usize::try_from(reader.left()).ok()?)?;
    let next = match reader.next().ok()? {
        Action::Memoize => reader.next().ok()?,
        Action::Put if reader.number().ok()? == 0 => reader.next().ok()?,
        other => other,
    };
    if next != Action::Stop {
        return None;
    }
    let length = bytes.len();
    (reader.left() == 0).then_some(PlainBytes {
        mutable,
        start: end.checked_sub(length)?,
        length,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn pickle(head: &[u8], length: usize, tail: &[u8], every: usize) -> Segments {
        let whole = [head, &vec![7; length], tail].concat();
        let mut segments = Segments::new();
        for piece in whole.chunks(every) {
            segments.push(Bytes::copy_from_slice(piece));
        }
        segments
    }

    #[test]
    fn pickles_of_bytes_alone_are_known_in_any_pieces() {
        let length = 70_000;
        let wide = (length as u64).to_le_bytes();
        let short = (length as u32).to_le_bytes();
        for every in [1, 3, 69_999, 70_001, 1 << 20] {
            for (head, tail, mutable) in [
                ([b"\x80\x03B", &short[..]].concat(), &b"q\0."[..], false),
                ([b"\x80\x04B", &short[..]].concat(), b"\x94.", false),
                ([b"\x80\x05\x8e", &wide[..]].concat(), b"\x94.", false),
                ([b"\x80\x05\x96", &wide[..]].concat(), b"\x94.", true),
                ([b"\x80\x05B", &short[..]].concat(), b".", false),
            ] {
                let expected = PlainBytes {
                    mutable,
                    start: head.len(),
                    length,
                };
                assert_eq!(
                    plain_bytes(&pickle(&head, length, tail, every)),
                    Some(expected)
                );
            }
        }
    }

    #[test]
    fn everything_else_goes_the_long_way() {
        let length = 70_000;
        let short = (length as u32).to_le_bytes();
        let huge = u64::MAX.to_le_bytes();
        for (head, filled, tail) in [
            // A tuple of bytes, a length that is too long or too short, another protocol, no end, a call at the end.
            (
                [b"\x80\x04B", &short[..]].concat(),
                length,
                &b"\x94\x85\x94."[..],
            ),
            ([b"\x80\x04B", &short[..]].concat(), length - 2, b"\x94."),
            ([b"\x80\x04B", &short[..]].concat(), length + 3, b"\x94."),
            ([b"\x80\x04\x8e", &huge[..]].concat(), length, b"\x94."),
            ([b"\x80\x02B", &short[..]].concat(), length, b"."),
            ([b"\x80\x04B", &short[..]].concat(), length, b""),
            ([b"\x80\x04B", &short[..]].concat(), length, b"R."),
            ([b"\x80\x04C", &short[..]].concat(), length, b"."),
        ] {
            assert_eq!(plain_bytes(&pickle(&head, filled, tail, 1000)), None);
        }
        assert_eq!(
            plain_bytes(&pickle(b"\x80\x04B\x05\0\0\0", 5, b"\x94.", 100)),
            None
        );
    }
}
