//! The descriptor that Python's `select` and event loops watch: the reading end of a pipe. Windows watches sockets alone, so there
//! nothing can be watched, and what needs it says so.

use std::io::PipeReader;

use pyo3::prelude::*;

/// The number of the descriptor.
///
/// # Errors
/// On Windows, always.
#[cfg(unix)]
pub(super) fn number(reader: &PipeReader) -> PyResult<i32> {
    Ok(std::os::fd::AsRawFd::as_raw_fd(reader))
}

#[cfg(not(unix))]
pub(super) fn number(_: &PipeReader) -> PyResult<i32> {
    Err(pyo3::exceptions::PyNotImplementedError::new_err(
        "asyncio, select() and clusters wait for descriptors, which Windows does not have; use Client in this process, or run the program within WSL",
    ))
}
