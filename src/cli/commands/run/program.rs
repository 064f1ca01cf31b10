//! The program that `run` sends out: a piece of code, a module there, a script of this machine, or what stdin holds.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::Value;
use crate::cli::programs::habits::{
    self, command_from, exec_line, texts, with_script, with_separator, with_subcommand,
};
use crate::cli::programs::script::{self, Script};
use crate::cli::terminal::failure::Failure;
use crate::stub::program::PythonProgram;
use crate::transport::tail;

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) source: Vec<u8>,
    /// A module of the other side to run instead of a source.
    pub(crate) module: Option<String>,
    /// What tracebacks call it.
    pub(crate) filename: String,
    /// `sys.argv`, the program's own name first.
    pub(crate) argv: Vec<OsString>,
}

/// What `run` is to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Python.
    Program(Program),
    /// A script whose first line names another interpreter, and its arguments.
    Script(Script, Vec<OsString>),
}

impl What {
    /// Whether it was read from stdin.
    pub(crate) fn is_of_stdin(&self) -> bool {
        match self {
            What::Program(program) => program.filename == script::STDIN,
            What::Script(script, _) => script.is_of_stdin(),
        }
    }
}

impl Program {
    /// The same as it runs without a stub.
    pub(crate) fn alone(self) -> PythonProgram {
        let argv = self.argv.into_iter().map(OsString::into_encoded_bytes);
        PythonProgram {
            source: self.source.into(),
            filename: self.filename,
            argv: argv.collect(),
            environment: Vec::new(),
            folder: None,
        }
    }

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

    /// Whether it may ask more of a stub than to be run: it names the module `easycluster`, or is a module of the host, which may.
    pub(crate) fn needs_calls(&self) -> bool {
        self.module.is_some() || tail::find(&self.source, b"easycluster").is_some()
    }

    /// As `python -c CODE ARGS` has it.
    pub(crate) fn from_code(code: &str, arguments: &[OsString]) -> Program {
        Program {
            source: code.as_bytes().to_vec(),
            module: None,
            filename: "<string>".to_owned(),
            argv: with_name(OsStr::new("-c"), arguments),
        }
    }

    /// As `python -m MODULE ARGS` has it; the module is one of the other side.
    fn from_module(module: &str, arguments: &[OsString]) -> Program {
        Program {
            source: Vec::new(),
            module: Some(module.to_owned()),
            filename: module.to_owned(),
            argv: with_name(OsStr::new("-m"), arguments),
        }
    }

    /// As `python SCRIPT ARGS` has it.
    fn from_script(script: Script, name: &OsStr, arguments: &[OsString]) -> Program {
        Program {
            source: script.text,
            module: None,
            filename: script.name,
            argv: with_name(name, arguments),
        }
    }
}

fn with_name(name: &OsStr, arguments: &[OsString]) -> Vec<OsString> {
    std::iter::once(name.to_owned())
        .chain(arguments.iter().cloned())
        .collect()
}

/// How the program is given, beside what stands behind `--`.
#[derive(Debug, Default)]
pub(crate) struct Given<'a> {
    pub(crate) code: Option<&'a str>,
    pub(crate) module: Option<&'a str>,
    pub(crate) script: Option<&'a OsStr>,
    /// Files name hosts too, so that the first word may be a command.
    pub(crate) by_files: bool,
    /// All words of the command line.
    pub(crate) typed: &'a [String],
}

/// Takes apart what stands before and after `--`: hosts, and the program.
///
/// A lone `-` as the last word before `--` also means the script on stdin, because no host is called so.
///
/// # Errors
///
/// Where there is no program, or two; with the line that does what was meant.
pub(crate) fn separate(
    mut specs: Vec<String>,
    given: &Given<'_>,
    rest: &[OsString],
) -> Result<(Vec<String>, What), Failure> {
    let named = given.code.is_some() || given.module.is_some() || given.script.is_some();
    let lone_dash = specs.iter().position(|spec| spec == "-");
    if let Some(place) = lone_dash {
        if named || !rest.is_empty() || place + 1 != specs.len() {
            return Err(Failure::usage("`-` is among the hosts")
                .with_hint("put `--` before the script: easycluster run HOST... -- - ARGS"));
        }
        specs.truncate(place);
        let what = from_file(&specs, given, OsStr::new("-"), &[])?;
        return Ok((specs, what));
    }
    let what = match (given, rest.split_first()) {
        (
            Given {
                code: Some(code), ..
            },
            _,
        ) => {
            habits::check_python(&specs, code)?;
            What::Program(Program::from_code(code, rest))
        }
        (
            Given {
                module: Some(module),
                ..
            },
            _,
        ) => What::Program(Program::from_module(module, rest)),
        (
            Given {
                script: Some(script),
                ..
            },
            _,
        ) => from_file(&specs, given, script, rest)?,
        (_, Some((script, arguments))) => from_file(&specs, given, script, arguments)?,
        (_, None) => return Err(missing(&specs, given)),
    };
    Ok((specs, what))
}

/// A script by its file; its first line says what runs it.
fn from_file(
    specs: &[String],
    given: &Given<'_>,
    path: &OsStr,
    arguments: &[OsString],
) -> Result<What, Failure> {
    let script = Script::read(path, || {
        let mut words = vec![path.to_string_lossy().into_owned()];
        words.extend(texts(arguments));
        if let ("-c" | "-m", [option, value, more @ ..]) = (path.to_str().unwrap_or(""), &words[..])
        {
            let hosts = habits::named(specs);
            let before = ["easycluster", "run"].into_iter();
            let before = before
                .chain(hosts.iter().map(String::as_str))
                .chain([&**option, value]);
            let separator = (!more.is_empty()).then_some("--");
            let after = separator.into_iter().chain(more.iter().map(String::as_str));
            return format!(
                "{option} stands before `--`: {}",
                habits::line(before.chain(after))
            );
        }
        format!(
            "the script is a file of this machine; a shell command is run by: {}",
            exec_line(specs, &words)
        )
    })?;
    if script.ends_in(&["sh", "bash"]) {
        let typed = with_subcommand(given.typed, "exec");
        let line = match given.script {
            Some(_) => habits::line(typed.iter().map(String::as_str)),
            None => with_script(&typed, &script.name),
        };
        return Err(Failure::usage(format!(
            "the first line of {} names no interpreter, and Python cannot run a shell script",
            script.name
        ))
        .with_hint(format!("for a script of sh: {line}")));
    }
    if script.is_python() {
        return Ok(What::Program(Program::from_script(script, path, arguments)));
    }
    Ok(What::Script(script, arguments.to_vec()))
}

/// The error for a command line without a program. Most often only the `--` is missing.
fn missing(specs: &[String], given: &Given<'_>) -> Failure {
    let failure = Failure::usage("no program is given");
    let first = usize::from(!given.by_files);
    if let Some(place) = specs.iter().position(|spec| Path::new(spec).is_file()) {
        let (script, typed) = (&specs[place], given.typed);
        return failure.with_hint(if place < first {
            let line = habits::with_script_last(typed, script, &specs[1..]);
            format!("the hosts come first, and the script behind `--`: {line}")
        } else {
            let line = with_separator(typed, script);
            format!("put `--` before the script: {line}")
        });
    }
    let command = command_from(specs, first);
    failure.with_hint(match command.and_then(|place| specs.get(place)) {
        Some(command) => format!(
            "for a shell command: {}",
            with_separator(given.typed, command).replacen(" run ", " exec ", 1)
        ),
        None => format!(
            "give code with -c CODE, a module with -m MODULE, or a script behind `--`; for a shell command: {}",
            exec_line(specs, &["COMMAND".to_owned()])
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::{Given, Program, What, separate};

    use std::ffi::OsString;

    fn words<T: From<String>>(text: &str) -> Vec<T> {
        text.split_whitespace()
            .map(|word| T::from(word.to_owned()))
            .collect()
    }

    const NOTHING: Given<'_> = Given {
        code: None,
        module: None,
        script: None,
        by_files: false,
        typed: &[],
    };

    fn code(code: &str) -> Given<'_> {
        Given {
            code: Some(code),
            ..NOTHING
        }
    }

    fn program(what: What) -> Program {
        match what {
            What::Program(program) => program,
            What::Script(..) => panic!("{what:?}"),
        }
    }

    #[test]
    fn code_takes_the_words_behind_the_separator_as_arguments() {
        let (specs, what) =
            separate(words("a b"), &code("print(1)"), &words("x -y")).expect("separate");
        let program = program(what);
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
        let (specs, what) = separate(words("a"), &NOTHING, &rest).expect("separate");
        let program = program(what);
        assert_eq!(specs, ["a"]);
        assert_eq!(program.source, b"pass\n");
        assert_eq!(program.filename, script);
        assert_eq!(program.argv, rest);
        let line = ["easycluster", "run", "a", &script].map(str::to_owned);
        let typed = Given {
            typed: &line,
            ..NOTHING
        };
        // Without the separator the error shows the whole command as it should be.
        let failure =
            separate(vec!["a".to_owned(), script.clone()], &typed, &[]).expect_err("none");
        let hint = failure.hint.expect("hint");
        assert!(
            hint.ends_with(&format!("easycluster run a -- {script}")),
            "{hint}"
        );
        // By its first line another interpreter runs it, and Python is not asked for.
        std::fs::write(&script, "#!/bin/sh\necho\n").expect("script");
        let (_, what) = separate(words("a"), &NOTHING, &rest).expect("separate");
        assert!(matches!(what, What::Script(_, arguments) if arguments == ["--fast"]));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(separate(words("a b"), &NOTHING, &[]).is_err());
        assert!(separate(words("a - b"), &NOTHING, &[]).is_err());
        assert!(separate(words("a -"), &code("1"), &[]).is_err());
        let absent = words("/nonexistent/x.py");
        let failure = separate(words("a"), &NOTHING, &absent).expect_err("absent");
        assert!(failure.message.contains("/nonexistent/x.py"));
    }
}
