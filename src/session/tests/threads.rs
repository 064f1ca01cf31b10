//! Where and when requests go out: threads, windows, turns, barriers.

use super::stub::{Pair, call, kinds, numbers, reply};
use crate::session::ThreadTarget::{Id, OneShot};
use crate::session::{MAX_ONE_SHOT, Outcome, SessionConfig, THREAD_WINDOW};
use crate::wire::{CHUNK, Flags, Frame, HEADER, Kind};

fn pair() -> Pair {
    Pair::new(SessionConfig::default())
}

#[test]
fn no_thread_is_sent_more_than_its_window() {
    let mut pair = pair();
    let big = pair.call(Id(0), 3 * THREAD_WINDOW as usize);
    let size =
        |frames: &[Frame]| -> usize { frames.iter().map(|f| HEADER + f.payload.len()).sum() };
    let first = size(&pair.sent());
    assert!(first <= THREAD_WINDOW as usize && first > THREAD_WINDOW as usize - CHUNK - HEADER);
    assert!(pair.sent().is_empty());
    // Other threads have windows of their own.
    let other = pair.call(Id(1), 10);
    assert_eq!(numbers(&pair.sent()), [other.number()]);
    let mut whole = first;
    while whole < 3 * THREAD_WINDOW as usize {
        pair.credit(0, CHUNK + HEADER);
        let more = size(&pair.sent());
        assert!(more > 0 && more <= CHUNK + HEADER);
        whole += more;
    }
    pair.result(big);
    assert_eq!(pair.results(), [big]);
}

#[test]
fn small_calls_fill_the_window_and_no_more() {
    let mut pair = pair();
    let ids: Vec<_> = (0..100_000).map(|_| pair.call(Id(0), 48)).collect();
    let mut at_stub = Vec::new();
    let mut done = 0;
    loop {
        let frames = pair.sent();
        assert!(frames.len() * 64 <= THREAD_WINDOW as usize);
        if frames.is_empty() {
            break;
        }
        pair.credit(0, frames.len() * 64);
        for number in numbers(&frames) {
            pair.answer(reply(Kind::Result, number, b""));
        }
        at_stub.extend(numbers(&frames));
        done += pair.results().len();
    }
    assert_eq!(
        at_stub,
        ids.iter().map(|id| id.number()).collect::<Vec<_>>()
    );
    assert_eq!(done, ids.len());
}

#[test]
fn a_small_call_does_not_wait_behind_a_large_one() {
    let mut pair = pair();
    pair.call(Id(0), 900_000);
    assert_eq!(pair.sent_once(1).len(), 1);
    let small = pair.call(Id(1), 10);
    let mut before = 0;
    while !numbers(&pair.sent_once(1)).contains(&small.number()) {
        before += 1;
    }
    assert!(before <= 1, "{before} chunks went before it");
}

#[test]
fn one_shot_threads_have_numbers_of_their_own_and_are_bounded() {
    let mut pair = pair();
    let ids: Vec<_> = (0..MAX_ONE_SHOT + 10)
        .map(|_| pair.call(OneShot, 1))
        .collect();
    let frames = pair.sent();
    assert_eq!(frames.len(), MAX_ONE_SHOT);
    let mut threads: Vec<i32> = frames.iter().map(|f| f.thread).collect();
    assert!(threads.iter().all(|thread| *thread < 0));
    threads.sort_unstable();
    threads.dedup();
    assert_eq!(threads.len(), MAX_ONE_SHOT);
    assert!(frames.iter().all(|f| f.flags == Flags::ONE_SHOT));
    pair.result(ids[5]);
    let next = pair.sent();
    assert_eq!(numbers(&next), [ids[MAX_ONE_SHOT].number()]);
    assert_eq!(next[0].thread, frames[5].thread);
}

#[test]
fn a_silent_one_shot_call_asks_for_its_answer_and_passes_it_over() {
    let mut pair = pair();
    let mut request = call(OneShot, 1);
    request.no_reply = true;
    let id = pair.submit(request);
    assert_eq!(pair.sent()[0].flags, Flags::ONE_SHOT);
    assert_eq!(pair.completions(), [(id, Outcome::Sent)]);
    assert_eq!(pair.session.in_flight(), 1);
    pair.result(id);
    assert!(pair.completions().is_empty());
    assert_eq!(pair.session.in_flight(), 0);
}

#[test]
fn a_barrier_holds_other_threads_back() {
    let mut pair = pair();
    let before = pair.call(Id(1), 1);
    let mut define = call(Id(0), 1);
    define.barrier = true;
    let define = pair.submit(define);
    let own = pair.call(Id(0), 1);
    let other = pair.call(Id(1), 1);
    let single = pair.call(OneShot, 1);
    let mut sent = numbers(&pair.sent());
    sent.sort_unstable();
    assert_eq!(sent, [before.number(), define.number(), own.number()]);
    pair.result(define);
    let mut sent = numbers(&pair.sent());
    sent.sort_unstable();
    assert_eq!(sent, [other.number(), single.number()]);
}

#[test]
fn barriers_of_several_threads_follow_each_other() {
    let mut pair = pair();
    let barrier = |thread| {
        let mut request = call(thread, 1);
        request.barrier = true;
        request
    };
    let first = pair.submit(barrier(Id(1)));
    let second = pair.submit(barrier(OneShot));
    let third = pair.submit(barrier(Id(1)));
    let last = pair.call(Id(2), 1);
    for expected in [first, second, third, last] {
        assert_eq!(numbers(&pair.sent()), [expected.number()]);
        pair.result(expected);
    }
    assert_eq!(pair.results().len(), 4);
}

#[test]
fn a_cancelled_barrier_holds_no_call_back() {
    let mut pair = pair();
    let mut request = call(Id(0), 1);
    request.barrier = true;
    let barrier = pair.submit(request);
    let other = pair.call(Id(1), 1);
    pair.session
        .cancel(barrier, crate::session::CancelReason::Cancelled, pair.now);
    assert_eq!(numbers(&pair.sent()), [other.number()]);
}

#[test]
fn stop_thread_goes_behind_the_requests_of_its_thread() {
    let mut pair = pair();
    pair.call(Id(1), 2 * THREAD_WINDOW as usize);
    pair.session.stop_thread(1);
    pair.session.stop_thread(0);
    let again = pair.call(Id(1), 1);
    assert!(!kinds(&pair.sent()).contains(&Kind::StopThread));
    pair.credit(1, CHUNK + HEADER);
    let mut kinds_after = Vec::new();
    loop {
        let frames = pair.sent();
        if frames.is_empty() {
            break;
        }
        for frame in &frames {
            kinds_after.push((frame.kind, frame.thread));
        }
        let data: usize = frames
            .iter()
            .filter(|f| f.kind != Kind::StopThread)
            .map(|f| HEADER + f.payload.len())
            .sum();
        pair.credit(1, data);
    }
    let stops: Vec<_> = kinds_after
        .iter()
        .filter(|(kind, _)| *kind == Kind::StopThread)
        .collect();
    assert_eq!(stops, [&(Kind::StopThread, 1)]);
    assert_eq!(
        kinds_after.last(),
        Some(&(Kind::Call, 1)),
        "{again:?} is last"
    );
}

#[test]
fn control_frames_overtake_requests() {
    let mut pair = pair();
    pair.call(Id(0), 800_000);
    assert_eq!(pair.sent_once(1).len(), 1);
    pair.session.ping(b"?".to_vec());
    assert_eq!(kinds(&pair.sent_once(1 << 20))[0], Kind::Ping);
}

#[test]
fn a_dropped_call_in_a_queue_does_not_stand_for_the_next_holder_of_its_number() {
    let mut pair = pair();
    let large = pair.call(Id(0), 2 * THREAD_WINDOW as usize);
    let dropped = pair.call(Id(0), 1);
    let sent: usize = pair.sent().iter().map(|f| HEADER + f.payload.len()).sum();
    let cancel = crate::session::CancelReason::Abandoned;
    pair.session.cancel(dropped, cancel, pair.now);
    pair.session.cancel(large, cancel, pair.now);
    pair.session.next_id = (1 << 32) + u64::from(dropped.number());
    let mut barrier = call(Id(2), 1);
    barrier.barrier = true;
    let barrier = pair.session.submit(barrier, pair.now).unwrap();
    assert_eq!(barrier.number(), dropped.number());
    pair.session.next_id = (1 << 32) + 100;
    pair.credit(0, sent);
    let places: Vec<(Kind, i32)> = pair.sent().iter().map(|f| (f.kind, f.thread)).collect();
    assert_eq!(places, [(Kind::Cancel, 0), (Kind::Call, 2)]);
    // All of its window is with its own thread.
    pair.credit(2, HEADER + 1);
    assert!(pair.session.threads.by_number.is_empty());
}
