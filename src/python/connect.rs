//! Opening a connection, and waiting that Ctrl-C ends at once.

use std::io::{IsTerminal, PipeReader};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::task::AbortHandle;

use crate::connection::{ConnectOptions, Connection as Core, Peer};
use crate::error::Error;
use crate::spec::ConnectionSpec;

use super::connection::{Connection, LONG};
use super::queue::Queue;
use super::runtime::Engine;
use super::spec::Spec;
use super::{descriptor, errors, output, runtime};

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

/// What `open` takes, in its order.
pub(super) type Parameters<'py> = (PyRef<'py, Spec>, String, u8, bool, Option<(f64, f64)>);

/// One attempt to connect.
pub(super) type Attempt = Pin<Box<dyn Future<Output = Result<Core, Error>> + Send>>;

/// A connection to be opened.
pub(super) struct Plan {
    spec: ConnectionSpec,
    options: ConnectOptions,
    queue: Arc<Queue>,
    number: u64,
    trusted: bool,
    keep_alive: Option<(f64, f64)>,
}

impl Plan {
    pub(super) fn new(
        (spec, definitions, pickle, trusted, keep_alive): Parameters<'_>,
    ) -> PyResult<Plan> {
        let spec = spec.spec.clone();
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
        if spec.batch != Some(true) {
            let at_terminal = std::io::stdin().is_terminal();
            options.transport.prompter = crate::transport::ssh::prompter(at_terminal);
        }
        Ok(Plan {
            spec,
            options,
            queue,
            number,
            trusted,
            keep_alive,
        })
    }

    /// Connects; without anything of Python's, so that it can be done anywhere.
    fn connect(&self) -> impl Future<Output = Result<Core, Error>> + Send + 'static {
        let (spec, options) = (self.spec.clone(), self.options.clone());
        async move { Core::open(&spec, options).await }
    }

    /// The same until the other side runs.
    fn connect_fully(&self) -> Attempt {
        self.attempts()()
    }

    /// Makes attempts to connect until the other side runs, any number of them.
    pub(super) fn attempts(&self) -> impl Fn() -> Attempt + Send + Sync + 'static {
        let (spec, options) = (self.spec.clone(), self.options.clone());
        move || {
            let (spec, options) = (spec.clone(), options.clone());
            Box::pin(async move {
                let core = Core::open(&spec, options).await?;
                core.ready().await?;
                Ok(core)
            })
        }
    }

    /// Makes a Python connection of what came of connecting.
    pub(super) fn finish(
        self,
        py: Python<'_>,
        engine: &Arc<Engine>,
        opened: Result<Core, Error>,
    ) -> PyResult<Connection> {
        let core = opened.map_err(|error| errors::from_error(py, error))?;
        let lost = Arc::clone(&self.queue);
        core.on_lost(move |_| lost.lost());
        if let Some((interval, limit)) = self.keep_alive {
            let watched = core.downgrade();
            engine.spawn(keep_alive(watched, interval, limit));
        }
        let engine = Arc::clone(engine);
        Ok(Connection::new(
            core,
            self.queue,
            engine,
            self.number,
            self.trusted,
        ))
    }
}

/// Connects as the spec says, as far as a started remote command; requests may be made at once.
///
/// `pickle` is the highest protocol this Python reads; `trusted` lets everything be unpickled.
#[pyfunction]
#[pyo3(signature = (spec, definitions, pickle, trusted=false, keep_alive=None))]
pub(super) fn open(
    py: Python<'_>,
    spec: PyRef<'_, Spec>,
    definitions: String,
    pickle: u8,
    trusted: bool,
    keep_alive: Option<(f64, f64)>,
) -> PyResult<Connection> {
    let plan = Plan::new((spec, definitions, pickle, trusted, keep_alive))?;
    let engine = runtime::engine()?;
    let opened = wait_for(py, &engine, plan.connect())?;
    plan.finish(py, &engine, opened)
}

/// Begins to connect, and does not wait. The arguments are those of `open`.
#[pyfunction]
#[pyo3(signature = (spec, definitions, pickle, trusted=false, keep_alive=None))]
pub(super) fn begin(
    spec: PyRef<'_, Spec>,
    definitions: String,
    pickle: u8,
    trusted: bool,
    keep_alive: Option<(f64, f64)>,
) -> PyResult<Opening> {
    let plan = Plan::new((spec, definitions, pickle, trusted, keep_alive))?;
    let engine = runtime::engine()?;
    let (reader, writer) = std::io::pipe()?;
    let outcome = Arc::new(Mutex::new(None));
    let (connecting, place) = (plan.connect_fully(), Arc::clone(&outcome));
    let task = engine.spawn(async move {
        let opened = connecting.await;
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
        // However the task ends, its end of the pipe is closed then.
        drop(writer);
    });
    Ok(Opening {
        plan: Mutex::new(Some(plan)),
        outcome,
        task: task.abort_handle(),
        reader,
        process: runtime::process(),
    })
}

/// A connection that is being made. What is dropped is given up.
#[pyclass(frozen, module = "easycluster._native")]
pub(super) struct Opening {
    plan: Mutex<Option<Plan>>,
    outcome: Arc<Mutex<Option<Result<Core, Error>>>>,
    task: AbortHandle,
    /// At its end when there is an outcome.
    reader: PipeReader,
    process: u64,
}

#[pymethods]
impl Opening {
    /// A descriptor that becomes readable when there is an outcome.
    fn fileno(&self) -> PyResult<i32> {
        descriptor::number(&self.reader)
    }

    /// The connection, or raises why there is none. To be called once, when the descriptor is readable.
    fn finish(&self, py: Python<'_>) -> PyResult<Connection> {
        runtime::check(self.process)?;
        let plan = self
            .plan
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let outcome = self
            .outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match (plan, outcome) {
            (Some(plan), Some(opened)) => plan.finish(py, &runtime::engine()?, opened),
            _ => Err(PyRuntimeError::new_err("the connection task has ended")),
        }
    }

    /// Gives the connection up.
    fn abort(&self) {
        if self.process == runtime::process() {
            self.task.abort();
            // The task ends only when a thread drives the runtime.
            if let Ok(engine) = runtime::engine() {
                engine.nudge();
            }
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.abort();
    }
}

/// Asks for a sign of life every `interval` seconds, and closes the connection when none came for `limit` seconds.
async fn keep_alive(connection: crate::connection::WeakConnection, interval: f64, limit: f64) {
    let every = Duration::try_from_secs_f64(interval.max(0.01)).unwrap_or(LONG);
    let limit = Duration::try_from_secs_f64(limit.max(0.01)).unwrap_or(LONG);
    loop {
        tokio::time::sleep(every).await;
        let Some(connection) = connection.upgrade() else {
            return;
        };
        if !connection.is_connected() {
            return;
        }
        if let Err(_elapsed) = tokio::time::timeout(limit, connection.ping()).await {
            connection.abandon("Remote server not responding");
            return;
        }
    }
}
