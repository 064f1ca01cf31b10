//! The subcommands, a file or a folder each.

#[cfg(unix)]
pub(crate) mod clean;
pub(crate) mod completions;
#[cfg(unix)]
pub(crate) mod copy;
#[cfg(unix)]
#[doc(hidden)]
pub mod demo;
pub(crate) mod exec;
pub(crate) mod hosts;
pub(crate) mod keygen;
pub(crate) mod ping;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod service;
