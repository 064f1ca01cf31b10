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
use crate::fan_out;
use crate::transfer::{
    self, Copied, CopyOptions, Difference, Links, Modes, Progress, Sending, Skip,
};

use super::connect::SIGNAL_CHECK;
use super::connection::Connection;
use super::runtime::Engine;
use super::{errors, runtime};

/// What came of it on one host.
enum Done {
    Copied(Copied),
    Differences(Vec<Difference>),
}

type Outcomes = Result<Vec<Result<Done, Error>>, Error>;
type Shown = Arc<Mutex<BTreeMap<usize, Progress>>>;

/// A copy that is on its way.
#[pyclass(frozen, module = "easycluster._native")]
pub(super) struct Transfer {
    task: Mutex<Option<JoinHandle<Outcomes>>>,
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

/// Clients of connections, which share them.
fn clients(connections: &[PyRef<'_, Connection>]) -> PyResult<Vec<Client>> {
    connections
        .iter()
        .map(|it| Ok(Client::of(it.core()?)))
        .collect()
}

/// Tells of one host's progress.
fn shows(options: &CopyOptions, shown: &Shown, place: usize) -> CopyOptions {
    let shown = Arc::clone(shown);
    let mut options = options.clone();
    options.progress = Some(Arc::new(move |progress: &Progress| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.insert(place, progress.clone());
    }));
    options
}

fn begun(
    shown: Shown,
    future: impl Future<Output = Outcomes> + Send + 'static,
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

/// Begins to copy to the hosts of these connections, or with `compare` to find out what that would change.
#[pyfunction]
pub(super) fn put(
    connections: Vec<PyRef<'_, Connection>>,
    sources: Vec<PathBuf>,
    dest: Vec<u8>,
    options: &Bound<'_, PyDict>,
    compare: bool,
) -> PyResult<Transfer> {
    let (clients, options) = (clients(&connections)?, options_of(options)?);
    let shown = Shown::default();
    let told = Arc::clone(&shown);
    begun(shown, async move {
        let sending = Sending::new(sources, &options, clients.len()).await?;
        let dest: Arc<[u8]> = dest.into();
        let count = clients.len();
        let all = clients.into_iter().enumerate().map(|(place, client)| {
            let progress = shows(&options, &told, place).progress;
            let to_host = sending.to_host().with_progress(progress);
            let dest = Arc::clone(&dest);
            async move {
                if compare {
                    to_host.compare(&client, &dest).await.map(Done::Differences)
                } else {
                    to_host.copy(&client, &dest).await.map(Done::Copied)
                }
            }
        });
        let all: Vec<_> = all.collect();
        let outcomes = fan_out(all, count.max(1)).in_order().await;
        Ok(outcomes.into_iter().map(settled).collect())
    })
}

/// Begins to copy from the hosts of these connections, each to a folder or file of its own.
#[pyfunction]
pub(super) fn get(
    connections: Vec<PyRef<'_, Connection>>,
    sources: Vec<Vec<u8>>,
    dests: Vec<PathBuf>,
    options: &Bound<'_, PyDict>,
) -> PyResult<Transfer> {
    let (clients, options) = (clients(&connections)?, options_of(options)?);
    let shown = Shown::default();
    let told = Arc::clone(&shown);
    begun(shown, async move {
        let (sources, count) = (Arc::new(sources), clients.len());
        let all = clients.into_iter().zip(dests).enumerate();
        let all = all.map(|(place, (client, dest))| {
            let (sources, options) = (Arc::clone(&sources), shows(&options, &told, place));
            async move {
                let copied = transfer::fetch(&client, &sources, &dest, &options).await;
                copied.map(Done::Copied)
            }
        });
        let all: Vec<_> = all.collect();
        let outcomes = fan_out(all, count.max(1)).in_order().await;
        Ok(outcomes.into_iter().map(settled).collect())
    })
}

fn settled(outcome: Option<Result<Done, Error>>) -> Result<Done, Error> {
    outcome.unwrap_or_else(|| Err(Error::Convert("the task on this side ended".to_owned())))
}

/// An outcome as the package takes it: `('copied', counts)`, `('differences', [(change, path)])`, `('problems', text, [(path, reason)])`
/// or `('failed', exception)`.
fn outcome(py: Python<'_>, outcome: Result<Done, Error>) -> PyResult<Py<PyAny>> {
    Ok(match outcome {
        Ok(Done::Copied(it)) => {
            let counts = [
                it.files,
                it.folders,
                it.links,
                it.unchanged,
                it.deleted,
                it.bytes,
                it.resumed,
            ];
            ("copied", counts).into_pyobject(py)?.into_any().unbind()
        }
        Ok(Done::Differences(all)) => {
            let all: Vec<(&str, String)> = all
                .into_iter()
                .map(|it| (it.change.name(), it.path))
                .collect();
            ("differences", all).into_pyobject(py)?.into_any().unbind()
        }
        Err(Error::Files { host, problems }) => {
            let all: Vec<(String, String)> = problems
                .iter()
                .map(|it| (it.path.clone(), it.reason.clone()))
                .collect();
            let text = Error::Files { host, problems }.to_string();
            ("problems", text, all)
                .into_pyobject(py)?
                .into_any()
                .unbind()
        }
        Err(error) => {
            let error = errors::from_error(py, error).into_value(py);
            ("failed", error).into_pyobject(py)?.into_any().unbind()
        }
    })
}

/// A host's name as the name of a file.
#[pyfunction]
pub(super) fn file_name(label: &str) -> String {
    crate::files::of_host::of_host(label)
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
                Some(Ok(Ok(Ok(outcomes)))) => {
                    let outcomes = outcomes.into_iter().map(|it| outcome(py, it));
                    return outcomes.collect::<PyResult<_>>().map(Some);
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
