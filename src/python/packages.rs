//! Packages for hosts, for the Python package: fetched here by uv or pip.

use std::ffi::OsString;
use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::packages::{Platform, Told, build};

/// Has packages for a host's Python in a folder; `pip` is the command of this Python's pip, empty where it has none. Raises ValueError
/// with the reason where they cannot be had.
#[pyfunction]
pub(super) fn build_packages(
    py: Python<'_>,
    requirements: Vec<OsString>,
    platform: Told,
    pip: Vec<OsString>,
    folder: PathBuf,
) -> PyResult<()> {
    let platform = Platform::told(platform);
    py.detach(|| build(&requirements, &platform, &pip, &folder))
        .map_err(PyValueError::new_err)
}
