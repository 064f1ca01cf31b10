//! `Match`: whether the criteria of a line hold.

use crate::process;
use crate::transport::ssh::config::pattern::{Verdict, matches_host, matches_list};
use crate::transport::ssh::config::tokens::Tokens;

/// What the criteria are held against.
pub(crate) struct Facts<'a> {
    pub(crate) host: String,
    pub(crate) original: &'a str,
    pub(crate) user: &'a str,
    pub(crate) last_pass: bool,
    pub(crate) tokens: &'a Tokens,
}

/// How the criteria came out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) applies: bool,
    /// `final` was named, so the files are read a second time.
    pub(crate) wants_last_pass: bool,
    /// Criteria that this reader does not know.
    pub(crate) beyond: Vec<String>,
}

/// Evaluates the text behind `Match`.
pub(crate) fn evaluate(text: &str, facts: &Facts<'_>) -> Result<Outcome, String> {
    let mut outcome = Outcome {
        applies: true,
        ..Outcome::default()
    };
    let words = split(text)?;
    let mut words = words.iter();
    let mut count = 0;
    while let Some(word) = words.next() {
        let (negated, criterion) = match word.strip_prefix('!') {
            Some(rest) => (true, rest.to_lowercase()),
            None => (false, word.to_lowercase()),
        };
        let holds = match criterion.as_str() {
            "all" => {
                // The manual takes it alone or behind `final` and `canonical`; OpenSSH behind any single one.
                if count > 1 || words.next().is_some() {
                    return Err("'all' stands alone in Match, or behind 'final'".to_owned());
                }
                true
            }
            "final" | "canonical" => {
                outcome.wants_last_pass |= criterion == "final";
                facts.last_pass
            }
            "host" | "originalhost" | "user" | "localuser" | "exec" => {
                let value = words
                    .next()
                    .filter(|value| !value.is_empty())
                    .ok_or_else(|| format!("Match {criterion} lacks its value"))?;
                match criterion.as_str() {
                    "host" => matches_host(&facts.host, value) == Verdict::Match,
                    "originalhost" => matches_host(facts.original, value) == Verdict::Match,
                    "user" => matches_list(facts.user, value) == Verdict::Match,
                    "localuser" => matches_list(&facts.tokens.local.user, value) == Verdict::Match,
                    // Commands run only if all that stands before holds.
                    _ => outcome.applies && succeeds(value, facts.tokens)?,
                }
            }
            "localnetwork" | "tagged" | "sessiontype" | "command" | "version" => {
                outcome.beyond.push(format!("Match {criterion}"));
                words.next();
                false
            }
            other => return Err(format!("Match does not know '{other}'")),
        };
        count += 1;
        if holds == negated {
            outcome.applies = false;
        }
    }
    if count == 0 {
        return Err("Match lacks its criteria".to_owned());
    }
    Ok(outcome)
}

/// Splits at blanks and at one equals sign, with double quotes; a `#` ends the line.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (word, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("a quote is not closed")?,
            None => {
                let end = rest
                    .find(|c: char| c.is_whitespace() || c == '=')
                    .unwrap_or(rest.len());
                let (word, behind) = rest.split_at(end);
                (word, behind)
            }
        };
        found.push(word.to_owned());
        let behind = behind.trim_start();
        rest = behind.strip_prefix('=').unwrap_or(behind).trim_start();
    }
    Ok(found)
}

/// Runs a `Match exec` command by the user's shell, as OpenSSH does.
fn succeeds(command: &str, tokens: &Tokens) -> Result<bool, String> {
    let command = tokens.expand_for("match exec", command)?;
    process::succeeds(process::user_line(&command)).map_err(|error| {
        let shell = process::user_shell();
        format!("Match exec: {}: {error}", shell.to_string_lossy())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applies(text: &str, last_pass: bool) -> Result<bool, String> {
        let tokens = Tokens {
            hostname: "box.example.com".into(),
            original: "box".into(),
            user: "alice".into(),
            port: 22,
            local: crate::transport::ssh::config::tokens::Local {
                user: "me".into(),
                ..Default::default()
            },
            ..Tokens::default()
        };
        let facts = Facts {
            host: "box.example.com".into(),
            original: "box",
            user: "alice",
            last_pass,
            tokens: &tokens,
        };
        evaluate(text, &facts).map(|outcome| outcome.applies)
    }

    #[test]
    fn criteria_are_all_needed() {
        for (text, expected) in [
            ("all", true),
            ("!all", false),
            ("host box*", true),
            ("host=box*", true),
            ("host box", false),
            ("!host box", true),
            ("originalhost box", true),
            ("originalhost box,other user alice", true),
            ("user bob", false),
            ("user bob,alice", true),
            ("user *,!alice", false),
            ("localuser me", true),
            ("!localuser me", false),
            ("exec true", true),
            ("exec \"test %h = box.example.com\"", true),
            ("exec false", false),
            ("!exec false", true),
            ("final", false),
            ("!final", true),
            ("final all", false),
            ("!final all # all", true),
            ("final !all", false),
            ("host box* all", true),
            ("host box* # all", true),
        ] {
            assert_eq!(applies(text, false), Ok(expected), "{text}");
        }
        assert_eq!(applies("final", true), Ok(true));
        for bad in [
            "",
            "host",
            "host \"\"",
            "all host box",
            "host box user alice all",
            "final canonical all",
            "nonsense x",
        ] {
            assert!(applies(bad, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_command_runs_only_if_what_stands_before_holds() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("ran");
        let text = format!("user bob exec \"touch {}\"", mark.display());
        assert_eq!(applies(&text, false), Ok(false));
        assert!(!mark.exists());
        let text = format!("user alice exec \"touch {}\"", mark.display());
        assert_eq!(applies(&text, false), Ok(true));
        assert!(mark.exists());
    }
}
