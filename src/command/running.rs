//! A command that runs: its output as it comes, its input, signals, and its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::awaited::Awaited;
use super::{CommandOutput, by_stub};
use crate::error::Error;
use crate::process::{ExitStatus, ReadEvent};
use crate::transport::{self, Process};

/// How much input is sent as one piece, in bytes; a process copies each at the other side.
pub(super) const PIECE: usize = 256 * 1024;

/// How much of what a command printed is still given out when its limit has passed, in bytes: as much as may have been on its way
/// then, by the largest window of a connection. A command that prints for ever comes to its limit all the same.
const UNDERWAY: usize = 16 * 1024 * 1024;

/// The two ends of a command's shell.
pub(super) enum Pipe {
    Transport {
        writer: transport::Writer,
        reader: Box<transport::Reader>,
    },
    Client {
        writer: by_stub::Writer,
        reader: Box<by_stub::Reader>,
    },
}

enum Writer {
    Transport(transport::Writer),
    Client(by_stub::Writer),
}

enum Reader {
    Transport(Box<transport::Reader>),
    Client(Box<by_stub::Reader>),
}

impl Pipe {
    pub(super) fn of_transport(process: Process) -> Pipe {
        Pipe::Transport {
            writer: process.writer,
            reader: Box::new(process.reader),
        }
    }
}

impl Writer {
    /// Whether all of it was taken. Where it was not, the reader says why.
    async fn write(&mut self, pieces: Vec<Bytes>) -> bool {
        match self {
            Writer::Transport(writer) => writer.write(pieces).await.is_ok(),
            Writer::Client(writer) => writer.write(pieces).await.is_ok(),
        }
    }
}

/// A limit from now on; None where that is never.
fn until(limit: Duration) -> Option<(Instant, Duration)> {
    Some((Instant::now().checked_add(limit)?, limit))
}

/// What a running command printed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandEvent {
    /// Bytes of its standard output.
    Stdout(Bytes),
    /// Bytes of its standard error.
    Stderr(Bytes),
}

/// A command that was started. Dropping it ends the command: SIGTERM to its process group, SIGKILL two seconds later.
///
/// ```no_run
/// # async fn f() -> Result<(), easycluster::Error> {
/// use easycluster::{Command, CommandEvent};
///
/// let mut tail = Command::on(&"web1:ssh=yes".parse()?, "tail -f /var/log/syslog").start().await?;
/// while let Some(event) = tail.next().await? {
///     if let CommandEvent::Stdout(bytes) = event {
///         print!("{}", String::from_utf8_lossy(&bytes));
///     }
/// }
/// println!("{:?}", tail.status());
/// # Ok(()) }
/// ```
pub struct RunningCommand {
    host: Arc<str>,
    reader: Reader,
    writing: JoinHandle<()>,
    signals: mpsc::UnboundedSender<&'static str>,
    input: Option<CommandInput>,
    has_input: bool,
    awaited: Awaited,
    /// It is ended by us, so that where it stood then is ours to tell.
    ended_by_us: bool,
    status: Option<ExitStatus>,
    over: bool,
    limit: Option<(Instant, Duration)>,
    /// What is left of [`UNDERWAY`].
    underway: usize,
}

/// The standard input of a running command, which ends when this is dropped.
pub struct CommandInput {
    host: Arc<str>,
    pieces: mpsc::Sender<Bytes>,
}

impl CommandInput {
    /// Writes all of it; waits while the command takes no more. What a command that has closed its input does not take is dropped.
    ///
    /// # Errors
    /// [`Error::Lost`] where the command or the connection has ended.
    pub async fn write(&self, data: impl Into<Bytes>) -> Result<(), Error> {
        self.pieces
            .send(data.into())
            .await
            .map_err(|_| Error::Lost {
                host: self.host.to_string(),
                reason: "the command takes no more input: it has ended".to_owned(),
            })
    }
}

impl std::fmt::Debug for CommandInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CommandInput({})", self.host)
    }
}

impl RunningCommand {
    /// `input`: none, these bytes, or those of a [`CommandInput`].
    pub(super) fn new(
        host: Arc<str>,
        pipe: Pipe,
        awaited: Awaited,
        control: Vec<Bytes>,
        input: Option<Option<Bytes>>,
        limit: Option<Duration>,
    ) -> RunningCommand {
        let (writer, reader) = match pipe {
            Pipe::Transport { writer, reader } => {
                (Writer::Transport(writer), Reader::Transport(reader))
            }
            Pipe::Client { writer, reader } => (Writer::Client(writer), Reader::Client(reader)),
        };
        let (signals, named) = mpsc::unbounded_channel();
        let has_input = input.is_some();
        let (given, written) = match input {
            None => (None, None),
            Some(Some(bytes)) => (Some(bytes), None),
            Some(None) => {
                let (pieces, incoming) = mpsc::channel(1);
                let host = Arc::clone(&host);
                (None, Some((CommandInput { host, pieces }, incoming)))
            }
        };
        let (input, incoming) = written.unzip();
        let feeder = Feeder {
            writer,
            signals: named,
            incoming,
        };
        RunningCommand {
            host,
            reader,
            writing: tokio::spawn(feeder.run(control, given, has_input)),
            signals,
            input,
            has_input,
            awaited,
            ended_by_us: false,
            status: None,
            over: false,
            limit: limit.and_then(until),
            underway: UNDERWAY,
        }
    }

    /// The host as the user named it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its standard input, once, where it was started with [`Command::piped_stdin`](super::Command::piped_stdin).
    pub fn take_input(&mut self) -> Option<CommandInput> {
        self.input.take()
    }

    /// What it prints next; `None` when it has ended and everything was given out. Nothing is lost where this is dropped before it
    /// is ready.
    ///
    /// # Errors
    /// [`Error::Timeout`] where the command's limit has passed, [`Error::Lost`] where the connection ended first.
    pub async fn next(&mut self) -> Result<Option<CommandEvent>, Error> {
        loop {
            if self.over {
                return Ok(None);
            }
            match self.event_in_time().await? {
                Some(ReadEvent::Stdout(data)) => {
                    let data = self.without_sign(data)?;
                    if !data.is_empty() {
                        return Ok(Some(CommandEvent::Stdout(data)));
                    }
                }
                Some(ReadEvent::Stderr(data)) => {
                    let data = self.awaited.stderr(data);
                    if !data.is_empty() {
                        return Ok(Some(CommandEvent::Stderr(data)));
                    }
                }
                // A command may close its output and go on.
                Some(ReadEvent::OutputEnd) => {
                    let rest = self.awaited.rest();
                    if !rest.is_empty() {
                        return Ok(Some(CommandEvent::Stdout(rest)));
                    }
                }
                Some(ReadEvent::Exit(status)) => self.status = Some(status),
                None => {
                    let last = self.awaited.last_words(self.ended_by_us);
                    if !last.is_empty() {
                        return Ok(Some(CommandEvent::Stderr(last)));
                    }
                    self.over = true;
                    return self.ended().map(|()| None);
                }
            }
        }
    }

    /// Whether it came to an end of its own.
    fn ended(&self) -> Result<(), Error> {
        if let Some(error) = self.awaited.missed(&self.host, self.status.as_ref()) {
            return Err(error.into());
        }
        match &self.status {
            Some(ExitStatus::Code(_) | ExitStatus::Signal(_)) => Ok(()),
            Some(ExitStatus::Unknown(why)) => Err(self.lost(why)),
            None => Err(self.lost("the connection ended without an exit status")),
        }
    }

    /// Takes the sign of its start out of what it printed.
    fn without_sign(&mut self, data: Bytes) -> Result<Bytes, Error> {
        let (data, has_started) = self.awaited.stdout(&self.host, data)?;
        if has_started {
            // What it took to start has limits of its own.
            self.limit = self.limit.and_then(|(_, limit)| until(limit));
        }
        Ok(data)
    }

    /// The next event, within the limit of the command, or that of its start.
    async fn event_in_time(&mut self) -> Result<Option<ReadEvent>, Error> {
        let Some(until) = self.awaited.until() else {
            return self.event_in_limit().await;
        };
        match tokio::time::timeout_at(until.into(), self.event()).await {
            Ok(event) => event,
            Err(_) => Err(match self.awaited.late(&self.host) {
                Some(late) => late.into(),
                None => self.lost("it did not start"),
            }),
        }
    }

    async fn event_in_limit(&mut self) -> Result<Option<ReadEvent>, Error> {
        match self.limit {
            None => self.event().await,
            Some((at, limit)) => match self.event_until(at).await {
                Some(event) => event,
                None => Err(self.overdue(limit)),
            },
        }
    }

    /// None where the time has passed and nothing more is on its way.
    async fn event_until(&mut self, at: Instant) -> Option<Result<Option<ReadEvent>, Error>> {
        if self.underway == 0 {
            return None;
        }
        // What is there comes first, however late it is taken.
        let event = tokio::time::timeout_at(at.into(), self.event())
            .await
            .ok()?;
        if let Ok(Some(ReadEvent::Stdout(data) | ReadEvent::Stderr(data))) = &event
            && Instant::now() >= at
        {
            self.underway = self.underway.saturating_sub(data.len());
        }
        Some(event)
    }

    async fn event(&mut self) -> Result<Option<ReadEvent>, Error> {
        Ok(match &mut self.reader {
            Reader::Transport(reader) => reader.next().await,
            Reader::Client(reader) => reader.next().await?,
        })
    }

    fn lost(&self, why: &str) -> Error {
        Error::Lost {
            host: self.host.to_string(),
            reason: why.to_owned(),
        }
    }

    /// How it ended, once it has.
    pub fn status(&self) -> Option<&ExitStatus> {
        self.status.as_ref()
    }

    /// Waits for its end; what it still prints is dropped.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn wait(&mut self) -> Result<ExitStatus, Error> {
        while self.next().await?.is_some() {}
        let unknown = || ExitStatus::Unknown("the command was ended".to_owned());
        Ok(self.status.clone().unwrap_or_else(unknown))
    }

    /// Sends SIGINT to the command and what it has started, as Ctrl-C does; behind the input that was written before.
    pub fn interrupt(&self) {
        // A command that has ended needs none.
        _ = self.signals.send("INT");
    }

    /// Sends SIGTERM to the command and what it has started; behind the input that was written before.
    pub fn terminate(&self) {
        _ = self.signals.send("TERM");
    }

    /// Returns when the limit passes; never without one.
    pub(crate) fn limit_passes(&self) -> impl Future<Output = ()> + use<> {
        let limit = self.limit;
        async move {
            match limit {
                Some((at, _)) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        }
    }

    /// The error of a command that did not end within its limit; None where it has none.
    pub(crate) fn timed_out(&self) -> Option<Error> {
        self.limit.map(|(_, limit)| self.overdue(limit))
    }

    /// Ends it in order because its limit has passed.
    pub(crate) fn end_at_limit(&mut self) {
        self.ended_by_us = true;
        match self.awaited.tells_where_it_stood() {
            true => self.interrupt(),
            false => self.terminate(),
        }
    }

    /// Ends it in order because the user wants that.
    pub(crate) fn end_for_user(&mut self) {
        self.ended_by_us = true;
        self.interrupt();
    }

    /// Where a program stood that was ended by us.
    pub(crate) fn stack(&mut self) -> Vec<String> {
        let said = self.awaited.where_it_stood();
        let said = String::from_utf8_lossy(&said);
        said.split_inclusive('\n').map(str::to_owned).collect()
    }

    fn overdue(&self, limit: Duration) -> Error {
        Error::Timeout {
            host: self.host.to_string(),
            limit,
            stack: Vec::new(),
        }
    }

    /// Takes the limit away, for whoever ends the command in order.
    pub(crate) fn without_limit(&mut self) {
        self.limit = None;
    }

    /// Reads it to its end.
    pub(super) async fn collect(mut self) -> Result<CommandOutput, Error> {
        let (mut stdout, mut stderr) = (BytesMut::new(), BytesMut::new());
        while let Some(event) = self.next().await? {
            match event {
                CommandEvent::Stdout(data) => stdout.extend_from_slice(&data),
                CommandEvent::Stderr(data) => stderr.extend_from_slice(&data),
            }
        }
        Ok(CommandOutput {
            host: self.host.to_string(),
            stdout: stdout.freeze(),
            stderr: stderr.freeze(),
            status: self.wait().await?,
        })
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        self.writing.abort();
        // A command that does not take its input keeps the shell from seeing the end of it; some servers help with a signal.
        if self.has_input
            && self.status.is_none()
            && let Reader::Transport(reader) = &self.reader
        {
            reader.signal_at_close();
        }
    }
}

impl std::fmt::Debug for RunningCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningCommand")
            .field("host", &self.host)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Writes the control stream: what the shell is to know first, input in counted pieces, the names of signals (wrapper.sh).
struct Feeder {
    writer: Writer,
    signals: mpsc::UnboundedReceiver<&'static str>,
    incoming: Option<mpsc::Receiver<Bytes>>,
}

impl Feeder {
    async fn run(mut self, control: Vec<Bytes>, given: Option<Bytes>, has_input: bool) {
        if !control.is_empty() && !self.writer.write(control).await {
            return self.rest().await;
        }
        if let Some(given) = given
            && !self.input(given).await
        {
            return self.rest().await;
        }
        while let Some(incoming) = &mut self.incoming {
            let taken = tokio::select! {
                piece = incoming.recv() => match piece {
                    Some(piece) => self.input(piece).await,
                    None => break,
                },
                Some(name) = self.signals.recv() => self.signal(name).await,
            };
            if !taken {
                return self.rest().await;
            }
        }
        self.incoming = None;
        if has_input && !self.writer.write(vec![Bytes::from_static(b"0\n")]).await {
            return self.rest().await;
        }
        while let Some(name) = self.signals.recv().await {
            if !self.signal(name).await {
                break;
            }
        }
        self.rest().await;
    }

    async fn input(&mut self, data: Bytes) -> bool {
        let mut left = data;
        while !left.is_empty() {
            let piece = left.split_to(left.len().min(PIECE));
            let head = Bytes::from(format!("{}\n", piece.len()));
            if !self.writer.write(vec![head, piece]).await {
                return false;
            }
        }
        true
    }

    async fn signal(&mut self, name: &str) -> bool {
        self.writer
            .write(vec![Bytes::from(format!("{name}\n"))])
            .await
    }

    /// The stream stays open: its end would end the command.
    async fn rest(mut self) {
        drop(self.incoming.take());
        std::future::pending::<()>().await;
    }
}
