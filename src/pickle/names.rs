//! Reads a pickle as an unpickler would, without making anything: what it looks up by name, and what becomes of that.
//!
//! CPython's fast unpickler lets a subclass decide which names are found, but not what is done with them, and it takes
//! `copyreg` extensions from a cache without asking. Both matter for bytes from a server, so they are settled here, before the
//! unpickler sees the pickle. What this scan does not follow for certain it refuses.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::HashMap;
use std::fmt;

/// A name that is only handed on, as a value.
pub const USED_AS_VALUE: u8 = 0;
/// A name that is called (`REDUCE`, `OBJ`, `INST`).
pub const USED_BY_CALL: u8 = 1;
/// A class whose `__new__` is called (`NEWOBJ`, `NEWOBJ_EX`).
pub const USED_BY_NEW: u8 = 2;

/// What a pickle asks of an unpickler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scan {
    /// Nothing but plain data: no name, no call, no reference.
    Plain,
    /// It looks up names: for each look-up in order, the `USED_` bits of what is done with it.
    Names(Vec<u8>),
}

/// Why a pickle is not passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It ends early, or an instruction does not fit what came before it.
    Malformed(&'static str),
    /// It does something that no pickle of a value does.
    Forbidden(&'static str),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Malformed(what) => write!(f, "the pickle is malformed: {what}"),
            Refused::Forbidden(what) => write!(f, "the pickle is refused: it {what}"),
        }
    }
}

/// What stands in one place of the unpickler's stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// A value that this pickle made.
    Made,
    /// A proxy, by persistent id.
    Reference,
    /// The result of the look-up with this number.
    Name(u32),
}

struct Machine<'a> {
    input: &'a [u8],
    stack: Vec<Slot>,
    marks: Vec<usize>,
    /// Only what is not `Made`; the rest needs no memory of it.
    memo: HashMap<u64, Slot>,
    memo_length: u64,
    /// The memo was not filled in order, so the place that MEMOIZE takes is unknown.
    memo_irregular: bool,
    names: Vec<u8>,
    plain: bool,
}

/// Follows `pickle` up to its STOP.
///
/// # Errors
/// [`Refused`], for bytes that are no pickle, and for a pickle that uses an extension code, changes what it has only looked up
/// by name, or calls something that it has not looked up.
pub fn scan(pickle: &[u8]) -> Result<Scan, Refused> {
    let mut machine = Machine {
        input: pickle,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        memo_length: 0,
        memo_irregular: false,
        names: Vec::new(),
        plain: true,
    };
    while machine.step()? {}
    Ok(if machine.plain {
        Scan::Plain
    } else {
        Scan::Names(machine.names)
    })
}

const CUT_OFF: Refused = Refused::Malformed("it is cut off");
const UNDERFLOW: Refused = Refused::Malformed("its stack is empty where a value is needed");

impl<'a> Machine<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Refused> {
        let (taken, rest) = self.input.split_at_checked(count).ok_or(CUT_OFF)?;
        self.input = rest;
        Ok(taken)
    }

    /// A little-endian number of `width` bytes.
    fn number(&mut self, width: usize) -> Result<u64, Refused> {
        let bytes = self.take(width)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |value, byte| (value << 8) | u64::from(*byte)))
    }

    fn skip_counted(&mut self, width: usize) -> Result<(), Refused> {
        let length = self.number(width)?;
        self.take(usize::try_from(length).map_err(|_| CUT_OFF)?)?;
        Ok(())
    }

    fn line(&mut self) -> Result<&'a [u8], Refused> {
        let end = self
            .input
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or(CUT_OFF)?;
        let line = self.take(end)?;
        self.take(1)?;
        Ok(line)
    }

    fn line_number(&mut self) -> Result<u64, Refused> {
        let line = self.line()?;
        let text = std::str::from_utf8(line).ok();
        text.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .ok_or(Refused::Malformed("a memo number is no number"))
    }

    fn push(&mut self, slot: Slot) {
        self.stack.push(slot);
    }

    /// Values below the innermost mark are out of reach until the mark is gone.
    fn fence(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Slot, Refused> {
        if self.stack.len() <= self.fence() {
            return Err(UNDERFLOW);
        }
        self.stack.pop().ok_or(UNDERFLOW)
    }

    fn top(&self) -> Result<Slot, Refused> {
        if self.stack.len() <= self.fence() {
            return Err(UNDERFLOW);
        }
        self.stack.last().copied().ok_or(UNDERFLOW)
    }

    /// Drops everything above the innermost mark, and the mark; gives the first value above it.
    fn pop_mark(&mut self) -> Result<Option<Slot>, Refused> {
        let mark = self
            .marks
            .pop()
            .ok_or(Refused::Malformed("a mark is missing"))?;
        let first = self.stack.get(mark).copied();
        self.stack.truncate(mark);
        Ok(first)
    }

    fn replace(&mut self, count: usize) -> Result<(), Refused> {
        for _ in 0..count {
            self.pop()?;
        }
        self.push(Slot::Made);
        Ok(())
    }

    fn look_up(&mut self, used: u8) -> Result<Slot, Refused> {
        self.plain = false;
        let number = u32::try_from(self.names.len())
            .map_err(|_| Refused::Malformed("it has too many names"))?;
        self.names.push(used);
        Ok(Slot::Name(number))
    }

    fn call(&mut self, callee: Slot, used: u8) -> Result<(), Refused> {
        self.plain = false;
        match callee {
            Slot::Name(number) => {
                if let Some(uses) = self.names.get_mut(number as usize) {
                    *uses |= used;
                }
                Ok(())
            }
            _ => Err(Refused::Forbidden(
                "calls something that it has not looked up by name",
            )),
        }
    }

    fn change(&self, target: Slot) -> Result<(), Refused> {
        match target {
            Slot::Made => Ok(()),
            Slot::Reference => Err(Refused::Forbidden("changes a proxy")),
            Slot::Name(_) => Err(Refused::Forbidden(
                "changes a class or function that it has looked up by name",
            )),
        }
    }

    fn remember(&mut self, place: u64) -> Result<(), Refused> {
        let slot = self.top()?;
        if place == self.memo_length {
            self.memo_length += 1;
        } else if place > self.memo_length {
            self.memo_irregular = true;
        }
        if slot == Slot::Made {
            self.memo.remove(&place);
        } else {
            self.memo.insert(place, slot);
        }
        Ok(())
    }

    fn recall(&mut self, place: u64) {
        let slot = self.memo.get(&place).copied().unwrap_or(Slot::Made);
        self.push(slot);
    }

    /// One instruction. False after the last one.
    fn step(&mut self) -> Result<bool, Refused> {
        let [code] = *self.take(1)? else {
            return Err(CUT_OFF);
        };
        match code {
            b'.' => {
                self.pop()?;
                return Ok(false);
            }
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => {
                self.pop_mark()?;
            }
            b'2' => {
                let slot = self.top()?;
                self.push(slot);
            }
            // Values written as a line of text.
            b'F' | b'I' | b'L' | b'S' | b'V' => {
                self.line()?;
                self.push(Slot::Made);
            }
            // Values of a fixed width.
            b'N' | 0x88 | 0x89 | b')' | b']' | b'}' | 0x8f | 0x97 => self.push(Slot::Made),
            b'K' => self.fixed(1)?,
            b'M' => self.fixed(2)?,
            b'J' => self.fixed(4)?,
            b'G' => self.fixed(8)?,
            // Values with their length in front.
            b'U' | b'C' | 0x8a | 0x8c => self.counted(1)?,
            b'T' | b'X' | b'B' | 0x8b => self.counted(4)?,
            0x8d | 0x8e | 0x96 => self.counted(8)?,
            b'P' => {
                self.line()?;
                self.plain = false;
                self.push(Slot::Reference);
            }
            b'Q' => {
                self.pop()?;
                self.plain = false;
                self.push(Slot::Reference);
            }
            b'c' => {
                self.line()?;
                self.line()?;
                let slot = self.look_up(USED_AS_VALUE)?;
                self.push(slot);
            }
            0x93 => {
                self.pop()?;
                self.pop()?;
                let slot = self.look_up(USED_AS_VALUE)?;
                self.push(slot);
            }
            b'i' => {
                self.line()?;
                self.line()?;
                self.look_up(USED_BY_CALL)?;
                self.pop_mark()?;
                self.push(Slot::Made);
            }
            b'o' => {
                let class = self.pop_mark()?.ok_or(UNDERFLOW)?;
                self.call(class, USED_BY_CALL)?;
                self.push(Slot::Made);
            }
            b'R' => {
                self.pop()?;
                let callee = self.pop()?;
                self.call(callee, USED_BY_CALL)?;
                self.push(Slot::Made);
            }
            0x81 => {
                self.pop()?;
                let class = self.pop()?;
                self.call(class, USED_BY_NEW)?;
                self.push(Slot::Made);
            }
            0x92 => {
                self.pop()?;
                self.pop()?;
                let class = self.pop()?;
                self.call(class, USED_BY_NEW)?;
                self.push(Slot::Made);
            }
            0x82..=0x84 => {
                return Err(Refused::Forbidden(
                    "uses an extension code of the copyreg module",
                ));
            }
            b'b' | b'a' => {
                self.pop()?;
                self.change(self.top()?)?;
            }
            b's' => {
                self.pop()?;
                self.pop()?;
                self.change(self.top()?)?;
            }
            b'e' | b'u' | 0x90 => {
                self.pop_mark()?;
                self.change(self.top()?)?;
            }
            b'd' | b'l' | b't' | 0x91 => {
                self.pop_mark()?;
                self.push(Slot::Made);
            }
            0x85 => self.replace(1)?,
            0x86 => self.replace(2)?,
            0x87 => self.replace(3)?,
            0x98 => {
                self.top()?;
            }
            b'p' => {
                let place = self.line_number()?;
                self.remember(place)?;
            }
            b'q' => {
                let place = self.number(1)?;
                self.remember(place)?;
            }
            b'r' => {
                let place = self.number(4)?;
                self.remember(place)?;
            }
            0x94 => {
                if self.memo_irregular {
                    return Err(Refused::Malformed("its memo is out of order"));
                }
                self.remember(self.memo_length)?;
            }
            b'g' => {
                let place = self.line_number()?;
                self.recall(place);
            }
            b'h' => {
                let place = self.number(1)?;
                self.recall(place);
            }
            b'j' => {
                let place = self.number(4)?;
                self.recall(place);
            }
            0x80 => {
                self.take(1)?;
            }
            0x95 => {
                self.take(8)?;
            }
            _ => return Err(Refused::Malformed("it holds an unknown instruction")),
        }
        Ok(true)
    }

    fn fixed(&mut self, width: usize) -> Result<(), Refused> {
        self.take(width)?;
        self.push(Slot::Made);
        Ok(())
    }

    fn counted(&mut self, width: usize) -> Result<(), Refused> {
        self.skip_counted(width)?;
        self.push(Slot::Made);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
