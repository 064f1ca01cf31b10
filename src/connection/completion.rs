//! How a call ends, as its submitter hears it.

use tokio::sync::oneshot;

use crate::error::{ConnectError, Error};
use crate::session::{Answer, Outcome};

/// Why a connection ended. Cheap to clone: every pending call gets it.
#[derive(Debug, Clone)]
pub enum Failure {
    /// It could not be established.
    Connect(Box<ConnectError>),
    /// It was there, and ended.
    Lost(String),
    /// The other side broke the protocol.
    Protocol(String),
}

impl Failure {
    /// This side closed it.
    pub fn closed() -> Failure {
        Failure::Lost("closed by this side".to_owned())
    }

    /// As the public error.
    pub fn into_error(self, host: &str) -> Error {
        let host = host.to_owned();
        match self {
            Failure::Connect(error) => Error::Connect(error),
            Failure::Lost(reason) => Error::Lost { host, reason },
            Failure::Protocol(message) => Error::Protocol { host, message },
        }
    }
}

/// How a call ended.
#[derive(Debug)]
pub enum Completion {
    /// It returned a value.
    Result(Answer),
    /// The server answered with ERROR (ME-6).
    Error(Answer),
    /// No answer was wanted; it was handed to the transport.
    Sent,
    /// It was cancelled; the server's answer, if it came in time.
    Cancelled(Option<Answer>),
    /// Its deadline passed; the server's answer, if it came in time.
    TimedOut(Option<Answer>),
    /// The answer was longer than this many bytes, and was dropped while it arrived.
    TooLarge(u64),
    /// The connection ended first, or was not there.
    Lost(Failure),
    /// The request breaks a limit of the protocol and was not sent.
    Refused(String),
}

impl Completion {
    pub(super) fn new(outcome: Outcome, failure: impl FnOnce() -> Failure) -> Completion {
        match outcome {
            Outcome::Result(answer) => Completion::Result(answer),
            Outcome::Error(answer) => Completion::Error(answer),
            Outcome::Sent => Completion::Sent,
            Outcome::Cancelled { error } => Completion::Cancelled(error),
            Outcome::TimedOut { error } => Completion::TimedOut(error),
            Outcome::TooLarge { limit } => Completion::TooLarge(limit),
            Outcome::Lost { .. } => Completion::Lost(failure()),
        }
    }
}

/// What is notified of a call's end.
pub enum Sink {
    /// A task that waits.
    Oneshot(oneshot::Sender<Completion>),
    /// A function, called on the runtime's thread; it must not block.
    Callback(Box<dyn FnOnce(Completion) + Send>),
}

impl Sink {
    pub(super) fn complete(self, completion: Completion) {
        match self {
            // A receiver that is gone has given up waiting, which is its right.
            Sink::Oneshot(sender) => drop(sender.send(completion)),
            Sink::Callback(callback) => callback(completion),
        }
    }
}
