//! How many columns of a terminal a text takes, and text made to fit so many: a character may take none, one or two.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The columns of the widest of these.
pub(crate) fn widest<'a>(texts: impl IntoIterator<Item = &'a str>) -> usize {
    texts.into_iter().map(width).max().unwrap_or(0)
}

/// The text with blanks behind it, up to so many columns.
pub(crate) fn padded(text: &str, columns: usize) -> String {
    let padding = columns.saturating_sub(width(text));
    format!("{text}{:padding$}", "")
}

/// As much of a line as fits into so many columns.
pub(crate) fn cut(line: &str, columns: usize) -> String {
    let mut left = columns;
    line.chars()
        .take_while(|c| {
            let width = c.width().unwrap_or(0);
            let fits = width <= left;
            left = left.saturating_sub(width);
            fits
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns_and_accents_none() {
        for (text, columns) in [
            ("web1", 4),
            ("日本", 4),
            ("é", 1),
            ("e\u{301}", 1),
            ("ｗｅｂ", 6),
            ("", 0),
        ] {
            assert_eq!(width(text), columns, "{text}");
        }
        assert_eq!(padded("日本", 6), "日本  ");
        assert_eq!(padded("日本", 3), "日本");
        assert_eq!(cut("日本", 3), "日");
        assert_eq!(cut("e\u{301}bc", 2), "e\u{301}b");
        assert_eq!(widest(["日本", "web"]), 4);
    }
}
