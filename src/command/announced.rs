//! The sign that a command was started, which stands in front of its output: an account may run something else than it is asked for.

use std::time::Instant;

use bytes::Bytes;

use super::refused;
use crate::error::{ConnectError, Stage};
use crate::process::ExitStatus;
use crate::progress::StageLimits;
use crate::stub;
use crate::transport::tail::{Search, Tail};

/// A sign that has not been seen yet.
pub(super) struct Announcement {
    marker: String,
    search: Search,
    printed: Tail,
    since: Instant,
    limits: StageLimits,
}

impl Announcement {
    /// Of a command that is about to be started.
    ///
    /// # Errors
    /// Where the system has no randomness.
    pub(super) fn new(limits: &StageLimits) -> Result<Announcement, ConnectError> {
        let marker = stub::new_marker()?;
        Ok(Announcement {
            search: Search::new(marker.clone()),
            marker,
            printed: Tail::default(),
            since: Instant::now(),
            limits: limits.clone(),
        })
    }

    /// What prints the sign, in words of sh that do not hold it, as they may be repeated.
    pub(super) fn line(&self) -> String {
        let (first, second) = stub::halves(&self.marker);
        format!("printf %s%s {first} {second};")
    }

    /// The time counts from here.
    pub(super) fn begin(&mut self) {
        self.since = Instant::now();
    }

    /// When it has to be seen.
    pub(super) fn until(&self) -> Instant {
        self.since + self.limits.since(Stage::Interpreter, self.since)
    }

    /// Takes what was printed to stdout; gives what is not of the sign, and whether that is complete.
    pub(super) fn stdout(&mut self, data: &[u8]) -> (Bytes, bool) {
        self.printed.extend(data);
        match self.search.feed(data) {
            (before, None) => (before, false),
            (before, Some(behind)) if before.is_empty() => (behind, true),
            (before, Some(behind)) => ([before, behind].concat().into(), true),
        }
    }

    /// Takes what was printed to stderr.
    pub(super) fn stderr(&mut self, data: &[u8]) {
        self.printed.extend(data);
    }

    /// What was held back, as nothing follows it.
    pub(super) fn rest(&mut self) -> Bytes {
        self.search.rest()
    }

    /// The error of a host whose process ended like this.
    pub(super) fn missed(&self, host: &str, status: &ExitStatus) -> ConnectError {
        let what = format!("something else ran in place of the command: {status}");
        refused(host, Stage::Interpreter, what, self.printed.bytes())
    }

    /// The error where it has not been seen in time.
    pub(super) fn late(&self, host: &str) -> ConnectError {
        let limit = self.limits.used_up();
        let limit = limit.unwrap_or_else(|| self.limits.since(Stage::Interpreter, self.since));
        let timeout = ConnectError::timeout(host, Stage::Interpreter, limit);
        let what = format!("the command did not start: {}", timeout.message);
        let mut error = refused(host, Stage::Interpreter, what, self.printed.bytes());
        error.timed_out = true;
        error
    }
}

#[cfg(test)]
mod tests {
    use super::Announcement;

    use crate::progress::StageLimits;

    #[test]
    fn the_sign_is_taken_out_wherever_it_is_cut() {
        let one = || Announcement::new(&StageLimits::default()).expect("random numbers");
        for size in [1, 2, 5, 15, 16, 17, 100] {
            let mut announcement = one();
            let text = format!(
                "Welcome {}\n{}a\nb",
                &announcement.marker[..9],
                announcement.marker
            );
            let mut given = Vec::new();
            let mut complete = 0;
            for piece in text.as_bytes().chunks(size) {
                if complete > 0 {
                    given.extend_from_slice(piece);
                    continue;
                }
                let (data, is_complete) = announcement.stdout(piece);
                given.extend_from_slice(&data);
                complete += usize::from(is_complete);
            }
            let expected = text.replacen(&announcement.marker, "", 1);
            assert_eq!(
                (String::from_utf8_lossy(&given).as_ref(), complete),
                (&*expected, 1)
            );
        }
        let mut announcement = one();
        let begun = announcement.marker[..7].to_owned();
        assert_eq!(announcement.stdout(begun.as_bytes()).0.len(), 0);
        assert_eq!(announcement.rest(), begun.as_bytes());
        assert!(!announcement.line().contains(&announcement.marker));
    }
}
