//! Limits: networks, connections, keys, and what many connections cost.

use std::time::Instant;

use easycluster::error::Stage;
use easycluster::server::{Server, ServerError, parse_network};
use easycluster::transport::TransportOptions;
use easycluster::transport::tcp::connect;

use crate::server::harness::*;
use crate::support::alone;
use crate::support::processes::own_memory;

async fn refused(target: &easycluster::transport::tcp::TcpTarget) -> easycluster::ConnectError {
    within(connect(target, "true", &TransportOptions::default()))
        .await
        .expect_err("it was let in")
}

#[tokio::test]
async fn another_key_is_told_as_such() {
    let server = start(loopback());
    let mut target = server.target();
    target.key = b"another key of thirty-two bytes.".to_vec();
    let error = refused(&target).await;
    assert_eq!(error.stage, Stage::Authentication);
    assert!(error.message.contains("another key"), "{error}");
    assert!(error.hint.unwrap().contains("compare the key files"));
    assert_serves(&server.target()).await;
    // A new key counts from the next connection on.
    server.handle.set_key(&target.key).unwrap();
    assert_serves(&target).await;
    assert_eq!(refused(&server.target()).await.stage, Stage::Authentication);
    assert!(matches!(
        server.handle.set_key(b"short"),
        Err(ServerError::ShortKey(5))
    ));
    server.stop().await;
}

#[tokio::test]
async fn a_short_key_is_refused_unless_insisted_on() {
    for key in [b"".as_slice(), b"s3cret", &KEY[..15]] {
        assert!(matches!(
            Server::bind(key, loopback()),
            Err(ServerError::ShortKey(length)) if length == key.len()
        ));
        let mut options = loopback();
        options.allow_short_key = true;
        assert!(Server::bind(key, options).is_ok());
    }
}

#[tokio::test]
async fn only_allowed_networks_come_in() {
    let mut options = loopback();
    options.allow = vec![parse_network("192.0.2.0/24").unwrap()];
    let server = start(options);
    let error = refused(&server.target()).await;
    assert!(error.message.contains("address"), "{error}");
    server.stop().await;
    let mut options = loopback();
    options.allow = vec![
        parse_network("192.0.2.0/24").unwrap(),
        parse_network("127.0.0.1").unwrap(),
    ];
    let server = start(options);
    assert_serves(&server.target()).await;
    server.stop().await;
}

#[tokio::test]
async fn one_port_serves_both_families_or_one_if_told_so() {
    // Nothing here listens on anything but loopback: `localhost` stands for both families.
    let both = std::net::ToSocketAddrs::to_socket_addrs(&("localhost", 0)).unwrap();
    let v6_named = both.into_iter().any(|address| address.is_ipv6());
    let mut options = loopback();
    options.bind = Some("localhost".into());
    let server = start(options.clone());
    assert_serves(&server.target()).await;
    let mut target = server.target();
    target.host = "::1".into();
    if v6_named {
        assert_serves(&target).await;
    }
    server.stop().await;

    options.bind = Some("[::1]".into());
    let server = start(options.clone());
    target.port = server.port;
    assert_serves(&target).await;
    server.stop().await;

    options.bind = Some("localhost".into());
    options.ipv6 = false;
    let server = start(options);
    assert_serves(&server.target()).await;
    target.port = server.port;
    assert_eq!(refused(&target).await.stage, Stage::Connect);
    server.stop().await;
}

#[tokio::test]
async fn connections_over_the_limit_are_told() {
    let mut options = loopback();
    options.connections_max = 2;
    let server = start(options);
    let first = open(&server.target(), "exec cat").await;
    let second = open(&server.target(), "exec cat").await;
    until("two connections", || server.handle.connections() == 2).await;
    let (_, _, exit) = run(&server.target(), "true").await;
    assert!(
        format!("{exit:?}").contains("limit of connections"),
        "{exit:?}"
    );
    drop(first);
    until("room", || server.handle.connections() == 1).await;
    assert_serves(&server.target()).await;
    drop(second);
    server.stop().await;
}

#[test]
fn two_hundred_connections_at_once() {
    alone(
        module_path!(),
        "two_hundred_connections_at_once",
        two_hundred_connections(),
    );
}

async fn two_hundred_connections() {
    let server = start(loopback());
    let before = own_memory();
    let start = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..200 {
        let target = server.target();
        clients.push(tokio::spawn(async move { open(&target, "exec cat").await }));
    }
    let mut open = Vec::new();
    for client in clients {
        open.push(client.await.unwrap());
    }
    println!(
        "200 connections: {:.0} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
    let start = Instant::now();
    let rounds = 20;
    for _ in 0..rounds {
        for (writer, _) in &mut open {
            writer
                .write(vec![bytes::Bytes::from_static(b"call")])
                .await
                .unwrap();
        }
        for (_, reader) in &mut open {
            let event = within(reader.next()).await;
            assert!(
                matches!(&event, Some(easycluster::transport::ReadEvent::Stdout(bytes)) if &bytes[..] == b"call"),
                "{event:?}"
            );
        }
    }
    let frames = 200 * rounds;
    println!(
        "{frames} calls over them: {:.1} us each, both sides and `cat`",
        start.elapsed().as_secs_f64() * 1e6 / f64::from(frames)
    );
    assert_eq!(server.handle.connections(), 200);
    let each = own_memory().saturating_sub(before) / 1024 / 200;
    println!("memory a connection, both sides in one process: {each} KiB");
    assert!(each < 256, "{each} KiB a connection");
    drop(open);
    until("the end of all", || server.handle.connections() == 0).await;
    server.stop().await;
}

#[test]
fn the_limits_are_those_of_the_page() {
    use easycluster::server::{HANDSHAKE_LIMIT, HANDSHAKES_MAX, Liveness};
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/spec/authentication.md");
    let page = std::fs::read_to_string(page).unwrap();
    let liveness = Liveness::default();
    for (name, value) in [
        ("HANDSHAKES_MAX", HANDSHAKES_MAX as u64),
        ("HANDSHAKE_LIMIT", HANDSHAKE_LIMIT.as_secs()),
        ("PING_INTERVAL", liveness.ping.as_secs()),
        ("SILENCE_LIMIT", liveness.silence.as_secs()),
    ] {
        assert!(page.contains(&format!("| {name} | {value} |")), "{name}");
    }
}

#[test]
fn the_vectors_are_what_an_implementation_of_its_own_writes() {
    let python = crate::support::interpreter_at_least((3, 6));
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/spec/vectors/authentication/reference.py"
    );
    let done = std::process::Command::new(&python.path)
        .arg(script)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}");
}
