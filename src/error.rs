//! Every error of the public API, divided by whose fault it is and what the caller can do next.

use std::fmt;
use std::time::Duration;

use crate::files::problem::Problem;
use crate::pickle::{self, Document, Plain};
// Most of what is shown of others is shown in errors.
pub(crate) use crate::visible::one_line;
pub use crate::visible::printable;
use crate::wire::Segments;

/// How far a connection had come. Each stage has a time limit of its own, and the error names the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// Reading the configuration and the connection spec.
    Configure,
    /// Turning the host name into addresses.
    Resolve,
    /// The TCP connection, or starting the proxy command or child process.
    Connect,
    /// Versions and key exchange of SSH, or the handshake of the TCP transport.
    KeyExchange,
    /// Checking the server's host key.
    HostKey,
    /// Proving who the user is.
    Authentication,
    /// Opening the channel and starting the command on it.
    Channel,
    /// Becoming another user, or getting into a container or a machine behind: the steps of `then` and `become`.
    Escalation,
    /// Finding and starting a Python interpreter on the other machine, or the shell of a command.
    Interpreter,
    /// Starting the stub under that interpreter.
    Stub,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Configure => "configure",
            Stage::Resolve => "resolve",
            Stage::Connect => "connect",
            Stage::KeyExchange => "key exchange",
            Stage::HostKey => "host key",
            Stage::Authentication => "authentication",
            Stage::Channel => "channel",
            Stage::Escalation => "escalation",
            Stage::Interpreter => "interpreter",
            Stage::Stub => "stub",
        })
    }
}

/// A connection that was not established: which host, at which stage, why, and what to do next.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectError {
    /// The host as the user named it.
    pub host: String,
    /// The stage that failed.
    pub stage: Stage,
    /// What happened, one sentence without a full stop.
    pub message: String,
    /// What to do next, one sentence without a full stop.
    pub hint: Option<String>,
    /// What the other side printed, made safe for a terminal; empty if nothing. Of a long one the message shows the end.
    pub output: String,
    /// Whether a time limit ended the stage.
    pub timed_out: bool,
    /// Whether nothing listens at the address.
    pub refused: bool,
    /// Whether the server refused one more session on this connection, so that a new one may do.
    pub session_refused: bool,
    /// Whether the reason may pass by itself; see [`is_temporary`](Self::is_temporary).
    pub(crate) temporary: bool,
}

impl ConnectError {
    /// A failure at `stage`, without hint or output yet.
    pub fn new(host: impl Into<String>, stage: Stage, message: impl Into<String>) -> Self {
        ConnectError {
            host: host.into(),
            stage,
            message: message.into(),
            hint: None,
            output: String::new(),
            timed_out: false,
            refused: false,
            session_refused: false,
            temporary: false,
        }
    }

    /// The stage ran into its time limit.
    pub fn timeout(host: impl Into<String>, stage: Stage, limit: Duration) -> Self {
        let mut error = Self::new(host, stage, format!("no answer within {}", seconds(limit)));
        error.timed_out = true;
        error
    }

    /// Marks a reason that may pass by itself.
    #[must_use]
    pub(crate) fn passing(mut self, temporary: bool) -> Self {
        self.temporary = temporary;
        self
    }

    /// Whether the same attempt may succeed a little later: the name server or the network failed, or the server was too busy
    /// to take the connection or the session.
    ///
    /// Never true from the host key on, where each attempt may count: a refused key or password is not tried twice.
    pub fn is_temporary(&self) -> bool {
        match self.stage {
            Stage::Connect | Stage::Channel => true,
            Stage::Resolve | Stage::KeyExchange => self.timed_out || self.temporary,
            _ => false,
        }
    }

    /// Adds what the user can do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what the other side printed; control characters are made visible.
    #[must_use]
    pub fn with_output(mut self, output: &[u8]) -> Self {
        self.output = printable(&String::from_utf8_lossy(output).replace("\r\n", "\n"))
            .trim()
            .to_owned();
        self
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, stage, .. } = self;
        write!(f, "{host}: {stage}: {}", printable(&self.message))?;
        if !self.output.is_empty() {
            write!(
                f,
                "; the other side printed: {}",
                printable(&ending(&self.output))
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for ConnectError {}

/// What a message shows of a long output: the last lines, where reasons stand, behind a sign that there was more.
fn ending(output: &str) -> String {
    const LINES: usize = 12;
    const CHARACTERS: usize = 1500;
    let lines = output.rmatch_indices('\n').nth(LINES - 1);
    let characters = output.char_indices().rev().nth(CHARACTERS - 1);
    let begin = lines
        .map_or(0, |(at, _)| at + 1)
        .max(characters.map_or(0, |(at, _)| at));
    match output.get(begin..) {
        Some(end) if begin > 0 => format!("\u{2026}{end}"),
        _ => output.to_owned(),
    }
}

/// An exception that remote code raised.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RemoteError {
    /// The host it was raised on.
    pub host: String,
    /// `exception`, `cancelled`, `unpickle` or `pickle` (spec/messages.md, ME-6).
    pub kind: String,
    /// The exception's class name, such as `ValueError`. In this and the other texts, what would act on a terminal is escaped.
    pub type_name: String,
    /// The module of that class, such as `builtins`.
    pub module: String,
    /// `str()` of the exception.
    pub message: String,
    /// The remote traceback, a line or a few an entry, newlines included.
    pub traceback: Vec<String>,
    /// The exception's arguments where they are plain data. A [`Value`](crate::Value) is made of one by `Value::from`.
    pub args: Option<Vec<Plain>>,
}

impl RemoteError {
    /// Reads an ERROR's payload (ME-6).
    pub(crate) fn decode(host: &str, payload: &Segments) -> Result<RemoteError, pickle::Error> {
        let fields = Document::read(payload)?.decode_readable()?;
        let text = |key: &str| printable(&fields.text(key));
        let items = |key: &str| fields.get(key).and_then(Plain::as_slice);
        let lines = items("traceback").unwrap_or_default().iter();
        Ok(RemoteError {
            host: host.to_owned(),
            kind: text("kind"),
            type_name: text("type"),
            module: text("module"),
            message: text("message"),
            traceback: lines
                .filter_map(|line| line.as_str().map(printable))
                .collect(),
            args: items("args").map(<[Plain]>::to_vec),
        })
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.host, one_line(&self.type_name))?;
        if !self.message.is_empty() {
            write!(f, ": {}", printable(&self.message))?;
        }
        Ok(())
    }
}

impl std::error::Error for RemoteError {}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The caller's arguments: fix the program or the connection spec.
    Caller,
    /// The network, the server's configuration or the user's: nothing ran.
    Connection,
    /// The remote code raised.
    RemoteCode,
    /// The other side broke the protocol.
    Protocol,
}

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection spec is malformed; the message marks the place.
    #[error(transparent)]
    Spec(#[from] crate::spec::SpecError),
    /// The shared key or its file is unusable.
    #[error(transparent)]
    Key(#[from] crate::keys::KeyError),
    /// No connection was established.
    #[error(transparent)]
    Connect(Box<ConnectError>),
    /// Remote code raised an exception.
    #[error(transparent)]
    Remote(Box<RemoteError>),
    /// The call's time limit passed. The remote call was interrupted where Python allows it.
    #[error("{host}: no result within {}", seconds(*.limit))]
    Timeout {
        /// The host the call ran on.
        host: String,
        /// The limit that passed.
        limit: Duration,
        /// The remote stack where the call was interrupted; empty if it could not be had in time.
        stack: Vec<String>,
    },
    /// The call was cancelled by this side.
    #[error("{host}: the call was cancelled")]
    Cancelled {
        /// The host the call ran on.
        host: String,
    },
    /// The connection ended before the call did.
    #[error("{host}: connection lost: {}", printable(.reason))]
    Lost {
        /// The host.
        host: String,
        /// Why, as far as it is known.
        reason: String,
    },
    /// Nothing more can be sent to a channel or taken from it, while the connection serves on.
    #[error("{host}: channel: {}", printable(.reason))]
    Channel {
        /// The host at the other end.
        host: String,
        /// Why: what the other end said when it broke off, that it reads no more, or that this end is closed.
        reason: String,
    },
    /// The other side sent something that is not this protocol.
    #[error("{host}: protocol error: {}", printable(.message))]
    Protocol {
        /// The host.
        host: String,
        /// A code of spec/errors.md and a sentence.
        message: String,
    },
    /// The result is longer than this side takes, and was dropped while it arrived. The connection serves on.
    #[error("{host}: the answer takes more than {limit} bytes, the limit for one")]
    TooLarge {
        /// The host the call ran on.
        host: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Not everything could be copied; what could has been.
    #[error("{host}: {}", not_copied(.problems))]
    Files {
        /// The host.
        host: String,
        /// What could not, and why.
        problems: Vec<Problem>,
    },
    /// An argument could not be turned into a Python value, or a result not into the wanted type.
    #[error("{}", printable(.0))]
    Convert(String),
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        Error::Connect(Box::new(error))
    }
}

impl From<RemoteError> for Error {
    fn from(error: RemoteError) -> Self {
        Error::Remote(Box::new(error))
    }
}

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Error::Spec(_)
            | Error::Key(_)
            | Error::Convert(_)
            | Error::Cancelled { .. }
            | Error::Files { .. }
            | Error::TooLarge { .. } => Fault::Caller,
            Error::Connect(_) | Error::Lost { .. } => Fault::Connection,
            Error::Remote(_) | Error::Timeout { .. } | Error::Channel { .. } => Fault::RemoteCode,
            Error::Protocol { .. } => Fault::Protocol,
        }
    }

    /// What to do next, if anything: one sentence without a full stop.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Connect(error) => error.hint.clone(),
            Error::Lost { .. } => Some("connect again; what the remote code has done so far is not undone".to_owned()),
            Error::Timeout { .. } => Some("give the call a longer timeout, or look at the remote stack".to_owned()),
            Error::Protocol { .. } => Some(
                "something else wrote into the pipe, or the two ends have different versions; if it happens again, report it".to_owned(),
            ),
            Error::Files { problems, .. } if problems.iter().any(|problem| problem.reason.contains("ermission denied")) => {
                Some("copy as another user (become=root in the spec), or to or from another place".to_owned())
            }
            Error::Files { problems, .. } if problems.iter().any(|problem| problem.reason.contains("ead-only file system")) => {
                Some("the file system there is mounted to be read alone; copy to another place".to_owned())
            }
            Error::TooLarge { .. } => Some("fetch it in parts, take the answers of other calls first, or raise max_result= of the spec".to_owned()),
            _ => None,
        }
    }

    /// Whether no connection was established for a reason that may pass; see [`ConnectError::is_temporary`].
    pub fn is_temporary(&self) -> bool {
        matches!(self, Error::Connect(error) if error.is_temporary())
    }

    /// The remote traceback or stack, if there is one.
    pub fn traceback(&self) -> &[String] {
        match self {
            Error::Remote(error) => &error.traceback,
            Error::Timeout { stack, .. } => stack,
            _ => &[],
        }
    }
}

/// The first of what could not be copied, and how much more there is.
fn not_copied(problems: &[Problem]) -> String {
    const SHOWN: usize = 5;
    let shown = problems.iter().take(SHOWN);
    let mut parts: Vec<String> = shown
        .map(|problem| match problem.path.as_str() {
            // It is about all of them together.
            "" => problem.reason.clone(),
            path => format!("{path}: {}", problem.reason),
        })
        .collect();
    if problems.len() > SHOWN {
        parts.push(format!("and {} more", problems.len() - SHOWN));
    }
    format!("not everything was copied: {}", parts.join("; "))
}

/// A time limit for people: seconds, to the millisecond.
fn seconds(limit: Duration) -> String {
    format!("{} s", (limit.as_secs_f64() * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::{ConnectError, Stage};

    fn shown(output: &str) -> String {
        let error = ConnectError::new("web1", Stage::Interpreter, "nothing answered");
        error.with_output(output.as_bytes()).to_string()
    }

    #[test]
    fn of_a_long_output_a_message_shows_the_end() {
        let begin = "web1: interpreter: nothing answered; the other side printed: ";
        let twelve = (1..=12)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join("\n");
        assert_eq!(shown(&twelve), format!("{begin}{twelve}"));
        assert_eq!(
            shown(&format!("0\n{twelve}\n")),
            format!("{begin}\u{2026}{twelve}")
        );
        let long = "\u{fc}".repeat(2000);
        assert_eq!(
            shown(&long),
            format!("{begin}\u{2026}{}", "\u{fc}".repeat(1500))
        );
    }
}
