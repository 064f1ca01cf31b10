//! An answer's bytes as Python objects, copied once, with Python's lock free meanwhile where they are many.

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};

use crate::pickle::bytes::{PlainBytes, plain_bytes};
use crate::wire::Segments;

/// From this many bytes on the copy is made without Python's lock; it takes longer than getting the lock back.
const LARGE: usize = 1 << 20;

/// Fills `target` with the bytes behind the first `skip`.
fn copy_into(py: Python<'_>, pieces: &Segments, skip: usize, target: &mut [u8]) {
    let copy = move || {
        let mut skip = skip;
        let mut rest = target;
        for piece in pieces.pieces() {
            let passed = skip.min(piece.len());
            skip -= passed;
            let wanted = piece.split_at(passed).1;
            let count = wanted.len().min(rest.len());
            let (head, tail) = rest.split_at_mut(count);
            head.copy_from_slice(wanted.split_at(count).0);
            rest = tail;
        }
    };
    if pieces.len() < LARGE {
        copy();
    } else {
        // The object is not shared yet.
        py.detach(copy);
    }
}

/// All of it as a bytes object.
pub(super) fn bytes<'py>(py: Python<'py>, pieces: &Segments) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, pieces.len(), |target| {
        copy_into(py, pieces, 0, target);
        Ok(())
    })
}

/// All of it as a bytearray, so that an array made on it can be written to.
pub(super) fn bytearray<'py>(
    py: Python<'py>,
    pieces: &Segments,
) -> PyResult<Bound<'py, PyByteArray>> {
    PyByteArray::new_with(py, pieces.len(), |target| {
        copy_into(py, pieces, 0, target);
        Ok(())
    })
}

/// The value of a pickle of large bytes or a large bytearray and nothing else, without the copy that unpickling would make;
/// `None` for every other pickle.
pub(super) fn bytes_value<'py>(
    py: Python<'py>,
    pickle: &Segments,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(PlainBytes {
        mutable,
        start,
        length,
    }) = plain_bytes(pickle)
    else {
        return Ok(None);
    };
    let fill = |target: &mut [u8]| {
        copy_into(py, pickle, start, target);
        Ok(())
    };
    Ok(Some(if mutable {
        PyByteArray::new_with(py, length, fill)?.into_any()
    } else {
        PyBytes::new_with(py, length, fill)?.into_any()
    }))
}
