//! A connection from its start to its end: the whole suite over a child process and over SSH, and what can fail.

mod failures;
mod hostile;
mod local;
mod ssh;
