//! `Value` to and from serde, serde-pickle and the common Rust types.

use std::fmt;

use num_bigint::BigInt;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, SerializeMap, SerializeTuple};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_pickle::value::{HashableValue, Value as Pickled};

use super::Value;
use crate::client::object::{OBJECT_TAG, RemoteObject};

impl From<Pickled> for Value {
    /// Takes over what was unpickled; tagged tuples become objects where a connection is at hand.
    fn from(value: Pickled) -> Self {
        match value {
            Pickled::None => Value::None,
            Pickled::Bool(truth) => Value::Bool(truth),
            Pickled::I64(number) => Value::Int(number),
            Pickled::Int(number) => Value::BigInt(number),
            Pickled::F64(number) => Value::Float(number),
            Pickled::Bytes(bytes) => Value::Bytes(bytes),
            Pickled::String(text) => Value::Str(text),
            Pickled::List(items) => Value::List(items.into_iter().map(Value::from).collect()),
            Pickled::Tuple(items) => {
                let items: Vec<Value> = items.into_iter().map(Value::from).collect();
                match items.as_slice() {
                    [
                        Value::Str(tag),
                        Value::Int(oid),
                        Value::Str(class),
                        Value::Str(text),
                    ] if tag == OBJECT_TAG => match RemoteObject::received(*oid, class, text) {
                        Some(object) => Value::Object(object),
                        None => Value::Tuple(items),
                    },
                    _ => Value::Tuple(items),
                }
            }
            Pickled::Set(items) => Value::Set(items.into_iter().map(Value::from).collect()),
            Pickled::FrozenSet(items) => {
                Value::FrozenSet(items.into_iter().map(Value::from).collect())
            }
            Pickled::Dict(entries) => Value::Dict(
                entries
                    .into_iter()
                    .map(|(key, value)| (key.into(), value.into()))
                    .collect(),
            ),
        }
    }
}

impl From<HashableValue> for Value {
    fn from(value: HashableValue) -> Self {
        Value::from(value.into_value())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::None => serializer.serialize_unit(),
            Value::Bool(truth) => serializer.serialize_bool(*truth),
            Value::Int(number) => serializer.serialize_i64(*number),
            Value::BigInt(number) => match i64::try_from(number) {
                Ok(number) => serializer.serialize_i64(number),
                Err(_) => match u64::try_from(number) {
                    Ok(number) => serializer.serialize_u64(number),
                    Err(_) => Err(S::Error::custom(
                        "an integer beyond 64 bits cannot be an argument; send its text and call int() there",
                    )),
                },
            },
            Value::Float(number) => serializer.serialize_f64(*number),
            // The pickle that serde-pickle writes counts bytes and text in 32 bits.
            Value::Bytes(bytes) if u32::try_from(bytes.len()).is_err() => Err(S::Error::custom(
                "bytes of 4 GiB and more cannot be an argument; send them in parts",
            )),
            Value::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Value::Str(text) => serializer.serialize_str(text),
            Value::List(items) => serializer.collect_seq(items),
            Value::Tuple(items) => {
                let mut tuple = serializer.serialize_tuple(items.len())?;
                for item in items {
                    tuple.serialize_element(item)?;
                }
                tuple.end()
            }
            Value::Set(_) | Value::FrozenSet(_) => Err(S::Error::custom(
                "serde has no sets: send a list and call set() there",
            )),
            Value::Dict(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
            Value::Object(object) => object.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any plain Python value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Int(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(i64::try_from(v).map_or_else(|_| Value::BigInt(BigInt::from(v)), Value::Int))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Value::Float(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::Str(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::Str(v))
    }

    fn visit_bytes<E>(self, v: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(v.to_vec()))
    }

    fn visit_byte_buf<E>(self, v: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Bytes(v))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        if let [
            Value::Str(tag),
            Value::Int(oid),
            Value::Str(class),
            Value::Str(text),
        ] = items.as_slice()
            && tag == OBJECT_TAG
            && let Some(object) = RemoteObject::received(*oid, class, text)
        {
            return Ok(Value::Object(object));
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Dict(entries))
    }
}

impl<'de> Deserialize<'de> for RemoteObject {
    /// Takes over a reference; fails where the value is not one, or no connection is at hand.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Object(object) => Ok(object),
            _ => Err(de::Error::custom(
                "the result is plain data, not an object that stays on the server",
            )),
        }
    }
}

macro_rules! from_integers {
    ($($t:ty),*) => {$(
        impl From<$t> for Value {
            fn from(value: $t) -> Self {
                Value::Int(i64::from(value))
            }
        }
    )*};
}
from_integers!(i8, i16, i32, i64, u8, u16, u32);

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Str(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::Str(value)
    }
}

impl From<Vec<u8>> for Value {
    /// Becomes Python `bytes`.
    fn from(value: Vec<u8>) -> Self {
        Value::Bytes(value)
    }
}

impl From<RemoteObject> for Value {
    fn from(value: RemoteObject) -> Self {
        Value::Object(value)
    }
}

impl From<()> for Value {
    fn from((): ()) -> Self {
        Value::None
    }
}

impl fmt::Display for Value {
    /// Reads like Python's `repr`, near enough for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, open: &str, items: &[Value], close: &str| {
            f.write_str(open)?;
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    f.write_str(", ")?;
                }
                write!(f, "{item}")?;
            }
            f.write_str(close)
        };
        match self {
            Value::None => f.write_str("None"),
            Value::Bool(true) => f.write_str("True"),
            Value::Bool(false) => f.write_str("False"),
            Value::Int(number) => write!(f, "{number}"),
            Value::BigInt(number) => write!(f, "{number}"),
            Value::Float(number) => write!(f, "{number:?}"),
            Value::Bytes(bytes) => write!(f, "b\"{}\"", bytes.escape_ascii()),
            Value::Str(text) => write!(f, "{text:?}"),
            Value::List(items) => list(f, "[", items, "]"),
            Value::Tuple(items) if items.len() == 1 => list(f, "(", items, ",)"),
            Value::Tuple(items) => list(f, "(", items, ")"),
            Value::Set(items) if items.is_empty() => f.write_str("set()"),
            Value::Set(items) => list(f, "{", items, "}"),
            Value::FrozenSet(items) => list(f, "frozenset({", items, "})"),
            Value::Dict(entries) => {
                f.write_str("{")?;
                for (n, (key, value)) in entries.iter().enumerate() {
                    if n > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{key}: {value}")?;
                }
                f.write_str("}")
            }
            Value::Object(object) => write!(f, "{object:?}"),
        }
    }
}
