//! Reads a pickle as an unpickler would, without creating anything: what it looks up by name, and how that is used.
//!
//! CPython's fast unpickler lets a subclass decide which names are found, but not what is done with them, and it takes
//! `copyreg` extensions from a cache without asking. Both matter for bytes from a server, so they are settled here, before the
//! unpickler sees the pickle; and so is what decoding it may take, which no unpickler asks. What this scan does not follow for
//! certain it refuses.

use super::error::{EXTENSION, Refused, UNDERFLOW};
use super::opcodes::{Action, Literal};
use super::pieces::Pieces;
use super::reader::{Budget, Reader};
use super::scalars::MAX_DIGITS;
use super::stack::Stack;

/// A name that is only handed on, as a value.
pub(crate) const USED_AS_VALUE: u8 = 0;
/// A name that is called (`REDUCE`, `OBJ`, `INST`).
pub(crate) const USED_BY_CALL: u8 = 1;
/// A class whose `__new__` is called (`NEWOBJ`, `NEWOBJ_EX`).
pub(crate) const USED_BY_NEW: u8 = 2;

/// What a pickle asks of an unpickler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scan {
    /// Nothing but plain data: no name, no call, no reference.
    Plain,
    /// It looks up names: for each look-up in order, the `USED_` bits of what is done with it.
    Names(Vec<u8>),
}

/// What stands in one place of the unpickler's stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// A value that this pickle made, with its place in `Machine::depths`, so that it is known by all its names when it grows.
    Made(u32),
    /// The same, and a call gave it: what it gives may be a method of a class, by which newer versions of Python make values.
    Given(u32),
    /// A proxy, by persistent id.
    Reference,
    /// The result of the look-up with this number.
    Name(u32),
}

/// A value without parts, which has no place in `Machine::depths`.
const LEAF: Slot = Slot::Made(u32::MAX);

struct Machine<'a> {
    reader: Reader<'a>,
    budget: Budget,
    stack: Stack<Slot>,
    /// How deep values are nested in each value with parts.
    depths: Vec<u32>,
    names: Vec<u8>,
    plain: bool,
}

/// Follows `pickle` up to its STOP.
///
/// # Errors
/// [`Refused`], for bytes that are not a pickle or take more to decode than `budget`, and for a pickle that uses an extension code,
/// changes what it has only looked up by name, or calls something that neither was looked up nor given by a call; whether what a
/// call gave may be called, the decoder sees.
pub(crate) fn scan(pickle: &[u8], budget: Budget) -> Result<Scan, Refused> {
    let mut machine = Machine {
        reader: Reader::new(Pieces::from(pickle), budget),
        budget,
        stack: Stack::new(),
        depths: Vec::new(),
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

impl Machine<'_> {
    fn depth(&self, slot: Slot) -> u32 {
        match slot {
            Slot::Made(shape) | Slot::Given(shape) => {
                self.depths.get(shape as usize).copied().unwrap_or_default()
            }
            Slot::Reference | Slot::Name(_) => 0,
        }
    }

    /// One more than the deepest of the values from a place of the stack on.
    fn depth_above(&self, place: usize) -> Result<u32, Refused> {
        let parts = self.stack.above(place).iter();
        self.deeper(parts.map(|slot| self.depth(*slot)).max().unwrap_or(0))
    }

    fn deeper(&self, inner: u32) -> Result<u32, Refused> {
        if inner >= self.budget.depth {
            return Err(Refused::TooMuch("nests values too deep"));
        }
        Ok(inner + 1)
    }

    fn made(&mut self, depth: u32) -> Result<Slot, Refused> {
        let shape = u32::try_from(self.depths.len())
            .ok()
            .filter(|shape| *shape != u32::MAX)
            .ok_or(Refused::TooMuch("has too many parts"))?;
        self.depths.push(depth);
        Ok(Slot::Made(shape))
    }

    /// Pushes a value that this pickle made of others, so deep in all.
    fn push_made(&mut self, depth: u32) -> Result<(), Refused> {
        let slot = self.made(depth)?;
        self.stack.push(slot);
        Ok(())
    }

    /// The value on top gets parts that are so deep with it.
    fn grow(&mut self, depth: u32) -> Result<(), Refused> {
        match *self.stack.top()? {
            Slot::Made(shape) | Slot::Given(shape) => match self.depths.get_mut(shape as usize) {
                Some(known) => *known = (*known).max(depth),
                None => {
                    let slot = self.made(depth)?;
                    *self.stack.top()? = slot;
                }
            },
            Slot::Reference => return Err(Refused::Forbidden("changes a proxy")),
            Slot::Name(_) => {
                return Err(Refused::Forbidden(
                    "changes a class or function that it has looked up by name",
                ));
            }
        }
        Ok(())
    }

    fn look_up(&mut self, used: u8) -> Result<Slot, Refused> {
        self.plain = false;
        let number =
            u32::try_from(self.names.len()).map_err(|_| Refused::TooMuch("has too many names"))?;
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
            Slot::Given(_) if used == USED_BY_CALL => Ok(()),
            _ => Err(Refused::Forbidden(
                "calls something that it has not looked up by name",
            )),
        }
    }

    /// Takes `count` values and the callee below them, and pushes what it makes of them.
    fn make(&mut self, count: u8, used: u8) -> Result<(), Refused> {
        let depth = self.pop_parts(count)?;
        let callee = self.stack.pop()?;
        self.call(callee, used)?;
        let made = self.made(depth)?;
        self.stack.push(match made {
            Slot::Made(shape) if used == USED_BY_CALL => Slot::Given(shape),
            other => other,
        });
        Ok(())
    }

    /// Takes `count` values; gives one more than the deepest of them.
    fn pop_parts(&mut self, count: u8) -> Result<u32, Refused> {
        let mut inner = 0;
        for _ in 0..count {
            let slot = self.stack.pop()?;
            inner = inner.max(self.depth(slot));
        }
        self.deeper(inner)
    }

    /// Takes what is above the innermost mark; gives one more than the deepest of it.
    fn pop_marked(&mut self) -> Result<u32, Refused> {
        let mark = self.stack.pop_mark()?;
        let depth = self.depth_above(mark)?;
        self.stack.truncate(mark);
        Ok(depth)
    }

    /// One instruction. False after the last one.
    fn step(&mut self) -> Result<bool, Refused> {
        match self.reader.next()? {
            Action::Push(literal) => {
                if literal == Literal::WrittenInt && self.reader.bytes()?.len() > MAX_DIGITS {
                    return Err(Refused::TooMuch("has a number of too many digits"));
                }
                self.stack.push(LEAF);
            }
            Action::NextBuffer => self.stack.push(LEAF),
            Action::Memoize => self.stack.memoize()?,
            Action::Put => self.stack.remember(self.reader.number()?)?,
            Action::Get => {
                self.stack.recall(self.reader.number()?)?;
            }
            Action::Mark => self.stack.mark(),
            Action::Empty(_) => {
                let depth = self.deeper(0)?;
                self.push_made(depth)?;
            }
            Action::Tuple(count) => {
                let depth = self.pop_parts(count)?;
                self.push_made(depth)?;
            }
            Action::Gather(_) => {
                let depth = self.pop_marked()?;
                self.push_made(depth)?;
            }
            Action::Add(_, count) => {
                let depth = self.pop_parts(count)?;
                self.grow(depth)?;
            }
            Action::AddMarked(_) => {
                let depth = self.pop_marked()?;
                self.grow(depth)?;
            }
            Action::Nothing => {}
            Action::Stop => {
                self.stack.pop()?;
                return Ok(false);
            }
            Action::Pop => self.stack.pop_any()?,
            Action::PopMark => {
                let mark = self.stack.pop_mark()?;
                self.stack.truncate(mark);
            }
            Action::Duplicate => {
                let slot = *self.stack.top()?;
                self.stack.push(slot);
            }
            Action::Reference => {
                self.plain = false;
                self.stack.push(Slot::Reference);
            }
            Action::StackReference => {
                self.stack.pop()?;
                self.plain = false;
                self.stack.push(Slot::Reference);
            }
            Action::Global => {
                let name = self.look_up(USED_AS_VALUE)?;
                self.stack.push(name);
            }
            Action::StackGlobal => {
                self.pop_parts(2)?;
                let name = self.look_up(USED_AS_VALUE)?;
                self.stack.push(name);
            }
            Action::Instance => {
                self.look_up(USED_BY_CALL)?;
                let depth = self.pop_marked()?;
                self.push_made(depth)?;
            }
            Action::Object => {
                let mark = self.stack.pop_mark()?;
                let depth = self.depth_above(mark)?;
                let class = *self.stack.above(mark).first().ok_or(UNDERFLOW)?;
                self.stack.truncate(mark);
                self.call(class, USED_BY_CALL)?;
                self.push_made(depth)?;
            }
            Action::Reduce => self.make(1, USED_BY_CALL)?,
            Action::New => self.make(1, USED_BY_NEW)?,
            Action::NewWithKeywords => self.make(2, USED_BY_NEW)?,
            Action::Build => {
                let depth = self.pop_parts(1)?;
                self.grow(depth)?;
            }
            Action::Extension => return Err(EXTENSION),
            Action::ReadOnlyBuffer => {
                self.stack.top()?;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
