//! Reads a pickle instruction by instruction, within a budget.

use super::error::{CUT_OFF, Refused};
use super::opcodes::{Action, NOTHING, Operand, opcode};
use super::pieces::{Pieces, SmallValues, Span};

/// What decoding one pickle may take. Its memo is bounded without a limit of its own: places are filled in order, so there are
/// no more of them than instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// How deep values may be nested in each other.
    pub(crate) depth: u32,
    /// How many instructions there may be. The largest object that one makes takes some 200 bytes of memory.
    pub(crate) instructions: u64,
    /// How much memory its values may take where they are Python's, in bytes.
    #[cfg(any(feature = "python", feature = "internals", test))]
    pub(crate) memory: u64,
}

impl Budget {
    /// For what becomes Python's values. Hashing and freeing them recurses there without a check: a level takes about 100 bytes
    /// of the C stack for a tuple, and 1 KiB for an array of NumPy. 1,000 levels are sound in a thread with a stack of 256 KiB
    /// without NumPy and of 2 MiB with it, and no Python before 3.13 pickles more than that by default.
    #[cfg(any(feature = "python", feature = "internals", test))]
    pub(crate) const PYTHON: Budget = Budget {
        depth: 1_000,
        instructions: 1 << 32,
        memory: u64::MAX,
    };
    /// For what is decoded into Rust values, by functions that recurse.
    pub(crate) const RUST: Budget = Budget {
        depth: 128,
        // Nodes are numbered with 32 bits.
        instructions: u32::MAX as u64,
        #[cfg(any(feature = "python", feature = "internals", test))]
        memory: u64::MAX,
    };
}

/// A place in a pickle.
pub(crate) struct Reader<'a> {
    input: Pieces<'a>,
    instructions: u64,
    /// What stands behind the code of the last instruction and was not read yet.
    operand: Operand,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(input: Pieces<'a>, budget: Budget) -> Reader<'a> {
        Reader {
            input,
            instructions: budget.instructions,
            operand: NOTHING,
        }
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> u64 {
        self.input.len()
    }

    /// The next instruction. Its operand can be read then, and is skipped if it is not.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Action, Refused> {
        self.pass_over()?;
        self.instructions = self
            .instructions
            .checked_sub(1)
            .ok_or(Refused::TooMuch("has too many instructions"))?;
        let code = self.input.byte().ok_or(CUT_OFF)?;
        let row = opcode(code).ok_or(Refused::Malformed("it holds an unknown instruction"))?;
        self.operand = row.operand;
        Ok(row.action)
    }

    /// Passes over small values without parts that stand one after another, as in a list of numbers. What stands behind them, and
    /// what lies in two pieces, [`next`](Self::next) reads.
    #[inline]
    pub(crate) fn small_values(&mut self) -> Result<SmallValues, Refused> {
        // Theirs is of a fixed width, and the first is not passed over yet.
        if let Operand::Fixed(width) = std::mem::replace(&mut self.operand, NOTHING) {
            self.input.skip(u64::from(width)).ok_or(CUT_OFF)?;
        }
        let most = usize::try_from(self.instructions).unwrap_or(usize::MAX);
        let found = self.input.small_values(most);
        self.instructions -= found.count as u64;
        Ok(found)
    }

    #[inline]
    fn pass_over(&mut self) -> Result<(), Refused> {
        // In the order of how often they are met: a jump by kind would be guessed wrong.
        let length = if let Operand::Fixed(width) = self.operand {
            u64::from(width)
        } else if let Operand::Counted(width) = self.operand {
            self.input.number(width).ok_or(CUT_OFF)?
        } else {
            return self.pass_over_lines();
        };
        self.input.skip(length).ok_or(CUT_OFF)
    }

    #[cold]
    fn pass_over_lines(&mut self) -> Result<(), Refused> {
        self.input.line().ok_or(CUT_OFF)?;
        if self.operand == Operand::TwoLines {
            self.input.line().ok_or(CUT_OFF)?;
        }
        Ok(())
    }

    /// The instruction's number, the least significant byte first; also that of a place in the memo that is written as text.
    pub(crate) fn number(&mut self) -> Result<u64, Refused> {
        match std::mem::replace(&mut self.operand, NOTHING) {
            Operand::Fixed(width) => self.input.number(width).ok_or(CUT_OFF),
            Operand::Line => place(&self.input.line().ok_or(CUT_OFF)?),
            _ => Err(CUT_OFF),
        }
    }

    /// The instruction's data, or its line.
    pub(crate) fn bytes(&mut self) -> Result<Span<'a>, Refused> {
        match std::mem::replace(&mut self.operand, NOTHING) {
            Operand::Counted(width) => {
                let length = self.input.number(width).ok_or(CUT_OFF)?;
                self.input.span(length).ok_or(CUT_OFF)
            }
            Operand::Line => self.input.line().ok_or(CUT_OFF),
            Operand::TwoLines => {
                self.operand = Operand::Line;
                self.input.line().ok_or(CUT_OFF)
            }
            _ => Err(CUT_OFF),
        }
    }
}

/// The number of a place in the memo that is written as text.
fn place(line: &Span<'_>) -> Result<u64, Refused> {
    let line = line.joined();
    let text = std::str::from_utf8(&line).ok();
    text.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or(Refused::Malformed("a memo number is not valid"))
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
            memory: u64::MAX,
        };
        let mut reader = Reader::new(Pieces::from(&b"NK\x01."[..]), budget);
        assert_eq!(reader.next(), Ok(Action::Push(Literal::None)));
        assert_eq!(reader.next(), Ok(Action::Push(Literal::Int)));
        assert_eq!(reader.number(), Ok(1));
        assert!(matches!(reader.next(), Err(Refused::TooMuch(_))));
    }

    #[test]
    fn what_is_not_read_is_passed_over() {
        let pickle = b"K\x01X\x02\0\0\0abcm\nn\ncm\nn\nI7\n.";
        let mut reader = Reader::new(Pieces::from(&pickle[..]), Budget::RUST);
        assert_eq!(reader.next(), Ok(Action::Push(Literal::Int)));
        assert_eq!(reader.next(), Ok(Action::Push(Literal::Text)));
        assert_eq!(reader.next(), Ok(Action::Global));
        assert_eq!(reader.bytes(), Ok(Span::Whole(b"m")));
        assert_eq!(reader.next(), Ok(Action::Global));
        assert_eq!(reader.next(), Ok(Action::Push(Literal::WrittenInt)));
        assert_eq!(reader.next(), Ok(Action::Stop));
        assert_eq!((reader.left(), reader.next()), (0, Err(CUT_OFF)));
    }

    #[test]
    fn places_in_the_memo_are_numbers_however_they_are_written() {
        for pickle in [&b"p12\n"[..], b"q\x0c", b"r\x0c\0\0\0"] {
            let mut reader = Reader::new(Pieces::from(pickle), Budget::RUST);
            assert_eq!(reader.next(), Ok(Action::Put));
            assert_eq!(reader.number(), Ok(12));
        }
        for pickle in [&b"px\n"[..], b"g\n", b"p-1\n", b"p99999999999999999999\n"] {
            let mut reader = Reader::new(Pieces::from(pickle), Budget::RUST);
            assert!(reader.next().is_ok());
            assert!(matches!(reader.number(), Err(Refused::Malformed(_))));
        }
    }
}
