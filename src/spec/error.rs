//! The error of a connection spec: the reason, the spec with its secrets hidden, and a line that marks the place.

use std::fmt;
use std::ops::Range;

use crate::spec::head::{URL_SCHEME, head_end};
use crate::spec::items::split;
use crate::spec::options;

/// What kind of mistake a spec holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpecErrorKind {
    /// The text does not follow the grammar, or a value is none that its option takes.
    Malformed,
    /// An unknown option.
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
        let (shown, columns) = hide(spec, &secrets(spec), place);
        SpecError {
            kind,
            reason: reason.to_string(),
            shown,
            columns,
        }
    }

    /// About one option that a program set by its name: the value is marked, or the name of an option that does not exist.
    pub(super) fn of_option(
        kind: SpecErrorKind,
        name: &str,
        value: &str,
        reason: impl fmt::Display,
    ) -> Self {
        let text = format!("{name}={value}");
        let behind = name.len() + 1..text.len();
        let place = match kind {
            SpecErrorKind::Unknown => 0..name.len(),
            _ => behind.clone(),
        };
        let secret = options::find(name).is_none_or(|option| option.secret) && !value.is_empty();
        let secrets = if secret { vec![behind] } else { Vec::new() };
        let (shown, columns) = hide(&text, &secrets, place);
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
    for (at, character) in spec.char_indices() {
        let secret = secrets.iter().find(|secret| secret.contains(&at));
        if at >= place.start {
            start.get_or_insert(width);
        }
        if at >= place.end {
            end.get_or_insert(width);
        }
        let text = match (secret, character) {
            (Some(secret), _) if secret.start == at => "***",
            (Some(_), _) => "",
            (None, character) if character.is_control() => "?",
            (None, character) => {
                shown.push(character);
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

/// The parts of a spec, right or wrong, that an error must not repeat (CS-28): the key, the value of an option that does not exist
/// (it may be a key whose name is misspelt), what follows a bare `key`, and a password before an `@`.
fn secrets(spec: &str) -> Vec<Range<usize>> {
    let head_at = if spec.starts_with(URL_SCHEME) {
        URL_SCHEME.len()
    } else {
        0
    };
    let head_end = head_at + head_end(spec.get(head_at..).unwrap_or_default());
    let mut found = Vec::new();
    // No host has an equals sign: an option that a mistyped bracket took into the head.
    found.extend(
        spec.find('=')
            .filter(|at| *at < head_end)
            .map(|at| at + 1..head_end),
    );
    let tail_at = head_end + 1;
    let tail = spec.get(tail_at..).unwrap_or_default();
    let mut after_bare_secret = false;
    for item in split(tail, tail_at) {
        let bare = item.text.trim().to_lowercase();
        let is_secret = |name: &str| options::find(name).is_none_or(|option| option.secret);
        match item.name_and_value() {
            _ if after_bare_secret => found.push(item.place.clone()),
            Some((name, _)) if is_secret(name) => found.push(item.value_place()),
            Some(_) => {}
            None => {
                let at_sign = spec
                    .get(item.place.clone())
                    .and_then(|text| text.rfind('@'));
                found.extend(at_sign.map(|offset| item.place.start..item.place.start + offset));
            }
        }
        after_bare_secret = options::find(&bare).is_some_and(|option| option.secret);
    }
    found.retain(|range| !range.is_empty());
    found
}
