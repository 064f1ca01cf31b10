//! What remote code prints, on its way to the output function.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::shared::Shared;

/// A piece of output. Dropping it tells the server that more may come, so a slow reader
/// slows the printing down, as a full pipe does.
#[non_exhaustive]
pub struct Output {
    /// The host that printed it, as the user named it.
    pub host: Arc<str>,
    /// Standard error instead of standard output.
    pub stderr: bool,
    /// The number of the request whose thread printed it; 0 where it is not known (child
    /// processes, and what the transport's own stderr carries).
    pub request: u32,
    /// What was printed; not always whole lines or whole characters.
    pub data: Bytes,
    /// Is dropped with it, or later by one who keeps the data in another form, as the Python package does.
    #[cfg_attr(not(feature = "python"), allow(dead_code))]
    pub(crate) receipt: Receipt,
}

impl Output {
    /// A piece that no session carried; `permit` is given back once it is shown.
    pub(crate) fn held(
        host: Arc<str>,
        stderr: bool,
        data: Bytes,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Output {
        Output {
            host,
            stderr,
            request: 0,
            data,
            receipt: Receipt {
                shared: Weak::new(),
                windowed: 0,
                raw: 0,
                _held: permit,
            },
        }
    }
}

/// What a piece of output counts against. Dropped once the piece is shown.
pub(crate) struct Receipt {
    shared: Weak<Shared>,
    /// Bytes of the window (ME-12).
    windowed: u32,
    /// Bytes of the transport's own standard error.
    raw: usize,
    /// Its share of what may wait to be shown.
    _held: Option<OwnedSemaphorePermit>,
}

impl Receipt {
    /// For a piece that the stub sent.
    pub(super) fn windowed(shared: &Arc<Shared>, bytes: usize) -> Receipt {
        Receipt {
            shared: Arc::downgrade(shared),
            windowed: u32::try_from(bytes).unwrap_or(u32::MAX),
            raw: 0,
            _held: None,
        }
    }

    /// For a piece that came beside the stub.
    pub(super) fn raw(shared: &Arc<Shared>, bytes: usize) -> Receipt {
        Receipt {
            shared: Arc::downgrade(shared),
            windowed: 0,
            raw: bytes,
            _held: None,
        }
    }

    /// Stands for another piece of the same connection too.
    #[cfg(feature = "python")]
    pub(crate) fn add(&mut self, mut other: Receipt) {
        self.windowed = self
            .windowed
            .saturating_add(std::mem::take(&mut other.windowed));
        self.raw += std::mem::take(&mut other.raw);
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if (self.windowed == 0 && self.raw == 0) || self.shared.strong_count() == 0 {
            return;
        }
        if let Some(shared) = self.shared.upgrade() {
            shared.raw_held.fetch_sub(self.raw, Ordering::Relaxed);
            if self.windowed > 0 {
                shared.with_session(|session| session.output_consumed(self.windowed));
            }
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
            // There is nowhere left to report that our own output is closed.
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

    pub(crate) fn take(&self, output: Output) {
        (self.0)(output);
    }
}
