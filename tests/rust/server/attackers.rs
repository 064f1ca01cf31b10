//! Someone on the network who reads, changes, drops, repeats and reorders what crosses it, or
//! floods the server. Refused each time, and others are served meanwhile.

use std::time::{Duration, Instant};

use bytes::Bytes;
use easycluster::transport::tcp::connect;
use easycluster::transport::{ExitStatus, ReadEvent, TransportOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::harness::*;
use crate::support::alone;
use crate::support::processes::own_memory;

/// Sends five numbered lines through `meddle` to `cat`, a round trip each; gives the lines that
/// came back and how the connection ended.
async fn conversation(port: u16, meddle: Meddle) -> (Vec<u8>, Option<ExitStatus>) {
    let port = proxy(port, meddle).await;
    let connected = within(connect(
        &target(port),
        "exec cat",
        &TransportOptions::default(),
    ))
    .await;
    let Ok((mut writer, mut reader)) = connected else {
        return (Vec::new(), None);
    };
    let mut out = Vec::new();
    for number in 0..5u8 {
        let line = Bytes::from(vec![b'0' + number, b'\n']);
        if writer.write(vec![line]).await.is_err() {
            break;
        }
        // What is dropped is not answered: the next line goes out without it.
        match tokio::time::timeout(Duration::from_millis(300), reader.next()).await {
            Ok(Some(ReadEvent::Stdout(bytes))) => out.extend_from_slice(&bytes),
            Ok(Some(ReadEvent::Exit(status))) => return (out, Some(status)),
            Ok(Some(ReadEvent::Stderr(bytes))) => panic!("{bytes:?}"),
            Ok(Some(ReadEvent::OutputEnd)) => {}
            Ok(None) => return (out, None),
            Err(_) => {}
        }
    }
    drop(writer);
    (out, None)
}

/// What came back is a beginning of what was sent, and the connection did not end well.
fn assert_refused(name: &str, (out, exit): (Vec<u8>, Option<ExitStatus>), lines: usize) {
    let sent = b"0\n1\n2\n3\n4\n";
    assert!(sent.starts_with(&out), "{name}: {out:?}");
    assert!(out.len() <= 2 * lines, "{name}: {out:?}");
    assert!(
        !matches!(exit, Some(ExitStatus::Code(_))),
        "{name}: {exit:?}"
    );
}

#[tokio::test]
async fn whatever_is_done_in_the_middle_is_noticed() {
    let server = start(loopback());
    let plain = conversation(server.port, Box::new(|_, _, piece| vec![piece])).await;
    assert_eq!(plain.0, b"0\n1\n2\n3\n4\n");
    let mut refused = 0;
    // Pieces: 0 hello, 1 proof; from the client 2 is OPEN and 3 the first line; from the server
    // 2 is OPENED.
    for from_client in [true, false] {
        for place in [0usize, 1, 2, 3, 4] {
            let hit = move |from: bool, number: usize| from == from_client && number == place;
            let lines = place.saturating_sub(3) + usize::from(!from_client && place > 3);
            let changes: [(&str, Meddle); 5] = [
                (
                    "a changed bit",
                    Box::new(move |from, number, mut piece| {
                        if hit(from, number) {
                            let last = piece.len() - 1;
                            piece[last] ^= 0x10;
                        }
                        vec![piece]
                    }),
                ),
                (
                    "a repeated piece",
                    Box::new(move |from, number, piece| match hit(from, number) {
                        true => vec![piece.clone(), piece],
                        false => vec![piece],
                    }),
                ),
                (
                    "a dropped piece",
                    Box::new(move |from, number, piece| match hit(from, number) {
                        true => vec![],
                        false => vec![piece],
                    }),
                ),
                ("two swapped pieces", {
                    let mut held = None;
                    Box::new(move |from, number, piece| {
                        if hit(from, number) && place > 1 {
                            held = Some(piece);
                            return vec![];
                        }
                        match held.take() {
                            Some(before) if from == from_client => vec![piece, before],
                            other => {
                                held = other;
                                vec![piece]
                            }
                        }
                    })
                }),
                (
                    "a piece cut short",
                    Box::new(move |from, number, mut piece| {
                        if hit(from, number) {
                            piece.pop();
                        }
                        vec![piece]
                    }),
                ),
            ];
            for (name, meddle) in changes {
                if place <= 1
                    && (name.starts_with("two")
                        || name.starts_with("a dropped")
                        || name.ends_with("short"))
                {
                    // A handshake that waits for what does not come: see the slow handshake.
                    continue;
                }
                let result = conversation(server.port, meddle).await;
                assert_refused(
                    &format!("{name} {place}, from client {from_client}"),
                    result,
                    lines.max(1) + 1,
                );
                refused += 1;
            }
        }
    }
    println!("{refused} manipulations of live connections, all noticed");
    assert_serves(&server.target()).await;
    until("the end of all", || server.handle.connections() == 0).await;
    server.stop().await;
}

#[tokio::test]
async fn a_recorded_session_says_nothing_twice() {
    let server = start(loopback());
    let recorded = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let keep = recorded.clone();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("runs");
    let port = proxy(
        server.port,
        Box::new(move |from_client, _, piece| {
            if from_client {
                keep.lock().unwrap().extend_from_slice(&piece);
            }
            vec![piece]
        }),
    )
    .await;
    let command = format!("echo run >> {}", file.display());
    run(&target(port), &command).await;
    let recorded = recorded.lock().unwrap().clone();
    assert!(recorded.len() > 150);
    for _ in 0..5 {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port))
            .await
            .unwrap();
        stream.write_all(&recorded).await.unwrap();
        let mut answer = Vec::new();
        let _ = within(stream.read_to_end(&mut answer)).await;
        // The server's hello, and a refusal instead of its proof.
        assert_eq!(&answer[..4], b"ECTH");
        assert_eq!(&answer[72..], b"ECTR\x01\x02");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "run\n");
    server.stop().await;
}

#[tokio::test]
async fn a_reflected_handshake_gets_nowhere() {
    let server = start(loopback());
    let mut stream = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    let mut other = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    let mut hello = [0; 72];
    hello[..6].copy_from_slice(b"ECTH\x01C");
    hello[40..].copy_from_slice(&[9; 32]);
    stream.write_all(&hello).await.unwrap();
    let mut answer = [0; 72];
    within(stream.read_exact(&mut answer)).await.unwrap();
    // The server's own hello, sent to it as it is and with the role changed.
    other.write_all(&answer).await.unwrap();
    let mut rest = Vec::new();
    let _ = within(other.read_to_end(&mut rest)).await;
    assert!(rest.is_empty(), "{rest:?}");
    answer[5] = b'C';
    let mut other = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    other.write_all(&answer).await.unwrap();
    let mut again = [0; 72];
    within(other.read_exact(&mut again)).await.unwrap();
    let mut proof = *b"ECTP00000000000000000000000000000000";
    proof[4..].copy_from_slice(&again[8..40]);
    other.write_all(&proof).await.unwrap();
    let mut rest = Vec::new();
    let _ = within(other.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"ECTR\x01\x02");
    assert_serves(&server.target()).await;
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_does_not_hold_the_key_is_found_out() {
    // The attacker answers in the server's place, with all but the key.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 72];
        stream.read_exact(&mut hello).await.unwrap();
        hello[5] = b'S';
        hello[40..].copy_from_slice(&[9; 32]);
        stream.write_all(&hello).await.unwrap();
        let mut proof = [0; 36];
        stream.read_exact(&mut proof).await.unwrap();
        stream.write_all(&proof).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let error = within(connect(&target(port), "true", &TransportOptions::default()))
        .await
        .err()
        .unwrap();
    assert!(error.message.contains("a different key"), "{error}");
}

#[tokio::test]
async fn a_slow_handshake_is_given_up() {
    let mut options = loopback();
    options.handshake_limit = Duration::from_millis(200);
    let server = start(options);
    let slow = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    // A byte at every look: the whole hello would take several times as long as it may.
    let hello = [&b"ECTH\x01C"[..], &[b'0'; 68]].concat();
    let (mut sent, mut answer) = (0, [0; 6]);
    until("the end of a slow handshake", || {
        let byte = hello.get(sent..=sent).unwrap_or_default();
        sent += slow.try_write(byte).unwrap_or_default();
        slow.try_read(&mut answer).is_ok()
    })
    .await;
    assert_eq!(&answer, b"ECTR\x01\x05");
    assert!(sent < hello.len(), "every byte restarted the limit");
    assert_serves(&server.target()).await;
    // And one that says nothing at all.
    let mut silent = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    let mut rest = Vec::new();
    let _ = within(silent.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"ECTR\x01\x05");
    // And one that is authenticated, then says nothing.
    assert_serves(&server.target()).await;
    server.stop().await;
}

#[test]
fn a_flood_of_half_open_handshakes_shuts_no_client_out() {
    alone(
        module_path!(),
        "a_flood_of_half_open_handshakes_shuts_no_client_out",
        flood_of_half_open_handshakes(),
    );
}

async fn flood_of_half_open_handshakes() {
    let server = start(loopback());
    assert_serves(&server.target()).await;
    let before = own_memory();
    let mut flood = Vec::new();
    let mut peak = 0;
    let start = Instant::now();
    for round in 0..10 {
        for _ in 0..100 {
            let mut stream = TcpStream::connect(("127.0.0.1", server.port))
                .await
                .unwrap();
            // Half of them begin a hello.
            if flood.len() % 2 == 0 {
                stream.write_all(b"ECTH\x01C").await.unwrap();
            }
            flood.push(stream);
        }
        let served = Instant::now();
        assert_serves(&server.target()).await;
        peak = peak.max(own_memory());
        if round == 9 {
            println!(
                "served beside the flood in {:.0} ms",
                served.elapsed().as_secs_f64() * 1e3
            );
        }
    }
    let grown = peak.saturating_sub(before) / 1024;
    println!(
        "{} half-open handshakes in {:.1} s: memory grew by {grown} KiB, both sides in one process",
        flood.len(),
        start.elapsed().as_secs_f64()
    );
    assert!(grown < 16 * 1024, "{grown} KiB");
    server.stop().await;
}

#[tokio::test]
async fn garbage_is_dropped_at_once() {
    let server = start(loopback());
    for garbage in [
        b"GET / HTTP/1.1\r\n\r\n".as_slice(),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        &[0; 4096],
        &[0xff; 100_000],
        b"ECTP00000000000000000000000000000000",
        b"ECTR\x01\x02",
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port))
            .await
            .unwrap();
        let _ = stream.write_all(garbage).await;
        let mut answer = Vec::new();
        let _ = within(stream.read_to_end(&mut answer)).await;
        assert!(answer.len() <= 6, "{answer:?}");
    }
    let mut old = *b"ECTH\x01C000000000000000000000000000000000000000000000000000000000000000000";
    old[4] = 0;
    let mut stream = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    stream.write_all(&old).await.unwrap();
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
    assert_eq!(answer, b"ECTR\x01\x01");
    assert_serves(&server.target()).await;
    server.stop().await;
}

/// The server gives up one place for each newcomer, the attacker's first.
#[tokio::test]
async fn two_floods_from_two_addresses() {
    let server = start(loopback());
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    let other_address = socket.bind("127.0.0.2:0".parse().unwrap()).is_ok();
    assert!(other_address, "loopback has one address only");
    drop(socket);
    let mut honest = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    honest.write_all(b"ECTH").await.unwrap();
    let mut flood = Vec::new();
    for _ in 0..300 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let address = format!("127.0.0.1:{}", server.port).parse().unwrap();
        flood.push(socket.connect(address).await.unwrap());
    }
    assert_serves(&server.target()).await;
    // The slow but honest one, older than the whole flood, still has its place.
    let mut rest = [b'0'; 68];
    rest[..2].copy_from_slice(b"\x01C");
    honest.write_all(&rest).await.unwrap();
    let mut answer = [0; 4];
    within(honest.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"ECTH");
    drop(flood);
    server.stop().await;
}
