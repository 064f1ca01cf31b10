//! Where text goes while a live view may stand at the bottom of the terminal: above the view, or straight to stdout and stderr.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::terminal::failure;
use crate::cli::terminal::lines::{Format, Stream, write_out};

/// How often a second the live view is drawn at most.
const DRAWS: u8 = 10;

/// stdout and stderr of this program. Its clones are the same screen.
#[derive(Clone)]
pub(crate) struct Screen {
    /// All lines of the live view are one bar's message, so that they change together.
    view: ProgressBar,
    /// Whether the live view is to be seen now.
    shown: Arc<AtomicBool>,
    stdout_is_terminal: bool,
}

impl Screen {
    /// The screen without a live view.
    pub(crate) fn new() -> Screen {
        let view = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(lines_alone) = ProgressStyle::with_template("{msg}") {
            view.set_style(lines_alone);
        }
        Screen {
            view,
            shown: Arc::default(),
            stdout_is_terminal: io::stdout().is_terminal(),
        }
    }

    /// Shows these lines as the live view from now on.
    pub(crate) fn show_view(&self, lines: &[String]) {
        if !self.shown.swap(true, Ordering::Relaxed) {
            // It may have been taken away before.
            self.view.reset();
            self.view
                .set_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS));
        }
        self.view.set_message(lines.join("\n"));
    }

    /// Takes the live view away.
    pub(crate) fn hide_view(&self) {
        if self.shown.swap(false, Ordering::Relaxed) {
            self.view.finish_and_clear();
            self.view.set_draw_target(ProgressDrawTarget::hidden());
        }
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
