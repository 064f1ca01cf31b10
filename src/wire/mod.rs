//! Bytes to frames to messages and back. Pure: no I/O, no clock.

pub mod authentication;
