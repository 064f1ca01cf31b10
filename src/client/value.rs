//! `Value`: a Python value that may be an object on its server, and its ways to and from what has no objects.

use super::object::RemoteObject;
use crate::pickle::{Arguments, Plain, PyValue};

/// Any plain Python value, or an object that stays on its server.
pub type Value = PyValue<RemoteObject>;

impl Value {
    /// Whether both are the same remote object, as Python's `is` says.
    pub fn is(&self, other: &RemoteObject) -> bool {
        self.as_object() == Some(other)
    }
}

impl From<RemoteObject> for Value {
    fn from(value: RemoteObject) -> Self {
        PyValue::Object(value)
    }
}

impl From<Plain> for Value {
    fn from(value: Plain) -> Self {
        let same: Result<Value, std::convert::Infallible> =
            value.with_objects(&mut |object| match object {});
        match same {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }
}

impl TryFrom<Value> for Plain {
    /// The first object that the value holds.
    type Error = RemoteObject;

    fn try_from(value: Value) -> Result<Plain, RemoteObject> {
        value.with_objects(&mut Err)
    }
}

impl Arguments for Vec<Value> {
    type Tuple = Value;
    fn into_tuple(self) -> Value {
        PyValue::Tuple(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_come_and_go() {
        let plain = Plain::Dict(vec![(
            Plain::from("key"),
            Plain::List(vec![Plain::from(1), Plain::None, Plain::from(2.5)]),
        )]);
        let value = Value::from(plain.clone());
        assert_eq!(
            value.get("key").and_then(Value::as_slice).map(<[_]>::len),
            Some(3)
        );
        assert_eq!(Plain::try_from(value), Ok(plain));
    }
}
