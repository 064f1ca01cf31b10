//! What this program asks the operating system, and how each system answers: files' owners, accounts, limits, signals.

pub(crate) mod account;
pub(crate) mod limits;
pub(crate) mod names;
pub(crate) mod rights;
#[cfg(all(unix, any(test, feature = "cli")))]
pub(crate) mod signals;
