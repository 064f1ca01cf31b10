//! The session against stubs of a few lines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod calls;
mod channels;
mod endings;
mod limits;
mod model;
mod model_stub;
mod parts;
mod rate;
mod spec_rules;
mod stub;
mod threads;
mod vectors;
