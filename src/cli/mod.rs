//! The program `easycluster`: arguments, output and exit codes. What it does is done by the library.

#[cfg(unix)]
#[doc(hidden)]
pub mod embedded_sshd;
