//! Where text goes while a live view may stand at the bottom of the terminal: above the view, or straight to stdout and stderr.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{MultiProgress, ProgressDrawTarget};

use crate::cli::terminal::failure;
use crate::cli::terminal::lines::{Format, Stream, write_out};

/// How often a second the live view is drawn at most.
const DRAWS: u8 = 10;

/// stdout and stderr of this program. Its clones are the same screen.
#[derive(Clone)]
pub(crate) struct Screen {
    view: MultiProgress,
    /// Whether the live view is to be seen now.
    shown: Arc<AtomicBool>,
    stdout_is_terminal: bool,
}

impl Screen {
    /// The screen without a live view.
    pub(crate) fn new() -> Screen {
        Screen {
            view: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
            shown: Arc::default(),
            stdout_is_terminal: io::stdout().is_terminal(),
        }
    }

    /// The rows of the live view.
    pub(crate) fn view(&self) -> &MultiProgress {
        &self.view
    }

    /// Shows the live view from now on, or takes it away.
    pub(crate) fn show_view(&self, show: bool) {
        if show == self.shown.swap(show, Ordering::Relaxed) {
            return;
        }
        if !show {
            // A terminal that has gone shows nothing any more.
            let _ = self.view.clear();
        }
        self.view.set_draw_target(if show {
            ProgressDrawTarget::stderr_with_hz(DRAWS)
        } else {
            ProgressDrawTarget::hidden()
        });
    }

    /// Runs what writes to the terminal; the live view comes back below it.
    ///
    /// The view's own way of printing above it fills lines up with blanks, and counts tabs and wide characters wrongly.
    fn above_view<T>(&self, write: impl FnOnce() -> T) -> T {
        if self.shown.load(Ordering::Relaxed) {
            self.view.suspend(write)
        } else {
            write()
        }
    }

    /// Writes to where the stream goes; what goes to the terminal goes above the live view.
    ///
    /// # Errors
    ///
    /// As writing says it; `BrokenPipe` where the reader has gone.
    pub(crate) fn write(&self, format: Format, stream: Stream, shown: &[u8]) -> io::Result<()> {
        let to_stderr = stream == Stream::Stderr && format != Format::Json;
        if shown.is_empty() || !(to_stderr || self.stdout_is_terminal) {
            return write_out(format, stream, shown);
        }
        self.above_view(|| write_out(format, stream, shown))
    }

    /// Prints an error and what to do next to stderr.
    pub(crate) fn error(&self, message: &str, hint: Option<&str>) {
        self.above_view(|| failure::print_error(message, hint));
    }

    /// Prints a warning to stderr.
    pub(crate) fn warning(&self, message: &str) {
        self.above_view(|| failure::print_warning(message));
    }

    /// Prints a line to stderr.
    pub(crate) fn note(&self, line: &str) {
        let line = format!("{line}\n");
        // If stderr cannot be written, nothing more can be said.
        let _ = self.write(Format::Plain, Stream::Stderr, line.as_bytes());
    }
}
