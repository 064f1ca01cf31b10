//! Call Python on machines that have only sshd and Python.
//!
//! [`Client::from_spec`] connects by a spec such as `user@host:rpython=python2.7`, uploads a
//! stub that this crate carries inside itself, and from then on remote functions, classes and
//! objects are used as if they were local. Nothing is installed on the other side.
//!
//! The layers, from the bottom of the data's path: [`wire`] (bytes to frames), [`session`]
//! (frames to meaning), [`transport`] (the ways to a remote process), [`connection`] (the
//! only one that moves bytes), [`Client`] and [`Cluster`].

#[cfg(feature = "cli")]
pub mod cli;
mod client;
pub mod connection;
mod deferred_free;
mod dial;
pub mod error;
pub mod keys;
mod pickle;
mod process;
mod progress;
#[cfg(feature = "python")]
mod python;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "cli")]
pub mod service;
pub mod session;
pub mod spec;
pub mod stub;
pub mod transport;
pub mod wire;

pub use client::{AT_ONCE, Call, Client, Cluster, FanOut, RemoteObject, Value, fan_out};
pub use connection::{ConnectOptions, Output, OutputSink};
pub use error::{ConnectError, Error, Fault, RemoteError, Stage};
pub use pickle::{Arguments, NoObject, Plain, PyValue};
pub use spec::ConnectionSpec;

/// The README's examples, so that they compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
