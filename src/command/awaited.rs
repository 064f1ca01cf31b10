//! What is looked for in what a command prints: the sign of its start, and where a program stood that was interrupted.

use std::time::Instant;

use bytes::Bytes;

use super::announced::Announcement;
use super::python::{Coming, Errors};
use super::refused;
use crate::error::{ConnectError, Stage};
use crate::process::ExitStatus;
use crate::spec::ConnectionSpec;
use crate::stub::FirstStage;
use crate::transport::{COMMAND_REFUSED, TransportOptions};

/// The sign by which a command is known to have been started.
enum Sign {
    /// It has come, or none does.
    Seen,
    Command(Box<Announcement>),
    Program(Box<Coming>),
}

/// What is looked for in what a command prints.
pub(super) struct Awaited {
    start: Sign,
    /// Of a program.
    errors: Option<Errors>,
}

impl Awaited {
    pub(super) fn nothing() -> Awaited {
        Awaited::command(None)
    }

    pub(super) fn command(announced: Option<Announcement>) -> Awaited {
        Awaited {
            start: announced.map_or(Sign::Seen, |announced| Sign::Command(Box::new(announced))),
            errors: None,
        }
    }

    /// For a program, which is sent `sent` first.
    pub(super) fn program(
        start: &FirstStage,
        sent: &Bytes,
        spec: &ConnectionSpec,
        options: &TransportOptions,
    ) -> Awaited {
        Awaited {
            start: Sign::Program(Box::new(Coming::new(start, sent, spec, options))),
            errors: Some(Errors::new(start)),
        }
    }

    /// The time counts from here.
    pub(super) fn begin(&mut self) {
        match &mut self.start {
            Sign::Seen => {}
            Sign::Command(announced) => announced.begin(),
            Sign::Program(coming) => coming.begin(),
        }
    }

    /// When the sign has to be seen, as long as it is awaited.
    pub(super) fn until(&self) -> Option<Instant> {
        match &self.start {
            Sign::Seen => None,
            Sign::Command(announced) => Some(announced.until()),
            Sign::Program(coming) => Some(coming.until()),
        }
    }

    /// The error where it was not seen by then.
    pub(super) fn late(&self, host: &str) -> Option<ConnectError> {
        match (&self.start, &self.errors) {
            (Sign::Command(announced), _) => Some(announced.late(host)),
            (Sign::Program(coming), Some(errors)) => Some(coming.late(host, errors)),
            _ => None,
        }
    }

    /// The error where it is still awaited when the command has ended, or the connection has, which gives no status.
    pub(super) fn missed(&self, host: &str, status: Option<&ExitStatus>) -> Option<ConnectError> {
        if let Some(ExitStatus::Unknown(why)) = status
            && why == COMMAND_REFUSED
            && !matches!(self.start, Sign::Seen)
        {
            return Some(refused(host, Stage::Channel, why, b""));
        }
        match (&self.start, &self.errors, status) {
            (
                Sign::Command(sign),
                _,
                Some(status @ (ExitStatus::Code(_) | ExitStatus::Signal(_))),
            ) => Some(sign.missed(host, status)),
            (Sign::Program(coming), Some(errors), status) => {
                Some(coming.missed(host, status, errors))
            }
            _ => None,
        }
    }

    /// What of this is no sign, and whether the command has just been seen to start.
    ///
    /// # Errors
    /// What the other side said, where no program comes of it.
    pub(super) fn stdout(
        &mut self,
        host: &str,
        data: Bytes,
    ) -> Result<(Bytes, bool), ConnectError> {
        let (data, is_complete) = match (&mut self.start, &self.errors) {
            (Sign::Command(announced), _) => announced.stdout(&data),
            (Sign::Program(coming), Some(errors)) => match coming.stdout(host, &data, errors)? {
                Some(data) => (data, true),
                None => (Bytes::new(), false),
            },
            _ => return Ok((data, false)),
        };
        if is_complete {
            self.start = Sign::Seen;
        }
        Ok((data, is_complete))
    }

    /// What of this the command printed, and is not said to us.
    pub(super) fn stderr(&mut self, data: Bytes) -> Bytes {
        if let Sign::Command(announced) = &mut self.start {
            announced.stderr(&data);
        }
        match &mut self.errors {
            Some(errors) => errors.take(data),
            None => data,
        }
    }

    /// What was held back of standard output, as nothing follows it.
    pub(super) fn rest(&mut self) -> Bytes {
        match &mut self.start {
            Sign::Command(announced) => announced.rest(),
            _ => Bytes::new(),
        }
    }

    /// What was held back of standard error; where it stood too, unless it was `ended_by_us`.
    pub(super) fn last_words(&mut self, ended_by_us: bool) -> Bytes {
        let Some(errors) = &mut self.errors else {
            return Bytes::new();
        };
        let rest = errors.rest();
        match ended_by_us || !rest.is_empty() {
            true => rest,
            false => errors.where_it_stood().unwrap_or_default(),
        }
    }

    /// Whether it says at an interruption where it stood.
    pub(super) fn tells_where_it_stood(&self) -> bool {
        self.errors.is_some()
    }

    /// What it has said of that, once.
    pub(super) fn where_it_stood(&mut self) -> Bytes {
        let errors = self.errors.as_mut();
        errors.and_then(Errors::where_it_stood).unwrap_or_default()
    }
}
