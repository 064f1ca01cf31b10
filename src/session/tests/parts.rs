//! The parts of the stub: which goes in front of what and behind it, whatever is asked in whatever order (BS-10).

use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use super::model::Tape;

use crate::session::{
    CancelReason, Parts, Request, RequestKind, Session, SessionConfig, ThreadTarget,
};
use crate::wire::{Decoder, Flags, Frame, Header, Kind, Sender};

fn session(compress: bool) -> Session {
    let config = SessionConfig {
        compress,
        parts: Parts {
            requests: Bytes::from_static(b"requests"),
            calls: Bytes::from_static(b"calls"),
            control: Bytes::from_static(b"control"),
            channels: Bytes::from_static(b"channels"),
        },
        ..SessionConfig::default()
    };
    Session::new(config, "hi")
}

fn request(thread: ThreadTarget, size: usize) -> Request {
    Request::new(RequestKind::Call, thread, vec![b'x'; size])
}

/// What is sent now: kinds, or the texts of parts.
fn sent(session: &mut Session) -> Vec<String> {
    let mut out = Vec::new();
    while session.poll_transmit(1 << 20, &mut out) > 0 {}
    let mut decoder = Decoder::new(Sender::Client, true);
    for bytes in out {
        decoder.feed(bytes);
    }
    let mut found = Vec::new();
    while let Some(frame) = decoder.next_frame().unwrap() {
        found.push(match frame.kind {
            Kind::Part => String::from_utf8_lossy(&frame.payload.into_bytes()).into_owned(),
            kind => kind.name().to_owned(),
        });
    }
    found
}

fn greet(session: &mut Session) {
    let mut hello = bytes::BytesMut::new();
    Frame::control(Kind::StubHello, Bytes::from_static(b"hi")).encode(&mut hello);
    session.receive(hello.freeze()).unwrap();
}

#[test]
fn what_a_call_may_need_goes_straight_behind_it() {
    let mut session = session(false);
    for _ in 0..2 {
        session
            .submit(request(ThreadTarget::Id(0), 8), Instant::now())
            .unwrap();
    }
    assert_eq!(
        sent(&mut session),
        ["HELLO", "CALL", "CALL", "requests", "calls"]
    );
    greet(&mut session);
    session
        .submit(request(ThreadTarget::Id(1), 8), Instant::now())
        .unwrap();
    assert_eq!(sent(&mut session), ["CALL"]);
}

#[test]
fn without_a_request_it_goes_out_when_the_stub_has_greeted() {
    let mut session = session(false);
    assert_eq!(sent(&mut session), ["HELLO"]);
    session
        .submit(
            Request {
                plain: true,
                ..request(ThreadTarget::Id(0), 8)
            },
            Instant::now(),
        )
        .unwrap();
    assert_eq!(sent(&mut session), ["CALL"]);
    greet(&mut session);
    assert_eq!(sent(&mut session), ["requests", "calls"]);
}

#[test]
fn a_part_goes_in_front_of_what_needs_it() {
    let mut other_thread = session(false);
    other_thread
        .submit(request(ThreadTarget::OneShot, 8), Instant::now())
        .unwrap();
    let in_front = ["HELLO", "requests", "calls", "CALL"];
    assert_eq!(sent(&mut other_thread), in_front);
    let mut deflated = session(true);
    deflated
        .submit(request(ThreadTarget::Id(0), 8000), Instant::now())
        .unwrap();
    assert_eq!(sent(&mut deflated), in_front);
    let mut long = session(false);
    long.submit(request(ThreadTarget::Id(0), 200_000), Instant::now())
        .unwrap();
    assert_eq!(
        sent(&mut long),
        ["HELLO", "requests", "calls", "CALL", "control", "DATA"]
    );
    let mut given_up = session(false);
    given_up.release(1, 1);
    assert_eq!(
        sent(&mut given_up),
        ["HELLO", "requests", "calls", "control", "RELEASE"]
    );
    let mut stopped = session(false);
    stopped.stop_thread(1);
    assert_eq!(
        sent(&mut stopped),
        ["HELLO", "requests", "calls", "control", "STOP_THREAD"]
    );
    let mut opened = session(false);
    opened.open_channel(0).unwrap();
    assert_eq!(
        sent(&mut opened),
        [
            "HELLO",
            "requests",
            "calls",
            "control",
            "channels",
            "CHANNEL_OPEN"
        ]
    );
    let mut cancelled = session(false);
    let id = cancelled
        .submit(request(ThreadTarget::Id(0), 8), Instant::now())
        .unwrap();
    sent(&mut cancelled);
    cancelled.cancel(id, CancelReason::Cancelled, Instant::now());
    assert_eq!(sent(&mut cancelled), ["control", "CANCEL"]);
}

#[test]
fn an_end_needs_no_part_where_nothing_runs() {
    let mut idle = session(false);
    sent(&mut idle);
    idle.start_close();
    assert_eq!(sent(&mut idle), ["CLOSE"]);
    for no_reply in [true, false] {
        let mut busy = session(false);
        busy.submit(
            Request {
                no_reply,
                ..request(ThreadTarget::Id(0), 8)
            },
            Instant::now(),
        )
        .unwrap();
        sent(&mut busy);
        busy.start_close();
        assert_eq!(sent(&mut busy), ["control", "CLOSE"]);
    }
}

/// The part that must stand in front of a frame, by the table of spec/bootstrap.md; with `busy` a request may run.
fn needed(header: Header, busy: bool) -> &'static str {
    match header.kind {
        Kind::Data | Kind::Credit | Kind::Cancel | Kind::Release | Kind::StopThread => "control",
        Kind::ChannelOpen | Kind::Channel | Kind::ChannelCredit => "channels",
        Kind::Close if busy => "control",
        kind if kind.is_request()
            && (header.thread != 0
                || header.flags.contains(Flags::MORE)
                || header.flags.contains(Flags::DEFLATED)) =>
        {
            "calls"
        }
        _ => "",
    }
}

/// Takes some steps of a client with several threads, and reads along at the other end.
fn no_part_is_late(tape: &mut Tape, compress: bool) {
    let mut session = session(compress);
    let mut decoder = Decoder::new(Sender::Client, true);
    let (mut arrived, mut busy) = (Vec::new(), false);
    let mut ids = Vec::new();
    let mut now = Instant::now();
    for step in 0..40 {
        match tape.next(12) {
            0..=3 => {
                let thread = match tape.next(4) {
                    0 => ThreadTarget::OneShot,
                    n => ThreadTarget::Id(n as i32 - 1),
                };
                let size = [8, 300, 140_000, 400_000][tape.next(4)];
                let request = Request {
                    plain: tape.next(2) == 0,
                    no_reply: tape.next(4) == 0,
                    barrier: tape.next(6) == 0,
                    deadline: (tape.next(4) == 0).then(|| now + Duration::from_millis(50)),
                    ..request(thread, size)
                };
                ids.extend(session.submit(request, now));
            }
            4 if !ids.is_empty() => {
                let id = ids[tape.next(ids.len())];
                session.cancel(id, CancelReason::Abandoned, now);
            }
            5 => session.release(1, 1),
            6 => session.stop_thread(1 + tape.next(2) as i32),
            7 => session.ping(Bytes::new()),
            8 if step > 20 => session.start_close(),
            8 => {
                if let Ok(id) = session.open_channel(0) {
                    session.channel_send(id, vec![1; 100]);
                    session.channel_stop(id);
                }
            }
            9 => {
                now += Duration::from_millis(60);
                session.handle_timeout(now);
            }
            10 if step == 10 => greet(&mut session),
            _ => {}
        }
        let mut out = Vec::new();
        session.poll_transmit([1, 20, 1000, 100_000, 1 << 20][tape.next(5)], &mut out);
        for piece in out {
            decoder.feed(piece);
        }
        while let Some(frame) = decoder.next_frame().unwrap() {
            let header = frame.header();
            if frame.kind == Kind::Part {
                arrived.push(frame.payload.into_bytes());
                continue;
            }
            busy |= frame.kind.is_request();
            let needed = needed(header, busy);
            assert!(
                needed.is_empty() || arrived.iter().any(|part| part == needed),
                "{header:?} came before {needed}, behind {arrived:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_frame_goes_before_its_part(bytes in prop::collection::vec(any::<u8>(), 0..200), compress: bool) {
        no_part_is_late(&mut Tape::new(bytes), compress);
    }
}
