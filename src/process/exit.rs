//! How a process ended: one type for children, SSH channels and the standalone server's message.

use std::fmt;
use std::io;

use crate::wire::authentication::Exit;

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitStatus {
    /// Its exit code.
    Code(i32),
    /// The signal that ended it, by name without `SIG`, such as `KILL`.
    Signal(String),
    /// It ended, or the connection did, and how is not known; the sentence says what is.
    Unknown(String),
}

/// The signals whose numbers are the same on every system (POSIX), which a process may die of.
const SIGNALS: [(i32, &str); 11] = [
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (4, "ILL"),
    (6, "ABRT"),
    (8, "FPE"),
    (9, "KILL"),
    (11, "SEGV"),
    (13, "PIPE"),
    (14, "ALRM"),
    (15, "TERM"),
];

/// SIGBUS is 7 on Linux and 10 on the BSDs and macOS.
const SIGBUS: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
    7
} else {
    10
};

impl ExitStatus {
    /// As a shell gives it in `$?`: the code, or 128 and the signal's number. `None` if it is not known.
    pub fn shell_code(&self) -> Option<i32> {
        match self {
            ExitStatus::Code(code) => Some(*code),
            ExitStatus::Signal(name) => signal_number(name).map(|number| 128 + number),
            ExitStatus::Unknown(_) => None,
        }
    }

    /// The end by the signal of this number.
    pub(crate) fn of_signal(number: i32) -> ExitStatus {
        ExitStatus::Signal(signal_name(number))
    }

    /// What a child of ours ended with.
    pub(super) fn of_child(status: io::Result<std::process::ExitStatus>) -> ExitStatus {
        match status {
            Err(error) => ExitStatus::Unknown(format!(
                "the child process could not be waited for: {error}"
            )),
            Ok(status) => {
                #[cfg(unix)]
                if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
                    return ExitStatus::of_signal(signal);
                }
                status
                    .code()
                    .map_or_else(|| ExitStatus::Unknown(status.to_string()), ExitStatus::Code)
            }
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitStatus::Code(code) => write!(f, "the process ended with exit status {code}"),
            ExitStatus::Signal(name) => write!(f, "the process was ended by signal {name}"),
            ExitStatus::Unknown(why) => f.write_str(why),
        }
    }
}

impl From<Exit> for ExitStatus {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Status(code) => ExitStatus::Code(code),
            Exit::Signal(name) => ExitStatus::Signal(name),
            Exit::Unknown => ExitStatus::Unknown(
                "the process ended, and the server does not know how".to_owned(),
            ),
        }
    }
}

impl From<&ExitStatus> for Exit {
    fn from(status: &ExitStatus) -> Self {
        match status {
            ExitStatus::Code(code) => Exit::Status(*code),
            ExitStatus::Signal(name) => Exit::Signal(name.clone()),
            ExitStatus::Unknown(_) => Exit::Unknown,
        }
    }
}

/// A signal's name without `SIG`; its number where it has no name here.
fn signal_name(signal: i32) -> String {
    let named = SIGNALS.iter().find(|(number, _)| *number == signal);
    match named {
        Some((_, name)) => (*name).to_owned(),
        None if signal == SIGBUS => "BUS".to_owned(),
        None => signal.to_string(),
    }
}

fn signal_number(name: &str) -> Option<i32> {
    let named = SIGNALS.iter().find(|(_, known)| *known == name);
    match named {
        Some((number, _)) => Some(*number),
        None if name == "BUS" => Some(SIGBUS),
        None => name.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_counts_signals_from_128() {
        let signal = |name: &str| ExitStatus::Signal(name.to_owned()).shell_code();
        assert_eq!(ExitStatus::Code(3).shell_code(), Some(3));
        assert_eq!((signal("KILL"), signal("31")), (Some(137), Some(159)));
        assert_eq!(signal("NONSENSE"), None);
        assert_eq!(ExitStatus::Unknown("lost".to_owned()).shell_code(), None);
        for (number, name) in SIGNALS.into_iter().chain([(SIGBUS, "BUS")]) {
            assert_eq!(signal_name(number), name);
            assert_eq!(signal_number(name), Some(number));
        }
    }

    #[test]
    fn the_message_and_the_status_say_the_same() {
        for exit in [Exit::Status(7), Exit::Signal("TERM".into()), Exit::Unknown] {
            assert_eq!(Exit::from(&ExitStatus::from(exit.clone())), exit);
        }
    }
}
