//! The program that `run` sends out: a piece of code, a script of this machine, or what stdin holds.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::Path;

use crate::Value;
use crate::cli::terminal::failure::Failure;

/// The Python function that runs a program on the other side; `call` it as `run_program`.
pub(crate) const RUNNER: &str = include_str!("../../../../bootstrap_py/helpers/run_program.py");

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) source: Vec<u8>,
    /// What tracebacks call it.
    pub(crate) filename: String,
    /// `sys.argv`, the program's own name first.
    pub(crate) argv: Vec<OsString>,
}

impl Program {
    /// `sys.argv` as it is sent: text, or bytes where that is not UTF-8.
    pub(crate) fn sent_argv(&self) -> Vec<Value> {
        self.argv
            .iter()
            .map(|word| match word.to_str() {
                Some(text) => Value::Str(text.to_owned()),
                None => Value::Bytes(word.as_encoded_bytes().to_vec()),
            })
            .collect()
    }

    /// As `python -c CODE ARGS` has it.
    pub(crate) fn from_code(code: &str, arguments: &[OsString]) -> Program {
        Program {
            source: code.as_bytes().to_vec(),
            filename: "<string>".to_owned(),
            argv: with_name(OsStr::new("-c"), arguments),
        }
    }

    /// As `python SCRIPT ARGS` has it; `-` reads the script from stdin.
    ///
    /// # Errors
    ///
    /// Where the script cannot be read.
    pub(crate) fn from_script(script: &OsStr, arguments: &[OsString]) -> Result<Program, Failure> {
        let (source, filename) = if script == "-" {
            let mut source = Vec::new();
            std::io::stdin()
                .lock()
                .read_to_end(&mut source)
                .map_err(|error| {
                    Failure::usage(format!("cannot read the script from stdin: {error}"))
                })?;
            (source, "<stdin>".to_owned())
        } else {
            let source = std::fs::read(script).map_err(|error| {
                Failure::usage(format!(
                    "cannot read the script {}: {error}",
                    script.display()
                ))
                .with_hint("the script is a file of this machine; for a line of code use -c")
            })?;
            (source, script.to_string_lossy().into_owned())
        };
        Ok(Program {
            source,
            filename,
            argv: with_name(script, arguments),
        })
    }
}

fn with_name(name: &OsStr, arguments: &[OsString]) -> Vec<OsString> {
    std::iter::once(name.to_owned())
        .chain(arguments.iter().cloned())
        .collect()
}

/// Takes apart what stands before and after `--`: hosts, and the program.
///
/// A lone `-` as the last word before `--` also means the script on stdin, because no host is called so.
///
/// # Errors
///
/// Where there is no program, or two.
pub(crate) fn separate(
    mut specs: Vec<String>,
    code: Option<&str>,
    rest: &[OsString],
) -> Result<(Vec<String>, Program), Failure> {
    let lone_dash = specs.iter().position(|spec| spec == "-");
    if let Some(place) = lone_dash {
        if code.is_some() || !rest.is_empty() || place + 1 != specs.len() {
            return Err(Failure::usage("`-` is among the hosts")
                .with_hint("put `--` before the script: easycluster run HOST... -- - ARGS"));
        }
        specs.truncate(place);
        return Ok((specs, Program::from_script(OsStr::new("-"), &[])?));
    }
    match (code, rest.split_first()) {
        (Some(code), _) => Ok((specs, Program::from_code(code, rest))),
        (None, Some((script, arguments))) => Ok((specs, Program::from_script(script, arguments)?)),
        (None, None) => Err(missing(&specs)),
    }
}

/// The error for a command line without a program. Most often only the `--` is missing.
fn missing(specs: &[String]) -> Failure {
    let failure = Failure::usage("no program is given");
    match specs.iter().position(|spec| Path::new(spec).is_file()) {
        Some(place) => {
            let (hosts, script) = specs.split_at(place);
            let hosts = if hosts.is_empty() {
                "HOST...".to_owned()
            } else {
                hosts.join(" ")
            };
            failure.with_hint(format!(
                "put `--` before the script: easycluster run {hosts} -- {}",
                script.join(" ")
            ))
        }
        None => {
            failure.with_hint("give code with -c CODE, or a script behind `--`: -- SCRIPT ARGS")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Program, separate};

    use std::ffi::OsString;

    fn words<T: From<String>>(text: &str) -> Vec<T> {
        text.split_whitespace()
            .map(|word| T::from(word.to_owned()))
            .collect()
    }

    #[test]
    fn code_takes_the_words_behind_the_separator_as_arguments() {
        let (specs, program) =
            separate(words("a b"), Some("print(1)"), &words("x -y")).expect("separate");
        assert_eq!(specs, ["a", "b"]);
        assert_eq!(program, Program::from_code("print(1)", &words("x -y")));
        assert_eq!(program.argv, ["-c", "x", "-y"]);
    }

    #[test]
    fn a_script_stands_behind_the_separator() {
        let folder = tempfile::tempdir().expect("folder");
        let script = folder.path().join("check.py");
        std::fs::write(&script, "pass\n").expect("script");
        let script = script.to_str().expect("path").to_owned();
        let rest = [OsString::from(&script), OsString::from("--fast")];
        let (specs, program) = separate(words("a"), None, &rest).expect("separate");
        assert_eq!(specs, ["a"]);
        assert_eq!(program.source, b"pass\n");
        assert_eq!(program.filename, script);
        assert_eq!(program.argv, rest);
        // Without the separator the error shows the whole command as it should be.
        let failure = separate(vec!["a".to_owned(), script.clone()], None, &[]).expect_err("none");
        let hint = failure.hint.expect("hint");
        assert!(
            hint.ends_with(&format!("easycluster run a -- {script}")),
            "{hint}"
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(separate(words("a b"), None, &[]).is_err());
        assert!(separate(words("a - b"), None, &[]).is_err());
        assert!(separate(words("a -"), Some("1"), &[]).is_err());
        let failure = separate(words("a"), None, &words("/nonexistent/x.py")).expect_err("absent");
        assert!(failure.message.contains("/nonexistent/x.py"));
    }
}
