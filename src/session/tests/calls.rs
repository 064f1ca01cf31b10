//! Calls from submission to completion: kinds, numbers, payloads, refusals.

use bytes::Bytes;

use super::stub::{Pair, call, kinds, numbers};
use crate::session::ThreadTarget::Id;
use crate::session::{Outcome, Payload, Request, RequestKind, SessionConfig, SubmitError};
use crate::wire::{Flags, HEADER, Kind, split_buffers};

fn pair() -> Pair {
    Pair::new(SessionConfig::default())
}

#[test]
fn hello_goes_first_and_requests_right_behind_it() {
    let mut session = crate::session::Session::new(SessionConfig::default(), b"hello".to_vec());
    session
        .submit(call(Id(0), 4), std::time::Instant::now())
        .unwrap();
    let mut out = Vec::new();
    while session.poll_transmit(4096, &mut out) > 0 {}
    let bytes = out.concat();
    assert_eq!(bytes[2], Kind::Hello.code());
    assert_eq!(bytes[HEADER + 5 + 2], Kind::Call.code());
}

#[test]
fn a_call_is_sent_and_its_result_comes_back() {
    let mut pair = pair();
    let id = pair.call(Id(3), 4);
    let frames = pair.sent();
    assert_eq!(kinds(&frames), [Kind::Call]);
    assert_eq!((frames[0].request, frames[0].thread), (id.number(), 3));
    assert_eq!(frames[0].payload.to_vec(), [7; 4]);
    pair.result(id);
    let done = pair.completions();
    let [(done_id, Outcome::Result(value))] = &done[..] else {
        panic!("{done:?}")
    };
    assert_eq!(*done_id, id);
    assert_eq!(value.pickle.to_vec(), b"value");
    assert_eq!(pair.session.in_flight(), 0);
}

#[test]
fn every_kind_of_request_has_its_frame() {
    use RequestKind::*;
    let mut pair = pair();
    for kind in [Call, Method, Eval, Exec, Define, Run] {
        pair.submit(Request::new(kind, Id(0), vec![1]));
    }
    let codes: Vec<u8> = pair.sent().iter().map(|f| f.kind.code()).collect();
    assert_eq!(codes, [2, 3, 4, 5, 6, 7]);
}

#[test]
fn buffers_stand_behind_their_table_and_are_not_copied() {
    let mut pair = pair();
    let buffer = Bytes::from(vec![9; 300_000]);
    let mut request = call(Id(0), 0);
    request.payload = Payload {
        pickle: Bytes::from_static(b"pickle").into(),
        buffers: vec![buffer.clone(), Bytes::new()],
    };
    pair.submit(request);
    let mut out = Vec::new();
    while pair.session.poll_transmit(1 << 20, &mut out) > 0 {}
    let inside = out
        .iter()
        .filter(|piece| buffer.as_ptr_range().contains(&piece.as_ptr()))
        .map(Bytes::len)
        .sum::<usize>();
    assert!(
        inside > 290_000,
        "{inside} bytes were handed on as they are"
    );

    let mut pair = self::pair();
    let mut request = call(Id(0), 0);
    request.payload.pickle = Bytes::from_static(b"pickle").into();
    request.payload.buffers = vec![Bytes::from_static(b"one"), Bytes::new()];
    pair.submit(request);
    let frame = pair.sent().remove(0);
    assert_eq!(frame.flags, Flags::BUFFERS);
    let (pickle, buffers) = split_buffers(frame.payload).unwrap();
    assert_eq!(pickle.to_vec(), b"pickle");
    assert_eq!(buffers[0].to_vec(), b"one");
    assert!(buffers[1].is_empty());
}

#[test]
fn a_request_without_answer_completes_when_it_is_sent() {
    let mut pair = pair();
    let mut request = call(Id(0), 4);
    request.no_reply = true;
    let id = pair.submit(request);
    assert!(pair.completions().is_empty());
    assert_eq!(pair.sent()[0].flags, Flags::NO_REPLY);
    assert_eq!(pair.completions(), [(id, Outcome::Sent)]);
    assert_eq!(pair.session.in_flight(), 0);
}

#[test]
fn request_numbers_wrap_around_those_in_use() {
    let mut pair = pair();
    let held = pair.call(Id(0), 1);
    assert_eq!(held.number(), 1);
    pair.session.next_id = u64::from(u32::MAX);
    let last = pair.call(Id(0), 1);
    let next = pair.call(Id(0), 1);
    assert_eq!((last.number(), next.number()), (u32::MAX, 2));
    assert_eq!(numbers(&pair.sent()), [1, u32::MAX, 2]);
    // A number alone does not name a call: an old id does not reach the new holder of its number.
    pair.result(held);
    pair.session.next_id = (2 << 32) + 1;
    let again = pair.call(Id(0), 1);
    assert_eq!(again.number(), held.number());
    pair.session
        .cancel(held, crate::session::CancelReason::Abandoned, pair.now);
    assert_eq!(numbers(&pair.sent()), [1]);
    pair.result(again);
    assert_eq!(pair.results(), [held, again]);
}

#[test]
fn what_cannot_be_sent_is_refused_at_once() {
    let mut pair = pair();
    let now = pair.now;
    assert_eq!(
        pair.session.submit(call(Id(-1), 1), now),
        Err(SubmitError::BadThread(-1))
    );
    let mut request = call(Id(0), 1);
    request.payload.buffers = vec![Bytes::new(); 65_537];
    assert_eq!(
        pair.session.submit(request, now),
        Err(SubmitError::TooManyBuffers(65_537))
    );
    pair.session.start_close();
    assert_eq!(
        pair.session.submit(call(Id(0), 1), now),
        Err(SubmitError::Closed)
    );
    assert!(pair.completions().is_empty());
}
