//! A script of this machine: its text, and by its first line, what runs it.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::cli::terminal::failure::Failure;
use crate::files::{read_at_most, rest_at_most};

/// Where a command finds the script that was sent to it.
const PLACE: &str = "/dev/fd/9";

/// What a script is called that was read from stdin.
pub(crate) const STDIN: &str = "<stdin>";

/// The most bytes of a script; longer than any that somebody wrote, and what a device without an end stops at.
const MOST: u64 = 256 << 20;

/// A script and what its first line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) text: Vec<u8>,
    /// The name by which it was given; `<stdin>` for what was read there.
    pub(crate) name: String,
}

impl Script {
    /// Reads a file, or stdin for `-`.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, or is longer than [`MOST`] bytes; `hint` says what to do then.
    pub(crate) fn read(path: &OsStr, hint: impl FnOnce() -> String) -> Result<Script, Failure> {
        if path == "-" {
            let mut text = Vec::new();
            let read = rest_at_most(std::io::stdin().lock(), MOST, &mut text);
            read.map_err(|error| {
                Failure::usage(format!("cannot read the script from stdin: {error}"))
            })?;
            return Ok(Script::new(text, STDIN.to_owned()));
        }
        let text = read_at_most(Path::new(path), MOST).map_err(|error| {
            Failure::usage(format!(
                "cannot read the script {}: {error}",
                path.display()
            ))
            .with_hint(hint())
        })?;
        Ok(Script::new(text, path.to_string_lossy().into_owned()))
    }

    /// The mark that editors of Windows begin files with would hide what the first line says.
    fn new(mut text: Vec<u8>, name: String) -> Script {
        if text.starts_with(b"\xef\xbb\xbf#!") {
            text.drain(..3);
        }
        Script { text, name }
    }

    pub(crate) fn is_of_stdin(&self) -> bool {
        self.name == STDIN
    }

    /// The interpreter of the first line, and the one argument that it may have, as the system takes it.
    pub(crate) fn interpreter(&self) -> Option<Vec<String>> {
        let line = self.text.strip_prefix(b"#!")?;
        let line = line.split(|byte| *byte == b'\n').next()?;
        let line = String::from_utf8_lossy(line);
        let (program, argument) = match line.trim().split_once([' ', '\t']) {
            Some((program, argument)) => (program, Some(argument.trim())),
            None => (line.trim(), None),
        };
        if program.is_empty() {
            return None;
        }
        let words = std::iter::once(program).chain(argument);
        Some(words.map(str::to_owned).collect())
    }

    /// Whether it is a file that ends so, and its first line names no interpreter that would say more.
    pub(crate) fn ends_in(&self, endings: &[&str]) -> bool {
        let ending = Path::new(&self.name).extension();
        self.interpreter().is_none() && endings.iter().any(|it| ending == Some(OsStr::new(it)))
    }

    /// Whether the first line names no other interpreter than Python.
    pub(crate) fn is_python(&self) -> bool {
        let Some(words) = self.interpreter() else {
            return true;
        };
        // `/usr/bin/env -S python3 -u` and the like.
        let mut names = words
            .iter()
            .flat_map(|word| word.split_whitespace())
            .filter(|word| !word.starts_with('-'))
            .map(|word| word.rsplit('/').next().unwrap_or(word));
        let name = names.find(|name| *name != "env").unwrap_or_default();
        name.starts_with("python") || name.starts_with("pypy")
    }

    /// The words by which the other side runs it: what its first line says, or `sh`.
    pub(crate) fn words(&self, arguments: &[OsString]) -> Vec<Vec<u8>> {
        let interpreter = self
            .interpreter()
            .unwrap_or_else(|| vec!["/bin/sh".to_owned()]);
        interpreter
            .into_iter()
            .chain([PLACE.to_owned()])
            .map(String::into_bytes)
            .chain(
                arguments
                    .iter()
                    .map(|word| word.as_encoded_bytes().to_vec()),
            )
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Script;

    fn script(text: &str) -> Script {
        Script {
            text: text.into(),
            name: "x".to_owned(),
        }
    }

    #[test]
    fn the_first_line_names_the_interpreter() {
        let words = |text| script(text).interpreter();
        assert_eq!(words("#!/bin/sh\nx").unwrap(), ["/bin/sh"]);
        assert_eq!(
            words("#! /bin/sh -e -u \r\nx").unwrap(),
            ["/bin/sh", "-e -u"]
        );
        assert_eq!(
            words("#!/usr/bin/env bash").unwrap(),
            ["/usr/bin/env", "bash"]
        );
        assert_eq!(
            (words("echo"), words("#!\n"), words("")),
            (None, None, None)
        );
    }

    #[test]
    fn python_is_known_by_its_name() {
        for text in [
            "",
            "print(1)",
            "#!/usr/bin/python",
            "#!/usr/bin/env python3",
            "#!/usr/bin/env -S python3.12 -u",
            "#!/opt/pypy3",
        ] {
            assert!(script(text).is_python(), "{text}");
        }
        for text in ["#!/bin/sh", "#!/usr/bin/env bash", "#!/usr/bin/perl -w"] {
            assert!(!script(text).is_python(), "{text}");
        }
    }
}
