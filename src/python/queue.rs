//! Where completions wait for a Python thread: in order for those who take any, by number for those who want one.

use std::collections::{HashMap, VecDeque};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pyo3::PyResult;
use tokio::sync::Notify;

use crate::connection::Completion;
use crate::session::RequestId;

use super::descriptor;

/// A call's number on the Python side. 0 belongs to none.
pub(super) type Ticket = u64;

/// Where a completion goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// For the next reader, whichever thread that is.
    Queue,
    /// To the call that asks for it.
    Slot,
}

#[derive(Debug)]
struct Call {
    id: Option<RequestId>,
    route: Route,
}

#[derive(Default)]
struct State {
    ready: VecDeque<(Ticket, Completion)>,
    slots: HashMap<Ticket, Completion>,
    calls: HashMap<Ticket, Call>,
    classes: Vec<Bytes>,
    waiting: usize,
    pipe: Option<(PipeReader, PipeWriter)>,
    /// A byte stands in the pipe.
    signalled: bool,
    /// The byte stays: completions that were taken have not been delivered.
    kept: bool,
    lost: bool,
}

/// One connection's completions.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// The same for a thread that drives the runtime while it waits.
    settled: Notify,
}

/// What a wait ended with.
pub(super) enum Taken {
    /// Completions, oldest first.
    Some(Vec<(Ticket, Completion)>),
    /// The wanted call is no longer on its way: another thread took its completion.
    Elsewhere,
    /// Nothing in time.
    Nothing,
    /// The connection is lost and everything was taken.
    Lost,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Expects a completion under this number, of the request with this id if it was taken.
    pub(super) fn expect(&self, ticket: Ticket, id: Option<RequestId>, route: Route) {
        self.lock().calls.insert(ticket, Call { id, route });
    }

    /// The connection's number for a call on its way.
    pub(super) fn id_of(&self, ticket: Ticket) -> Option<RequestId> {
        self.lock().calls.get(&ticket).and_then(|call| call.id)
    }

    /// Takes a completion in. Called on the runtime's thread.
    pub(super) fn complete(&self, ticket: Ticket, completion: Completion) {
        let mut state = self.lock();
        match state.calls.remove(&ticket) {
            Some(Call {
                route: Route::Slot, ..
            }) => {
                state.slots.insert(ticket, completion);
            }
            _ => {
                state.ready.push_back((ticket, completion));
                state.signal();
            }
        }
        let waiting = state.waiting > 0;
        drop(state);
        if waiting {
            self.changed.notify_all();
        }
        self.settled.notify_waiters();
    }

    /// Returns when there is something to take for the thread that waits for this call.
    pub(super) async fn settled(&self, ticket: Ticket) {
        loop {
            let mut notified = std::pin::pin!(self.settled.notified());
            notified.as_mut().enable();
            {
                let state = self.lock();
                let routed = state.calls.get(&ticket).map(|call| call.route);
                if state.lost
                    || routed.is_none()
                    || (routed == Some(Route::Queue) && !state.ready.is_empty())
                {
                    return;
                }
            }
            notified.await;
        }
    }

    /// Notes a class that references may name.
    pub(super) fn class(&self, payload: Bytes) {
        self.lock().classes.push(payload);
    }

    /// The classes noted since the last time.
    pub(super) fn take_classes(&self) -> Vec<Bytes> {
        std::mem::take(&mut self.lock().classes)
    }

    /// The connection is over: nothing more will come.
    pub(super) fn lost(&self) {
        let mut state = self.lock();
        state.lost = true;
        state.signal();
        drop(state);
        self.changed.notify_all();
        self.settled.notify_waiters();
    }

    /// Whether a completion can be taken under this number.
    pub(super) fn is_done(&self, ticket: Ticket) -> bool {
        !self.lock().calls.contains_key(&ticket)
    }

    /// How many completions wait to be taken by anyone.
    pub(super) fn ready(&self) -> usize {
        self.lock().ready.len()
    }

    /// How many calls are on their way.
    pub(super) fn outstanding(&self) -> usize {
        self.lock().calls.len()
    }

    /// This call will not be asked for by number any more; its completion goes to the queue.
    pub(super) fn forget(&self, ticket: Ticket) {
        let mut state = self.lock();
        if let Some(call) = state.calls.get_mut(&ticket) {
            call.route = Route::Queue;
        } else if let Some(completion) = state.slots.remove(&ticket) {
            state.ready.push_back((ticket, completion));
            state.signal();
            drop(state);
            // Whoever takes anything may have begun to wait before.
            self.changed.notify_all();
            self.settled.notify_waiters();
        }
    }

    /// What was taken and could not be handed over comes first when the next is taken.
    pub(super) fn put_back(&self, left: Vec<(Ticket, Completion)>, route: Route) {
        let mut state = self.lock();
        match route {
            Route::Slot => state.slots.extend(left),
            Route::Queue => {
                for entry in left.into_iter().rev() {
                    state.ready.push_front(entry);
                }
                state.signal();
            }
        }
        drop(state);
        self.changed.notify_all();
        self.settled.notify_waiters();
    }

    /// Up to `max` completions at once. With `wanted`, waits no longer than that call is on its way.
    pub(super) fn take(&self, wanted: Option<Ticket>, max: usize, until: Option<Instant>) -> Taken {
        let mut state = self.lock();
        loop {
            if !state.ready.is_empty() {
                let count = max.min(state.ready.len());
                let taken = state.ready.drain(..count).collect();
                state.quieten();
                return Taken::Some(taken);
            }
            if wanted.is_some_and(|ticket| !state.calls.contains_key(&ticket)) {
                return Taken::Elsewhere;
            }
            if state.lost {
                return Taken::Lost;
            }
            match self.wait(state, until) {
                Some(guard) => state = guard,
                None => return Taken::Nothing,
            }
        }
    }

    /// The completion of one call that was routed to a slot.
    pub(super) fn take_slot(&self, ticket: Ticket, until: Option<Instant>) -> Taken {
        let mut state = self.lock();
        loop {
            if let Some(completion) = state.slots.remove(&ticket) {
                return Taken::Some(vec![(ticket, completion)]);
            }
            if !state.calls.contains_key(&ticket) {
                return Taken::Elsewhere;
            }
            match self.wait(state, until) {
                Some(guard) => state = guard,
                None => return Taken::Nothing,
            }
        }
    }

    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        until: Option<Instant>,
    ) -> Option<MutexGuard<'a, State>> {
        let left = match until {
            Some(until) => until.saturating_duration_since(Instant::now()),
            // A long time instead of no limit, so that there is one wait on the condition variable.
            None => Duration::from_secs(3600),
        };
        if left.is_zero() {
            return None;
        }
        state.waiting += 1;
        let (mut state, _) = self
            .changed
            .wait_timeout(state, left)
            .unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        Some(state)
    }

    /// While set, the descriptor is readable although nothing waits here.
    pub(super) fn keep_readable(&self, on: bool) {
        let mut state = self.lock();
        state.kept = on;
        if on {
            state.signal();
        } else {
            state.quieten();
        }
    }

    /// A descriptor that is readable while completions wait.
    pub(super) fn pipe(&self) -> PyResult<i32> {
        let mut state = self.lock();
        if state.pipe.is_none() {
            state.pipe = Some(std::io::pipe()?);
            if !state.ready.is_empty() || state.lost || state.kept {
                state.signal();
            }
        }
        let pipe = state.pipe.as_ref();
        pipe.map_or(Ok(-1), |(reader, _)| descriptor::number(reader))
    }
}

impl State {
    /// Makes the pipe readable. One byte at most stands in it, so writing never blocks.
    fn signal(&mut self) {
        if !self.signalled
            && let Some((_, writer)) = &mut self.pipe
        {
            self.signalled = writer.write(&[1]).is_ok();
        }
    }

    /// Makes the pipe unreadable if nothing is left to take.
    fn quieten(&mut self) {
        if self.signalled
            && self.ready.is_empty()
            && !self.lost
            && !self.kept
            && let Some((reader, _)) = &mut self.pipe
        {
            self.signalled = !matches!(reader.read(&mut [0]), Ok(1));
        }
    }
}
