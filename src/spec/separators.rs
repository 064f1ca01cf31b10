//! Cutting a text at a separator that a backslash takes the meaning from, and writing a piece so that it reads back.

use std::ops::Range;

/// A piece of a text between two separators.
pub(super) struct Piece {
    /// Its bytes of the text, backslashes and all.
    pub place: Range<usize>,
    /// The same with its separators put back.
    pub text: String,
}

/// Cuts a text at a separator.
///
/// A backslash means itself, except in a run of them directly before a separator: there each pair is one backslash, and one
/// left over takes the separator into the piece. So does `keeps`, where it says so of what stands before in the piece.
pub(super) fn cut(text: &str, separator: char, keeps: impl Fn(&str) -> bool) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut current = String::new();
    let mut backslashes = 0;
    for (at, letter) in text.char_indices() {
        if letter == '\\' {
            backslashes += 1;
            continue;
        }
        let kept = if letter == separator {
            backslashes / 2
        } else {
            backslashes
        };
        current.extend(std::iter::repeat_n('\\', kept));
        let separates =
            letter == separator && backslashes % 2 == 0 && (backslashes > 0 || !keeps(&current));
        backslashes = 0;
        if separates {
            pieces.push(Piece {
                place: start..at,
                text: std::mem::take(&mut current),
            });
            start = at + letter.len_utf8();
            continue;
        }
        current.push(letter);
    }
    current.extend(std::iter::repeat_n('\\', backslashes));
    pieces.push(Piece {
        place: start..text.len(),
        text: current,
    });
    pieces
}

/// The other way: a piece as it stands in the text. `last` says that nothing follows it.
pub(super) fn escape_separator(
    value: &str,
    separator: char,
    last: bool,
    keeps: impl Fn(&str) -> bool,
) -> String {
    let mut out = String::new();
    let mut backslashes = 0;
    for letter in value.chars() {
        match letter {
            '\\' => backslashes += 1,
            _ if letter == separator && backslashes == 0 && keeps(&out) => {}
            _ if letter == separator => {
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
