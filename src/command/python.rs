//! A program in Python as a command: the signs by which its Python is known to have come up, and where it stood when it was interrupted.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::connection::boot::{Boot, Sign};
use crate::connection::failed_start::Start;
use crate::error::{ConnectError, Stage};
use crate::process::ExitStatus;
use crate::spec::ConnectionSpec;
use crate::stub::FirstStage;
use crate::transport::tail::{Search, Tail};
use crate::transport::{TransportOptions, hint_for_other_commands};

/// How much of what a program says of where it stood is kept, in bytes.
const MOST: usize = 64 * 1024;

/// A Python that has not begun with its program yet.
pub(super) struct Coming {
    boot: Boot,
    stage: Stage,
    since: Instant,
    options: TransportOptions,
    wanted: String,
    no_commands: &'static str,
}

impl Coming {
    /// One that is about to be started; `sent` is what it is sent first.
    pub(super) fn new(
        start: &FirstStage,
        sent: &Bytes,
        spec: &ConnectionSpec,
        options: &TransportOptions,
    ) -> Coming {
        Coming {
            boot: Boot::new(&start.marker, sent),
            stage: Stage::Interpreter,
            since: Instant::now(),
            options: options.clone(),
            wanted: start.wanted.clone(),
            no_commands: hint_for_other_commands(&spec.transport()),
        }
    }

    /// The time counts from here.
    pub(super) fn begin(&mut self) {
        self.since = Instant::now();
    }

    /// When it has to come to the next stage.
    pub(super) fn until(&self) -> Instant {
        self.since + self.options.limits.since(self.stage, self.since)
    }

    fn start<'a>(&'a self, host: &'a str) -> Start<'a> {
        Start {
            host,
            wanted: &self.wanted,
            no_commands: self.no_commands,
            what: "program",
        }
    }

    /// Takes what was printed to stdout; what the program has printed, once it runs.
    ///
    /// # Errors
    /// What the other side said, where no program comes of it.
    pub(super) fn stdout(
        &mut self,
        host: &str,
        data: &[u8],
        errors: &Errors,
    ) -> Result<Option<Bytes>, ConnectError> {
        let mut sign = self.boot.feed(data);
        while let Some(found) = sign {
            match found {
                // One who repeats it gets no more time.
                Sign::FirstStage if self.stage == Stage::Stub => {}
                Sign::FirstStage => self.reached(Stage::Interpreter, "the first stage runs"),
                Sign::NoInterpreter(tried) => {
                    let error = self.start(host).no_interpreter(&tried);
                    return Err(error.with_output(&self.printed(errors)));
                }
                Sign::Unfit(versions) => {
                    let error = self.start(host).unfit(&versions);
                    return Err(error.with_output(&self.printed(errors)));
                }
                Sign::Echo => {
                    let error = self.start(host).echo();
                    return Err(error.with_output(&self.printed(errors)));
                }
                Sign::Running(rest) => {
                    self.reached(Stage::Stub, "the program runs");
                    return Ok(Some(rest));
                }
            }
            sign = self.boot.feed(&[]);
        }
        Ok(None)
    }

    fn reached(&mut self, stage: Stage, detail: &str) {
        self.options.reached(stage, self.since.elapsed(), detail);
        self.stage = Stage::Stub;
        self.since = Instant::now();
    }

    /// What the other side printed that is not ours.
    fn printed(&self, errors: &Errors) -> Vec<u8> {
        let mut printed = self.boot.noise();
        printed.extend_from_slice(errors.noise());
        printed
    }

    /// The error of a host whose Python ended like this.
    pub(super) fn missed(
        &self,
        host: &str,
        status: Option<&ExitStatus>,
        errors: &Errors,
    ) -> ConnectError {
        let status = status.map_or_else(
            || "the connection ended without an exit status".to_owned(),
            ExitStatus::to_string,
        );
        let printed = self.printed(errors);
        let error = self.start(host).ended(self.stage, &status, &printed);
        error.with_output(&printed)
    }

    /// The error where nothing has been heard in time.
    pub(super) fn late(&self, host: &str, errors: &Errors) -> ConnectError {
        let limits = &self.options.limits;
        let limit = limits.used_up();
        let limit = limit.unwrap_or_else(|| limits.since(self.stage, self.since));
        let error = self.start(host).late(self.stage, limit);
        error.with_output(&self.printed(errors))
    }
}

/// What comes of a program on standard error, which has signs of its own, as nothing says in which order the two streams come.
pub(super) struct Errors {
    /// Before the program prints anything.
    noise: Tail,
    begins: Option<Search>,
    /// In front of where it stood when it was interrupted.
    stood: Search,
    said: Option<BytesMut>,
}

impl Errors {
    pub(super) fn new(start: &FirstStage) -> Errors {
        let search = |letter| Search::new(format!("{}{letter}\n", start.marker));
        Errors {
            noise: Tail::default(),
            begins: Some(search("r")),
            stood: search("k"),
            said: None,
        }
    }

    /// Takes what came, and gives what the program has printed of it.
    pub(super) fn take(&mut self, mut data: Bytes) -> Bytes {
        if let Some(begins) = &mut self.begins {
            let (noise, behind) = begins.feed(&data);
            self.noise.extend(&noise);
            let Some(behind) = behind else {
                return Bytes::new();
            };
            self.begins = None;
            data = behind;
        }
        let Some(said) = &mut self.said else {
            let (printed, said) = self.stood.feed(&data);
            self.said = said.as_deref().map(BytesMut::from);
            return printed;
        };
        let room = MOST.saturating_sub(said.len()).min(data.len());
        let (taken, rest) = (data.slice(..room), data.slice(room..));
        said.extend_from_slice(&taken);
        rest
    }

    /// What was printed before the program began.
    pub(super) fn noise(&self) -> &[u8] {
        self.noise.bytes()
    }

    /// What was held back, as nothing follows it.
    pub(super) fn rest(&mut self) -> Bytes {
        match self.begins {
            Some(_) => Bytes::new(),
            None => self.stood.rest(),
        }
    }

    /// Where it stood, once.
    pub(super) fn where_it_stood(&mut self) -> Option<Bytes> {
        self.said.take().map(BytesMut::freeze)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::program;

    #[test]
    fn where_it_stood_is_told_from_what_it_prints() {
        let start = program::start(None).expect("random numbers");
        let marker = &start.marker;
        let text = format!("noise\n{marker}r\nwarning\n{marker}k\nTraceback\nend\n");
        for size in [1, 7, 18, 100] {
            let mut errors = Errors::new(&start);
            let mut printed = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                printed.extend_from_slice(&errors.take(Bytes::copy_from_slice(piece)));
            }
            printed.extend_from_slice(&errors.rest());
            assert_eq!(printed, b"warning\n", "{size}");
            assert_eq!(errors.noise(), b"noise\n");
            let stood = errors.where_it_stood();
            assert_eq!(stood.as_deref(), Some(&b"Traceback\nend\n"[..]));
        }
        let mut errors = Errors::new(&start);
        let text = format!("{marker}r\n{}", &marker[..9]);
        assert!(errors.take(text.into()).is_empty());
        assert_eq!(errors.rest(), marker[..9]);
        assert_eq!(errors.where_it_stood(), None);
    }
}
