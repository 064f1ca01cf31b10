//! `easycluster run`: the same program on many machines at once.

pub(crate) mod program;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::many::{self, ManyOptions};
use crate::cli::terminal::failure::{self, Failure};
use crate::cli::terminal::hosts::{self, HostOptions};
use crate::{Client, Error, Value};
use program::{Program, RUNNER};

const EXAMPLES: &str = "\
Examples:
  A line of code on two machines:
    easycluster run admin@web1 admin@web2 -c 'import os; print(os.uname())'
  A script on this machine and its arguments:
    easycluster run admin@web1 admin@web2 -- check.py --fast
  The script from stdin:
    easycluster run admin@web1 -- - < check.py
  All machines of a file, 100 at a time, half a minute each:
    easycluster run -f hosts.txt -j 100 --timeout 30 -- check.py
  For another program to read:
    easycluster run -f hosts.txt --json -c 'print(1)' | jq .

Hosts are given before `--`, the script and its arguments after it.
The program runs as `python SCRIPT ARGS` would, with empty standard input.
Its stdout goes to stdout and its stderr to stderr, each line behind
`HOST |` or `HOST !`. Colours stay; everything else that would act on the
terminal is shown as text, unless --raw passes it on.

--json prints objects of two kinds, one a line:
  {\"event\": \"output\", \"host\", \"stream\": \"stdout\" or \"stderr\", \"line\"}
  {\"event\": \"end\", \"host\", \"status\", \"exit_status\", \"seconds\", \"error\",
   \"hint\", \"stack\"}, status being ok, failed, timeout, unreachable, lost or
   interrupted

Exit status:
  0    the program ended well on every host
  1    it failed on some host; with one host alone, its own exit status, which
       is 128 and the signal's number where a signal ended it
  2    the command line is wrong
  124  it was stopped by --timeout on some host
  130  interrupted; the remote programs were interrupted too
  255  some host could not be reached, or was lost";

const USAGE: &str = "easycluster run [OPTIONS] HOST... -c CODE [-- ARGS]
       easycluster run [OPTIONS] HOST... -- SCRIPT [ARGS]";

/// Run a program on many machines at once
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES, override_usage = USAGE)]
pub(crate) struct Arguments {
    #[command(flatten)]
    hosts: HostOptions,
    /// Run this code instead of a script
    #[arg(short, long, value_name = "CODE")]
    code: Option<String>,
    #[command(flatten)]
    many: ManyOptions,
    /// Stop the program on a host if it runs longer than this
    #[arg(long, value_name = "SECONDS", value_parser = hosts::seconds, allow_negative_numbers = true)]
    timeout: Option<Duration>,
    /// A Python script on this machine and its arguments; `-` reads it from stdin
    #[arg(last = true, value_name = "SCRIPT [ARGS]")]
    script: Vec<OsString>,
}

pub(crate) fn main(arguments: Arguments) -> Result<i32, Failure> {
    let (specs, program) = program::separate(
        arguments.hosts.specs.clone(),
        arguments.code.as_deref(),
        &arguments.script,
    )?;
    let targets = arguments.hosts.targets(&specs)?;
    let (program, timeout) = (Arc::new(program), arguments.timeout);
    many::on_all("run", targets, &arguments.many, move |host| {
        let program = Arc::clone(&program);
        let options = host.connect_options();
        host.with_client(options, move |client| async move {
            run_program(&client, &program, timeout).await
        })
    })
}

async fn run_program(
    client: &Client,
    program: &Program,
    timeout: Option<Duration>,
) -> Result<i32, Error> {
    let source = Value::Bytes(program.source.clone());
    let call = client.call::<i64>(
        "run_program",
        (source, &program.filename, program.sent_argv()),
    );
    let call = match timeout {
        Some(limit) => {
            // The limit is the program's; starting Python has limits of its own.
            client.ready().await?;
            call.timeout(limit)
        }
        None => call,
    };
    // Both travel at once, the call right behind the definition. Whichever fails first decides: where the program stops
    // its whole process, or never lets another thread run, the answer to the definition does not come either.
    let ((), status) = tokio::try_join!(client.define(RUNNER).into_future(), call.into_future())?;
    Ok(i32::try_from(status).unwrap_or(failure::CODE_FAILED))
}
