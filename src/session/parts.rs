//! Which parts of the stub go out, and in front of what (BS-10).

use bytes::{Bytes, BytesMut};

use crate::wire::{Flags, Frame, Header, Kind};

/// The payloads of the PART frames that a stub may need; empty where it has that already.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// What a request needs that is not a short call of what is known already.
    pub requests: Bytes,
    /// What a running call may come to need.
    pub calls: Bytes,
    /// What acts on control frames.
    pub control: Bytes,
    /// What channels are at the other end.
    pub channels: Bytes,
}

/// The parts in the order in which they go out: each builds upon those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    Requests,
    Calls,
    Control,
    Channels,
}

impl Need {
    /// What the stub's reader needs to take a frame of a request. What the request's own thread needs comes behind it.
    pub(super) fn of_request(header: Header) -> Option<Need> {
        if header.kind == Kind::Data {
            return Some(Need::Control);
        }
        let reader = Flags::MORE | Flags::DEFLATED;
        let needs = header.thread != 0 || header.flags.without(reader) != header.flags;
        needs.then_some(Need::Calls)
    }
}

/// The parts of one connection, and how far they are sent.
#[derive(Debug)]
pub(super) struct Shipment {
    parts: Parts,
    sent: Option<Need>,
    /// What a call may come to need is to go out behind what is sent next.
    pub(super) due: bool,
    /// Something may run at the stub of which no answer is expected.
    pub(super) silent: bool,
}

impl Shipment {
    pub(super) fn new(parts: Parts) -> Shipment {
        Shipment {
            parts,
            sent: None,
            due: false,
            silent: false,
        }
    }

    /// Appends the frames that must stand in front of what needs this.
    pub(super) fn put(&mut self, need: Need, out: &mut BytesMut) {
        for payload in self.take(need) {
            Frame::control(Kind::Part, payload).encode(out);
        }
    }

    /// The payloads that must go out in front of what needs this; they count as sent.
    pub(super) fn take(&mut self, need: Need) -> impl Iterator<Item = Bytes> + use<> {
        let before = self.sent;
        self.sent = before.max(Some(need));
        self.due &= self.sent < Some(Need::Calls);
        let Parts {
            requests,
            calls,
            control,
            channels,
        } = &self.parts;
        let all = [
            (Need::Requests, requests.clone()),
            (Need::Calls, calls.clone()),
            (Need::Control, control.clone()),
            (Need::Channels, channels.clone()),
        ];
        all.into_iter()
            .filter(move |(part, payload)| {
                Some(*part) > before && *part <= need && !payload.is_empty()
            })
            .map(|(_, payload)| payload)
    }

    /// Whether this has gone out.
    pub(super) fn has_sent(&self, need: Need) -> bool {
        self.sent >= Some(need)
    }
}
