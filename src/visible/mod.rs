//! Text of others, made safe to show: what moves a terminal's cursor, changes its settings, reorders or hides text becomes visible.

mod filter;
mod style;

pub(crate) use filter::Filter;

/// Whether a character does something else than showing itself: it moves the cursor, begins a terminal's command, reorders its
/// surroundings, breaks the line or takes no room at all. Joiners stay what they are, because scripts and emoji need them.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Direction marks, embeddings, overrides and isolates.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Ends of lines and paragraphs that not every program takes for such.
            | '\u{2028}' | '\u{2029}'
            // What is not seen at all, so that two texts look the same: a second text can be hidden in tags.
            | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Appends `c` as it is, or as an escape such as `\u{1b}` where it acts.
fn push_visibly(c: char, safe: &mut String) {
    if acts(c) {
        safe.extend(c.escape_unicode());
    } else {
        safe.push(c);
    }
}

/// Makes text of others safe to show where it may have several lines: newlines and tabs stay, everything else that acts becomes an
/// escape. What this gives, it gives again unchanged.
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || c == '\t' {
            safe.push(c);
        } else {
            push_visibly(c, &mut safe);
        }
    }
    safe
}

/// As [`printable`], for text that stands within one line: newlines and tabs become escapes too.
pub(crate) fn one_line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        push_visibly(c, &mut safe);
    }
    safe
}

/// As [`one_line`], of the first so many characters.
#[cfg(any(feature = "python", feature = "cli"))]
pub(crate) fn short_line(text: &str, most: usize) -> String {
    one_line(&text.chars().take(most).collect::<String>())
}

/// Serialized JSON in which what acts is escaped as JSON does it, so that a terminal shows it and a parser reads what it was.
pub(crate) fn json(text: String) -> String {
    let inside = |c: char| c != '\n' && acts(c);
    if !text.chars().any(inside) {
        return text;
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if inside(c) {
            // Outside of strings JSON is ASCII with no control characters but newlines, so this one is in a string.
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::{json, one_line, printable};

    #[derive(serde::Deserialize)]
    struct Vector {
        name: String,
        text: String,
        printable: String,
        one_line: String,
    }

    #[test]
    fn the_vectors_hold() {
        let vectors = include_str!("vectors.json");
        let vectors: Vec<Vector> = serde_json::from_str(vectors).expect("vectors");
        assert!(vectors.len() > 10);
        for vector in vectors {
            assert_eq!(printable(&vector.text), vector.printable, "{}", vector.name);
            assert_eq!(one_line(&vector.text), vector.one_line, "{}", vector.name);
            // If it is not certain that it was done, it may be done again.
            assert_eq!(printable(&vector.printable), vector.printable);
            let value = serde_json::json!({ "text": vector.text });
            let shown = json(value.to_string());
            assert_eq!(one_line(&shown), shown, "{}", vector.name);
            let read: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
            assert_eq!(read, value, "{}", vector.name);
        }
    }
}
