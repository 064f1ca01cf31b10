//! Calls that do not end by an answer, references given up, output, and the end of the session.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::stub::{Pair, call, encoded, kinds, numbers, reply};
use crate::session::ThreadTarget::{Id, OneShot};
use crate::session::{CancelReason, Event, Outcome, Session, SessionConfig, THREAD_WINDOW};
use crate::wire::{CHUNK, Frame, HEADER, Kind};

const GRACE: Duration = crate::session::CANCEL_GRACE;

fn pair() -> Pair {
    Pair::new(SessionConfig::default())
}

fn with_deadline(pair: &mut Pair, size: usize) -> crate::session::RequestId {
    let mut request = call(Id(0), size);
    request.deadline = Some(pair.now + Duration::from_secs(1));
    pair.submit(request)
}

#[test]
fn a_call_that_was_not_sent_is_dropped_without_a_frame() {
    let mut pair = pair();
    let first = pair.call(Id(0), 1);
    let dropped = with_deadline(&mut pair, 1);
    let single = pair.call(OneShot, 1);
    pair.session
        .cancel(first, CancelReason::Cancelled, pair.now);
    pair.session
        .cancel(single, CancelReason::Abandoned, pair.now);
    assert_eq!(
        pair.completions(),
        [
            (first, Outcome::Cancelled { error: None }),
            (single, Outcome::Cancelled { error: None })
        ]
    );
    pair.session
        .handle_timeout(pair.now + Duration::from_secs(2));
    assert_eq!(
        pair.completions(),
        [(dropped, Outcome::TimedOut { error: None })]
    );
    assert!(pair.sent().is_empty());
    assert_eq!(pair.session.in_flight(), 0);
    assert_eq!(pair.session.next_deadline(), None);
}

#[test]
fn a_call_that_runs_past_its_deadline_tells_where_it_stood() {
    let mut pair = pair();
    let id = with_deadline(&mut pair, 1);
    pair.sent();
    let deadline = pair.session.next_deadline().unwrap();
    assert_eq!(deadline, pair.now + Duration::from_secs(1));
    pair.session
        .handle_timeout(deadline - Duration::from_millis(1));
    assert!(pair.sent().is_empty());
    pair.session.handle_timeout(deadline);
    let frames = pair.sent();
    assert_eq!(
        (kinds(&frames), numbers(&frames)),
        (vec![Kind::Cancel], vec![id.number()])
    );
    assert!(pair.completions().is_empty());
    assert_eq!(pair.session.next_deadline(), Some(deadline + GRACE));
    pair.answer(reply(Kind::Error, id.number(), b"stack"));
    let done = pair.completions();
    let [(_, Outcome::TimedOut { error: Some(error) })] = &done[..] else {
        panic!("{done:?}")
    };
    assert_eq!(error.pickle.to_vec(), b"stack");
    assert_eq!(pair.session.next_deadline(), None);
}

#[test]
fn a_call_that_does_not_answer_its_cancel_is_given_up() {
    let mut pair = pair();
    let id = with_deadline(&mut pair, 1);
    pair.sent();
    let deadline = pair.session.next_deadline().unwrap();
    pair.session.handle_timeout(deadline);
    pair.session.handle_timeout(deadline + GRACE);
    assert_eq!(
        pair.completions(),
        [(id, Outcome::TimedOut { error: None })]
    );
    // The number stays in use until the answer, which is not read.
    assert_eq!(pair.session.in_flight(), 1);
    pair.result(id);
    assert!(pair.completions().is_empty());
    assert_eq!(pair.session.in_flight(), 0);
}

#[test]
fn an_answer_under_way_when_the_call_is_given_up_is_not_kept() {
    let mut pair = pair();
    let id = pair.call(Id(0), 1);
    pair.sent();
    let mut first = reply(Kind::Result, id.number(), b"half");
    first.flags = crate::wire::Flags::MORE;
    pair.answer(first.clone());
    let held = |pair: &Pair| {
        pair.session.calls[&id.number()]
            .answer
            .as_ref()
            .unwrap()
            .held()
    };
    assert_eq!(held(&pair), 4);
    pair.session.cancel(id, CancelReason::Abandoned, pair.now);
    assert_eq!(held(&pair), 0);
    first.kind = Kind::Data;
    pair.answer(first);
    assert_eq!(held(&pair), 0);
    assert_eq!(
        pair.completions(),
        [(id, Outcome::Cancelled { error: None })]
    );
    pair.answer(reply(Kind::Data, id.number(), b"rest"));
    assert!(pair.completions().is_empty());
    assert_eq!(pair.session.in_flight(), 0);
}

#[test]
fn a_second_cancel_can_only_make_it_shorter() {
    let mut pair = pair();
    let id = pair.call(Id(0), 1);
    pair.sent();
    for reason in [
        CancelReason::Cancelled,
        CancelReason::Cancelled,
        CancelReason::Abandoned,
        CancelReason::Abandoned,
    ] {
        pair.session.cancel(id, reason, pair.now);
    }
    assert_eq!(kinds(&pair.sent()), [Kind::Cancel]);
    assert_eq!(
        pair.completions(),
        [(id, Outcome::Cancelled { error: None })]
    );
    assert_eq!(pair.session.next_deadline(), None);
}

#[test]
fn a_message_under_way_ends_with_its_cancel() {
    let mut pair = pair();
    let id = pair.call(Id(0), 2 * THREAD_WINDOW as usize);
    let behind = pair.call(Id(0), 1);
    let sent: usize = pair.sent().iter().map(|f| HEADER + f.payload.len()).sum();
    pair.session.cancel(id, CancelReason::Cancelled, pair.now);
    assert_eq!(
        pair.completions(),
        [(id, Outcome::Cancelled { error: None })]
    );
    let frames = pair.sent();
    assert_eq!(
        kinds(&frames),
        [Kind::Cancel, Kind::Call],
        "no DATA follows"
    );
    assert_eq!(numbers(&frames), [id.number(), behind.number()]);
    pair.credit(0, sent);
    assert_eq!(
        pair.session.in_flight(),
        2,
        "the number is in use until the answer"
    );
    pair.answer(reply(Kind::Error, id.number(), b"cancelled"));
    pair.result(behind);
    assert_eq!(pair.results(), [behind]);
    assert_eq!(pair.session.in_flight(), 0);
}

#[test]
fn a_silent_message_under_way_ends_with_its_cancel_and_no_answer() {
    let mut pair = pair();
    let mut request = call(Id(0), 3 * CHUNK);
    request.no_reply = true;
    let id = pair.submit(request);
    assert_eq!(pair.sent_once(1).len(), 1);
    pair.session.cancel(id, CancelReason::Cancelled, pair.now);
    assert_eq!(kinds(&pair.sent()), [Kind::Cancel]);
    assert_eq!(
        pair.completions(),
        [(id, Outcome::Cancelled { error: None })]
    );
    assert_eq!(pair.session.in_flight(), 0);
}

#[test]
fn a_release_waits_for_the_requests_that_name_the_object() {
    let mut pair = pair();
    let mut request = call(Id(0), 1);
    request.keeps = vec![5, 6];
    request.no_reply = true;
    let id = pair.submit(request);
    pair.session.release(5, 2);
    pair.session.release(9, 1);
    pair.session.release(9, 3);
    let frames = pair.sent();
    assert_eq!(kinds(&frames), [Kind::Release, Kind::Call]);
    let mut expected = 9u64.to_be_bytes().to_vec();
    expected.extend(4u32.to_be_bytes());
    assert_eq!(frames[0].payload.to_vec(), expected);
    pair.session.release(5, 1);
    assert!(pair.sent().is_empty());
    assert_eq!(pair.completions(), [(id, Outcome::Sent)]);
    pair.result(id);
    let frames = pair.sent();
    let mut expected = 5u64.to_be_bytes().to_vec();
    expected.extend(3u32.to_be_bytes());
    assert_eq!(frames[0].payload.to_vec(), expected);
    assert_eq!(frames.len(), 1);
}

#[test]
fn many_releases_go_in_few_frames() {
    let mut pair = pair();
    for oid in 0..200_000 {
        pair.session.release(oid, 1);
    }
    let frames = pair.sent();
    assert_eq!(frames.len(), 3);
    let entries: usize = frames.iter().map(|f| f.payload.len() / 12).sum();
    assert_eq!(entries, 200_000);
    assert!(pair.sent().is_empty());
}

#[test]
fn output_is_returned_by_the_quarter_of_its_window() {
    let mut pair = Pair::new(SessionConfig {
        output_window: 1000,
        ..SessionConfig::default()
    });
    for _ in 0..10 {
        pair.answer(reply(Kind::Output, 0, &[b'x'; 100]));
    }
    pair.session.output_consumed(200);
    assert!(pair.sent().is_empty());
    pair.session.output_consumed(100);
    let frames = pair.sent();
    assert_eq!(kinds(&frames), [Kind::Credit]);
    assert_eq!(frames[0].payload.to_vec(), 300u32.to_be_bytes());
    assert_eq!((frames[0].request, frames[0].thread), (0, 0));
    pair.answer(reply(Kind::Output, 0, &[b'x'; 300]));
    let over = encoded(&reply(Kind::Output, 0, b"x"));
    assert_eq!(pair.session.receive(over).unwrap_err().code(), "window");
}

#[test]
fn a_lost_connection_completes_every_call_once() {
    let mut pair = pair();
    let answered = pair.call(Id(0), 1);
    let waiting = pair.call(Id(0), 1);
    let timed_out = with_deadline(&mut pair, 1);
    let abandoned = pair.call(Id(0), 1);
    let partly = pair.call(Id(1), 2 * THREAD_WINDOW as usize);
    pair.sent();
    let queued = pair.call(Id(1), 1);
    pair.result(answered);
    pair.session
        .cancel(abandoned, CancelReason::Abandoned, pair.now);
    pair.session
        .handle_timeout(pair.now + Duration::from_secs(1));
    pair.session.fail_all();
    pair.session.fail_all();
    let mut done = pair.completions();
    done.sort_by_key(|(id, _)| *id);
    let outcomes: Vec<_> = done
        .iter()
        .map(|(id, outcome)| match outcome {
            Outcome::Result(_) => (*id, "result"),
            Outcome::Lost { sent: true } => (*id, "lost"),
            Outcome::Lost { sent: false } => (*id, "never sent"),
            Outcome::TimedOut { .. } => (*id, "timed out"),
            Outcome::Cancelled { .. } => (*id, "cancelled"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            (answered, "result"),
            (waiting, "lost"),
            (timed_out, "timed out"),
            (abandoned, "cancelled"),
            (partly, "never sent"),
            (queued, "never sent"),
        ]
    );
    assert!(pair.sent().is_empty());
    assert_eq!(pair.session.next_deadline(), None);
}

#[test]
fn closing_in_order_drops_what_was_not_sent_and_takes_answers() {
    let mut pair = pair();
    let waiting = pair.call(Id(0), 1);
    pair.sent();
    let queued = pair.call(Id(0), 1);
    pair.session.start_close();
    pair.session.start_close();
    assert_eq!(
        pair.completions(),
        [(queued, Outcome::Lost { sent: false })]
    );
    assert_eq!(kinds(&pair.sent()), [Kind::Close]);
    // A CREDIT that crossed the CLOSE is not an error.
    pair.credit(0, 17);
    pair.result(waiting);
    assert_eq!(pair.results(), [waiting]);
    pair.session.receive_end().unwrap();
    assert!(pair.completions().is_empty());
}

#[test]
fn fatal_ends_the_session_with_its_reason() {
    let mut pair = pair();
    let id = pair.call(Id(0), 1);
    pair.sent();
    pair.answer(Frame::control(Kind::Fatal, b"window: too much".to_vec()));
    assert_eq!(
        pair.session.poll_event(),
        Some(Event::Fatal {
            code: "window".to_owned(),
            text: "too much".to_owned()
        })
    );
    assert_eq!(pair.completions(), [(id, Outcome::Lost { sent: true })]);
    assert!(pair.session.receive(vec![0; 100].into()).is_ok());
    assert!(pair.sent().is_empty());
}

#[test]
fn dropped_calls_leave_nothing_behind_in_the_queues() {
    let mut pair = pair();
    let first = pair.call(Id(0), 2 * THREAD_WINDOW as usize);
    pair.sent();
    for round in 0..10_000 {
        let thread = if round % 2 == 0 { Id(0) } else { OneShot };
        let id = pair.call(thread, 1);
        pair.session.cancel(id, CancelReason::Abandoned, pair.now);
    }
    assert!(pair.session.threads.queued() < 200);
    assert_eq!(pair.session.in_flight(), 1);
    assert_eq!(pair.completions().len(), 10_000);
    pair.session
        .cancel(first, CancelReason::Abandoned, pair.now);
    assert_eq!(kinds(&pair.sent()), [Kind::Cancel]);
}

#[test]
fn nothing_after_a_fault_is_read() {
    let mut pair = pair();
    let first = pair.call(Id(0), 1);
    let second = pair.call(Id(0), 1);
    pair.sent();
    let mut bytes = encoded(&reply(Kind::Result, first.number(), b"value")).to_vec();
    bytes.extend(encoded(&reply(Kind::Data, second.number(), b"stray")));
    bytes.extend(encoded(&reply(Kind::Result, second.number(), b"value")));
    let error = pair.session.receive(bytes.into()).unwrap_err();
    assert_eq!(error.code(), "malformed");
    let done = pair.completions();
    assert!(matches!(done[0], (id, Outcome::Result(_)) if id == first));
    assert_eq!(done[1..], [(second, Outcome::Lost { sent: true })]);
    let late = encoded(&reply(Kind::Result, second.number(), b"value"));
    assert_eq!(pair.session.receive(late), Ok(()));
    assert!(pair.completions().is_empty());
    assert!(pair.session.is_closed());
}

#[test]
fn a_session_starts_over_only_while_nothing_but_hello_was_taken() {
    let mut session = Session::new(SessionConfig::default(), Bytes::from_static(b"hello"));
    let take = |session: &mut Session, max: usize| {
        let mut out = Vec::new();
        session.poll_transmit(max, &mut out);
        out.concat()
    };
    // Whole, in part, or not at all: after it comes what follows, once.
    let hello = encoded(&Frame::control(Kind::Hello, b"hello".to_vec()));
    for taken in [hello.len(), 3, 0] {
        assert_eq!(take(&mut session, taken), hello[..taken]);
        assert!(session.restart());
    }
    session.submit(call(Id(0), 1), Instant::now()).unwrap();
    assert_eq!(take(&mut session, hello.len()), *hello);
    // The call waits yet, so it cannot have run.
    assert!(session.restart());
    let all = take(&mut session, 100_000);
    assert!(all.starts_with(&hello) && all.len() > hello.len());
    assert!(!session.restart());
    assert!(take(&mut session, 100_000).is_empty());

    let mut greeted = pair();
    assert!(!greeted.session.restart());
}
