//! A model of the stub after spec/messages.md: windows, queues, cancellation, answers in chunks.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::{Bytes, BytesMut};

use super::model::Tape;
use crate::session::THREAD_WINDOW;
use crate::wire::{CHUNK, Decoder, Flags, Frame, HEADER, Kind, Sender, deflate, inflate};

#[derive(Default)]
struct Thread {
    queue: VecDeque<Frame>,
    // Bytes of this thread that C counts as outstanding, and the part that was taken and not returned.
    outstanding: usize,
    taken: usize,
    // The request that the thread has begun to take: its first frame, and bytes so far.
    joining: Option<(Frame, usize)>,
    running: Option<(u32, Flags, usize)>,
}

pub struct ModelStub {
    decoder: Decoder,
    pub out: BytesMut,
    threads: BTreeMap<i32, Thread>,
    // Frames of answers that are still to be sent; those of different requests mix.
    answers: Vec<VecDeque<Frame>>,
    // Requests that were received at least in part and not answered, and whether in full.
    known: HashMap<u32, (i32, Flags, bool)>,
    window: usize,
    output: usize,
    compress: bool,
}

impl ModelStub {
    pub fn new(window: usize, compress: bool) -> ModelStub {
        let mut out = BytesMut::new();
        Frame::control(Kind::StubHello, Bytes::from_static(b"hi")).encode(&mut out);
        ModelStub {
            decoder: Decoder::new(Sender::Client, compress),
            out,
            threads: BTreeMap::new(),
            answers: Vec::new(),
            known: HashMap::new(),
            window,
            output: 0,
            compress,
        }
    }

    pub fn receive(&mut self, bytes: Bytes) {
        self.decoder.feed(bytes);
        while let Some(frame) = self.decoder.next_frame().unwrap() {
            self.take(frame);
        }
    }

    pub fn check_idle(&self) {
        assert!(self.known.is_empty(), "{:?}", self.known);
        assert!(self.answers.is_empty());
        for (number, thread) in &self.threads {
            assert!(
                thread.queue.is_empty() && thread.running.is_none(),
                "{number}"
            );
            assert!(*number >= 0, "a one-shot thread is left");
        }
    }

    fn take(&mut self, frame: Frame) {
        let number = frame.request;
        match frame.kind {
            Kind::Hello | Kind::Release => {}
            Kind::Ping => Frame::control(Kind::Pong, frame.payload).encode(&mut self.out),
            Kind::Credit => {
                let mut payload = frame.payload;
                self.output -= u32::from_be_bytes(payload.take_array().unwrap()) as usize;
            }
            Kind::Cancel => self.cancel(number),
            Kind::StopThread => {
                if frame.thread != 0 && self.threads.contains_key(&frame.thread) {
                    self.threads
                        .entry(frame.thread)
                        .or_default()
                        .queue
                        .push_back(frame);
                }
            }
            kind => {
                let more = frame.flags.contains(Flags::MORE);
                if kind == Kind::Data {
                    let known = self
                        .known
                        .get_mut(&number)
                        .expect("DATA of a known request");
                    assert!(!known.2, "DATA behind the last chunk");
                    known.2 = !more;
                } else {
                    let entry = (frame.thread, frame.flags, !more);
                    let before = self.known.insert(number, entry);
                    assert!(number != 0 && before.is_none(), "{number} is in use");
                    if frame.flags.contains(Flags::ONE_SHOT) {
                        assert!(!frame.flags.contains(Flags::NO_REPLY) && frame.thread < 0);
                        assert!(!self.threads.contains_key(&frame.thread), "thread in use");
                    }
                }
                let thread = self.threads.entry(frame.thread).or_default();
                let size = HEADER + frame.payload.len();
                let whole = thread.outstanding + size;
                assert!(
                    thread.outstanding == 0 || whole <= THREAD_WINDOW as usize,
                    "window"
                );
                assert!(frame.payload.len() <= CHUNK);
                thread.outstanding = whole;
                thread.queue.push_back(frame);
            }
        }
    }

    fn cancel(&mut self, number: u32) {
        let Some((place, flags, _)) = self.known.get(&number).copied() else {
            return;
        };
        let thread = self.threads.get_mut(&place).unwrap();
        let mut dropped = 0;
        thread.queue.retain(|frame| {
            let own = frame.request == number && frame.kind != Kind::StopThread;
            if own {
                dropped += HEADER + frame.payload.len();
            }
            !own
        });
        thread.taken += dropped;
        if thread
            .joining
            .as_ref()
            .is_some_and(|(first, _)| first.request == number)
        {
            thread.joining = None;
        }
        if thread
            .running
            .is_some_and(|(running, ..)| running == number)
        {
            thread.running = None;
        }
        self.answer(number, place, flags, Kind::Error, b"cancelled".to_vec());
    }

    fn answer(&mut self, number: u32, place: i32, flags: Flags, kind: Kind, payload: Vec<u8>) {
        self.known.remove(&number);
        if flags.contains(Flags::ONE_SHOT) {
            self.threads.remove(&place);
        } else {
            self.give_back(place, false);
        }
        if flags.contains(Flags::NO_REPLY) {
            return;
        }
        let cut = payload.len().div_ceil(3).max(1);
        let pieces: Vec<&[u8]> = payload.chunks(cut).collect();
        let last = pieces.len() - 1;
        let frames = pieces.iter().enumerate().map(|(at, piece)| {
            let mut frame = Frame {
                kind: if at == 0 { kind } else { Kind::Data },
                flags: Flags::NONE.with_if(Flags::MORE, at < last),
                request: number,
                thread: place,
                payload: piece.to_vec().into(),
            };
            if self.compress
                && let Some(deflated) = deflate(&frame.payload)
            {
                frame.payload = deflated.into();
                frame.flags = frame.flags | Flags::DEFLATED;
            }
            frame
        });
        self.answers.push(frames.collect());
    }

    fn give_back(&mut self, place: i32, all: bool) {
        let Some(thread) = self.threads.get_mut(&place) else {
            return;
        };
        if thread.taken >= THREAD_WINDOW as usize / 4 || (all && thread.taken > 0) {
            let mut frame =
                Frame::control(Kind::Credit, (thread.taken as u32).to_be_bytes().to_vec());
            frame.thread = place;
            frame.encode(&mut self.out);
            thread.outstanding -= thread.taken;
            thread.taken = 0;
        }
    }

    /// Does one thing, or with `all` everything that can be done now. Returns whether there was any.
    pub fn work(&mut self, tape: &mut Tape, all: bool) -> bool {
        let mut worked = false;
        loop {
            let some = self.send_answer(tape) | self.print(tape) | self.step(tape);
            worked |= some;
            if !all || !some {
                return worked;
            }
        }
    }

    fn send_answer(&mut self, tape: &mut Tape) -> bool {
        if self.answers.is_empty() {
            return false;
        }
        let at = tape.next(256) % self.answers.len();
        if let Some(frame) = self.answers[at].pop_front() {
            frame.encode(&mut self.out);
        }
        if self.answers[at].is_empty() {
            self.answers.swap_remove(at);
        }
        true
    }

    fn print(&mut self, tape: &mut Tape) -> bool {
        let some = tape.next(40).min(self.window - self.output);
        // Only now and then: it would go on forever.
        if some == 0 || tape.next(8) != 0 {
            return false;
        }
        self.output += some;
        Frame::control(Kind::Output, vec![b'x'; some]).encode(&mut self.out);
        false
    }

    fn step(&mut self, tape: &mut Tape) -> bool {
        let busy: Vec<i32> = self
            .threads
            .iter()
            .filter(|(_, thread)| thread.running.is_some() || !thread.queue.is_empty())
            .map(|(number, _)| *number)
            .collect();
        if busy.is_empty() {
            return false;
        }
        let place = busy[tape.next(256) % busy.len()];
        let thread = self.threads.get_mut(&place).unwrap();
        if let Some((number, flags, length)) = thread.running.take() {
            let mut payload = number.to_be_bytes().to_vec();
            payload.extend((length as u64).to_be_bytes());
            payload.extend(vec![0; tape.next(256) * 300]);
            self.answer(number, place, flags, Kind::Result, payload);
            return true;
        }
        let frame = thread.queue.pop_front().unwrap();
        if frame.kind == Kind::StopThread {
            assert!(thread.joining.is_none(), "STOP_THREAD inside a message");
            self.give_back(place, true);
            return true;
        }
        thread.taken += HEADER + frame.payload.len();
        let last = !frame.flags.contains(Flags::MORE);
        let length = match frame.flags.contains(Flags::DEFLATED) {
            true => inflate(frame.payload.clone()).unwrap().len(),
            false => frame.payload.len(),
        };
        let (first, so_far) = match thread.joining.take() {
            Some((first, so_far)) => {
                assert_eq!((frame.kind, frame.request), (Kind::Data, first.request));
                (first, so_far + length)
            }
            None => {
                assert_ne!(frame.kind, Kind::Data, "DATA without its first frame");
                (frame, length)
            }
        };
        if last {
            thread.running = Some((first.request, first.flags, so_far));
        } else {
            thread.joining = Some((first, so_far));
        }
        self.give_back(place, false);
        true
    }
}
