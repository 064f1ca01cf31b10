//! What a stub may send, and how much of it is kept (ME-12, ME-25, ME-26).

use bytes::Bytes;

use super::stub::{Pair, reply};
use crate::session::ThreadTarget::Id;
use crate::session::{
    Event, MAX_CLASSES, MAX_FATAL, MAX_HELLO, Outcome, RequestId, Session, SessionConfig,
};
use crate::wire::{Flags, Frame, Kind};

#[test]
fn an_answer_over_the_limit_is_that_calls_error_and_is_not_kept() {
    let mut pair = Pair::new(SessionConfig {
        max_result: 4,
        ..SessionConfig::default()
    });
    let too_large = Outcome::TooLarge { limit: 4 };
    for kind in [Kind::Result, Kind::Error] {
        let ids = [pair.call(Id(0), 1), pair.call(Id(0), 1)];
        pair.sent();
        let whole = |id: RequestId, payload| reply(kind, id.number(), payload);
        pair.answer(whole(ids[0], b"value"));
        assert_eq!(pair.completions(), [(ids[0], too_large.clone())]);
        // The rest is dropped as it comes, also where it cannot be inflated.
        let mut frame = whole(ids[1], b"val");
        frame.flags = Flags::MORE;
        pair.answer(frame.clone());
        assert!(pair.completions().is_empty());
        frame.kind = Kind::Data;
        pair.answer(frame.clone());
        assert_eq!(pair.completions(), [(ids[1], too_large.clone())]);
        for _ in 0..10 {
            pair.answer(frame.clone());
        }
        assert_eq!(pair.session.in_flight(), 1);
        assert_eq!(pair.session.held_of_answers(), 0);
        frame.flags = Flags::NONE;
        pair.answer(frame);
        assert_eq!(pair.session.in_flight(), 0);
    }
    let next = pair.call(Id(0), 1);
    pair.sent();
    pair.result_of(next, b"four");
    assert_eq!(pair.results(), [next]);
}

#[test]
fn answers_under_way_share_the_limit() {
    let mut pair = Pair::new(SessionConfig {
        max_result: 10,
        ..SessionConfig::default()
    });
    let ids: Vec<_> = (0..3).map(|_| pair.call(Id(0), 1)).collect();
    pair.sent();
    let chunk = |id: &RequestId, kind, flags| {
        let mut frame = reply(kind, id.number(), b"four");
        frame.flags = flags;
        frame
    };
    for id in &ids {
        pair.answer(chunk(id, Kind::Result, Flags::MORE));
    }
    let too_large = Outcome::TooLarge { limit: 10 };
    assert_eq!(pair.completions(), [(ids[2], too_large)]);
    assert_eq!(pair.session.held_of_answers(), 8);
    for id in &ids {
        pair.answer(chunk(id, Kind::Data, Flags::NONE));
    }
    assert_eq!(pair.results(), ids[..2]);
    assert_eq!(pair.session.held_of_answers(), 0);
}

#[test]
fn answers_that_nobody_has_taken_share_the_limit() {
    let mut pair = Pair::new(SessionConfig {
        max_result: 1_000_000,
        ..SessionConfig::default()
    });
    let ids: Vec<_> = (0..6).map(|_| pair.call(Id(0), 1)).collect();
    pair.sent();
    let large = vec![b'x'; 400_000];
    let mut held = Vec::new();
    for (place, id) in ids[..3].iter().enumerate() {
        pair.result_of(*id, &large);
        let done = pair.completions();
        let expected = matches!(done[..], [(_, Outcome::Result(_))]);
        assert_eq!(expected, place < 2, "{place}");
        if place == 2 {
            let limit = 1_000_000;
            assert_eq!(done[0].1, Outcome::TooLarge { limit });
        }
        held.extend(done);
    }
    // A small one is taken all the same.
    pair.result_of(ids[3], &large[..65_536]);
    held.extend(pair.completions());
    assert!(matches!(held[3].1, Outcome::Result(_)));
    // A copy is the owner's own affair.
    let copy = held.remove(0);
    let again = copy.clone();
    drop(copy);
    pair.result_of(ids[4], &large);
    assert_eq!(pair.results(), [ids[4]]);
    drop((again, held));
    pair.result_of(ids[5], &vec![b'x'; 1_000_000]);
    assert_eq!(pair.results(), [ids[5]]);
}

#[test]
fn what_is_inflated_counts() {
    let mut pair = Pair::new(SessionConfig {
        compress: true,
        max_result: 100_000,
        ..SessionConfig::default()
    });
    let id = pair.call(Id(0), 1);
    pair.sent();
    let bomb = crate::wire::deflate(&vec![0; 200_000].into()).unwrap();
    assert!(bomb.len() < 2000);
    let mut frame = reply(Kind::Result, id.number(), &bomb);
    frame.flags = Flags::DEFLATED;
    pair.answer(frame);
    let too_large = Outcome::TooLarge { limit: 100_000 };
    assert_eq!(pair.completions(), [(id, too_large)]);
}

#[test]
fn a_server_describes_a_bounded_number_of_classes() {
    for (size, count) in [(1, MAX_CLASSES as usize), (1 << 20, 8)] {
        let mut pair = Pair::new(SessionConfig::default());
        let class = super::stub::encoded(&Frame::control(Kind::Class, vec![7; size]));
        for _ in 0..count {
            pair.session.receive(class.clone()).unwrap();
            assert!(matches!(pair.session.poll_event(), Some(Event::Class(_))));
        }
        let error = pair.session.receive(class).unwrap_err();
        assert_eq!(error.code(), "malformed");
    }
}

#[test]
fn a_last_word_is_short_and_a_first_one_bounded() {
    let mut pair = Pair::new(SessionConfig::default());
    pair.answer(Frame::control(Kind::Fatal, vec![b'x'; 1 << 20]));
    let Some(Event::Fatal { code, text }) = pair.session.poll_event() else {
        panic!("no FATAL")
    };
    assert_eq!((code.as_str(), text.len()), ("", MAX_FATAL));
    let mut session = Session::new(SessionConfig::default(), Bytes::new());
    let hello = Frame::control(Kind::StubHello, vec![b'x'; MAX_HELLO + 1]);
    let error = session.receive(super::stub::encoded(&hello)).unwrap_err();
    assert_eq!(error.code(), "too-large");
}

#[test]
fn window_given_back_is_one_frame_however_long_it_waits() {
    let mut pair = Pair::new(SessionConfig::default());
    for _ in 0..1000 {
        pair.answer(Frame::control(Kind::Output, vec![b'x'; 1 << 18]));
        pair.session.output_consumed(1 << 18);
        pair.session.poll_event();
    }
    let sent = pair.sent();
    let [credit] = &sent[..] else {
        panic!("{} frames", sent.len())
    };
    let returned = credit.payload.clone().into_bytes();
    assert_eq!(&*returned, (1000_u32 << 18).to_be_bytes());
}
