//! Shell commands on other machines: by sshd alone, or by a client's Python, behind one builder.

mod announced;
mod awaited;
mod by_stub;
mod ended;
mod python;
mod running;
mod wrapped;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::client::Client;
use crate::connection::hints;
use crate::error::{ConnectError, Error, Stage};
use crate::spec::ConnectionSpec;
use crate::stub::program::{self, PythonProgram};
use crate::transport::{self, TransportOptions};
use announced::Announcement;
use awaited::Awaited;
use wrapped::Wrapped;

pub use ended::CommandOutput;
pub use running::{CommandEvent, CommandInput, RunningCommand};

/// What is run: one text is a line for a shell, several words are a program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandLine {
    /// A line for the account's own shell (`$SHELL`), as `ssh` runs it: pipes, quotes and `;` mean what they mean there.
    Shell(Vec<u8>),
    /// A program and its arguments, which no shell looks at.
    Words(Vec<Vec<u8>>),
}

impl From<&str> for CommandLine {
    fn from(line: &str) -> Self {
        CommandLine::Shell(line.into())
    }
}

impl From<String> for CommandLine {
    fn from(line: String) -> Self {
        CommandLine::Shell(line.into())
    }
}

impl<S: AsRef<[u8]>> From<&[S]> for CommandLine {
    fn from(words: &[S]) -> Self {
        CommandLine::Words(words.iter().map(|word| word.as_ref().to_vec()).collect())
    }
}

impl<S: AsRef<[u8]>, const N: usize> From<[S; N]> for CommandLine {
    fn from(words: [S; N]) -> Self {
        words.as_slice().into()
    }
}

impl<S: AsRef<[u8]>> From<Vec<S>> for CommandLine {
    fn from(words: Vec<S>) -> Self {
        words.as_slice().into()
    }
}

/// Where a command gets its standard input from.
#[derive(Debug, Clone, Default)]
enum Input {
    /// The null device.
    #[default]
    None,
    /// These bytes.
    Bytes(Bytes),
    /// Whoever started it writes it.
    Written,
}

/// What a command is.
#[derive(Clone)]
enum Work {
    /// A line or words, with the script that they read.
    Line(CommandLine, Option<Bytes>),
    /// A program in Python, by sshd alone.
    Program(PythonProgram),
}

/// By whom a command is started.
#[derive(Clone)]
enum Way {
    /// A channel of the SSH connection to this host, a child process, or a standalone server; no Python takes part.
    Alone(Box<ConnectionSpec>, Box<TransportOptions>),
    /// The Python of a client.
    Client(Client),
}

/// A command that is to run on another machine. It runs when it is [started](Command::start), or when its
/// [output](Command::output) is awaited.
///
/// [`Command::on`] needs nothing on the other machine but sshd and a POSIX `/bin/sh`: the command gets a channel of the SSH
/// connection that clients of the same spec share. [`Client::command`] runs it by the client's Python.
///
/// The command runs in a process group of its own. Giving it up (a timeout, or dropping what runs it) sends that group SIGTERM, and
/// SIGKILL two seconds later. After an ordinary end, what it has left in the background goes on.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), easycluster::Error> {
/// use easycluster::Command;
///
/// let spec = "admin@web1".parse()?;
/// let output = Command::on(&spec, "df -h / | tail -1").output().await?.check()?;
/// println!("{}: {}", output.host, output.stdout_text());
///
/// let sorted = Command::on(&spec, ["sort", "-n"]).stdin("10\n9\n").output().await?;
/// assert_eq!(&sorted.stdout[..], b"9\n10\n");
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "a command runs when it is started"]
pub struct Command {
    way: Way,
    work: Work,
    cwd: Option<Vec<u8>>,
    /// Not secret, so it may be part of the command line.
    open_environment: Vec<(String, Vec<u8>)>,
    environment: Vec<(String, Vec<u8>)>,
    input: Input,
    timeout: Option<Duration>,
}

impl Client {
    /// A shell command on this client's machine, started by its Python: it needs no further session of the server. One text is a
    /// line for the account's shell, several words are a program and its arguments.
    ///
    /// ```no_run
    /// # async fn f(client: easycluster::Client) -> Result<(), easycluster::Error> {
    /// let output = client.command("uptime").output().await?;
    /// let listed = client.command(["ls", "-l", "my file"]).cwd("/tmp").output().await?.check()?;
    /// # Ok(()) }
    /// ```
    pub fn command(&self, line: impl Into<CommandLine>) -> Command {
        Command::by(Way::Client(self.clone()), Work::Line(line.into(), None))
    }
}

impl Command {
    /// A command on this host by sshd alone; no Python is needed there. A spec of another transport runs it as that
    /// transport does: `:local` as a child process, TCP by the standalone server.
    pub fn on(spec: &ConnectionSpec, line: impl Into<CommandLine>) -> Command {
        Command::on_with(spec, line, TransportOptions::default())
    }

    /// The same with time limits, an observer and a prompter for connecting.
    pub fn on_with(
        spec: &ConnectionSpec,
        line: impl Into<CommandLine>,
        options: TransportOptions,
    ) -> Command {
        Command::by(
            Way::Alone(Box::new(spec.clone()), Box::new(options)),
            Work::Line(line.into(), None),
        )
    }

    /// A program in Python on this host, as `python FILE` runs it, with no stub beside it (BS-16). What it is given is part of it.
    #[cfg(feature = "cli")]
    pub(crate) fn python(
        spec: &ConnectionSpec,
        program: PythonProgram,
        options: TransportOptions,
    ) -> Command {
        Command::by(
            Way::Alone(Box::new(spec.clone()), Box::new(options)),
            Work::Program(program),
        )
    }

    fn by(way: Way, work: Work) -> Command {
        Command {
            way,
            work,
            cwd: None,
            open_environment: Vec::new(),
            environment: Vec::new(),
            input: Input::None,
            timeout: None,
        }
    }

    /// The directory to run in; the account's home otherwise.
    pub fn cwd(mut self, directory: impl AsRef<[u8]>) -> Self {
        self.cwd = Some(directory.as_ref().to_vec());
        self
    }

    /// Sets an environment variable. Names and values travel inside the session, so that no command line shows them on either side.
    pub fn env(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.environment
            .push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// The same for what is no secret, which may be part of the remote command line; that can save a round trip.
    pub(crate) fn open_env(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.open_environment
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// What its standard input holds. Without this, and unless it is [started](Self::start) with [`piped_stdin`](Self::piped_stdin),
    /// it is empty.
    pub fn stdin(mut self, bytes: impl Into<Bytes>) -> Self {
        self.input = Input::Bytes(bytes.into());
        self
    }

    /// Its standard input is written by [`RunningCommand::take_input`].
    pub fn piped_stdin(mut self) -> Self {
        self.input = Input::Written;
        self
    }

    /// The text of a script, which the words of the command read as `/dev/fd/9`: `["/bin/sh", "/dev/fd/9", "argument"]`. It travels
    /// inside the session, and no file is made there.
    pub fn script(mut self, text: impl Into<Bytes>) -> Self {
        if let Work::Line(_, script) = &mut self.work {
            *script = Some(text.into());
        }
        self
    }

    /// Gives it up if it runs longer than this, which is [`Error::Timeout`]. Connecting has limits of its own.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// The host as the user named it.
    pub fn host(&self) -> String {
        match &self.way {
            Way::Alone(spec, _) => spec.label(),
            Way::Client(client) => client.host().to_owned(),
        }
    }

    /// Starts it, and gives it out to be read while it runs. The limit of [`timeout`](Self::timeout) is that of
    /// [`RunningCommand::next`] then.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Connect`] with the stage that failed; [`Error::Convert`] for a name or a word that no system takes.
    pub async fn start(self) -> Result<RunningCommand, Error> {
        let host: Arc<str> = self.host().into();
        let (process, control, awaited) = match &self.way {
            Way::Alone(spec, options) => {
                let since = Instant::now();
                let mut options = (**options).clone();
                // The spec's limit is for the whole of connecting.
                if let Some(limit) = spec.timeout {
                    options.limits = options.limits.in_all(since, limit);
                }
                let (wrapped, mut awaited) = self.prepared(spec, &options)?;
                // What connecting needs is given back when it has connected.
                let opening = Box::pin(transport::open(spec, &wrapped.command, &options));
                let process = transport::in_time(spec, &options, opening).await?;
                awaited.begin();
                let pipe = running::Pipe::of_transport(process);
                (pipe, wrapped.control, awaited)
            }
            Way::Client(client) => {
                let wrapped = self.wrapped("").map_err(|why| self.refusal(&why))?;
                let pipe = by_stub::start(client, &wrapped.command, &wrapped.control.concat());
                (pipe, Vec::new(), Awaited::nothing())
            }
        };
        let input = match self.input {
            Input::None => None,
            Input::Bytes(bytes) => Some(Some(bytes)),
            Input::Written => Some(None),
        };
        Ok(RunningCommand::new(
            host,
            process,
            awaited,
            control,
            input,
            self.timeout,
        ))
    }

    /// The command in words for the other side, and the sign of its start.
    fn prepared(
        &self,
        spec: &ConnectionSpec,
        options: &TransportOptions,
    ) -> Result<(Wrapped, Awaited), Error> {
        if let Work::Program(program) = &self.work {
            let start = program::start(spec.rpython.as_deref())?;
            let has_input = !matches!(self.input, Input::None);
            let wrapped = Wrapped::of_program(&start, program, has_input);
            let wrapped = wrapped.map_err(|why| self.refusal(&why))?;
            let sent = wrapped.control.first().cloned().unwrap_or_default();
            let awaited = Awaited::program(&start, &sent, spec, options);
            return Ok((wrapped, awaited));
        }
        // Behind steps it is awaited on the way.
        let announced = match spec.steps().next() {
            None => Some(Announcement::new(&options.limits)?),
            Some(_) => None,
        };
        let line = announced.as_ref().map(Announcement::line);
        let wrapped = self.wrapped(&line.unwrap_or_default());
        let wrapped = wrapped.map_err(|why| self.refusal(&why))?;
        Ok((wrapped, Awaited::command(announced)))
    }

    /// A line or words for the other side, and behind them what they read.
    fn wrapped(&self, announcing: &str) -> Result<Wrapped, String> {
        let Work::Line(line, script) = &self.work else {
            return Err("a client runs programs by itself".to_owned());
        };
        Wrapped::of(&wrapped::Content {
            line,
            announcing,
            script: script.as_ref(),
            cwd: self.cwd.as_deref(),
            open_environment: &self.open_environment,
            environment: &self.environment,
            has_input: !matches!(self.input, Input::None),
        })
    }

    fn refusal(&self, why: &str) -> Error {
        Error::Convert(format!("{}: {why}", self.host()))
    }

    /// Runs it to its end and collects what it prints.
    ///
    /// # Errors
    /// As [`start`](Self::start); [`Error::Timeout`], [`Error::Lost`] where the connection ends first. An exit status other than
    /// 0 is none: see [`CommandOutput::check`].
    pub async fn output(self) -> Result<CommandOutput, Error> {
        self.start().await?.collect().await
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What it holds may be secret.
        f.debug_struct("Command")
            .field("host", &self.host())
            .finish_non_exhaustive()
    }
}

/// A command as another process is to start it: the line for a shell, and all that this reads.
///
/// # Errors
/// Why no system takes it.
#[cfg_attr(not(feature = "python"), allow(dead_code))]
pub(crate) fn wrapped(
    line: CommandLine,
    cwd: Option<Vec<u8>>,
    environment: Vec<(String, Vec<u8>)>,
    input: Option<Vec<u8>>,
) -> Result<(String, Bytes), String> {
    let wrapped = Wrapped::of(&wrapped::Content {
        line: &line,
        announcing: "",
        script: None,
        cwd: cwd.as_deref(),
        open_environment: &[],
        environment: &environment,
        has_input: input.is_some(),
    })?;
    let mut control = BytesMut::from(&wrapped.control.concat()[..]);
    if let Some(input) = input {
        for piece in input.chunks(running::PIECE) {
            control.extend_from_slice(format!("{}\n", piece.len()).as_bytes());
            control.extend_from_slice(piece);
        }
        control.extend_from_slice(b"0\n");
    }
    Ok((wrapped.command, control.freeze()))
}

/// The error for a host that did not run the command.
fn refused(host: &str, stage: Stage, why: impl Into<String>, printed: &[u8]) -> ConnectError {
    let hint = hints::for_printed(printed).unwrap_or(
        "the account must allow commands (no forced command) and have a POSIX /bin/sh; try `ssh HOST true` by hand",
    );
    ConnectError::new(host, stage, why)
        .with_hint(hint)
        .with_output(printed)
}
