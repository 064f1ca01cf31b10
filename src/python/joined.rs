//! An answer's bytes as Python objects, copied once, with Python's lock free meanwhile where they are many.

use std::mem::MaybeUninit;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::pickle::bytes::{PlainBytes, plain_bytes};
use crate::wire::Segments;

/// From this many bytes on the copy is made without Python's lock; it takes longer than getting the lock back.
const LARGE: usize = 1 << 20;

/// Fills all of `target` with the bytes behind the first `skip`, and with zeros where there are fewer.
fn copy_into(py: Python<'_>, pieces: &Segments, skip: usize, target: &mut [MaybeUninit<u8>]) {
    let copy = move || {
        let mut skip = skip;
        let mut rest = target;
        for piece in pieces.pieces() {
            let passed = skip.min(piece.len());
            skip -= passed;
            let wanted = piece.split_at(passed).1;
            let count = wanted.len().min(rest.len());
            let (head, tail) = rest.split_at_mut(count);
            // Safety: both have `count` bytes, of which the target's are nobody else's.
            unsafe {
                std::ptr::copy_nonoverlapping(wanted.as_ptr(), head.as_mut_ptr().cast(), count);
            }
            rest = tail;
        }
        rest.fill(MaybeUninit::new(0));
    };
    if pieces.len() < LARGE {
        copy();
    } else {
        // The object is not shared yet.
        py.detach(copy);
    }
}

/// The memory of a new object of Python's, which nobody has written to. PyO3's own constructors write zeros first: of what is large that
/// is one more pass over fresh memory, with Python's lock held.
///
/// # Safety
/// `start` points to `length` bytes that belong to an object which nobody else knows.
unsafe fn fresh<'a>(start: *mut std::ffi::c_char, length: usize) -> &'a mut [MaybeUninit<u8>] {
    #[cfg(target_os = "linux")]
    if length >= HUGE {
        let skip = start.align_offset(PAGE).min(length);
        let whole = (length - skip) & !(PAGE - 1);
        // Safety: the pages are within the object. Where the kernel has no huge pages, nothing changes.
        _ = unsafe {
            rustix::mm::madvise(
                start.add(skip).cast(),
                whole,
                rustix::mm::Advice::LinuxHugepage,
            )
        };
    }
    // Safety: as the caller says; bytes that may be uninitialized have no invariants.
    unsafe { std::slice::from_raw_parts_mut(start.cast(), length) }
}

/// From this many bytes on, huge pages are asked for: each of the small ones costs a page fault when it is first written to.
#[cfg(target_os = "linux")]
const HUGE: usize = 8 << 20;
#[cfg(target_os = "linux")]
const PAGE: usize = 4096;

/// A new bytes object of that length, or a bytearray, from what is behind the first `skip` bytes.
fn object<'py>(
    py: Python<'py>,
    pieces: &Segments,
    skip: usize,
    length: usize,
    mutable: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let size = ffi::Py_ssize_t::try_from(length)?;
    // Safety: the object is new and has as many bytes, and all of them are written before anybody else gets it.
    unsafe {
        let object = match mutable {
            true => ffi::PyByteArray_FromStringAndSize(std::ptr::null(), size),
            false => ffi::PyBytes_FromStringAndSize(std::ptr::null(), size),
        };
        let object = Bound::from_owned_ptr_or_err(py, object)?;
        let start = match mutable {
            true => ffi::PyByteArray_AsString(object.as_ptr()),
            false => ffi::PyBytes_AsString(object.as_ptr()),
        };
        copy_into(py, pieces, skip, fresh(start, length));
        Ok(object)
    }
}

/// All of it as a bytes object.
pub(super) fn bytes<'py>(py: Python<'py>, pieces: &Segments) -> PyResult<Bound<'py, PyBytes>> {
    Ok(object(py, pieces, 0, pieces.len(), false)?.cast_into()?)
}

/// All of it as a bytearray, so that an array made on it can be written to.
pub(super) fn bytearray<'py>(py: Python<'py>, pieces: &Segments) -> PyResult<Bound<'py, PyAny>> {
    object(py, pieces, 0, pieces.len(), true)
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
    object(py, pickle, start, length, mutable).map(Some)
}
