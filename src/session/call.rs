//! One call between its submission and its answer.

use std::time::Instant;

use crate::wire::{Incoming, Outgoing};

use super::cancel::Ending;
use super::request::RequestId;

/// What the session knows about a call.
#[derive(Debug)]
pub(super) struct Call {
    pub id: RequestId,
    /// 0 for a one-shot call that has no number yet.
    pub thread: i32,
    pub one_shot: bool,
    /// The thread and the mark of the barrier that it is.
    pub barrier: Option<(i32, u64)>,
    /// The caller wants no answer.
    pub silent: bool,
    /// The stub will send no answer.
    pub no_reply: bool,
    /// Nothing but a plain answer is expected.
    pub plain: bool,
    /// How many barriers were submitted before it.
    pub after: u64,
    pub stage: Stage,
    /// The entry in the table of deadlines, if there is one: the caller's deadline, then the end of the grace time.
    pub deadline: Option<Instant>,
    pub keeps: Vec<u64>,
    /// An answer of which more chunks follow; boxed, because few have one.
    pub answer: Option<Box<Incoming>>,
}

/// How far a call has got. Each stage leads to a later one only.
#[derive(Debug)]
pub(super) enum Stage {
    /// Waits for its turn, or is partly sent.
    Queued(Outgoing),
    /// Sent in full; its answer is waited for.
    Waiting,
    /// CANCEL was sent, and the answer may still come in time to tell where the call stood.
    Ending(Ending),
    /// Completed; the number is held until the stub's answer, which is not read.
    GivenUp,
}
