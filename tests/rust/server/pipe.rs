//! The byte pipe: both directions, stderr, exit status, large amounts at once.

use bytes::Bytes;
use easycluster::transport::{ExitStatus, ReadEvent};

use crate::server::harness::*;

#[tokio::test]
async fn a_command_is_run_as_by_sshd() {
    let server = start(loopback());
    let target = server.target();
    let (out, err, exit) = run(&target, "echo out; echo err >&2; exit 7").await;
    assert_eq!(out, b"out\n");
    assert_eq!(err, b"err\n");
    assert_eq!(exit, Some(ExitStatus::Code(7)));
    let (_, _, exit) = run(&target, "kill -9 $$").await;
    assert_eq!(exit, Some(ExitStatus::Signal("KILL".into())));
    let (out, _, _) = run(&target, "env; pwd").await;
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("PATH="), "{out}");
    assert!(
        !out.contains("CARGO"),
        "the environment is not clean: {out}"
    );
    server.stop().await;
}

#[tokio::test]
async fn bytes_come_through_unchanged_both_ways_at_once() {
    let server = start(loopback());
    let (mut writer, mut reader) = open(&server.target(), "cat").await;
    let total = 24 * 1024 * 1024;
    let content: Vec<u8> = (0..total).map(|n| (n * 7 + n / 251) as u8).collect();
    let sent = Bytes::from(content.clone());
    let writing = tokio::spawn(async move {
        for start in (0..total).step_by(300_000) {
            let end = total.min(start + 300_000);
            writer.write(vec![sent.slice(start..end)]).await.unwrap();
        }
        writer.finish().await;
        writer
    });
    let mut received = Vec::new();
    let mut exit = None;
    while let Some(event) = within(reader.next()).await {
        match event {
            ReadEvent::Stdout(bytes) => received.extend_from_slice(&bytes),
            ReadEvent::Exit(status) => exit = Some(status),
            ReadEvent::Stderr(bytes) => panic!("{bytes:?}"),
            ReadEvent::OutputEnd => {}
        }
    }
    within(writing).await.unwrap();
    assert!(received == content, "{} of {total} bytes", received.len());
    assert_eq!(exit, Some(ExitStatus::Code(0)));
    server.stop().await;
}

#[tokio::test]
async fn output_behind_the_end_of_a_command_is_not_lost() {
    let server = start(loopback());
    // More than the window and all pipes hold, written before anything is read here.
    let (_writer, reader) = open(&server.target(), "head -c 9000000 /dev/zero").await;
    let (out, _, exit) = drain(reader).await;
    assert_eq!(out.len(), 9_000_000);
    assert_eq!(exit, Some(ExitStatus::Code(0)));
    server.stop().await;
}

#[tokio::test]
async fn a_side_that_reads_nothing_stops_neither_the_other_direction_nor_the_pings() {
    let mut options = loopback();
    options.liveness.ping = std::time::Duration::from_millis(200);
    options.liveness.silence = std::time::Duration::from_secs(3);
    let server = start(options);
    // The command reads nothing, and the client writes until there is no room.
    let (mut writer, mut reader) = open(&server.target(), "echo ready; sleep 6; wc -c").await;
    assert!(matches!(
        within(reader.next()).await,
        Some(ReadEvent::Stdout(_))
    ));
    let total = 16 * 1024 * 1024;
    let writing = tokio::spawn(async move {
        for _ in 0..16 {
            writer
                .write(vec![Bytes::from(vec![0; total / 16])])
                .await
                .unwrap();
        }
        writer.finish().await;
        writer
    });
    let (out, _, exit) = drain(reader).await;
    within(writing).await.unwrap();
    assert_eq!(String::from_utf8(out).unwrap().trim(), total.to_string());
    assert_eq!(exit, Some(ExitStatus::Code(0)));
    server.stop().await;
}
