//! What serde takes for enums: those of Rust, the file names of its own form, and `PyValue`.

use serde::Deserializer;
use serde::de::value::{BytesDeserializer, SeqDeserializer, StrDeserializer, U8Deserializer};
use serde::de::{DeserializeSeed, EnumAccess, IntoDeserializer, VariantAccess, Visitor};

use super::super::error::Error;
use super::super::exact::Kind;
use super::super::opcodes::Container;
use super::super::tree::Node;
use super::Decoder;

/// An enum: the variant's name, and what it holds if it is not a `str` alone.
pub(super) struct Variant<'t, 'a> {
    pub(super) name: Decoder<'t, 'a>,
    pub(super) content: Option<Decoder<'t, 'a>>,
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
            .ok_or_else(|| Error::new("an enum variant without its value"))
    }
}

impl<'de, 't, 'a> VariantAccess<'de> for Variant<'t, 'a> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.content.map(|content| content.node()) {
            None | Some(Node::None) => Ok(()),
            Some(_) => Err(Error::new(
                "an enum variant that takes no value comes with one",
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
pub(super) struct OsName(pub(super) Vec<u8>);

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
pub(super) struct Exact<'t, 'a>(pub(super) Decoder<'t, 'a>);

impl<'de, 't, 'a> EnumAccess<'de> for Exact<'t, 'a> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Error> {
        let kind = match self.0.node() {
            Node::Items(holder) => match self.0.tree.items(*holder).0 {
                Container::List => Kind::List,
                Container::Tuple => Kind::Tuple,
                Container::Set => Kind::Set,
                Container::FrozenSet => Kind::FrozenSet,
                Container::Dict => Kind::Dict,
            },
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
