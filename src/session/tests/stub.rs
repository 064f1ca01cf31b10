//! The other end in tests: decodes what a session sends, and encodes answers.

use bytes::{Bytes, BytesMut};

use crate::session::{Event, Outcome, RequestId, Session, SessionConfig};
use crate::wire::{Decoder, Flags, Frame, Kind, Sender};

/// A session whose stub has said HELLO, and the stub's reader.
pub fn connected(config: SessionConfig) -> (Session, Decoder) {
    let mut session = Session::new(config, Bytes::from_static(b"hello"));
    let mut decoder = Decoder::new(Sender::Client, true);
    assert_eq!(
        sent(&mut session, &mut decoder)
            .iter()
            .map(|f| f.kind)
            .collect::<Vec<_>>(),
        [Kind::Hello]
    );
    answer(
        &mut session,
        Frame::control(Kind::StubHello, b"hi".to_vec()),
    );
    assert_eq!(
        session.poll_event(),
        Some(Event::Connected(Bytes::from_static(b"hi")))
    );
    (session, decoder)
}

/// Everything that the session sends now, as frames.
pub fn sent(session: &mut Session, decoder: &mut Decoder) -> Vec<Frame> {
    let mut out = Vec::new();
    while session.poll_transmit(100_000, &mut out) > 0 {}
    for piece in out {
        decoder.feed(piece);
    }
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next_frame().unwrap() {
        frames.push(frame);
    }
    frames
}

/// Hands one frame of the stub to the session.
pub fn answer(session: &mut Session, frame: Frame) {
    session.receive(encoded(&frame)).unwrap();
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

/// The completions among the pending events.
pub fn completions(session: &mut Session) -> Vec<(RequestId, Outcome)> {
    let mut found = Vec::new();
    while let Some(event) = session.poll_event() {
        if let Event::Completed { id, outcome } = event {
            found.push((id, outcome));
        }
    }
    found
}

/// The kinds of these frames.
pub fn kinds(frames: &[Frame]) -> Vec<Kind> {
    frames.iter().map(|frame| frame.kind).collect()
}
