//! The two tasks of a connection: one reads the remote process and keeps time, one writes to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use crate::error::{ConnectError, Error, Stage};
use crate::session::Session;
use crate::spec::Step;
use crate::stub::{self, Bootstrap};
use crate::transport::{
    ExitStatus, HasEnded, OnRunning, Process, ReadEvent, Reader, STARTS, Started, TransportOptions,
    Writer, hint_for_other_commands, steps, tail::Tail,
};

use super::boot::{Boot, Sign};
use super::completion::Failure;
use super::failed_start::Start;
use super::lifeline::Lifeline;
use super::shared::Shared;
use super::start::Starter;

/// How much is taken from the session at once, in bytes: enough to fill an SSH packet several
/// times over, little enough that a small call gets its turn soon.
const TRANSMIT: usize = 256 * 1024;
/// How long the remote process may take to end after the goodbye, or after writing to it failed.
pub(super) const END_GRACE: Duration = Duration::from_secs(4);

/// A stub that was started, and the task that writes to it.
struct Attempt {
    reader: Reader,
    writing: Writing,
    bootstrap: Bootstrap,
    steps: Vec<Step>,
    first: Vec<ReadEvent>,
    stub_sent: bool,
    shared_has_ended: Option<HasEnded>,
    on_running: Option<OnRunning>,
}

impl Attempt {
    fn new(shared: &Arc<Shared>, started: Started) -> Attempt {
        let Process { writer, reader, .. } = started.process;
        let first = (!started.stub_sent).then(stub::first_part);
        Attempt {
            reader,
            writing: Writing(tokio::spawn(write_all(Arc::clone(shared), writer, first))),
            bootstrap: started.bootstrap,
            steps: started.steps,
            first: started.first,
            stub_sent: started.stub_sent,
            shared_has_ended: started.shared_has_ended,
            on_running: started.on_running,
        }
    }
}

/// Starts both tasks.
pub(super) fn start(
    shared: Arc<Shared>,
    started: Started,
    starter: Starter,
    options: TransportOptions,
) {
    let mut attempt = Attempt::new(&shared, started);
    let driven = Driven(Arc::clone(&shared));
    tokio::spawn(async move {
        // Moved in here, so that it is dropped with the task however that ends.
        let _driven = driven;
        let mut starts = 1;
        let failure = loop {
            let mut writing = attempt.writing;
            let mut reading = Reading::new(
                Arc::clone(&shared),
                attempt.bootstrap,
                attempt.steps,
                attempt.on_running,
                options.clone(),
                hint_for_other_commands(&starter.transport()),
            );
            let failure = reading.run(attempt.first, attempt.reader).await;
            // A writer that waits for room would wait forever; and it must take nothing more out.
            writing.0.abort();
            let lost = attempt.shared_has_ended.is_some_and(|ended| ended());
            let retry = lost
                && STARTS.allows_another(starts)
                && reading.ended_before_a_word(attempt.stub_sent);
            if retry {
                // An error says that it was aborted.
                _ = (&mut writing.0).await;
            }
            if !retry || !shared.with_session(Session::restart) {
                break failure;
            }
            starts += 1;
            let started = tokio::select! {
                started = starter.start() => started,
                () = shared.not_wanted() => break Failure::closed(),
            };
            match started {
                Ok(started) => attempt = Attempt::new(&shared, started),
                Err(Error::Connect(error)) => break Failure::Connect(error),
                Err(error) => break Failure::Lost(error.to_string()),
            }
        };
        shared.fail(failure);
    });
}

/// The task that writes. It ends with the one that reads, also where that panics in a function that takes output: it would hold
/// the remote process for ever.
struct Writing(JoinHandle<()>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Is dropped with the reading task: calls of other runtimes would wait for one that is gone.
struct Driven(Arc<Shared>);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.fail(Failure::Lost(
            "the runtime that the connection was made on has ended".to_owned(),
        ));
    }
}

/// Sends the stub if it has not been sent, then whatever the session has to send, until the goodbye or an error.
async fn write_all(shared: Arc<Shared>, mut writer: Writer, stub: Option<Bytes>) {
    let mut batch: Vec<Bytes> = stub.into_iter().collect();
    loop {
        let closing = shared.transmit(TRANSMIT, &mut batch);
        if batch.is_empty() {
            if closing {
                break;
            }
            shared.transmit.notified().await;
            continue;
        }
        if writer.write(std::mem::take(&mut batch)).await.is_err() {
            // The reader learns why the pipe broke, and says so.
            break;
        }
    }
    shared.timer.notify_one();
    if shared.is_closing() {
        // The end of input would cut the orderly end short (ME-15): the stub would drop its exit
        // handlers. The pipe stays open until the reader is done and ends this task.
        std::future::pending::<()>().await;
    }
    writer.finish().await;
    // Reading should end by itself now; if it does not, a dead pipe would go unnoticed.
    tokio::time::sleep(END_GRACE).await;
    shared.fail(Failure::Lost(
        "the pipe to the remote process broke".to_owned(),
    ));
}

/// The reading task's state.
struct Reading {
    shared: Arc<Shared>,
    boot: Option<Boot>,
    /// What was printed in front of the marker of a stub that runs.
    noise: Vec<u8>,
    /// The stub's HELLO has not come.
    starting: bool,
    /// For the clients to come, once this one runs.
    on_running: Option<OnRunning>,
    options: TransportOptions,
    bootstrap: Bootstrap,
    /// What the interpreter stands behind.
    steps: Vec<Step>,
    stage: Stage,
    since: Instant,
    stderr: Tail,
    exit: Option<ExitStatus>,
    lifeline: Lifeline,
    /// Nothing more can come of the process.
    ended: bool,
    closing_since: Option<Instant>,
    /// The process says nothing more, though it may go on.
    output_ended: Option<Instant>,
    /// What helps where something else runs than is asked for.
    no_commands: &'static str,
}

impl Reading {
    fn new(
        shared: Arc<Shared>,
        bootstrap: Bootstrap,
        steps: Vec<Step>,
        on_running: Option<OnRunning>,
        options: TransportOptions,
        no_commands: &'static str,
    ) -> Reading {
        Reading {
            shared,
            boot: Some(Boot::new(bootstrap.marker(), &stub::first_part())),
            noise: Vec::new(),
            starting: true,
            on_running,
            options,
            bootstrap,
            steps,
            stage: Stage::Interpreter,
            since: Instant::now(),
            stderr: Tail::default(),
            exit: None,
            lifeline: Lifeline::default(),
            ended: false,
            closing_since: None,
            output_ended: None,
            no_commands,
        }
    }

    /// Reads until the end and gives the reason for it.
    async fn run(&mut self, first: Vec<ReadEvent>, mut reader: Reader) -> Failure {
        for event in first {
            if let Err(failure) = self.take(event) {
                return failure;
            }
        }
        loop {
            let deadline = self.deadline();
            let event = tokio::select! {
                event = reader.next() => event,
                () = self.lifeline.cut(&self.shared) => return self.end(),
                () = self.shared.timer.notified() => {
                    if self.shared.has_ended() {
                        // It was ended elsewhere, with the reason.
                        return Failure::closed();
                    }
                    if self.closing_since.is_none() && self.shared.is_closing() {
                        self.closing_since = Some(Instant::now());
                    }
                    continue;
                }
                () = sleep_until(deadline.into()) => {
                    if let Some(failure) = self.timeout() {
                        return failure;
                    }
                    continue;
                }
            };
            let Some(event) = event else {
                self.ended = true;
                return self.end();
            };
            if let Err(failure) = self.take(event) {
                return failure;
            }
        }
    }

    fn take(&mut self, event: ReadEvent) -> Result<(), Failure> {
        match event {
            ReadEvent::Stdout(data) => {
                self.lifeline.heard();
                return self.stdout(data);
            }
            ReadEvent::Stderr(data) => self.stderr(data),
            // How the process ended is still to come, if it ends.
            ReadEvent::OutputEnd => self.output_ended = Some(Instant::now()),
            ReadEvent::Exit(status) => {
                self.exit = Some(status);
                if !self.starting {
                    self.lifeline.ask(&self.shared);
                }
            }
        }
        Ok(())
    }

    fn stdout(&mut self, data: Bytes) -> Result<(), Failure> {
        let Some(boot) = &mut self.boot else {
            return self.frames(data);
        };
        let mut sign = boot.feed(&data);
        while let Some(found) = sign {
            match found {
                // One who repeats it gets no more time.
                Sign::FirstStage if self.stage == Stage::Stub => {}
                Sign::FirstStage => {
                    self.reached(Stage::Interpreter, "the first stage runs");
                    self.stage = Stage::Stub;
                }
                Sign::NoInterpreter(tried) => {
                    let error = self.as_errors_name_it().no_interpreter(&tried);
                    return Err(self.connect_failure(error));
                }
                Sign::Unfit(versions) => {
                    let error = self.as_errors_name_it().unfit(&versions);
                    return Err(self.connect_failure(error));
                }
                Sign::Echo => {
                    let error = self.as_errors_name_it().echo();
                    return Err(self.connect_failure(error));
                }
                Sign::Running(rest) => {
                    self.noise = self
                        .boot
                        .take()
                        .map(|boot| boot.noise())
                        .unwrap_or_default();
                    self.stage = Stage::Stub;
                    return self.frames(rest);
                }
            }
            sign = self.boot.as_mut().and_then(|boot| boot.feed(&[]));
        }
        Ok(())
    }

    fn frames(&mut self, data: Bytes) -> Result<(), Failure> {
        self.shared.receive(data)?;
        if self.starting
            && let Some(hello) = self.shared.hello()
        {
            self.starting = false;
            self.reached(Stage::Stub, format!("Python {}", hello.python_version()));
            if let Some(on_running) = self.on_running.take() {
                on_running();
            }
        }
        Ok(())
    }

    fn stderr(&mut self, data: Bytes) {
        if self.starting {
            self.stderr.extend(&data);
        } else {
            self.shared.stderr(data);
        }
    }

    fn reached(&mut self, stage: Stage, detail: impl Into<String>) {
        self.options.reached(stage, self.since.elapsed(), detail);
        self.since = Instant::now();
    }

    /// Whether the connection to the process was gone before the process answered anything of ours. One that was
    /// started ahead of need may have said before how far it is.
    fn ended_before_a_word(&self, started_ahead: bool) -> bool {
        let silent = |boot: &Boot| boot.noise().is_empty() && self.stderr.bytes().is_empty();
        let silent = |boot: &Boot| self.stage == Stage::Interpreter && silent(boot);
        self.ended
            && self
                .boot
                .as_ref()
                .is_some_and(|boot| started_ahead || silent(boot))
            && !matches!(self.exit, Some(ExitStatus::Code(_) | ExitStatus::Signal(_)))
    }

    /// How long the stage under way may take.
    fn limit(&self) -> Duration {
        self.options.limits.since(self.stage, self.since)
    }

    fn deadline(&self) -> Instant {
        let mut deadline = self.shared.next_deadline();
        let mut earlier =
            |limit: Instant| deadline = Some(deadline.map_or(limit, |d| d.min(limit)));
        if self.starting {
            earlier(self.since + self.limit());
        }
        for since in [self.closing_since, self.output_ended]
            .into_iter()
            .flatten()
        {
            earlier(since + END_GRACE);
        }
        deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }

    fn timeout(&mut self) -> Option<Failure> {
        let now = Instant::now();
        self.shared.handle_timeout(now);
        if self
            .closing_since
            .is_some_and(|since| now >= since + END_GRACE)
        {
            return Some(Failure::closed());
        }
        if self
            .output_ended
            .is_some_and(|since| now >= since + END_GRACE)
        {
            return Some(self.end());
        }
        let limit = self.limit();
        if self.starting && now >= self.since + limit {
            // Where the limit for all of connecting ended the stage, that is what the user knows of.
            let limit = self.options.limits.used_up().unwrap_or(limit);
            let stage = match self.stage {
                Stage::Interpreter if !self.steps.is_empty() => Stage::Escalation,
                stage => stage,
            };
            let error = self.as_errors_name_it().late(stage, limit);
            return Some(self.connect_failure(error));
        }
        None
    }

    /// The remote process is gone, or the connection to it.
    fn end(&self) -> Failure {
        if self.shared.is_closing() {
            return Failure::closed();
        }
        let status = match &self.exit {
            Some(status) => status.to_string(),
            None if self.output_ended.is_some() && !self.ended => {
                "the process has closed its output and goes on".to_owned()
            }
            None => "the connection ended without an exit status".to_owned(),
        };
        if self.stage == Stage::Interpreter
            && let Some(error) = steps::explain(
                &self.shared.host,
                &self.steps,
                &self.bootstrap,
                self.exit.as_ref(),
                &self.printed(),
            )
        {
            return Failure::Connect(Box::new(error));
        }
        let status = match self.boot {
            Some(_) => status,
            None => [Some(status), self.shared.receive_end()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("; "),
        };
        if !self.starting {
            return Failure::Lost(status);
        }
        let start = self.as_errors_name_it();
        self.connect_failure(start.ended(self.stage, &status, &self.printed()))
    }

    fn as_errors_name_it(&self) -> Start<'_> {
        Start {
            host: &self.shared.host,
            wanted: self.bootstrap.wanted(),
            no_commands: self.no_commands,
            what: "stub",
        }
    }

    /// What the other side printed that is not ours.
    fn printed(&self) -> Vec<u8> {
        let mut printed = match &self.boot {
            Some(boot) => boot.noise(),
            None => self.noise.clone(),
        };
        printed.extend_from_slice(self.stderr.bytes());
        printed
    }

    /// Adds what the other side printed.
    fn connect_failure(&self, error: ConnectError) -> Failure {
        let printed = match self.steps.is_empty() {
            true => self.printed(),
            false => steps::in_words(&self.bootstrap, &self.printed()).into_bytes(),
        };
        Failure::Connect(Box::new(error.with_output(&printed)))
    }
}
