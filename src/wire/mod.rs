//! Bytes to frames and frames to messages, as spec/framing.md says; no input or output, no clock.
//!
//! A [`Decoder`] is fed what a transport delivers and yields [`Frame`]s. An [`Outgoing`] message is cut into frames
//! without copying its payload; an [`Incoming`] one is put together from them.
pub mod authentication;
mod buffers;
mod compression;
mod decoder;
mod error;
mod frame;
mod header;
mod kind;
mod message;
mod segments;
#[cfg(test)]
pub(crate) mod tests;

pub use buffers::{MAX_BUFFERS, buffer_table, split_buffers};
pub use compression::{COMPRESS_MIN, deflate, inflate};
pub use decoder::Decoder;
pub use error::ProtocolError;
pub use frame::Frame;
pub use header::{HEADER, Header, MAGIC, MAX_PAYLOAD};
pub use kind::{Flags, Kind, MAX_PING, RELEASE_ENTRY, Sender};
pub use message::{CHUNK, Incoming, MAX_MESSAGE, Message, Outgoing, Progress};
pub use segments::{Gather, Segments};
