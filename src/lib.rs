//! Call Python on machines that have only sshd and Python.

#[cfg(feature = "cli")]
pub mod cli;
pub mod connection_spec;
pub mod error;
pub mod key_file;
pub mod session;
pub mod transport;
mod value;
pub mod wire;

pub use error::{ConnectError, Error, Fault, RemoteError, Stage};
pub use value::Value;
