//! One function on many items: batches go to the slots that are free, and each item has an outcome of its own.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::iter::Fuse;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use crate::client::Client;
use crate::error::Error;

use super::balance::{BalanceOptions, Balancer, BatchId, Fate, Item};
use super::batch::{BatchOutcome, FunctionId, is_lost, run};
use super::fan_out::panicked;
use super::options::MapOptions;

/// In order, items run this far ahead of the first that is not done, and no further, so that what is held back is bounded.
const RUN_AHEAD: u64 = 65_536;

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
    /// What a task that panics was on: its slot and batch.
    tasks: HashMap<Id, (usize, BatchId)>,
    received: Vec<Vec<BatchId>>,
    /// Outcomes that are to be given out, by item where they must wait for those before them.
    ready: VecDeque<(Item, Result<R, Error>)>,
    held: BTreeMap<Item, Result<R, Error>>,
    next_out: Item,
    /// When what is not done fails.
    deadline: Option<Instant>,
}

/// Stands for the request that makes the function known, in place of a batch.
const INSTALLED: BatchId = BatchId::MAX;

/// How a batch came back.
struct Returned<R> {
    slot: usize,
    batch: BatchId,
    outcome: BatchOutcome<R>,
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
                outstanding: options.outstanding,
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
            client.send_helper(&crate::stub::functions::MAP_ITEMS);
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
            tasks: HashMap::new(),
            ready: VecDeque::new(),
            held: BTreeMap::new(),
            next_out: 0,
            deadline: options
                .deadline
                .and_then(|limit| Instant::now().checked_add(limit)),
        }
    }

    /// The next result and the position of its item; `None` when there are no more. Nothing is lost where the future is dropped
    /// before it is ready. Items are taken from the input only as hosts get free.
    ///
    /// An item whose host was lost ends with [`Error::Lost`], unless it may be sent again. What is on its way at the deadline ends
    /// with [`Error::Timeout`], and nothing more is taken from the input.
    pub async fn next(&mut self) -> Option<(u64, Result<R, Error>)> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            self.fill();
            if !self.ready.is_empty() {
                continue;
            }
            let next = match self.deadline {
                None => self.running.join_next_with_id().await,
                Some(deadline) => {
                    let next = self.running.join_next_with_id();
                    match tokio::time::timeout_at(deadline, next).await {
                        Ok(next) => next,
                        Err(_elapsed) if self.give_up() => continue,
                        Err(_elapsed) => return None,
                    }
                }
            };
            match next {
                Some(Ok((task, returned))) => {
                    self.tasks.remove(&task);
                    self.take(returned);
                }
                Some(Err(error)) => self.fail_batch(error.id()),
                None if !self.is_over() && self.fail_one() => {}
                None if self.give_up() => {}
                None => return None,
            }
        }
    }

    /// Gives each slot as much as it wants.
    fn fill(&mut self) {
        if self.is_over() {
            return;
        }
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

    /// Ends what is not done at the deadline; false if there is nothing.
    fn give_up(&mut self) -> bool {
        // Also what has come and was not taken: each item ends once.
        self.running = JoinSet::new();
        self.tasks.clear();
        let limit = self.options.deadline.unwrap_or_default();
        let mut items: Vec<Item> = self.waiting.keys().copied().collect();
        items.sort_unstable();
        for item in &items {
            let error = Error::Timeout {
                host: self.name.to_string(),
                limit,
                stack: Vec::new(),
            };
            self.finish(*item, Err(error));
        }
        !items.is_empty()
    }

    fn is_over(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| deadline <= Instant::now())
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
        let task = self.running.spawn(async move {
            Returned {
                slot,
                batch,
                outcome: work.await,
            }
        });
        self.tasks.insert(task.id(), (slot, batch));
        true
    }

    /// Ends the items of a batch whose task panicked, as code of the program's own may that makes arguments or results. The host
    /// is there for others.
    fn fail_batch(&mut self, task: Id) {
        let Some((slot, batch)) = self.tasks.remove(&task) else {
            return;
        };
        let results = self.balancer.items(batch).iter().map(|_| panicked());
        let outcome = BatchOutcome::Done(0.1, results.collect());
        self.take(Returned {
            slot,
            batch,
            outcome,
        });
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
