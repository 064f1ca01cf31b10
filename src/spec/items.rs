//! Cutting a spec into its items at colons, with the backslash rule, and finding what in it is secret.

use std::ops::Range;

use crate::spec::options;

/// One `name=value` (or a port, or nothing) between two colons.
pub(super) struct Item {
    /// The bytes of the spec that it came from, backslashes and all.
    pub place: Range<usize>,
    /// The byte of the spec where the value begins, if there is an `=`.
    pub value_start: Option<usize>,
    /// The text with its colons put back.
    pub text: String,
}

impl Item {
    pub fn name_and_value(&self) -> Option<(&str, &str)> {
        self.text.split_once('=')
    }

    pub fn name_place(&self) -> Range<usize> {
        self.place.start..self.value_start.map_or(self.place.end, |at| at - 1)
    }

    pub fn value_place(&self) -> Range<usize> {
        self.value_start.unwrap_or(self.place.start)..self.place.end
    }
}

/// Cuts `text`, which starts at byte `base` of the spec, at its colons.
///
/// A backslash means itself, except in a run of them directly before a colon: there each pair is one backslash,
/// and one left over takes the colon into the value. So every spec without `\:` reads as it always did.
pub(super) fn split(text: &str, base: usize) -> Vec<Item> {
    let mut items = Vec::new();
    let mut start = base;
    let mut value_start = None;
    let mut current = String::new();
    let mut backslashes = 0;
    for (offset, letter) in text.char_indices() {
        let at = base + offset;
        if letter == '\\' {
            backslashes += 1;
            continue;
        }
        let kept = if letter == ':' {
            backslashes / 2
        } else {
            backslashes
        };
        current.extend(std::iter::repeat_n('\\', kept));
        let separates = letter == ':' && backslashes % 2 == 0;
        backslashes = 0;
        if separates {
            items.push(Item {
                place: start..at,
                value_start: value_start.take(),
                text: std::mem::take(&mut current),
            });
            start = at + 1;
            continue;
        }
        if letter == '=' && value_start.is_none() {
            value_start = Some(at + 1);
        }
        current.push(letter);
    }
    current.extend(std::iter::repeat_n('\\', backslashes));
    items.push(Item {
        place: start..base + text.len(),
        value_start,
        text: current,
    });
    items
}

/// The other way: a value as it stands in a spec. `last` says that nothing follows it.
pub(super) fn escape(value: &str, last: bool) -> String {
    let mut out = String::new();
    let mut backslashes = 0;
    for letter in value.chars() {
        match letter {
            '\\' => backslashes += 1,
            ':' => {
                out.extend(std::iter::repeat_n('\\', backslashes + 1));
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        out.push(letter);
    }
    if !last {
        out.extend(std::iter::repeat_n('\\', backslashes));
    }
    out
}

/// Where the head (user and host) ends: at the first colon outside brackets.
pub(super) fn head_end(spec: &str) -> usize {
    let mut inside = false;
    for (at, letter) in spec.char_indices() {
        match letter {
            '[' => inside = true,
            ']' => inside = false,
            ':' if !inside => return at,
            _ => {}
        }
    }
    // A bracket that is never closed: the colons after it count, so that the options behind it are still hidden.
    if inside {
        spec.find(':').unwrap_or(spec.len())
    } else {
        spec.len()
    }
}

/// The parts of a spec, right or wrong, that an error must not repeat: the key, the value of an option that nobody knows
/// (it may be a key whose name is misspelt), what follows a bare `key`, and a password before an `@`.
pub(super) fn secrets(spec: &str) -> Vec<Range<usize>> {
    let head_end = head_end(spec);
    let mut found = Vec::new();
    // No host has an equals sign: an option that a mistyped bracket took into the head.
    found.extend(
        spec.find('=')
            .filter(|at| *at < head_end)
            .map(|at| at + 1..head_end),
    );
    let tail_at = head_end + 1;
    let tail = spec.get(tail_at..).unwrap_or_default();
    let mut after_bare_key = false;
    for item in split(tail, tail_at) {
        let bare_key = item.text.trim().eq_ignore_ascii_case("key");
        match item.name_and_value() {
            _ if after_bare_key => found.push(item.place.clone()),
            Some(("key", _)) => found.push(item.value_place()),
            Some((name, _)) if !options::is_known(name) => found.push(item.value_place()),
            Some(_) => {}
            None => {
                let at_sign = spec
                    .get(item.place.clone())
                    .and_then(|text| text.rfind('@'));
                found.extend(at_sign.map(|offset| item.place.start..item.place.start + offset));
            }
        }
        after_bare_key = bare_key;
    }
    found.retain(|range| !range.is_empty());
    found
}
