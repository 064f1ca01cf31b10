//! The frame layer against its vectors, and against bytes of every sort.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod codec;
mod framing_vectors;
mod properties;
pub(crate) mod vector;
