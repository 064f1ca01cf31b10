//! A channel as Python holds it: bytes, or items as pickles, go in and come out. Waits are without Python's lock.

use std::future::poll_fn;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyBrokenPipeError, PyConnectionAbortedError, PyOSError, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::connection::{Channel as Core, ChannelError, Connection};
use crate::session::ChannelId;
use crate::wire::Segments;

use super::connect::SIGNAL_CHECK;
use super::connection::LONG;
use super::runtime::Engine;
use super::waiting::Waiting;
use super::{buffer, errors, joined, runtime};

/// One channel of a connection.
#[pyclass(frozen, module = "easycluster._native")]
pub(super) struct Channel {
    // Not dropped in a forked child: the tasks behind it run in the parent only.
    core: ManuallyDrop<Arc<Core>>,
    engine: ManuallyDrop<Arc<Engine>>,
    process: u64,
}

impl Drop for Channel {
    fn drop(&mut self) {
        if self.process == runtime::process() {
            // Safety: dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.core) };
            self.engine.nudge();
            // Safety: as above.
            unsafe { ManuallyDrop::drop(&mut self.engine) };
        }
    }
}

impl Channel {
    pub(super) fn open(
        py: Python<'_>,
        connection: &Connection,
        engine: &Arc<Engine>,
        window: u32,
    ) -> PyResult<Channel> {
        let core = connection
            .open_channel(window)
            .map_err(|failure| errors::from_error(py, failure.into_error(connection.host())))?;
        Ok(Channel {
            core: ManuallyDrop::new(Arc::new(core)),
            engine: ManuallyDrop::new(Arc::clone(engine)),
            process: runtime::process(),
        })
    }

    /// What it is of, for what carries its bytes without Python.
    #[cfg(unix)]
    pub(super) fn core(&self) -> Arc<Core> {
        Arc::clone(&self.core)
    }

    pub(super) fn id(&self) -> ChannelId {
        self.core.id()
    }

    /// Asks until there is an answer, time is up, or a signal handler raises.
    fn wait<T: Send>(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
        main: bool,
        mut ask: impl FnMut(&Core, &mut Context<'_>) -> Poll<T> + Send,
    ) -> PyResult<T> {
        runtime::check(self.process)?;
        // Most that comes in a stream is there already.
        let mut nobody = Context::from_waker(Waker::noop());
        if let Poll::Ready(answer) = ask(&self.core, &mut nobody) {
            return Ok(answer);
        }
        if timeout.is_some_and(|seconds| seconds <= 0.0) {
            self.engine.nudge();
            return Err(self.in_vain());
        }
        let end = timeout
            .and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok())
            .and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let slice = if main { SIGNAL_CHECK } else { LONG };
            let left = end.map_or(slice, |end| {
                slice.min(end.saturating_duration_since(Instant::now()))
            });
            let core: &Core = &self.core;
            let answered = py.detach(|| {
                self.engine.drive(async {
                    let answer = poll_fn(|context| ask(core, context));
                    tokio::time::timeout(left, answer).await
                })
            });
            if let Ok(answer) = answered {
                return Ok(answer);
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                return Err(self.in_vain());
            }
            if main {
                py.check_signals()?;
            }
        }
    }

    fn in_vain(&self) -> PyErr {
        PyTimeoutError::new_err(format!(
            "{}: the channel has been waited for in vain",
            self.core.connection().host()
        ))
    }

    fn error(&self, py: Python<'_>, error: ChannelError) -> PyErr {
        let host = self.core.connection().host();
        let told = error.clone().into_error(host);
        match error {
            ChannelError::Lost(_) => errors::from_error(py, told),
            ChannelError::Unread => PyBrokenPipeError::new_err((32, told.to_string())),
            ChannelError::Broken(_) => PyConnectionAbortedError::new_err((103, told.to_string())),
            ChannelError::Closed | ChannelError::TooLarge(_) => {
                PyOSError::new_err(told.to_string())
            }
        }
    }
}

#[pymethods]
impl Channel {
    /// The number by which a call names it.
    #[getter]
    fn number(&self) -> u32 {
        self.core.number()
    }

    /// Sends bytes, or an item: a pickle as bytes, or the pieces of one. Waits until there is room.
    #[pyo3(signature = (payload, timeout, main))]
    fn send(
        &self,
        py: Python<'_>,
        payload: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        main: bool,
    ) -> PyResult<()> {
        let mut segments = Segments::new();
        if let Ok(pieces) = payload.cast_exact::<pyo3::types::PyList>() {
            for piece in pieces.iter() {
                segments.push(buffer::bytes_of(&piece, false)?);
            }
        } else {
            segments.push(buffer::bytes_of(payload, false)?);
        }
        self.wait(py, timeout, main, Core::poll_room)?
            .map_err(|error| self.error(py, error))?;
        self.core
            .send(segments)
            .map_err(|error| self.error(py, error))?;
        self.engine.nudge();
        Ok(())
    }

    /// The next bytes as they came, or with `item` the next item's pickle; None at the end.
    #[pyo3(signature = (item, timeout, main))]
    fn receive<'py>(
        &self,
        py: Python<'py>,
        item: bool,
        timeout: Option<f64>,
        main: bool,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let limit = self.core.connection().max_result();
        let came = self.wait(py, timeout, main, |core, context| match item {
            true => core.poll_item(context, limit),
            false => core.poll_bytes(context),
        })?;
        self.engine.nudge();
        match came {
            None => Ok(None),
            Some(Ok(segments)) => Ok(Some(joined::bytes(py, &segments)?)),
            Some(Err(error)) => Err(self.error(py, error)),
        }
    }

    /// Whether something has come, if only a part of an item, or nothing more will.
    fn is_readable(&self) -> bool {
        self.core.is_readable()
    }

    /// What tells when something has come, or nothing more will.
    fn readable(&self) -> PyResult<Waiting> {
        runtime::check(self.process)?;
        let core = Arc::clone(&self.core);
        Waiting::new(&self.engine, async move {
            poll_fn(|context| core.poll_readable(context)).await
        })
    }

    /// What tells when there is room to send, or nothing more can be sent.
    fn room(&self) -> PyResult<Waiting> {
        runtime::check(self.process)?;
        let core = Arc::clone(&self.core);
        Waiting::new(&self.engine, async move {
            _ = core.room().await;
        })
    }

    /// Sends nothing more: behind all that was sent, or at once, for a reason that the other end is told.
    #[pyo3(signature = (reason=None))]
    fn end(&self, reason: Option<&str>) {
        if self.process == runtime::process() {
            self.core.end(reason);
            self.engine.nudge();
        }
    }

    /// Reads nothing more.
    fn stop(&self) {
        if self.process == runtime::process() {
            self.core.stop();
            self.engine.nudge();
        }
    }
}
