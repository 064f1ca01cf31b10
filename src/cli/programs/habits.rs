//! What people type by habit of other programs, and the line that does what they meant.

use std::ffi::{OsStr, OsString};

use crate::cli::terminal::failure::Failure;

/// Both ways of copying.
pub(crate) const COPY_LINES: &str = "easycluster copy HOST... -- SOURCE... :DEST, or :SOURCE... DEST; a path of the hosts begins with a colon";

/// A command line as it should be typed, words quoted for a shell.
pub(crate) fn line<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    shlex::try_join(words.iter().copied()).unwrap_or_else(|_| words.join(" "))
}

/// `easycluster exec HOSTS -- COMMAND`.
pub(crate) fn exec_line(hosts: &[String], command: &[String]) -> String {
    let hosts = named(hosts);
    let words = ["easycluster", "exec"]
        .into_iter()
        .chain(hosts.iter().map(String::as_str))
        .chain(["--"])
        .chain(command.iter().map(String::as_str));
    line(words)
}

/// Hosts, or what stands for them where none were given.
pub(crate) fn named(hosts: &[String]) -> Vec<String> {
    if hosts.is_empty() {
        vec!["HOST...".to_owned()]
    } else {
        hosts.to_vec()
    }
}

/// What was typed, with `--` before the word that begins the command.
pub(crate) fn with_separator(typed: &[String], command: &str) -> String {
    let (before, command) = split_at(typed, command);
    let words = words_of(before);
    line(words.chain(["--"]).chain(words_of(command)))
}

/// What was typed, with `--script` before the word that is one, and `--` before its arguments.
pub(crate) fn with_script(typed: &[String], script: &str) -> String {
    let (before, script) = split_at(typed, script);
    let before = before.strip_suffix(&["--".to_owned()]).unwrap_or(before);
    let (file, arguments) = script.split_at(script.len().min(1));
    let separator: &[&str] = if arguments.is_empty() { &[] } else { &["--"] };
    let words = words_of(before).chain(["--script"]).chain(words_of(file));
    line(
        words
            .chain(separator.iter().copied())
            .chain(words_of(arguments)),
    )
}

/// What was typed, for another subcommand.
pub(crate) fn with_subcommand(typed: &[String], subcommand: &str) -> Vec<String> {
    let mut typed = typed.to_vec();
    if let Some(word) = typed.get_mut(1) {
        subcommand.clone_into(word);
    }
    typed
}

/// What was typed, with the script behind the hosts and `--`.
pub(crate) fn with_script_last(typed: &[String], script: &str, hosts: &[String]) -> String {
    let (before, after) = split_at(typed, script);
    let after = after.get(1..).unwrap_or_default();
    let nobody: &[&str] = if hosts.is_empty() { &["HOST..."] } else { &[] };
    let words = words_of(before).chain(words_of(after));
    line(words.chain(nobody.iter().copied()).chain(["--", script]))
}

/// The line that copies what was to be copied, where words were typed as for scp (`SOURCE HOST:PATH`) or only lack the `--`.
/// `words` are those that are no options, and `typed` is everything.
pub(crate) fn copy_line(typed: &[String], words: &[String]) -> Option<String> {
    let (dest, sources) = words.split_last()?;
    let of_hosts = |word: &String| word.starts_with(':');
    let first = match sources.iter().position(of_hosts) {
        Some(first) => first,
        None if of_hosts(dest) => sources.iter().position(is_here)?,
        None => return copy_line_of_scp(typed, dest, sources),
    };
    (first > 0).then(|| with_separator(typed, &words[first]))
}

fn is_here(word: &String) -> bool {
    std::path::Path::new(word).exists()
}

fn copy_line_of_scp(typed: &[String], dest: &str, sources: &[String]) -> Option<String> {
    let (host, paths) = match place_of_scp(dest) {
        Some((host, path)) if sources.iter().all(|source| place_of_scp(source).is_none()) => {
            let sources = sources.iter().cloned();
            (host, sources.chain([format!(":{path}")]).collect())
        }
        Some(_) => return None,
        None => {
            let places: Option<Vec<(&str, &str)>> =
                sources.iter().map(|it| place_of_scp(it)).collect();
            let places = places?;
            let (host, _) = places.first()?;
            if places.iter().any(|(other, _)| other != host) {
                return None;
            }
            let paths = places.iter().map(|(_, path)| format!(":{path}"));
            (*host, paths.chain([dest.to_owned()]).collect::<Vec<_>>())
        }
    };
    // Several may be hosts in front of the last one.
    let many_to = paths.last().is_some_and(|dest| dest.starts_with(':')) && sources.len() > 1;
    if sources.is_empty() || many_to && !sources.iter().all(is_here) {
        return None;
    }
    let is_option = |word: &&String| *word != dest && !sources.contains(word);
    let options = typed.iter().skip(2).filter(is_option);
    let words = ["easycluster", "copy"].into_iter();
    let words = words.chain(options.map(String::as_str)).chain([host, "--"]);
    Some(line(words.chain(words_of(&paths))))
}

/// `HOST:PATH`, as scp has it: neither a port nor an option of a spec behind the colon.
fn place_of_scp(word: &str) -> Option<(&str, &str)> {
    let from = word.find("]:").map_or(0, |end| end + 1);
    let (host, path) = word.split_at(from + word.get(from..)?.find(':')?);
    let path = path.get(1..)?;
    let first = path.split('/').next().unwrap_or_default();
    let is_spec =
        !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_digit()) || first.contains('=');
    (!host.is_empty() && !host.contains('/') && !is_spec).then_some((host, path))
}

fn words_of(words: &[String]) -> impl Iterator<Item = &str> {
    words.iter().map(String::as_str)
}

/// What was typed before a word and from it on. The first two words are the program and its subcommand.
fn split_at<'a>(typed: &'a [String], word: &str) -> (&'a [String], &'a [String]) {
    let place = typed.iter().skip(2).position(|known| known == word);
    typed.split_at(place.map_or(typed.len(), |place| place + 2))
}

/// Words of the command line for a hint.
pub(crate) fn texts(words: &[OsString]) -> Vec<String> {
    words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect()
}

/// Where hosts end and a command begins among words without a `--`: at the first that is no host's name by its looks, but is a
/// program in PATH here. The first word is always a host.
pub(crate) fn command_among(words: &[String]) -> Option<usize> {
    command_from(words, 1)
}

/// The same where the first `hosts` words are hosts.
pub(crate) fn command_from(words: &[String], hosts: usize) -> Option<usize> {
    let is_program = |word: &String| {
        !word.contains(['@', ':', '.'])
            && std::env::var_os("PATH").is_some_and(|path| {
                std::env::split_paths(&path).any(|folder| folder.join(word).is_file())
            })
    };
    let looks_so = |word: &String| word.contains([' ', '|', ';', '/', '$']) || is_program(word);
    (hosts..words.len()).find(|place| words.get(*place).is_some_and(looks_so))
}

/// Refuses what is a line for a shell where Python is expected: one line that begins with a word, and calls, assigns and tells Python
/// nothing, so that it would do nothing.
///
/// # Errors
///
/// With the line that does what was meant.
pub(crate) fn check_python(hosts: &[String], code: &str) -> Result<(), Failure> {
    const KEYWORDS: [&str; 18] = [
        "assert", "async", "break", "class", "continue", "def", "del", "from", "global", "import",
        "nonlocal", "pass", "print", "raise", "return", "try", "with", "yield",
    ];
    let code = code.trim();
    let first = code.split(char::is_whitespace).next().unwrap_or_default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let is_word = first.starts_with(|c: char| c.is_ascii_lowercase() || c == '/')
        && first.chars().all(is_name);
    if !is_word || KEYWORDS.contains(&first) || code.contains(['(', '=', ':', '\n', '[']) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "-c takes Python, and `{code}` does nothing in Python"
    ))
    .with_hint(format!(
        "for a shell command: {}",
        exec_line(hosts, &[code.to_owned()])
    )))
}

/// Whether a word names a file here.
pub(crate) fn is_file(word: &OsStr) -> bool {
    std::path::Path::new(word).is_file()
}

#[cfg(test)]
mod tests {
    use super::{check_python, command_among, copy_line, exec_line, with_script, with_separator};

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn what_was_typed_for_scp_is_copied() {
        for (typed, line) in [
            ("a.sh web1:/tmp", Some("web1 -- a.sh :/tmp")),
            ("/ /dev me@web1:", Some("me@web1 -- / /dev :")),
            ("a web1 web2:/tmp", None),
            ("web1:/etc/motd web1:x .", Some("web1 -- :/etc/motd :x .")),
            ("a [::1]:/tmp", Some("'[::1]' -- a :/tmp")),
            ("web1 :/etc/motd .", Some("web1 -- :/etc/motd .")),
            ("web1 web2 / :/tmp", Some("web1 web2 -- / :/tmp")),
            ("web1:/a web2:/b .", None),
            ("web1:/a web2:/b", None),
            ("web1 web2:2222", None),
            ("web1 web2:rpython=/usr/bin/python", None),
            ("web1", None),
            (":/a .", None),
        ] {
            let words = texts(&typed.split(' ').collect::<Vec<_>>());
            let all = [texts(&["easycluster", "copy"]), words.clone()].concat();
            let line = line.map(|line| format!("easycluster copy {line}"));
            assert_eq!(copy_line(&all, &words), line, "{typed}");
        }
    }

    #[test]
    fn a_shell_line_is_told_from_python() {
        let hosts = texts(&["web1"]);
        for code in [
            "uptime",
            "df -h",
            "cat /etc/hosts | wc",
            "/bin/true",
            "systemctl status nginx",
        ] {
            let failure = check_python(&hosts, code).expect_err(code);
            let hint = failure.hint.expect("hint");
            assert!(
                hint.starts_with("for a shell command: easycluster exec web1 -- "),
                "{hint}"
            );
        }
        for code in [
            "print(1)",
            "pass",
            "import os",
            "x = 1",
            "1/0",
            "raise SystemExit",
            "print 1",
            "for x in y: pass",
            "X",
            "'text'",
            "",
        ] {
            assert!(check_python(&hosts, code).is_ok(), "{code}");
        }
    }

    #[test]
    fn the_line_is_one_to_be_typed() {
        assert_eq!(
            exec_line(&texts(&["web1"]), &texts(&["ps aux | wc -l"])),
            "easycluster exec web1 -- 'ps aux | wc -l'"
        );
        assert_eq!(
            exec_line(&[], &texts(&["uptime"])),
            "easycluster exec HOST... -- uptime"
        );
    }

    #[test]
    fn what_was_typed_keeps_its_options() {
        let typed = texts(&["easycluster", "exec", "-j", "5", "web1", "ls", "-la"]);
        assert_eq!(
            with_separator(&typed, "ls"),
            "easycluster exec -j 5 web1 -- ls -la"
        );
        assert_eq!(
            with_script(&typed, "ls"),
            "easycluster exec -j 5 web1 --script ls -- -la"
        );
        let typed = texts(&["easycluster", "exec", "web1", "--", "x.sh"]);
        assert_eq!(
            with_script(&typed, "x.sh"),
            "easycluster exec web1 --script x.sh"
        );
    }

    #[test]
    fn a_command_is_found_behind_the_hosts() {
        assert_eq!(
            command_among(&texts(&["web1", "web2", "ls", "-l"])),
            Some(2)
        );
        assert_eq!(command_among(&texts(&["ls", "web2"])), None);
        assert_eq!(command_among(&texts(&["web1", "ps aux"])), Some(1));
    }
}
