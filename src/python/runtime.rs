//! The one runtime of the process: a thread of its own that all connections share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use tokio::runtime::Handle;

/// Counts forks on the child's side: what was made under another number belongs to another process.
static PROCESS: AtomicU64 = AtomicU64::new(0);
static RUNTIME: Mutex<Option<(u64, Handle)>> = Mutex::new(None);

/// Told by Python in a child process right after the fork: threads, sockets and connections stayed with the parent.
#[pyfunction]
pub(super) fn forked() {
    PROCESS.fetch_add(1, Ordering::SeqCst);
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

/// The handle of the running runtime; starts it where there is none.
pub(super) fn handle() -> PyResult<Handle> {
    let mut running = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((made_in, handle)) = running.as_ref() {
        if *made_in == process() {
            return Ok(handle.clone());
        }
        // The parent's runtime has no thread here, and shutting it down would touch what the parent still uses.
        std::mem::forget(running.take());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            PyOSError::new_err(format!("the connection runtime cannot start: {error}"))
        })?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("easycluster".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .map_err(|error| {
            PyOSError::new_err(format!("the connection thread cannot start: {error}"))
        })?;
    *running = Some((process(), handle.clone()));
    Ok(handle)
}
