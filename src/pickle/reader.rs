//! Reads a pickle instruction by instruction, within a budget.

use super::error::{CUT_OFF, Refused};
use super::opcodes::{Action, Operand, opcode};
use super::pieces::{Pieces, Span};

/// What decoding one pickle may take. Its memo is bounded without a limit of its own: places are filled in order, so there are
/// no more of them than instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// How deep values may be nested in each other.
    pub(crate) depth: u32,
    /// How many instructions there may be. The largest object that one makes takes some 200 bytes of memory.
    pub(crate) instructions: u64,
}

impl Budget {
    /// For what CPython unpickles. Hashing, comparing and freeing a value recurse there without a check: a tuple takes up to 100
    /// bytes of the C stack, of which threads have 1 MiB or more. CPython's own pickler goes as deep as 10,000 by default.
    #[cfg(any(feature = "python", test))]
    pub(crate) const PYTHON: Budget = Budget {
        depth: 10_000,
        instructions: 1 << 32,
    };
    /// For what is decoded into Rust values, by functions that recurse.
    pub(crate) const RUST: Budget = Budget {
        depth: 128,
        // Nodes are numbered with 32 bits.
        instructions: u32::MAX as u64,
    };
}

/// What stands in an instruction behind its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data<'a> {
    None,
    /// A number, the least significant byte first; also that of a place in the memo that is written as text.
    Number(u64),
    /// Data behind its length, or a line.
    Bytes(Span<'a>),
    /// Two lines.
    Lines(Span<'a>, Span<'a>),
}

impl<'a> Data<'a> {
    pub(super) fn number(&self) -> Result<u64, Refused> {
        match self {
            Data::Number(number) => Ok(*number),
            _ => Err(CUT_OFF),
        }
    }

    pub(super) fn bytes(self) -> Result<Span<'a>, Refused> {
        match self {
            Data::Bytes(span) => Ok(span),
            _ => Err(CUT_OFF),
        }
    }
}

/// A place in a pickle.
pub(super) struct Reader<'a> {
    input: Pieces<'a>,
    instructions: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: Pieces<'a>, budget: Budget) -> Reader<'a> {
        Reader {
            input,
            instructions: budget.instructions,
        }
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> u64 {
        self.input.len()
    }

    /// The next instruction.
    pub(super) fn next(&mut self) -> Result<(Action, Data<'a>), Refused> {
        self.instructions = self
            .instructions
            .checked_sub(1)
            .ok_or(Refused::TooMuch("has too many instructions"))?;
        let code = self.input.byte().ok_or(CUT_OFF)?;
        let row = opcode(code).ok_or(Refused::Malformed("it holds an unknown instruction"))?;
        let data = match row.operand {
            Operand::None => Data::None,
            Operand::Fixed(width) => Data::Number(self.input.number(width).ok_or(CUT_OFF)?),
            Operand::Counted(width) => {
                let length = self.input.number(width).ok_or(CUT_OFF)?;
                Data::Bytes(self.input.span(length).ok_or(CUT_OFF)?)
            }
            Operand::Line => {
                let line = self.input.line().ok_or(CUT_OFF)?;
                match row.action {
                    Action::Put | Action::Get => Data::Number(place(&line)?),
                    _ => Data::Bytes(line),
                }
            }
            Operand::TwoLines => {
                let first = self.input.line().ok_or(CUT_OFF)?;
                Data::Lines(first, self.input.line().ok_or(CUT_OFF)?)
            }
        };
        Ok((row.action, data))
    }
}

/// The number of a place in the memo that is written as text.
fn place(line: &Span<'_>) -> Result<u64, Refused> {
    let line = line.joined();
    let text = std::str::from_utf8(&line).ok();
    text.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or(Refused::Malformed("a memo number is no number"))
}

#[cfg(test)]
mod tests {
    use super::super::opcodes::Literal;
    use super::*;

    #[test]
    fn instructions_are_counted() {
        let budget = Budget {
            depth: 1,
            instructions: 2,
        };
        let mut reader = Reader::new(Pieces::from(&b"NK\x01."[..]), budget);
        assert_eq!(reader.next(), Ok((Action::Push(Literal::None), Data::None)));
        assert_eq!(
            reader.next(),
            Ok((Action::Push(Literal::Int), Data::Number(1)))
        );
        assert!(matches!(reader.next(), Err(Refused::TooMuch(_))));
    }

    #[test]
    fn places_in_the_memo_are_numbers_however_they_are_written() {
        for pickle in [&b"p12\n"[..], b"q\x0c", b"r\x0c\0\0\0"] {
            let mut reader = Reader::new(Pieces::from(pickle), Budget::RUST);
            assert_eq!(reader.next(), Ok((Action::Put, Data::Number(12))));
        }
        for pickle in [&b"px\n"[..], b"g\n", b"p-1\n", b"p99999999999999999999\n"] {
            let mut reader = Reader::new(Pieces::from(pickle), Budget::RUST);
            assert!(matches!(reader.next(), Err(Refused::Malformed(_))));
        }
    }
}
