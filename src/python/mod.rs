//! The extension module `easycluster._native`: connections, specs and keys for the Python package, which does the pickling.
//!
//! The runtime's thread never takes Python's lock: what it has to say waits in queues (`queue`, `output`) that Python's own
//! threads empty. So no call waits for a busy interpreter, and completion functions run only where the manual says.

// The interface to CPython is C.
#![allow(unsafe_code)]

mod asks;
mod balancer;
mod buffer;
mod channel;
mod connect;
mod connection;
mod convert;
mod decode;
mod descriptor;
mod errors;
#[cfg(unix)]
mod forked;
mod hosts;
mod joined;
mod joining;
mod keys;
mod output;
#[cfg(unix)]
mod packages;
mod queue;
#[cfg(unix)]
mod router;
mod runtime;
mod spec;
#[cfg(unix)]
mod transfer;
mod waiting;

use std::ffi::OsString;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use crate::pickle::names;
use crate::session::RequestKind;
use crate::wire::Kind;

/// The text of a file for the remote side, such as `shared/objects.py`, which both ends run.
#[pyfunction]
fn stub_source(path: &str) -> PyResult<String> {
    crate::stub::file(path)
        .map(str::to_owned)
        .ok_or_else(|| pyo3::exceptions::PyKeyError::new_err(path.to_owned()))
}

/// What a pickle looks up by name: None if nothing and no reference, else a byte for each look-up: 1 called, 2 made by `__new__`.
/// Raises ValueError for a pickle that is malformed or does what no pickle of a value does.
#[pyfunction]
fn scan_pickle<'py>(py: Python<'py>, pickle: &[u8]) -> PyResult<Option<Bound<'py, PyBytes>>> {
    match names::scan(pickle, convert::budget(pickle)) {
        Ok(names::Scan::Plain) => Ok(None),
        Ok(names::Scan::Names(uses)) => Ok(Some(PyBytes::new(py, &uses))),
        Err(refused) => Err(pyo3::exceptions::PyValueError::new_err(refused.to_string())),
    }
}

/// Text of a server made safe to show: what moves a terminal's cursor or reorders text becomes visible.
#[pyfunction]
fn printable(text: &Bound<'_, PyString>) -> PyResult<String> {
    if let Ok(text) = text.to_cow() {
        return Ok(crate::error::printable(&text));
    }
    // It holds surrogates.
    let bytes = text.call_method1("encode", ("utf-8", "backslashreplace"))?;
    let bytes: Vec<u8> = bytes.extract()?;
    Ok(crate::error::printable(&String::from_utf8_lossy(&bytes)))
}

/// The one of these words that was probably meant, as for options of specs.
#[pyfunction]
fn nearest(word: &str, known: Vec<String>) -> Option<String> {
    crate::spec::nearest(word, known.iter().map(String::as_str)).map(str::to_owned)
}

/// Lets the output of a server through to a terminal with its colours and nothing else that acts.
#[pyclass(module = "easycluster._native")]
struct OutputFilter(std::sync::Mutex<crate::visible::Filter>);

#[pymethods]
impl OutputFilter {
    #[new]
    fn new() -> Self {
        OutputFilter(std::sync::Mutex::default())
    }

    /// Takes whole lines, each with its newline, and gives them back safe to show.
    fn lines(&self, text: &str) -> String {
        let mut shown = Vec::with_capacity(text.len());
        let filter = self.0.lock();
        let mut filter = filter.unwrap_or_else(std::sync::PoisonError::into_inner);
        filter.push(text.as_bytes(), &mut shown);
        String::from_utf8_lossy(&shown).into_owned()
    }
}

/// A shell command as `helpers/commands.run` takes it: the line of a shell, and what that reads. `command` is a line for the shell, or
/// a list of words.
#[pyfunction]
fn wrap_command<'py>(
    py: Python<'py>,
    command: Words,
    cwd: Option<Vec<u8>>,
    environment: Vec<(String, Vec<u8>)>,
    input: Option<Vec<u8>>,
) -> PyResult<(String, Bound<'py, PyBytes>)> {
    let line = match command {
        Words::Line(line) => crate::command::CommandLine::Shell(line.to_vec()),
        Words::List(words) => crate::command::CommandLine::Words(words),
    };
    let (line, control) = crate::command::wrapped(line, cwd, environment, input)
        .map_err(pyo3::exceptions::PyValueError::new_err)?;
    Ok((line, PyBytes::new(py, &control)))
}

/// A command as Python gives it. No list is a line, as an empty one would be if it were taken for one of bytes.
#[derive(FromPyObject)]
enum Words {
    Line(pyo3::pybacked::PyBackedBytes),
    List(Vec<Vec<u8>>),
}

/// The number of each kind of request by its name in spec/messages.md.
fn request_kinds(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let kinds = PyDict::new(py);
    for kind in RequestKind::ALL.map(Kind::from) {
        kinds.set_item(kind.name(), kind.code())?;
    }
    Ok(kinds)
}

/// The program: takes its arguments without the program's name, gives the exit status.
#[pyfunction]
fn main(py: Python<'_>, arguments: Vec<OsString>) -> i32 {
    py.detach(|| crate::cli::main(std::iter::once(OsString::from("easycluster")).chain(arguments)))
}

#[pymodule(gil_used = true)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // No further than what `select` in the caller's own code can take.
    crate::descriptors::raise_limit(1024);
    let py = module.py();
    module.add("VERSION", env!("CARGO_PKG_VERSION"))?;
    module.add("DEFAULT_PORT", crate::spec::DEFAULT_PORT)?;
    module.add("KEY_SIZE", crate::keys::KEY_SIZE)?;
    module.add("CHANNEL_WINDOW", crate::session::CHANNEL_WINDOW)?;
    module.add("MAX_BUFFERS", crate::wire::MAX_BUFFERS)?;
    module.add("MOST_PROCESSES_TOLD", crate::cluster::slots::MOST_TOLD)?;
    let limits = crate::progress::StageLimits::default();
    module.add("STUB_SECONDS", limits.stub.as_secs_f64())?;
    module.add("REQUEST_KINDS", request_kinds(py)?)?;
    module.add(
        "COMPLETION_KINDS",
        PyDict::from_sequence(convert::KINDS.into_pyobject(py)?.as_any())?,
    )?;
    module.add_class::<asks::Ask>()?;
    module.add_class::<asks::AskQueue>()?;
    module.add_class::<asks::Asking>()?;
    module.add_class::<channel::Channel>()?;
    module.add_class::<waiting::Waiting>()?;
    module.add_class::<connection::Connection>()?;
    module.add_class::<OutputFilter>()?;
    module.add_class::<connect::Opening>()?;
    module.add_class::<joining::Joining>()?;
    module.add_class::<balancer::Balancer>()?;
    module.add_class::<spec::Spec>()?;
    module.add_class::<spec::AskedPassword>()?;
    for function in [
        wrap_pyfunction!(stub_source, module)?,
        wrap_pyfunction!(scan_pickle, module)?,
        wrap_pyfunction!(decode::decode_pickle, module)?,
        wrap_pyfunction!(decode::spend_work, module)?,
        wrap_pyfunction!(printable, module)?,
        wrap_pyfunction!(nearest, module)?,
        wrap_pyfunction!(wrap_command, module)?,
        wrap_pyfunction!(main, module)?,
        wrap_pyfunction!(connect::open, module)?,
        wrap_pyfunction!(connect::begin, module)?,
        wrap_pyfunction!(joining::join, module)?,
        wrap_pyfunction!(keys::generate_key, module)?,
        wrap_pyfunction!(keys::decode_key, module)?,
        wrap_pyfunction!(keys::read_key_file, module)?,
        wrap_pyfunction!(keys::write_key_file, module)?,
        wrap_pyfunction!(output::wait_output, module)?,
        wrap_pyfunction!(output::take_output, module)?,
        wrap_pyfunction!(output::has_output, module)?,
        wrap_pyfunction!(output::tell_output, module)?,
        wrap_pyfunction!(output::end_output, module)?,
        wrap_pyfunction!(runtime::forked, module)?,
        wrap_pyfunction!(errors::set_errors, module)?,
        wrap_pyfunction!(hosts::hosts, module)?,
        wrap_pyfunction!(hosts::hosts_in, module)?,
    ] {
        module.add_function(function)?;
    }
    #[cfg(unix)]
    {
        module.add_class::<router::Router>()?;
        module.add_class::<transfer::Transfer>()?;
        module.add_function(wrap_pyfunction!(packages::build_packages, module)?)?;
        module.add_function(wrap_pyfunction!(transfer::put, module)?)?;
        module.add_function(wrap_pyfunction!(transfer::get, module)?)?;
    }
    // Nothing but the package looks in here.
    module.add("__all__", PyList::empty(py))?;
    Ok(())
}
