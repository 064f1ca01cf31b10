//! A command that has ended: what it printed, and how it ended.

use std::borrow::Cow;

use bytes::Bytes;

use crate::error::{Error, RemoteError};
use crate::process::ExitStatus;

/// What a command printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandOutput {
    /// The host it ran on, as the user named it.
    pub host: String,
    /// All of its standard output.
    pub stdout: Bytes,
    /// All of its standard error.
    pub stderr: Bytes,
    /// Its exit code, or the signal that ended it.
    pub status: ExitStatus,
}

impl CommandOutput {
    /// Whether its exit code is 0.
    pub fn success(&self) -> bool {
        self.status == ExitStatus::Code(0)
    }

    /// Its standard output as text; what is not UTF-8 is replaced.
    pub fn stdout_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// Its standard error as text; what is not UTF-8 is replaced.
    pub fn stderr_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr)
    }

    /// The same output where the command succeeded.
    ///
    /// # Errors
    /// [`Error::Remote`], whose type is `CommandError`, with the last lines of standard error.
    pub fn check(self) -> Result<CommandOutput, Error> {
        if self.success() {
            return Ok(self);
        }
        let said = self.stderr_text();
        let said = said.trim_end();
        let begin = said.rmatch_indices('\n').nth(9).map_or(0, |(at, _)| at + 1);
        let said = said.get(begin..).unwrap_or_default();
        let mut message = self.status.to_string();
        if !said.is_empty() {
            message = format!("{message}; it said: {}", crate::error::printable(said));
        }
        Err(RemoteError {
            host: self.host.clone(),
            kind: "exception".to_owned(),
            type_name: "CommandError".to_owned(),
            module: "easycluster".to_owned(),
            message,
            traceback: Vec::new(),
            args: None,
        }
        .into())
    }
}
