//! `easycluster run`: the same program on many machines at once.

mod outcome;
pub(crate) mod program;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::cli::terminal::failure::{self, Failure};
use crate::cli::terminal::hosts::{self, HostOptions, Target};
use crate::cli::terminal::lines::Format;
use crate::cli::terminal::printer::Printer;
use crate::cli::terminal::prompts::Terminal;
use crate::cli::terminal::stop::{Stop, Stopper};
use crate::connection::ConnectOptions;
use crate::transport::Prompter;
use crate::{Client, Error, Value, fan_out};
use outcome::{Outcome, exit_code, report, summarize};
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

const USAGE: &str = "easycluster run [OPTIONS] SPEC... -c CODE [-- ARGS]
       easycluster run [OPTIONS] SPEC... -- SCRIPT [ARGS]";

/// How long an interrupted program may take to clean up.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// Run a program on many machines at once
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
pub(crate) struct Arguments {
    #[command(flatten)]
    hosts: HostOptions,
    /// Run this code instead of a script
    #[arg(short, long, value_name = "CODE")]
    code: Option<String>,
    /// Work on at most this many hosts at the same time
    #[arg(short, long, value_name = "N", default_value_t = 32, value_parser = hosts::at_least_one)]
    jobs: usize,
    /// Stop the program on a host if it runs longer than this
    #[arg(long, value_name = "SECONDS", value_parser = hosts::seconds, allow_negative_numbers = true)]
    timeout: Option<Duration>,
    /// Print the bare lines, without the host before them
    #[arg(long, conflicts_with = "json")]
    no_prefix: bool,
    /// Print the bytes as they come, escape codes for the terminal included
    #[arg(long, conflicts_with_all = ["json", "no_prefix"])]
    raw: bool,
    /// Print one JSON object per line: each line of output, and how each host ended
    #[arg(long)]
    json: bool,
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
    let labels: Vec<String> = targets.iter().map(|target| target.label.clone()).collect();
    let format = format_for(&arguments, &labels);
    let printer = Arc::new(Printer::start(format, labels.clone()));
    let terminal = Terminal::remember();
    let runtime = crate::cli::runtime()?;
    let (outcomes, stop) = runtime.block_on(everywhere(
        targets,
        Arc::new(program),
        &arguments,
        terminal.prompter(),
        Arc::clone(&printer),
    ));
    // Ends what connections are left, and with them the last holders of the printer.
    crate::cli::end(runtime);
    if stop.is_some() {
        terminal.restore();
    }
    if let Some(error) = Arc::into_inner(printer).and_then(Printer::close) {
        return Ok(failure::unwritten(&error));
    }
    let code = exit_code(&outcomes, stop);
    if !arguments.json {
        summarize(&labels, &outcomes);
    }
    Ok(code)
}

fn format_for(arguments: &Arguments, labels: &[String]) -> Format {
    let width = labels.iter().map(|label| label.chars().count()).max();
    if arguments.json {
        Format::Json
    } else if arguments.raw {
        Format::Raw
    } else if !arguments.no_prefix {
        Format::Prefixed {
            width: width.unwrap_or(0),
        }
    } else if labels.len() == 1 {
        Format::Stream
    } else {
        Format::Plain
    }
}

/// Runs the program on all targets, and gives their outcomes in order.
async fn everywhere(
    targets: Vec<Target>,
    program: Arc<Program>,
    arguments: &Arguments,
    prompter: Option<Prompter>,
    printer: Arc<Printer>,
) -> (Vec<Option<Outcome>>, Option<Stop>) {
    let mut outcomes: Vec<Option<Outcome>> = targets.iter().map(|_| None).collect();
    let mut stopper = Stopper::new(printer.reader_gone());
    let stopped = stopper.subscribe();
    let jobs = targets.into_iter().enumerate().map(|(number, target)| {
        let job = Job {
            number,
            target,
            program: Arc::clone(&program),
            timeout: arguments.timeout,
            prompter: prompter.clone(),
            printer: Arc::clone(&printer),
            stopped: stopped.clone(),
        };
        job.run()
    });
    let mut hosts = fan_out(jobs, arguments.jobs);
    loop {
        tokio::select! {
            // A task that panicked has printed so; its host counts as not done.
            ended = hosts.next() => match ended {
                Some((number, outcome)) => outcomes[number] = Some(outcome),
                None => break,
            },
            patience_over = stopper.wait() => if patience_over {
                hosts.stop().await;
                break;
            },
        }
    }
    (outcomes, stopper.reason())
}

/// The work on one host.
struct Job {
    number: usize,
    target: Target,
    program: Arc<Program>,
    timeout: Option<Duration>,
    prompter: Option<Prompter>,
    printer: Arc<Printer>,
    stopped: watch::Receiver<bool>,
}

impl Job {
    async fn run(mut self) -> Outcome {
        let started = Instant::now();
        let outcome = if *self.stopped.borrow() {
            Outcome::Interrupted
        } else {
            self.connect_and_run().await
        };
        let report = report(&outcome, started.elapsed());
        self.printer.end(self.number, report);
        outcome
    }

    async fn connect_and_run(&mut self) -> Outcome {
        let mut options = ConnectOptions {
            output: self.printer.sink(self.number),
            ..ConnectOptions::default()
        };
        options.transport.prompter = self.prompter.clone();
        let client = tokio::select! {
            client = Client::begin(&self.target.spec, options) => client,
            _ = self.stopped.changed() => return Outcome::Interrupted,
        };
        let client = match client {
            Ok(client) => client,
            Err(error) => return Outcome::Failed(error),
        };
        let outcome = tokio::select! {
            outcome = run_program(&client, &self.program, self.timeout) => match outcome {
                Ok(status) => Outcome::Ended(status),
                Err(error) => Outcome::Failed(error),
            },
            _ = self.stopped.changed() => Outcome::Interrupted,
        };
        if matches!(outcome, Outcome::Interrupted) {
            // Giving up the call has interrupted the program; its `finally` blocks get their time.
            let deadline = Instant::now() + STOP_GRACE;
            while client.connection().in_flight() > 0 && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        // Only then has everything been printed, what child processes left behind included.
        client.close().await;
        outcome
    }
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
