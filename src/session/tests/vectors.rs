//! Runs the vectors of messages whose direction is `server` through a session.

use std::time::Instant;

use bytes::Bytes;

use crate::session::{
    CancelReason, ChannelEvent, ChannelId, Event, Outcome, Request, RequestKind, Session,
    SessionConfig, ThreadTarget,
};
use crate::wire::tests::vector::{Vector, load, unhex};
use crate::wire::{CHUNK, Sender};

fn session(vector: &Vector) -> Session {
    let given = vector.list("given");
    let bytes = |what: &str| {
        given
            .iter()
            .filter_map(|item| item.split_once(' '))
            .find(|(name, _)| *name == what)
            .map(|(_, bytes)| bytes.parse().unwrap())
    };
    let window = bytes("window").map(|bytes: u64| bytes as u32);
    let defaults = SessionConfig::default();
    let config = SessionConfig {
        compress: vector.get("compress") == "yes",
        output_window: window.unwrap_or(defaults.output_window),
        max_class_bytes: bytes("classes").unwrap_or(defaults.max_class_bytes),
        max_result: bytes("results").unwrap_or(defaults.max_result),
        ..defaults
    };
    let mut session = Session::new(config, Bytes::from_static(b"hello"));
    for item in given {
        let words: Vec<&str> = item.split(' ').collect();
        match words[..] {
            ["window" | "classes" | "results", _] => {}
            ["ping", payload] => session.ping(unhex(payload)),
            ["channel", number, window] => {
                let id = session.open_channel(window.parse().unwrap()).unwrap();
                assert_eq!(id.number().to_string(), number);
            }
            ["sent", number, length] => {
                let payload = vec![0; length.parse().unwrap()];
                assert!(session.channel_send(channel(number), payload));
            }
            ["ended", number] => session.channel_end(channel(number), None),
            [verb, number, ref rest @ ..] => {
                let thread = match rest {
                    ["thread", thread] => thread.parse().unwrap(),
                    _ => 0,
                };
                give(&mut session, verb, number.parse().unwrap(), thread);
            }
            _ => panic!("{}: given {item:?}", vector.path.display()),
        }
        if !item.starts_with("long") {
            while session.poll_transmit(usize::MAX, &mut Vec::new()) > 0 {}
        }
    }
    session
}

/// The channel of that number, which vectors count from 1.
fn channel(number: &str) -> ChannelId {
    let mut other = Session::new(SessionConfig::default(), "");
    (0..number.parse().unwrap())
        .map(|_| other.open_channel(0).unwrap())
        .last()
        .unwrap()
}

fn give(session: &mut Session, verb: &str, number: u32, thread: i32) {
    let now = Instant::now();
    let size = if verb == "long" { CHUNK * 3 } else { 4 };
    let mut request = Request::new(RequestKind::Call, ThreadTarget::Id(thread), vec![0; size]);
    request.no_reply = verb == "silent";
    let id = session.submit(request, now).unwrap();
    assert_eq!(id.number(), number, "vectors number their requests from 1");
    let mut out = Vec::new();
    match verb {
        "long" => assert!(
            session.poll_transmit(1, &mut out) > 0 && {
                // HELLO went first; one chunk, then the session is left alone.
                while out.iter().map(Bytes::len).sum::<usize>() < CHUNK {
                    assert!(session.poll_transmit(1, &mut out) > 0);
                }
                true
            }
        ),
        "cancelled" | "abandoned" => {
            while session.poll_transmit(usize::MAX, &mut out) > 0 {}
            let reason = match verb {
                "cancelled" => CancelReason::Cancelled,
                _ => CancelReason::Abandoned,
            };
            session.cancel(id, reason, now);
        }
        "call" | "silent" => {}
        other => panic!("given {other:?}"),
    }
}

fn told(event: Event) -> Option<String> {
    Some(match event {
        Event::Connected(hello) => format!("connected {}", hello.len()),
        Event::Completed { id, outcome } => {
            let number = id.number();
            match outcome {
                Outcome::Result(answer) => format!("result {number} {}", answer.pickle.len()),
                Outcome::Error(answer) => format!("error {number} {}", answer.pickle.len()),
                Outcome::Cancelled { error: Some(error) } => {
                    format!("cancelled {number} {}", error.pickle.len())
                }
                Outcome::Cancelled { error: None } => format!("cancelled {number}"),
                Outcome::TooLarge { .. } => format!("too-large {number}"),
                Outcome::Lost { .. } => format!("lost {number}"),
                // A request that wants no answer is done before the body begins.
                Outcome::Sent => return None,
                other => panic!("{other:?}"),
            }
        }
        Event::Output {
            stderr,
            request,
            data,
        } => {
            let stream = if stderr { "stderr" } else { "output" };
            format!("{stream} {request} {}", data.len())
        }
        Event::Class(payload) => format!("class {}", payload.len()),
        Event::Channel { id, event } => {
            let number = id.number();
            match event {
                ChannelEvent::Data { payload, more } => {
                    let more = if more { "part" } else { "whole" };
                    format!("channel {number} {more} {}", payload.len())
                }
                ChannelEvent::Ended(None) => format!("end {number}"),
                ChannelEvent::Ended(Some(reason)) => format!("end {number} {reason}"),
                ChannelEvent::Stopped => format!("unread {number}"),
                ChannelEvent::Closed => format!("free {number}"),
                ChannelEvent::Room => return None,
            }
        }
        Event::Pong(payload) => format!("pong {}", payload.len()),
        Event::Fatal { code, .. } => format!("fatal {code}").trim_end().to_owned(),
    })
}

#[test]
fn sessions_take_the_vectors_as_they_say() {
    let mut ran = 0;
    for vector in load("messages") {
        if vector.sender() != Sender::Stub {
            continue;
        }
        ran += 1;
        let name = vector.path.display();
        for size in [1, 16, usize::MAX] {
            let mut session = session(&vector);
            let mut events: Vec<String> = Vec::new();
            let mut fault = None;
            for piece in vector.pieces(size) {
                if let Err(error) = session.receive(piece) {
                    fault = Some(error.code());
                    break;
                }
            }
            if fault.is_none() {
                fault = session.receive_end().err().map(|error| error.code());
            }
            while let Some(event) = session.poll_event() {
                events.extend(told(event));
            }
            assert_eq!(events, vector.list("events"), "{name}");
            assert_eq!(fault, vector.fault(), "{name}");
            assert_eq!(session.in_flight(), 0, "{name}");
            assert!(session.is_closed(), "{name}");
        }
    }
    assert!(ran > 20, "only {ran} vectors ran");
}
