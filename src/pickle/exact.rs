//! `PyValue` and serde: exactly as Python has it where our own pickles are read, as near as their data model allows elsewhere.

use std::fmt;
use std::marker::PhantomData;

use num_bigint::BigInt;
use serde::de::{self, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::ser::{Error as _, SerializeMap, SerializeTuple};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::plain::{NoObject, PyValue};

/// Marks a tuple that stands for an object that stays on its server (ME-7).
pub(crate) const OBJECT_TAG: &str = "\0easycluster.object";

/// The name of a type by which `PyValue` asks our own deserializer for a [`Kind`]. To all others it is the name of any type.
pub(super) const EXACT: &str = "\0easycluster.value";

/// What serde's data model cannot tell apart.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Kind {
    List,
    Tuple,
    Set,
    FrozenSet,
    Dict,
    BigInt,
}

/// What may stand for an object that stays on its server.
pub trait Object: Sized {
    /// Takes over a reference found in a value (ME-7); `None` where there can be none.
    #[doc(hidden)]
    fn received(oid: i64, class: &str, text: &str) -> Option<Self>;
}

impl Object for NoObject {
    fn received(_: i64, _: &str, _: &str) -> Option<NoObject> {
        None
    }
}

impl<'de, O: Object> Deserialize<'de> for PyValue<O> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(EXACT, ValueVisitor(PhantomData))
    }
}

struct ValueVisitor<O>(PhantomData<O>);

impl<'de, O: Object> Visitor<'de> for ValueVisitor<O> {
    type Value = PyValue<O>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any plain Python value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<PyValue<O>, D::Error> {
        deserializer.deserialize_any(self)
    }

    /// From our own deserializer.
    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<PyValue<O>, A::Error> {
        let (kind, content) = access.variant::<u8>()?;
        const LIST: u8 = Kind::List as u8;
        const TUPLE: u8 = Kind::Tuple as u8;
        const SET: u8 = Kind::Set as u8;
        const FROZEN_SET: u8 = Kind::FrozenSet as u8;
        const DICT: u8 = Kind::Dict as u8;
        const BIG_INT: u8 = Kind::BigInt as u8;
        let sorted = |value| {
            let mut items = into_items(value);
            items.sort_by(PyValue::order);
            items
        };
        Ok(match kind {
            DICT => {
                let value = content.struct_variant(&[], self)?;
                let PyValue::Dict(mut entries) = value else {
                    return Ok(value);
                };
                entries.sort_by(|(a, _), (b, _)| a.order(b));
                PyValue::Dict(entries)
            }
            BIG_INT => {
                let digits = content.newtype_variant::<PyValue<NoObject>>()?;
                let digits = digits.as_bytes().unwrap_or_default();
                PyValue::BigInt(BigInt::from_signed_bytes_le(digits))
            }
            LIST => content.tuple_variant(0, self)?,
            TUPLE => tuple_or_object(into_items(content.tuple_variant(0, self)?)),
            SET => PyValue::Set(sorted(content.tuple_variant(0, self)?)),
            FROZEN_SET => PyValue::FrozenSet(sorted(content.tuple_variant(0, self)?)),
            other => {
                let other = de::Unexpected::Unsigned(u64::from(other));
                return Err(de::Error::invalid_value(other, &self));
            }
        })
    }

    fn visit_bool<E>(self, v: bool) -> Result<PyValue<O>, E> {
        Ok(PyValue::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<PyValue<O>, E> {
        Ok(PyValue::Int(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<PyValue<O>, E> {
        Ok(i64::try_from(v).map_or_else(|_| PyValue::BigInt(BigInt::from(v)), PyValue::Int))
    }

    fn visit_i128<E>(self, v: i128) -> Result<PyValue<O>, E> {
        Ok(i64::try_from(v).map_or_else(|_| PyValue::BigInt(BigInt::from(v)), PyValue::Int))
    }

    fn visit_u128<E>(self, v: u128) -> Result<PyValue<O>, E> {
        Ok(i64::try_from(v).map_or_else(|_| PyValue::BigInt(BigInt::from(v)), PyValue::Int))
    }

    fn visit_f64<E>(self, v: f64) -> Result<PyValue<O>, E> {
        Ok(PyValue::Float(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<PyValue<O>, E> {
        Ok(PyValue::Str(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<PyValue<O>, E> {
        Ok(PyValue::Str(v))
    }

    fn visit_bytes<E>(self, v: &[u8]) -> Result<PyValue<O>, E> {
        Ok(PyValue::Bytes(v.to_vec()))
    }

    fn visit_byte_buf<E>(self, v: Vec<u8>) -> Result<PyValue<O>, E> {
        Ok(PyValue::Bytes(v))
    }

    fn visit_unit<E>(self) -> Result<PyValue<O>, E> {
        Ok(PyValue::None)
    }

    fn visit_none<E>(self) -> Result<PyValue<O>, E> {
        Ok(PyValue::None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<PyValue<O>, D::Error> {
        PyValue::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<PyValue<O>, A::Error> {
        // The hint of our own deserializer is no more than the pickle holds.
        let mut items = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(1 << 16));
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(PyValue::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PyValue<O>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(PyValue::Dict(entries))
    }
}

fn into_items<O>(value: PyValue<O>) -> Vec<PyValue<O>> {
    match value {
        PyValue::List(items) => items,
        _ => Vec::new(),
    }
}

/// A tagged tuple becomes an object where there can be one.
fn tuple_or_object<O: Object>(items: Vec<PyValue<O>>) -> PyValue<O> {
    if let [
        PyValue::Str(tag),
        PyValue::Int(oid),
        PyValue::Str(class),
        PyValue::Str(text),
    ] = items.as_slice()
        && tag == OBJECT_TAG
        && let Some(object) = O::received(*oid, class, text)
    {
        return PyValue::Object(object);
    }
    PyValue::Tuple(items)
}

impl<O: Serialize> Serialize for PyValue<O> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            PyValue::None => serializer.serialize_unit(),
            PyValue::Bool(truth) => serializer.serialize_bool(*truth),
            PyValue::Int(number) => serializer.serialize_i64(*number),
            PyValue::BigInt(number) => match i64::try_from(number) {
                Ok(number) => serializer.serialize_i64(number),
                Err(_) => match u64::try_from(number) {
                    Ok(number) => serializer.serialize_u64(number),
                    Err(_) => Err(S::Error::custom(
                        "an integer beyond 64 bits cannot be an argument; send its text and call int() there",
                    )),
                },
            },
            PyValue::Float(number) => serializer.serialize_f64(*number),
            // The pickle that serde-pickle writes counts bytes and text in 32 bits.
            PyValue::Bytes(bytes) if u32::try_from(bytes.len()).is_err() => Err(S::Error::custom(
                "bytes of 4 GiB and more cannot be an argument; send them in parts",
            )),
            PyValue::Bytes(bytes) => serializer.serialize_bytes(bytes),
            PyValue::Str(text) => serializer.serialize_str(text),
            PyValue::List(items) => serializer.collect_seq(items),
            PyValue::Tuple(items) => {
                let mut tuple = serializer.serialize_tuple(items.len())?;
                for item in items {
                    tuple.serialize_element(item)?;
                }
                tuple.end()
            }
            PyValue::Set(_) | PyValue::FrozenSet(_) => Err(S::Error::custom(
                "a set cannot be an argument; send a list and call set() there",
            )),
            PyValue::Dict(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
            PyValue::Object(object) => object.serialize(serializer),
        }
    }
}

impl Serialize for NoObject {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        match *self {}
    }
}
