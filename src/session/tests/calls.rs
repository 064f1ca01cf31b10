//! Calls from submission to completion.

use std::time::Instant;

use super::stub::{answer, completions, connected, kinds, reply, sent};
use crate::session::{Outcome, Request, RequestKind, SessionConfig, ThreadTarget};
use crate::wire::Kind;

#[test]
fn a_call_is_sent_and_its_result_comes_back() {
    let (mut session, mut decoder) = connected(SessionConfig::default());
    let request = Request::new(RequestKind::Call, ThreadTarget::Id(0), b"args".to_vec());
    let id = session.submit(request, Instant::now()).unwrap();
    let frames = sent(&mut session, &mut decoder);
    assert_eq!(kinds(&frames), [Kind::Call]);
    assert_eq!(frames[0].payload.to_vec(), b"args");
    answer(&mut session, reply(Kind::Result, id.number(), b"value"));
    let done = completions(&mut session);
    assert_eq!(done.len(), 1);
    let (done_id, Outcome::Result(value)) = &done[0] else {
        panic!("{done:?}")
    };
    assert_eq!(*done_id, id);
    assert_eq!(value.pickle.to_vec(), b"value");
    assert_eq!(session.in_flight(), 0);
}
