//! OpenSSH's patterns: `*` and `?`, and comma-separated lists with `!` in front of what must not match.

/// What a pattern list says about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A pattern matches and no negated one does.
    Match,
    /// A negated pattern matches; it outweighs all others.
    Negated,
    /// No pattern matches.
    NoMatch,
}

/// Whether `text` matches `pattern`, where `*` stands for any characters and `?` for one.
pub(crate) fn matches(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let pattern: Vec<char> = pattern.chars().collect();
    // The usual two-pointer walk: on a mismatch the last star takes one character more, so the
    // work is bounded by the product of the lengths and no pattern can blow up.
    let (mut t, mut p) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(c) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(q) if *q == '?' || q == c => {
                t += 1;
                p += 1;
            }
            _ => match star {
                Some((star_p, star_t)) => {
                    p = star_p + 1;
                    t = star_t + 1;
                    star = Some((star_p, star_t + 1));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

/// Matches `text` against a comma-separated list of patterns.
pub(crate) fn matches_list(text: &str, list: &str) -> Verdict {
    let mut verdict = Verdict::NoMatch;
    for pattern in list.split(',') {
        let (negated, pattern) = match pattern.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        if matches(text, pattern) {
            if negated {
                return Verdict::Negated;
            }
            verdict = Verdict::Match;
        }
    }
    verdict
}

/// Matches a host name, which knows no upper and lower case, against a pattern list.
pub(crate) fn matches_host(host: &str, list: &str) -> Verdict {
    matches_list(&host.to_lowercase(), &list.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_in_openssh() {
        for (text, pattern, expected) in [
            ("box", "box", true),
            ("box", "b?x", true),
            ("box", "b*", true),
            ("box", "*", true),
            ("", "*", true),
            ("", "", true),
            ("", "?", false),
            ("box", "Box", false),
            ("a.b.example.com", "*.example.com", true),
            ("example.com", "*.example.com", false),
            ("aaaaaaaaaaaaaaaaaaaaaaaaab", "*a*a*a*a*a*c", false),
            ("abcbc", "a*bc", true),
            ("box", "bo", false),
            ("bo", "box", false),
            ("bo", "bo**", true),
        ] {
            assert_eq!(matches(text, pattern), expected, "{text} against {pattern}");
        }
    }

    #[test]
    fn a_negated_pattern_outweighs_the_others() {
        assert_eq!(matches_list("a.dev", "*.dev,!b.dev"), Verdict::Match);
        assert_eq!(matches_list("b.dev", "*.dev,!b.dev"), Verdict::Negated);
        assert_eq!(matches_list("b.dev", "!b.dev,*.dev"), Verdict::Negated);
        assert_eq!(matches_list("c.org", "!b.dev"), Verdict::NoMatch);
        assert_eq!(matches_host("A.Dev", "*.dEV"), Verdict::Match);
    }
}
