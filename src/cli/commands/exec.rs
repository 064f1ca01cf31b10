//! `easycluster exec`: a shell command or a script on many machines at once, by sshd alone.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use crate::cli::many::{self, ManyOptions};
use crate::cli::programs::habits::{
    self, command_from, exec_line, is_file, with_script, with_separator, with_subcommand,
};
use crate::cli::programs::script::Script;
use crate::cli::programs::shell::{Shell, Work};
use crate::cli::programs::{Environment, ProgramOptions};
use crate::cli::terminal::failure::Failure;
use crate::cli::terminal::hosts::{HostOptions, Target};
use crate::command::CommandLine;

const EXAMPLES: &str = "\
Examples:
  A command on two machines:
    easycluster exec admin@web1 admin@web2 -- uptime
  A line for the shell there, in quotes:
    easycluster exec admin@web1 -- 'df -h / | tail -1'
  A script of this machine and its arguments; its first line names what runs it:
    easycluster exec admin@web1 admin@web2 --script check.sh -- --fast
  A token that neither `ps` nor the output shows:
    easycluster exec -f hosts.txt --secret TOKEN -- 'curl -H \"X: $TOKEN\" localhost'
  A file for each host's standard input:
    easycluster exec -f hosts.txt --stdin all -- 'cat > motd' < motd

Hosts are given before `--`, the command after it. One word is a line for the
account's own shell, as with ssh; several are a program and its arguments,
which no shell looks at.

The hosts need sshd and a POSIX /bin/sh, and no Python. The command sees
EASYCLUSTER_HOST, EASYCLUSTER_NUMBER (from 0) and EASYCLUSTER_COUNT. Ctrl-C
interrupts it, --timeout terminates it, and all that it has started ends with it,
but for what made a session or a process group of its own (setsid).

Output, --json and exit status are those of `run`; see there.";

const USAGE: &str = "easycluster exec [OPTIONS] HOST... -- COMMAND [ARGS]
       easycluster exec [OPTIONS] HOST... --script FILE [-- ARGS]";

/// Run a shell command on many machines at once; they need no Python
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES, override_usage = USAGE)]
pub(crate) struct Arguments {
    #[command(flatten)]
    hosts: HostOptions,
    #[command(flatten)]
    many: ManyOptions,
    #[command(flatten)]
    program: ProgramOptions,
    /// Run this script of this machine there, by what its first line names, or else by sh; `-` reads it from stdin
    #[arg(long, value_name = "FILE")]
    script: Option<OsString>,
    /// For those who take this for `run` or `sh`
    #[arg(short = 'c', hide = true, value_name = "LINE")]
    code: Option<String>,
    /// All words of the command line.
    #[arg(skip)]
    pub(crate) typed: Vec<String>,
    /// The command; one word is a line for the shell
    #[arg(last = true, value_name = "COMMAND [ARGS]")]
    command: Vec<OsString>,
}

pub(crate) fn main(arguments: Arguments) -> Result<i32, Failure> {
    let Arguments {
        hosts,
        many,
        program,
        script,
        code,
        typed,
        command,
    } = arguments;
    let named = Named {
        specs: &hosts.specs,
        by_files: !hosts.files.is_empty() || !hosts.inventory.is_empty(),
        typed: &typed,
    };
    let (line, script) = what(&named, script, code, &command)?;
    let of_stdin = script.as_ref().is_some_and(Script::is_of_stdin);
    let work = Work::Command(line, script.map(|script| script.text.into()));
    let (targets, taken) = chosen(&hosts, &many, &hosts.specs, of_stdin)?;
    run("exec", work, targets, taken, &many, &program)
}

/// The hosts of the command, and what stdin holds beside a program's input. `of_stdin`: the script was read from there.
///
/// # Errors
///
/// Where there are none, or stdin is to hold two things.
pub(crate) fn chosen(
    hosts: &HostOptions,
    many: &ManyOptions,
    specs: &[String],
    of_stdin: bool,
) -> Result<(Vec<Target>, Option<&'static str>), Failure> {
    let taken = taken_of_stdin(hosts, of_stdin)?;
    let targets = many.report.wanted(hosts, hosts.targets(specs)?)?;
    Ok((targets, taken))
}

/// Runs it on all targets. `taken` is what stdin holds beside its input.
pub(crate) fn run(
    name: &'static str,
    work: Work,
    targets: Vec<Target>,
    taken: Option<&str>,
    many: &ManyOptions,
    program: &ProgramOptions,
) -> Result<i32, Failure> {
    let (environment, secrets): (Environment, _) = program.environment()?;
    let stdin = program.stdin.checked(targets.len(), taken)?;
    let shell = Arc::new(Shell {
        work,
        environment,
        cwd: program
            .cwd
            .as_ref()
            .map(|directory| directory.as_encoded_bytes().to_vec()),
        input: stdin.source()?,
        timeout: program.timeout,
        count: targets.len(),
    });
    many::on_all(name, targets, many, &secrets, move |host| {
        Arc::clone(&shell).run(host)
    })
}

/// What stdin holds beside a program's input: the hosts, or the script if `script` says so.
///
/// # Errors
///
/// Where it is to hold both.
fn taken_of_stdin(hosts: &HostOptions, script: bool) -> Result<Option<&'static str>, Failure> {
    match (hosts.read_stdin(), script) {
        (true, true) => Err(Failure::usage("stdin cannot hold the hosts and the script")
            .with_hint("put one of them into a file")),
        (true, false) => Ok(Some("the hosts")),
        (false, true) => Ok(Some("the script")),
        (false, false) => Ok(None),
    }
}

/// How hosts were named, and all else that was typed, for hints.
struct Named<'a> {
    specs: &'a [String],
    /// Files name hosts too, so that the first word may be the command.
    by_files: bool,
    typed: &'a [String],
}

/// What is run: the line, and the script that it reads.
///
/// # Errors
///
/// Where there is nothing, or two things; with the line that does what was meant.
fn what(
    named: &Named<'_>,
    script: Option<OsString>,
    code: Option<String>,
    command: &[OsString],
) -> Result<(CommandLine, Option<Script>), Failure> {
    if let Some(code) = code {
        return Err(
            Failure::usage("exec takes no -c: the command stands behind `--`")
                .with_hint(exec_line(named.specs, &[code])),
        );
    }
    if let Some(path) = script {
        let script = Script::read(&path, || {
            "the script is a file of this machine; a command of the hosts stands behind `--`"
                .to_owned()
        })?;
        if script.ends_in(&["py"]) {
            let line = with_subcommand(named.typed, "run");
            return Err(Failure::usage(format!(
                "the first line of {} names no interpreter, and sh cannot run Python",
                script.name
            ))
            .with_hint(format!(
                "for Python: {}",
                habits::line(line.iter().map(String::as_str))
            )));
        }
        return Ok((CommandLine::Words(script.words(command)), Some(script)));
    }
    match command {
        [] => Err(missing(named)),
        [line] if line.as_encoded_bytes().trim_ascii().is_empty() => {
            Err(Failure::usage("the command behind `--` is empty")
                .with_hint("a variable in it may be unset here"))
        }
        [word] if is_file(word) && word.to_string_lossy().contains(['/', '.']) => {
            // Most often it is not there; where it is, the hint does no harm, so only a relative name counts.
            let path = std::path::Path::new(word);
            if path.is_absolute() {
                return Ok((CommandLine::Shell(word.as_encoded_bytes().to_vec()), None));
            }
            let name = word.to_string_lossy();
            Err(
                Failure::usage(format!("{name} is a file of this machine")).with_hint(format!(
                    "to run it there: {}",
                    with_script(named.typed, &name)
                )),
            )
        }
        [line] => Ok((CommandLine::Shell(line.as_encoded_bytes().to_vec()), None)),
        words => {
            let words = words.iter().map(|word| word.as_encoded_bytes().to_vec());
            Ok((CommandLine::Words(words.collect()), None))
        }
    }
}

/// The error for a command line without a command. Most often only the `--` is missing.
fn missing(named: &Named<'_>) -> Failure {
    let failure = Failure::usage("no command is given");
    let specs = named.specs;
    let first = usize::from(!named.by_files);
    let is_script = |word: &&String| word.contains(['/', '.']) && is_file(OsStr::new(word));
    if let Some(script) = specs.iter().skip(first).find(is_script) {
        return failure.with_hint(format!(
            "for a script of this machine: {}",
            with_script(named.typed, script)
        ));
    }
    let command = command_from(specs, first).and_then(|place| specs.get(place));
    failure.with_hint(match command {
        Some(command) => format!(
            "put `--` before it: {}",
            with_separator(named.typed, command)
        ),
        None => format!(
            "it stands behind `--`: {}",
            exec_line(specs, &["COMMAND".to_owned()])
        ),
    })
}
