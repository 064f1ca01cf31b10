//! What an attacker in the middle may try, against recorded sessions in memory, and the vectors.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use super::*;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

fn fresh(seed: u8) -> Fresh {
    Fresh {
        nonce: [seed; 32],
        secret: [seed.wrapping_add(100); 32],
    }
}

struct Ends {
    client_seal: Sealer,
    client_open: Opener,
    server_seal: Sealer,
    server_open: Opener,
}

/// Runs a handshake whose four messages pass through `tamper(step, bytes)`.
fn handshake(
    client_key: &[u8],
    server_key: &[u8],
    mut tamper: impl FnMut(usize, &mut [u8]),
) -> Result<Ends, AuthenticationError> {
    let (client, mut hello) = Client::start(client_key, fresh(1));
    tamper(0, &mut hello);
    let (server, mut answer) = Server::answer(server_key, fresh(2), &hello)?;
    tamper(1, &mut answer);
    let (proved, mut proof, client_seal) = client.server_hello(&answer)?;
    tamper(2, &mut proof);
    let (mut answer, server_seal, server_open) = server.client_proof(&proof)?;
    tamper(3, &mut answer);
    let client_open = proved.server_proof(&answer)?;
    Ok(Ends {
        client_seal,
        client_open,
        server_seal,
        server_open,
    })
}

fn open(opener: &mut Opener, frame: &[u8]) -> Result<Vec<u8>, AuthenticationError> {
    let header = *frame.first_chunk::<4>().unwrap();
    let length = Opener::announced(header)?;
    // A frame cut short never comes: the reader goes on waiting and then sees the end of input.
    if frame.len() < SEALED_HEADER + length + SEALED_TAG {
        return Err(AuthenticationError::Malformed("incomplete"));
    }
    let mut body = frame[SEALED_HEADER..SEALED_HEADER + length + SEALED_TAG].to_vec();
    Ok(opener.open(&mut body)?.to_vec())
}

fn frames(sealer: &mut Sealer, count: u8) -> Vec<Vec<u8>> {
    (0..count)
        .map(|number| {
            let mut out = Vec::new();
            sealer.seal(&[&[number], b"content"], &mut out).unwrap();
            out
        })
        .collect()
}

#[test]
fn both_ends_agree_and_directions_differ() {
    let mut ends = handshake(KEY, KEY, |_, _| {}).unwrap();
    let up = frames(&mut ends.client_seal, 3);
    let down = frames(&mut ends.server_seal, 3);
    assert_ne!(up, down);
    for (number, frame) in up.iter().enumerate() {
        assert_eq!(open(&mut ends.server_open, frame).unwrap()[0], number as u8);
    }
    for (number, frame) in down.iter().enumerate() {
        assert_eq!(open(&mut ends.client_open, frame).unwrap()[0], number as u8);
    }
}

#[test]
fn every_bit_of_the_handshake_counts() {
    let mut refused = 0;
    for step in 0..4 {
        let length = [HELLO, HELLO, PROOF, PROOF][step];
        for bit in 0..length * 8 {
            let mut at_server = true;
            let result = handshake(KEY, KEY, |at, bytes| {
                if at == step {
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
                at_server &= at < 3;
            });
            assert!(result.is_err(), "message {step}, bit {bit} went unnoticed");
            // Only a change of the server's last message is left for the client to find.
            assert_eq!(at_server, step < 3, "message {step}, bit {bit}");
            refused += 1;
        }
    }
    println!("handshake: {refused} single bit flips, all refused");
    assert_eq!(refused, (2 * HELLO + 2 * PROOF) * 8);
}

#[test]
fn every_bit_of_every_frame_counts() {
    let mut refused = 0;
    let count = 3;
    let recorded = frames(
        &mut handshake(KEY, KEY, |_, _| {}).unwrap().client_seal,
        count,
    );
    for (place, original) in recorded.iter().enumerate() {
        for bit in 0..original.len() * 8 {
            let mut opener = handshake(KEY, KEY, |_, _| {}).unwrap().server_open;
            for before in &recorded[..place] {
                open(&mut opener, before).unwrap();
            }
            let mut frame = original.clone();
            frame[bit / 8] ^= 1 << (bit % 8);
            // What follows is there to fill a length that was made larger.
            frame.extend(recorded.concat());
            assert!(
                open(&mut opener, &frame).is_err(),
                "frame {place}, bit {bit} went unnoticed"
            );
            refused += 1;
        }
    }
    println!("sealed frames: {refused} single bit flips, all refused");
    assert!(refused > 3 * 8 * SEALED_TAG);
}

#[test]
fn dropped_doubled_swapped_and_cut_frames_are_refused() {
    let recorded = frames(&mut handshake(KEY, KEY, |_, _| {}).unwrap().client_seal, 6);
    let mut refused = 0;
    let mut deliver = |order: Vec<Vec<u8>>, good: usize| {
        let mut opener = handshake(KEY, KEY, |_, _| {}).unwrap().server_open;
        let mut opened = 0;
        for frame in &order {
            match open(&mut opener, frame) {
                Ok(_) => opened += 1,
                Err(_) => break,
            }
        }
        assert_eq!(opened, good);
        assert!(opened < order.len());
        refused += 1;
    };
    for place in 0..5 {
        let mut dropped = recorded.clone();
        dropped.remove(place);
        deliver(dropped, place);
        let mut doubled = recorded.clone();
        doubled.insert(place, recorded[place].clone());
        deliver(doubled, place + 1);
        for other in place + 1..6 {
            let mut swapped = recorded.clone();
            swapped.swap(place, other);
            deliver(swapped, place);
        }
        for cut in SEALED_HEADER..recorded[place].len() {
            let mut short = recorded.clone();
            short[place].truncate(cut);
            deliver(short, place);
            // The same with what follows moved up.
            let mut joined = recorded[..place].to_vec();
            let mut rest = recorded[place][..cut].to_vec();
            rest.extend(recorded[place + 1..].concat());
            joined.push(rest);
            deliver(joined, place);
        }
    }
    println!("order: {refused} manipulations, all refused");
}

#[test]
fn a_frame_does_not_open_in_the_other_direction() {
    let mut ends = handshake(KEY, KEY, |_, _| {}).unwrap();
    let up = frames(&mut ends.client_seal, 1);
    assert_eq!(
        open(&mut ends.client_open, &up[0]),
        Err(AuthenticationError::Tampered)
    );
}

#[test]
fn a_replayed_session_is_refused() {
    // Everything the client said is recorded, and said again to a server with a nonce of its own.
    let mut recorded = Vec::new();
    handshake(KEY, KEY, |_, bytes| recorded.push(bytes.to_vec())).unwrap();
    let hello = recorded[0].as_slice().try_into().unwrap();
    let (server, _) = Server::answer(KEY, fresh(3), hello).unwrap();
    let proof = recorded[2].as_slice().try_into().unwrap();
    assert!(matches!(
        server.client_proof(proof),
        Err(AuthenticationError::Proof)
    ));
}

#[test]
fn a_replayed_server_is_refused() {
    let mut recorded = Vec::new();
    handshake(KEY, KEY, |_, bytes| recorded.push(bytes.to_vec())).unwrap();
    let (client, _) = Client::start(KEY, fresh(4));
    let (proved, _, _) = client
        .server_hello(recorded[1].as_slice().try_into().unwrap())
        .unwrap();
    assert!(matches!(
        proved.server_proof(recorded[3].as_slice().try_into().unwrap()),
        Err(AuthenticationError::Proof)
    ));
}

#[test]
fn a_reflected_handshake_is_refused() {
    let (client, hello) = Client::start(KEY, fresh(1));
    assert!(matches!(
        client.server_hello(&hello),
        Err(AuthenticationError::Reflected)
    ));
    // With the role byte changed as well, the client's own proof does not serve as the server's.
    let (client, mut hello) = Client::start(KEY, fresh(1));
    hello[5] = b'S';
    let (proved, proof, mut sealer) = client.server_hello(&hello).unwrap();
    let frame = frames(&mut sealer, 1);
    assert!(matches!(
        proved.server_proof(&proof),
        Err(AuthenticationError::Proof)
    ));
    assert!(!frame.is_empty());
    // And a server does not take its own hello for a client's.
    let (_, answer) = Server::answer(KEY, fresh(2), &Client::start(KEY, fresh(1)).1).unwrap();
    assert!(matches!(
        Server::answer(KEY, fresh(3), &answer),
        Err(AuthenticationError::Reflected)
    ));
}

#[test]
fn two_servers_cannot_be_played_against_each_other() {
    // The attacker opens a second session and hands one server's messages to the client of the
    // other: the proofs cover both hellos.
    let (client, hello) = Client::start(KEY, fresh(1));
    let (_, answer_a) = Server::answer(KEY, fresh(2), &hello).unwrap();
    let (server_b, _) = Server::answer(KEY, fresh(3), &hello).unwrap();
    let (_, proof, _) = client.server_hello(&answer_a).unwrap();
    assert!(matches!(
        server_b.client_proof(&proof),
        Err(AuthenticationError::Proof)
    ));
}

#[test]
fn another_key_is_refused_by_the_server_first() {
    for wrong in [
        b"".as_slice(),
        b"0123456789abcdef0123456789abcdeg",
        &KEY[..31],
        b"0123456789abcdef0123456789abcdef\0",
    ] {
        let mut steps = 0;
        assert_eq!(
            handshake(wrong, KEY, |_, _| steps += 1).err(),
            Some(AuthenticationError::Proof)
        );
        assert_eq!(steps, 3, "the server answered a proof that does not fit");
    }
}

#[test]
fn a_point_of_low_order_is_refused() {
    let (_, mut hello) = Client::start(KEY, fresh(1));
    for point in [[0; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }] {
        hello[40..].copy_from_slice(&point);
        assert!(matches!(
            Server::answer(KEY, fresh(2), &hello),
            Err(AuthenticationError::WeakPublic)
        ));
    }
}

#[test]
fn another_version_is_named() {
    let (_, mut hello) = Client::start(KEY, fresh(1));
    hello[4] = 9;
    assert_eq!(
        Server::answer(KEY, fresh(2), &hello).err(),
        Some(AuthenticationError::Version { theirs: 9, ours: 1 })
    );
}

#[test]
fn too_large_is_known_from_the_header() {
    assert!(matches!(
        Opener::announced((SEALED_MAX as u32 + 1).to_be_bytes()),
        Err(AuthenticationError::TooLarge(_))
    ));
    assert!(matches!(
        Opener::announced([0xff; 4]),
        Err(AuthenticationError::TooLarge(0xffff_ffff))
    ));
    assert!(Opener::announced([0; 4]).is_err());
    assert_eq!(
        Opener::announced((SEALED_MAX as u32).to_be_bytes()),
        Ok(SEALED_MAX)
    );
    let mut sealer = handshake(KEY, KEY, |_, _| {}).unwrap().client_seal;
    let mut out = Vec::new();
    assert!(sealer.seal(&[&vec![0; SEALED_MAX + 1]], &mut out).is_err());
    assert!(sealer.seal(&[], &mut out).is_err());
    assert!(out.is_empty());
}

#[test]
fn messages_come_back() {
    let messages = [
        Message::Open(Open {
            command: "exec /bin/sh -c 'true'".into(),
            version: "1.2.3".into(),
        }),
        Message::Opened(Opened {
            version: "1".into(),
            process: 4711,
        }),
        Message::Data(b"data"),
        Message::Data(b""),
        Message::Stderr(b"err"),
        Message::End,
        Message::Exit(Exit::Status(-1)),
        Message::Exit(Exit::Signal("KILL".into())),
        Message::Exit(Exit::Unknown),
        Message::Credit(u32::MAX),
        Message::Ping,
        Message::Pong,
        Message::Error("a sentence"),
        Message::Close,
    ];
    for message in messages {
        let content = [message.head().as_slice(), message.body()].concat();
        assert_eq!(Message::decode(&content), Ok(message));
    }
}

#[test]
fn unknown_fields_of_open_are_skipped() {
    let mut content = Message::Open(Open {
        command: "x".into(),
        version: String::new(),
    })
    .head();
    content.extend([200, 0, 0, 0, 2, 7, 7]);
    assert!(matches!(Message::decode(&content), Ok(Message::Open(open)) if open.command == "x"));
}

proptest::proptest! {
    #[test]
    fn no_content_brings_the_decoder_down(content: Vec<u8>) {
        if let Ok(message) = Message::decode(&content) {
            let again = [message.head().as_slice(), message.body()].concat();
            // OPEN and OPENED may lose unknown fields; everything else is said in one way only.
            if !matches!(message, Message::Open(_) | Message::Opened(_)) {
                proptest::prop_assert_eq!(again, content);
            }
        }
    }

    #[test]
    fn no_hello_brings_the_server_down(mut rest: Vec<u8>, keep in 0usize..=8) {
        let (_, hello) = Client::start(KEY, fresh(1));
        rest.resize(HELLO, 0);
        rest[..keep].copy_from_slice(&hello[..keep]);
        let hello: [u8; HELLO] = rest.as_slice().try_into().unwrap();
        let _ = Server::answer(KEY, fresh(2), &hello);
    }
}

/// Prints what sealing costs; run with `--release --ignored --nocapture`.
#[test]
#[ignore = "a measurement, for release builds"]
fn speed() {
    let mut ends = handshake(KEY, KEY, |_, _| {}).unwrap();
    for size in [64, 1024, 65536] {
        let content = vec![7; size];
        let rounds = 200_000_000 / (size + 500);
        let start = std::time::Instant::now();
        let mut out = Vec::new();
        for _ in 0..rounds {
            out.clear();
            ends.client_seal.seal(&[&content], &mut out).unwrap();
            ends.server_open.open(&mut out[SEALED_HEADER..]).unwrap();
        }
        let each = start.elapsed().as_secs_f64() / rounds as f64;
        println!(
            "seal and open {size} bytes: {:.2} us, {:.0} MiB/s",
            each * 1e6,
            size as f64 / each / 1048576.0
        );
    }
    let start = std::time::Instant::now();
    for _ in 0..1000 {
        handshake(KEY, KEY, |_, _| {}).unwrap();
    }
    println!(
        "handshake, both sides: {:.0} us",
        start.elapsed().as_secs_f64() * 1e3
    );
}

mod vectors;
