//! Splitting configuration lines into keyword and words, by OpenSSH's own rules for quotes and comments.

const WHITESPACE: &[char] = &[' ', '\t', '\r', '\n'];

/// The keyword of a line and what follows it. `Ok(None)`: nothing on this line.
pub(crate) fn keyword(line: &str) -> Result<Option<(String, &str)>, String> {
    let line = line.trim_end_matches([' ', '\t', '\r', '\n', '\u{c}']);
    let line = line.trim_start_matches(WHITESPACE);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (keyword, rest) = match line.strip_prefix('"') {
        Some(quoted) => {
            let (keyword, rest) = quoted.split_once('"').ok_or("a quote is not closed")?;
            (keyword, skip_equals(rest))
        }
        None => {
            let end = line
                .find(|c| WHITESPACE.contains(&c) || c == '=' || c == '"')
                .unwrap_or(line.len());
            let (keyword, rest) = line.split_at(end);
            (keyword, skip_equals(rest))
        }
    };
    Ok(Some((keyword.to_lowercase(), rest)))
}

/// White space, and at most one equals sign in it.
fn skip_equals(rest: &str) -> &str {
    let rest = rest.trim_start_matches(WHITESPACE);
    rest.strip_prefix('=')
        .unwrap_or(rest)
        .trim_start_matches(WHITESPACE)
}

/// Splits the rest of a line into words: quotes of both kinds, backslashes before quotes and
/// backslashes, and a `#` at the beginning of a word ends the line.
pub(crate) fn words(text: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut characters = text.chars().peekable();
    loop {
        while characters.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        match characters.peek() {
            None => return Ok(found),
            Some('#') => return Ok(found),
            Some(_) => {}
        }
        let mut word = String::new();
        let mut quote: Option<char> = None;
        while let Some(c) = characters.next() {
            match (c, quote) {
                ('\\', _) => {
                    let escaped = characters.next_if(|next| {
                        matches!(next, '\'' | '"' | '\\') || (quote.is_none() && *next == ' ')
                    });
                    word.push(escaped.unwrap_or('\\'));
                }
                (' ' | '\t', None) => break,
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                (c, _) => word.push(c),
            }
        }
        if quote.is_some() {
            return Err("a quote is not closed".to_owned());
        }
        found.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_stand_apart_by_blanks_or_one_equals_sign() {
        for line in [
            "Port 22",
            "port=22",
            "  PORT = 22",
            "\tport =22  ",
            "\"port\" 22",
            "port\t22\r",
        ] {
            let (name, rest) = keyword(line).unwrap().unwrap();
            assert_eq!((name.as_str(), rest), ("port", "22"), "{line:?}");
        }
        assert_eq!(keyword("   # comment").unwrap(), None);
        assert_eq!(keyword("\t\r").unwrap(), None);
        assert!(keyword("\"port 22").is_err());
    }

    #[test]
    fn words_know_quotes_escapes_and_comments() {
        let split = |text: &str| words(text).unwrap();
        assert_eq!(split("a  b\tc"), ["a", "b", "c"]);
        assert_eq!(split("\"a b\" 'c d'"), ["a b", "c d"]);
        assert_eq!(split("a\"b c\"d"), ["ab cd"]);
        assert_eq!(split("a # b"), ["a"]);
        assert_eq!(split("a#b"), ["a#b"]);
        assert_eq!(split(r#"a\ b \"c \\ \x"#), ["a b", "\"c", "\\", "\\x"]);
        assert_eq!(split("\"\""), [""]);
        assert!(words("\"a").is_err());
        assert!(words("'a").is_err());
    }
}
