//! Cutting a spec into its items at colons, with the backslash rule, and writing a value so that it reads back.

use std::ops::Range;

use crate::spec::options::keeps_colon;

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
    pub(super) fn name_and_value(&self) -> Option<(&str, &str)> {
        self.text.split_once('=')
    }

    pub(super) fn name_place(&self) -> Range<usize> {
        self.place.start..self.value_start.map_or(self.place.end, |at| at - 1)
    }

    pub(super) fn value_place(&self) -> Range<usize> {
        self.value_start.unwrap_or(self.place.start)..self.place.end
    }
}

/// Cuts `text`, which starts at byte `base` of the spec, at its colons.
///
/// A backslash means itself, except in a run of them directly before a colon: there each pair is one backslash,
/// and one left over takes the colon into the value. The colon of a fingerprint needs none.
pub(super) fn split(text: &str, base: usize) -> Vec<Item> {
    let mut items = Vec::new();
    let mut start = base;
    let mut value_start = None;
    let mut current = String::new();
    let mut backslashes = 0;
    for (offset, character) in text.char_indices() {
        let at = base + offset;
        if character == '\\' {
            backslashes += 1;
            continue;
        }
        let kept = if character == ':' {
            backslashes / 2
        } else {
            backslashes
        };
        current.extend(std::iter::repeat_n('\\', kept));
        let separates =
            character == ':' && backslashes % 2 == 0 && (backslashes > 0 || !keeps_colon(&current));
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
        if character == '=' && value_start.is_none() {
            value_start = Some(at + 1);
        }
        current.push(character);
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
    for character in value.chars() {
        match character {
            '\\' => backslashes += 1,
            ':' if backslashes == 0 && keeps_colon(&out) => {}
            ':' => {
                out.extend(std::iter::repeat_n('\\', backslashes + 1));
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        out.push(character);
    }
    if !last {
        out.extend(std::iter::repeat_n('\\', backslashes));
    }
    out
}
