//! Python values as Rust sees them when no type is asked for.

/// Any plain Python value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `None`.
    None,
}
