//! The balancer of a map: which slot gets how many items next. No I/O and no clock: its driver passes in what happened and how long it took.

use std::collections::{HashMap, VecDeque};

/// The position of an item in the input.
pub(crate) type Item = u64;
/// A place where one batch runs at a time; each host has one or more.
pub(crate) type Slot = usize;
/// A group of hosts' slots that are lost together.
pub(crate) type HostId = usize;
/// A batch that was sent.
pub(crate) type BatchId = u64;

/// How long a batch should take: long enough to hide a round trip, short enough for an even end.
const BATCH_SECONDS: f64 = 0.1;
const SHORTEST_BATCH_SECONDS: f64 = 0.05;
const LONGEST_BATCH_SECONDS: f64 = 0.2;
/// An automatic batch grows at most this much at a time, because the first items may not be typical.
const GROWTH: usize = 4;
/// No automatic batch has more items.
const LARGEST_BATCH: usize = 4096;

/// How a [`Balancer`] works.
#[derive(Debug, Clone)]
pub(crate) struct BalanceOptions {
    /// How many batches a slot has at most: one that runs and those that wait behind it.
    pub(crate) outstanding: usize,
    /// Items in a batch; `None` is automatic.
    pub(crate) batch: Option<usize>,
    /// How often an item may be sent again after its host was lost.
    pub(crate) retries: u32,
}

impl Default for BalanceOptions {
    fn default() -> Self {
        BalanceOptions {
            outstanding: 2,
            batch: None,
            retries: 0,
        }
    }
}

/// What becomes of an item whose host was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Another host gets it.
    Again,
    /// It fails: it was sent to these hosts, which were lost, and may not be sent again.
    Failed(Vec<HostId>),
}

#[derive(Debug)]
struct SlotState {
    host: HostId,
    batches: VecDeque<BatchId>,
    /// Items in the next automatic batch.
    size: usize,
    gone: bool,
}

#[derive(Debug)]
struct Batch {
    slot: Slot,
    items: Vec<Item>,
}

/// Divides items among slots: each has up to `outstanding` batches, and the first that is done gets the next.
#[derive(Debug)]
pub(crate) struct Balancer {
    options: BalanceOptions,
    slots: Vec<SlotState>,
    batches: HashMap<BatchId, Batch>,
    next_batch: BatchId,
    /// Items to be sent before new ones.
    again: VecDeque<Item>,
    /// The hosts that were lost with an item on them, for items that are not done.
    lost_on: HashMap<Item, Vec<HostId>>,
    /// How many items of the input are not sent yet; `None` if unknown.
    left: Option<u64>,
}

impl Balancer {
    /// Without slots, and with an input of unknown length.
    pub(crate) fn new(options: BalanceOptions) -> Balancer {
        Balancer {
            options,
            slots: Vec::new(),
            batches: HashMap::new(),
            next_batch: 0,
            again: VecDeque::new(),
            lost_on: HashMap::new(),
            left: None,
        }
    }

    /// Adds a slot of a host, also while the map runs.
    pub(crate) fn add_slot(&mut self, host: HostId) -> Slot {
        let living = self.slots.iter().filter(|slot| !slot.gone);
        // What the others have found out holds here too, more or less.
        let size = living.map(|slot| slot.size).min().unwrap_or(1);
        self.slots.push(SlotState {
            host,
            batches: VecDeque::new(),
            size,
            gone: false,
        });
        self.slots.len() - 1
    }

    /// How many items of the input are not sent yet.
    pub(crate) fn set_left(&mut self, left: Option<u64>) {
        self.left = left;
    }

    /// How many items the slot should get now, of those to be sent again and of new ones together; 0 if it has enough.
    pub(crate) fn wanted(&self, slot: Slot) -> usize {
        let Some(state) = self.slots.get(slot) else {
            return 0;
        };
        if state.gone || state.batches.len() >= self.options.outstanding.max(1) {
            return 0;
        }
        let size = self.options.batch.unwrap_or(state.size).max(1);
        let Some(left) = self.left else {
            return size;
        };
        let left = left.saturating_add(self.again.len() as u64);
        if self.options.batch.is_some() {
            return size.min(usize::try_from(left).unwrap_or(usize::MAX));
        }
        // Towards the end batches get smaller, so that no slot still has a full one when the others have nothing.
        let living = self.slots.iter().filter(|slot| !slot.gone).count() as u64;
        let share = left.div_ceil(2 * living.max(1));
        size.min(usize::try_from(share).unwrap_or(usize::MAX))
    }

    /// Takes up to `most` items that are to be sent again.
    pub(crate) fn take_again(&mut self, most: usize) -> Vec<Item> {
        let count = most.min(self.again.len());
        self.again.drain(..count).collect()
    }

    /// Whether items wait to be sent again.
    #[cfg(test)]
    pub(crate) fn has_again(&self) -> bool {
        !self.again.is_empty()
    }

    /// Notes a batch that is about to be sent to a slot.
    pub(crate) fn send(&mut self, slot: Slot, items: Vec<Item>) -> BatchId {
        let id = self.next_batch;
        self.next_batch += 1;
        if let Some(state) = self.slots.get_mut(slot) {
            state.batches.push_back(id);
        }
        self.batches.insert(id, Batch { slot, items });
        id
    }

    /// The items of a batch that is on its way.
    pub(crate) fn items(&self, batch: BatchId) -> &[Item] {
        self.batches.get(&batch).map_or(&[], |batch| &batch.items)
    }

    /// The batch came back after it ran for so many seconds there, with the first `done` of its items done, failed ones among them.
    /// The others are sent again.
    pub(crate) fn done(&mut self, batch: BatchId, done: usize, seconds: f64) {
        let Some(Batch { slot, mut items }) = self.batches.remove(&batch) else {
            return;
        };
        let rest = items.split_off(done.min(items.len()));
        for item in &items {
            self.lost_on.remove(item);
        }
        for item in rest.into_iter().rev() {
            self.again.push_front(item);
        }
        let Some(state) = self.slots.get_mut(slot) else {
            return;
        };
        state.batches.retain(|id| *id != batch);
        if !items.is_empty() {
            state.size = next_size(state.size, items.len(), seconds);
        }
    }

    /// The slot takes no more; what it has goes on. For a process that could not be started, or is to end.
    #[cfg(any(feature = "python", test))]
    pub(crate) fn retire(&mut self, slot: Slot) {
        if let Some(state) = self.slots.get_mut(slot) {
            state.gone = true;
        }
    }

    /// A host was lost with all of its slots: what becomes of each item that was sent there.
    pub(crate) fn lost(&mut self, host: HostId) -> Vec<(Item, Fate)> {
        let mut fates = Vec::new();
        for state in self.slots.iter_mut().filter(|slot| slot.host == host) {
            state.gone = true;
            for batch in std::mem::take(&mut state.batches) {
                let items = self.batches.remove(&batch).map(|batch| batch.items);
                for item in items.unwrap_or_default() {
                    let hosts = self.lost_on.entry(item).or_default();
                    hosts.push(host);
                    let losses = u32::try_from(hosts.len()).unwrap_or(u32::MAX);
                    // An item that two hosts did not survive may be what ends them.
                    if losses > self.options.retries || losses > 1 {
                        let hosts = self.lost_on.remove(&item).unwrap_or_default();
                        fates.push((item, Fate::Failed(hosts)));
                    } else {
                        self.again.push_back(item);
                        fates.push((item, Fate::Again));
                    }
                }
            }
        }
        fates
    }

    /// How many batches are on their way.
    #[cfg(any(feature = "python", test))]
    pub(crate) fn in_flight(&self) -> usize {
        self.batches.len()
    }

    /// How many slots take items.
    #[cfg(any(feature = "python", test))]
    pub(crate) fn living(&self) -> usize {
        self.slots.iter().filter(|slot| !slot.gone).count()
    }
}

/// How many items the next batch of a slot should have, after one of `count` took so long.
fn next_size(size: usize, count: usize, seconds: f64) -> usize {
    let an_item = seconds.max(0.0) / count as f64;
    let fitting = if an_item > 0.0 {
        // A cast from a float stays within the range of the integer.
        (BATCH_SECONDS / an_item) as usize
    } else {
        LARGEST_BATCH
    };
    if seconds > LONGEST_BATCH_SECONDS || (fitting < size && seconds > SHORTEST_BATCH_SECONDS) {
        return fitting.clamp(1, size.max(1));
    }
    // A batch that the end of the input made short says less than it seems to.
    fitting
        .clamp(1, (count * GROWTH).max(size))
        .min(LARGEST_BATCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BinaryHeap};

    fn balancer(slots: usize, options: BalanceOptions) -> Balancer {
        let mut balancer = Balancer::new(options);
        for host in 0..slots {
            balancer.add_slot(host);
        }
        balancer
    }

    /// Runs `count` items of `seconds` each on slots that work at the same time, with a round trip; gives how long that took and how
    /// many batches there were.
    fn simulate(
        slots: usize,
        count: u64,
        seconds: impl Fn(u64) -> f64,
        round_trip: f64,
    ) -> (f64, u64) {
        let mut balancer = balancer(slots, BalanceOptions::default());
        let mut free_at = vec![0.0f64; slots];
        let mut next = 0;
        // Ends, latest last, as whole microseconds.
        let mut ends: BinaryHeap<std::cmp::Reverse<(u64, BatchId, usize, u64)>> = BinaryHeap::new();
        let (mut now, mut batches) = (0.0f64, 0);
        loop {
            for (slot, free_at) in free_at.iter_mut().enumerate() {
                loop {
                    balancer.set_left(Some(count - next));
                    let wanted = balancer.wanted(slot) as u64;
                    if wanted == 0 || next == count {
                        break;
                    }
                    let items: Vec<_> = (next..(next + wanted).min(count)).collect();
                    next += items.len() as u64;
                    let took: f64 = items.iter().map(|item| seconds(*item)).sum();
                    let begin = (now + round_trip / 2.0).max(*free_at);
                    *free_at = begin + took;
                    let id = balancer.send(slot, items);
                    batches += 1;
                    let at = ((begin + took + round_trip / 2.0) * 1e6) as u64;
                    ends.push(std::cmp::Reverse((at, id, slot, (took * 1e6) as u64)));
                }
            }
            let Some(std::cmp::Reverse((at, id, _, took))) = ends.pop() else {
                break;
            };
            now = at as f64 / 1e6;
            let all = balancer.items(id).len();
            balancer.done(id, all, took as f64 / 1e6);
        }
        assert_eq!(next, count);
        (now, batches)
    }

    #[test]
    fn short_items_come_close_to_the_ideal_in_few_batches() {
        let (took, batches) = simulate(8, 10_000, |_| 0.001, 0.001);
        assert!(took < 1.08 * 10.0 / 8.0, "{took}");
        assert!(batches < 500, "{batches}");
    }

    #[test]
    fn long_items_go_one_by_one() {
        let (took, batches) = simulate(4, 40, |_| 1.0, 0.01);
        assert_eq!(batches, 40);
        assert!(took < 10.5, "{took}");
    }

    #[test]
    fn slow_items_in_the_middle_do_not_hold_up_a_full_batch_behind_them() {
        let (took, _) = simulate(
            8,
            10_000,
            |item| if item > 5000 { 0.02 } else { 0.001 },
            0.001,
        );
        let ideal = (5001.0 * 0.001 + 4999.0 * 0.02) / 8.0;
        assert!(took < 1.1 * ideal, "{took} of {ideal}");
    }

    #[test]
    fn what_a_lost_host_had_is_sent_again_where_that_is_allowed() {
        let options = |retries| BalanceOptions {
            retries,
            batch: Some(2),
            ..BalanceOptions::default()
        };
        let mut strict = balancer(2, options(0));
        strict.send(0, vec![0, 1]);
        strict.send(1, vec![2, 3]);
        assert_eq!(
            strict.lost(0),
            [(0, Fate::Failed(vec![0])), (1, Fate::Failed(vec![0]))]
        );
        assert!(!strict.has_again());
        let mut lenient = balancer(3, options(5));
        lenient.send(0, vec![0, 1]);
        assert_eq!(lenient.lost(0), [(0, Fate::Again), (1, Fate::Again)]);
        let items = lenient.take_again(9);
        assert_eq!(items, [0, 1]);
        lenient.send(1, items);
        // A third host does not get what two did not survive.
        assert_eq!(
            lenient.lost(1),
            [(0, Fate::Failed(vec![0, 1])), (1, Fate::Failed(vec![0, 1]))]
        );
        assert_eq!(lenient.living(), 1);
    }

    #[test]
    fn the_rest_of_an_interrupted_batch_is_sent_again_first() {
        let mut balancer = balancer(1, BalanceOptions::default());
        let batch = balancer.send(0, vec![4, 5, 6, 7]);
        balancer.done(batch, 2, 1.0);
        assert_eq!(balancer.take_again(1), [6]);
        assert_eq!(balancer.take_again(9), [7]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Give(usize),
        Done(usize, usize, f64),
        Lose(usize),
        Retire(usize),
        Join(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..12usize).prop_map(Step::Give),
            6 => (0..64usize, 0..8usize, 0.0..2.0f64).prop_map(|(at, cut, s)| Step::Done(at, cut, s)),
            1 => (0..6usize).prop_map(Step::Lose),
            1 => (0..12usize).prop_map(Step::Retire),
            1 => (0..6usize).prop_map(Step::Join),
        ]
    }

    proptest! {
        /// Whatever happens, each item is done once, failed once, or still to be had; and no slot has more than it may.
        #[test]
        fn no_item_is_lost_or_doubled(
            steps in proptest::collection::vec(step(), 0..200),
            retries in 0..3u32,
            batch in proptest::option::of(1..5usize),
            count in 0..300u64,
        ) {
            let options = BalanceOptions { retries, batch, outstanding: 2 };
            let mut balancer = balancer(4, options);
            let mut slots: Vec<usize> = vec![0, 1, 2, 3];
            let mut next = 0;
            let mut flying: BTreeMap<BatchId, (usize, Vec<Item>)> = BTreeMap::new();
            let mut ended: BTreeMap<Item, &str> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Give(slot) => {
                        balancer.set_left(Some(count - next));
                        let wanted = balancer.wanted(slot);
                        let mut items = balancer.take_again(wanted);
                        while items.len() < wanted && next < count {
                            items.push(next);
                            next += 1;
                        }
                        prop_assert_eq!(items.len(), wanted);
                        if wanted > 0 {
                            let id = balancer.send(slot, items.clone());
                            flying.insert(id, (slots[slot], items));
                            let of_slot = flying.keys().count();
                            prop_assert!(of_slot <= 2 * slots.len());
                        }
                    }
                    Step::Done(at, cut, seconds) => {
                        let Some(id) = flying.keys().nth(at % flying.len().max(1)).copied() else { continue };
                        let (_, items) = flying.remove(&id).unwrap();
                        let done = items.len().saturating_sub(cut);
                        balancer.done(id, done, seconds);
                        for item in &items[..done] {
                            prop_assert!(ended.insert(*item, "done").is_none());
                        }
                    }
                    Step::Lose(host) => {
                        for (item, fate) in balancer.lost(host) {
                            if matches!(fate, Fate::Failed(_)) {
                                prop_assert!(ended.insert(item, "failed").is_none());
                            }
                        }
                        flying.retain(|_, (on, _)| *on != host);
                    }
                    Step::Retire(slot) => balancer.retire(slot),
                    Step::Join(host) => {
                        let slot = balancer.add_slot(host);
                        prop_assert_eq!(slot, slots.len());
                        slots.push(host);
                    }
                }
                prop_assert_eq!(balancer.in_flight(), flying.len());
            }
            // What is left goes to a last, new host.
            let slot = balancer.add_slot(99);
            for (id, (_, items)) in std::mem::take(&mut flying) {
                balancer.done(id, items.len(), 0.01);
                for item in items {
                    prop_assert!(ended.insert(item, "done").is_none());
                }
            }
            loop {
                balancer.set_left(Some(count - next));
                let wanted = balancer.wanted(slot);
                if wanted == 0 {
                    break;
                }
                let mut items = balancer.take_again(wanted);
                while items.len() < wanted && next < count {
                    items.push(next);
                    next += 1;
                }
                let id = balancer.send(slot, items.clone());
                balancer.done(id, items.len(), 0.01);
                for item in items {
                    prop_assert!(ended.insert(item, "done").is_none());
                }
            }
            prop_assert_eq!(ended.len() as u64, count);
        }
    }
}
