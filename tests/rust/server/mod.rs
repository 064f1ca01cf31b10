//! The standalone server over real sockets on loopback: what it serves, what it refuses, and what
//! it costs. Attackers here speak the protocol's bytes themselves.

mod attackers;
mod calls;
mod ending;
pub mod harness;
mod limits;
mod pipe;
mod process;
mod service;
