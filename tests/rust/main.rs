//! Every test in Rust outside `src`, as one program: one to link, and its tests run side by side.

mod cli;
mod connection;
mod keys;
mod server;
mod spec;
mod ssh;
mod stress;
#[path = "../support/mod.rs"]
mod support;
mod tidy;
