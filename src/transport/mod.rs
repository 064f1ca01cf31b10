//! The ways to a remote process: each ends in the same thing, a byte pipe to a shell command, its stderr and its exit status.

pub(crate) mod asker;
pub mod local;
pub mod openssh;
pub mod ssh;
pub(crate) mod steps;
pub(crate) mod tail;
pub mod tcp;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::{ConnectError, Stage};
pub use crate::process::{ExitStatus, ReadEvent};
pub use crate::progress::{Deadline, StageEvent, StageLimits, StageObserver};
use crate::retry::Retry;
use crate::spec::{ConnectionSpec, Step, Transport};
use crate::stub::Bootstrap;

/// A question to the user that a connection needs answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Question {
    /// The host that it is about.
    pub host: String,
    /// What to show, safe to print.
    pub text: String,
    /// Whether what is typed may be shown (a yes or no) or not (a password).
    pub echo: bool,
    /// What it is asked for: the host key, logging in (passphrases of keys too), or the steps behind the login.
    pub stage: Stage,
}

/// Answers questions (passwords, passphrases, unknown host keys). `None` refuses.
/// Called on a blocking thread, one at a time a process.
pub type Prompter = Arc<dyn Fn(&Question) -> Option<String> + Send + Sync>;

/// Why a process ended that the other side did not start.
pub(crate) const COMMAND_REFUSED: &str = "the server refused to run the command";

/// What every transport needs to know beside its target.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct TransportOptions {
    /// Time limits.
    pub limits: StageLimits,
    /// Who watches.
    pub observer: Option<StageObserver>,
    /// Who answers questions; without one nothing is asked (batch mode).
    pub prompter: Option<Prompter>,
}

impl TransportOptions {
    /// The same with other time limits.
    #[must_use]
    pub fn with_limits(mut self, limits: StageLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The same with an observer of the stages.
    #[must_use]
    pub fn with_observer(mut self, observer: StageObserver) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The same with a prompter, which answers questions.
    #[must_use]
    pub fn with_prompter(mut self, prompter: Prompter) -> Self {
        self.prompter = Some(prompter);
        self
    }

    /// Tells the observer, if there is one.
    pub fn reached(&self, stage: Stage, elapsed: Duration, detail: impl Into<String>) {
        crate::progress::reached(self.observer.as_ref(), stage, elapsed, detail);
    }
}

/// A started process: two halves that may live in different tasks. Dropping both ends it.
#[derive(Debug)]
pub struct Process {
    /// Its standard input.
    pub writer: Writer,
    /// Its output, standard error and end.
    pub reader: Reader,
    /// What the other end is called in errors and `peername`, such as `box:22`.
    pub peer: String,
}

// A transport is a file with a pair of types that have the methods called below, and a function `open`.
// An enum and not a trait object, so that no call is boxed and the list of transports is seen here.

/// The write half.
#[derive(Debug)]
pub enum Writer {
    /// A child process's standard input.
    Child(crate::process::Writer),
    /// A connection to a standalone server.
    Tcp(tcp::Writer),
    /// A channel of an SSH connection.
    Ssh(ssh::Writer),
}

impl Writer {
    /// Writes all of it, in order; waits while the other side takes no more.
    ///
    /// # Errors
    /// The pipe is broken; the reader will say why.
    pub async fn write(&mut self, data: Vec<Bytes>) -> io::Result<()> {
        match self {
            Writer::Child(writer) => writer.write(data).await,
            Writer::Tcp(writer) => writer.write(data).await,
            Writer::Ssh(writer) => writer.write(data).await,
        }
    }

    /// Ends the process's standard input.
    pub async fn finish(&mut self) {
        match self {
            Writer::Child(writer) => writer.finish().await,
            Writer::Tcp(writer) => writer.finish().await,
            Writer::Ssh(writer) => writer.finish().await,
        }
    }
}

/// The read half.
// There is one a connection, which a box would only make slower to read.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Reader {
    /// A child process's output.
    Child(crate::process::Reader),
    /// A connection to a standalone server.
    Tcp(tcp::Reader),
    /// A channel of an SSH connection.
    Ssh(ssh::Reader),
    /// Some of it was read before.
    Ahead(VecDeque<ReadEvent>, Box<Reader>),
}

impl Reader {
    /// Has the process signalled when the channel is closed before it has ended, where the transport and the server can do that.
    pub fn signal_at_close(&self) {
        if let Reader::Ssh(reader) = self {
            reader.signal_at_close();
        }
    }

    /// The next event, `None` when nothing more will come. Safe to drop and call again.
    pub async fn next(&mut self) -> Option<ReadEvent> {
        match self {
            Reader::Child(reader) => reader.next().await,
            Reader::Tcp(reader) => reader.next().await,
            Reader::Ssh(reader) => reader.next().await,
            Reader::Ahead(first, rest) => match first.pop_front() {
                Some(event) => Some(event),
                None => Box::pin(rest.next()).await,
            },
        }
    }
}

/// What helps where an account runs something else than it is asked for.
pub(crate) fn hint_for_other_commands(transport: &Transport) -> &'static str {
    match transport {
        Transport::Local => "name a Python of this machine with rpython=",
        Transport::Tcp => {
            "name a Python of that machine with rpython=; its server starts it by /bin/sh"
        }
        Transport::Ssh | Transport::OpenSsh(_) => {
            "the account must allow commands (a login shell that runs `sh -c`, no forced command); try `ssh HOST python3 -V` by hand"
        }
    }
}

/// A stage's own limit ends at the deadline, and names the stage; this much later all else is ended.
const BACKSTOP: Duration = Duration::from_millis(50);

/// Connects within the limit for all of connecting, where there is one.
///
/// # Errors
/// The stage that failed, or that the deadline met: then with that limit, which is what the user knows of.
pub(crate) async fn in_time<T>(
    spec: &ConnectionSpec,
    options: &TransportOptions,
    connecting: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    let Some(deadline) = options.limits.deadline else {
        return connecting.await;
    };
    let backstop = tokio::time::Instant::from_std(deadline.at + BACKSTOP);
    let done = tokio::time::timeout_at(backstop, connecting).await;
    let done = done.unwrap_or_else(|_| {
        let label = spec.label();
        Err(ConnectError::timeout(label, Stage::Connect, deadline.limit))
    });
    done.map_err(|mut error| {
        if error.timed_out
            && let Some(limit) = options.limits.used_up()
        {
            error.message = ConnectError::timeout(&error.host, error.stage, limit).message;
            error
                .hint
                .get_or_insert_with(|| "give the spec a longer timeout=".to_owned());
        }
        error
    })
}

/// Connects as the spec says and starts the command, without waiting for a sign of it; behind steps, when they are through.
///
/// # Errors
/// The stage that failed, and what to do next.
pub async fn open(
    spec: &ConnectionSpec,
    command: &str,
    options: &TransportOptions,
) -> Result<Process, ConnectError> {
    let steps: Vec<Step> = spec.steps().cloned().collect();
    if steps.is_empty() {
        return open_line(spec, command, options).await;
    }
    let label = spec.label();
    let (line, passage) = steps::announced(&label, command, &steps)?;
    let process = open_line(spec, &line, options).await?;
    let options = answerable(spec, options);
    steps::reach(&label, &steps, &passage, process, &options).await
}

/// Batch mode holds for questions on the way too.
fn answerable(spec: &ConnectionSpec, options: &TransportOptions) -> TransportOptions {
    let mut options = options.clone();
    if spec.batch == Some(true) {
        options.prompter = None;
    }
    options
}

async fn open_line(
    spec: &ConnectionSpec,
    command: &str,
    options: &TransportOptions,
) -> Result<Process, ConnectError> {
    let opening = async {
        match spec.transport() {
            Transport::Local => local::open(command, options).await,
            Transport::Tcp => tcp::open(spec, command, options).await,
            Transport::Ssh => {
                let target = ssh::target_of(spec)?;
                ssh::open_alone(ssh::Connector::shared(), &target, command, options).await
            }
            Transport::OpenSsh(program) => {
                openssh::open(&openssh::target_of(spec, program)?, command, options).await
            }
        }
    };
    named(spec, opening.await)
}

/// A start that met a dead connection is repeated at once; the next connection is a new one as a rule.
pub(crate) const STARTS: Retry = Retry::without_waits(3);

/// What is to be done once a stub runs.
pub type OnRunning = Box<dyn FnOnce() + Send>;

/// Tells whether a connection has ended.
pub type HasEnded = Box<dyn Fn() -> bool + Send + Sync>;

/// A process that is about to run the stub.
pub struct Started {
    /// The process.
    pub process: Process,
    /// What it was started by: its marker stands in front of what the process says first.
    pub bootstrap: Bootstrap,
    /// Whether the stub has been sent to it.
    pub stub_sent: bool,
    /// What it stands behind.
    pub steps: Vec<Step>,
    /// What was read already.
    pub first: Vec<ReadEvent>,
    /// For one that shares the connection of others, which may have been at its end: whether it has ended.
    pub shared_has_ended: Option<HasEnded>,
    /// To be called once the stub runs: what it does for the clients to come must not make this one wait.
    pub on_running: Option<OnRunning>,
}

/// Connects as the spec says and starts an interpreter by `bootstrap`, without waiting for a sign of
/// it; or takes over one that was started ahead of need, where the spec wants those.
///
/// # Errors
/// The stage that failed, and what to do next.
pub async fn start_stub(
    spec: &ConnectionSpec,
    bootstrap: Bootstrap,
    options: &TransportOptions,
) -> Result<Started, ConnectError> {
    let steps: Vec<Step> = spec.steps().cloned().collect();
    let label = spec.label();
    let silent = answerable(spec, options);
    let bootstrap = steps::behind(&label, bootstrap, &steps)?;
    let mut starts = 1;
    loop {
        let mut started = start_plain(spec, bootstrap.clone(), &steps, options).await?;
        if !steps::may_ask(&steps) {
            return Ok(started);
        }
        let process = &mut started.process;
        let passage = steps::Passage::of(&started.bootstrap);
        let gone = steps::go_through(&label, &steps, &passage, process, &silent).await;
        match gone {
            Ok(first) => {
                started.first = first;
                return Ok(started);
            }
            Err(steps::Stopped::Failed(error)) => return Err(error),
            // A shared connection that was at its end when this one began.
            Err(steps::Stopped::Lost)
                if STARTS.allows_another(starts)
                    && started.shared_has_ended.is_some_and(|ended| ended()) =>
            {
                starts += 1;
            }
            Err(steps::Stopped::Lost) => return Err(steps::lost(&label)),
        }
    }
}

/// The same, as far as a started command.
async fn start_plain(
    spec: &ConnectionSpec,
    bootstrap: Bootstrap,
    steps: &[Step],
    options: &TransportOptions,
) -> Result<Started, ConnectError> {
    if spec.transport() == Transport::Ssh {
        let opening = async {
            let target = ssh::target_of(spec)?;
            let (connector, ahead) = (ssh::Connector::shared(), spec.ahead.unwrap_or(0));
            ssh::start_stub(connector, &target, bootstrap, steps, ahead, options).await
        };
        return named(spec, opening.await);
    }
    Ok(Started {
        process: open_line(spec, bootstrap.command(), options).await?,
        bootstrap,
        stub_sent: false,
        steps: steps.to_vec(),
        first: Vec::new(),
        shared_has_ended: None,
        on_running: None,
    })
}

/// Puts the host into the error as the user named it.
fn named<T>(spec: &ConnectionSpec, result: Result<T, ConnectError>) -> Result<T, ConnectError> {
    result.map_err(|mut error| {
        error.host = spec.label();
        error
    })
}
