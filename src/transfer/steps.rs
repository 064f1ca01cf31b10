//! The way to the functions of `helpers/files` of one connection: steps that are done one after the other, several on their way at a time.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;

use crate::client::{Client, Pending, Value};
use crate::error::Error;
use crate::wire::Segments;

/// Server threads from here on are those of transfers; those of commands end in front of them.
const THREADS: u32 = (1 << 30) + (1 << 29);
/// Transfers that one process makes before numbers are used again.
const NUMBERS: u32 = 1 << 28;

/// A step that is on its way.
pub(super) type Step = Pending<Option<Segments>>;

/// One transfer as its host sees it. Dropping it ends it there too.
pub(super) struct Steps {
    client: Client,
    number: u32,
}

impl Steps {
    pub(super) fn new(client: &Client) -> Steps {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        client.send_helper(&crate::stub::functions::FILES);
        Steps {
            client: client.clone(),
            number: NEXT.fetch_add(1, Ordering::Relaxed) % NUMBERS,
        }
    }

    pub(super) fn host(&self) -> &str {
        self.client.host()
    }

    fn thread(&self) -> i32 {
        i32::try_from(THREADS + self.number).unwrap_or(i32::MAX)
    }

    /// Sends a step, behind those that were sent before.
    pub(super) fn start(&self, function: &'static str, data: impl Into<Bytes>) -> Step {
        let module = match function {
            "look" | "write" => "helpers/files_arriving",
            _ => "helpers/files",
        };
        self.client
            .call_with_bytes(&format!("{module}.{function}"), self.number, data.into())
            .thread(self.thread())
            .submitted_for_bytes()
    }

    /// Sends a step and waits for its answer.
    pub(super) async fn step(&self, function: &'static str, data: Vec<u8>) -> Result<Bytes, Error> {
        self.answer(self.start(function, data)).await
    }

    /// The answer of a step.
    pub(super) async fn answer(&self, step: Step) -> Result<Bytes, Error> {
        self.long_answer(step).await.map(Segments::into_bytes)
    }

    /// The same in the pieces in which it came.
    pub(super) async fn long_answer(&self, step: Step) -> Result<Segments, Error> {
        step.await?.ok_or_else(|| self.malformed())
    }

    /// The error for an answer that makes no sense.
    pub(super) fn malformed(&self) -> Error {
        Error::Protocol {
            host: self.host().to_owned(),
            message: "malformed: what it says of files makes no sense".to_owned(),
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        let (client, thread) = (self.client.clone(), self.thread());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // Then the connection's own end is what ends it.
            return;
        };
        let end = client
            .call::<Value>("helpers/files.end", (self.number,))
            .thread(thread)
            .submitted();
        runtime.spawn(async move {
            // Where the connection is gone, so is the transfer.
            _ = end.await;
            client.stop_thread(thread);
        });
    }
}
