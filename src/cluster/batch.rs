//! One batch of a map on one client: how it is sent, and what its answer says of each item.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::client::Client;
use crate::error::{Error, RemoteError};
use crate::pickle::Plain;
use crate::wire::Segments;

use super::balance::BatchId;

/// The number by which a map's function is known to its clients.
pub(super) type FunctionId = u64;

pub(super) enum BatchOutcome<R> {
    /// The seconds it took there, and an outcome for each of its first items.
    Done(f64, Vec<Result<R, Error>>),
    /// The client is lost.
    Lost(Error),
}

/// An outcome as `helpers/map_items.py` gives it.
enum Outcome<R> {
    Value(R),
    Failed(Vec<u8>),
}

struct OutcomeVisitor<R>(PhantomData<fn() -> R>);

impl<'de, R: Deserialize<'de>> Visitor<'de> for OutcomeVisitor<R> {
    type Value = Outcome<R>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("whether an item succeeded, and what came of it")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let missing = || serde::de::Error::custom("an outcome has two parts");
        let succeeded: bool = parts.next_element()?.ok_or_else(missing)?;
        if succeeded {
            let value = parts.next_element()?.ok_or_else(missing)?;
            return Ok(Outcome::Value(value));
        }
        let error: Plain = parts.next_element()?.ok_or_else(missing)?;
        let payload = error.as_bytes().ok_or_else(missing)?;
        Ok(Outcome::Failed(payload.to_vec()))
    }
}

impl<'de, R: Deserialize<'de>> Deserialize<'de> for Outcome<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(2, OutcomeVisitor(PhantomData))
    }
}

impl<R> Outcome<R> {
    fn into_result(self, host: &str) -> Result<R, Error> {
        match self {
            Outcome::Value(value) => Ok(value),
            Outcome::Failed(payload) => {
                let payload = Segments::from(bytes::Bytes::from(payload));
                match RemoteError::decode(host, &payload) {
                    Ok(error) => Err(error.into()),
                    Err(error) => Err(Error::Protocol {
                        host: host.to_owned(),
                        message: format!("an error that cannot be read: {error}"),
                    }),
                }
            }
        }
    }
}

/// Whether an error says that the client serves no more.
pub(super) fn is_lost(error: &Error) -> bool {
    matches!(
        error,
        Error::Lost { .. } | Error::Connect(_) | Error::Protocol { .. }
    )
}

/// Runs one batch on a client, item by item where its answer as a whole cannot be had.
pub(super) async fn run<T, R>(
    host: String,
    client: Client,
    function: FunctionId,
    batch: BatchId,
    items: Vec<Arc<T>>,
    received: Vec<BatchId>,
    timeout: Option<Duration>,
) -> BatchOutcome<R>
where
    T: Serialize + Send + Sync + 'static,
    R: DeserializeOwned + Send + 'static,
{
    let count = items.len();
    let arguments = (
        function,
        (function, batch),
        items.iter().map(Arc::as_ref).collect::<Vec<&T>>(),
        false,
        received
            .iter()
            .map(|batch| (function, *batch))
            .collect::<Vec<_>>(),
    );
    let mut call = client.call::<(f64, Vec<Outcome<R>>)>("helpers/map_items.batch", arguments);
    drop(items);
    if let Some(limit) = timeout {
        call = call.timeout(limit);
    }
    let error = match call.await {
        Ok((_, outcomes)) if outcomes.len() != count => {
            // No stub does so; it would be asked for the others for ever.
            client.close().await;
            return BatchOutcome::Lost(Error::Lost {
                host,
                reason: "it answered one of our own functions in a form that it never has"
                    .to_owned(),
            });
        }
        Ok((seconds, outcomes)) => {
            let seconds = if seconds.is_finite() {
                seconds.max(0.0)
            } else {
                0.0
            };
            let results = outcomes
                .into_iter()
                .map(|outcome| outcome.into_result(&host));
            return BatchOutcome::Done(seconds, results.collect());
        }
        Err(error) if is_lost(&error) => return BatchOutcome::Lost(error),
        // The batch had that one item, and where it cannot be interrupted the thread answers nothing for now.
        Err(error @ Error::Timeout { .. }) => return BatchOutcome::Done(0.1, vec![Err(error)]),
        Err(error) => error,
    };
    let done = client.call::<usize>("helpers/map_items.count", ((function, batch),));
    let done = match done.await {
        Ok(done) => done.min(count),
        Err(error) if is_lost(&error) => return BatchOutcome::Lost(error),
        Err(_) => 0,
    };
    let mut results: Vec<Result<R, Error>> = Vec::with_capacity(count);
    for place in 0..done {
        let one =
            client.call::<Outcome<R>>("helpers/map_items.outcome", ((function, batch), place));
        match one.await {
            Ok(outcome) => results.push(outcome.into_result(&host)),
            Err(error) if is_lost(&error) => return BatchOutcome::Lost(error),
            Err(error) => results.push(Err(error)),
        }
    }
    // The one that ran when the batch ended has ended it, also where none did.
    if done < count {
        results.push(Err(error));
    }
    // How long that took says nothing about the items.
    BatchOutcome::Done(0.1, results)
}
