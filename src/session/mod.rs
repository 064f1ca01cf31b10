//! What to do with a frame or an event: a state machine without input, output or clock (spec/messages.md).
//!
//! The owner hands in what the transport delivered ([`Session::receive`]), what its callers want
//! ([`Session::submit`] and its neighbours) and the time. It takes out bytes to send ([`Session::poll_transmit`]) and
//! what happened ([`Session::poll_event`]). Every call that was submitted completes exactly once.
mod barriers;
mod call;
mod cancel;
mod channels;
mod event;
mod numbers;
mod parts;
mod receive;
mod release;
mod request;
#[cfg(test)]
mod tests;
mod threads;
mod transmit;
mod untaken;

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::{
    Decoder, Flags, Frame, Header, Kind, MAX_MESSAGE, MAX_PAYLOAD, MAX_PING, Outgoing, Sender,
};

use call::{Call, Stage};
pub use cancel::{CANCEL_GRACE, CancelReason};
use channels::Channels;
pub use channels::{
    CHANNEL_WINDOW, ChannelEvent, ChannelId, MAX_ASK, MAX_ASKS, MAX_CHANNEL_WINDOW, MAX_REASON,
    MIN_CHANNEL_WINDOW,
};
pub use event::{Answer, Event, Outcome};
use numbers::Calls;
pub use parts::Parts;
use parts::{Need, Shipment};
use release::Releases;
pub use request::{Payload, Request, RequestId, RequestKind, SubmitError, ThreadTarget};
use threads::{Item, Threads};
pub use threads::{MAX_ONE_SHOT, THREAD_WINDOW};
use transmit::Scratch;
pub(crate) use untaken::Held;
use untaken::Untaken;

/// The protocol's version, which both HELLOs carry.
pub const PROTOCOL: u32 = 1;
/// The output window that a client offers where nothing else is said, in bytes.
pub const OUTPUT_WINDOW: u32 = 1_048_576;

/// How much of what comes on the transport's own standard error may wait for its reader, in bytes.
pub const RAW_STDERR: usize = 1_048_576;
/// How many CLASS frames a stub may send.
pub const MAX_CLASSES: u32 = 4096;
/// How many bytes their payloads may have together, inflated.
pub const MAX_CLASS_BYTES: u64 = 8_388_608;
/// The longest payload of HELLO, in bytes.
pub const MAX_HELLO: usize = 65_536;
/// The longest ERROR that is taken, in bytes.
pub const MAX_ERROR: u64 = 67_108_864;
/// An answer of no more than this is taken however much others hold, in bytes.
pub const SMALL_ANSWER: u64 = 65_536;
/// How much of FATAL's text is kept, in bytes: every pending call shows it.
pub const MAX_FATAL: usize = 4096;

/// What a session needs to know. `compress` and `output_window` must say what the client's HELLO says.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Whether payloads may be deflated, both ways.
    pub compress: bool,
    /// How many bytes of output may be on their way or unread.
    pub output_window: u32,
    /// The longest result taken, and the most that all answers under way may take together, in bytes.
    pub max_result: u64,
    /// How many bytes of CLASS are taken.
    pub max_class_bytes: u64,
    /// How long an interrupted call may take to say where it stood.
    pub cancel_grace: Duration,
    /// The parts of the stub that are not with it yet.
    pub parts: Parts,
}

impl Default for SessionConfig {
    fn default() -> SessionConfig {
        SessionConfig {
            compress: false,
            output_window: OUTPUT_WINDOW,
            max_result: MAX_MESSAGE,
            max_class_bytes: MAX_CLASS_BYTES,
            cancel_grace: CANCEL_GRACE,
            parts: Parts::default(),
        }
    }
}

/// One connection's state.
pub struct Session {
    config: SessionConfig,
    decoder: Decoder,
    // Set by start_close, FATAL, a protocol error and fail_all; ends submissions.
    closed: bool,
    // Set by FATAL, a protocol error and fail_all; nothing more is read or sent.
    dead: bool,
    greeted: bool,
    calls: Calls,
    next_id: u64,
    threads: Threads,
    channels: Channels,
    // Whose turn it is, where threads and channels both have something to send.
    channels_first: bool,
    // The encoded HELLO, and how many bytes of all were taken to be sent.
    hello: Bytes,
    sent: u64,
    // Encoded frames that go before any request (ME-17).
    control: BytesMut,
    shipment: Shipment,
    scratch: Scratch,
    releases: Releases,
    deadlines: BTreeSet<(Instant, u64)>,
    events: VecDeque<Event>,
    pings: VecDeque<Bytes>,
    // Bytes held of answers of which more is to come.
    answers_held: u64,
    /// Of answers that the owner has and still holds.
    untaken: Untaken,
    classes: u32,
    class_bytes: u64,
    // Output received and not yet returned to the stub, and the part of it that its reader has taken.
    output_held: u32,
    output_taken: u32,
    // Window to be returned by the next CREDIT. Added up, so that a stub that reads nothing has no row of them waiting.
    output_returned: u64,
}

impl Session {
    /// A session that will first send HELLO with this payload, which is at most
    /// [`MAX_PAYLOAD`] bytes and cut off there.
    pub fn new(mut config: SessionConfig, hello: impl Into<Bytes>) -> Session {
        let mut hello: Bytes = hello.into();
        hello.truncate(MAX_PAYLOAD);
        let mut control = BytesMut::new();
        Frame::control(Kind::Hello, hello).encode(&mut control);
        Session {
            decoder: Decoder::new(Sender::Stub, config.compress),
            shipment: Shipment::new(std::mem::take(&mut config.parts)),
            config,
            closed: false,
            dead: false,
            greeted: false,
            calls: Calls::default(),
            next_id: 1,
            threads: Threads::default(),
            channels: Channels::default(),
            channels_first: false,
            hello: control.clone().freeze(),
            sent: 0,
            control,
            scratch: Scratch::default(),
            releases: Releases::default(),
            deadlines: BTreeSet::new(),
            events: VecDeque::new(),
            pings: VecDeque::new(),
            answers_held: 0,
            untaken: Untaken::default(),
            classes: 0,
            class_bytes: 0,
            output_held: 0,
            output_taken: 0,
            output_returned: 0,
        }
    }

    /// Starts over with another process, one that has sent nothing, by sending HELLO again. False, and nothing is changed,
    /// where more than HELLO was taken to be sent: it may have been acted on.
    pub fn restart(&mut self) -> bool {
        let taken = usize::try_from(self.sent).unwrap_or(usize::MAX);
        if self.greeted || self.closed || taken > self.hello.len() {
            return false;
        }
        let mut control = BytesMut::from(&*self.hello);
        // What is left of the first HELLO stands in front of the rest.
        let left = self.hello.len() - taken;
        control.extend_from_slice(self.control.get(left..).unwrap_or_default());
        self.control = control;
        self.sent = 0;
        true
    }

    /// Takes a request; it completes later by exactly one [`Event::Completed`] with the number returned.
    ///
    /// # Errors
    /// See [`SubmitError`]; nothing was taken then.
    pub fn submit(&mut self, request: Request, now: Instant) -> Result<RequestId, SubmitError> {
        if self.closed {
            return Err(SubmitError::Closed);
        }
        let one_shot = matches!(request.thread, ThreadTarget::OneShot);
        let thread = match request.thread {
            ThreadTarget::Id(thread) if thread < 0 => return Err(SubmitError::BadThread(thread)),
            ThreadTarget::Id(thread) => thread,
            ThreadTarget::OneShot => 0,
        };
        let has_buffers = !request.payload.buffers.is_empty();
        let payload = request.payload.into_message()?;
        let id = self.allot_id().ok_or(SubmitError::TooMany)?;

        // A one-shot thread's number, a barrier, and objects that the request names come free with the answer; so one
        // is asked for, and dropped, even where the caller wants none.
        let silent = request.no_reply;
        let no_reply = silent && !one_shot && !request.barrier && request.keeps.is_empty();
        let flags = Flags::NONE
            .with_if(Flags::BUFFERS, has_buffers)
            .with_if(Flags::NO_REPLY, no_reply)
            .with_if(Flags::ONE_SHOT, one_shot)
            .with_if(Flags::REFERENCES, request.references);
        let number = id.number();
        let message = Outgoing::new(request.kind.into(), flags, number, thread, payload);
        let deadline = request.deadline.filter(|_| !silent);
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline.max(now), id.0));
        }
        self.releases.keep(&request.keeps);
        let after = self.threads.barriers.mark();
        let barrier = request.barrier.then(|| {
            // A thread of its own has no other requests, so no real thread stands for it.
            let thread = if one_shot { i32::MIN } else { thread };
            (thread, self.threads.barriers.add(thread))
        });
        let call = Call {
            id,
            thread,
            one_shot,
            barrier,
            silent,
            no_reply,
            plain: request.plain,
            after,
            stage: Stage::Queued(message),
            deadline: deadline.map(|deadline| deadline.max(now)),
            keeps: request.keeps,
            answer: None,
        };
        self.calls.insert(number, call);
        self.channels.note(id, request.channels);
        if one_shot {
            self.threads.enqueue_one_shot(id);
        } else {
            self.threads.enqueue(thread, Item::Call(id));
        }
        Ok(id)
    }

    /// Gives up `times` receipts of the object `oid`. It is sent once no unanswered request names the object, many
    /// together in one frame.
    pub fn release(&mut self, oid: u64, times: u32) {
        if !self.closed {
            self.releases.release(oid, times);
        }
    }

    /// Ends a server thread behind the requests submitted for it so far. The main thread, 0, cannot be ended.
    pub fn stop_thread(&mut self, thread: i32) {
        if thread > 0 && !self.closed {
            self.threads.enqueue(thread, Item::Stop);
        }
    }

    /// Asks for a sign of life; [`Event::Pong`] brings the payload back, of which the first [`MAX_PING`] bytes count.
    pub fn ping(&mut self, payload: impl Into<Bytes>) {
        if self.closed {
            return;
        }
        let mut payload: Bytes = payload.into();
        payload.truncate(MAX_PING);
        self.pings.push_back(payload.clone());
        Frame::control(Kind::Ping, payload).encode(&mut self.control);
    }

    /// Sends one more part of the stub, which requests submitted later may call (BS-9): the payload of a PART, at most
    /// [`MAX_PAYLOAD`] bytes.
    pub fn send_part(&mut self, payload: impl Into<Bytes>) {
        if !self.closed {
            Frame::control(Kind::Part, payload.into()).encode(&mut self.control);
        }
    }

    /// Says that `count` bytes of the output given by [`Event::Output`] were taken and more may come.
    pub fn output_consumed(&mut self, count: u32) {
        self.output_taken = self
            .output_taken
            .saturating_add(count)
            .min(self.output_held);
        // A quarter at a time: one frame for many lines, and the stub never runs dry.
        if self.output_taken > 0 && self.output_taken >= self.config.output_window / 4 && !self.dead
        {
            self.output_held -= self.output_taken;
            self.output_returned += u64::from(self.output_taken);
            self.output_taken = 0;
        }
    }

    /// What happened next, if anything did.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How many calls have not completed or still hold their number until the stub answers.
    pub fn in_flight(&self) -> usize {
        self.calls.len()
    }

    /// How many bytes of unfinished answers are held.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn held_of_answers(&self) -> u64 {
        self.answers_held
    }

    /// The longest result taken, in bytes.
    pub fn max_result(&self) -> u64 {
        self.config.max_result
    }

    /// Whether [`submit`](Self::submit) takes no more requests.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn return_output(&mut self) {
        let count = u32::try_from(self.output_returned).unwrap_or(u32::MAX);
        self.output_returned -= u64::from(count);
        let header = Header {
            kind: Kind::Credit,
            flags: Flags::NONE,
            length: 4,
            request: 0,
            thread: 0,
        };
        self.shipment.put(Need::Control, &mut self.control);
        self.send_control(header);
        self.control.put_u32(count);
    }

    fn allot_id(&mut self) -> Option<RequestId> {
        // Every number but 0 may be in use; then the search must end.
        if self.calls.len() >= u32::MAX as usize {
            return None;
        }
        loop {
            let id = RequestId(self.next_id);
            self.next_id += 1;
            if id.number() != 0 && !self.calls.contains_key(&id.number()) {
                return Some(id);
            }
        }
    }
}
