//! Requests that those of other threads wait for (ME-14).

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct Barriers {
    // The marks of unanswered barriers, by the thread that they are for.
    open: BTreeMap<i32, BTreeSet<u64>>,
    last: u64,
    // Threads whose next request waits.
    pub behind: Vec<i32>,
}

impl Barriers {
    /// What a request submitted now has to wait for: the barriers up to this mark, those of its own thread excepted.
    pub(super) fn mark(&self) -> u64 {
        self.last
    }

    /// Begins a barrier for a thread's request. Returns its mark.
    pub(super) fn add(&mut self, thread: i32) -> u64 {
        self.last += 1;
        self.open.entry(thread).or_default().insert(self.last);
        self.last
    }

    /// That request is answered or will not be sent.
    pub(super) fn end(&mut self, thread: i32, mark: u64) {
        if let Some(marks) = self.open.get_mut(&thread) {
            marks.remove(&mark);
            if marks.is_empty() {
                self.open.remove(&thread);
            }
        }
    }

    /// Whether a request of this thread with this mark has to wait.
    pub(super) fn hold(&self, number: i32, mark: u64) -> bool {
        self.open.iter().any(|(thread, marks)| {
            *thread != number && marks.first().is_some_and(|first| *first <= mark)
        })
    }
}
