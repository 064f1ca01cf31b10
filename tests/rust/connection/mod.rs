//! A connection from its start to its end: the whole suite over a child process and over SSH, and what can fail.

mod callbacks;
mod channels;
mod failures;
pub mod hostile;
mod local;
mod ssh;
