//! The logs of GitHub Actions and GitLab: what commands them, and how text of others is kept from doing so.

use std::env;

/// A log that reads commands out of what a program prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ci {
    GitHub,
    GitLab,
}

impl Ci {
    /// The one that this program's output goes to, by the environment.
    pub(crate) fn of_environment() -> Option<Ci> {
        let is = |name: &str| env::var_os(name).is_some_and(|value| value == "true");
        if is("GITHUB_ACTIONS") {
            Some(Ci::GitHub)
        } else if is("GITLAB_CI") {
            Some(Ci::GitLab)
        } else {
            None
        }
    }
}

/// Marks that command a log wherever they stand in a line, and what is shown instead of each.
const ANYWHERE: [(&str, &str); 3] = [
    ("##[", "##\\["),
    ("section_start:", "section_start\\:"),
    ("section_end:", "section_end\\:"),
];

/// A line of others, which commands no log. A backslash stands in what would have.
///
/// The runner of GitHub takes `::` for a command at the start of a line, blanks before it or not, and `##[` anywhere. Sections of
/// GitLab may begin and end anywhere too.
pub(crate) fn defused(line: &str) -> String {
    let mut safe = line.to_owned();
    for (mark, instead) in ANYWHERE {
        safe = safe.replace(mark, instead);
    }
    let nothing_before = |before: &str| !before.chars().any(|c| c.is_ascii_graphic());
    match safe.split_once("::") {
        Some((before, after)) if nothing_before(before) => format!("{before}:\\:{after}"),
        _ => safe,
    }
}

/// The same for a text of several lines, if it goes to a log that reads commands.
pub(crate) fn defused_here(text: String) -> String {
    if Ci::of_environment().is_none() {
        return text;
    }
    let lines: Vec<String> = text.split('\n').map(defused).collect();
    lines.join("\n")
}

/// The same for a line of JSON of ours, in which a mark can stand within texts only. A parser reads what it was.
pub(crate) fn defused_json_here(text: String) -> String {
    if Ci::of_environment().is_none() {
        return text;
    }
    text.replace("##[", "#\\u0023[")
        .replace("section_start:", "section_start\\u003a")
        .replace("section_end:", "section_end\\u003a")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::defused;

    #[test]
    fn what_commands_a_log_is_shown_and_does_not() {
        for (line, shown) in [
            ("::error::x", ":\\:error::x"),
            (
                " \t\u{feff}\u{3000}::add-mask::x",
                " \t\u{feff}\u{3000}:\\:add-mask::x",
            ),
            ("\x1b[31m::error::x", "\x1b[31m::error::x"),
            ("see ##[error]x", "see ##\\[error]x"),
            ("####[[group]x", "####\\[[group]x"),
            ("section_end:1:x", "section_end\\:1:x"),
            ("at ::1 and a::b", "at ::1 and a::b"),
            ("::1", ":\\:1"),
        ] {
            assert_eq!(defused(line), shown);
        }
    }

    proptest! {
        #[test]
        fn no_line_commands_a_log(line in "[:#\\[\\]a \t\\\\_s]{0,20}(::|##\\[|section_end:|section_start:)?[:#\\[ e]{0,20}") {
            let safe = defused(&line);
            prop_assert!(!safe.trim_start().starts_with("::"), "{safe:?}");
            for mark in ["##[", "section_start:", "section_end:"] {
                prop_assert!(!safe.contains(mark), "{safe:?}");
            }
        }
    }
}
