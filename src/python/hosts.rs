//! Ranges and inventories for Python: what names stand for, with groups and variables.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::Plain;
use crate::inventory::{Inventory, InventoryError, InventoryHost};

/// Name, spec, groups, variables.
type Found<'py> = (String, String, Vec<String>, Bound<'py, PyDict>);

/// The hosts that names stand for, or patterns of inventories if there are any, and what should be known about them.
/// Raises ValueError for what cannot be understood or matches nothing.
#[pyfunction]
pub(super) fn hosts<'py>(
    py: Python<'py>,
    names: Vec<String>,
    inventories: Vec<String>,
    exclude: Vec<String>,
) -> PyResult<(Vec<Found<'py>>, Vec<String>)> {
    // Programs of inventories may take their time.
    let (hosts, mut told) = py
        .detach(|| choose(&names, &inventories, &exclude))
        .map_err(wrong)?;
    if hosts.iter().any(InventoryHost::has_password) {
        told.push(
            "the inventory has passwords, which do not stand in specs: use a key or an agent"
                .to_owned(),
        );
    }
    let found = hosts.iter().map(|host| {
        let spec = host.spec().map_err(wrong)?;
        let variables = PyDict::new(py);
        for (name, value) in host.variables() {
            variables.set_item(name, object(py, value)?)?;
        }
        let groups = host.groups().map(str::to_owned).collect();
        Ok((spec.label(), spec.to_canonical(), groups, variables))
    });
    Ok((found.collect::<PyResult<_>>()?, told))
}

/// Those of the hosts, given with their groups, that a pattern chooses. Raises ValueError for what cannot be understood or matches
/// nothing.
#[pyfunction]
pub(super) fn hosts_in(known: Vec<(String, Vec<String>)>, pattern: &str) -> PyResult<Vec<String>> {
    let known = known.iter();
    let known = known.map(|(host, groups)| (host.as_str(), groups.as_slice()));
    let inventory = Inventory::of_groups(known).map_err(wrong)?;
    let chosen = inventory.select(&[pattern]).map_err(wrong)?;
    Ok(chosen.iter().map(|host| host.name().to_owned()).collect())
}

fn wrong(error: InventoryError) -> PyErr {
    let hint = error.hint().map(|hint| format!("\n  hint: {hint}"));
    PyValueError::new_err(format!("{error}{}", hint.unwrap_or_default()))
}

fn choose(
    names: &[String],
    inventories: &[String],
    exclude: &[String],
) -> Result<(Vec<InventoryHost>, Vec<String>), InventoryError> {
    let exclude: Vec<&str> = exclude.iter().map(String::as_str).collect();
    if inventories.is_empty() {
        return Inventory::of_command_line(names, &[], &exclude);
    }
    let mut inventory = Inventory::default();
    for path in inventories {
        inventory.add(path)?;
    }
    let patterns: Vec<&str> = names.iter().map(String::as_str).collect();
    let hosts = inventory.select_without(&patterns, &exclude)?;
    Ok((hosts, inventory.warnings().to_vec()))
}

/// A value of an inventory as Python has it.
fn object<'py>(py: Python<'py>, value: &Plain) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Plain::Bool(truth) => truth.into_pyobject(py)?.to_owned().into_any(),
        Plain::Int(number) => number.into_pyobject(py)?.into_any(),
        Plain::BigInt(number) => py
            .get_type::<pyo3::types::PyInt>()
            .call1((number.to_string(),))?,
        Plain::Float(number) => number.into_pyobject(py)?.into_any(),
        Plain::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Plain::Str(text) => text.into_pyobject(py)?.into_any(),
        Plain::List(items) | Plain::Tuple(items) | Plain::Set(items) | Plain::FrozenSet(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(object(py, item)?)?;
            }
            list.into_any()
        }
        Plain::Dict(pairs) => {
            let dict = PyDict::new(py);
            for (key, value) in pairs {
                dict.set_item(object(py, key)?, object(py, value)?)?;
            }
            dict.into_any()
        }
        Plain::None => py.None().into_bound(py),
        Plain::Object(nothing) => match *nothing {},
    })
}
