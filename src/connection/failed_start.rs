//! The errors of a Python that does not come up: what happened, and what to do next.

use std::time::Duration;

use super::hints;
use crate::error::{ConnectError, Stage};

/// A start of Python, as its errors name it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start<'a> {
    /// As the user named it.
    pub(crate) host: &'a str,
    /// The interpreter asked for; empty if any would do.
    pub(crate) wanted: &'a str,
    /// What helps where something else runs than is asked for.
    pub(crate) no_commands: &'static str,
    /// What the interpreter was to run: `stub` or `program`.
    pub(crate) what: &'static str,
}

impl Start<'_> {
    fn failed(&self, what: impl Into<String>) -> ConnectError {
        ConnectError::new(self.host, Stage::Interpreter, what)
    }

    /// There is no interpreter.
    pub(crate) fn no_interpreter(&self, tried: &str) -> ConnectError {
        let error = self.failed(format!("no Python found; tried {tried}"));
        if self.wanted.is_empty() {
            error.with_hint("install Python there, or name its path with rpython=/path/to/python")
        } else {
            error.with_hint("correct rpython=, or leave it out to have one searched for")
        }
    }

    /// None of the interpreters is of a version that serves.
    pub(crate) fn unfit(&self, versions: &str) -> ConnectError {
        let message =
            format!("the Python found does not serve: {versions}; 2.6, 2.7 and 3.2 or newer do");
        self.failed(message)
            .with_hint("name another interpreter with rpython=")
    }

    /// A forced command or a login shell such as `cat` runs in place of ours.
    pub(crate) fn echo(&self) -> ConnectError {
        let what = "Python did not start: the other side only sends back what it is sent";
        self.failed(what).with_hint(self.no_commands)
    }

    /// It said nothing for so long.
    pub(crate) fn late(&self, stage: Stage, limit: Duration) -> ConnectError {
        ConnectError::timeout(self.host, stage, limit).with_hint(match stage {
            Stage::Escalation => "look by hand whether one of the steps in then= or become= waits for something",
            Stage::Interpreter => "look whether the login shell waits for something, or name an interpreter with rpython=",
            _ => "look whether that interpreter starts by hand, or name another with rpython=",
        })
    }

    /// It ended like this.
    pub(crate) fn ended(&self, stage: Stage, status: &str, printed: &[u8]) -> ConnectError {
        let what = match stage {
            Stage::Interpreter => format!("Python did not start: {status}"),
            _ => format!("Python started, but the {} died: {status}", self.what),
        };
        let hint = match (hints::for_printed(printed), stage) {
            (Some(hint), _) => hint.to_owned(),
            (None, Stage::Interpreter) if self.wanted.is_empty() => self.no_commands.to_owned(),
            (None, Stage::Interpreter) => {
                format!(
                    "see whether rpython={} is a Python; else {}",
                    self.wanted, self.no_commands
                )
            }
            _ => "try that interpreter by hand, or name another with rpython=".to_owned(),
        };
        ConnectError::new(self.host, stage, what).with_hint(hint)
    }
}
