//! Opening a connection, and waiting that Ctrl-C ends at once.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::connection::{ConnectOptions, Connection as Core, Peer};

use super::connection::Connection;
use super::queue::Queue;
use super::{errors, output, runtime, spec};

/// How often the main thread looks for a signal while it waits, so that Ctrl-C ends the wait.
pub(super) const SIGNAL_CHECK: Duration = Duration::from_millis(50);

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// Waits for an answer of the runtime's thread without Python's lock. Ends early with what a signal handler raised.
pub(super) fn wait_for<T: Send>(py: Python<'_>, answer: &Receiver<T>) -> PyResult<T> {
    // Receivers are not Sync, but this one moves into the closure and back by reference only.
    struct Borrowed<'a, T>(&'a Receiver<T>);
    unsafe impl<T: Send> Send for Borrowed<'_, T> {}
    loop {
        let borrowed = Borrowed(answer);
        let received = py.detach(move || {
            let borrowed = borrowed;
            borrowed.0.recv_timeout(SIGNAL_CHECK)
        });
        match received {
            Ok(value) => return Ok(value),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err("the connection thread has ended"));
            }
        }
    }
}

/// Connects as `parameters` say, as far as a started remote command; requests may be made at once.
///
/// `pickle` is the highest protocol this Python reads; `trusted` lets everything be unpickled.
#[pyfunction]
#[pyo3(signature = (parameters, definitions, pickle, trusted=false, keep_alive=None))]
pub(super) fn open(
    py: Python<'_>,
    parameters: &Bound<'_, PyDict>,
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
    let runtime = runtime::handle()?;
    let (sender, receiver) = sync_channel(1);
    let task = runtime.spawn(async move {
        // Whoever interrupted the wait has dropped the receiver; the connection then ends here.
        let _ = sender.send(Core::open(&spec, options).await);
    });
    let opened = wait_for(py, &receiver).inspect_err(|_| task.abort())?;
    let core = opened.map_err(|error| errors::from_error(py, error))?;
    let lost = Arc::clone(&queue);
    core.on_lost(move |_| lost.lost());
    if let Some((interval, limit)) = keep_alive {
        let watched = core.clone();
        runtime.spawn(super::connection::keep_alive(
            watched.downgrade(),
            interval,
            limit,
        ));
    }
    Ok(Connection::new(core, queue, number, trusted))
}
