//! Words errors for people, and picks the exit codes of errors; `stop` and `run` have those of signals and of hosts.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use crate::cli::terminal::ci::defused_here;
use crate::error::printable;
use crate::{Error, Fault, Stage};

/// Everything went well.
pub(crate) const OK: i32 = 0;
/// Remote code failed on at least one host.
pub(crate) const CODE_FAILED: i32 = 1;
/// The command line is wrong; clap uses the same.
pub(crate) const USAGE: i32 = 2;
/// A time limit passed; as `timeout` (coreutils) says it.
pub(crate) const TIMED_OUT: i32 = 124;
/// Interrupted from the keyboard; as shells say it, 128 and the signal.
pub(crate) const INTERRUPTED: i32 = 130;
/// The reader of our output has gone; as in shells, 128 and SIGPIPE.
pub(crate) const READER_GONE: i32 = 141;
/// A connection was not established or was lost; as in `ssh`.
pub(crate) const CONNECTION: i32 = 255;

/// What the program ends with if it does not succeed: a sentence, a hint, an exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) code: i32,
}

impl Failure {
    /// The command line asks for something that makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failure {
            message: message.into(),
            hint: None,
            code: USAGE,
        }
    }

    /// Something on this machine is in the way, such as a file that cannot be read.
    pub(crate) fn here(message: impl Into<String>) -> Self {
        Failure {
            message: message.into(),
            hint: None,
            code: CODE_FAILED,
        }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prints it to stderr and gives the exit code.
    pub(crate) fn report(self) -> i32 {
        print_error(&self.message, self.hint.as_deref());
        self.code
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure {
            message: error.to_string(),
            hint: hint(&error),
            code: exit_code(&error),
        }
    }
}

/// What to do next, in words that the program takes.
pub(crate) fn hint(error: &Error) -> Option<String> {
    match error {
        Error::Timeout { .. } => Some(
            "--timeout SECONDS gives it longer; what it has done so far is not undone".to_owned(),
        ),
        Error::Lost { .. } => Some(
            "try it again, on the hosts that failed alone by --failed-to FILE and --retry-from FILE; what it has done so far is not undone"
                .to_owned(),
        ),
        Error::Connect(connect) => match connect.stage {
            Stage::Resolve if std::path::Path::new(&connect.host).is_file() => Some(format!(
                "{0} is a file of this machine; for the hosts that it names: -f {0}",
                connect.host
            )),
            Stage::Interpreter if connect.message.starts_with("no Python found") => {
                let first = error.hint().map(|hint| hint + "; ").unwrap_or_default();
                Some(format!("{first}shell commands need none: easycluster exec"))
            }
            _ => error.hint(),
        },
        _ => error.hint(),
    }
}

/// The exit code that tells of `error`.
pub(crate) fn exit_code(error: &Error) -> i32 {
    match error {
        Error::Timeout { .. } => TIMED_OUT,
        Error::Cancelled { .. } => INTERRUPTED,
        Error::Spec(_) => USAGE,
        _ => match error.fault() {
            Fault::Connection | Fault::Protocol => CONNECTION,
            _ => CODE_FAILED,
        },
    }
}

/// The exit code where our own output cannot be written. A reader that has gone knows that by itself; anything else, such
/// as a full disk, is said.
pub(crate) fn unwritten(error: &std::io::Error) -> i32 {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return READER_GONE;
    }
    if crate::descriptors::output_is_closed() {
        print_error(
            "cannot write the output: standard output is closed",
            Some("redirect it to a file, or to /dev/null where you do not want it"),
        );
    } else {
        print_error(&format!("cannot write the output: {error}"), None);
    }
    CODE_FAILED
}

/// Prints a result to stdout, and gives the exit code.
pub(crate) fn printed(result: impl AsRef<[u8]>) -> i32 {
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(result.as_ref())
        .and_then(|()| stdout.flush());
    written.map_or_else(|error| unwritten(&error), |()| OK)
}

/// Why a part of a story could not be printed.
static UNTOLD: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// Prints a part of what a command tells as it goes on, in colours. A failure does not stop the command; see [`untold`].
pub(crate) fn tell(text: &str) {
    let mut stdout = anstream::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    if let Err(error) = written {
        let mut first = UNTOLD.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
    }
}

/// The exit code where something that was to be told could not be.
pub(crate) fn untold() -> Option<i32> {
    let first = UNTOLD.lock().unwrap_or_else(PoisonError::into_inner).take();
    first.map(|error| unwritten(&error))
}

/// Prints one error to stderr: a line that says what happened, and one that says what to do next.
pub(crate) fn print_error(message: &str, hint: Option<&str>) {
    let red = anstyle::AnsiColor::Red.on_default().bold();
    let blue = anstyle::AnsiColor::Blue.on_default().bold();
    let mut text = format!("{red}error:{red:#} {}\n", under(message));
    if let Some(hint) = hint {
        text.push_str(&format!(" {blue}hint:{blue:#} {}\n", under(hint)));
    }
    // If stderr cannot be written, the error cannot be shown.
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// Prints one warning to stderr.
pub(crate) fn print_warning(message: &str) {
    let yellow = anstyle::AnsiColor::Yellow.on_default().bold();
    let text = format!("{yellow}warning:{yellow:#} {}\n", under(message));
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// Prints a line to stderr that is no error.
pub(crate) fn print_line(line: &str) {
    // As above: what cannot be shown is no reason to end, as `eprintln!` would.
    let _ = std::io::stderr()
        .lock()
        .write_all(format!("{line}\n").as_bytes());
}

/// A message that may have several lines, some of them a server's: those after the first are indented, so that none can pass for
/// a message of its own.
fn under(message: &str) -> String {
    defused_here(printable(message.trim_end())).replace('\n', "\n       ")
}
