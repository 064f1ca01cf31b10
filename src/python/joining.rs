//! Connecting to a cluster: hosts come in as their connections are made, and late ones while others are used.

use std::collections::VecDeque;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::cluster::joining::{Attempted, Joining as Core};
use crate::connection::Connection as CoreConnection;
use crate::retry::Retry;

use super::connect::{Parameters, Plan, wait_for};
use super::{descriptor, errors, runtime};

type Arrived = Attempted<CoreConnection>;
/// A host's place, its connection or an exception, the number of attempts, and the seconds they took.
type Taken = (usize, Py<PyAny>, u32, f64);

#[derive(Default)]
struct State {
    arrived: VecDeque<Arrived>,
    /// A byte stands in the pipe.
    signalled: bool,
    /// Nothing more will arrive.
    ended: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
    writer: PipeWriter,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        if !state.signalled {
            // One byte at most stands in it, so writing never blocks.
            state.signalled = (&self.writer).write(&[1]).is_ok();
        }
        drop(state);
        self.changed.notify_waiters();
    }

    async fn changed(&self) {
        let mut notified = std::pin::pin!(self.changed.notified());
        notified.as_mut().enable();
        let settled = |state: &State| !state.arrived.is_empty() || state.ended;
        if !settled(&self.lock()) {
            notified.await;
        }
    }
}

/// Connections to the hosts of a cluster, as they are made. What is dropped is given up.
#[pyclass(frozen, module = "easycluster._native")]
pub(super) struct Joining {
    plans: Mutex<Vec<Option<Plan>>>,
    shared: Arc<Shared>,
    reader: PipeReader,
    task: AbortHandle,
    process: u64,
}

/// Begins to connect to many hosts, to `at_once` at the same time, and each as often as `attempts` says where the failure may pass:
/// with waits of up to `first` seconds, twice that and so on, up to `longest`. Each of `openings` is a tuple of `open`'s arguments.
#[pyfunction]
pub(super) fn join(
    openings: Vec<Parameters<'_>>,
    at_once: usize,
    attempts: u32,
    first: f64,
    longest: f64,
) -> PyResult<Joining> {
    let seconds = |seconds: f64| {
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| PyValueError::new_err("waits are numbers of seconds, 0 or more"))
    };
    let retry = Retry::default()
        .with_attempts(attempts)
        .with_first(seconds(first)?)
        .with_longest(seconds(longest)?);
    let plans = openings
        .into_iter()
        .map(Plan::new)
        .collect::<PyResult<Vec<_>>>()?;
    let attempts: Vec<_> = plans.iter().map(Plan::attempts).collect();
    let count = attempts.len();
    let engine = runtime::engine()?;
    let (reader, writer) = std::io::pipe()?;
    let shared = Arc::new(Shared {
        state: Mutex::default(),
        changed: Notify::new(),
        writer,
    });
    let taker = Arc::clone(&shared);
    let task = engine.spawn(async move {
        let connect = move |place: usize| {
            let attempt = attempts.get(place).map(|make| make());
            async move {
                match attempt {
                    Some(attempt) => attempt.await,
                    None => Err(crate::Error::Convert(format!("there is no host {place}"))),
                }
            }
        };
        let mut joining = Core::start(count, at_once, &retry, connect);
        while let Some(attempted) = joining.next().await {
            taker.change(|state| state.arrived.push_back(attempted));
        }
        taker.change(|state| state.ended = true);
    });
    Ok(Joining {
        plans: Mutex::new(plans.into_iter().map(Some).collect()),
        shared,
        reader,
        task: task.abort_handle(),
        process: runtime::process(),
    })
}

#[pymethods]
impl Joining {
    /// A descriptor that is readable while something has arrived that was not taken, and at the end.
    fn fileno(&self) -> PyResult<i32> {
        descriptor::number(&self.reader)
    }

    /// The next host of which it is known how connecting ended: its place, a connection or the exception of its failure, the number
    /// of attempts, and the seconds they took. None if there is none in time, or no more.
    #[pyo3(signature = (timeout=None))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Taken>> {
        runtime::check(self.process)?;
        let engine = runtime::engine()?;
        let limit = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        if timeout.is_none_or(|seconds| seconds > 0.0) {
            let shared = Arc::clone(&self.shared);
            wait_for(py, &engine, async move {
                match limit {
                    // What has come is looked for below.
                    Some(limit) => drop(tokio::time::timeout(limit, shared.changed()).await),
                    None => shared.changed().await,
                }
            })?;
        }
        let arrived = {
            let mut state = self.shared.lock();
            let arrived = state.arrived.pop_front();
            if state.signalled && state.arrived.is_empty() && !state.ended {
                state.signalled = !matches!((&self.reader).read(&mut [0]), Ok(1));
            }
            arrived
        };
        let Some(Attempted {
            place,
            result,
            attempts,
            elapsed,
        }) = arrived
        else {
            return Ok(None);
        };
        let plan = {
            let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
            plans.get_mut(place).and_then(Option::take)
        };
        let connection = match (plan, result) {
            (Some(plan), Ok(core)) => plan
                .finish(py, &engine, Ok(core))
                .and_then(|connection| Ok(Py::new(py, connection)?.into_any())),
            (_, Err(error)) => Err(errors::from_error(py, error)),
            (None, Ok(_)) => Err(PyRuntimeError::new_err("a host has come twice")),
        };
        let connection = connection.unwrap_or_else(|error| error.into_value(py).into_any());
        Ok(Some((place, connection, attempts, elapsed.as_secs_f64())))
    }

    /// Whether all that will come has been taken.
    fn is_done(&self) -> bool {
        let state = self.shared.lock();
        state.ended && state.arrived.is_empty()
    }

    /// Gives up the hosts that are not there.
    fn abort(&self) {
        if self.process == runtime::process() {
            self.task.abort();
            self.shared.change(|state| state.ended = true);
            // The task ends only when a thread drives the runtime.
            if let Ok(engine) = runtime::engine() {
                engine.nudge();
            }
        }
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        self.abort();
    }
}
