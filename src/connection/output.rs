//! What remote code prints, on its way to whoever wants it.

use std::io::Write;
use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::shared::Shared;

/// A piece of output. Dropping it tells the server that more may come, so a slow reader
/// slows the printing down, as a full pipe does.
pub struct Output {
    /// Standard error instead of standard output.
    pub stderr: bool,
    /// The number of the request whose thread printed it; 0 where it is not known (child
    /// processes, and what the transport's own stderr carries).
    pub request: u32,
    /// What was printed; not always whole lines or whole characters.
    pub data: Bytes,
    /// The window that it counts against, if it does.
    pub(super) window: Option<Weak<Shared>>,
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(shared) = self.window.take().and_then(|window| window.upgrade()) {
            let count = u32::try_from(self.data.len()).unwrap_or(u32::MAX);
            shared.with_session(|session| session.output_consumed(count));
        }
    }
}

/// Who takes output: a function called on the runtime's thread, in order; it must not block for long.
#[derive(Clone)]
pub struct OutputSink(Arc<dyn Fn(Output) + Send + Sync>);

impl OutputSink {
    /// Every piece goes to this function.
    pub fn new(function: impl Fn(Output) + Send + Sync + 'static) -> OutputSink {
        OutputSink(Arc::new(function))
    }

    /// This process's own stdout and stderr, unchanged, as `ssh` does it.
    pub fn inherit() -> OutputSink {
        OutputSink::new(|output| {
            // Nobody is left to tell when our own output is closed.
            if output.stderr {
                let _ = std::io::stderr().write_all(&output.data);
            } else {
                let mut stdout = std::io::stdout().lock();
                let _ = stdout.write_all(&output.data).and_then(|()| stdout.flush());
            }
        })
    }

    /// Thrown away.
    pub fn discard() -> OutputSink {
        OutputSink::new(drop)
    }

    pub(super) fn take(&self, output: Output) {
        (self.0)(output);
    }
}
