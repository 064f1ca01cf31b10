//! Every test in Rust outside `src`, as one program: one to link, and its tests run side by side.

// What goes wrong in a test ends it, with the place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub
)]

mod cli;
mod cluster;
mod command;
mod connection;
mod fuzz;
mod inventory;
mod keys;
mod server;
mod spec;
mod ssh;
mod steps;
mod stress;
#[path = "../support/mod.rs"]
mod support;
mod tidy;
mod transfer;
