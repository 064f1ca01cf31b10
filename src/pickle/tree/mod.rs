//! Reads a pickle of plain data into a tree, in which nothing is copied: bounded in depth and in the size of the whole value.

use num_bigint::BigInt;

use super::error::{Error, Refused};
use super::opcodes::{Action, Container, Literal};
use super::pieces::{Pieces, Span};
use super::reader::{Budget, Reader};
use super::scalars::{is_latin_1, latin_1, whole, written_int};
use super::stack::Stack;

/// What shared parts may add when each occurrence becomes a copy: a pickle of n bytes may
/// stand for at most `EXPANSION_FACTOR * n + EXPANSION_FREE` bytes.
const EXPANSION_FACTOR: u64 = 16;
const EXPANSION_FREE: u64 = 64 << 20;

/// A place in a tree.
pub(super) type Place = u32;

/// One value.
#[derive(Debug)]
pub(super) enum Node<'a> {
    None,
    Bool(bool),
    Int(i64),
    BigInt(Box<BigInt>),
    Float(f64),
    Bytes(Span<'a>),
    /// Bytes that do not lie in the pickle as they are.
    Made(Box<[u8]>),
    /// UTF-8, in which surrogates may stand alone.
    Text(Span<'a>),
    /// The `str` of Python 2: text if it is UTF-8, else bytes.
    ByteString(Span<'a>),
    /// What holds others, by its place in `Tree::holders`.
    Items(u32),
    /// A name of Python's library, which only a call makes a value of.
    Name(Name),
}

/// The names that picklers of old protocols call to make plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Set,
    FrozenSet,
    ByteArray,
    Bytes,
    /// `_codecs.encode`, which makes bytes of text.
    Encode,
}

/// A value that holds others.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) container: Container,
    /// Of a dict these are keys and values in turn.
    pub(super) items: Vec<Place>,
    /// Bytes that it takes when it is written out in full.
    size: u64,
    depth: u32,
    /// Part of another value already, so that growing it would make that one's size wrong.
    used: bool,
}

/// The value of a pickle.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    holders: Vec<Holder>,
    root: Place,
}

impl<'a> Tree<'a> {
    /// Reads one pickle of plain data.
    pub(super) fn read(input: Pieces<'a>, budget: Budget) -> Result<Tree<'a>, Error> {
        let limit = EXPANSION_FACTOR
            .saturating_mul(input.len())
            .saturating_add(EXPANSION_FREE);
        let mut builder = Builder {
            reader: Reader::new(input, budget),
            budget,
            nodes: Vec::new(),
            holders: Vec::new(),
            stack: Stack::new(),
            limit,
        };
        let root = builder.run()?;
        Ok(Tree {
            nodes: builder.nodes,
            holders: builder.holders,
            root,
        })
    }

    pub(super) fn root(&self) -> Place {
        self.root
    }

    pub(super) fn node(&self, place: Place) -> &Node<'a> {
        // Places come from the tree itself.
        self.nodes.get(place as usize).unwrap_or(&Node::None)
    }

    /// What kind of container a node is, and what it holds.
    pub(super) fn items(&self, holder: u32) -> (Container, &[Place]) {
        match self.holders.get(holder as usize) {
            Some(holder) => (holder.container, &holder.items),
            None => (Container::Tuple, &[]),
        }
    }
}

struct Builder<'a> {
    reader: Reader<'a>,
    budget: Budget,
    nodes: Vec<Node<'a>>,
    holders: Vec<Holder>,
    stack: Stack<Place>,
    limit: u64,
}

impl<'a> Builder<'a> {
    fn run(&mut self) -> Result<Place, Error> {
        loop {
            match self.reader.next()? {
                Action::Push(literal) => self.literal(literal)?,
                Action::Memoize => self.stack.memoize()?,
                Action::Put => self.stack.remember(self.reader.number()?)?,
                Action::Get => {
                    self.stack.recall(self.reader.number()?)?;
                }
                Action::Mark => self.stack.mark(),
                Action::Empty(container) => self.gather(container, Vec::new())?,
                Action::Tuple(count) => {
                    let mut items = Vec::with_capacity(usize::from(count));
                    for _ in 0..count {
                        items.push(self.stack.pop()?);
                    }
                    items.reverse();
                    self.gather(Container::Tuple, items)?;
                }
                Action::Gather(container) => {
                    let items = self.pop_marked()?;
                    self.gather(container, items)?;
                }
                Action::Add(container, count) => {
                    let mut items = [0; 2];
                    let items = items.get_mut(..usize::from(count)).unwrap_or_default();
                    for item in items.iter_mut().rev() {
                        *item = self.stack.pop()?;
                    }
                    self.grow(container, items)?;
                }
                Action::AddMarked(container) => {
                    let items = self.pop_marked()?;
                    self.grow(container, &items)?;
                }
                Action::Nothing => {}
                Action::Stop => {
                    let root = self.stack.pop()?;
                    if self.reader.left() > 0 {
                        return Err(Error::new("bytes follow the pickle's end"));
                    }
                    if let Some(Node::Name(_)) = self.nodes.get(root as usize) {
                        return Err(Error::new("a function of Python is not plain data"));
                    }
                    return Ok(root);
                }
                Action::Pop => self.stack.pop_any()?,
                Action::PopMark => drop(self.pop_marked()?),
                Action::Duplicate => {
                    let place = *self.stack.top()?;
                    self.stack.push(place);
                }
                Action::Global => {
                    let module = self.reader.bytes()?.joined();
                    let name = self.reader.bytes()?.joined();
                    self.look_up(&module, &name)?;
                }
                Action::StackGlobal => {
                    let name = self.pop_text()?;
                    let module = self.pop_text()?;
                    self.look_up(&module, &name)?;
                }
                Action::Reduce => self.reduce()?,
                Action::Instance
                | Action::Object
                | Action::New
                | Action::NewWithKeywords
                | Action::Build => {
                    return Err(Error::new("the instance of a class is not plain data"));
                }
                Action::Extension => return Err(super::error::EXTENSION.into()),
                Action::Reference | Action::StackReference => {
                    return Err(Error::new("a reference by persistent id is not plain data"));
                }
                Action::NextBuffer | Action::ReadOnlyBuffer => {
                    return Err(Error::new("a buffer beside the pickle is not plain data"));
                }
            }
        }
    }

    fn literal(&mut self, literal: Literal) -> Result<(), Error> {
        let node = match literal {
            Literal::None => Node::None,
            Literal::True => Node::Bool(true),
            Literal::False => Node::Bool(false),
            // Four bytes have a sign; fewer are below 2**31.
            Literal::Int => Node::Int(i64::from(self.reader.number()? as u32 as i32)),
            Literal::Float => Node::Float(f64::from_bits(self.reader.number()?.swap_bytes())),
            Literal::Long => whole(BigInt::from_signed_bytes_le(&self.reader.bytes()?.joined())),
            Literal::Bytes | Literal::ByteArray => Node::Bytes(self.reader.bytes()?),
            Literal::Text => Node::Text(self.reader.bytes()?),
            Literal::ByteString => Node::ByteString(self.reader.bytes()?),
            Literal::WrittenInt => written_int(&self.reader.bytes()?)?,
            Literal::WrittenFloat | Literal::WrittenByteString | Literal::WrittenText => {
                return Err(Error::new(
                    "a pickle of protocol 0 or 1, which no stub of this protocol sends",
                ));
            }
        };
        self.push(node)
    }

    fn push(&mut self, node: Node<'a>) -> Result<(), Error> {
        let place = Place::try_from(self.nodes.len())
            .map_err(|_| Refused::TooMuch("has too many parts"))?;
        self.nodes.push(node);
        self.stack.push(place);
        Ok(())
    }

    fn pop_marked(&mut self) -> Result<Vec<Place>, Error> {
        let mark = self.stack.pop_mark()?;
        let items = self.stack.above(mark).to_vec();
        self.stack.truncate(mark);
        Ok(items)
    }

    /// The size and depth of parts, which from now on must not grow.
    fn sum(&mut self, items: &[Place]) -> Result<(u64, u32), Error> {
        let (mut size, mut depth) = (1u64, 0);
        for item in items {
            let part = match self.nodes.get(*item as usize) {
                Some(Node::Items(holder)) => match self.holders.get_mut(*holder as usize) {
                    Some(holder) => {
                        holder.used = true;
                        depth = depth.max(holder.depth);
                        holder.size
                    }
                    None => 1,
                },
                Some(Node::Bytes(span) | Node::Text(span) | Node::ByteString(span)) => {
                    span.len() as u64 + 1
                }
                Some(Node::Made(bytes)) => bytes.len() as u64 + 1,
                Some(Node::BigInt(number)) => number.bits() / 8 + 1,
                Some(Node::Name(_)) => {
                    return Err(Error::new("a function of Python is not plain data"));
                }
                _ => 1,
            };
            size = size.saturating_add(part);
        }
        if depth >= self.budget.depth {
            let limit = self.budget.depth;
            return Err(Error::new(format!(
                "the value is nested more than {limit} deep"
            )));
        }
        self.check_size(size)?;
        Ok((size, depth + 1))
    }

    fn check_size(&self, size: u64) -> Result<(), Error> {
        if size > self.limit {
            return Err(Error::new("the value is far larger than its pickle"));
        }
        Ok(())
    }

    fn gather(&mut self, container: Container, items: Vec<Place>) -> Result<(), Error> {
        check_pairs(container, &items)?;
        let (size, depth) = self.sum(&items)?;
        // There are no more of them than nodes.
        let holder = self.holders.len() as u32;
        self.holders.push(Holder {
            container,
            items,
            size,
            depth,
            used: false,
        });
        self.push(Node::Items(holder))
    }

    fn grow(&mut self, container: Container, items: &[Place]) -> Result<(), Error> {
        check_pairs(container, items)?;
        let (size, depth) = self.sum(items)?;
        let target = *self.stack.top()? as usize;
        let held = match self.nodes.get(target) {
            Some(Node::Items(holder)) => self.holders.get_mut(*holder as usize),
            _ => None,
        };
        let holder =
            held.filter(|holder| holder.container == container)
                .ok_or(Refused::Malformed(
                    "it adds items to something that is not a container",
                ))?;
        if holder.used {
            return Err(Error::new("a part of the value changes after its use"));
        }
        holder.size = holder.size.saturating_add(size);
        holder.depth = holder.depth.max(depth);
        holder.items.extend_from_slice(items);
        let size = holder.size;
        self.check_size(size)
    }

    fn pop_text(&mut self) -> Result<Vec<u8>, Error> {
        let place = self.stack.pop()?;
        match self.nodes.get(place as usize) {
            Some(Node::Text(span) | Node::ByteString(span)) => Ok(span.joined().into_owned()),
            _ => Err(Refused::Malformed("a name is not text").into()),
        }
    }

    fn look_up(&mut self, module: &[u8], name: &[u8]) -> Result<(), Error> {
        let known = match (module, name) {
            (b"__builtin__" | b"builtins", b"set") => Name::Set,
            (b"__builtin__" | b"builtins", b"frozenset") => Name::FrozenSet,
            (b"__builtin__" | b"builtins", b"bytearray") => Name::ByteArray,
            (b"__builtin__" | b"builtins", b"bytes") => Name::Bytes,
            (b"_codecs", b"encode") => Name::Encode,
            _ => {
                let module = String::from_utf8_lossy(module);
                let name = String::from_utf8_lossy(name);
                return Err(Error::new(format!(
                    "what {module}.{name} creates is not plain data"
                )));
            }
        };
        self.push(Node::Name(known))
    }

    /// Calls a name with a tuple of arguments.
    fn reduce(&mut self) -> Result<(), Error> {
        let arguments = self.stack.pop()?;
        let callee = self.stack.pop()?;
        let (Some(Node::Name(name)), Some((Container::Tuple, arguments))) =
            (self.nodes.get(callee as usize), self.held(arguments))
        else {
            return Err(Refused::Malformed("it calls something that is not a function").into());
        };
        let name = *name;
        let argument = |n: usize| {
            let place = arguments.get(n);
            place.and_then(|place| self.nodes.get(*place as usize))
        };
        let bytes: Vec<u8> = match (name, argument(0), argument(1)) {
            (Name::Set | Name::FrozenSet, None, _) => return self.make_set(name, Vec::new()),
            (Name::Set | Name::FrozenSet, Some(Node::Items(items)), None) => {
                let items = self.holders.get(*items as usize);
                let items = items.map(|holder| holder.items.clone());
                return self.make_set(name, items.unwrap_or_default());
            }
            (Name::Bytes | Name::ByteArray, None, _) => Vec::new(),
            (Name::ByteArray, Some(Node::Bytes(span) | Node::ByteString(span)), None) => {
                span.joined().into_owned()
            }
            (Name::ByteArray | Name::Encode, Some(Node::Text(span)), Some(encoding))
                if is_latin_1(encoding) =>
            {
                latin_1(span)?
            }
            _ => {
                return Err(Error::new(
                    "a call in the pickle whose result is not plain data",
                ));
            }
        };
        self.push(Node::Made(bytes.into()))
    }

    fn held(&self, place: Place) -> Option<(Container, &[Place])> {
        match self.nodes.get(place as usize) {
            Some(Node::Items(holder)) => {
                let holder = self.holders.get(*holder as usize)?;
                Some((holder.container, &holder.items))
            }
            _ => None,
        }
    }

    fn make_set(&mut self, name: Name, items: Vec<Place>) -> Result<(), Error> {
        let container = match name {
            Name::Set => Container::Set,
            _ => Container::FrozenSet,
        };
        self.gather(container, items)
    }
}

/// Keys and values come in pairs.
fn check_pairs(container: Container, items: &[Place]) -> Result<(), Refused> {
    if container == Container::Dict && !items.len().is_multiple_of(2) {
        return Err(Refused::Malformed("a key has no value"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
