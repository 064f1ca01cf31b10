//! The one runtime of the process, which all connections share, and who drives it.
//!
//! A thread of its own drives it, so that connections live while Python computes. A thread that waits for an answer takes
//! over as long as it waits: its call is then written, and the answer read, without a change of threads. While calls follow
//! each other closely, the own thread stays away between them.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::descriptors;

/// How long the runtime may go without being driven before its own thread drives it.
const AWAY: Duration = Duration::from_millis(2);

/// Counts forks on the child's side: what was made under another number belongs to another process.
static PROCESS: AtomicU64 = AtomicU64::new(0);
static ENGINE: Mutex<Option<(u64, Arc<Engine>)>> = Mutex::new(None);

/// Told by Python in a child process right after the fork: threads, sockets and connections stayed with the parent.
#[pyfunction]
pub(super) fn forked() {
    PROCESS.fetch_add(1, Ordering::SeqCst);
    #[cfg(unix)]
    super::forked::leave_connections();
}

/// The number of this process among its forks.
pub(super) fn process() -> u64 {
    PROCESS.load(Ordering::Relaxed)
}

/// Refuses what the parent process made.
pub(super) fn check(made_in: u64) -> PyResult<()> {
    if made_in == process() {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(
        "this connection belongs to the parent process; after a fork, the child must make its own",
    ))
}

/// The runtime, and who drives it.
pub(super) struct Engine {
    runtime: Runtime,
    /// Asks the own thread to let a waiting thread drive.
    release: Notify,
    /// The own thread drives.
    driving: AtomicBool,
    /// How many waiting threads drive, or would as soon as they can.
    waiters: AtomicUsize,
    /// How often a waiting thread began to.
    turns: AtomicU64,
    wanted: Mutex<bool>,
    wake: Condvar,
}

impl Engine {
    /// Runs a future to its end on this thread, which drives the runtime meanwhile. Not to be called with Python's lock held.
    pub(super) fn drive<F: Future>(&self, future: F) -> F::Output {
        self.waiters.fetch_add(1, Ordering::SeqCst);
        self.turns.fetch_add(1, Ordering::SeqCst);
        if self.driving.load(Ordering::SeqCst) {
            self.release.notify_one();
        }
        let output = self.runtime.block_on(future);
        self.waiters.fetch_sub(1, Ordering::SeqCst);
        output
    }

    /// Runs a future beside everything else.
    pub(super) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let task = self.runtime.spawn(future);
        self.nudge();
        task
    }

    /// Lets this thread make what belongs to the runtime, such as its sockets.
    #[cfg(unix)]
    pub(super) fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.runtime.enter()
    }

    /// There is something to do, and possibly no thread that drives the runtime.
    pub(super) fn nudge(&self) {
        if !self.driving.load(Ordering::SeqCst) && self.waiters.load(Ordering::SeqCst) == 0 {
            *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.wake.notify_one();
        }
    }

    /// The own thread's work.
    fn run(&self) {
        loop {
            self.driving.store(true, Ordering::SeqCst);
            self.runtime.block_on(self.release.notified());
            self.driving.store(false, Ordering::SeqCst);
            self.stay_away();
        }
    }

    /// Returns when the own thread has to drive again.
    fn stay_away(&self) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let turns = self.turns.load(Ordering::SeqCst);
            wanted = self
                .wake
                .wait_timeout(wanted, AWAY)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            let idle = self.waiters.load(Ordering::SeqCst) == 0;
            if idle && (*wanted || self.turns.load(Ordering::SeqCst) == turns) {
                *wanted = false;
                return;
            }
        }
    }
}

/// The engine; starts it where there is none.
pub(super) fn engine() -> PyResult<Arc<Engine>> {
    let mut running = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((made_in, engine)) = running.as_ref() {
        if *made_in == process() {
            return Ok(Arc::clone(engine));
        }
        // The parent's runtime has no thread here, and shutting it down would touch what the parent still uses.
        std::mem::forget(running.take());
    }
    descriptors::fill_standard_streams();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            PyOSError::new_err(format!("the connection runtime cannot start: {error}"))
        })?;
    let engine = Arc::new(Engine {
        runtime,
        release: Notify::new(),
        driving: AtomicBool::new(false),
        waiters: AtomicUsize::new(0),
        turns: AtomicU64::new(0),
        wanted: Mutex::new(false),
        wake: Condvar::new(),
    });
    let own = Arc::clone(&engine);
    std::thread::Builder::new()
        .name("easycluster".to_owned())
        .spawn(move || own.run())
        .map_err(|error| {
            PyOSError::new_err(format!("the connection thread cannot start: {error}"))
        })?;
    *running = Some((process(), Arc::clone(&engine)));
    Ok(engine)
}
