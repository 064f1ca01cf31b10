//! Pickles into any type that serde knows.

use std::borrow::Cow;

use serde::de::value::{BytesDeserializer, SeqDeserializer, StrDeserializer, U8Deserializer};
use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use super::error::Error;
use super::exact::{EXACT, Kind};
use super::opcodes::Container;
use super::pieces::{Pieces, Span};
use super::plain::Plain;
use super::reader::Budget;
use super::tree::{Node, Place, Tree};
use crate::wire::Segments;

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

    /// Its value for people: what is no text in a `str` becomes visible.
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
            Node::Items(Container::List, _) => "a list",
            Node::Items(Container::Tuple, _) => "a tuple",
            Node::Items(Container::Set, _) => "a set",
            Node::Items(Container::FrozenSet, _) => "a frozenset",
            Node::Items(Container::Dict, _) => "a dict",
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
            "the str '{}' holds surrogates, as a file name that is not UTF-8 does: take it as OsString or Vec<u8>, or give os.fsencode() of it there",
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
                "{} of {} items, where {} are asked for",
                self.kind(),
                items.len(),
                items.len() - left
            ))),
        }
    }

    /// Bytes where a sequence is asked for: of `u8` only, as `Vec<u8>` and `[u8; N]` are.
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
                "{} bytes, where {} are asked for",
                bytes.len(),
                bytes.len() - left
            ))),
        }
    }

    fn entries<'de, V: Visitor<'de>>(
        self,
        items: &'t [Place],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(self.items(items))
    }
}

/// The text that Python's `backslashreplace` makes of a `str` with surrogates.
fn with_escapes(mut bytes: &[u8]) -> String {
    let mut text = String::new();
    while !bytes.is_empty() {
        let valid = match std::str::from_utf8(bytes) {
            Ok(rest) => {
                text.push_str(rest);
                return text;
            }
            Err(error) => error.valid_up_to(),
        };
        let (good, rest) = bytes.split_at_checked(valid).unwrap_or((bytes, &[]));
        text.push_str(&String::from_utf8_lossy(good));
        bytes = match rest {
            [0xed, high @ 0xa0..=0xbf, low @ 0x80..=0xbf, rest @ ..] => {
                let code = 0xd000 | u32::from(high & 0x3f) << 6 | u32::from(low & 0x3f);
                text.push_str(&format!("\\u{code:04x}"));
                rest
            }
            [byte, rest @ ..] => {
                text.push_str(&format!("\\x{byte:02x}"));
                rest
            }
            [] => rest,
        };
    }
    text
}

/// The bytes that Python's `surrogateescape` made this `str` of: what `os.fsencode()` gives where names are UTF-8.
fn file_name(bytes: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        rest = match rest {
            // U+DC80 to U+DCFF stand for the bytes 0x80 to 0xff.
            [0xed, high @ (0xb2 | 0xb3), low @ 0x80..=0xbf, rest @ ..] => {
                name.push((high & 0x03) << 6 | (low & 0x3f));
                rest
            }
            [byte, rest @ ..] => {
                name.push(*byte);
                rest
            }
            [] => return name,
        };
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
                        "an int beyond 128 bits: take it as Value, or give str() of it there",
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
            Node::Items(Container::Dict, items) => self.entries(items, visitor),
            Node::Items(_, items) => self.sequence(items, visitor),
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
        if let (EXACT, Node::Items(..) | Node::BigInt(_)) = (name, self.node()) {
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
        let (variant, content) = match self.node() {
            Node::Items(Container::Dict, items) => match items.as_slice() {
                [variant, content] => (*variant, Some(*content)),
                _ => {
                    return Err(Error::new(
                        "an enum is a str, or a dict with its variant's name as the only key",
                    ));
                }
            },
            Node::Items(Container::Tuple, items) => match items.as_slice() {
                [variant] => (*variant, None),
                [variant, content] => (*variant, Some(*content)),
                _ => return Err(Error::new("an enum as a tuple has one or two items")),
            },
            _ => (self.place, None),
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

/// The items of a container, or the keys and values of a dict.
struct Items<'t, 'a> {
    decoder: Decoder<'t, 'a>,
    items: std::slice::Iter<'t, Place>,
}

impl<'de, 't, 'a> SeqAccess<'de> for &mut Items<'t, 'a> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let item = self.items.next();
        item.map(|place| seed.deserialize(self.decoder.at(*place)))
            .transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

impl<'de, 't, 'a> MapAccess<'de> for Items<'t, 'a> {
    type Error = Error;

    fn next_key_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        (&mut &mut *self).next_element_seed(seed)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let place = self
            .items
            .next()
            .ok_or_else(|| Error::new("a key has no value"))?;
        seed.deserialize(self.decoder.at(*place))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() / 2)
    }
}

/// Bytes, one by one.
struct Octets<'b> {
    kind: &'static str,
    bytes: std::slice::Iter<'b, u8>,
}

impl<'de> SeqAccess<'de> for &mut Octets<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let kind = self.kind;
        let byte = self.bytes.next();
        byte.map(|byte| seed.deserialize(Octet { byte: *byte, kind }))
            .transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.bytes.len())
    }
}

/// One of them, which is a `u8` and nothing else: bytes are not a list of numbers.
struct Octet {
    byte: u8,
    kind: &'static str,
}

impl<'de> Deserializer<'de> for Octet {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::new(format!(
            "{}, where a sequence is asked for",
            self.kind
        )))
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u8(self.byte)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// An enum: the variant's name, and what it holds if it is not a `str` alone.
struct Variant<'t, 'a> {
    name: Decoder<'t, 'a>,
    content: Option<Decoder<'t, 'a>>,
}

impl<'de, 't, 'a> EnumAccess<'de> for Variant<'t, 'a> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Error> {
        Ok((seed.deserialize(self.name)?, self))
    }
}

impl<'t, 'a> Variant<'t, 'a> {
    fn content(self) -> Result<Decoder<'t, 'a>, Error> {
        self.content
            .ok_or_else(|| Error::new("the variant of an enum without what it holds"))
    }
}

impl<'de, 't, 'a> VariantAccess<'de> for Variant<'t, 'a> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.content.map(|content| content.node()) {
            None | Some(Node::None) => Ok(()),
            Some(_) => Err(Error::new(
                "a variant that holds nothing comes with a value",
            )),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.content()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.content()?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.content()?.deserialize_any(visitor)
    }
}

/// A file name for serde's OsString, which is an enum over systems.
struct OsName(Vec<u8>);

impl<'de> EnumAccess<'de> for OsName {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Error> {
        let unix: StrDeserializer<'_, Error> = StrDeserializer::new("Unix");
        Ok((seed.deserialize(unix)?, self))
    }
}

impl<'de> VariantAccess<'de> for OsName {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Err(Error::new("a file name holds bytes"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(SeqDeserializer::new(self.0.into_iter()))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        self.unit_variant()
            .and(Err(Error::new("a file name holds bytes")))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        self.unit_variant()
            .and(Err(Error::new("a file name holds bytes")))
    }
}

/// A value for `PyValue`, which is told what serde's data model has no words for.
struct Exact<'t, 'a>(Decoder<'t, 'a>);

impl<'de, 't, 'a> EnumAccess<'de> for Exact<'t, 'a> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Error> {
        let kind = match self.0.node() {
            Node::Items(Container::List, _) => Kind::List,
            Node::Items(Container::Tuple, _) => Kind::Tuple,
            Node::Items(Container::Set, _) => Kind::Set,
            Node::Items(Container::FrozenSet, _) => Kind::FrozenSet,
            Node::Items(Container::Dict, _) => Kind::Dict,
            _ => Kind::BigInt,
        };
        let kind: U8Deserializer<Error> = (kind as u8).into_deserializer();
        Ok((seed.deserialize(kind)?, self))
    }
}

impl<'de, 't, 'a> VariantAccess<'de> for Exact<'t, 'a> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    /// A large integer's digits in two's complement.
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        match self.0.node() {
            Node::BigInt(number) => {
                let digits = number.to_signed_bytes_le();
                seed.deserialize(BytesDeserializer::new(&digits))
            }
            _ => seed.deserialize(self.0),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.0.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_any(visitor)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
