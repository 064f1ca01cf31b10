//! Numbers and bytes that old protocols write as text.

use num_bigint::BigInt;

use super::error::{Error, Refused};
use super::pieces::Span;
use super::tree::Node;

/// The longest number that is read from text.
pub(super) const MAX_DIGITS: usize = 4300;

/// The value of a line of digits.
pub(super) fn written_int(line: &Span<'_>) -> Result<Node<'static>, Refused> {
    match &line.joined()[..] {
        b"00" => Ok(Node::Bool(false)),
        b"01" => Ok(Node::Bool(true)),
        digits => {
            let digits = digits.strip_suffix(b"L").unwrap_or(digits);
            // CPython reads no longer ones either: it takes the square of the time.
            let number = Some(digits).filter(|digits| digits.len() <= MAX_DIGITS);
            number
                .and_then(|digits| BigInt::parse_bytes(digits, 10))
                .map(whole)
                .ok_or(Refused::Malformed("a number is not valid"))
        }
    }
}

/// A whole number of any size.
pub(super) fn whole(number: BigInt) -> Node<'static> {
    i64::try_from(&number).map_or_else(|_| Node::BigInt(Box::new(number)), Node::Int)
}

/// Whether it is the name of Latin-1.
pub(super) fn is_latin_1(node: &Node<'_>) -> bool {
    match node {
        Node::Text(span) | Node::ByteString(span) => {
            matches!(&span.joined()[..], b"latin-1" | b"latin1")
        }
        _ => false,
    }
}

/// The bytes whose text in Latin-1 this is.
pub(super) fn latin_1(span: &Span<'_>) -> Result<Vec<u8>, Error> {
    let joined = span.joined();
    let text = std::str::from_utf8(&joined).ok();
    text.and_then(|text| text.chars().map(|c| u8::try_from(c).ok()).collect())
        .ok_or_else(|| Refused::Malformed("it has invalid bytes").into())
}
