//! How far a copy with one host is, and what came of it.

use std::time::{Duration, Instant};

use super::options::{Copied, CopyOptions, Progress, ProgressSink};
use crate::error::Error;
use crate::files::problem::Problem;

/// How often somebody is told at most.
const OFTEN: Duration = Duration::from_millis(100);
/// The most problems that are kept.
const MOST: usize = 10_000;

pub(super) struct Report {
    host: String,
    pub(super) copied: Copied,
    pub(super) problems: Vec<Problem>,
    progress: Progress,
    sink: Option<ProgressSink>,
    told: Option<Instant>,
}

impl Report {
    pub(super) fn new(host: &str, options: &CopyOptions) -> Report {
        Report {
            host: host.to_owned(),
            copied: Copied::default(),
            problems: Vec::new(),
            progress: Progress {
                host: host.to_owned(),
                ..Progress::default()
            },
            sink: options.progress.clone(),
            told: None,
        }
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// One more file of so many bytes is to be copied.
    pub(super) fn expect(&mut self, bytes: u64) {
        self.progress.all_files += 1;
        // Sizes are what a server says.
        self.progress.all_bytes = self.progress.all_bytes.saturating_add(bytes);
    }

    /// So much more is there. Nothing more is no news, and delays none.
    pub(super) fn advance(&mut self, files: u64, bytes: u64) {
        if (files, bytes) == (0, 0) {
            return;
        }
        self.progress.files += files;
        self.progress.bytes += bytes;
        let now = Instant::now();
        if self.told.is_none_or(|told| now >= told + OFTEN) {
            self.told = Some(now);
            self.tell();
        }
    }

    fn tell(&self) {
        if let Some(sink) = &self.sink {
            sink(&self.progress);
        }
    }

    /// Fails where there are problems.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        if self.problems.is_empty() {
            return Ok(());
        }
        let mut problems = std::mem::take(&mut self.problems);
        problems.truncate(MOST);
        Err(Error::Files {
            host: self.host.clone(),
            problems,
        })
    }

    /// What came of it.
    pub(super) fn end(mut self) -> Result<Copied, Error> {
        self.tell();
        self.check()?;
        Ok(self.copied)
    }
}
