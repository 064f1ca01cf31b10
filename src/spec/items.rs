//! Cutting a spec into its items at colons, and writing a value so that it reads back.

use std::ops::Range;

use crate::spec::options::keeps_colon;
use crate::spec::separators::{Piece, cut, escape_separator};

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

/// Cuts `text`, which starts at byte `base` of the spec, at its colons. The colon of a fingerprint needs no backslash.
pub(super) fn split(text: &str, base: usize) -> Vec<Item> {
    let item = |Piece { place, text: item }: Piece| {
        let value = text
            .get(place.clone())
            .and_then(|raw| raw.find('='))
            .map(|at| base + place.start + at + 1);
        Item {
            place: base + place.start..base + place.end,
            value_start: value,
            text: item,
        }
    };
    cut(text, ':', keeps_colon).into_iter().map(item).collect()
}

/// The other way: a value as it stands in a spec. `last` says that nothing follows it.
pub(super) fn escape(value: &str, last: bool) -> String {
    escape_separator(value, ':', last, keeps_colon)
}
