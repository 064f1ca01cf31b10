//! What is looked at before something is made: keys, and how much constructors are given.

use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString,
    PyTuple,
};

use std::cell::RefCell;

use super::{Decoder, refuse};
use crate::pickle::{Container, Work};

/// Bytes that an item of a list takes.
const PER_ITEM: usize = 8;

thread_local! {
    /// What the package's constructors may still do for the pickle that this thread decodes.
    static LEFT: RefCell<Work> = RefCell::new(Work::of(0));
}

pub(super) fn begin_work(received: usize) {
    LEFT.with_borrow_mut(|left| *left = Work::of(received));
}

/// Counts work of a constructor, in small values that are hashed or compared: about 10 ns each. Raises Refused where it is far more
/// than what was received.
#[pyfunction]
pub(in super::super) fn spend_work(py: Python<'_>, values: u64) -> PyResult<()> {
    LEFT.with_borrow_mut(|left| left.spend(values))
        .map_err(|refused| refuse(py, &format!("is not decoded: {refused}")))
}

impl<'py> Decoder<'py, '_> {
    /// Refuses a key whose hash or comparison is anything but a built-in one.
    fn check_key(&self, key: &Bound<'py, PyAny>) -> PyResult<()> {
        if key.is_exact_instance_of::<PyString>()
            || key.is_exact_instance_of::<PyInt>()
            || key.is_exact_instance_of::<PyBytes>()
            || key.is_exact_instance_of::<PyFloat>()
            || key.is_exact_instance_of::<PyBool>()
            || key.is_none()
        {
            return Ok(());
        }
        self.check_key.call1((key,)).map(drop)
    }

    pub(super) fn check_keys(
        &self,
        container: Container,
        items: &[Bound<'py, PyAny>],
    ) -> PyResult<()> {
        let every = match container {
            Container::Dict if !items.len().is_multiple_of(2) => {
                return Err(refuse(self.py, "has a key without a value"));
            }
            Container::Dict => 2,
            Container::Set | Container::FrozenSet => 1,
            Container::List | Container::Tuple => return Ok(()),
        };
        items
            .iter()
            .step_by(every)
            .try_for_each(|key| self.check_key(key))
    }

    /// Counts what a constructor is given, in bytes.
    pub(super) fn charge(&mut self, given: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = self.py;
        let mut cost = 0usize;
        let mut count = |value: &Bound<'py, PyAny>| -> PyResult<()> {
            let width = if value.is_exact_instance_of::<PyString>()
                || value.is_exact_instance_of::<PyBytes>()
                || value.is_exact_instance_of::<PyByteArray>()
            {
                1
            } else if value.is_exact_instance_of::<PyList>()
                || value.is_exact_instance_of::<PyTuple>()
                || value.is_exact_instance_of::<PyDict>()
                || value.is_exact_instance_of::<PySet>()
                || value.is_exact_instance_of::<PyFrozenSet>()
            {
                PER_ITEM
            } else {
                return Ok(());
            };
            cost = cost.saturating_add(value.len()?.saturating_mul(width));
            Ok(())
        };
        count(given)?;
        if let Ok(parts) = given.cast_exact::<PyTuple>() {
            parts.iter().try_for_each(|part| count(&part))?;
        }
        self.left = self
            .left
            .checked_sub(cost)
            .ok_or_else(|| refuse(py, "makes far more than was received"))?;
        Ok(())
    }
}
