//! What remote code prints, waiting for the Python thread that shows it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::connection::{Output, OutputSink};

#[derive(Default)]
struct State {
    pieces: VecDeque<(u64, Output)>,
    ended: bool,
}

static STATE: Mutex<State> = Mutex::new(State {
    pieces: VecDeque::new(),
    ended: false,
});
static CHANGED: Condvar = Condvar::new();
/// How many pieces wait; read at each completion without taking the lock.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// A sink that keeps the pieces of one connection under its number.
pub(super) fn sink(connection: u64) -> OutputSink {
    OutputSink::new(move |output| {
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        state.pieces.push_back((connection, output));
        WAITING.store(state.pieces.len(), Ordering::Release);
        drop(state);
        CHANGED.notify_one();
    })
}

/// Whether something waits to be shown.
pub(super) fn is_waiting() -> bool {
    WAITING.load(Ordering::Acquire) > 0
}

type Piece<'py> = (u64, bool, u32, Bound<'py, PyBytes>);

fn take(py: Python<'_>) -> Vec<Piece<'_>> {
    let pieces = {
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        WAITING.store(0, Ordering::Release);
        std::mem::take(&mut state.pieces)
    };
    // Dropping a piece lets the other side print on.
    let piece = |(connection, output): (u64, Output)| {
        (
            connection,
            output.stderr,
            output.request,
            PyBytes::new(py, &output.data),
        )
    };
    pieces.into_iter().map(piece).collect()
}

/// What was printed and not yet shown: a list of `(connection, stderr, request, bytes)`.
#[pyfunction]
pub(super) fn take_output(py: Python<'_>) -> Vec<Piece<'_>> {
    take(py)
}

/// Waits until something was printed; False at the end of the program.
#[pyfunction]
pub(super) fn wait_output(py: Python<'_>) -> bool {
    py.detach(|| {
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        while state.pieces.is_empty() && !state.ended {
            state = CHANGED.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.ended
    })
}

/// Ends the thread that waits for output.
#[pyfunction]
pub(super) fn end_output() {
    STATE.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
    CHANGED.notify_all();
}
