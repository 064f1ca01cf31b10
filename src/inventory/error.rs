//! What is wrong with a range, a pattern or an inventory, where, and what to do next.

use std::fmt;

/// Why hosts could not be named: a range, a pattern or an inventory that cannot be understood or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryError {
    place: Option<String>,
    reason: String,
    hint: Option<String>,
}

impl InventoryError {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        InventoryError {
            place: None,
            reason: reason.into(),
            hint: None,
        }
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same at a place, unless one is known already that is nearer.
    pub(super) fn at(mut self, place: impl Into<String>) -> Self {
        self.place.get_or_insert_with(|| place.into());
        self
    }

    /// The same at a line of a file.
    pub(super) fn at_line(self, file: &str, line: usize) -> Self {
        self.at(format!("{file}, line {line}"))
    }

    /// The file and the line, where it is about one.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// What to do next, where that can be said.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// The place and the reason, in one line.
impl fmt::Display for InventoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for InventoryError {}
