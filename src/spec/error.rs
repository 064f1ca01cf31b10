//! The error of a connection spec: the reason, the spec with its secrets hidden, and a line that marks the place.

use std::fmt;
use std::ops::Range;

use crate::spec::items;

/// What kind of mistake a spec holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpecErrorKind {
    /// The text does not follow the grammar, or a value is none that its option takes.
    Malformed,
    /// An option that nobody knows.
    Unknown,
    /// An option that was given before.
    Duplicate,
    /// An option that does not go with the transport.
    Conflict,
}

/// Why a spec was refused, and where.
///
/// Its text has three lines: the reason, the spec, and carets below the place. Keys and passwords are shown as `***`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}\n  {shown}\n  {}{}", " ".repeat(.columns.start), "^".repeat(.columns.len().max(1)))]
pub struct SpecError {
    kind: SpecErrorKind,
    reason: String,
    shown: String,
    columns: Range<usize>,
}

impl SpecError {
    /// `place` is in bytes of `spec`.
    pub(super) fn new(
        kind: SpecErrorKind,
        spec: &str,
        place: Range<usize>,
        reason: impl fmt::Display,
    ) -> Self {
        let (shown, columns) = hide(spec, &items::secrets(spec), place);
        SpecError {
            kind,
            reason: reason.to_string(),
            shown,
            columns,
        }
    }

    /// The kind of mistake.
    pub fn kind(&self) -> SpecErrorKind {
        self.kind
    }

    /// The reason alone, one line.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The spec as the error shows it, its secrets hidden.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The place, in characters of [`SpecError::shown`], counted from 0.
    pub fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }
}

/// Replaces the secret parts by `***` and control characters by `?`, and carries the place over to the new text.
fn hide(spec: &str, secrets: &[Range<usize>], place: Range<usize>) -> (String, Range<usize>) {
    let mut shown = String::new();
    let mut width = 0;
    let (mut start, mut end) = (None, None);
    for (at, letter) in spec.char_indices() {
        let secret = secrets.iter().find(|secret| secret.contains(&at));
        if at >= place.start {
            start.get_or_insert(width);
        }
        if at >= place.end {
            end.get_or_insert(width);
        }
        let text = match (secret, letter) {
            (Some(secret), _) if secret.start == at => "***",
            (Some(_), _) => "",
            (None, letter) if letter.is_control() => "?",
            (None, letter) => {
                shown.push(letter);
                width += 1;
                continue;
            }
        };
        shown.push_str(text);
        width += text.len();
    }
    let start = start.unwrap_or(width);
    (shown, start..end.unwrap_or(width).max(start))
}
