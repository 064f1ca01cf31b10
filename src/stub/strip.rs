//! Makes Python source small without moving a line: comments, docstrings and indentation width go, line numbers stay.

/// Strips one file. Only what the stub's own sources use is understood: spaces for
/// indentation, four a level, and no backslash at a line's end.
pub fn strip(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut depth = 0usize;
    // Whether nothing but indentation has been seen in the current line.
    let mut fresh = true;
    let mut indent = 0;
    while let Some(c) = rest.chars().next() {
        if fresh && c == ' ' {
            let width = rest.len() - rest.trim_start_matches(' ').len();
            rest = &rest[width..];
            indent = width;
            if depth == 0 {
                out.extend(std::iter::repeat_n(' ', width / 4));
            }
            continue;
        }
        match c {
            '\n' => {
                out.truncate(out.trim_end_matches(' ').len());
                out.push('\n');
                rest = &rest[1..];
                fresh = true;
                indent = 0;
                continue;
            }
            ' ' => {
                // Between a name and a sign no space is needed; between two names it is.
                let next = rest.trim_start_matches(' ');
                if out.ends_with(is_name) && next.starts_with(is_name) {
                    out.push(' ');
                }
                rest = next;
            }
            '#' => rest = &rest[rest.find('\n').unwrap_or(rest.len())..],
            '\'' | '"' => {
                let (literal, after) = rest.split_at(string_length(rest));
                let ends_line =
                    after.trim_start_matches(' ').starts_with(['\n', '#']) || after.is_empty();
                if fresh && depth == 0 && ends_line {
                    // A docstring; its lines are kept empty, unless it is all that its block holds.
                    if block_goes_on(after, indent) {
                        out.truncate(out.trim_end_matches(' ').len());
                    } else {
                        out.push('0');
                    }
                    out.extend(literal.chars().filter(|c| *c == '\n'));
                } else {
                    out.push_str(literal);
                }
                rest = after;
            }
            _ => {
                match c {
                    '(' | '[' | '{' => depth += 1,
                    ')' | ']' | '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
        fresh = false;
    }
    out
}

/// Whether a character is part of names, keywords and numbers.
fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.' || !c.is_ascii()
}

/// Whether the next line of code in `after` is indented at least this far.
fn block_goes_on(after: &str, indent: usize) -> bool {
    let code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let next = after.lines().skip(1).find(code);
    next.is_some_and(|line| line.len() - line.trim_start().len() >= indent)
}

/// The length in bytes of the string literal that `text` begins with, quotes included.
pub fn string_length(text: &str) -> usize {
    let quote = &text[..1];
    let triple = quote.repeat(3);
    let end = if text.starts_with(&triple) {
        triple.as_str()
    } else {
        quote
    };
    let mut at = end.len();
    while at < text.len() {
        let left = &text[at..];
        if left.starts_with(end) {
            return at + end.len();
        }
        let mut chars = left.chars();
        let escaped = chars.next() == Some('\\');
        at += left.chars().next().map_or(1, char::len_utf8);
        if escaped {
            at += chars.next().map_or(0, char::len_utf8);
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::strip;

    #[test]
    fn comments_and_docstrings_go_and_lines_stay() {
        let source =
            "# Owns x.\ndef f(a):\n    \"\"\"Says\n    more.\"\"\"\n    return '#' + a  # why\n";
        assert_eq!(strip(source), "\ndef f(a):\n\n\n return'#'+a\n");
    }

    #[test]
    fn a_docstring_that_is_all_of_its_block_becomes_a_statement() {
        let source =
            "class A(B):\n    '''Says.'''\n\n# x\nclass C(B):\n    '''Says.'''\n    a = 1\n";
        assert_eq!(strip(source), "class A(B):\n 0\n\n\nclass C(B):\n\n a=1\n");
    }

    #[test]
    fn continuation_lines_lose_their_indentation() {
        assert_eq!(
            strip("x = f(1,\n      'a')\nif x:\n    y(\n        2)\n"),
            "x=f(1,\n'a')\nif x:\n y(\n2)\n"
        );
    }

    #[test]
    fn quotes_and_escapes_in_strings_are_kept() {
        let source = "a='it\\'s # not'+\"'\"+'''x\n  # y'''\n";
        assert_eq!(strip(source), source);
    }
}
