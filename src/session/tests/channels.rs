//! Channels: windows, turns, ends, and what is left when both directions are over.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::model::Tape;
use super::stub::{Pair, kinds};
use crate::session::ThreadTarget::Id;
use crate::session::{
    CHANNEL_WINDOW, CancelReason, ChannelEvent, ChannelId, Event, MIN_CHANNEL_WINDOW, Request,
    RequestKind, Session, SessionConfig, ThreadTarget,
};
use crate::wire::{Decoder, Flags, Frame, HEADER, Kind, Sender, inflate};

fn pair() -> Pair {
    Pair::new(SessionConfig::default())
}

fn frame(kind: Kind, id: ChannelId, flags: Flags, payload: impl Into<Bytes>) -> Frame {
    let mut frame = Frame::control(kind, payload.into());
    frame.request = id.number();
    frame.flags = flags;
    frame
}

fn credit(id: ChannelId, bytes: u32) -> Frame {
    frame(
        Kind::ChannelCredit,
        id,
        Flags::NONE,
        bytes.to_be_bytes().to_vec(),
    )
}

fn end(id: ChannelId) -> Frame {
    frame(Kind::Channel, id, Flags::END, "")
}

fn events(pair: &mut Pair) -> Vec<ChannelEvent> {
    let mut found = Vec::new();
    while let Some(event) = pair.session.poll_event() {
        if let Event::Channel { event, .. } = event {
            found.push(event);
        }
    }
    found
}

#[test]
fn a_channel_is_forgotten_when_both_directions_are_over() {
    let mut pair = pair();
    let id = pair.session.open_channel(CHANNEL_WINDOW).unwrap();
    assert!(pair.session.channel_send(id, vec![1; 10]));
    pair.session.channel_end(id, None);
    assert_eq!(
        kinds(&pair.sent()),
        [Kind::ChannelOpen, Kind::Channel, Kind::Channel]
    );
    assert!(!pair.session.channel_send(id, vec![1; 10]));
    assert_eq!(pair.session.open_channels(), 1);
    pair.answer(frame(Kind::Channel, id, Flags::NONE, "late"));
    pair.answer(end(id));
    assert_eq!(pair.session.open_channels(), 0);
    assert_eq!(
        events(&mut pair),
        [
            ChannelEvent::Data {
                payload: Bytes::from_static(b"late").into(),
                more: false
            },
            ChannelEvent::Ended(None),
            ChannelEvent::Closed
        ]
    );
    // What was on its way.
    pair.answer(credit(id, 26));
    pair.answer(credit(id, 0));
    assert_eq!(pair.sent(), []);
}

#[test]
fn an_end_goes_behind_what_was_queued_and_a_reason_in_front() {
    for reason in [None, Some("it broke")] {
        let mut pair = pair();
        let id = pair.session.open_channel(MIN_CHANNEL_WINDOW).unwrap();
        pair.session.channel_send(id, vec![1; 100_000]);
        assert!(!pair.session.channel_has_room(id));
        let first = pair.sent().len();
        assert!((7..=9).contains(&first), "{first}");
        pair.session.channel_end(id, reason);
        let sent = pair.sent();
        match reason {
            None => assert_eq!(sent, []),
            Some(reason) => {
                assert_eq!(sent[0].flags, Flags::END);
                assert_eq!(sent[0].payload.to_vec(), reason.as_bytes());
            }
        }
    }
}

#[test]
fn what_is_not_read_any_more_is_not_sent() {
    let mut pair = pair();
    let id = pair.session.open_channel(MIN_CHANNEL_WINDOW).unwrap();
    pair.session.channel_send(id, vec![1; 1_000_000]);
    pair.sent();
    pair.answer(credit(id, 0));
    let sent = pair.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].flags, Flags::END);
    assert!(sent[0].payload.is_empty());
    assert_eq!(events(&mut pair), [ChannelEvent::Stopped]);
    assert!(!pair.session.channel_send(id, vec![1]));
    // The other way round, what comes behind the word is dropped and not returned.
    let id = pair.session.open_channel(MIN_CHANNEL_WINDOW).unwrap();
    pair.session.channel_stop(id);
    let sent = pair.sent();
    assert_eq!(kinds(&sent), [Kind::ChannelOpen, Kind::ChannelCredit]);
    for _ in 0..100 {
        pair.answer(frame(Kind::Channel, id, Flags::NONE, vec![1; 2000]));
    }
    pair.session.channel_taken(id, 5000);
    assert_eq!((pair.sent(), events(&mut pair)), (vec![], vec![]));
}

#[test]
fn windows_of_channels_given_back_are_one_frame_each() {
    let mut pair = pair();
    let ids = [0, 1].map(|_| pair.session.open_channel(MIN_CHANNEL_WINDOW).unwrap());
    pair.sent();
    for _ in 0..50 {
        for id in ids {
            pair.answer(frame(Kind::Channel, id, Flags::NONE, vec![1; 2000]));
            pair.session.channel_taken(id, 2016);
        }
    }
    let sent = pair.sent();
    assert_eq!(kinds(&sent), [Kind::ChannelCredit, Kind::ChannelCredit]);
    for frame in sent {
        let mut payload = frame.payload;
        assert_eq!(payload.take_array(), Some((50u32 * 2016).to_be_bytes()));
    }
}

#[test]
fn a_large_channel_and_a_small_call_take_turns() {
    let mut pair = pair();
    let id = pair.session.open_channel(CHANNEL_WINDOW).unwrap();
    pair.session.channel_send(id, vec![1; 1_000_000]);
    pair.call(Id(0), 10);
    let sent = kinds(&pair.sent());
    let place = sent.iter().position(|kind| *kind == Kind::Call).unwrap();
    assert!(place <= 2, "{sent:?}");
}

#[test]
fn a_call_without_a_result_ends_the_channels_that_it_names() {
    for stage in ["queued", "sent", "refused"] {
        let mut pair = pair();
        let id = pair.session.open_channel(CHANNEL_WINDOW).unwrap();
        let mut request = Request::new(RequestKind::Call, ThreadTarget::Id(0), vec![1]);
        request.channels = vec![id];
        let call = pair.submit(request);
        if stage != "queued" {
            pair.sent();
        }
        match stage {
            "refused" => pair.answer(super::stub::reply(Kind::Error, call.number(), b"no")),
            _ => pair.session.cancel(call, CancelReason::Abandoned, pair.now),
        }
        let told = events(&mut pair);
        assert!(
            matches!(told[..], [ChannelEvent::Ended(Some(_))]),
            "{told:?}"
        );
        let sent = pair.sent();
        assert!(
            sent.iter().any(|frame| frame.flags == Flags::END),
            "{stage}"
        );
        pair.answer(end(id));
        assert_eq!(events(&mut pair), [ChannelEvent::Closed]);
        assert_eq!(pair.session.open_channels(), 0);
    }
}

/// The other end of channels, after spec/messages.md.
struct Peer {
    decoder: Decoder,
    out: BytesMut,
    channels: BTreeMap<u32, Line>,
}

#[derive(Default)]
struct Line {
    window: usize,
    // Of ours: what came and was not taken, and taken and not returned. Of theirs: sent and not returned.
    held: VecDeque<usize>,
    taken: usize,
    outstanding: usize,
    came: usize,
    sent: usize,
    queued: usize,
    ended: bool,
    done: bool,
    stopped: bool,
}

impl Peer {
    fn receive(&mut self, bytes: Bytes) {
        self.decoder.feed(bytes);
        while let Some(frame) = self.decoder.next_frame().unwrap() {
            let flags = frame.flags;
            let mut payload = match flags.contains(Flags::DEFLATED) {
                true => inflate(frame.payload).unwrap().into(),
                false => frame.payload,
            };
            let length = payload.len();
            match frame.kind {
                Kind::ChannelOpen => {
                    let window = u32::from_be_bytes(payload.take_array().unwrap()) as usize;
                    let line = Line {
                        window,
                        ..Line::default()
                    };
                    assert!(self.channels.insert(frame.request, line).is_none());
                }
                Kind::Channel => {
                    let line = self.channels.get_mut(&frame.request).unwrap();
                    assert!(!line.ended, "a frame behind END");
                    if flags.contains(Flags::END) {
                        line.ended = true;
                    } else if !line.stopped {
                        line.held.push_back(HEADER + length);
                        line.came += length;
                        let held: usize = line.held.iter().sum();
                        assert!(held + line.taken <= line.window, "the window is passed");
                    }
                }
                Kind::ChannelCredit => {
                    let bytes = u32::from_be_bytes(payload.take_array().unwrap()) as usize;
                    let Some(line) = self.channels.get_mut(&frame.request) else {
                        continue;
                    };
                    line.outstanding = line.outstanding.checked_sub(bytes).unwrap();
                    if bytes == 0 && !line.done {
                        self.end(frame.request);
                    }
                }
                _ => {}
            }
            self.sweep(frame.request);
        }
    }

    fn put(&mut self, number: u32, kind: Kind, flags: Flags, payload: Vec<u8>) {
        let mut frame = Frame::control(kind, payload);
        frame.request = number;
        frame.flags = flags;
        frame.encode(&mut self.out);
    }

    fn end(&mut self, number: u32) {
        self.put(number, Kind::Channel, Flags::END, Vec::new());
        let line = self.channels.get_mut(&number).unwrap();
        line.queued = 0;
        line.done = true;
    }

    fn sweep(&mut self, number: u32) {
        if self
            .channels
            .get(&number)
            .is_some_and(|line| line.ended && line.done)
        {
            self.channels.remove(&number);
        }
    }

    /// Sends what the window takes, and returns what has been taken. Whether anything was done.
    fn work(&mut self, taking: bool) -> bool {
        let mut worked = false;
        let numbers: Vec<u32> = self.channels.keys().copied().collect();
        for number in numbers {
            let line = self.channels.get_mut(&number).unwrap();
            let size = line.queued.min(line.window / 8);
            if size > 0 && line.outstanding + HEADER + size <= line.window {
                line.queued -= size;
                line.outstanding += HEADER + size;
                line.sent += size;
                worked = true;
                self.put(number, Kind::Channel, Flags::NONE, vec![b'x'; size]);
            }
            let line = self.channels.get_mut(&number).unwrap();
            if taking && let Some(size) = line.held.pop_front() {
                line.taken += size;
                worked = true;
                if line.taken >= line.window / 4 && !line.stopped {
                    let taken = std::mem::take(&mut line.taken) as u32;
                    self.put(
                        number,
                        Kind::ChannelCredit,
                        Flags::NONE,
                        taken.to_be_bytes().to_vec(),
                    );
                }
            }
        }
        worked
    }
}

/// Any steps of both ends, then until nothing moves: everything must be over then.
fn any_order(tape: &mut Tape, steps: usize, room: usize, compress: bool) {
    let config = SessionConfig {
        compress,
        ..SessionConfig::default()
    };
    let mut session = Session::new(config, "hello");
    let mut peer = Peer {
        decoder: Decoder::new(Sender::Client, true),
        out: BytesMut::new(),
        channels: BTreeMap::new(),
    };
    Frame::control(Kind::StubHello, Bytes::from_static(b"hi")).encode(&mut peer.out);
    let mut ids: Vec<ChannelId> = Vec::new();
    let mut unread: BTreeMap<ChannelId, VecDeque<u64>> = BTreeMap::new();
    let mut closed = 0;
    let now = std::time::Instant::now();
    let mut carry = |session: &mut Session,
                     peer: &mut Peer,
                     unread: &mut BTreeMap<ChannelId, VecDeque<u64>>| {
        let mut out = Vec::new();
        let mut moved = session.poll_transmit(room, &mut out) > 0;
        for bytes in out {
            peer.receive(bytes);
        }
        let some = peer.out.len().min(room);
        moved |= some > 0;
        session.receive(peer.out.split_to(some).freeze()).unwrap();
        while let Some(event) = session.poll_event() {
            match event {
                Event::Channel {
                    id,
                    event: ChannelEvent::Data { payload, .. },
                } => unread
                    .entry(id)
                    .or_default()
                    .push_back((HEADER + payload.len()) as u64),
                Event::Channel {
                    event: ChannelEvent::Closed,
                    ..
                } => closed += 1,
                _ => {}
            }
        }
        moved
    };
    let take = |session: &mut Session, unread: &mut BTreeMap<ChannelId, VecDeque<u64>>| {
        let mut took = false;
        for (id, sizes) in unread.iter_mut() {
            if let Some(size) = sizes.pop_front() {
                session.channel_taken(*id, size);
                took = true;
            }
        }
        took
    };
    for _ in 0..steps {
        let id = ids.get(tape.next(8) % ids.len().max(1)).copied();
        let number = id.map_or(0, ChannelId::number);
        let known = peer.channels.contains_key(&number);
        match (tape.next(14), id) {
            (0, _) if ids.len() < 8 => {
                ids.push(session.open_channel(1 << (14 + tape.next(7))).unwrap());
            }
            (1 | 2, Some(id)) => {
                session.channel_send(id, vec![b'y'; tape.next(200) * 1000]);
            }
            (3, Some(id)) => {
                session.channel_has_room(id);
                take(&mut session, &mut unread);
            }
            (4, Some(id)) => session.channel_end(id, (tape.next(2) == 0).then_some("why")),
            (5, Some(id)) if tape.next(3) == 0 => session.channel_stop(id),
            (6, Some(id)) => {
                let mut request = Request::new(RequestKind::Call, ThreadTarget::Id(0), vec![1]);
                request.channels = vec![id];
                let call = session.submit(request, now).unwrap();
                if tape.next(2) == 0 {
                    session.cancel(call, CancelReason::Abandoned, now);
                }
            }
            (7, Some(_)) if known => {
                let line = peer.channels.get_mut(&number).unwrap();
                if !line.done {
                    line.queued += tape.next(200) * 1000;
                }
            }
            (8, Some(_)) if known && !peer.channels[&number].done => {
                peer.end(number);
                peer.sweep(number);
            }
            (9, Some(_)) if known && tape.next(3) == 0 => {
                let line = peer.channels.get_mut(&number).unwrap();
                if !line.stopped && !line.ended {
                    line.stopped = true;
                    peer.put(number, Kind::ChannelCredit, Flags::NONE, vec![0; 4]);
                }
            }
            (10, _) => {
                peer.work(tape.next(2) == 0);
            }
            _ => {
                carry(&mut session, &mut peer, &mut unread);
            }
        }
    }
    // Every direction is ended; then all that was sent must come through.
    let mut idle = 0;
    let mut ending = false;
    while idle < 3 {
        let mut moved = carry(&mut session, &mut peer, &mut unread);
        moved |= take(&mut session, &mut unread);
        moved |= peer.work(true);
        idle = if moved { 0 } else { idle + 1 };
        if idle == 3 && !ending {
            ending = true;
            idle = 0;
            for line in peer.channels.values() {
                assert_eq!(line.queued, 0, "the peer waits for room");
            }
            for id in &ids {
                assert!(session.channel_has_room(*id), "{id:?} waits for room");
                session.channel_end(*id, None);
            }
            let numbers: Vec<u32> = peer.channels.keys().copied().collect();
            for number in numbers {
                if !peer.channels[&number].done {
                    peer.end(number);
                }
                peer.sweep(number);
            }
        }
    }
    assert_eq!(session.open_channels(), 0);
    assert_eq!((peer.channels.len(), closed), (0, ids.len()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_order_of_sends_ends_and_stops_passes_a_window_or_hangs(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        room in prop_oneof![200usize..3000, 3000usize..300_000],
        compress: bool,
    ) {
        let steps = bytes.len();
        any_order(&mut Tape::new(bytes), steps, room, compress);
    }
}
