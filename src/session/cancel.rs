//! Calls that end before their answer: cancelled, out of time, or lost with the connection (ME-13).

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::wire::{Frame, Kind};

use super::Session;
use super::call::{Call, Stage};
use super::event::{Event, Outcome};
use super::parts::Need;
use super::request::RequestId;
use super::transmit::is_queued;

/// How long an interrupted call may take to say where it stood, before it completes without.
pub const CANCEL_GRACE: Duration = Duration::from_millis(500);

/// Why a call is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelReason {
    /// The caller wants to know where it stood: the call completes with the server's answer, or without it after the
    /// grace time.
    Cancelled,
    /// The caller has stopped listening: the call completes at once.
    Abandoned,
}

/// What an interrupted call completes as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Cancelled,
    TimedOut,
}

impl Ending {
    pub(super) fn outcome(self, error: Option<super::Answer>) -> Outcome {
        match self {
            Ending::Cancelled => Outcome::Cancelled { error },
            Ending::TimedOut => Outcome::TimedOut { error },
        }
    }
}

impl Session {
    /// Cancels a call. One that was not sent is dropped without a trace; one that was is interrupted on the server.
    /// A call that has completed is skipped.
    pub fn cancel(&mut self, id: RequestId, reason: CancelReason, now: Instant) {
        self.interrupt(
            id,
            Ending::Cancelled,
            reason == CancelReason::Abandoned,
            now,
        );
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Ends what is out of time by `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((deadline, id)) = self.deadlines.first().copied() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            let id = RequestId(id);
            let Some(call) = self.calls.get_mut(&id.number()) else {
                continue;
            };
            call.deadline = None;
            if matches!(call.stage, Stage::Ending(_)) {
                self.give_up(id, None);
            } else {
                self.interrupt(id, Ending::TimedOut, false, now);
            }
        }
    }

    /// Ends the session in order: what was not sent in full completes as lost, CLOSE is sent, answers still come.
    pub fn start_close(&mut self) {
        if self.closed {
            return;
        }
        self.closed = true;
        let mut unsent: Vec<RequestId> = self
            .calls
            .values()
            .filter(|call| matches!(call.stage, Stage::Queued(_)))
            .map(|call| call.id)
            .collect();
        unsent.sort_unstable();
        for id in unsent {
            self.remove_call(id.number());
            self.complete(id, Outcome::Lost { sent: false });
        }
        self.threads.clear();
        self.channels.clear();
        if self.shipment.silent || !self.calls.is_empty() {
            self.shipment.put(Need::Control, &mut self.control);
        }
        Frame::control(Kind::Close, Bytes::new()).encode(&mut self.control);
    }

    /// Ends the session at once: every pending call completes. To be called when the connection is lost; a protocol
    /// error and FATAL do it by themselves.
    pub fn fail_all(&mut self) {
        self.closed = true;
        self.dead = true;
        let mut pending: Vec<(RequestId, Outcome)> = Vec::new();
        for (_, call) in self.calls.drain() {
            let outcome = match call.stage {
                Stage::Queued(_) => Outcome::Lost { sent: false },
                Stage::Waiting => Outcome::Lost { sent: true },
                Stage::Ending(ending) => ending.outcome(None),
                Stage::GivenUp => continue,
            };
            pending.push((call.id, outcome));
        }
        pending.sort_unstable_by_key(|(id, _)| *id);
        for (id, outcome) in pending {
            self.complete(id, outcome);
        }
        self.threads.clear();
        self.channels.clear();
        self.deadlines.clear();
        self.pings.clear();
        self.answers_held = 0;
        self.output_returned = 0;
        self.control.clear();
    }

    fn interrupt(&mut self, id: RequestId, ending: Ending, at_once: bool, now: Instant) {
        let grace = now + self.config.cancel_grace;
        let Some(call) = self
            .calls
            .get_mut(&id.number())
            .filter(|call| call.id == id)
        else {
            return;
        };
        let (request, thread) = (id.number(), call.thread);
        match &call.stage {
            Stage::Queued(message) if message.started() => {
                // The stub drops what it has of the message when it reads the CANCEL, and answers as for any other
                // cancelled request, so the number is held until then.
                let no_reply = call.no_reply;
                call.stage = Stage::GivenUp;
                self.send_cancel(request, thread);
                self.drop_deadline(request);
                if no_reply {
                    self.remove_call(request);
                }
                self.note_dead(Some(thread));
                self.complete(id, ending.outcome(None));
            }
            Stage::Queued(_) => {
                let place = if call.one_shot && thread == 0 {
                    None
                } else {
                    Some(thread)
                };
                self.remove_call(request);
                self.note_dead(place);
                self.complete(id, ending.outcome(None));
            }
            Stage::Waiting if at_once => {
                self.send_cancel(request, thread);
                self.give_up(id, Some(ending));
            }
            Stage::Waiting => {
                call.stage = Stage::Ending(ending);
                if let Some(old) = call.deadline.replace(grace) {
                    self.deadlines.remove(&(old, id.0));
                }
                self.deadlines.insert((grace, id.0));
                self.send_cancel(request, thread);
            }
            Stage::Ending(_) if at_once => self.give_up(id, None),
            Stage::Ending(_) | Stage::GivenUp => {}
        }
    }

    /// Completes a call whose answer may still come; the answer will be dropped.
    fn give_up(&mut self, id: RequestId, ending: Option<Ending>) {
        self.drop_deadline(id.number());
        let Some(call) = self.calls.get_mut(&id.number()) else {
            return;
        };
        let before = std::mem::replace(&mut call.stage, Stage::GivenUp);
        if let Some(answer) = &mut call.answer {
            self.answers_held = self.answers_held.saturating_sub(answer.held() as u64);
            answer.discard();
        }
        let ending = match before {
            Stage::Ending(ending) => ending,
            _ => ending.unwrap_or(Ending::Cancelled),
        };
        self.complete(id, ending.outcome(None));
    }

    pub(super) fn complete(&mut self, id: RequestId, outcome: Outcome) {
        self.channels.end_of_request(id, &outcome);
        self.tell_of_channels();
        self.events.push_back(Event::Completed { id, outcome });
    }

    /// Forgets a call: its number, its deadline and what waited for it come free.
    pub(super) fn remove_call(&mut self, number: u32) {
        if let Some(call) = self.calls.remove(&number) {
            self.settle(call);
        }
    }

    /// Frees what a call that left the table held. Returns its last stage.
    pub(super) fn settle(&mut self, call: Call) -> Stage {
        if let Some(deadline) = call.deadline {
            self.deadlines.remove(&(deadline, call.id.0));
        }
        if !call.keeps.is_empty() {
            self.releases.unkeep(&call.keeps);
        }
        if let Some((thread, mark)) = call.barrier {
            self.threads.end_barrier(thread, mark);
        }
        if call.one_shot && call.thread != 0 && !matches!(call.stage, Stage::Queued(_)) {
            self.threads.end_one_shot(call.thread);
        }
        call.stage
    }

    pub(super) fn drop_deadline(&mut self, number: u32) {
        if let Some(call) = self.calls.get_mut(&number)
            && let Some(deadline) = call.deadline.take()
        {
            self.deadlines.remove(&(deadline, call.id.0));
        }
    }

    fn note_dead(&mut self, place: Option<i32>) {
        let calls = &self.calls;
        self.threads
            .note_dead(place, |id| is_queued(calls.get(&id.number()), id));
    }
}
