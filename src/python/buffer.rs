//! Bytes that cross from Python without a copy, for as long as the connection needs them.
//!
//! One wheel serves CPython 3.9 and newer, and the buffer protocol joined the stable interface only in 3.11. Its three functions
//! and its structure are the same in 3.9 and 3.10, so they are declared here by hand.

use std::ffi::{c_char, c_int, c_void};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Below this many bytes a copy is cheaper than keeping the Python object alive.
const COPY_BELOW: usize = 16 * 1024;

/// `Py_buffer` as CPython lays it out.
#[repr(C)]
struct RawBuffer {
    buf: *mut c_void,
    obj: *mut ffi::PyObject,
    len: ffi::Py_ssize_t,
    itemsize: ffi::Py_ssize_t,
    readonly: c_int,
    ndim: c_int,
    format: *mut c_char,
    shape: *mut ffi::Py_ssize_t,
    strides: *mut ffi::Py_ssize_t,
    suboffsets: *mut ffi::Py_ssize_t,
    internal: *mut c_void,
}

/// Contiguous bytes, as `PyBUF_SIMPLE` asks for them.
const SIMPLE: c_int = 0;

unsafe extern "C" {
    fn PyObject_GetBuffer(object: *mut ffi::PyObject, view: *mut RawBuffer, flags: c_int) -> c_int;
    fn PyBuffer_Release(view: *mut RawBuffer);
}

/// A Python buffer held for a request on its way.
struct Held {
    view: View,
}

// The view is only read, and released with Python's lock held.
unsafe impl Send for Held {}
unsafe impl Sync for Held {}

/// Views whose requests are done; released by the next Python thread that comes by, because that takes Python's lock.
static DONE: Mutex<Vec<View>> = Mutex::new(Vec::new());

/// A filled structure. Boxed, because exporters may keep its address.
struct View(Box<RawBuffer>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        let length = usize::try_from(self.view.0.len).unwrap_or(0);
        if length == 0 || self.view.0.buf.is_null() {
            return &[];
        }
        // Safety: the exporter keeps `len` bytes at `buf` in place until the view is released.
        unsafe { std::slice::from_raw_parts(self.view.0.buf.cast::<u8>(), length) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let empty = View(Box::new(RawBuffer::empty()));
        let view = std::mem::replace(&mut self.view, empty);
        if !view.0.obj.is_null() {
            DONE.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(view);
        }
    }
}

// Raw pointers make these two not Send by themselves; see `Held`.
unsafe impl Send for RawBuffer {}
unsafe impl Sync for RawBuffer {}

impl RawBuffer {
    fn empty() -> RawBuffer {
        RawBuffer {
            buf: std::ptr::null_mut(),
            obj: std::ptr::null_mut(),
            len: 0,
            itemsize: 0,
            readonly: 0,
            ndim: 0,
            format: std::ptr::null_mut(),
            shape: std::ptr::null_mut(),
            strides: std::ptr::null_mut(),
            suboffsets: std::ptr::null_mut(),
            internal: std::ptr::null_mut(),
        }
    }
}

/// Gives back the buffers of requests that are done.
pub(super) fn release_done(_py: Python<'_>) {
    let Ok(mut done) = DONE.try_lock() else {
        return;
    };
    if done.is_empty() {
        return;
    }
    let mut views = std::mem::take(&mut *done);
    drop(done);
    for view in &mut views {
        // Safety: the view came from PyObject_GetBuffer, is released once, and Python's lock is held.
        unsafe { PyBuffer_Release(&mut *view.0) };
    }
}

/// The bytes of a bytes-like object. With `hold`, large ones are not copied but held; their content must not change meanwhile.
pub(super) fn bytes_of(object: &Bound<'_, PyAny>, hold: bool) -> PyResult<Bytes> {
    if let Ok(exact) = object.cast_exact::<PyBytes>()
        && exact.as_bytes().len() < COPY_BELOW
    {
        return Ok(Bytes::copy_from_slice(exact.as_bytes()));
    }
    let mut view = View(Box::new(RawBuffer::empty()));
    // Safety: `view` is a valid place for the result, and Python's lock is held.
    if unsafe { PyObject_GetBuffer(object.as_ptr(), &mut *view.0, SIMPLE) } != 0 {
        let error = PyErr::fetch(object.py());
        let message = PyTypeError::new_err("a payload must be contiguous bytes");
        message.set_cause(object.py(), Some(error));
        return Err(message);
    }
    let fixed = view.0.readonly != 0;
    let held = Held { view };
    if (hold || fixed) && held.as_ref().len() >= COPY_BELOW {
        return Ok(Bytes::from_owner(held));
    }
    let copy = Bytes::copy_from_slice(held.as_ref());
    drop(held);
    release_done(object.py());
    Ok(copy)
}
