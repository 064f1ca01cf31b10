//! Python's pickle: the only place that knows an instruction of it. What a peer's pickle does is looked at here before anything decodes it.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[cfg(any(feature = "python", test))]
pub(crate) mod bytes;
#[cfg(any(feature = "python", test))]
pub(crate) mod names;
mod pieces;
mod plain;

pub(crate) use pieces::Pieces;
pub(crate) use plain::check_plain;
