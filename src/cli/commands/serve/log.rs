//! The server's log lines: where they go, how they look, how many there are.

use std::io::Write;

use tracing::{Level, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::prelude::*;

use crate::cli::commands::serve::arguments::{ListenArguments, LogFormat};
use crate::cli::commands::serve::log_queue::{Flushed, LogQueue};
use crate::cli::terminal::failure::Failure;

/// What is logged: warnings always; the server's own start and end unless it is to be quiet; with
/// `-v` connections, with `-vv` requests.
fn filter(arguments: &ListenArguments) -> Targets {
    let quiet = arguments.class.as_deref() == Some("QuietServer");
    let level = match (arguments.verbose, quiet) {
        (0, true) => Level::WARN,
        (0, false) => Level::INFO,
        (1, _) => Level::DEBUG,
        _ => Level::TRACE,
    };
    Targets::new().with_target("easycluster", level)
}

/// Sends log lines where the arguments say, for the rest of the process. A program that has set
/// up tracing itself keeps what it has.
///
/// # Errors
///
/// Where the file cannot be written.
pub(super) fn start(arguments: &ListenArguments) -> Result<Flushed, Failure> {
    let to: Box<dyn Write + Send> = match &arguments.log_file {
        None => Box::new(std::io::stderr()),
        Some(path) => {
            // It shows who connects when, which is private.
            let file = crate::files::open_to_append(path, 0o640, false).map_err(|error| {
                Failure::here(format!("cannot write to {}: {error}", path.display()))
            })?;
            Box::new(file)
        }
    };
    let tell_lost = |lines| {
        warn!(
            lines,
            "lines of this log were lost, because nobody took them"
        )
    };
    let queue = LogQueue::start(to, tell_lost)
        .map_err(|error| Failure::here(format!("the log cannot be written: {error}")))?;
    let lines = queue.clone();
    let writer = BoxMakeWriter::new(move || lines.clone());
    let filter = filter(arguments);
    let registry = tracing_subscriber::registry();
    let layer = fmt::layer().with_writer(writer).with_ansi(false);
    let _ = match arguments.log_format {
        LogFormat::Text => registry
            .with(layer.with_target(false).with_filter(filter))
            .try_init(),
        LogFormat::Json => registry
            .with(layer.json().flatten_event(true).with_filter(filter))
            .try_init(),
    };
    Ok(Flushed(queue))
}
