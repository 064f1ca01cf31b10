//! Starting the remote stub, within the limit of the spec for all of connecting; and once more where the first start met a dead connection.

use std::time::Duration;

use crate::error::{ConnectError, Error, Stage};
use crate::spec::{ConnectionSpec, Transport};
use crate::stub::Bootstrap;
use crate::transport::{self, Started, TransportOptions};

/// A stage's own limit ends at the deadline, and names the stage; this much later all else is ended.
const BACKSTOP: Duration = Duration::from_millis(50);

/// Starts stubs as a spec says.
pub(super) struct Starter {
    spec: ConnectionSpec,
    options: TransportOptions,
}

impl Starter {
    pub(super) fn new(spec: &ConnectionSpec, options: &TransportOptions) -> Self {
        Starter {
            spec: spec.clone(),
            options: options.clone(),
        }
    }

    pub(super) fn transport(&self) -> Transport {
        self.spec.transport()
    }

    /// Connects, and starts an interpreter without waiting for a sign of it.
    ///
    /// # Errors
    /// The stage that failed, or that the deadline met.
    pub(super) async fn start(&self) -> Result<Started, Error> {
        let bootstrap = Bootstrap::new(self.spec.rpython.as_deref())?;
        // On the heap of its own, where it needs its tens of kilobytes for as long as it connects, and not in the task of the caller.
        let starting = Box::pin(transport::start_stub(&self.spec, bootstrap, &self.options));
        let Some(deadline) = self.options.limits.deadline else {
            return Ok(starting.await?);
        };
        let backstop = tokio::time::Instant::from_std(deadline.at + BACKSTOP);
        let started = tokio::time::timeout_at(backstop, starting)
            .await
            .unwrap_or_else(|_| {
                let label = self.spec.label();
                Err(ConnectError::timeout(label, Stage::Connect, deadline.limit))
            });
        Ok(started.map_err(|error| self.explained(error))?)
    }

    /// Where the limit for all of connecting ended a stage, that limit is what the user knows of.
    fn explained(&self, mut error: ConnectError) -> ConnectError {
        if error.timed_out
            && let Some(limit) = self.options.limits.used_up()
        {
            error.message = ConnectError::timeout(&error.host, error.stage, limit).message;
            error
                .hint
                .get_or_insert_with(|| "give the spec a longer timeout=".to_owned());
        }
        error
    }
}
