//! Shared keys and their files, as Python's bytes and paths.

use std::path::PathBuf;

use pyo3::exceptions::{PyOSError, PyUserWarning, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::keys::{Key, KeyError};

fn raise(error: KeyError) -> PyErr {
    match error {
        KeyError::Empty => PyValueError::new_err(error.to_string()),
        KeyError::Read(path, source) => os_error("cannot read key file", path, &source),
        KeyError::Write(path, source) => os_error("cannot write key file", path, &source),
        _ => PyOSError::new_err(error.to_string()),
    }
}

/// The error with its number, by which Python chooses the class: FileNotFoundError, PermissionError and so on.
fn os_error(what: &str, path: PathBuf, source: &std::io::Error) -> PyErr {
    let text = source.to_string();
    let Some(number) = source.raw_os_error() else {
        return PyOSError::new_err(format!("{what} {}: {text}", path.display()));
    };
    let reason = text.trim_end_matches(&format!(" (os error {number})"));
    PyOSError::new_err((number, format!("{what}: {reason}"), path.into_os_string()))
}

/// A random key.
#[pyfunction]
pub(super) fn generate_key(py: Python<'_>) -> PyResult<Bound<'_, PyBytes>> {
    let key = Key::generate().map_err(raise)?;
    Ok(PyBytes::new(py, key.as_bytes()))
}

/// The key that a text stands for: hex digits of a whole key, or any other text, which is hashed.
#[pyfunction]
pub(super) fn decode_key<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyBytes>> {
    let key = Key::decode(text).map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(PyBytes::new(py, key.as_bytes()))
}

/// The key in a file's first line.
#[pyfunction]
pub(super) fn read_key_file(py: Python<'_>, path: PathBuf) -> PyResult<Bound<'_, PyBytes>> {
    let loaded = crate::keys::read_key_file(&path).map_err(raise)?;
    for warning in &loaded.warnings {
        let text = std::ffi::CString::new(warning.to_string()).unwrap_or_default();
        PyErr::warn(py, &py.get_type::<PyUserWarning>(), &text, 2)?;
    }
    Ok(PyBytes::new(py, loaded.key.as_bytes()))
}

/// Writes a key file that only its owner may read; False if it exists and `overwrite` is not set.
#[pyfunction]
#[pyo3(signature = (path, key, overwrite=false))]
pub(super) fn write_key_file(path: PathBuf, key: &[u8], overwrite: bool) -> PyResult<bool> {
    crate::keys::write_key_file(&path, &key_from(key)?, overwrite).map_err(raise)
}

/// Key bytes as the package hands them around: a whole key is itself, anything else is text that stands for one.
pub(super) fn key_from(bytes: &[u8]) -> PyResult<Key> {
    if let Ok(whole) = <[u8; crate::keys::KEY_SIZE]>::try_from(bytes) {
        return Ok(Key::from(whole));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| {
        PyValueError::new_err(format!(
            "a key must be {} bytes, as generate_key() and read_key_file() return it",
            crate::keys::KEY_SIZE
        ))
    })?;
    Key::decode(text).map_err(|error| PyValueError::new_err(error.to_string()))
}
