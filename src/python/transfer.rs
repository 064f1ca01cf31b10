//! Copies of files for the Python package: they run on the runtime, and a thread of Python's waits for them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokio::task::{AbortHandle, JoinHandle};

use crate::client::Client;
use crate::error::Error;
use crate::transfer::{Copied, CopyOptions, Difference, Links, Many, Modes, Progress, Skip};

use super::connect::SIGNAL_CHECK;
use super::connection::Connection;
use super::runtime::Engine;
use super::{errors, runtime};

/// What came of it on each host.
enum Done {
    Copied(Vec<(String, Result<Copied, Error>)>),
    Compared(Vec<(String, Result<Vec<Difference>, Error>)>),
}

type Shown = Arc<Mutex<BTreeMap<usize, Progress>>>;

/// A copy that is on its way.
#[pyclass(frozen, module = "easycluster._native")]
pub(super) struct Transfer {
    task: Mutex<Option<JoinHandle<Result<Done, Error>>>>,
    abort: AbortHandle,
    engine: Arc<Engine>,
    /// By the places of the hosts.
    shown: Shown,
    process: u64,
}

fn one_of<T: Copy>(
    options: &Bound<'_, PyDict>,
    name: &str,
    values: &[(&str, T)],
) -> PyResult<Option<T>> {
    let Some(given) = options.get_item(name)? else {
        return Ok(None);
    };
    let text: String = given.extract()?;
    let found = values.iter().find(|(value, _)| *value == text);
    match found {
        Some((_, value)) => Ok(Some(*value)),
        None => {
            let values: Vec<&str> = values.iter().map(|(value, _)| *value).collect();
            let values = values.join(", ");
            Err(PyValueError::new_err(format!(
                "{name} is one of {values}, not {text}"
            )))
        }
    }
}

fn flag(options: &Bound<'_, PyDict>, name: &str, value: &mut bool) -> PyResult<()> {
    if let Some(given) = options.get_item(name)? {
        *value = given.is_truthy()?;
    }
    Ok(())
}

/// The keywords of the package as options.
fn options_of(given: &Bound<'_, PyDict>) -> PyResult<CopyOptions> {
    let mut options = CopyOptions::default();
    if let Some(mode) = given.get_item("mode")?.filter(|mode| !mode.is_none()) {
        options.modes = match mode.extract::<u32>() {
            Ok(mode) if mode <= 0o7777 => Modes::Set(mode),
            Ok(_) => {
                return Err(PyValueError::new_err(
                    "mode is a number up to 0o7777, or 'all'",
                ));
            }
            Err(_) if mode.extract::<String>().is_ok_and(|text| text == "all") => Modes::All,
            Err(_) => {
                return Err(PyValueError::new_err(
                    "mode is a number such as 0o644, or 'all'",
                ));
            }
        };
    }
    let links = [
        ("copy", Links::Copy),
        ("follow", Links::Follow),
        ("skip", Links::Skip),
    ];
    options.links = one_of(given, "links", &links)?.unwrap_or_default();
    let skip = [
        ("same", Skip::Same),
        ("content", Skip::Content),
        ("never", Skip::Never),
    ];
    options.skip = one_of(given, "skip", &skip)?.unwrap_or_default();
    flag(given, "times", &mut options.times)?;
    flag(given, "delete", &mut options.delete)?;
    flag(given, "resume", &mut options.resume)?;
    flag(given, "fsync", &mut options.fsync)?;
    if let Some(patterns) = given.get_item("exclude")? {
        options.exclude = patterns.extract()?;
    }
    if let Some(most) = given.get_item("max_bytes")? {
        options.max_bytes = most.extract()?;
    }
    if let Some(most) = given.get_item("max_files")? {
        options.max_files = most.extract()?;
    }
    Ok(options)
}

/// Hosts by their names and connections, which the clients share, and what is told of them.
fn many(
    hosts: Vec<(String, PyRef<'_, Connection>)>,
    options: &Bound<'_, PyDict>,
) -> PyResult<(Many, Shown)> {
    let hosts = hosts
        .into_iter()
        .map(|(host, it)| Ok((host, Client::of(it.core()?))));
    let shown = Shown::default();
    let told = Arc::clone(&shown);
    let many = Many {
        hosts: hosts.collect::<PyResult<_>>()?,
        options: options_of(options)?,
        progress: Some(Arc::new(move |place, progress: &Progress| {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            told.insert(place, progress.clone());
        })),
    };
    Ok((many, shown))
}

fn begun(
    shown: Shown,
    future: impl Future<Output = Result<Done, Error>> + Send + 'static,
) -> PyResult<Transfer> {
    let engine = runtime::engine()?;
    let task = engine.spawn(future);
    Ok(Transfer {
        abort: task.abort_handle(),
        task: Mutex::new(Some(task)),
        engine,
        shown,
        process: runtime::process(),
    })
}

/// Begins to copy to hosts, or with `compare` to find out what that would change.
#[pyfunction]
pub(super) fn put(
    hosts: Vec<(String, PyRef<'_, Connection>)>,
    sources: Vec<PathBuf>,
    dest: Vec<u8>,
    options: &Bound<'_, PyDict>,
    compare: bool,
) -> PyResult<Transfer> {
    let (many, shown) = many(hosts, options)?;
    begun(shown, async move {
        if compare {
            many.compare(sources, &dest).await.map(Done::Compared)
        } else {
            many.put(sources, &dest).await.map(Done::Copied)
        }
    })
}

/// Begins to copy from hosts.
#[pyfunction]
pub(super) fn get(
    hosts: Vec<(String, PyRef<'_, Connection>)>,
    sources: Vec<Vec<u8>>,
    dest: PathBuf,
    options: &Bound<'_, PyDict>,
) -> PyResult<Transfer> {
    let (many, shown) = many(hosts, options)?;
    begun(shown, async move {
        many.get(sources, dest.as_os_str()).await.map(Done::Copied)
    })
}

/// Outcomes as the package takes them: of each host `('copied', counts)`, `('differences', [(change, path)])`, `('problems', text,
/// [(path, reason)])` or `('failed', exception)`.
fn outcomes(py: Python<'_>, done: Done) -> PyResult<Vec<Py<PyAny>>> {
    match done {
        Done::Copied(all) => outcomes_of(py, all, |it| {
            let counts = [
                it.files,
                it.folders,
                it.links,
                it.unchanged,
                it.deleted,
                it.bytes,
                it.resumed,
            ];
            Ok(("copied", counts).into_pyobject(py)?.into_any().unbind())
        }),
        Done::Compared(all) => outcomes_of(py, all, |differences| {
            let all: Vec<(&str, String)> = differences
                .into_iter()
                .map(|it| (it.change.name(), it.path))
                .collect();
            Ok(("differences", all).into_pyobject(py)?.into_any().unbind())
        }),
    }
}

fn outcomes_of<T>(
    py: Python<'_>,
    all: Vec<(String, Result<T, Error>)>,
    good: impl Fn(T) -> PyResult<Py<PyAny>>,
) -> PyResult<Vec<Py<PyAny>>> {
    let outcomes = all.into_iter().map(|(_, outcome)| match outcome {
        Ok(value) => good(value),
        Err(error) => failure(py, error),
    });
    outcomes.collect()
}

fn failure(py: Python<'_>, error: Error) -> PyResult<Py<PyAny>> {
    let Error::Files { problems, .. } = &error else {
        let error = errors::from_error(py, error).into_value(py);
        return Ok(("failed", error).into_pyobject(py)?.into_any().unbind());
    };
    let all: Vec<(String, String)> = problems
        .iter()
        .map(|it| (it.path.clone(), it.reason.clone()))
        .collect();
    let text = error.to_string();
    let failure = ("problems", text, all).into_pyobject(py)?;
    Ok(failure.into_any().unbind())
}

#[pymethods]
impl Transfer {
    /// Waits for the end, at most so many seconds: a list of outcomes, or None where it is not there yet. A signal handler that raises
    /// ends it.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Vec<Py<PyAny>>>> {
        runtime::check(self.process)?;
        let until = timeout
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let waited = py.detach(|| {
                let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
                let running = task.as_mut()?;
                let waited = self
                    .engine
                    .drive(async { tokio::time::timeout(SIGNAL_CHECK, running).await });
                if waited.is_ok() {
                    *task = None;
                }
                Some(waited)
            });
            match waited {
                None => {
                    return Err(PyRuntimeError::new_err(
                        "the outcome of this copy was taken already",
                    ));
                }
                Some(Ok(Ok(Ok(done)))) => {
                    return outcomes(py, done).map(Some);
                }
                Some(Ok(Ok(Err(error)))) => return Err(errors::from_error(py, error)),
                Some(Ok(Err(_))) => return Err(PyRuntimeError::new_err("the copy was given up")),
                Some(Err(_elapsed)) => {
                    if let Err(raised) = py.check_signals() {
                        self.abort();
                        return Err(raised);
                    }
                }
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(None);
            }
        }
    }

    /// Gives it up.
    fn abort(&self) {
        if self.process == runtime::process() {
            self.abort.abort();
            self.engine.nudge();
        }
    }

    /// What has changed since the last time: place of the host, files, all files, bytes, all bytes.
    fn progress(&self) -> Vec<(usize, u64, u64, u64, u64)> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = std::mem::take(&mut *shown).into_iter();
        shown
            .map(|(place, it)| (place, it.files, it.all_files, it.bytes, it.all_bytes))
            .collect()
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.abort();
    }
}
