//! The interpreter that a spec names (CS-16), as words of the remote script: its path and its arguments.

/// An interpreter as the script has it, quoted for sh.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Interpreter {
    /// The word behind `set --`.
    pub(super) candidate: String,
    /// The words in front of `-c`, each with a space behind it.
    pub(super) arguments: String,
}

/// Reads `PATH [-ARGUMENT ...]`. White space followed by a dash begins the arguments; a path may have spaces.
///
/// # Errors
/// A reason, where a word has a character that not every login shell passes on unchanged (BS-2).
pub(super) fn read(rpython: &str) -> Result<Interpreter, String> {
    let (path, arguments) = split(rpython.trim());
    let candidate = match path.strip_prefix("~/") {
        // The script runs in sh, which knows the home directory; a `~` in quotes it would take as it is.
        Some(below) if is_plain(below) => format!("\"$HOME/{below}\""),
        None if is_plain(path) && !path.starts_with('-') => format!("\"{path}\""),
        _ => {
            return Err(format!(
                "rpython={rpython:?} has characters that not every shell passes on unchanged; it takes a name or a path, ~/ for the home directory, and arguments after it: ~/venv/bin/python -S"
            ));
        }
    };
    let mut words = String::new();
    for argument in arguments {
        if !is_plain(argument) {
            return Err(format!(
                "the argument {argument:?} in rpython= has characters that not every shell passes on unchanged"
            ));
        }
        words.push_str(&format!("\"{argument}\" "));
    }
    Ok(Interpreter {
        candidate,
        arguments: words,
    })
}

/// The path, and the arguments behind the first white space that a dash follows.
fn split(text: &str) -> (&str, impl Iterator<Item = &str>) {
    let begins = text
        .char_indices()
        .find(|(at, character)| {
            let rest = text.get(at + character.len_utf8()..).unwrap_or_default();
            character.is_whitespace() && rest.trim_start().starts_with('-')
        })
        .map_or(text.len(), |(at, _)| at);
    let (path, rest) = text.split_at_checked(begins).unwrap_or((text, ""));
    (path, rest.split_whitespace())
}

/// Whether a word survives single quotes of every login shell and double quotes of sh.
fn is_plain(word: &str) -> bool {
    !word.is_empty()
        && !word
            .chars()
            .any(|c| c.is_control() || "'\"\\!$`@~".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::Bootstrap;

    fn words(rpython: &str) -> (String, String) {
        let Interpreter {
            candidate,
            arguments,
        } = read(rpython).unwrap();
        (candidate, arguments)
    }

    #[test]
    fn a_path_may_have_spaces_and_arguments_begin_with_a_dash() {
        for (rpython, candidate, arguments) in [
            ("python3", r#""python3""#, ""),
            (
                "/opt/python 3/bin/python",
                r#""/opt/python 3/bin/python""#,
                "",
            ),
            (
                "/opt/python 3/bin/python  -S  -X utf8",
                r#""/opt/python 3/bin/python""#,
                r#""-S" "-X" "utf8" "#,
            ),
            ("nice -n 10 python3", r#""nice""#, r#""-n" "10" "python3" "#),
            ("~/py -S", r#""$HOME/py""#, r#""-S" "#),
            ("a-b/py thon", r#""a-b/py thon""#, ""),
        ] {
            let expected = (candidate.to_owned(), arguments.to_owned());
            assert_eq!(words(rpython), expected, "{rpython}");
        }
    }

    #[test]
    fn what_a_shell_would_change_is_refused() {
        for name in [
            "", " ", "a'b", "$(x)", "$HOME/py", "-c", "~", "~/", "~me/py", "py -c'x'", "py -W @x",
        ] {
            assert!(read(name).is_err(), "{name}");
        }
    }

    #[test]
    fn home_is_that_of_the_shell_and_arguments_come_first() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let python = home.path().join("my py");
        std::fs::write(&python, "#!/bin/sh\necho \"$0 $1 $2 $3 $4\"\n").unwrap();
        std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
        let bootstrap = Bootstrap::new(Some("~/my py -S -X utf8")).unwrap();
        let output = std::process::Command::new("/bin/sh")
            .arg("-c")
            .arg(bootstrap.command())
            .env("HOME", home.path())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said, format!("{} -S -X utf8 -c\n", python.display()));
    }
}
