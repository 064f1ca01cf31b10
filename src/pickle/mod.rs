//! Python's pickle format: the only place that knows its opcodes.
//!
//! `opcodes` is the table, `reader` goes through a pickle by it, and `stack` is an unpickler's memory. By these, `tree` reads
//! plain data for Rust (`de`), `names` looks through what CPython is to unpickle, `bytes` and `first_text` know simple pickles
//! at their beginning. `ser` writes.

pub(crate) mod bytes;
mod de;
mod error;
mod exact;
#[cfg(any(feature = "server", feature = "internals", test))]
mod first_text;
#[cfg(any(feature = "python", feature = "internals", test))]
pub(crate) mod names;
mod opcodes;
mod pieces;
mod plain;
mod reader;
mod scalars;
mod ser;
mod stack;
mod surrogates;
mod tree;

pub(crate) use de::Document;
pub(crate) use error::Error;
#[cfg(feature = "python")]
pub(crate) use error::Refused;
pub(crate) use exact::OBJECT_TAG;
pub(crate) use exact::Object;
#[cfg(any(feature = "server", feature = "internals", test))]
pub(crate) use first_text::first_text;
#[cfg(feature = "python")]
pub(crate) use names::Work;
#[cfg(feature = "python")]
pub(crate) use opcodes::{Action, Container, Literal};
#[cfg(feature = "python")]
pub(crate) use pieces::Pieces;
pub use plain::{NoObject, Plain, PyValue};
#[cfg(any(feature = "python", feature = "internals"))]
pub(crate) use reader::Budget;
#[cfg(feature = "python")]
pub(crate) use reader::Reader;
pub use ser::Arguments;
pub(crate) use ser::{NONE_PICKLE, TupleWriter, encode};
#[cfg(feature = "python")]
pub(crate) use stack::Stack;
