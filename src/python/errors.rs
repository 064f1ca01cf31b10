//! From the crate's errors to the package's exceptions.

use pyo3::exceptions::{PyConnectionError, PyMemoryError, PyTimeoutError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::error::Error;

static CONNECT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static LOST: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Names what makes the package's exceptions: `connect(message, host, stage, hint, output, timed_out, refused)` and
/// `lost(message)`.
#[pyfunction]
pub(super) fn set_errors(py: Python<'_>, connect: Py<PyAny>, lost: Py<PyAny>) {
    // Set once at import; a second import finds them set.
    let _ = CONNECT.set(py, connect);
    let _ = LOST.set(py, lost);
}

/// The exception for an error.
pub(super) fn from_error(py: Python<'_>, error: Error) -> PyErr {
    make(py, error).unwrap_or_else(|failure| failure)
}

fn make(py: Python<'_>, error: Error) -> PyResult<PyErr> {
    let hint = error.hint();
    let text = error.to_string();
    let hint = hint.map(|hint| crate::error::printable(&hint));
    Ok(match error {
        Error::Connect(error) => {
            let text = match &hint {
                Some(hint) => format!("{text} ({hint})"),
                None => text,
            };
            let Some(class) = CONNECT.get(py) else {
                return Ok(PyConnectionError::new_err(text));
            };
            let stage = error.stage.to_string();
            let arguments = (
                text,
                error.host,
                stage,
                error.hint,
                error.output,
                error.timed_out,
                error.refused,
            );
            PyErr::from_value(class.call1(py, arguments)?.into_bound(py))
        }
        Error::Lost { .. } | Error::Protocol { .. } => {
            let text = match hint {
                Some(hint) => format!("{text} ({hint})"),
                None => text,
            };
            match LOST.get(py) {
                Some(class) => PyErr::from_value(class.call1(py, (text,))?.into_bound(py)),
                None => PyConnectionError::new_err(text),
            }
        }
        Error::Timeout { .. } => PyTimeoutError::new_err(text),
        Error::TooLarge { .. } => {
            PyMemoryError::new_err(format!("{text} ({})", hint.unwrap_or_default()))
        }
        _ => PyValueError::new_err(text),
    })
}
