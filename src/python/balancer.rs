//! The balancer of a map for Python, which pickles what the balancer asks for.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use crate::cluster::balance::{
    BalanceOptions, Balancer as Core, BatchId, Fate, HostId, Item, Slot,
};

/// Divides the items of a map among slots (`src/cluster/balance.rs`).
#[pyclass(frozen, module = "easycluster._native")]
pub(super) struct Balancer {
    core: Mutex<Core>,
}

impl Balancer {
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Balancer {
    /// `batch` is the number of items in a batch, None for an automatic one.
    #[new]
    #[pyo3(signature = (outstanding=2, batch=None, retries=0))]
    fn new(outstanding: usize, batch: Option<usize>, retries: u32) -> Balancer {
        let options = BalanceOptions {
            outstanding,
            batch,
            retries,
        };
        Balancer {
            core: Mutex::new(Core::new(options)),
        }
    }

    /// Adds a slot of a host; gives its number.
    fn add_slot(&self, host: HostId) -> Slot {
        self.lock().add_slot(host)
    }

    /// How many items of the input are not sent yet; None if unknown.
    #[pyo3(signature = (left))]
    fn set_left(&self, left: Option<u64>) {
        self.lock().set_left(left);
    }

    /// How many items a slot should get now.
    fn wanted(&self, slot: Slot) -> usize {
        self.lock().wanted(slot)
    }

    /// Up to `most` items that are to be sent again.
    fn take_again(&self, most: usize) -> Vec<Item> {
        self.lock().take_again(most)
    }

    /// Notes a batch that is about to be sent; gives its number.
    fn send(&self, slot: Slot, items: Vec<Item>) -> BatchId {
        self.lock().send(slot, items)
    }

    /// The items of a batch that is on its way.
    fn items(&self, batch: BatchId) -> Vec<Item> {
        self.lock().items(batch).to_vec()
    }

    /// The first `done` items of a batch are done, after so many seconds there; the others are sent again.
    fn done(&self, batch: BatchId, done: usize, seconds: f64) {
        self.lock().done(batch, done, seconds);
    }

    /// A slot takes no more.
    fn retire(&self, slot: Slot) {
        self.lock().retire(slot);
    }

    /// A host was lost: each item that it had, with None if it is sent again, or the hosts that it was lost on if it has failed.
    fn lost(&self, host: HostId) -> Vec<(Item, Option<Vec<HostId>>)> {
        let fates = self.lock().lost(host).into_iter();
        let fates = fates.map(|(item, fate)| match fate {
            Fate::Again => (item, None),
            Fate::Failed(hosts) => (item, Some(hosts)),
        });
        fates.collect()
    }

    /// How many slots take items.
    fn living(&self) -> usize {
        self.lock().living()
    }

    /// How many batches are on their way.
    fn in_flight(&self) -> usize {
        self.lock().in_flight()
    }
}
