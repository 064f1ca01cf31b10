//! What remote code prints, waiting for the Python thread that shows it: at most a window of each connection, in few pieces.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::connection::{Output, OutputSink, Receipt};

/// Pieces of one connection that wait as they came. What comes beyond is put behind the last of its stream: a server may send
/// byte by byte, and each piece takes more than a byte to keep.
const PIECES: usize = 1024;

/// Output of one stream in a row. Dropping it lets the other side print on.
struct Piece {
    stderr: bool,
    data: BytesMut,
    receipt: Receipt,
}

/// What waits of one connection.
#[derive(Default)]
struct Waiting {
    pieces: VecDeque<Piece>,
    /// The thread that shows output was notified of all of it.
    told: bool,
}

impl Waiting {
    fn add(&mut self, output: Output) {
        let stderr = output.stderr;
        let last = match self.pieces.len() < PIECES {
            true => self.pieces.back_mut().filter(|last| last.stderr == stderr),
            false => self
                .pieces
                .iter_mut()
                .rev()
                .find(|last| last.stderr == stderr),
        };
        match last {
            Some(last) => {
                last.data.extend_from_slice(&output.data);
                last.receipt.add(output.receipt);
            }
            None => self.pieces.push_back(Piece {
                stderr,
                data: BytesMut::from(&*output.data),
                receipt: output.receipt,
            }),
        }
        self.told = false;
    }
}

struct State {
    connections: Option<HashMap<u64, Waiting>>,
    ended: bool,
}

static STATE: Mutex<State> = Mutex::new(State {
    connections: None,
    ended: false,
});
static CHANGED: Condvar = Condvar::new();
/// How many connections have something waiting; read at each completion without taking the lock.
static WAITING: AtomicUsize = AtomicUsize::new(0);

fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn waiting(&mut self) -> &mut HashMap<u64, Waiting> {
        self.connections.get_or_insert_default()
    }
}

/// A sink that keeps the pieces of one connection under its number.
pub(super) fn sink(connection: u64) -> OutputSink {
    OutputSink::new(move |output| {
        let mut state = lock();
        state.waiting().entry(connection).or_default().add(output);
        WAITING.store(state.waiting().len(), Ordering::Release);
        drop(state);
        CHANGED.notify_one();
    })
}

/// Whether something waits to be shown.
pub(super) fn is_waiting() -> bool {
    WAITING.load(Ordering::Acquire) > 0
}

/// What a connection has printed and was not yet taken: a list of `(stderr, bytes)`. The other side may print on.
#[pyfunction]
pub(super) fn take_output(py: Python<'_>, connection: u64) -> Vec<(bool, Bound<'_, PyBytes>)> {
    let pieces = {
        let mut state = lock();
        let pieces = state.waiting().remove(&connection).unwrap_or_default();
        WAITING.store(state.waiting().len(), Ordering::Release);
        pieces
    };
    let piece = |piece: Piece| (piece.stderr, PyBytes::new(py, &piece.data));
    pieces.pieces.into_iter().map(piece).collect()
}

/// Whether a connection has something waiting.
#[pyfunction]
pub(super) fn has_output(connection: u64) -> bool {
    is_waiting() && lock().waiting().contains_key(&connection)
}

/// What a connection still has waiting is told of again by `wait_output`.
#[pyfunction]
pub(super) fn tell_output(connection: u64) {
    if !is_waiting() {
        return;
    }
    if let Some(waiting) = lock().waiting().get_mut(&connection) {
        waiting.told = false;
        CHANGED.notify_one();
    }
}

/// Waits until something was printed: the numbers of the connections that have something new waiting, none at the end of the
/// program.
#[pyfunction]
pub(super) fn wait_output(py: Python<'_>) -> Vec<u64> {
    py.detach(|| {
        let mut state = lock();
        loop {
            if state.ended {
                return Vec::new();
            }
            let new = |(number, waiting): (&u64, &mut Waiting)| {
                (!std::mem::replace(&mut waiting.told, true)).then_some(*number)
            };
            let numbers: Vec<u64> = state.waiting().iter_mut().filter_map(new).collect();
            if !numbers.is_empty() {
                return numbers;
            }
            state = CHANGED.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    })
}

/// Ends the thread that waits for output.
#[pyfunction]
pub(super) fn end_output() {
    lock().ended = true;
    CHANGED.notify_all();
}
