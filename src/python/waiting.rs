//! Something that is waited for by a descriptor, as event loops do.

use std::io::PipeReader;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use pyo3::prelude::*;
use tokio::task::AbortHandle;

use super::runtime::Engine;
use super::{descriptor, runtime};

/// Something that will happen. Dropped, it is not waited for any more.
#[pyclass(frozen, module = "easycluster._native")]
pub(super) struct Waiting {
    task: AbortHandle,
    // Of the process that made it; not used in any other.
    engine: ManuallyDrop<Arc<Engine>>,
    /// At its end when it has happened.
    reader: PipeReader,
    process: u64,
}

impl Waiting {
    pub(super) fn new(
        engine: &Arc<Engine>,
        event: impl Future<Output = ()> + Send + 'static,
    ) -> PyResult<Waiting> {
        let (reader, writer) = std::io::pipe()?;
        let task = engine.spawn(async move {
            event.await;
            // However the task ends, its end of the pipe is closed then.
            drop(writer);
        });
        Ok(Waiting {
            task: task.abort_handle(),
            engine: ManuallyDrop::new(Arc::clone(engine)),
            reader,
            process: runtime::process(),
        })
    }
}

#[pymethods]
impl Waiting {
    /// A descriptor that becomes readable when it has happened.
    fn fileno(&self) -> PyResult<i32> {
        descriptor::number(&self.reader)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.process == runtime::process() {
            self.task.abort();
            // The task ends only when a thread drives the runtime.
            self.engine.nudge();
            // Safety: dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.engine) };
        }
    }
}
