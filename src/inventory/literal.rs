//! Values of variables in an INI inventory: literals of Python where they are such, else text.

use num_bigint::BigInt;

use crate::Plain;

/// How deep lists and dictionaries may be in each other.
const MAX_DEPTH: usize = 50;

/// The value that Ansible takes a text for: `5`, `True`, `'text'`, `[1, 2]` as Python reads them, anything else as it stands.
pub(super) fn value(text: &str) -> Plain {
    let mut reader = Reader {
        rest: text.trim_start_matches([' ', '\t']),
    };
    let read = reader.value(0).filter(|_| reader.at_end());
    read.unwrap_or_else(|| Plain::Str(text.to_owned()))
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\u{c}']);
    }

    fn at_end(&mut self) -> bool {
        self.space();
        self.rest.is_empty() || self.rest.starts_with('#')
    }

    /// Passes over this text, if it comes next.
    fn take(&mut self, text: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Option<Plain> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.space();
        match self.rest.chars().next()? {
            '[' => {
                self.take("[");
                self.list(']', depth).map(|(items, _)| Plain::List(items))
            }
            '(' => {
                self.take("(");
                let (mut items, comma) = self.list(')', depth)?;
                match (items.len(), comma) {
                    (1, false) => items.pop(),
                    // Ansible makes lists of tuples.
                    _ => Some(Plain::List(items)),
                }
            }
            '{' => {
                self.take("{");
                self.braces(depth)
            }
            '\'' | '"' => self.strings(),
            '0'..='9' | '.' | '-' | '+' => self.number(),
            _ => self.word(),
        }
    }

    /// Values with commas between them, and whether there was a comma.
    fn list(&mut self, end: char, depth: usize) -> Option<(Vec<Plain>, bool)> {
        let mut end_text = [0; 4];
        let end = end.encode_utf8(&mut end_text);
        let mut items = Vec::new();
        let mut comma = false;
        loop {
            if self.take(end) {
                return Some((items, comma));
            }
            if !items.is_empty() && !comma {
                return None;
            }
            items.push(self.value(depth + 1)?);
            comma = self.take(",");
            if !comma && !self.rest.trim_start_matches([' ', '\t']).starts_with(&*end) {
                return None;
            }
        }
    }

    /// A dictionary, or a set, of which Ansible makes a list.
    fn braces(&mut self, depth: usize) -> Option<Plain> {
        let mut pairs: Vec<(Plain, Plain)> = Vec::new();
        let mut items: Vec<Plain> = Vec::new();
        loop {
            if self.take("}") {
                break;
            }
            let key = self.value(depth + 1)?;
            if matches!(key, Plain::List(_) | Plain::Dict(_)) {
                return None;
            }
            if self.take(":") {
                let value = self.value(depth + 1)?;
                match pairs.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, old)) => *old = value,
                    None => pairs.push((key, value)),
                }
            } else if !items.contains(&key) {
                items.push(key);
            }
            if !pairs.is_empty() && !items.is_empty() {
                return None;
            }
            if !self.take(",") && !self.rest.starts_with('}') {
                return None;
            }
        }
        Some(if items.is_empty() {
            Plain::Dict(pairs)
        } else {
            Plain::List(items)
        })
    }

    /// Strings one after the other are one string.
    fn strings(&mut self) -> Option<Plain> {
        let mut text = String::new();
        while self.rest.starts_with(['\'', '"']) {
            self.string(&mut text)?;
            self.space();
        }
        Some(Plain::Str(text))
    }

    fn string(&mut self, text: &mut String) -> Option<()> {
        let quote = self.rest.chars().next()?;
        let triple: String = std::iter::repeat_n(quote, 3).collect();
        let (closing, mut rest) = match self.rest.strip_prefix(triple.as_str()) {
            Some(rest) => (triple, rest),
            None => (quote.to_string(), self.rest.get(1..)?),
        };
        loop {
            if let Some(after) = rest.strip_prefix(closing.as_str()) {
                self.rest = after;
                return Some(());
            }
            let mut letters = rest.chars();
            match letters.next()? {
                '\\' => rest = escape(letters.as_str(), text)?,
                letter => {
                    text.push(letter);
                    rest = letters.as_str();
                }
            }
        }
    }

    fn number(&mut self) -> Option<Plain> {
        let mut negative = false;
        while let Some(sign) = self.rest.chars().next().filter(|sign| "+-".contains(*sign)) {
            negative ^= sign == '-';
            self.rest = self.rest.get(1..)?;
            self.space();
        }
        let radix = [("0x", 16), ("0o", 8), ("0b", 2)];
        let lower = self.rest.get(..2).map(str::to_ascii_lowercase);
        let radix = radix
            .iter()
            .find(|(start, _)| lower.as_deref() == Some(*start));
        let end = |more: &str, rest: &str| {
            rest.find(|letter: char| !letter.is_ascii_alphanumeric() && !more.contains(letter))
                .unwrap_or(rest.len())
        };
        if let Some((_, radix)) = radix {
            let rest = self.rest.get(2..)?;
            let (digits, after) = rest.split_at_checked(end("_", rest))?;
            // `0x_1` is written with its underscore behind the letter.
            let digits = underscored(digits.strip_prefix('_').unwrap_or(digits))?;
            self.rest = after;
            let number = BigInt::parse_bytes(digits.as_bytes(), *radix)?;
            return integer(number, negative);
        }
        let mut at = end("_.", self.rest);
        // The sign of an exponent.
        if self.rest.get(..at)?.ends_with(['e', 'E'])
            && let Some(rest) = self
                .rest
                .get(at..)
                .and_then(|rest| rest.strip_prefix(['+', '-']))
        {
            at += 1 + end("_", rest);
        }
        let (digits, after) = self.rest.split_at_checked(at)?;
        self.rest = after;
        if digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'_')
        {
            let digits = underscored(digits)?;
            // Python takes no zeros in front of a number, as in `007`, but any number of them for 0.
            if digits.len() > 1 && digits.starts_with('0') && digits.bytes().any(|b| b != b'0') {
                return None;
            }
            return integer(BigInt::parse_bytes(digits.as_bytes(), 10)?, negative);
        }
        let plain = |letter: char| letter.is_ascii_digit() || "_.eE+-".contains(letter);
        if !digits.chars().all(plain) || !digits.chars().any(|letter| letter.is_ascii_digit()) {
            return None;
        }
        let number: f64 = underscored_float(digits)?.parse().ok()?;
        Some(Plain::Float(if negative { -number } else { number }))
    }

    fn word(&mut self) -> Option<Plain> {
        let words = [
            ("None", Plain::None),
            ("True", Plain::Bool(true)),
            ("False", Plain::Bool(false)),
        ];
        let (word, value) = words
            .into_iter()
            .find(|(word, _)| self.rest.starts_with(word))?;
        let after = self.rest.get(word.len()..)?;
        let ends = |letter: char| !letter.is_alphanumeric() && letter != '_';
        if !after.chars().next().is_none_or(ends) {
            return None;
        }
        self.rest = after;
        Some(value)
    }
}

/// What follows a backslash; gives what is left behind it.
fn escape<'a>(rest: &'a str, text: &mut String) -> Option<&'a str> {
    let letter = rest.chars().next()?;
    let after = rest.get(letter.len_utf8()..)?;
    let by_digits = |count: usize| {
        let digits = after.get(..count)?;
        let code = u32::from_str_radix(digits, 16).ok()?;
        Some((char::from_u32(code)?, after.get(count..)?))
    };
    let (letter, after) = match letter {
        '\n' => return Some(after),
        '\\' | '\'' | '"' => (letter, after),
        'a' => ('\u{7}', after),
        'b' => ('\u{8}', after),
        'f' => ('\u{c}', after),
        'n' => ('\n', after),
        'r' => ('\r', after),
        't' => ('\t', after),
        'v' => ('\u{b}', after),
        'x' => by_digits(2)?,
        'u' => by_digits(4)?,
        'U' => by_digits(8)?,
        '0'..='7' => {
            let octal = |letter: char| !('0'..='7').contains(&letter);
            let end = rest.find(octal).unwrap_or(rest.len()).min(3);
            let code = u32::from_str_radix(rest.get(..end)?, 8).ok()?;
            (char::from_u32(code)?, rest.get(end..)?)
        }
        // A name of a letter is more than an inventory needs.
        'N' => return None,
        other => {
            text.push('\\');
            (other, after)
        }
    };
    text.push(letter);
    Some(after)
}

/// Digits with single underscores between them, without those.
fn underscored(digits: &str) -> Option<String> {
    let wrong = digits.is_empty()
        || digits.starts_with('_')
        || digits.ends_with('_')
        || digits.contains("__");
    (!wrong).then(|| digits.replace('_', ""))
}

/// The same of a number with a point or an exponent, each of whose parts has its own.
fn underscored_float(text: &str) -> Option<String> {
    let parts = text.split(['.', 'e', 'E', '+', '-']);
    let good = parts
        .filter(|part| !part.is_empty())
        .all(|part| underscored(part).is_some());
    good.then(|| text.replace('_', ""))
}

fn integer(number: BigInt, negative: bool) -> Option<Plain> {
    let number = if negative { -number } else { number };
    Some(match i64::try_from(&number) {
        Ok(small) => Plain::Int(small),
        Err(_) => Plain::BigInt(number),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_pythons() {
        let text = |text: &str| Plain::Str(text.to_owned());
        for (source, expected) in [
            ("5", Plain::Int(5)),
            ("-5", Plain::Int(-5)),
            ("0o10", Plain::Int(8)),
            ("1_000", Plain::Int(1000)),
            ("010", text("010")),
            ("1e3", Plain::Float(1000.0)),
            (".5", Plain::Float(0.5)),
            ("10.0.0.1", text("10.0.0.1")),
            ("22 # the port", Plain::Int(22)),
            ("True", Plain::Bool(true)),
            ("true", text("true")),
            ("None", Plain::None),
            ("'a' \"b\"", text("ab")),
            ("'it\\'s\\x41'", text("it'sA")),
            ("'open", text("'open")),
            ("[1, 'a',]", Plain::List(vec![Plain::Int(1), text("a")])),
            ("[1 2]", text("[1 2]")),
            ("(1)", Plain::Int(1)),
            ("()", Plain::List(vec![])),
            ("{'a': 1}", Plain::Dict(vec![(text("a"), Plain::Int(1))])),
            ("{{ x }}", text("{{ x }}")),
            ("/usr/bin/python3", text("/usr/bin/python3")),
            ("", text("")),
        ] {
            assert_eq!(value(source), expected, "{source}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(value(&deep), text(&deep));
    }
}
