//! Opening a connection, and waiting that Ctrl-C ends at once.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::connection::{ConnectOptions, Connection as Core, Peer};

use super::connection::Connection;
use super::queue::Queue;
use super::runtime::Engine;
use super::{errors, output, runtime, spec};

/// How often the main thread looks for a signal while it waits, so that Ctrl-C ends the wait.
pub(super) const SIGNAL_CHECK: Duration = Duration::from_millis(50);

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// Runs a future on the runtime and waits for it without Python's lock. Given up when a signal handler raises.
pub(super) fn wait_for<T: Send + 'static>(
    py: Python<'_>,
    engine: &Engine,
    future: impl Future<Output = T> + Send + 'static,
) -> PyResult<T> {
    let mut task = engine.spawn(future);
    loop {
        let waited = py
            .detach(|| engine.drive(async { tokio::time::timeout(SIGNAL_CHECK, &mut task).await }));
        match waited {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(_)) => return Err(PyRuntimeError::new_err("the connection task has ended")),
            Err(_elapsed) => {
                if let Err(raised) = py.check_signals() {
                    task.abort();
                    engine.nudge();
                    return Err(raised);
                }
            }
        }
    }
}

/// Connects as `parameters` say, a Spec or a dictionary, as far as a started remote command; requests may be made at once.
///
/// `pickle` is the highest protocol this Python reads; `trusted` lets everything be unpickled.
#[pyfunction]
#[pyo3(signature = (parameters, definitions, pickle, trusted=false, keep_alive=None))]
pub(super) fn open(
    py: Python<'_>,
    parameters: &Bound<'_, PyAny>,
    definitions: String,
    pickle: u8,
    trusted: bool,
    keep_alive: Option<(f64, f64)>,
) -> PyResult<Connection> {
    let spec = spec::spec_from(parameters)?;
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let queue = Arc::new(Queue::default());
    let classes = Arc::clone(&queue);
    let mut options = ConnectOptions {
        definitions,
        peer: Peer::Python { pickle },
        output: output::sink(number),
        classes: Some(Arc::new(move |payload| classes.class(payload))),
        ..ConnectOptions::default()
    };
    // Questions go to the terminal, if there is one and the spec does not forbid them.
    if spec.batch != Some(true) && std::io::stdin().is_terminal() {
        options.transport.prompter = Some(crate::transport::ssh::terminal_prompter());
    }
    let engine = runtime::engine()?;
    let opened = wait_for(py, &engine, async move { Core::open(&spec, options).await })?;
    let core = opened.map_err(|error| errors::from_error(py, error))?;
    let lost = Arc::clone(&queue);
    core.on_lost(move |_| lost.lost());
    if let Some((interval, limit)) = keep_alive {
        let watched = core.clone();
        engine.spawn(super::connection::keep_alive(
            watched.downgrade(),
            interval,
            limit,
        ));
    }
    Ok(Connection::new(core, queue, engine, number, trusted))
}
