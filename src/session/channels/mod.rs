//! Channels: streams of items or bytes both ways, named in a request, each with windows of its own (ME-32 to ME-38).

mod table;

use crate::wire::{Flags, Frame, ProtocolError, Segments};

use super::Session;
use super::event::Event;
use super::parts::Need;
use super::receive::whole_payload;
use super::request::SubmitError;
pub(super) use table::Channels;

/// A channel's window where nothing else is asked for, in bytes.
pub const CHANNEL_WINDOW: u32 = 1_048_576;
/// The smallest window of a channel.
pub const MIN_CHANNEL_WINDOW: u32 = 16_384;
/// The largest window of a channel.
pub const MAX_CHANNEL_WINDOW: u32 = 67_108_864;
/// How long the text may be that says why a direction broke, in bytes.
pub const MAX_REASON: usize = 4096;
/// How many asks C has in hand at once (ME-41).
pub const MAX_ASKS: usize = 64;
/// The longest ask in bytes, and how many bytes are in hand at the most when C takes another one.
pub const MAX_ASK: u64 = 8 << 20;

/// Names a channel; never used twice by one session. Its low 32 bits are the number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(u64);

impl ChannelId {
    /// The number that frames and pickles carry.
    pub fn number(self) -> u32 {
        self.0 as u32
    }
}

/// What happened on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelEvent {
    /// Bytes came. Their reader returns them, and 16 for each such event, by
    /// [`Session::channel_taken`](super::Session::channel_taken).
    Data {
        /// The bytes.
        payload: Segments,
        /// They are not the last of their item.
        more: bool,
    },
    /// The other end sends nothing more: in order, or for this reason.
    Ended(Option<String>),
    /// More may be sent.
    Room,
    /// The other end reads nothing more; what was queued is dropped.
    Stopped,
    /// Both directions are over, and the number is free.
    Closed,
}

impl Session {
    /// Opens a channel whose windows are of so many bytes both ways, or as near to that as may be. It takes no round trip: a
    /// request submitted later may name it.
    ///
    /// # Errors
    /// [`SubmitError::Closed`]; [`SubmitError::TooMany`] where every number is in use.
    pub fn open_channel(&mut self, window: u32) -> Result<ChannelId, SubmitError> {
        if self.closed {
            return Err(SubmitError::Closed);
        }
        let (id, frame) = self.channels.open(window).ok_or(SubmitError::TooMany)?;
        self.shipment.put(Need::Channels, &mut self.control);
        frame.encode(&mut self.control);
        Ok(id)
    }

    /// Queues an item, or some bytes. Any number of bytes is taken, so ask [`channel_has_room`](Self::channel_has_room) before.
    /// False where this direction is over.
    pub fn channel_send(&mut self, id: ChannelId, payload: impl Into<Segments>) -> bool {
        self.channels.send(id, payload.into())
    }

    /// Whether all but a little of what was queued has been taken to be sent. If not, [`ChannelEvent::Room`] tells when.
    pub fn channel_has_room(&mut self, id: ChannelId) -> bool {
        self.channels.has_room(id)
    }

    /// Ends the direction from here: behind what is queued, or for a reason at once, with what is queued dropped.
    pub fn channel_end(&mut self, id: ChannelId, reason: Option<&str>) {
        self.channels.end(id, reason);
    }

    /// Says that so much of what came was taken, each event's 16 bytes of header among it, and more may come.
    pub fn channel_taken(&mut self, id: ChannelId, bytes: u64) {
        self.channels.taken(id, bytes);
    }

    /// Says that nothing more is read here: what still comes is dropped, and the other end is told.
    pub fn channel_stop(&mut self, id: ChannelId) {
        self.channels.stop(id);
    }

    /// How many channels are open, at least in one direction.
    pub fn open_channels(&self) -> usize {
        self.channels.len()
    }

    pub(super) fn take_channel(&mut self, frame: Frame) -> Result<(), ProtocolError> {
        let (number, flags) = (frame.request, frame.flags);
        let payload = match flags.contains(Flags::DEFLATED) {
            true => Segments::from(whole_payload(frame)?),
            false => frame.payload,
        };
        let done = self.channels.receive(number, flags, payload);
        self.tell_of_channels();
        done
    }

    pub(super) fn take_channel_credit(&mut self, frame: Frame) -> Result<(), ProtocolError> {
        let number = frame.request;
        let mut payload = frame.payload;
        let bytes = payload.take_array().map_or(0, u32::from_be_bytes);
        // After CLOSE nothing is sent any more, and what was in use is forgotten.
        if self.closed {
            return Ok(());
        }
        let done = self.channels.credit(number, bytes);
        self.tell_of_channels();
        done
    }

    /// Passes on what came of the last change.
    pub(super) fn tell_of_channels(&mut self) {
        let events = self.channels.events.drain(..);
        self.events
            .extend(events.map(|(id, event)| Event::Channel { id, event }));
    }
}
