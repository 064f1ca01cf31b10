//! `easycluster run`: the same program on many machines at once.

pub(crate) mod program;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::cli::commands::exec;
use crate::cli::many::{self, Host, ManyOptions};
#[cfg(unix)]
use crate::cli::programs::packages::PackageOptions;
use crate::cli::programs::shell::Work;
use crate::cli::programs::{Environment, ProgramOptions, variables_of};
use crate::cli::terminal::failure::{self, Failure};
use crate::cli::terminal::hosts::{HostOptions, Target};
use crate::command::CommandLine;
#[cfg(unix)]
use crate::packages::Packages;
use crate::visible::short_line;
use crate::{Client, Error, Value};
use program::{Given, Program, What};

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
  A module that the hosts have:
    easycluster run admin@web1 -m platform
  With packages that the machines need not have, nor pip, nor a way to PyPI:
    easycluster run admin@web1 --with pandas --with 'pyarrow>=15' -- report.py
  For another program to read:
    easycluster run -f hosts.txt --json -c 'print(1)' | jq .
  A shell command:
    easycluster exec admin@web1 -- uptime

Hosts are given before `--`, the script and its arguments after it. The program
runs as `python SCRIPT ARGS` would, with empty standard input unless there is
--stdin. A script whose first line names another interpreter, such as
`#!/bin/sh`, is run by that one, for which the hosts need no Python.
It sees EASYCLUSTER_HOST, EASYCLUSTER_NUMBER (from 0) and EASYCLUSTER_COUNT.
Its stdout goes to stdout and its stderr to stderr, each line behind
`HOST |` or `HOST !`. Colours stay; everything else that would act on the
terminal is shown as text, unless --raw passes it on.

--json prints objects of two kinds, one a line:
  {\"event\": \"output\", \"host\", \"stream\": \"stdout\" or \"stderr\", \"line\"}
  {\"event\": \"end\", \"host\", \"status\", \"exit_status\", \"seconds\", \"error\",
   \"hint\", \"stack\"}, status being ok, failed, timeout, unreachable, lost,
   interrupted or skipped

Exit status:
  0    the program ended well on every host
  1    it failed on some host; with one host alone, its own exit status, which
       is 128 and the signal's number where a signal ended it
  2    the command line is wrong
  124  it was stopped by --timeout on some host
  130  interrupted; the remote programs were interrupted too
  255  some host could not be reached, or was lost";

const USAGE: &str = "easycluster run [OPTIONS] HOST... -c CODE [-- ARGS]
       easycluster run [OPTIONS] HOST... -m MODULE [-- ARGS]
       easycluster run [OPTIONS] HOST... -- SCRIPT [ARGS]";

/// Run a program on many machines at once
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES, override_usage = USAGE)]
pub(crate) struct Arguments {
    #[command(flatten)]
    hosts: HostOptions,
    /// Run this code instead of a script
    #[arg(short, long, value_name = "CODE", group = "given")]
    code: Option<String>,
    /// Run this module of the hosts, as `python -m` does
    #[arg(short, long, value_name = "MODULE", group = "given")]
    module: Option<String>,
    /// Run this script; its arguments alone stand behind `--` then
    #[arg(long = "script", id = "FILE", value_name = "FILE", group = "given")]
    script_file: Option<OsString>,
    #[command(flatten)]
    many: ManyOptions,
    #[command(flatten)]
    program: ProgramOptions,
    #[cfg(unix)]
    #[command(flatten)]
    packages: PackageOptions,
    /// All words of the command line.
    #[arg(skip)]
    pub(crate) typed: Vec<String>,
    /// A script on this machine and its arguments; `-` reads it from stdin
    #[arg(last = true, value_name = "SCRIPT [ARGS]")]
    script: Vec<OsString>,
}

pub(crate) fn main(arguments: Arguments) -> Result<i32, Failure> {
    let given = Given {
        code: arguments.code.as_deref(),
        module: arguments.module.as_deref(),
        script: arguments.script_file.as_deref(),
        by_files: !arguments.hosts.files.is_empty() || !arguments.hosts.inventory.is_empty(),
        typed: &arguments.typed,
    };
    let specs = arguments.hosts.specs.clone();
    let (specs, what) = program::separate(specs, &given, &arguments.script)?;
    let options = &arguments.program;
    #[cfg(unix)]
    let packages = arguments.packages.packages()?;
    let of_stdin = what.is_of_stdin();
    let (targets, taken) = exec::chosen(&arguments.hosts, &arguments.many, &specs, of_stdin)?;
    let program = match what {
        What::Program(program) => program,
        What::Script(script, words) => {
            #[cfg(unix)]
            if packages.is_some() {
                return Err(Failure::usage(format!(
                    "--with is for programs in Python, and the first line of {} names another interpreter",
                    script.name
                )));
            }
            // What its first line names may be there where no Python is.
            let line = CommandLine::Words(script.words(&words));
            let work = Work::Command(line, Some(script.text.into()));
            return exec::run("run", work, targets, taken, &arguments.many, options);
        }
    };
    #[cfg(unix)]
    let with_packages = packages.is_some();
    #[cfg(not(unix))]
    let with_packages = false;
    let compressed = |target: &Target| target.spec.compress == Some(true);
    if !with_packages && !program.needs_calls() && !targets.iter().any(compressed) {
        // Without a stub, which would take much more of the hosts.
        let work = Work::Program(program.alone());
        return exec::run("run", work, targets, taken, &arguments.many, options);
    }
    let (environment, secrets) = options.environment()?;
    let stdin = options.stdin.checked(targets.len(), taken)?;
    let job = Arc::new(Job {
        program,
        environment,
        folder: options.cwd.clone(),
        input: stdin.read_all()?,
        timeout: options.timeout,
        count: targets.len(),
        #[cfg(unix)]
        packages,
    });
    many::on_all("run", targets, &arguments.many, &secrets, move |host| {
        let job = Arc::clone(&job);
        let given = job.given(&host);
        let (options, own) = (host.connect_options(), host.clone());
        host.with_client(options, move |client| async move {
            job.run_with_packages(&client, given, &own).await
        })
    })
}

/// What every host is to run by a stub, because it may make use of one.
struct Job {
    program: Program,
    environment: Environment,
    folder: Option<OsString>,
    input: Bytes,
    timeout: Option<Duration>,
    /// How many hosts there are.
    count: usize,
    #[cfg(unix)]
    packages: Option<Packages>,
}

impl Job {
    /// What the program is given on this host, as `run_program` takes it.
    fn given(&self, host: &Host) -> BTreeMap<&'static str, Value> {
        let bytes = |value: &[u8]| Value::Bytes(value.to_vec());
        let environment = variables_of(host, self.count, &self.environment)
            .into_iter()
            .map(|(name, value)| (Value::Str(name), Value::Bytes(value)))
            .collect();
        let mut given = BTreeMap::from([
            ("environment", Value::Dict(environment)),
            ("progress", Value::Bool(true)),
        ]);
        if let Some(module) = &self.program.module {
            given.insert("module", Value::Str(module.clone()));
        }
        if let Some(folder) = &self.folder {
            given.insert("folder", bytes(folder.as_encoded_bytes()));
        }
        if !self.input.is_empty() {
            given.insert("input", bytes(&self.input));
        }
        given
    }

    /// Has its packages there while it runs.
    async fn run_with_packages(
        &self,
        client: &Client,
        #[cfg_attr(not(unix), allow(unused_mut))] mut given: BTreeMap<&'static str, Value>,
        host: &Host,
    ) -> Result<i32, Error> {
        #[cfg(unix)]
        if let Some(packages) = &self.packages {
            let folder = packages.send_to(client, &host.progress()).await?;
            given.insert("packages", Value::Str(folder.clone()));
            let status = self.run(client, given, host).await?;
            // Where this is not come to, they go with the connection.
            packages.remove_from(client, &folder).await?;
            return Ok(status);
        }
        self.run(client, given, host).await
    }

    async fn run(
        &self,
        client: &Client,
        given: BTreeMap<&'static str, Value>,
        host: &Host,
    ) -> Result<i32, Error> {
        let program = &self.program;
        let source = Value::Bytes(program.source.clone());
        client.send_helper(&crate::stub::functions::RUN_PROGRAM);
        let call = client.call::<i64>(
            "helpers/run_program.run_program",
            (source, &program.filename, program.sent_argv(), given),
        );
        let call = match self.timeout {
            Some(limit) => {
                // The limit is the program's; starting Python has limits of its own.
                client.ready().await?;
                call.timeout(limit)
            }
            None => call,
        };
        let status = tokio::select! {
            biased;
            status = call.into_future() => status?,
            never = told(client, host) => never,
        };
        Ok(i32::try_from(status).unwrap_or(failure::CODE_FAILED))
    }
}

/// Programs that end sooner are not asked how far they are.
const SHORT: Duration = Duration::from_secs(5);
/// How often a program is asked, whatever its host answers; it tells no more often by itself.
const OFTEN: Duration = Duration::from_millis(100);
/// The longest name of what it goes through.
const NAME: usize = 200;

/// Asks how far the program is that goes through `easycluster.progress`, again and again while that is shown; never ends by itself.
async fn told(client: &Client, host: &Host) -> ! {
    tokio::time::sleep(SHORT).await;
    let tell = host.progress();
    let asked = || {
        client
            .call::<Option<(String, f64, Option<f64>)>>("helpers/run_progress.read", ())
            .one_shot()
    };
    'asking: loop {
        host.watched().await;
        while host.is_named() {
            // What goes wrong here is no matter of the program's.
            let Ok(Some((name, done, total))) = asked().await else {
                break 'asking;
            };
            tell(so_far(&name, done, total));
            tokio::time::sleep(OFTEN).await;
        }
    }
    std::future::pending().await
}

/// `rows: 120 of 1000`.
fn so_far(name: &str, done: f64, total: Option<f64>) -> String {
    let mut text = short_line(name, NAME);
    if !text.is_empty() {
        text.push_str(": ");
    }
    text.push_str(&done.to_string());
    if let Some(total) = total {
        text.push_str(&format!(" of {total}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::so_far;

    #[test]
    fn progress_of_a_host_is_a_short_line() {
        assert_eq!(so_far("rows", 120.0, Some(1000.0)), "rows: 120 of 1000");
        assert_eq!(so_far("", 2.5, None), "2.5");
        let long = so_far(&"\r\n\x1b[2J".repeat(1000), 1.0, None);
        assert!(
            !long.contains(['\n', '\r', '\x1b']) && long.len() < 2000,
            "{long}"
        );
    }
}
