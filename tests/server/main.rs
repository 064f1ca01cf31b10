//! The standalone server over real sockets on loopback: what it serves, what it refuses, and what
//! it costs. Attackers here speak the protocol's bytes themselves.
#![cfg(all(unix, feature = "server"))]

mod attackers;
mod calls;
mod ending;
mod harness;
mod limits;
mod pipe;
#[cfg(feature = "cli")]
mod process;
#[cfg(feature = "cli")]
mod service;
#[path = "../support/mod.rs"]
mod support;
