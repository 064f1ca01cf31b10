//! A session against a model of the stub, over pipes of a few bytes, in any order of events.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::model_stub::ModelStub;
use super::stub::call;
use crate::session::ThreadTarget::{Id, OneShot};
use crate::session::{
    CancelReason, Event, Outcome, Request, RequestId, Session, SessionConfig, ThreadTarget,
};

/// Decides what happens next: the bytes of a test case, and when they are used up a fixed sequence.
pub struct Tape {
    bytes: VecDeque<u8>,
    spare: u32,
}

impl Tape {
    pub fn new(bytes: Vec<u8>) -> Tape {
        Tape {
            bytes: bytes.into(),
            spare: 1,
        }
    }

    pub fn next(&mut self, below: usize) -> usize {
        let byte = self.bytes.pop_front().map_or_else(
            || {
                self.spare = self
                    .spare
                    .wrapping_mul(1_664_525)
                    .wrapping_add(1_013_904_223);
                (self.spare >> 16) as usize
            },
            usize::from,
        );
        byte % below
    }
}

struct World {
    session: Session,
    stub: ModelStub,
    to_stub: BytesMut,
    to_client: BytesMut,
    room: usize,
    now: std::time::Instant,
    submitted: Vec<RequestId>,
    silent: HashSet<RequestId>,
    done: HashMap<RequestId, Outcome>,
    output: u32,
    pings: usize,
    sizes: BTreeMap<u32, usize>,
}

impl World {
    fn new(room: usize, compress: bool) -> World {
        let config = SessionConfig {
            compress,
            output_window: 64,
            ..SessionConfig::default()
        };
        World {
            session: Session::new(config, b"hello".to_vec()),
            stub: ModelStub::new(64, compress),
            to_stub: BytesMut::new(),
            to_client: BytesMut::new(),
            room,
            now: std::time::Instant::now(),
            submitted: Vec::new(),
            silent: HashSet::new(),
            done: HashMap::new(),
            output: 0,
            pings: 0,
            sizes: BTreeMap::new(),
        }
    }

    fn submit(&mut self, mut request: Request, tape: &mut Tape) {
        if tape.next(4) == 0 {
            request.deadline = Some(self.now + Duration::from_millis(tape.next(2000) as u64));
        }
        let silent = request.no_reply;
        let size = request.payload.pickle.len();
        let id = self.session.submit(request, self.now).unwrap();
        self.sizes.insert(id.number(), size);
        self.submitted.push(id);
        if silent {
            self.silent.insert(id);
        }
    }

    /// One thing that a caller may do.
    fn act(&mut self, tape: &mut Tape) {
        let thread = match tape.next(5) {
            4 => OneShot,
            thread => Id(thread as i32),
        };
        let some = |tape: &mut Tape, ids: &[RequestId]| {
            ids.get(tape.next(256) % ids.len().max(1)).copied()
        };
        match tape.next(12) {
            0..=3 => self.submit(call(thread, tape.next(100)), tape),
            4 => self.submit(big(thread, tape), tape),
            5 => {
                let mut request = call(thread, tape.next(100));
                request.barrier = true;
                request.keeps = vec![tape.next(4) as u64];
                self.submit(request, tape);
            }
            6 => {
                let mut request = big(thread, tape);
                request.no_reply = true;
                self.submit(request, tape);
            }
            7 | 8 => {
                let reason = match tape.next(2) {
                    0 => CancelReason::Cancelled,
                    _ => CancelReason::Abandoned,
                };
                if let Some(id) = some(tape, &self.submitted) {
                    self.session.cancel(id, reason, self.now);
                }
            }
            9 => {
                self.now += Duration::from_millis(tape.next(256) as u64);
                self.session.handle_timeout(self.now);
            }
            10 => {
                self.session.release(tape.next(4) as u64, 1);
                self.session.stop_thread(tape.next(4) as i32);
            }
            _ => {
                self.session.ping(vec![tape.next(256) as u8]);
                self.pings += 1;
            }
        }
    }

    /// Moves what fits into the pipes. Returns whether anything moved.
    fn carry(&mut self) -> bool {
        let mut moved = false;
        if self.to_stub.len() < self.room {
            let mut out: Vec<Bytes> = Vec::new();
            moved |= self
                .session
                .poll_transmit(self.room - self.to_stub.len(), &mut out)
                > 0;
            for piece in out {
                self.to_stub.extend_from_slice(&piece);
            }
        }
        let some = self.to_stub.len().min(self.room);
        moved |= some > 0;
        self.stub.receive(self.to_stub.split_to(some).freeze());
        let some = self.stub.out.len().min(self.room - self.to_client.len());
        moved |= some > 0;
        let bytes = self.stub.out.split_to(some);
        self.to_client.extend_from_slice(&bytes);
        let some = self.to_client.len().min(self.room);
        moved |= some > 0;
        let bytes = self.to_client.split_to(some).freeze();
        self.session.receive(bytes).unwrap();
        self.note_events();
        moved
    }

    fn note_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Completed { id, outcome } => {
                    if let Outcome::Result(answer) = &outcome {
                        // The model answers with the request's number and the length that reached it.
                        let mut pickle = answer.pickle.to_vec();
                        pickle.truncate(12);
                        let mut expected = id.number().to_be_bytes().to_vec();
                        expected.extend((self.sizes[&id.number()] as u64).to_be_bytes());
                        assert_eq!(pickle, expected);
                    }
                    let before = self.done.insert(id, outcome);
                    assert_eq!(before, None, "{id:?} completed twice");
                }
                Event::Output { data, .. } => self.output += data.len() as u32,
                Event::Pong(_) => self.pings -= 1,
                Event::Connected(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Lets everything run to its end and checks that it came to one.
    fn finish(&mut self, tape: &mut Tape) {
        let mut idle = 0;
        while idle < 3 {
            let worked = self.stub.work(tape, true);
            self.session.output_consumed(self.output);
            self.output = 0;
            idle = if self.carry() || worked { 0 } else { idle + 1 };
        }
        for id in &self.submitted {
            assert!(self.done.contains_key(id), "{id:?} never completed");
        }
        assert_eq!(self.done.len(), self.submitted.len());
        assert_eq!(self.session.in_flight(), 0);
        assert_eq!(self.session.next_deadline(), None);
        assert_eq!(self.session.threads.queued(), 0);
        assert_eq!(self.pings, 0);
        self.stub.check_idle();
    }
}

fn big(thread: ThreadTarget, tape: &mut Tape) -> Request {
    call(thread, tape.next(256) * 8192)
}

/// Each case is a whole conversation, so fewer than usual; PROPTEST_CASES asks for more.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => default,
        None => ProptestConfig {
            cases: 48,
            ..default
        },
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_call_completes_once_whatever_happens_in_between(
        bytes in prop::collection::vec(any::<u8>(), 0..1200),
        room in prop_oneof![1usize..60, 60usize..40_000],
        compress in any::<bool>(),
    ) {
        // Large payloads through a pipe of a few bytes would take forever.
        let room = if bytes.len() > 200 { room.max(500) } else { room.max(7) };
        let mut tape = Tape::new(bytes);
        let mut world = World::new(room, compress);
        while !tape.bytes.is_empty() {
            match tape.next(3) {
                0 => world.act(&mut tape),
                1 => { world.stub.work(&mut tape, false); }
                _ => { world.carry(); }
            }
        }
        world.finish(&mut tape);
    }

    #[test]
    fn a_connection_lost_at_any_point_completes_every_call_once(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        garbled in any::<bool>(),
    ) {
        let mut tape = Tape::new(bytes);
        let mut world = World::new(2000, false);
        while !tape.bytes.is_empty() {
            match tape.next(3) {
                0 => world.act(&mut tape),
                1 => { world.stub.work(&mut tape, false); }
                _ => { world.carry(); }
            }
        }
        if garbled {
            // Whatever was under way ends first; then these are not a frame.
            let rest = world.to_client.split().freeze();
            world.session.receive(rest).unwrap();
            let out = world.stub.out.split().freeze();
            world.session.receive(out).unwrap();
            prop_assert!(world.session.receive(vec![0; 16].into()).is_err());
        } else {
            let _ = world.session.receive_end();
        }
        world.note_events();
        prop_assert_eq!(world.done.len(), world.submitted.len());
        prop_assert_eq!(world.session.in_flight(), 0);
    }

    #[test]
    fn no_bytes_of_a_stub_make_the_session_panic(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8),
        kinds in prop::collection::vec((0x3eu8..0x48, any::<u8>(), 0u32..4, -2i32..3), 0..20),
    ) {
        let mut world = World::new(100_000, true);
        let mut tape = Tape { bytes: VecDeque::new(), spare: 7 };
        for _ in 0..10 {
            world.act(&mut tape);
        }
        for _ in 0..2 {
            world.session.open_channel(0).unwrap();
        }
        world.carry();
        for (at, (kind, flags, request, thread)) in kinds.into_iter().enumerate() {
            let payload = pieces.get(at % pieces.len().max(1)).cloned().unwrap_or_default();
            let (kind, flags) = match kind {
                0x3e => (0x18, flags & 0x83),
                0x3f => (0x19, 0),
                0x40 => (0x10, flags & 0x47),
                kind => (kind, flags & 0x47),
            };
            let mut frame = vec![0x45, 0x43, kind, flags];
            frame.extend((payload.len() as u32).to_be_bytes());
            frame.extend(request.to_be_bytes());
            frame.extend(thread.to_be_bytes());
            frame.extend(payload);
            if world.session.receive(frame.into()).is_err() {
                break;
            }
        }
        let _ = world.session.receive_end();
        let mut done = HashSet::new();
        while let Some(event) = world.session.poll_event() {
            if let Event::Completed { id, .. } = event {
                prop_assert!(done.insert(id) && !world.done.contains_key(&id));
            }
        }
        prop_assert_eq!(done.len() + world.done.len(), world.submitted.len());
    }
}
