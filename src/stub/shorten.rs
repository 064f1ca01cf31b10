//! Gives the names that only the stub itself sees one or two letters, so that it is smaller on the wire.

use std::collections::HashMap;

use super::strip::string_length;

/// A name and its short form a line; `tests/stub/short_names.py` says which names qualify.
const TABLE: &str = include_str!("../../bootstrap_py/short_names.txt");

/// A stripped file with short names; strings are left alone.
pub fn shorten(stripped: &str) -> String {
    let table: HashMap<&str, &str> = TABLE
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let mut out = String::with_capacity(stripped.len());
    let mut rest = stripped;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '\'' | '"' => string_length(rest),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (piece, after) = rest.split_at(length);
        out.push_str(table.get(piece).copied().unwrap_or(piece));
        rest = after;
    }
    out
}

/// Whether a character is part of a name.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn own_names_are_short_and_strings_and_other_names_stay() {
        let short = shorten("machine.sent='machine'\nx=0x4543+machines");
        assert!(short.ends_with("='machine'\nx=0x4543+machines"), "{short}");
        assert!(!short.starts_with("machine"), "{short}");
    }
}
