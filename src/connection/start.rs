//! Starting the remote stub, within the limit of the spec for all of connecting; and once more where the first start met a dead connection.

use crate::error::Error;
use crate::spec::{ConnectionSpec, Transport};
use crate::stub::Bootstrap;
use crate::transport::{self, Started, TransportOptions};

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
        Ok(transport::in_time(&self.spec, &self.options, starting).await?)
    }
}
