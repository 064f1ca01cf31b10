//! Call Python on machines that have only sshd and Python.
//!
//! [`Client::from_spec`] connects by a spec such as `user@host:rpython=python2.7`, uploads a
//! stub that is embedded in this crate, and from then on remote functions, classes and
//! objects are used as if they were local. Nothing is installed on the other side.
//!
//! Specs are described at [`spec`], ranges and inventories of hosts at [`inventory`], errors at [`error`]. [`Cluster`] is for many machines at once, and the module
//! `server` (feature `server`) for machines without SSH.

// Without the tests' feature the layers are private, and what only tests reach would count as unused.
#![cfg_attr(
    not(feature = "internals"),
    allow(unreachable_pub, dead_code, unused_imports)
)]
#![cfg_attr(test, allow(unreachable_pub))]

mod client;
mod cluster;
mod command;
mod deferred_free;
#[cfg_attr(not(unix), path = "system/descriptors.rs")]
mod descriptors;
mod dial;
pub mod error;
mod files;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod fuzz;
pub mod inventory;
pub mod keys;
mod pickle;
#[cfg(feature = "python")]
mod python;
mod retry;
mod routing;
#[cfg(feature = "server")]
pub mod server;
pub mod spec;

// The program's `main` is all that is public of it.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;

// The layers below the public API: public for the tests, benchmarks and fuzzers of this repository alone.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod connection;
#[cfg(not(feature = "internals"))]
mod connection;
#[cfg(all(unix, feature = "cli"))]
mod packages;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod process;
#[cfg(not(feature = "internals"))]
mod process;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod progress;
#[cfg(not(feature = "internals"))]
mod progress;
#[cfg(all(feature = "internals", feature = "cli"))]
#[doc(hidden)]
pub mod service;
#[cfg(all(not(feature = "internals"), feature = "cli"))]
mod service;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod session;
#[cfg(not(feature = "internals"))]
mod session;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod stub;
#[cfg(not(feature = "internals"))]
mod stub;
mod system;
#[cfg(unix)]
mod transfer;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod transport;
#[cfg(not(feature = "internals"))]
mod transport;
mod visible;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod wire;
#[cfg(not(feature = "internals"))]
mod wire;

pub use client::{
    ByteChannel, ByteReceiver, ByteSender, Call, Callback, CallbackError, Channel, Client,
    Receiver, RemoteObject, RemoteStream, Sender, Value,
};
pub use cluster::{
    AT_ONCE, Cluster, ClusterOptions, ConnectReport, Each, FanOut, HostOutcome, HostReport, Map,
    MapOptions, Quorum, QuorumError, Slots, fan_out,
};
pub use command::{
    Command, CommandEvent, CommandInput, CommandLine, CommandOutput, RunningCommand,
};
pub use connection::{ConnectOptions, Failure, Hello, Output, OutputSink};
pub use error::{ConnectError, Error, Fault, RemoteError, Stage};
pub use files::problem::Problem;
pub use pickle::{Arguments, NoObject, Plain, PyValue};
pub use process::ExitStatus;
pub use progress::{StageEvent, StageLimits, StageObserver};
pub use retry::Retry;
pub use spec::ConnectionSpec;
#[cfg(unix)]
pub use transfer::{
    Change, Copied, CopyOptions, Difference, Links, Modes, Progress, ProgressSink, Skip,
};
pub use transport::{Prompter, Question, TransportOptions};

/// The README's examples, so that they compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The page on callbacks, likewise.
#[cfg(doctest)]
#[doc = include_str!("../docs/callbacks.md")]
struct Callbacks;
