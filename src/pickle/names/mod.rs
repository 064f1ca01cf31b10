//! Reads a pickle as an unpickler would, without creating anything: what it looks up by name, and how that is used.
//!
//! CPython's fast unpickler lets a subclass decide which names are found, but not what is done with them, and it takes
//! `copyreg` extensions from a cache without asking. Both matter for bytes from a server, so they are settled here, before the
//! unpickler sees the pickle; and so is what decoding it may take, which no unpickler asks. What this scan does not follow for
//! certain it refuses.

use std::cell::Cell;

use super::error::{EXTENSION, Refused, UNDERFLOW};
use super::opcodes::{Action, Container, Literal};
use super::pieces::Pieces;
use super::reader::{Budget, Reader};
use super::scalars::MAX_DIGITS;
use super::stack::Stack;
use memory::Memory;
use work::Shape;
pub(crate) use work::Work;

mod memory;
mod work;

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
    /// A value that this pickle made, with its place in `Machine::shapes`, so that it is known by all its names when it grows.
    Made(u32),
    /// The same, and a call gave it: what it gives may be a method of a class, by which newer versions of Python make values.
    Given(u32),
    /// A proxy, by persistent id.
    Reference,
    /// The result of the look-up with this number.
    Name(u32),
}

/// A value that is small and without parts, which has no place in `Machine::shapes`.
const LEAF: Slot = Slot::Made(u32::MAX);

/// What a scan needs memory for. Asking for it anew would take a third of the time that a small pickle does.
struct Room {
    stack: Stack<Slot>,
    /// What is known of each value that is large or has parts.
    shapes: Vec<Shape>,
}

impl Room {
    /// Entries that are kept for the next pickle.
    const KEPT: usize = 1024;

    /// Ends a scan.
    fn leave(mut self) {
        if self.stack.capacity() + self.shapes.capacity() <= Room::KEPT {
            self.stack.clear();
            self.shapes.clear();
            let _ = ROOM.try_with(|room| room.set(Some(self)));
        }
    }
}

thread_local! {
    static ROOM: Cell<Option<Room>> = const { Cell::new(None) };
}

struct Machine<'a> {
    reader: Reader<'a>,
    budget: Budget,
    stack: Stack<Slot>,
    shapes: Vec<Shape>,
    work: Work,
    memory: Memory,
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
    let Room { stack, shapes } = ROOM
        .try_with(Cell::take)
        .ok()
        .flatten()
        .unwrap_or_else(|| Room {
            stack: Stack::new(),
            shapes: Vec::new(),
        });
    let mut machine = Machine {
        reader: Reader::new(Pieces::from(pickle), budget),
        budget,
        stack,
        shapes,
        work: Work::of(pickle.len()),
        memory: Memory(budget.memory),
        names: Vec::new(),
        plain: true,
    };
    let ended = machine.run();
    let Machine {
        stack,
        shapes,
        names,
        plain,
        ..
    } = machine;
    Room { stack, shapes }.leave();
    ended?;
    Ok(if plain {
        Scan::Plain
    } else {
        Scan::Names(names)
    })
}

impl Machine<'_> {
    fn run(&mut self) -> Result<(), Refused> {
        while self.step()? {}
        Ok(())
    }

    fn shape(&self, slot: Slot) -> Shape {
        match slot {
            Slot::Made(place) | Slot::Given(place) => self
                .shapes
                .get(place as usize)
                .copied()
                .unwrap_or(Shape::LEAF),
            Slot::Reference | Slot::Name(_) => Shape::LEAF,
        }
    }

    /// A value that holds what is on the stack from a place on.
    fn shape_above(&self, place: usize) -> Result<Shape, Refused> {
        let parts = self.stack.above(place);
        // Lists of numbers have nothing else, and counting them takes a tenth of looking at each.
        let leaves = parts.iter().filter(|slot| **slot == LEAF).count();
        let inner = if leaves == parts.len() {
            Shape::leaves(leaves)
        } else {
            let shapes = parts.iter().map(|slot| self.shape(*slot));
            shapes.fold(Shape::NOTHING, Shape::with)
        };
        self.deeper(inner)
    }

    fn deeper(&self, inner: Shape) -> Result<Shape, Refused> {
        if inner.depth >= self.budget.depth {
            return Err(Refused::TooMuch("nests values too deep"));
        }
        Ok(inner.held())
    }

    fn made(&mut self, shape: Shape) -> Result<Slot, Refused> {
        let place = u32::try_from(self.shapes.len())
            .ok()
            .filter(|place| *place != u32::MAX)
            .ok_or(Refused::TooMuch("has too many parts"))?;
        self.shapes.push(shape);
        Ok(Slot::Made(place))
    }

    /// Pushes a value that this pickle made of others.
    fn push_made(&mut self, shape: Shape) -> Result<(), Refused> {
        let slot = self.made(shape)?;
        self.stack.push(slot);
        Ok(())
    }

    /// The value on top gets parts that are so with it.
    fn grow(&mut self, shape: Shape) -> Result<(), Refused> {
        match *self.stack.top()? {
            Slot::Made(place) | Slot::Given(place) => match self.shapes.get_mut(place as usize) {
                Some(known) => *known = known.with(shape),
                None => {
                    let slot = self.made(shape)?;
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

    /// Counts what the values from a place of the stack on take in a container, and what is hashed and compared of them.
    fn count_items(&mut self, container: Container, place: usize) -> Result<(), Refused> {
        let items = self.stack.above(place).len();
        self.memory.spend(memory::of_items(container, items))?;
        let every = match container {
            Container::Dict => 2,
            Container::Set | Container::FrozenSet => 1,
            Container::List | Container::Tuple => return Ok(()),
        };
        let keys = self.stack.above(place).iter().step_by(every);
        let weight = keys.map(|slot| u64::from(self.shape(*slot).weight)).sum();
        self.work.spend(weight)
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
        let shape = self.pop_parts(count)?;
        let callee = self.stack.pop()?;
        self.call(callee, used)?;
        let made = self.made(shape)?;
        self.stack.push(match made {
            Slot::Made(place) if used == USED_BY_CALL => Slot::Given(place),
            other => other,
        });
        Ok(())
    }

    /// Takes `count` values; gives what holds them.
    fn pop_parts(&mut self, count: u8) -> Result<Shape, Refused> {
        let mut inner = Shape::NOTHING;
        for _ in 0..count {
            let slot = self.stack.pop()?;
            inner = inner.with(self.shape(slot));
        }
        self.deeper(inner)
    }

    /// Takes what is above the innermost mark for a container; gives what holds it.
    fn pop_marked(&mut self, container: Container) -> Result<Shape, Refused> {
        let mark = self.stack.pop_mark()?;
        let shape = self.shape_above(mark)?;
        self.count_items(container, mark)?;
        self.stack.truncate(mark);
        Ok(shape)
    }

    /// A value that stands in the pickle.
    fn literal(&mut self, literal: Literal) -> Result<(), Refused> {
        let shape = match literal {
            Literal::None | Literal::True | Literal::False | Literal::Int | Literal::Float => {
                // Where one is, more may follow.
                let more = self.reader.small_values()?;
                self.memory.spend(memory::of_small_values(&more))?;
                self.stack.push_many(LEAF, more.count + 1);
                return Ok(());
            }
            Literal::WrittenInt => {
                if self.reader.bytes()?.len() > MAX_DIGITS {
                    return Err(Refused::TooMuch("has a number of too many digits"));
                }
                Shape::LEAF
            }
            Literal::Long => Shape::number(self.reader.bytes()?.len()),
            Literal::Text => {
                let text = self.reader.bytes()?.joined();
                self.memory.spend(memory::of_text(&text))?;
                Shape::text(text.len())
            }
            Literal::Bytes
            | Literal::ByteString
            | Literal::WrittenByteString
            | Literal::WrittenText => {
                let length = self.reader.bytes()?.len();
                self.memory.spend(length as u64)?;
                Shape::text(length)
            }
            _ => Shape::LEAF,
        };
        if shape == Shape::LEAF {
            self.stack.push(LEAF);
            return Ok(());
        }
        self.push_made(shape)
    }

    /// One instruction. False after the last one.
    fn step(&mut self) -> Result<bool, Refused> {
        let action = self.reader.next()?;
        self.memory.spend(memory::of(action))?;
        match action {
            Action::Push(literal) => self.literal(literal)?,
            Action::NextBuffer => self.stack.push(LEAF),
            Action::Memoize => self.stack.memoize()?,
            Action::Put => self.stack.remember(self.reader.number()?)?,
            Action::Get => {
                self.stack.recall(self.reader.number()?)?;
            }
            Action::Mark => self.stack.mark(),
            Action::Empty(_) => {
                let shape = self.deeper(Shape::NOTHING)?;
                self.push_made(shape)?;
            }
            Action::Tuple(count) => {
                let shape = self.pop_parts(count)?;
                self.push_made(shape)?;
            }
            Action::Gather(container) => {
                let shape = self.pop_marked(container)?;
                self.push_made(shape)?;
            }
            Action::Add(container, count) => {
                let parts = self.stack.top_place(count)?;
                self.count_items(container, parts)?;
                let shape = self.pop_parts(count)?;
                self.grow(shape)?;
            }
            Action::AddMarked(container) => {
                let shape = self.pop_marked(container)?;
                self.grow(shape)?;
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
                let shape = self.pop_marked(Container::Tuple)?;
                self.push_made(shape)?;
            }
            Action::Object => {
                let mark = self.stack.pop_mark()?;
                let shape = self.shape_above(mark)?;
                let class = *self.stack.above(mark).first().ok_or(UNDERFLOW)?;
                self.stack.truncate(mark);
                self.call(class, USED_BY_CALL)?;
                self.push_made(shape)?;
            }
            Action::Reduce => self.make(1, USED_BY_CALL)?,
            Action::New => self.make(1, USED_BY_NEW)?,
            Action::NewWithKeywords => self.make(2, USED_BY_NEW)?,
            Action::Build => {
                let shape = self.pop_parts(1)?;
                self.grow(shape)?;
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
