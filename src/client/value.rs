//! Python values as Rust sees them: the untyped `Value`, and the way between pickles and serde types.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod convert;
mod pickle;

use num_bigint::BigInt;

use super::RemoteObject;

pub use pickle::Arguments;
pub(crate) use pickle::{decode_error, decode_plain, decode_result, encode_request};

/// Any plain Python value, or an object that stays on its server.
///
/// Ask for it as a call's result where the type is not known before; as an argument it
/// says exactly which Python type is meant. Nested in another type (`Vec<Value>`) tuples
/// and sets arrive as `List`, because serde knows one kind of sequence.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Value {
    /// `None`.
    #[default]
    None,
    /// `bool`.
    Bool(bool),
    /// `int` within 64 bits.
    Int(i64),
    /// `int` beyond 64 bits.
    BigInt(BigInt),
    /// `float`.
    Float(f64),
    /// `bytes` and `bytearray`.
    Bytes(Vec<u8>),
    /// `str`.
    Str(String),
    /// `list`.
    List(Vec<Value>),
    /// `tuple`.
    Tuple(Vec<Value>),
    /// `set`, in the order of the elements' values.
    Set(Vec<Value>),
    /// `frozenset`, in the order of the elements' values.
    FrozenSet(Vec<Value>),
    /// `dict`, in the order of the keys' values.
    Dict(Vec<(Value, Value)>),
    /// An object that stays on its server.
    Object(RemoteObject),
}

impl Value {
    /// The integer, if it is one within 64 bits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The number as a float, if it is an `int` within 64 bits or a `float`.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Float(number) => Some(*number),
            Value::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// The truth value, if it is a `bool`.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The text, if it is a `str`.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes, if it is `bytes` or `bytearray`.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The elements, if it is a list, tuple, set or frozenset.
    pub fn as_slice(&self) -> Option<&[Value]> {
        match self {
            Value::List(items)
            | Value::Tuple(items)
            | Value::Set(items)
            | Value::FrozenSet(items) => Some(items),
            _ => None,
        }
    }

    /// The remote object, if it is one.
    pub fn as_object(&self) -> Option<&RemoteObject> {
        match self {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The value under a text key, if it is a dict that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Dict(entries) => entries
                .iter()
                .find(|(k, _)| k.as_str() == Some(key))
                .map(|(_, v)| v),
            _ => None,
        }
    }

    /// Whether it is `None`.
    pub fn is_none(&self) -> bool {
        matches!(self, Value::None)
    }
}

impl PartialEq for Value {
    /// Python's equality for plain data of the same type; remote objects are equal if they are the same object.
    fn eq(&self, other: &Self) -> bool {
        use Value::*;
        match (self, other) {
            (None, None) => true,
            (Bool(a), Bool(b)) => a == b,
            (Int(a), Int(b)) => a == b,
            (BigInt(a), BigInt(b)) => a == b,
            (Float(a), Float(b)) => a == b,
            (Bytes(a), Bytes(b)) => a == b,
            (Str(a), Str(b)) => a == b,
            (List(a), List(b))
            | (Tuple(a), Tuple(b))
            | (Set(a), Set(b))
            | (FrozenSet(a), FrozenSet(b)) => a == b,
            (Dict(a), Dict(b)) => a == b,
            (Object(a), Object(b)) => a == b,
            _ => false,
        }
    }
}
