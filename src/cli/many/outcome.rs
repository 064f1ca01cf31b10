//! How a host ended, in words and as an exit code.

use std::time::Duration;

use crate::Error;
use crate::cli::terminal::failure;
use crate::cli::terminal::printer::Report;
use crate::cli::terminal::stop::Stop;

/// How one host ended.
pub(crate) enum Outcome {
    /// The program ran to its end, with this exit status.
    Ended(i32),
    /// It did not.
    Failed(Error),
    /// This side was asked to stop first.
    Interrupted,
    /// It was not begun, because others had failed.
    Skipped,
}

/// What the user sees about one host.
pub(crate) fn report(outcome: &Outcome, elapsed: Duration) -> Report {
    let (status, exit_status) = match outcome {
        Outcome::Ended(0) => ("ok", Some(0)),
        Outcome::Ended(status) => ("failed", Some(*status)),
        Outcome::Interrupted => ("interrupted", None),
        Outcome::Skipped => ("skipped", None),
        Outcome::Failed(error) => match error {
            Error::Timeout { .. } => ("timeout", None),
            Error::Connect(_) => ("unreachable", None),
            Error::Lost { .. } | Error::Protocol { .. } => ("lost", None),
            _ => ("failed", None),
        },
    };
    let (error, stack) = match outcome {
        Outcome::Failed(error) => (
            Some((error.to_string(), failure::hint(error))),
            program_frames(error.traceback()),
        ),
        _ => (None, Vec::new()),
    };
    let stage = match outcome {
        Outcome::Failed(Error::Connect(error)) => Some(error.stage),
        _ => None,
    };
    Report {
        status,
        exit_status,
        stage,
        seconds: elapsed.as_secs_f64(),
        error,
        stack,
    }
}

/// A traceback without the frames of the functions that run programs, which tell the user nothing. Of a program in a process of
/// its own, they pass its traceback on as their message.
fn program_frames(traceback: &[String]) -> Vec<String> {
    let mut ours = false;
    let lines: Vec<&str> = traceback
        .iter()
        .flat_map(|entry| entry.split_inclusive('\n'))
        .collect();
    let passed_on = lines
        .iter()
        .position(|line| line.trim_end() == "KeyboardInterrupt:");
    lines
        .into_iter()
        .skip(passed_on.map_or(0, |place| place + 1))
        .filter(|line| {
            if line.starts_with("  File ") {
                ours = line.starts_with("  File \"<easycluster>/helpers/run_");
            } else if !line.starts_with(' ') {
                ours = false;
            }
            !ours
        })
        .map(str::to_owned)
        .collect()
}

/// The exit code that tells how all of it went.
pub(crate) fn exit_code(outcomes: &[Option<Outcome>], stop: Option<Stop>) -> i32 {
    if let Some(stop) = stop {
        return stop.exit_code();
    }
    if let [Some(Outcome::Ended(status))] = outcomes {
        return *status;
    }
    let mut worst = failure::OK;
    for outcome in outcomes {
        let code = match outcome {
            Some(Outcome::Ended(0)) => failure::OK,
            Some(Outcome::Failed(error)) => failure::exit_code(error),
            _ => failure::CODE_FAILED,
        };
        // The codes are chosen so that the greater one is the graver one.
        worst = worst.max(code);
    }
    worst
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Outcome, Stop, exit_code, program_frames};
    use crate::error::ConnectError;
    use crate::{Error, Stage};

    fn ended(status: i32) -> Option<Outcome> {
        Some(Outcome::Ended(status))
    }

    fn unreachable() -> Option<Outcome> {
        let error = ConnectError::new("web1", Stage::Connect, "refused");
        Some(Outcome::Failed(Error::from(error)))
    }

    fn timeout() -> Option<Outcome> {
        Some(Outcome::Failed(Error::Timeout {
            host: "web1".to_owned(),
            limit: Duration::from_secs(1),
            stack: Vec::new(),
        }))
    }

    #[test]
    fn a_stack_begins_with_the_program() {
        let lines = [
            "Traceback (most recent call last):\n",
            "  File \"<easycluster>/helpers/run_program.py\", line 25, in run_program\n",
            "    exec(code)\n",
            "  File \"x.py\", line 1, in <module>\n    sleep(9)\n",
            "KeyboardInterrupt\n",
        ]
        .map(str::to_owned);
        assert_eq!(
            program_frames(&lines).concat(),
            "Traceback (most recent call last):\n  File \"x.py\", line 1, in <module>\n    sleep(9)\nKeyboardInterrupt\n"
        );
        let passed_on = [
            "Traceback (most recent call last):\n",
            "  File \"<easycluster>/helpers/run_program.py\", line 84, in wait_for\n",
            "    raise KeyboardInterrupt(native('\\n' + text))\n",
            "KeyboardInterrupt: \n",
        ]
        .map(str::to_owned);
        assert_eq!(
            program_frames(&[&passed_on[..], &lines[..]].concat()),
            program_frames(&lines)
        );
    }

    #[test]
    fn one_host_gives_its_own_status_and_several_the_gravest() {
        assert_eq!(exit_code(&[ended(0)], None), 0);
        assert_eq!(exit_code(&[ended(42)], None), 42);
        assert_eq!(exit_code(&[ended(0), ended(0)], None), 0);
        assert_eq!(exit_code(&[ended(0), ended(42)], None), 1);
        assert_eq!(exit_code(&[timeout(), ended(42)], None), 124);
        assert_eq!(exit_code(&[timeout(), unreachable(), ended(0)], None), 255);
        assert_eq!(exit_code(&[unreachable()], None), 255);
        assert_eq!(exit_code(&[ended(0), None], Some(Stop::Interrupt)), 130);
        assert_eq!(exit_code(&[ended(0)], Some(Stop::ReaderGone)), 141);
    }
}
