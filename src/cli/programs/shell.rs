//! A command or a program on one host of many: its output to the printer, its input from us, and an end that leaves nothing running.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::input::Source;
use super::{Environment, place_of, variables_of};
use crate::Error;
use crate::cli::many::{Host, Outcome};
use crate::cli::terminal::failure;
use crate::command::{Command, CommandEvent, CommandLine, RunningCommand};
use crate::connection::{Output, OutputSink};
use crate::process::ExitStatus;
use crate::stub::program::PythonProgram;

/// How long a command that was asked to end may take to clean up.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// What a host has printed and we have not, at most, in bytes.
const UNPRINTED: usize = 4 * 1024 * 1024;

/// What every host is to run.
pub(crate) enum Work {
    /// A command, and the script that it reads.
    Command(CommandLine, Option<Bytes>),
    /// A program in Python; what differs from host to host is added to it.
    Program(PythonProgram),
}

/// The same, and what it is given.
pub(crate) struct Shell {
    pub(crate) work: Work,
    pub(crate) environment: Environment,
    pub(crate) cwd: Option<Vec<u8>>,
    pub(crate) input: Source,
    pub(crate) timeout: Option<Duration>,
    /// How many hosts there are.
    pub(crate) count: usize,
}

impl Shell {
    fn on(&self, host: &Host) -> Command {
        let mut command = match &self.work {
            Work::Command(line, script) => self.command(host, line, script.as_ref()),
            Work::Program(program) => self.program(host, program.clone()),
        };
        if let Some(limit) = self.timeout {
            command = command.timeout(limit);
        }
        match &self.input {
            Source::Nothing => command,
            Source::Copy(bytes) => command.stdin(bytes.clone()),
            Source::Live(_) => command.piped_stdin(),
        }
    }

    fn command(&self, host: &Host, line: &CommandLine, script: Option<&Bytes>) -> Command {
        let options = host.connect_options().transport;
        let mut command = Command::on_with(&host.target.spec, line.clone(), options);
        for (name, value) in place_of(host, self.count) {
            command = command.open_env(name, value);
        }
        for (name, value) in &self.environment {
            command = command.env(name, value);
        }
        if let Some(directory) = &self.cwd {
            command = command.cwd(directory);
        }
        match script {
            Some(script) => command.script(script.clone()),
            None => command,
        }
    }

    fn program(&self, host: &Host, mut program: PythonProgram) -> Command {
        program.environment = variables_of(host, self.count, &self.environment);
        program.folder.clone_from(&self.cwd);
        let options = host.connect_options().transport;
        Command::python(&host.target.spec, program, options)
    }

    /// Runs it on one host, and ends it there when the command is stopped here.
    pub(crate) async fn run(self: Arc<Self>, mut host: Host) -> Outcome {
        let started = tokio::select! {
            started = self.on(&host).start() => started,
            () = host.stopping() => return Outcome::Interrupted,
        };
        let mut running = match started {
            Ok(running) => running,
            Err(error) => return Outcome::Failed(error),
        };
        if let Work::Command(..) = self.work {
            // A program says by itself when it begins.
            host.at_work();
        }
        let input = running.take_input();
        let feed = async {
            if let Some(input) = input
                && let Err(error) = self.input.feed(&input).await
            {
                return (input, error);
            }
            std::future::pending().await
        };
        let shown = Shown {
            room: Arc::new(Semaphore::new(UNPRINTED)),
            sink: host.output(),
            host: host.target.label.clone().into(),
        };
        let ended = tokio::select! {
            ended = shown.pass_on(&mut running) => Ok(Some(ended)),
            unread = feed => Err(unread),
            () = host.stopping() => Ok(None),
        };
        let ended = match ended {
            Ok(ended) => ended,
            Err((input, error)) => {
                running.terminate();
                shown.last_words(&mut running).await;
                // Not before, as its end would look as if all of it had come.
                drop(input);
                let label = &host.target.label;
                return Outcome::Failed(Error::Convert(format!(
                    "{label}: cannot read stdin: {error}"
                )));
            }
        };
        match ended {
            Some(Ok(())) => Outcome::Ended(status(&running)),
            Some(Err(mut error @ Error::Timeout { .. })) => {
                running.end_at_limit();
                shown.last_words(&mut running).await;
                if let Error::Timeout { stack, .. } = &mut error {
                    *stack = running.stack();
                }
                Outcome::Failed(error)
            }
            Some(Err(error)) => Outcome::Failed(error),
            None => {
                running.end_for_user();
                shown.last_words(&mut running).await;
                Outcome::Interrupted
            }
        }
    }
}

/// As a shell has it.
fn status(running: &RunningCommand) -> i32 {
    let status = running.status().and_then(|status| status.shell_code());
    status.unwrap_or(failure::CODE_FAILED)
}

/// Where the output of one host goes.
struct Shown {
    room: Arc<Semaphore>,
    sink: OutputSink,
    host: Arc<str>,
}

impl Shown {
    /// Passes its output on until it ends; no faster than it is printed.
    async fn pass_on(&self, running: &mut RunningCommand) -> Result<(), Error> {
        let mut late = false;
        while let Some(event) = running.next().await? {
            let (stderr, data) = match event {
                CommandEvent::Stdout(data) => (false, data),
                CommandEvent::Stderr(data) => (true, data),
            };
            let wanted = u32::try_from(data.len().min(UNPRINTED)).unwrap_or(u32::MAX);
            // Never closed, so there is always a permit in the end.
            let mut room = pin!(Arc::clone(&self.room).acquire_many_owned(wanted));
            let permit = tokio::select! {
                permit = &mut room => permit,
                // A pager may take nothing for hours. What has come is shown all the same.
                () = running.limit_passes() => {
                    late = true;
                    running.end_at_limit();
                    room.await
                }
            };
            let permit = permit.ok();
            self.sink
                .take(Output::held(Arc::clone(&self.host), stderr, data, permit));
        }
        // How it ended then is our doing, unless it had come to a good end before.
        let good = running.status() == Some(&ExitStatus::Code(0));
        match running.timed_out() {
            Some(error) if late && !good => Err(error),
            _ => Ok(()),
        }
    }

    /// The same for one that was asked to end; what takes too long is ended by dropping it.
    async fn last_words(&self, running: &mut RunningCommand) {
        running.without_limit();
        _ = tokio::time::timeout(STOP_GRACE, self.pass_on(running)).await;
    }
}
