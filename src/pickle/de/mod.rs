//! Pickles into any type that serde knows.

mod enums;
mod sequences;

use std::borrow::Cow;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use super::error::Error;
use super::exact::EXACT;
use super::opcodes::Container;
use super::pieces::{Pieces, Span};
use super::plain::Plain;
use super::reader::Budget;
use super::surrogates::{file_name, with_escapes};
use super::tree::{Node, Place, Tree};
use crate::wire::Segments;
use enums::{Exact, OsName, Variant};
use sequences::{Items, Octets};

/// A pickle of plain data that was read, and can be decoded more than once.
pub(crate) struct Document<'a>(Tree<'a>);

impl<'a> Document<'a> {
    /// Reads a pickle, and checks that decoding it stays within bounds.
    pub(crate) fn read(pickle: &'a Segments) -> Result<Document<'a>, Error> {
        Ok(Document(Tree::read(Pieces::from(pickle), Budget::RUST)?))
    }

    /// Its value as the type that is asked for.
    pub(crate) fn decode<T: Deserialize<'a>>(&self) -> Result<T, Error> {
        T::deserialize(self.top(false))
    }

    /// Its value for people: what is not text in a `str` becomes visible.
    pub(crate) fn decode_readable(&self) -> Result<Plain, Error> {
        Plain::deserialize(self.top(true))
    }

    fn top(&self, readable: bool) -> Decoder<'_, 'a> {
        Decoder {
            tree: &self.0,
            place: self.0.root(),
            readable,
        }
    }
}

/// One value of a tree.
#[derive(Clone, Copy)]
struct Decoder<'t, 'a> {
    tree: &'t Tree<'a>,
    place: Place,
    readable: bool,
}

impl<'t, 'a> Decoder<'t, 'a> {
    fn node(&self) -> &'t Node<'a> {
        self.tree.node(self.place)
    }

    fn at(&self, place: Place) -> Decoder<'t, 'a> {
        Decoder { place, ..*self }
    }

    fn items(self, items: &'t [Place]) -> Items<'t, 'a> {
        Items {
            decoder: self,
            items: items.iter(),
        }
    }

    /// The type's name in Python.
    fn kind(&self) -> &'static str {
        match self.node() {
            Node::None => "None",
            Node::Bool(_) => "a bool",
            Node::Int(_) | Node::BigInt(_) => "an int",
            Node::Float(_) => "a float",
            Node::Bytes(_) | Node::Made(_) => "bytes",
            Node::Text(_) => "a str",
            Node::ByteString(_) => "a str of Python 2",
            Node::Items(holder) => match self.tree.items(*holder).0 {
                Container::List => "a list",
                Container::Tuple => "a tuple",
                Container::Set => "a set",
                Container::FrozenSet => "a frozenset",
                Container::Dict => "a dict",
            },
            Node::Name(_) => "a function",
        }
    }

    /// The bytes of what can be had as bytes, text among them.
    fn raw(&self) -> Option<Cow<'t, [u8]>> {
        match self.node() {
            Node::Bytes(span) | Node::Text(span) | Node::ByteString(span) => Some(span.joined()),
            Node::Made(bytes) => Some(Cow::Borrowed(bytes)),
            _ => None,
        }
    }

    fn text<'de, V: Visitor<'de>>(self, span: &Span<'a>, visitor: V) -> Result<V::Value, Error> {
        let bytes = match span.joined() {
            Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => return visitor.visit_str(text),
                Err(_) => bytes.to_vec(),
            },
            Cow::Owned(bytes) => match String::from_utf8(bytes) {
                Ok(text) => return visitor.visit_string(text),
                Err(error) => error.into_bytes(),
            },
        };
        if self.readable {
            return visitor.visit_string(with_escapes(&bytes));
        }
        Err(Error::new(format!(
            "the str '{}' holds surrogates, as a file name that is not UTF-8 does: request it as OsString or Vec<u8>, or return os.fsencode() of it",
            with_escapes(&bytes)
        )))
    }

    /// A sequence that was not read to its end is longer than the type that was asked for.
    fn sequence<'de, V: Visitor<'de>>(
        self,
        items: &'t [Place],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut access = self.items(items);
        let value = visitor.visit_seq(&mut access)?;
        match access.items.len() {
            0 => Ok(value),
            left => Err(Error::new(format!(
                "{} of {} items, where {} are expected",
                self.kind(),
                items.len(),
                items.len() - left
            ))),
        }
    }

    /// Bytes where a sequence is expected: of `u8` only, as `Vec<u8>` and `[u8; N]` are.
    fn byte_sequence<'de, V: Visitor<'de>>(
        self,
        bytes: &[u8],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut access = Octets {
            kind: self.kind(),
            bytes: bytes.iter(),
        };
        let value = visitor.visit_seq(&mut access)?;
        match access.bytes.len() {
            0 => Ok(value),
            left => Err(Error::new(format!(
                "{} bytes, where {} are expected",
                bytes.len(),
                bytes.len() - left
            ))),
        }
    }
}

impl<'de, 't, 'a> Deserializer<'de> for Decoder<'t, 'a> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node() {
            Node::None => visitor.visit_unit(),
            Node::Bool(truth) => visitor.visit_bool(*truth),
            Node::Int(number) => visitor.visit_i64(*number),
            Node::BigInt(number) => {
                if let Ok(number) = u64::try_from(&**number) {
                    visitor.visit_u64(number)
                } else if let Ok(number) = i128::try_from(&**number) {
                    visitor.visit_i128(number)
                } else if let Ok(number) = u128::try_from(&**number) {
                    visitor.visit_u128(number)
                } else {
                    Err(Error::new(
                        "an int beyond 128 bits: request it as Value, or return str() of it",
                    ))
                }
            }
            Node::Float(number) => visitor.visit_f64(*number),
            Node::Bytes(span) => match span.joined() {
                Cow::Borrowed(bytes) => visitor.visit_bytes(bytes),
                Cow::Owned(bytes) => visitor.visit_byte_buf(bytes),
            },
            Node::Made(bytes) => visitor.visit_bytes(bytes),
            Node::Text(span) => self.text(span, visitor),
            Node::ByteString(span) => {
                let bytes = span.joined();
                match std::str::from_utf8(&bytes) {
                    Ok(text) => visitor.visit_str(text),
                    Err(_) => visitor.visit_bytes(&bytes),
                }
            }
            Node::Items(holder) => match self.tree.items(*holder) {
                (Container::Dict, items) => visitor.visit_map(self.items(items)),
                (_, items) => self.sequence(items, visitor),
            },
            Node::Name(_) => Err(Error::new("a function of Python is not plain data")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node() {
            Node::None => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        // Leaves are what they are by any way.
        if let (EXACT, Node::Items(_) | Node::BigInt(_)) = (name, self.node()) {
            return visitor.visit_enum(Exact(self));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.raw() {
            Some(bytes) => self.byte_sequence(&file_name_if_text(self.node(), &bytes), visitor),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        // Serde's own form of an OsString, which no Python value has.
        if name == "OsString"
            && let Some(bytes) = self.raw()
        {
            return visitor.visit_enum(OsName(file_name_if_text(self.node(), &bytes).into_owned()));
        }
        let holder = match self.node() {
            Node::Items(holder) => Some(self.tree.items(*holder)),
            _ => None,
        };
        let (variant, content) = match holder {
            None => (self.place, None),
            // Older forms of serde-pickle's enums are tuples.
            Some((Container::Tuple, [variant])) => (*variant, None),
            Some((Container::Tuple | Container::Dict, [variant, content])) => {
                (*variant, Some(*content))
            }
            Some(_) => {
                return Err(Error::new(
                    "an enum is a str, or a dict with its variant's name as the only key",
                ));
            }
        };
        visitor.visit_enum(Variant {
            name: self.at(variant),
            content: content.map(|content| self.at(content)),
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct map struct identifier
    }
}

/// A `str` that is taken as bytes is a file name.
fn file_name_if_text<'b>(node: &Node<'_>, bytes: &'b [u8]) -> Cow<'b, [u8]> {
    match node {
        Node::Text(_) => Cow::Owned(file_name(bytes)),
        _ => Cow::Borrowed(bytes),
    }
}

#[cfg(test)]
mod tests;
