//! The channels of a session: what waits to be sent on each, its windows, and how each direction ends.

use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};

use crate::wire::{CHUNK, Flags, Frame, HEADER, Kind, Outgoing, ProtocolError, Segments};

use super::super::event::Outcome;
use super::super::request::RequestId;
use super::{ChannelEvent, ChannelId, MAX_CHANNEL_WINDOW, MAX_REASON, MIN_CHANNEL_WINDOW};

/// What is said of a channel whose request has no result.
const NO_RESULT: &str = "the call that had it has ended without a result";

/// How far a direction is, on the side that sends.
#[derive(Debug, PartialEq, Eq)]
enum Out {
    Open,
    /// END goes behind what is queued, with this text.
    Ending(Bytes),
    Ended,
}

/// How far a direction is, on the side that reads.
#[derive(Debug, PartialEq, Eq)]
enum In {
    Open,
    /// Its reader takes nothing more; what still comes is dropped.
    Stopped,
    Ended,
}

#[derive(Debug)]
struct Channel {
    id: ChannelId,
    window: u64,
    /// Messages to be sent; of the first a part may have gone.
    queue: VecDeque<Outgoing>,
    /// Payload bytes in `queue`.
    queued: usize,
    /// Sent and not returned.
    outstanding: u64,
    out: Out,
    /// Its owner waits until it may send more.
    waiting: bool,
    /// It stands in the ring of those with something to send.
    listed: bool,
    /// Received and not returned.
    held: u64,
    input: In,
    /// To be returned by the next CHANNEL_CREDIT.
    returned: u64,
    /// The end of reading is to be told.
    stopping: bool,
    /// It stands among those with something to return.
    due: bool,
}

impl Channel {
    /// Payload bytes of one frame: so many frames fit in the window that one is always under way.
    fn chunk(&self) -> usize {
        CHUNK.min(self.window as usize / 8)
    }

    /// Whether more may be queued.
    fn has_room(&self) -> bool {
        self.queued < self.chunk()
    }

    fn is_over(&self) -> bool {
        self.out == Out::Ended && self.input == In::Ended && !self.due
    }

    fn drop_queue(&mut self) {
        self.queue.clear();
        self.queued = 0;
    }
}

/// All channels of a session.
#[derive(Debug, Default)]
pub(in crate::session) struct Channels {
    by_number: HashMap<u32, Channel>,
    last: u64,
    /// The channels that unanswered requests name.
    named: HashMap<RequestId, Vec<ChannelId>>,
    ready: VecDeque<u32>,
    due: VecDeque<u32>,
    /// What the owner is to be told.
    pub events: Vec<(ChannelId, ChannelEvent)>,
}

impl Channels {
    /// A new channel and the frame that opens it; none where every number is in use.
    pub(in crate::session) fn open(&mut self, window: u32) -> Option<(ChannelId, Frame)> {
        if self.by_number.len() >= u32::MAX as usize {
            return None;
        }
        let id = loop {
            self.last += 1;
            let id = ChannelId(self.last);
            if id.number() != 0 && !self.by_number.contains_key(&id.number()) {
                break id;
            }
        };
        let window = window.clamp(MIN_CHANNEL_WINDOW, MAX_CHANNEL_WINDOW);
        let channel = Channel {
            id,
            window: u64::from(window),
            queue: VecDeque::new(),
            queued: 0,
            outstanding: 0,
            out: Out::Open,
            waiting: false,
            listed: false,
            held: 0,
            input: In::Open,
            returned: 0,
            stopping: false,
            due: false,
        };
        self.by_number.insert(id.number(), channel);
        let mut frame = Frame::control(
            Kind::ChannelOpen,
            Bytes::copy_from_slice(&window.to_be_bytes()),
        );
        frame.request = id.number();
        Some((id, frame))
    }

    fn get(&mut self, id: ChannelId) -> Option<&mut Channel> {
        self.by_number
            .get_mut(&id.number())
            .filter(|channel| channel.id == id)
    }

    /// Queues a message: an item, or some bytes. False where this direction is over.
    pub(in crate::session) fn send(&mut self, id: ChannelId, payload: Segments) -> bool {
        let Some(channel) = self.get(id) else {
            return false;
        };
        if channel.out != Out::Open {
            return false;
        }
        if !payload.is_empty() {
            channel.queued += payload.len();
            let message = Outgoing::new(Kind::Channel, Flags::NONE, id.number(), 0, payload);
            channel.queue.push_back(message);
            self.list(id.number());
        }
        true
    }

    /// Whether more may be queued; if not, [`ChannelEvent::Room`] tells when.
    pub(in crate::session) fn has_room(&mut self, id: ChannelId) -> bool {
        self.get(id).is_none_or(|channel| {
            channel.waiting = channel.out == Out::Open && !channel.has_room();
            !channel.waiting
        })
    }

    /// Ends the direction from here: behind what is queued, or with a reason at once.
    pub(in crate::session) fn end(&mut self, id: ChannelId, reason: Option<&str>) {
        let Some(channel) = self.get(id) else {
            return;
        };
        if channel.out == Out::Ended || (channel.out != Out::Open && reason.is_none()) {
            return;
        }
        if reason.is_some() {
            channel.drop_queue();
        }
        channel.out = Out::Ending(reason.map(shortened).unwrap_or_default());
        self.list(id.number());
    }

    /// The reader has taken so much of what came, headers included.
    pub(in crate::session) fn taken(&mut self, id: ChannelId, bytes: u64) {
        if let Some(channel) = self.get(id)
            && channel.input == In::Open
        {
            let bytes = bytes.min(channel.held);
            channel.held -= bytes;
            channel.returned += bytes;
            if channel.returned > 0 {
                self.owe(id.number());
            }
        }
    }

    /// Nobody reads any more.
    pub(in crate::session) fn stop(&mut self, id: ChannelId) {
        if let Some(channel) = self.get(id)
            && channel.input == In::Open
        {
            channel.input = In::Stopped;
            channel.held = 0;
            channel.returned = 0;
            channel.stopping = true;
            self.owe(id.number());
        }
    }

    /// A request names these channels, or will not be heard of again.
    pub(in crate::session) fn note(&mut self, request: RequestId, channels: Vec<ChannelId>) {
        if channels.is_empty() {
            if !self.named.is_empty() {
                self.named.remove(&request);
            }
        } else {
            self.named.insert(request, channels);
        }
    }

    /// A request is over. Where it has no result the channels that it names are too: the function may never have run, and
    /// then nobody at the other end would say so.
    pub(in crate::session) fn end_of_request(&mut self, request: RequestId, outcome: &Outcome) {
        if self.named.is_empty() {
            return;
        }
        let named = self.named.remove(&request).unwrap_or_default();
        // Of a connection that has ended its owner says so.
        if matches!(
            outcome,
            Outcome::Result(_) | Outcome::Sent | Outcome::Lost { .. }
        ) {
            return;
        }
        for id in named {
            self.end(id, Some(NO_RESULT));
            if self
                .get(id)
                .is_some_and(|channel| channel.input == In::Open)
            {
                self.stop(id);
                let reason = Some(NO_RESULT.to_owned());
                self.events.push((id, ChannelEvent::Ended(reason)));
            }
        }
    }

    /// A CHANNEL frame came; its payload is inflated.
    pub(in crate::session) fn receive(
        &mut self,
        number: u32,
        flags: Flags,
        payload: Segments,
    ) -> Result<(), ProtocolError> {
        let Some(channel) = self
            .by_number
            .get_mut(&number)
            .filter(|channel| channel.input != In::Ended)
        else {
            return Err(ProtocolError::Malformed(
                "a frame came for a channel that is not open",
            ));
        };
        let id = channel.id;
        if flags.contains(Flags::END) {
            if flags.contains(Flags::MORE) || payload.len() > MAX_REASON {
                return Err(ProtocolError::Malformed(
                    "the end of a channel is not as it should be",
                ));
            }
            let stopped = channel.input == In::Stopped;
            channel.input = In::Ended;
            channel.returned = 0;
            channel.stopping = false;
            if !stopped {
                let reason = payload.into_bytes();
                let reason =
                    (!reason.is_empty()).then(|| String::from_utf8_lossy(&reason).into_owned());
                self.events.push((id, ChannelEvent::Ended(reason)));
            }
            self.sweep(number);
            return Ok(());
        }
        if channel.input == In::Stopped {
            return Ok(());
        }
        let size = (HEADER + payload.len()) as u64;
        channel.held += size;
        if channel.held > channel.window {
            return Err(ProtocolError::Window {
                excess: channel.held - channel.window,
                window: channel.window,
            });
        }
        let more = flags.contains(Flags::MORE);
        self.events.push((id, ChannelEvent::Data { payload, more }));
        Ok(())
    }

    /// A CHANNEL_CREDIT came; 0 says that the other end reads no more. One for a channel that is over was on its way.
    pub(in crate::session) fn credit(
        &mut self,
        number: u32,
        bytes: u32,
    ) -> Result<(), ProtocolError> {
        let Some(channel) = self.by_number.get_mut(&number) else {
            return Ok(());
        };
        if bytes > 0 {
            channel.outstanding = channel.outstanding.checked_sub(u64::from(bytes)).ok_or(
                ProtocolError::Malformed("more of a channel's window was returned than was in use"),
            )?;
        } else if channel.out != Out::Ended {
            channel.drop_queue();
            if channel.out == Out::Open {
                channel.out = Out::Ending(Bytes::new());
            }
            let id = channel.id;
            self.events.push((id, ChannelEvent::Stopped));
        }
        self.list(number);
        Ok(())
    }

    /// Puts a channel into the ring if it has something to send, and is not there.
    fn list(&mut self, number: u32) {
        if let Some(channel) = self.by_number.get_mut(&number)
            && !channel.listed
            && (!channel.queue.is_empty() || matches!(channel.out, Out::Ending(_)))
        {
            channel.listed = true;
            self.ready.push_back(number);
        }
    }

    fn owe(&mut self, number: u32) {
        if let Some(channel) = self.by_number.get_mut(&number)
            && !channel.due
        {
            channel.due = true;
            self.due.push_back(number);
        }
    }

    /// Appends the frames that return window.
    pub(in crate::session) fn return_windows(&mut self, out: &mut BytesMut) {
        while let Some(number) = self.due.pop_front() {
            let Some(channel) = self.by_number.get_mut(&number) else {
                continue;
            };
            channel.due = false;
            let bytes = u32::try_from(channel.returned).unwrap_or(u32::MAX);
            channel.returned = 0;
            if bytes > 0 || channel.stopping {
                channel.stopping = false;
                let mut frame = Frame::control(
                    Kind::ChannelCredit,
                    Bytes::copy_from_slice(&bytes.to_be_bytes()),
                );
                frame.request = number;
                frame.encode(out);
            }
            self.sweep(number);
        }
    }

    /// Whether a channel waits for its turn.
    pub(in crate::session) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next frame of the channel whose turn it is, if its window has room for it.
    pub(in crate::session) fn next_frame(&mut self, compress: bool) -> Option<Frame> {
        while let Some(number) = self.ready.pop_front() {
            let Some(channel) = self.by_number.get_mut(&number) else {
                continue;
            };
            channel.listed = false;
            let chunk = channel.chunk();
            let Some(message) = channel.queue.front_mut() else {
                if let Out::Ending(reason) = &mut channel.out {
                    let mut frame = Frame::control(Kind::Channel, std::mem::take(reason));
                    frame.request = number;
                    frame.flags = Flags::END;
                    channel.out = Out::Ended;
                    self.sweep(number);
                    return Some(frame);
                }
                continue;
            };
            let length = message.next_length().min(chunk);
            let size = (HEADER + length) as u64;
            if channel.outstanding + size > channel.window {
                continue;
            }
            let frame = message.next_chunk(chunk, compress);
            if message.is_done() {
                channel.queue.pop_front();
            }
            channel.queued = channel.queued.saturating_sub(length);
            channel.outstanding += size;
            if channel.waiting && channel.has_room() {
                channel.waiting = false;
                self.events.push((channel.id, ChannelEvent::Room));
            }
            self.list(number);
            if frame.is_some() {
                return frame;
            }
        }
        None
    }

    fn sweep(&mut self, number: u32) {
        if let Some(channel) = self.by_number.get(&number)
            && channel.is_over()
        {
            let id = channel.id;
            self.by_number.remove(&number);
            self.events.push((id, ChannelEvent::Closed));
        }
    }

    /// Forgets all of them.
    pub(in crate::session) fn clear(&mut self) {
        let last = self.last;
        *self = Channels::default();
        self.last = last;
    }

    /// How many are open, at least in one direction.
    pub(in crate::session) fn len(&self) -> usize {
        self.by_number.len()
    }
}

/// A text cut to what END takes, at the end of a character; never empty, which would say that nothing is wrong.
fn shortened(reason: &str) -> Bytes {
    let reason = match reason {
        "" => "no reason was given",
        reason => reason,
    };
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    Bytes::copy_from_slice(reason.get(..end).unwrap_or_default().as_bytes())
}
