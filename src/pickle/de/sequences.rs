//! Containers and bytes, item by item.

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};

use super::super::error::Error;
use super::super::tree::Place;
use super::Decoder;

/// The items of a container, or the keys and values of a dict.
pub(super) struct Items<'t, 'a> {
    pub(super) decoder: Decoder<'t, 'a>,
    pub(super) items: std::slice::Iter<'t, Place>,
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
pub(super) struct Octets<'b> {
    pub(super) kind: &'static str,
    pub(super) bytes: std::slice::Iter<'b, u8>,
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
            "{}, where a sequence is expected",
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
