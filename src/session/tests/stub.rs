//! The other end in tests: decodes what a session sends, and encodes answers.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::session::{
    Event, Outcome, Request, RequestId, RequestKind, Session, SessionConfig, ThreadTarget,
};
use crate::wire::{Decoder, Flags, Frame, Kind, Sender};

/// A session and what reads its bytes at the other end.
pub struct Pair {
    pub session: Session,
    decoder: Decoder,
    pub now: Instant,
}

impl Pair {
    /// A session whose stub has said HELLO.
    pub fn new(config: SessionConfig) -> Pair {
        let mut pair = Pair {
            session: Session::new(config, Bytes::from_static(b"hello")),
            decoder: Decoder::new(Sender::Client, true),
            now: Instant::now(),
        };
        assert_eq!(kinds(&pair.sent()), [Kind::Hello]);
        pair.answer(Frame::control(Kind::StubHello, b"hi".to_vec()));
        let hello = Event::Connected(Bytes::from_static(b"hi"));
        assert_eq!(pair.session.poll_event(), Some(hello));
        pair
    }

    /// Submits a call of this many bytes.
    pub fn call(&mut self, thread: ThreadTarget, size: usize) -> RequestId {
        self.submit(call(thread, size))
    }

    pub fn submit(&mut self, request: Request) -> RequestId {
        self.session.submit(request, self.now).unwrap()
    }

    /// Everything that the session sends now, as frames.
    pub fn sent(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while self.transmit(100_000) > 0 {
            frames.extend(self.frames());
        }
        frames
    }

    /// What the session sends at once where there is room for `max` bytes.
    pub fn sent_once(&mut self, max: usize) -> Vec<Frame> {
        self.transmit(max);
        self.frames()
    }

    fn transmit(&mut self, max: usize) -> usize {
        let mut out = Vec::new();
        let sent = self.session.poll_transmit(max, &mut out);
        assert_eq!(sent, out.iter().map(Bytes::len).sum::<usize>());
        for piece in out {
            self.decoder.feed(piece);
        }
        sent
    }

    fn frames(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.decoder.next_frame().unwrap()).collect()
    }

    /// Hands one frame of the stub to the session.
    pub fn answer(&mut self, frame: Frame) {
        self.session.receive(encoded(&frame)).unwrap();
    }

    /// Hands the session a RESULT.
    pub fn result(&mut self, request: RequestId) {
        self.result_of(request, b"value");
    }

    /// Hands the session a RESULT with this payload.
    pub fn result_of(&mut self, request: RequestId, payload: &[u8]) {
        self.answer(reply(Kind::Result, request.number(), payload));
    }

    /// Gives window back for a thread.
    pub fn credit(&mut self, thread: i32, bytes: usize) {
        let mut frame = Frame::control(Kind::Credit, (bytes as u32).to_be_bytes().to_vec());
        frame.thread = thread;
        self.answer(frame);
    }

    /// The completions among the pending events.
    pub fn completions(&mut self) -> Vec<(RequestId, Outcome)> {
        let mut found = Vec::new();
        while let Some(event) = self.session.poll_event() {
            if let Event::Completed { id, outcome } = event {
                found.push((id, outcome));
            }
        }
        found
    }

    /// The calls that completed with a RESULT.
    pub fn results(&mut self) -> Vec<RequestId> {
        let done = self.completions();
        for (_, outcome) in &done {
            assert!(matches!(outcome, Outcome::Result(_)), "{outcome:?}");
        }
        done.into_iter().map(|(id, _)| id).collect()
    }
}

/// A call of this many bytes.
pub fn call(thread: ThreadTarget, size: usize) -> Request {
    Request::new(RequestKind::Call, thread, vec![7; size])
}

pub fn encoded(frame: &Frame) -> Bytes {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    bytes.freeze()
}

/// A frame that belongs to a request.
pub fn reply(kind: Kind, request: u32, payload: &[u8]) -> Frame {
    Frame {
        kind,
        flags: Flags::NONE,
        request,
        thread: 0,
        payload: payload.to_vec().into(),
    }
}

/// The kinds of these frames.
pub fn kinds(frames: &[Frame]) -> Vec<Kind> {
    frames.iter().map(|frame| frame.kind).collect()
}

/// The request numbers of these frames.
pub fn numbers(frames: &[Frame]) -> Vec<u32> {
    frames.iter().map(|frame| frame.request).collect()
}
