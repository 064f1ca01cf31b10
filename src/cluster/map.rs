//! One function on many items: batches go to the slots that are free, and each item has an outcome of its own.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::iter::Fuse;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::task::JoinSet;

use crate::client::Client;
use crate::error::{Error, RemoteError};
use crate::pickle::Plain;
use crate::wire::Segments;

use super::balance::{BalanceOptions, Balancer, BatchId, Fate, Item};

/// In order, items run this far ahead of the first that is not done, and no further, so that what is held back is bounded.
const RUN_AHEAD: u64 = 65_536;

/// How a map works.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct MapOptions {
    /// Whether results come as they are there, instead of in the order of the items.
    pub as_completed: bool,
    /// Items in a batch; without it, as many as take a tenth of a second.
    pub batch: Option<usize>,
    /// How often an item is sent again after the host that had it was lost. Only for functions that may run twice.
    pub retries: u32,
    /// How long an item may take, from when its host is free for it. Such items are sent one by one.
    pub timeout: Option<Duration>,
}

impl MapOptions {
    /// The same with results as they come.
    #[must_use]
    pub fn with_as_completed(mut self) -> Self {
        self.as_completed = true;
        self
    }

    /// The same with a fixed number of items in a batch.
    #[must_use]
    pub fn with_batch(mut self, items: usize) -> Self {
        self.batch = Some(items);
        self
    }

    /// The same with another number of times that an item may be sent again.
    #[must_use]
    pub fn with_retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// The same with a time limit for each item, whose error then has the remote stack.
    #[must_use]
    pub fn with_timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }
}

/// The number by which a map's function is known to its clients.
type FunctionId = u64;

/// Results of a map that is under way; see [`Cluster::map`](crate::Cluster::map). Dropping it cancels what runs.
pub struct Map<I: Iterator, R> {
    items: Fuse<I>,
    /// How many were taken from `items`.
    taken: u64,
    options: MapOptions,
    balancer: Balancer,
    hosts: Vec<(String, Client)>,
    function: FunctionId,
    name: Arc<str>,
    /// Items that are not done, for sending them again.
    waiting: HashMap<Item, Arc<I::Item>>,
    /// Batches on their way, and which of each slot's the client has since it sent the last.
    running: JoinSet<Returned<R>>,
    received: Vec<Vec<BatchId>>,
    /// Outcomes that are to be given out, by item where they must wait for those before them.
    ready: VecDeque<(Item, Result<R, Error>)>,
    held: BTreeMap<Item, Result<R, Error>>,
    next_out: Item,
}

/// Stands for the request that makes the function known, in place of a batch.
const INSTALLED: BatchId = BatchId::MAX;

/// How a batch came back.
struct Returned<R> {
    slot: usize,
    batch: BatchId,
    outcome: BatchOutcome<R>,
}

enum BatchOutcome<R> {
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
fn is_lost(error: &Error) -> bool {
    matches!(
        error,
        Error::Lost { .. } | Error::Connect(_) | Error::Protocol { .. }
    )
}

/// Runs one batch on a client, item by item where its answer as a whole cannot be had.
async fn run<T, R>(
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
        Ok((seconds, outcomes)) => {
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

impl<I, R> Map<I, R>
where
    I: Iterator,
    I::Item: Serialize + Send + Sync + 'static,
    R: DeserializeOwned + Send + 'static,
{
    pub(super) fn new(
        hosts: Vec<(String, Client)>,
        name: &str,
        items: I,
        options: &MapOptions,
    ) -> Map<I, R> {
        use std::sync::atomic::{AtomicU64, Ordering};
        static FUNCTIONS: AtomicU64 = AtomicU64::new(1);
        let mut balancer = Balancer::new(match options.timeout {
            None => BalanceOptions {
                batch: options.batch,
                retries: options.retries,
                ..BalanceOptions::default()
            },
            // The limit begins when the item is sent, so it must not wait there behind another.
            Some(_) => BalanceOptions {
                batch: Some(1),
                outstanding: 1,
                retries: options.retries,
            },
        });
        let function = FUNCTIONS.fetch_add(1, Ordering::Relaxed);
        let mut running = JoinSet::new();
        for (place, (_, client)) in hosts.iter().enumerate() {
            balancer.add_slot(place);
            client.send_part(crate::stub::map_items());
            let install =
                client.call::<()>("helpers/map_items.install", (function, "dotted", name));
            // Batches come behind it in the same thread; if it fails, they say why.
            running.spawn(async move {
                let outcome = match install.await {
                    Err(error) if is_lost(&error) => BatchOutcome::Lost(error),
                    _ => BatchOutcome::Done(0.0, Vec::new()),
                };
                Returned {
                    slot: place,
                    batch: INSTALLED,
                    outcome,
                }
            });
        }
        Map {
            items: items.fuse(),
            taken: 0,
            options: options.clone(),
            balancer,
            received: hosts.iter().map(|_| Vec::new()).collect(),
            hosts,
            function,
            name: name.into(),
            waiting: HashMap::new(),
            running,
            ready: VecDeque::new(),
            held: BTreeMap::new(),
            next_out: 0,
        }
    }

    /// The next result and the position of its item; `None` when there are no more. Nothing is lost where the future is dropped
    /// before it is ready. Items are taken from the input only as hosts get free.
    ///
    /// An item whose host was lost ends with [`Error::Lost`], unless it may be sent again.
    pub async fn next(&mut self) -> Option<(u64, Result<R, Error>)> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            self.fill();
            if !self.ready.is_empty() {
                continue;
            }
            match self.running.join_next().await {
                Some(Ok(returned)) => self.take(returned),
                Some(Err(_panicked)) => {}
                None if self.fail_one() => {}
                None => return None,
            }
        }
    }

    /// Gives each slot as much as it wants.
    fn fill(&mut self) {
        // In turns, so that the first slots do not take all where there is little.
        loop {
            let mut sent = false;
            for slot in 0..self.hosts.len() {
                sent |= self.send_to(slot);
            }
            if !sent {
                return;
            }
        }
    }

    fn send_to(&mut self, slot: usize) -> bool {
        let (lower, upper) = self.items.size_hint();
        let left = upper.filter(|upper| *upper == lower);
        self.balancer.set_left(left.map(|left| left as u64));
        let wanted = self.balancer.wanted(slot);
        if wanted == 0 {
            return false;
        }
        let mut items = self.balancer.take_again(wanted);
        while items.len() < wanted && self.taken - self.next_out < RUN_AHEAD {
            let Some(item) = self.items.next() else {
                break;
            };
            self.waiting.insert(self.taken, Arc::new(item));
            items.push(self.taken);
            self.taken += 1;
        }
        let Some((host, client)) = self.hosts.get(slot).filter(|_| !items.is_empty()) else {
            return false;
        };
        let values = items
            .iter()
            .filter_map(|item| self.waiting.get(item).cloned());
        let values: Vec<_> = values.collect();
        let received = self
            .received
            .get_mut(slot)
            .map(std::mem::take)
            .unwrap_or_default();
        let batch = self.balancer.send(slot, items);
        let work = run(
            host.clone(),
            client.clone(),
            self.function,
            batch,
            values,
            received,
            self.options.timeout,
        );
        self.running.spawn(async move {
            Returned {
                slot,
                batch,
                outcome: work.await,
            }
        });
        true
    }

    fn take(&mut self, returned: Returned<R>) {
        let Returned {
            slot,
            batch,
            outcome,
        } = returned;
        match outcome {
            BatchOutcome::Done(seconds, results) => {
                let items = self.balancer.items(batch).to_vec();
                self.balancer.done(batch, results.len(), seconds);
                if let Some(received) = self.received.get_mut(slot)
                    && batch != INSTALLED
                {
                    received.push(batch);
                }
                for (item, result) in items.into_iter().zip(results) {
                    self.finish(item, result);
                }
            }
            BatchOutcome::Lost(error) => {
                let reason = error.to_string();
                for (item, fate) in self.balancer.lost(slot) {
                    if let Fate::Failed(slots) = fate {
                        let error = self.lost_error(&slots, &reason);
                        self.finish(item, Err(error));
                    }
                }
            }
        }
    }

    /// What an item ends with whose hosts were lost.
    fn lost_error(&self, slots: &[usize], reason: &str) -> Error {
        let named = slots.iter().filter_map(|slot| self.hosts.get(*slot));
        let hosts: Vec<&str> = named.map(|(host, _)| host.as_str()).collect();
        let host = hosts.join(", ");
        let reason = match hosts.len() {
            0 | 1 => reason
                .strip_prefix(&format!("{host}: "))
                .unwrap_or(reason)
                .to_owned(),
            _ => format!(
                "each was lost with this item of {}; the last: {reason}",
                self.name
            ),
        };
        Error::Lost { host, reason }
    }

    /// Ends an item that no host is left for; the next of the input where none waits to be sent again. False if there is none.
    fn fail_one(&mut self) -> bool {
        let item = match self.balancer.take_again(1).pop() {
            Some(item) => item,
            None if self.items.next().is_some() => {
                self.taken += 1;
                self.taken - 1
            }
            None => return false,
        };
        let error = Error::Lost {
            host: self.name.to_string(),
            reason: "no host of the cluster is left for this item".to_owned(),
        };
        self.finish(item, Err(error));
        true
    }

    fn finish(&mut self, item: Item, result: Result<R, Error>) {
        self.waiting.remove(&item);
        if self.options.as_completed {
            self.next_out += 1;
            self.ready.push_back((item, result));
            return;
        }
        self.held.insert(item, result);
        while let Some(result) = self.held.remove(&self.next_out) {
            self.ready.push_back((self.next_out, result));
            self.next_out += 1;
        }
    }
}

impl<I: Iterator, R> std::fmt::Debug for Map<I, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Map")
            .field("function", &self.name)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}
