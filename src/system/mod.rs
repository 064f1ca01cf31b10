//! What this program asks the operating system, and how each system answers: files' owners, accounts, limits.

pub(crate) mod account;
pub(crate) mod limits;
pub(crate) mod names;
pub(crate) mod rights;
