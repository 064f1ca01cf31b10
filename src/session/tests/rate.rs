//! How fast the session is by itself; run by `cargo test --release -- --ignored session_rate --nocapture`.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::stub::{Pair, reply};
use crate::session::{Event, Request, RequestKind, SessionConfig, ThreadTarget};
use crate::wire::{Frame, Kind};

#[test]
#[ignore = "a measurement, of use in release mode only"]
fn session_rate() {
    let mut pair = Pair::new(SessionConfig::default());
    let payload = Bytes::from_static(&[1; 48]);
    let (rounds, batch) = (200, 10_000);
    let begun = Instant::now();
    let mut done = 0;
    for _ in 0..rounds {
        let mut ids = Vec::with_capacity(batch);
        for at in 0..batch {
            let thread = ThreadTarget::Id((at % 4) as i32);
            let request = Request::new(RequestKind::Call, thread, payload.clone());
            ids.push(pair.session.submit(request, begun).unwrap());
        }
        let mut out = Vec::new();
        while pair.session.poll_transmit(65_536, &mut out) > 0 {}
        let mut back = BytesMut::with_capacity(batch * 32);
        for id in ids {
            reply(Kind::Result, id.number(), b"\x80\x02N.").encode(&mut back);
        }
        for thread in 0..4 {
            let mut credit = Frame::control(
                Kind::Credit,
                ((batch / 4 * 64) as u32).to_be_bytes().to_vec(),
            );
            credit.thread = thread;
            credit.encode(&mut back);
        }
        let mut back = back.freeze();
        while !back.is_empty() {
            let piece = back.split_to(back.len().min(32_768));
            pair.session.receive(piece).unwrap();
            while let Some(event) = pair.session.poll_event() {
                done += usize::from(matches!(event, Event::Completed { .. }));
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(done, rounds * batch);
    println!("{:.2} million calls a second", done as f64 / seconds / 1e6);
}

#[test]
#[ignore = "a measurement, of use in release mode only"]
fn session_bulk_rate() {
    let mut pair = Pair::new(SessionConfig::default());
    let id = pair.call(ThreadTarget::Id(0), 1);
    pair.sent();
    let packet = Bytes::from(vec![5; 32_768]);
    let begun = Instant::now();
    let chunks = 16_384;
    let mut whole = 0usize;
    for at in 0..chunks {
        let mut first = reply(
            if at == 0 { Kind::Result } else { Kind::Data },
            id.number(),
            b"",
        );
        if at + 1 < chunks {
            first.flags = crate::wire::Flags::MORE;
        }
        let mut header = first.header();
        header.length = 131_072;
        pair.session
            .receive(Bytes::copy_from_slice(&header.encode()))
            .unwrap();
        for _ in 0..4 {
            pair.session.receive(packet.clone()).unwrap();
            whole += packet.len();
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(pair.results(), [id]);
    println!(
        "{:.1} GiB/s received",
        whole as f64 / seconds / f64::from(1 << 30)
    );
}
