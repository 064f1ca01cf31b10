//! Python values as Rust sees them: `PyValue`, with or without objects that stay on a server.

use std::cmp::Ordering;
use std::fmt;

use num_bigint::{BigInt, Sign};

/// A plain Python value, or an `O`: what stands for an object that stays on its server.
///
/// [`Plain`] holds no objects; [`Value`](crate::Value) holds [`RemoteObject`](crate::RemoteObject)s. A `Plain` becomes a `Value`
/// by `Value::from`, a `Value` without objects a `Plain` by `Plain::try_from`.
///
/// Ask for it as a call's result where the type is not known before; as an argument it says exactly which Python type is meant.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub enum PyValue<O> {
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
    List(Vec<PyValue<O>>),
    /// `tuple`.
    Tuple(Vec<PyValue<O>>),
    /// `set`, in the order of the elements' values.
    Set(Vec<PyValue<O>>),
    /// `frozenset`, in the order of the elements' values.
    FrozenSet(Vec<PyValue<O>>),
    /// `dict`, in the order of the keys' values.
    Dict(Vec<(PyValue<O>, PyValue<O>)>),
    /// An object that stays on its server.
    Object(O),
}

/// The objects of a [`Plain`]: there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoObject {}

/// A Python value without objects that stay on a server, such as the arguments of a remote exception.
pub type Plain = PyValue<NoObject>;

impl<O> PyValue<O> {
    /// The integer, if it is one within 64 bits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            PyValue::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The number as a float, if it is an `int` within 64 bits or a `float`.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            PyValue::Float(number) => Some(*number),
            PyValue::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// The truth value, if it is a `bool`.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            PyValue::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The text, if it is a `str`.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            PyValue::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes, if it is `bytes` or `bytearray`.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            PyValue::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The elements, if it is a list, tuple, set or frozenset.
    pub fn as_slice(&self) -> Option<&[PyValue<O>]> {
        match self {
            PyValue::List(items)
            | PyValue::Tuple(items)
            | PyValue::Set(items)
            | PyValue::FrozenSet(items) => Some(items),
            _ => None,
        }
    }

    /// The object that stays on its server, if it is one.
    pub fn as_object(&self) -> Option<&O> {
        match self {
            PyValue::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The value under a text key, if it is a dict that has it.
    pub fn get(&self, key: &str) -> Option<&PyValue<O>> {
        match self {
            PyValue::Dict(entries) => entries
                .iter()
                .find(|(k, _)| k.as_str() == Some(key))
                .map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text under a text key; empty if it is not a dict, or has none there.
    pub(crate) fn text(&self, key: &str) -> String {
        self.get(key)
            .and_then(PyValue::as_str)
            .unwrap_or_default()
            .to_owned()
    }

    /// Whether it is `None`.
    pub fn is_none(&self) -> bool {
        matches!(self, PyValue::None)
    }

    /// The same value with other objects, or the first error that `change` gives.
    pub(crate) fn with_objects<P, E>(
        self,
        change: &mut impl FnMut(O) -> Result<P, E>,
    ) -> Result<PyValue<P>, E> {
        let mut all = |items: Vec<PyValue<O>>| -> Result<Vec<PyValue<P>>, E> {
            items
                .into_iter()
                .map(|item| item.with_objects(change))
                .collect()
        };
        Ok(match self {
            PyValue::None => PyValue::None,
            PyValue::Bool(truth) => PyValue::Bool(truth),
            PyValue::Int(number) => PyValue::Int(number),
            PyValue::BigInt(number) => PyValue::BigInt(number),
            PyValue::Float(number) => PyValue::Float(number),
            PyValue::Bytes(bytes) => PyValue::Bytes(bytes),
            PyValue::Str(text) => PyValue::Str(text),
            PyValue::List(items) => PyValue::List(all(items)?),
            PyValue::Tuple(items) => PyValue::Tuple(all(items)?),
            PyValue::Set(items) => PyValue::Set(all(items)?),
            PyValue::FrozenSet(items) => PyValue::FrozenSet(all(items)?),
            PyValue::Dict(entries) => PyValue::Dict(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        Ok((key.with_objects(change)?, value.with_objects(change)?))
                    })
                    .collect::<Result<_, E>>()?,
            ),
            PyValue::Object(object) => PyValue::Object(change(object)?),
        })
    }

    /// Which comes first in a set or dict: numbers by their values, then bytes, text, and what holds others. A total order.
    pub(super) fn order(&self, other: &PyValue<O>) -> Ordering {
        self.rank()
            .cmp(&other.rank())
            .then_with(|| match (self, other) {
                (PyValue::Bytes(a), PyValue::Bytes(b)) => a.cmp(b),
                (PyValue::Str(a), PyValue::Str(b)) => a.cmp(b),
                _ => match (self.as_slice(), other.as_slice()) {
                    (Some(a), Some(b)) => {
                        let mut pairs = a.iter().zip(b).map(|(a, b)| a.order(b));
                        let differ = pairs.find(|order| order.is_ne());
                        differ.unwrap_or_else(|| a.len().cmp(&b.len()))
                    }
                    _ => self.number_order(other),
                },
            })
    }

    fn rank(&self) -> u8 {
        match self {
            PyValue::None => 0,
            PyValue::Bool(_) | PyValue::Int(_) | PyValue::BigInt(_) | PyValue::Float(_) => 1,
            PyValue::Bytes(_) => 2,
            PyValue::Str(_) => 3,
            PyValue::FrozenSet(_) | PyValue::Set(_) => 4,
            PyValue::Tuple(_) | PyValue::List(_) => 5,
            PyValue::Dict(_) => 6,
            PyValue::Object(_) => 7,
        }
    }

    /// By value as far as `f64` tells it, then by type, then exactly: comparing mixed types exactly gives no total order.
    fn number_order(&self, other: &PyValue<O>) -> Ordering {
        let magnitude = |value: &PyValue<O>| match value {
            PyValue::Bool(truth) => (f64::from(u8::from(*truth)), 0),
            PyValue::Int(number) => (*number as f64, 1),
            PyValue::BigInt(number) if number.sign() == Sign::Minus => (f64::NEG_INFINITY, 2),
            PyValue::BigInt(_) => (f64::INFINITY, 2),
            PyValue::Float(number) => (*number, 3),
            _ => (0.0, 4),
        };
        let ((a, a_type), (b, b_type)) = (magnitude(self), magnitude(other));
        let order = a.total_cmp(&b).then(a_type.cmp(&b_type));
        order.then_with(|| match (self, other) {
            (PyValue::Int(a), PyValue::Int(b)) => a.cmp(b),
            (PyValue::BigInt(a), PyValue::BigInt(b)) => a.cmp(b),
            _ => Ordering::Equal,
        })
    }
}

macro_rules! from_integers {
    ($($t:ty),*) => {$(
        impl<O> From<$t> for PyValue<O> {
            fn from(value: $t) -> Self {
                PyValue::Int(i64::from(value))
            }
        }
    )*};
}
from_integers!(i8, i16, i32, i64, u8, u16, u32);

impl<O> From<bool> for PyValue<O> {
    fn from(value: bool) -> Self {
        PyValue::Bool(value)
    }
}

impl<O> From<f64> for PyValue<O> {
    fn from(value: f64) -> Self {
        PyValue::Float(value)
    }
}

impl<O> From<&str> for PyValue<O> {
    fn from(value: &str) -> Self {
        PyValue::Str(value.to_owned())
    }
}

impl<O> From<String> for PyValue<O> {
    fn from(value: String) -> Self {
        PyValue::Str(value)
    }
}

impl<O> From<Vec<u8>> for PyValue<O> {
    /// Becomes Python `bytes`.
    fn from(value: Vec<u8>) -> Self {
        PyValue::Bytes(value)
    }
}

impl<O> From<()> for PyValue<O> {
    fn from((): ()) -> Self {
        PyValue::None
    }
}

impl<O: fmt::Debug> fmt::Display for PyValue<O> {
    /// Reads like Python's `repr`, near enough for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, open: &str, items: &[PyValue<O>], close: &str| {
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
            PyValue::None => f.write_str("None"),
            PyValue::Bool(true) => f.write_str("True"),
            PyValue::Bool(false) => f.write_str("False"),
            PyValue::Int(number) => write!(f, "{number}"),
            PyValue::BigInt(number) => write!(f, "{number}"),
            PyValue::Float(number) => write!(f, "{number:?}"),
            PyValue::Bytes(bytes) => write!(f, "b\"{}\"", bytes.escape_ascii()),
            PyValue::Str(text) => write!(f, "{text:?}"),
            PyValue::List(items) => list(f, "[", items, "]"),
            PyValue::Tuple(items) if items.len() == 1 => list(f, "(", items, ",)"),
            PyValue::Tuple(items) => list(f, "(", items, ")"),
            PyValue::Set(items) if items.is_empty() => f.write_str("set()"),
            PyValue::Set(items) => list(f, "{", items, "}"),
            PyValue::FrozenSet(items) => list(f, "frozenset({", items, "})"),
            PyValue::Dict(entries) => {
                f.write_str("{")?;
                for (n, (key, value)) in entries.iter().enumerate() {
                    if n > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{key}: {value}")?;
                }
                f.write_str("}")
            }
            PyValue::Object(object) => write!(f, "{object:?}"),
        }
    }
}
