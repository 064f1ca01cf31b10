//! Server threads as the client sees them: queues, windows, turns and one-shot numbers (ME-4, ME-10).

use std::collections::{HashMap, VecDeque};

use crate::wire::ProtocolError;

use super::barriers::Barriers;
use super::request::RequestId;

/// Bytes of request frames, headers included, that a server thread takes without having returned any.
pub const THREAD_WINDOW: u64 = 1_048_576;
/// How many one-shot threads may live at once; the requests beyond wait.
pub const MAX_ONE_SHOT: usize = 1024;

/// Something a thread's queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Call(RequestId),
    Stop,
}

/// A queue from which calls are dropped lazily, in constant time on average.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: VecDeque<Item>,
    dead: usize,
}

impl Queue {
    pub(super) fn push(&mut self, item: Item) {
        self.items.push_back(item);
    }

    pub(super) fn front(&self) -> Option<Item> {
        self.items.front().copied()
    }

    pub(super) fn pop(&mut self) {
        self.items.pop_front();
    }

    /// Takes a call off the front that was dropped while it was queued.
    pub(super) fn pop_dead(&mut self) {
        self.items.pop_front();
        self.dead = self.dead.saturating_sub(1);
    }

    /// One of the queued calls was dropped; `live` tells which still count.
    pub(super) fn note_dead(&mut self, live: impl Fn(RequestId) -> bool) {
        self.dead += 1;
        if self.dead > 32 && self.dead * 2 > self.items.len() {
            self.items.retain(|item| match item {
                Item::Call(id) => live(*id),
                Item::Stop => true,
            });
            self.dead = 0;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.items.len()
    }
}

#[derive(Debug, Default)]
pub(super) struct Thread {
    pub queue: Queue,
    /// Bytes sent and not returned by CREDIT.
    pub outstanding: u64,
    /// A one-shot thread that was sent something and has not answered.
    pub busy: bool,
    // It stands in the ring of those that may have something to send.
    listed: bool,
    /// It waits for a barrier to end.
    pub blocked: bool,
}

impl Thread {
    /// Whether a frame of this size fits in its window.
    pub(super) fn takes(&self, size: u64) -> bool {
        self.outstanding == 0 || self.outstanding + size <= THREAD_WINDOW
    }
}

#[derive(Debug, Default)]
pub(super) struct Threads {
    pub by_number: HashMap<i32, Thread>,
    ready: VecDeque<i32>,
    pub barriers: Barriers,
    // One-shot calls that have no number yet.
    one_shots: Queue,
    free_numbers: Vec<i32>,
    numbers_given: i32,
}

impl Threads {
    pub(super) fn enqueue(&mut self, number: i32, item: Item) {
        let thread = self.by_number.entry(number).or_default();
        thread.queue.push(item);
        if !thread.listed && !thread.blocked {
            thread.listed = true;
            self.ready.push_back(number);
        }
    }

    pub(super) fn enqueue_one_shot(&mut self, id: RequestId) {
        self.one_shots.push(Item::Call(id));
    }

    /// Puts a thread into the ring, if it is not there and does not wait for a barrier.
    pub(super) fn list(&mut self, number: i32) {
        if let Some(thread) = self.by_number.get_mut(&number)
            && !thread.listed
            && !thread.blocked
        {
            thread.listed = true;
            self.ready.push_back(number);
        }
    }

    /// The next thread whose turn it is.
    pub(super) fn next_ready(&mut self) -> Option<i32> {
        let number = self.ready.pop_front()?;
        if let Some(thread) = self.by_number.get_mut(&number) {
            thread.listed = false;
        }
        Some(number)
    }

    /// Forgets a thread about which nothing is left to know; a one-shot number comes free.
    pub(super) fn sweep(&mut self, number: i32) {
        let Some(thread) = self.by_number.get(&number) else {
            return;
        };
        let idle = thread.queue.is_empty() && !thread.listed && !thread.blocked && !thread.busy;
        // What a one-shot thread did not return went with it.
        if idle && (number < 0 || thread.outstanding == 0) {
            self.by_number.remove(&number);
            if number < 0 {
                self.free_numbers.push(number);
            }
        }
    }

    /// The stub returned window.
    pub(super) fn credit(&mut self, number: i32, bytes: u32) -> Result<(), ProtocolError> {
        const TOO_MUCH: ProtocolError =
            ProtocolError::Malformed("more window was returned than was in use");
        let thread = self.by_number.get_mut(&number).ok_or(TOO_MUCH)?;
        thread.outstanding = thread
            .outstanding
            .checked_sub(u64::from(bytes))
            .ok_or(TOO_MUCH)?;
        if thread.queue.is_empty() {
            self.sweep(number);
        } else {
            self.list(number);
        }
        Ok(())
    }

    /// A one-shot call was answered, so its thread is gone.
    pub(super) fn end_one_shot(&mut self, number: i32) {
        if let Some(thread) = self.by_number.get_mut(&number) {
            thread.busy = false;
            thread.queue = Queue::default();
        }
        self.sweep(number);
    }

    /// Gives the next waiting one-shot call a number, if one is free. `live` tells which calls still count.
    pub(super) fn start_one_shot(
        &mut self,
        live: impl Fn(RequestId) -> bool,
    ) -> Option<(RequestId, i32)> {
        loop {
            let Some(Item::Call(id)) = self.one_shots.front() else {
                return None;
            };
            if !live(id) {
                self.one_shots.pop_dead();
                continue;
            }
            let number = match self.free_numbers.pop() {
                Some(number) => number,
                None if (self.numbers_given as usize) < MAX_ONE_SHOT => {
                    self.numbers_given += 1;
                    -self.numbers_given
                }
                None => return None,
            };
            self.one_shots.pop();
            self.enqueue(number, Item::Call(id));
            return Some((id, number));
        }
    }

    /// A call that was queued for this thread, or waits for a one-shot number, was dropped.
    pub(super) fn note_dead(&mut self, thread: Option<i32>, live: impl Fn(RequestId) -> bool) {
        match thread {
            Some(number) => {
                if let Some(thread) = self.by_number.get_mut(&number) {
                    thread.queue.note_dead(live);
                }
                // What stands behind it may fit where it did not.
                self.list(number);
            }
            None => self.one_shots.note_dead(live),
        }
    }

    /// A barrier is answered or will not be sent: those behind it look again.
    pub(super) fn end_barrier(&mut self, thread: i32, mark: u64) {
        self.barriers.end(thread, mark);
        for number in std::mem::take(&mut self.barriers.behind) {
            if let Some(thread) = self.by_number.get_mut(&number) {
                thread.blocked = false;
            }
            self.list(number);
        }
    }

    /// How many entries all queues hold, dropped ones among them.
    #[cfg(test)]
    pub fn queued(&self) -> usize {
        let own: usize = self.by_number.values().map(|t| t.queue.len()).sum();
        own + self.one_shots.len() + self.ready.len() + self.barriers.behind.len()
    }

    /// Forgets everything that was still to be sent.
    pub(super) fn clear(&mut self) {
        *self = Threads::default();
    }
}
