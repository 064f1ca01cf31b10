//! The program `easycluster`: arguments, output and exit codes. What it does is done by the library.

// The program may print, and the numbers of hosts that it looks things up by are its own.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::indexing_slicing)]

mod classic;
pub mod commands;
mod many;
mod misplaced;
mod other_lines;
mod other_programs;
mod programs;
mod terminal;
mod this_program;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

/// To be called before Rust's own start, by programs.
pub use crate::descriptors::note_closed_output;
#[cfg(unix)]
use commands::{clean, copy, demo};
use commands::{completions, exec, hosts, keygen, ping, run, serve, service};
use terminal::failure::{self, Failure};

/// What `-h` shows of them, so that it fits a screen.
const SHORT_EXAMPLES: &str = "\
Examples:
  easycluster demo                                         see it work on this machine
  easycluster ping admin@web1 admin@web2                   who is there
  easycluster exec admin@web1 admin@web2 -- uptime         a shell command
  easycluster run -f hosts.txt -- check.py --fast          a script of this machine

--help shows more examples, and the options of a standalone server";

const EXAMPLES: &str = "\
Examples:
  See it work, with nothing but Python on this machine:
    easycluster demo
  Who is there, and which Python they have:
    easycluster ping admin@web1 admin@web2
  A line of code on two machines at once:
    easycluster run admin@web1 admin@web2 -c 'import os; print(os.uname())'
  A shell command; the machines need no Python for it:
    easycluster exec admin@web1 admin@web2 -- uptime
  Files to both, and a log of each back:
    easycluster copy admin@web1 admin@web2 -- dist/ :/srv/app
    easycluster copy admin@web1 admin@web2 -- :/var/log/app.log 'logs/{host}/'
  A script of this machine, on all machines of a file, or of an inventory:
    easycluster run -f hosts.txt -- check.py --fast
    easycluster run -I hosts.ini 'web:!web03' -- check.py --fast

A machine is named by a connection spec, [user@]host[:port][:option=value]...,
many by a range (web[01-20]), a list (web1,web2) or a pattern of an inventory.
Nothing is installed there: it needs sshd and any Python from 2.6 on, and for
`exec` no Python.";

/// Runs Python on many machines at once, over SSH, with nothing installed on them.
#[derive(Parser)]
#[command(
    name = "easycluster",
    version,
    after_help = SHORT_EXAMPLES,
    after_long_help = EXAMPLES,
    arg_required_else_help = true,
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    classic: classic::Classic,
}

#[derive(Subcommand)]
enum Command {
    Run(Box<run::Arguments>),
    Exec(Box<exec::Arguments>),
    #[cfg(unix)]
    Copy(Box<copy::Arguments>),
    #[cfg(unix)]
    Clean(clean::Arguments),
    Ping(ping::Arguments),
    Hosts(hosts::Arguments),
    #[cfg(unix)]
    Demo(demo::Arguments),
    Serve(serve::Arguments),
    Keygen(keygen::Arguments),
    Service(service::Arguments),
    Completions(completions::Completions),
    #[command(name = "manpages")]
    ManPages(completions::ManPages),
}

/// Runs the program with `args`, the program's own name first, and gives its exit code.
///
/// It prints to this process's stdout and stderr, and never ends the process.
pub fn main<I, T>(args: I) -> i32
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    note_closed_output();
    // As far as helpers that close every number up to the limit stay quick.
    crate::descriptors::raise_limit(65_536);
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let parsed = command().try_get_matches_from(&args).and_then(|matches| {
        let failure = other_programs::arguments_taken_for_hosts(&matches, &args)
            .or_else(|| misplaced::inventory_for_key(&matches, &args));
        Arguments::from_arg_matches(&matches).map(|arguments| (arguments, failure))
    });
    let arguments = match parsed {
        Ok((_, Some(failure))) => return failure.report(),
        Ok((arguments, None)) => arguments,
        Err(error) => {
            let error = match classic::help_of(&args) {
                Some(words) if error.kind() == ErrorKind::DisplayHelp => {
                    command().try_get_matches_from(words).err().unwrap_or(error)
                }
                _ => error,
            };
            if let Some(failure) = other_programs::meant(&error, &args, command) {
                return failure.report();
            }
            // `--help` and `--version` come here too, and go to stdout with code 0.
            return match error.print() {
                Err(unwritten) if !error.use_stderr() => failure::unwritten(&unwritten),
                _ => error.exit_code(),
            };
        }
    };
    match dispatch(arguments, other_programs::typed_as_ours(&args)) {
        Ok(failure::OK) => failure::untold().unwrap_or(failure::OK),
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

/// What `-h` shows of commands that work on hosts beside what has a short name, so that it fits a screen. `--help` shows everything.
const IN_SHORT_HELP: [&str; 12] = [
    "specs", "script", "command", "timeout", "gather", "json", "fold", "become", "paths", "delete",
    "left_out", "dry_run",
];
/// What it leaves out although it has a short name: the options of the standalone server.
const NOT_IN_SHORT_HELP: [&str; 2] = ["key_file", "key"];

/// The command line. The many options of `-S` are `serve`'s, whose help explains them, so that
/// the first page stays a page.
fn command() -> clap::Command {
    let mut command = Arguments::command();
    let serve = serve::Arguments::augment_args(clap::Command::new("serve"));
    for option in serve.get_arguments() {
        command = command.mut_arg(option.get_id(), |option| option.hide(true));
    }
    // There `--exclude` is about files, as everywhere where files are copied.
    #[cfg(unix)]
    let command = command.mut_subcommand("copy", |copy| {
        copy.mut_arg("exclude", |exclude| exclude.long("exclude-host"))
    });
    command.mut_subcommands(|command| {
        if command
            .get_arguments()
            .any(|argument| argument.get_id() == "specs")
        {
            command
                .mut_args(|argument| {
                    let name = argument.get_id().as_str();
                    let shown = IN_SHORT_HELP.contains(&name)
                        || argument.get_short().is_some() && !NOT_IN_SHORT_HELP.contains(&name);
                    argument.hide_short_help(!shown)
                })
                .after_help("--help shows all options, examples and exit codes")
        } else {
            command
        }
    })
}

/// One thread serves all connections: a call's time is mostly wake-ups.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::here(format!("the runtime cannot start: {error}")))
}

/// Ends a runtime without waiting for a thread that still waits for an answer on the terminal.
fn end(runtime: tokio::runtime::Runtime) {
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
}

fn dispatch(arguments: Arguments, typed: Vec<String>) -> Result<i32, Failure> {
    match arguments.command {
        Some(Command::Run(mut arguments)) => {
            arguments.typed = typed;
            run::main(*arguments)
        }
        Some(Command::Exec(mut arguments)) => {
            arguments.typed = typed;
            exec::main(*arguments)
        }
        #[cfg(unix)]
        Some(Command::Copy(mut arguments)) => {
            arguments.typed = typed;
            copy::main(*arguments)
        }
        #[cfg(unix)]
        Some(Command::Clean(arguments)) => clean::main(&arguments),
        Some(Command::Ping(arguments)) => ping::main(arguments),
        #[cfg(unix)]
        Some(Command::Demo(arguments)) => demo::main(&arguments),
        Some(Command::Serve(arguments)) => serve::main(&arguments),
        Some(Command::Keygen(arguments)) => keygen::main(&arguments),
        Some(Command::Service(arguments)) => service::main(&arguments),
        Some(Command::Hosts(arguments)) => hosts::main(&arguments),
        Some(Command::Completions(arguments)) => completions::completions(&arguments, command()),
        Some(Command::ManPages(arguments)) => completions::man_pages(&arguments, command()),
        None => arguments.classic.dispatch().unwrap_or_else(|| {
            Err(Failure::usage("no command is given").with_hint("easycluster --help lists them"))
        }),
    }
}
