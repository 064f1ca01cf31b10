//! Values into pickles: one value, and a tuple that is put together of parts.

use bytes::Bytes;
use serde::Serialize;
use serde_pickle::error::ErrorCode;
use serde_pickle::{Error as Unpicklable, SerOptions};

use super::error::Error;
use super::opcodes::{BINBYTES, EMPTY_DICT, MARK, NONE, PROTO, SETITEM, STOP, TUPLE};
use super::plain::Plain;
use crate::deferred_free::with_deferred_free;
use crate::wire::Segments;

/// The pickle of `None`, in a protocol that all Pythons read.
pub(crate) const NONE_PICKLE: &[u8] = &[PROTO, 2, NONE, STOP];

/// What can stand as a call's positional arguments: `()`, a tuple of up to twelve
/// serializable values, or a `Vec` of [`Value`](crate::Value).
///
/// A `Vec<u8>` becomes a list of numbers, as serde has it; for Python `bytes` give
/// `Value::Bytes`. `&str` and `String` become `str`, a struct becomes a `dict`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand as a call's arguments",
    label = "not a tuple of arguments",
    note = "arguments are a tuple: `()` for none, `(value,)` for one, `(first, second)` for two",
    note = "where their number is only known at run time, give a `Vec<Value>`"
)]
pub trait Arguments: Send {
    /// What is pickled as the tuple of arguments.
    type Tuple: Serialize + Send;
    /// The arguments as something that serializes as a Python tuple.
    fn into_tuple(self) -> Self::Tuple;
}

impl Arguments for () {
    type Tuple = [u8; 0];
    fn into_tuple(self) -> [u8; 0] {
        []
    }
}

macro_rules! tuple_arguments {
    ($($name:ident)+) => {
        impl<$($name: Serialize + Send),+> Arguments for ($($name,)+) {
            type Tuple = Self;
            fn into_tuple(self) -> Self {
                self
            }
        }
    };
}
tuple_arguments!(A);
tuple_arguments!(A B);
tuple_arguments!(A B C);
tuple_arguments!(A B C D);
tuple_arguments!(A B C D E);
tuple_arguments!(A B C D E F);
tuple_arguments!(A B C D E F G);
tuple_arguments!(A B C D E F G H);
tuple_arguments!(A B C D E F G H I);
tuple_arguments!(A B C D E F G H I J);
tuple_arguments!(A B C D E F G H I J K);
tuple_arguments!(A B C D E F G H I J K L);

/// Pickles a value. Protocol 3 where the other side reads it, because it alone says bytes directly; protocol 2 for Python 2.
pub(crate) fn encode<T: Serialize + ?Sized>(
    value: &T,
    peer_protocol: u8,
) -> Result<Vec<u8>, Error> {
    let options = if peer_protocol >= 3 {
        SerOptions::new()
    } else {
        SerOptions::new().proto_v2()
    };
    serde_pickle::to_vec(&value, options).map_err(|error| match error {
        Unpicklable::Syntax(ErrorCode::Structure(reason)) => Error::new(reason),
        other => Error::new(format!("an argument cannot be sent: {other}")),
    })
}

/// A pickled tuple, put together of its items' pickles: serde-pickle writes no memo, so they can be joined.
pub(crate) struct TupleWriter {
    protocol: u8,
    items: Segments,
    /// The instructions of the dict that is the last item, if there is to be one.
    dict: Option<Vec<u8>>,
}

impl TupleWriter {
    /// An empty one, for a peer that reads this protocol or more.
    pub(crate) fn new(peer_protocol: u8) -> TupleWriter {
        let protocol = peer_protocol.clamp(2, 3);
        TupleWriter {
            protocol,
            items: Bytes::copy_from_slice(&[PROTO, protocol, MARK]).into(),
            dict: None,
        }
    }

    /// An item's pickle without its frame (PROTO and STOP).
    fn pickled<T: Serialize + ?Sized>(&self, value: &T) -> Result<Bytes, Error> {
        let pickle = with_deferred_free(encode(value, self.protocol)?);
        let end = pickle.len().saturating_sub(1);
        Ok(pickle.slice(2.min(end)..end))
    }

    /// Adds an item.
    pub(crate) fn push<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Error> {
        let item = self.pickled(item)?;
        self.items.push(item);
        Ok(())
    }

    /// Adds a tuple of a number and bytes, which are not copied where the other side reads them as they are.
    pub(crate) fn push_with_bytes(&mut self, number: u32, data: Bytes) -> Result<(), Error> {
        let length = match u32::try_from(data.len()) {
            Ok(length) if self.protocol >= 3 => length,
            _ => return self.push(&(number, Plain::Bytes(data.to_vec()))),
        };
        let mut head = vec![MARK];
        head.extend_from_slice(&self.pickled(&number)?);
        head.push(BINBYTES);
        head.extend_from_slice(&length.to_le_bytes());
        self.items.push(head.into());
        self.items.push(data);
        self.items.push(Bytes::from_static(&[TUPLE]));
        Ok(())
    }

    /// Adds an empty dict behind all items.
    pub(crate) fn begin_dict(&mut self) {
        self.dict = Some(vec![EMPTY_DICT]);
    }

    /// Adds an entry to the dict.
    pub(crate) fn entry<T: Serialize + ?Sized>(
        &mut self,
        key: &str,
        value: &T,
    ) -> Result<(), Error> {
        let (key, value) = (self.pickled(key)?, self.pickled(value)?);
        let dict = self
            .dict
            .as_mut()
            .ok_or_else(|| Error::new("only calls take keyword arguments"))?;
        dict.extend_from_slice(&key);
        dict.extend_from_slice(&value);
        dict.push(SETITEM);
        Ok(())
    }

    /// The tuple's pickle.
    pub(crate) fn finish(mut self) -> Segments {
        if let Some(dict) = self.dict {
            self.items.push(dict.into());
        }
        self.items.push(Bytes::from_static(&[TUPLE, STOP]));
        self.items
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Document, Plain};
    use super::*;

    #[test]
    fn a_tuple_is_put_together_of_parts() {
        let mut writer = TupleWriter::new(5);
        writer.push("name").unwrap();
        writer.push(&(1, 2)).unwrap();
        writer.begin_dict();
        writer.entry("key", &2.5).unwrap();
        let pickle = writer.finish();
        let tuple: Plain = Document::read(&pickle).unwrap().decode().unwrap();
        assert_eq!(tuple.to_string(), "(\"name\", (1, 2), {\"key\": 2.5})");
    }

    #[test]
    fn bytes_in_a_tuple_are_the_same_in_every_protocol() {
        let data = Bytes::from_static(b"some bytes");
        for protocol in [2, 3, 5] {
            let mut writer = TupleWriter::new(protocol);
            writer.push_with_bytes(70_000, data.clone()).unwrap();
            let pickle = writer.finish();
            assert_eq!(
                protocol > 2,
                pickle.pieces().any(|it| it.as_ptr() == data.as_ptr())
            );
            let tuple: ((u32, Plain),) = Document::read(&pickle).unwrap().decode().unwrap();
            assert_eq!(tuple, ((70_000, Plain::Bytes(data.to_vec())),));
        }
    }

    #[test]
    fn what_cannot_be_an_argument_is_said_plainly() {
        let set = Plain::List(vec![Plain::Set(vec![Plain::from(1)])]);
        assert_eq!(
            encode(&set, 3).unwrap_err().to_string(),
            "a set cannot be an argument; send a list and call set() there"
        );
        let large = Plain::BigInt(num_bigint::BigInt::from(1u128 << 64));
        assert!(encode(&large, 3).is_err_and(|error| error.to_string().starts_with("an integer")));
        let mut writer = TupleWriter::new(3);
        let error = writer.entry("key", &1).unwrap_err().to_string();
        assert_eq!(error, "only calls take keyword arguments");
    }
}
