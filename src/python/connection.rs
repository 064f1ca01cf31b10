//! A connection as the Python package sees it: requests go in as pickles, completions come out in batches.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::connection::request::{Payload, Request, RequestKind, ThreadTarget};
use crate::connection::{Connection as Core, Sink};
use crate::stub::functions::{self, Helper};
use crate::wire::{Kind, Segments, Sender};

use super::asks::{AskQueue, Asking};
use super::channel::Channel;
use super::connect::{SIGNAL_CHECK, wait_for};
use super::convert::{self, Reading};
use super::queue::{Queue, Route, Taken, Ticket};
use super::runtime::Engine;
use super::{buffer, errors, runtime};

/// Whether the pickle holds references; the server objects and the channels that the request names.
type Keeps<'py> = (bool, Vec<u64>, Vec<Bound<'py, Channel>>);

/// How long one wait lasts in a thread that signals do not concern.
pub(super) const LONG: Duration = Duration::from_secs(3600);

/// One connection to one remote Python.
#[pyclass(frozen, weakref, module = "easycluster._native")]
pub(super) struct Connection {
    // Not dropped in a forked child: the tasks behind it run in the parent only.
    core: ManuallyDrop<Core>,
    queue: Arc<Queue>,
    // Of the process that made the connection; not used in any other.
    engine: ManuallyDrop<Arc<Engine>>,
    number: u64,
    trusted: bool,
    python2: AtomicBool,
    process: u64,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.process == runtime::process() {
            // Safety: dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.core) };
            self.engine.nudge();
            // Safety: as above.
            unsafe { ManuallyDrop::drop(&mut self.engine) };
        }
    }
}

/// The kind of a request with this number, which Python has from `REQUEST_KINDS`.
fn kind(code: u8) -> PyResult<RequestKind> {
    Kind::from_code(code, Sender::Client)
        .and_then(|kind| RequestKind::try_from(kind).ok())
        .ok_or_else(|| PyValueError::new_err(format!("{code} is not the number of a request")))
}

fn route(slot: bool) -> Route {
    if slot { Route::Slot } else { Route::Queue }
}

/// A payload: one bytes object, or `(pieces of the pickle, buffers)`.
fn payload(object: &Bound<'_, PyAny>, hold: bool) -> PyResult<Payload> {
    if let Ok(pickle) = object.cast_exact::<PyBytes>() {
        return Ok(Payload::from(buffer::bytes_of(pickle.as_any(), hold)?));
    }
    let (pieces, buffers): (Vec<Bound<'_, PyAny>>, Vec<Bound<'_, PyAny>>) = object.extract()?;
    let mut pickle = Segments::new();
    for piece in &pieces {
        pickle.push(buffer::bytes_of(piece, hold)?);
    }
    let buffers = buffers
        .iter()
        .map(|view| buffer::bytes_of(view, hold))
        .collect::<PyResult<_>>()?;
    Ok(Payload { pickle, buffers })
}

impl Connection {
    pub(super) fn new(
        core: Core,
        queue: Arc<Queue>,
        engine: Arc<Engine>,
        number: u64,
        trusted: bool,
    ) -> Connection {
        Connection {
            core: ManuallyDrop::new(core),
            queue,
            engine: ManuallyDrop::new(engine),
            number,
            trusted,
            python2: AtomicBool::new(false),
            process: runtime::process(),
        }
    }

    /// The connection itself.
    pub(super) fn core(&self) -> PyResult<Core> {
        runtime::check(self.process)?;
        Ok(Core::clone(&self.core))
    }

    fn reading(&self) -> Reading {
        Reading {
            trusted: self.trusted,
            python2: self.python2.load(Ordering::Relaxed),
        }
    }

    /// Appends what was taken to the caller's own list, so that an exception raised on the way back loses none of it.
    fn give(&self, into: &Bound<'_, PyAny>, taken: Taken, route: Route) -> PyResult<()> {
        let completions = match taken {
            Taken::Some(completions) => completions,
            _ => Vec::new(),
        };
        convert::append(into, self.core.host(), self.reading(), completions).map_err(|not| {
            self.queue.put_back(not.left, route);
            not.error
        })
    }

    #[allow(clippy::too_many_arguments)]
    fn prepare(
        &self,
        py: Python<'_>,
        code: u8,
        thread: Option<i32>,
        content: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        keeps: Option<Keeps<'_>>,
        hold: bool,
        barrier: bool,
    ) -> PyResult<Request> {
        runtime::check(self.process)?;
        buffer::release_done(py);
        let target = thread.map_or(ThreadTarget::OneShot, ThreadTarget::Id);
        let mut request = Request::new(kind(code)?, target, payload(content, hold)?);
        if let Some(seconds) = timeout {
            let limit = Duration::try_from_secs_f64(seconds).map_err(|_| {
                PyValueError::new_err("timeout must be a number of seconds, 0 or more")
            })?;
            request.deadline = Instant::now().checked_add(limit);
        }
        if let Some((references, oids, channels)) = keeps {
            request.references = references;
            request.keeps = oids;
            request.channels = channels.iter().map(|channel| channel.get().id()).collect();
        }
        request.barrier = request.kind == RequestKind::Define || barrier;
        Ok(request)
    }

    /// Expects the request's completion, and hands it in.
    fn hand_in(&self, ticket: Ticket, route: Route, request: Request) {
        self.core.submit_as(request, |id| {
            self.queue.expect(ticket, id, route);
            let queue = Arc::clone(&self.queue);
            Sink::Callback(Box::new(move |completion| {
                queue.complete(ticket, completion)
            }))
        });
    }

    /// Repeats `attempt` until it has something, time is up, or a signal handler raises.
    fn wait(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
        main: bool,
        attempt: impl Fn(Option<Instant>) -> Taken + Sync,
    ) -> PyResult<Taken> {
        // Most answers to pipelined calls are there already.
        let now = attempt(Some(Instant::now()));
        if !matches!(now, Taken::Nothing) || timeout.is_some_and(|seconds| seconds <= 0.0) {
            return Ok(now);
        }
        let end = timeout
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let slice = Instant::now() + if main { SIGNAL_CHECK } else { LONG };
            let until = end.map_or(slice, |end| end.min(slice));
            self.engine.nudge();
            let taken = py.detach(|| SendTaken(attempt(Some(until)))).0;
            if !matches!(taken, Taken::Nothing) {
                return Ok(taken);
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                return Ok(Taken::Nothing);
            }
            if main {
                py.check_signals()?;
            }
        }
    }
}

struct SendTaken(Taken);

#[pymethods]
impl Connection {
    /// Hands in a request under a ticket of the caller's, never used before. Its completion goes to the queue, or with `slot`
    /// waits under its ticket.
    ///
    /// `thread` None is a thread of its own. `content` is a pickle as bytes, or `(pieces, buffers)`. With `barrier`, requests for
    /// other threads that are handed in later wait for its answer.
    #[pyo3(signature = (ticket, code, thread, content, timeout=None, keeps=None, slot=false, barrier=false))]
    // Python's call, whose arguments a struct would only be made of and taken apart again.
    #[allow(clippy::too_many_arguments)]
    fn submit(
        &self,
        py: Python<'_>,
        ticket: Ticket,
        code: u8,
        thread: Option<i32>,
        content: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        keeps: Option<Keeps<'_>>,
        slot: bool,
        barrier: bool,
    ) -> PyResult<()> {
        let request = self.prepare(py, code, thread, content, timeout, keeps, false, barrier)?;
        self.hand_in(ticket, route(slot), request);
        self.engine.nudge();
        Ok(())
    }

    /// Hands in a request, waits for the next completions and appends them to `into`. Cancels the request if interrupted.
    ///
    /// With `slot` nothing but this call's own is taken.
    #[pyo3(signature = (into, ticket, code, thread, content, timeout, keeps, slot, main))]
    #[allow(clippy::too_many_arguments)]
    fn call(
        &self,
        py: Python<'_>,
        into: &Bound<'_, PyAny>,
        ticket: Ticket,
        code: u8,
        thread: Option<i32>,
        content: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        keeps: Option<Keeps<'_>>,
        slot: bool,
        main: bool,
    ) -> PyResult<()> {
        let request = self.prepare(py, code, thread, content, timeout, keeps, true, false)?;
        let alone = self.queue.outstanding() == 0;
        if alone {
            // Nothing else is on its way here, so this thread writes the call and reads the answer itself.
            py.detach(|| {
                self.engine.drive(async {
                    self.hand_in(ticket, route(slot), request);
                    let settled = self.queue.settled(ticket);
                    // Later it waits like all others, so that signals are looked for.
                    let _ = tokio::time::timeout(SIGNAL_CHECK, settled).await;
                })
            });
        } else {
            self.hand_in(ticket, route(slot), request);
        }
        let taken = if slot {
            self.take_slot(py, into, ticket, None, main)
        } else {
            self.take(py, into, Some(ticket), 4096, None, main)
        };
        taken.inspect_err(|_| {
            self.cancel(ticket);
            self.queue.forget(ticket);
        })
    }

    /// Appends up to `max` completions to `into`, waiting for the first. Nothing is appended if none came in time, or if the
    /// wanted call's completion is not to come any more because another thread took it or the connection is lost.
    #[pyo3(signature = (into, wanted, max, timeout, main))]
    fn take(
        &self,
        py: Python<'_>,
        into: &Bound<'_, PyAny>,
        wanted: Option<Ticket>,
        max: usize,
        timeout: Option<f64>,
        main: bool,
    ) -> PyResult<()> {
        runtime::check(self.process)?;
        let queue = &self.queue;
        let taken = self.wait(py, timeout, main, |until| queue.take(wanted, max, until))?;
        self.give(into, taken, Route::Queue)
    }

    /// Appends the completion of a call from `submit` with `slot` to `into`, or nothing if it did not come in time. Raises
    /// KeyError if it was taken already.
    #[pyo3(signature = (into, ticket, timeout, main))]
    fn take_slot(
        &self,
        py: Python<'_>,
        into: &Bound<'_, PyAny>,
        ticket: Ticket,
        timeout: Option<f64>,
        main: bool,
    ) -> PyResult<()> {
        runtime::check(self.process)?;
        let queue = &self.queue;
        match self.wait(py, timeout, main, |until| queue.take_slot(ticket, until))? {
            Taken::Elsewhere => Err(PyKeyError::new_err(
                "the result of this call was already taken",
            )),
            taken => self.give(into, taken, Route::Slot),
        }
    }

    /// While set, the descriptor is readable although nothing waits here: Python has completions that it has not delivered.
    fn keep_readable(&self, on: bool) {
        self.queue.keep_readable(on);
    }

    /// Whether a call has its completion.
    fn is_done(&self, ticket: Ticket) -> bool {
        self.queue.is_done(ticket)
    }

    /// This call will not be asked for any more; its completion goes to the queue, for the references in it.
    fn forget(&self, ticket: Ticket) {
        self.queue.forget(ticket);
    }

    /// How many completions wait in the queue.
    fn ready_count(&self) -> usize {
        self.queue.ready()
    }

    /// How many calls have no completion yet.
    fn outstanding(&self) -> usize {
        self.queue.outstanding()
    }

    /// Gives a call up. False if it is done.
    fn cancel(&self, ticket: Ticket) -> bool {
        if self.process != runtime::process() {
            return false;
        }
        match self.queue.id_of(ticket) {
            Some(id) => {
                self.core.cancel(id);
                self.engine.nudge();
                true
            }
            None => false,
        }
    }

    /// Gives up receipts of server objects: a list of `(oid, times)`.
    fn release(&self, receipts: Vec<(u64, u32)>) {
        if self.process == runtime::process() {
            for (oid, times) in receipts {
                self.core.release(oid, times);
            }
            self.engine.nudge();
        }
    }

    /// Ends a server thread behind what was submitted for it.
    fn stop_thread(&self, thread: i32) {
        if self.process == runtime::process() {
            self.core.stop_thread(thread);
            self.engine.nudge();
        }
    }

    /// Has functions sent, once a connection, which requests handed in later may call: those of the helper of this name.
    fn send_helper(&self, name: &str) -> PyResult<()> {
        let found: &[&'static Helper] = match name {
            "commands" => &[&functions::COMMANDS],
            "map_items" => &[&functions::MAP_ITEMS],
            "run_program" => &[&functions::RUN_PROGRAM],
            "reports" => &[&functions::REPORTS],
            "streams" => &[&functions::STREAMS],
            "workers" => &[&functions::ENVIRONMENTS, &functions::WORKERS],
            _ => return Err(PyKeyError::new_err(name.to_owned())),
        };
        if self.process == runtime::process() {
            for helper in found {
                self.core.send_helper(helper);
            }
        }
        Ok(())
    }

    /// A channel with windows of so many bytes, which a request handed in later may name. Takes no round trip.
    fn open_channel(&self, py: Python<'_>, window: u32) -> PyResult<Channel> {
        runtime::check(self.process)?;
        Channel::open(py, &self.core, &self.engine, window)
    }

    /// Opens the channel that the other side asks through; what it asks comes to the queue under `number`. Takes no round trip.
    fn take_asks(&self, py: Python<'_>, queue: &AskQueue, number: u64) -> PyResult<Asking> {
        runtime::check(self.process)?;
        Asking::open(py, &self.core, &self.engine, queue, number)
    }

    /// Pickled descriptions of classes that came since the last time.
    fn classes<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        convert::classes(py, self.queue.take_classes())
    }

    /// A descriptor that is readable while completions wait, or when the connection is lost.
    fn fileno(&self) -> PyResult<i32> {
        runtime::check(self.process)?;
        self.queue.pipe()
    }

    /// Waits until the stub runs and gives what it said of itself.
    fn wait_ready<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        runtime::check(self.process)?;
        let hello = match self.core.hello() {
            Some(hello) => hello,
            None => {
                let core = Core::clone(&self.core);
                wait_for(py, &self.engine, async move { core.ready().await })?
                    .map_err(|error| errors::from_error(py, error))?
            }
        };
        self.python2.store(hello.python.0 < 3, Ordering::Relaxed);
        let facts = PyDict::new(py);
        facts.set_item("python", hello.python)?;
        facts.set_item("implementation", hello.implementation)?;
        facts.set_item("platform", hello.platform)?;
        facts.set_item("pid", hello.pid)?;
        facts.set_item("pickle", hello.pickle)?;
        facts.set_item("executable", hello.executable)?;
        Ok(facts)
    }

    /// Whether the stub runs.
    fn is_ready(&self) -> bool {
        self.core.hello().is_some()
    }

    /// Whether requests can be made.
    fn is_connected(&self) -> bool {
        self.process == runtime::process() && self.core.is_connected()
    }

    /// Why the connection ended, as the exception to raise, or None.
    fn failure(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let failure = self.core.failure()?;
        let error = errors::from_error(py, failure.into_error(self.core.host()));
        Some(error.into_value(py).into_any())
    }

    /// Says goodbye and gives the other side a moment to end; without `wait` returns at once.
    #[pyo3(signature = (wait=false))]
    fn close(&self, py: Python<'_>, wait: bool) -> PyResult<()> {
        if self.process != runtime::process() {
            return Ok(());
        }
        self.core.close();
        self.engine.nudge();
        if wait {
            let core = Core::clone(&self.core);
            wait_for(py, &self.engine, async move { core.closed().await })?;
        }
        Ok(())
    }

    /// The other end, such as `box:22`.
    #[getter]
    fn peer(&self) -> &str {
        self.core.peer()
    }

    /// Under which number what it prints is found.
    #[getter]
    fn number(&self) -> u64 {
        self.number
    }
}
