//! What remote sides ask of this program, for the one thread of Python that hands it on. Nothing here waits with Python's lock.

use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::connection::{Ask as CoreAsk, AskOutcome, Asks as CoreAsks, Connection};
use crate::wire::Segments;

use super::runtime::Engine;
use super::{buffer, errors, runtime};

/// Of which connection, and what it asks; nothing if it asks no more.
type Waiting = (u64, Option<CoreAsk>);

#[derive(Default)]
struct Shared {
    // At most as many for each connection as it may have in hand.
    waiting: Mutex<VecDeque<Waiting>>,
    came: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, connection: u64, ask: Option<CoreAsk>) {
        self.lock().push_back((connection, ask));
        self.came.notify_one();
    }
}

/// Where the asks of all connections wait.
#[pyclass(frozen, module = "easycluster._native")]
pub(super) struct AskQueue(Arc<Shared>);

#[pymethods]
impl AskQueue {
    #[new]
    fn new() -> AskQueue {
        AskQueue(Arc::default())
    }

    /// The next ask with the number of its connection, or None instead of an ask where the connection asks no more. None if
    /// nothing came for so many seconds.
    fn take(&self, py: Python<'_>, timeout: f64) -> Option<(u64, Option<Ask>)> {
        let end = Instant::now() + Duration::try_from_secs_f64(timeout).unwrap_or_default();
        let (connection, ask) = py.detach(|| {
            let mut waiting = self.0.lock();
            loop {
                if let Some(next) = waiting.pop_front() {
                    return Some(next);
                }
                let left = end.checked_duration_since(Instant::now())?;
                let waited = self.0.came.wait_timeout(waiting, left);
                waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        })?;
        Some((connection, ask.map(Ask::new)))
    }
}

/// One call of a function of this program.
#[pyclass(module = "easycluster._native")]
pub(super) struct Ask {
    ask: Option<CoreAsk>,
    process: u64,
}

impl Ask {
    fn new(ask: CoreAsk) -> Ask {
        Ask {
            ask: Some(ask),
            process: runtime::process(),
        }
    }
}

impl Drop for Ask {
    fn drop(&mut self) {
        if self.process != runtime::process() {
            // The channel behind it is the parent's.
            std::mem::forget(self.ask.take());
        }
    }
}

#[pymethods]
impl Ask {
    /// Whether the other side waits for an answer.
    #[getter]
    fn waited_for(&self) -> bool {
        self.ask.as_ref().is_some_and(CoreAsk::is_waited_for)
    }

    /// The number of the function; 0 with numbers of functions that are given up.
    #[getter]
    fn function(&self) -> u32 {
        self.ask.as_ref().map_or(0, CoreAsk::function)
    }

    /// The pickled arguments. They can be had once.
    fn content<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let content = self.ask.as_mut().map(CoreAsk::take_content);
        PyBytes::new(py, &content.unwrap_or_default())
    }

    /// Answers it with the pieces of a pickle: a value, or what was raised. Without pieces it is over without an answer.
    #[pyo3(signature = (pieces=None, raised=false))]
    fn answer(&mut self, pieces: Option<&Bound<'_, PyList>>, raised: bool) -> PyResult<()> {
        runtime::check(self.process)?;
        let Some(ask) = self.ask.take() else {
            return Ok(());
        };
        let mut pickle = Segments::new();
        for piece in pieces.into_iter().flatten() {
            pickle.push(buffer::bytes_of(&piece, false)?);
        }
        let outcome = match raised {
            true => AskOutcome::Raised,
            false => AskOutcome::Value,
        };
        if pieces.is_some() {
            runtime::engine()?.spawn(ask.answer(outcome, pickle));
        }
        Ok(())
    }
}

/// The asks of one connection, which go to a queue until it ends or is told to stop.
#[pyclass(frozen, module = "easycluster._native")]
pub(super) struct Asking {
    asks: ManuallyDrop<Arc<CoreAsks>>,
    engine: ManuallyDrop<Arc<Engine>>,
    process: u64,
}

impl Asking {
    /// Opens the channel of a connection, whose asks then come to the queue under that number.
    pub(super) fn open(
        py: Python<'_>,
        connection: &Connection,
        engine: &Arc<Engine>,
        queue: &AskQueue,
        number: u64,
    ) -> PyResult<Asking> {
        let asks = CoreAsks::open(connection)
            .map_err(|failure| errors::from_error(py, failure.into_error(connection.host())))?;
        let taken = Arc::clone(&asks);
        let queue = Arc::clone(&queue.0);
        engine.spawn(async move {
            while let Some(ask) = taken.next().await {
                queue.push(number, Some(ask));
            }
            queue.push(number, None);
        });
        Ok(Asking {
            asks: ManuallyDrop::new(asks),
            engine: ManuallyDrop::new(Arc::clone(engine)),
            process: runtime::process(),
        })
    }
}

#[pymethods]
impl Asking {
    /// The number by which requests name the channel.
    #[getter]
    fn number(&self) -> u32 {
        self.asks.channel().number()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if self.process == runtime::process() {
            self.asks.stop();
            // Safety: dropped once, here, and so is the other.
            unsafe { ManuallyDrop::drop(&mut self.asks) };
            self.engine.nudge();
            // Safety: as above.
            unsafe { ManuallyDrop::drop(&mut self.engine) };
        }
    }
}
