//! From completions to what the Python package takes: `(ticket, tag, value)`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PyNone, PyString, PyTuple};

use crate::connection::{Completion, request::Answer};
use crate::error::Error;

use super::joined;
use super::queue::Ticket;
use crate::pickle::names::{Scan, scan};
use crate::pickle::{Budget, Refused};

/// The value itself.
const VALUE: u8 = 0;
/// A value still to be unpickled: `(pickle, buffers, uses)`; `uses` is None where everything is trusted.
const PICKLED: u8 = 1;
/// The server's ERROR, a pickle.
const ERROR: u8 = 2;
/// Cancelled; the server's ERROR or None.
const CANCELLED: u8 = 3;
/// Out of time; the server's ERROR or None.
const TIMED_OUT: u8 = 4;
/// The connection ended: the exception to raise.
const LOST: u8 = 5;
/// Refused before it was sent, or an answer that is not a pickle: why.
const REFUSED: u8 = 6;
/// Not a completion: something was printed and is to be shown first.
const OUTPUT: u8 = 7;
/// This side could not read the answer: the exception to raise.
const FAILED: u8 = 8;

/// What a completion holds, by the names that the Python package has for it.
pub(super) const KINDS: [(&str, u8); 9] = [
    ("VALUE", VALUE),
    ("PICKLED", PICKLED),
    ("ERROR", ERROR),
    ("CANCELLED", CANCELLED),
    ("TIMED_OUT", TIMED_OUT),
    ("LOST", LOST),
    ("REFUSED", REFUSED),
    ("OUTPUT", OUTPUT),
    ("FAILED", FAILED),
];

/// How answers of one connection are read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    /// Whatever the server sends is unpickled.
    pub trusted: bool,
    /// The server is Python 2, whose text needs decoding.
    pub python2: bool,
}

static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn loads<'py>(py: Python<'py>) -> PyResult<&'py Bound<'py, PyAny>> {
    LOADS.import(py, "pickle", "loads")
}

/// What could not be handed over, and why: Python had no memory left for it.
pub(super) struct NotTaken {
    pub(super) error: PyErr,
    pub(super) left: Vec<(Ticket, Completion)>,
}

/// Appends a tuple for each completion to `into`, behind a mark if output is to be shown first. What fails in one completion is
/// that one's outcome, so the others arrive.
///
/// # Errors
/// Those that could not even be told so; what stands before them was handed over.
pub(super) fn append(
    into: &Bound<'_, PyAny>,
    host: &str,
    reading: Reading,
    completions: Vec<(Ticket, Completion)>,
) -> Result<(), NotTaken> {
    let py = into.py();
    let list = into.cast_exact::<PyList>().ok();
    // One by one, so that it is known which of them has no place. Neither way runs Python code.
    let put = |entry: Bound<'_, PyTuple>| match list {
        Some(list) => list.append(entry),
        None => into
            .call_method1(pyo3::intern!(py, "append"), (entry,))
            .map(drop),
    };
    let mut left = completions.into_iter();
    if super::output::is_waiting() {
        let told = caught(py, || {
            put((0u64, OUTPUT, PyNone::get(py)).into_pyobject(py)?)
        });
        if let Err(error) = told {
            let left = left.collect();
            return Err(NotTaken { error, left });
        }
    }
    while let Some((ticket, completion)) = left.next() {
        let made = caught(py, || {
            let (tag, value) = value(py, host, reading, completion)?;
            put((ticket, tag, value).into_pyobject(py)?)
        });
        let Err(error) = made else {
            continue;
        };
        let told = caught(py, || {
            put((ticket, FAILED, error.into_value(py)).into_pyobject(py)?)
        });
        if let Err(error) = told {
            let lost = Completion::Refused("there was no memory for the answer".to_owned());
            let left = std::iter::once((ticket, lost)).chain(left).collect();
            return Err(NotTaken { error, left });
        }
    }
    Ok(())
}

/// Does it, and has a panic as an error: PyO3 panics where Python has no memory left for a small object.
fn caught<T>(py: Python<'_>, make: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|panic| {
        Err(PyErr::take(py).unwrap_or_else(|| {
            let why = panic.downcast_ref::<&str>().copied().unwrap_or_default();
            PyMemoryError::new_err(format!("the answer could not be taken: {why}"))
        }))
    })
}

fn value<'py>(
    py: Python<'py>,
    host: &str,
    reading: Reading,
    completion: Completion,
) -> PyResult<(u8, Bound<'py, PyAny>)> {
    let none = || PyNone::get(py).to_owned().into_any();
    Ok(match completion {
        Completion::Result(answer) => result(py, reading, answer)?,
        Completion::Error(answer) => (ERROR, joined::bytes(py, &answer.pickle)?.into_any()),
        Completion::Sent => (VALUE, none()),
        Completion::Cancelled(answer) => (CANCELLED, optional(py, answer)?),
        Completion::TimedOut(answer) => (TIMED_OUT, optional(py, answer)?),
        Completion::Lost(failure) => {
            let error = super::errors::from_error(py, failure.into_error(host));
            (LOST, error.into_value(py).into_bound(py).into_any())
        }
        Completion::TooLarge(limit) => {
            let host = host.to_owned();
            let error = super::errors::from_error(py, Error::TooLarge { host, limit });
            (FAILED, error.into_value(py).into_bound(py).into_any())
        }
        Completion::Refused(why) => (REFUSED, PyString::new(py, &why).into_any()),
    })
}

/// What decoding a pickle may take. What small ones take, no machine lacks.
pub(super) fn budget(pickle: &[u8]) -> Budget {
    const SMALL: usize = 1 << 16;
    match pickle.len() {
        0..SMALL => Budget::PYTHON,
        _ => Budget {
            memory: crate::connection::allowed_memory(),
            ..Budget::PYTHON
        },
    }
}

fn optional<'py>(py: Python<'py>, answer: Option<Answer>) -> PyResult<Bound<'py, PyAny>> {
    match answer {
        Some(answer) => Ok(joined::bytes(py, &answer.pickle)?.into_any()),
        None => Ok(PyNone::get(py).to_owned().into_any()),
    }
}

fn result<'py>(
    py: Python<'py>,
    reading: Reading,
    answer: Answer,
) -> PyResult<(u8, Bound<'py, PyAny>)> {
    if answer.buffers.is_empty()
        && !reading.python2
        && let Some(value) = joined::bytes_value(py, &answer.pickle)?
    {
        return Ok((VALUE, value));
    }
    let pickle = joined::bytes(py, &answer.pickle)?;
    let uses = match scan(pickle.as_bytes(), budget(pickle.as_bytes())) {
        Ok(Scan::Plain) if answer.buffers.is_empty() && !reading.python2 => {
            // Nothing in it can call or find anything, so the plain unpickler does.
            return Ok(match loads(py)?.call1((&pickle,)) {
                Ok(value) => (VALUE, value),
                Err(error) => (REFUSED, PyString::new(py, &error.to_string()).into_any()),
            });
        }
        Ok(Scan::Plain) => Some(PyBytes::new(py, &[])),
        Ok(Scan::Names(uses)) if !reading.trusted => Some(PyBytes::new(py, &uses)),
        Ok(Scan::Names(_)) => None,
        Err(Refused::Forbidden(_)) if reading.trusted => None,
        Err(refused) => return Ok((REFUSED, PyString::new(py, &refused.to_string()).into_any())),
    };
    let buffers = PyList::empty(py);
    for buffer in &answer.buffers {
        buffers.append(joined::bytearray(py, buffer)?)?;
    }
    let encoded = PyTuple::new(
        py,
        [
            pickle.into_any(),
            buffers.into_any(),
            uses.into_pyobject(py)?.into_any(),
        ],
    )?;
    Ok((PICKLED, encoded.into_any()))
}

/// Pickled class descriptions as bytes objects.
pub(super) fn classes(py: Python<'_>, payloads: Vec<Bytes>) -> Vec<Bound<'_, PyBytes>> {
    payloads
        .iter()
        .map(|payload| PyBytes::new(py, payload))
        .collect()
}
