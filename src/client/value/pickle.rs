//! Requests into pickles and answers out of them, for Rust callers.

use num_bigint::BigInt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_pickle::{DeOptions, SerOptions};

use super::Value;
use crate::error::RemoteError;
use crate::pickle::{Pieces, check_plain};
use crate::wire::Segments;

/// What can stand as a call's positional arguments: `()`, a tuple of up to twelve
/// serializable values, or a `Vec` of [`Value`].
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

impl Arguments for Vec<Value> {
    type Tuple = Value;
    fn into_tuple(self) -> Value {
        Value::Tuple(self)
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

/// Pickles a request's payload. Protocol 3 where the other side reads it, because it alone
/// says bytes directly; protocol 2 for Python 2.
pub(crate) fn encode_request<T: Serialize>(
    payload: &T,
    peer_protocol: u8,
) -> Result<Vec<u8>, String> {
    let options = if peer_protocol >= 3 {
        SerOptions::new()
    } else {
        SerOptions::new().proto_v2()
    };
    serde_pickle::to_vec(payload, options).map_err(|e| format!("an argument cannot be sent: {e}"))
}

/// Runs a decoder with text decoding of Python 2's `str`, and again without it where
/// such a `str` is not UTF-8, so that it arrives as bytes.
fn decode<T>(
    data: &Segments,
    decoder: impl Fn(Pieces<'_>, DeOptions) -> Result<T, serde_pickle::Error>,
) -> Result<T, String> {
    let pieces = Pieces::new(data);
    check_plain(pieces.clone())?;
    decoder(pieces.clone(), DeOptions::new().decode_strings())
        .or_else(|first| decoder(pieces, DeOptions::new()).map_err(|_| first))
        .map_err(|e| e.to_string())
}

/// Decodes plain data.
pub(crate) fn decode_plain(data: &Segments) -> Result<Value, String> {
    decode(data, |pieces, options| {
        serde_pickle::value_from_reader(pieces, options)
    })
    .map(Value::from)
}

/// Decodes a result into the type the caller wants; `Value` arrives exactly.
pub(crate) fn decode_result<R: DeserializeOwned + 'static>(data: &Segments) -> Result<R, String> {
    let mut wanted: Option<R> = None;
    let slot = &mut wanted as &mut dyn std::any::Any;
    // Serde's data model has one kind of sequence, so `Value` takes the exact way where it is the type asked for.
    if let Some(slot) = slot.downcast_mut::<Option<Value>>() {
        *slot = Some(decode_plain(data)?);
    } else if let Some(slot) = slot.downcast_mut::<Option<Vec<u8>>>() {
        // To serde this is a sequence of numbers, which Python's `bytes` are not.
        *slot = match decode_plain(data)? {
            Value::Bytes(bytes) => Some(bytes),
            Value::Str(text) => Some(text.into_bytes()),
            _ => None,
        };
    } else if let Some(slot) = slot.downcast_mut::<Option<u64>>() {
        // serde-pickle reads no number beyond i64 but as its own kind of value.
        *slot = whole(data);
    } else if let Some(slot) = slot.downcast_mut::<Option<u128>>() {
        *slot = whole(data);
    } else if let Some(slot) = slot.downcast_mut::<Option<i128>>() {
        *slot = whole(data);
    }
    match wanted {
        Some(value) => Ok(value),
        None => decode(data, |pieces, options| {
            serde_pickle::from_reader(pieces, options)
        })
        .map_err(|e| format!("the result is not a {}: {e}", std::any::type_name::<R>())),
    }
}

/// A whole number that fits, or none.
fn whole<T: TryFrom<i64> + TryFrom<BigInt>>(data: &Segments) -> Option<T> {
    match decode_plain(data).ok()? {
        Value::Int(number) => T::try_from(number).ok(),
        Value::BigInt(number) => T::try_from(number).ok(),
        _ => None,
    }
}

/// Decodes an ERROR's payload (spec/messages.md, ME-6).
pub(crate) fn decode_error(host: &str, data: &Segments) -> Result<RemoteError, String> {
    let fields = decode_plain(data)?;
    let text = |key: &str| {
        fields
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let traceback = match fields.get("traceback").and_then(Value::as_slice) {
        Some(lines) => lines
            .iter()
            .filter_map(|line| line.as_str().map(str::to_owned))
            .collect(),
        None => Vec::new(),
    };
    Ok(RemoteError {
        host: host.to_owned(),
        kind: text("kind"),
        type_name: text("type"),
        module: text("module"),
        message: text("message"),
        traceback,
        args: fields
            .get("args")
            .and_then(Value::as_slice)
            .map(<[Value]>::to_vec),
    })
}
