//! Ends: of clients, of commands, of the server; what is left behind is nothing.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use easycluster::transport::{ExitStatus, ReadEvent};

use crate::server::harness::*;

fn alive(process: &str) -> bool {
    // A zombie is reaped in a moment and does not count.
    std::fs::read_to_string(Path::new("/proc").join(process).join("stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").starts_with(" Z"))
}

/// The process ids that a command prints, one a line.
async fn processes(reader: &mut easycluster::transport::tcp::Reader, count: usize) -> Vec<String> {
    let mut text = String::new();
    while text.lines().count() < count || !text.ends_with('\n') {
        match within(reader.next()).await {
            Some(ReadEvent::Stdout(bytes)) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
            other => panic!("{other:?}"),
        }
    }
    text.lines().map(str::to_owned).collect()
}

/// A command with children that would live for minutes, some in the background.
const FAMILY: &str = "sleep 300 & echo $!; sh -c 'trap \"\" TERM HUP; echo $$; sleep 301' & \
                      echo $$; trap '' TERM HUP; wait";

#[tokio::test]
async fn a_client_that_goes_takes_its_processes_with_it() {
    let server = start(loopback());
    let (writer, mut reader) = open(&server.target(), FAMILY).await;
    let family = processes(&mut reader, 3).await;
    assert!(family.iter().all(|process| alive(process)));
    drop((writer, reader));
    until("the end of the family", || {
        !family.iter().any(|it| alive(it))
    })
    .await;
    until("the end of the connection", || {
        server.handle.connections() == 0
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_command_that_ends_takes_its_background_with_it() {
    let server = start(loopback());
    let (_writer, reader) = open(&server.target(), "sleep 300 & echo $!").await;
    let (out, _, exit) = drain(reader).await;
    let child = String::from_utf8(out).unwrap().trim().to_owned();
    assert_eq!(exit, Some(ExitStatus::Code(0)));
    until("the end of the child", || !alive(&child)).await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_is_cut_off_in_mid_write_is_noticed() {
    let server = start(loopback());
    // The command takes nothing, so the server holds bytes that it cannot get rid of.
    let (mut writer, mut reader) = open(&server.target(), "echo $$; exec sleep 300").await;
    let family = processes(&mut reader, 1).await;
    writer
        .write(vec![Bytes::from(vec![0; 1 << 20])])
        .await
        .unwrap();
    drop((writer, reader));
    until("the end of the command", || !alive(&family[0])).await;
    server.stop().await;
}

#[tokio::test]
async fn a_dead_peer_is_noticed() {
    let mut options = loopback();
    // Long enough for a busy machine to answer in while the network is whole.
    options.liveness.ping = Duration::from_millis(500);
    options.liveness.silence = Duration::from_secs(5);
    let server = start(options);
    // From the fifth piece on, the network swallows what the client says.
    let port = proxy(
        server.port,
        Box::new(
            |from_client, number, piece| match from_client && number >= 4 {
                true => vec![],
                false => vec![piece],
            },
        ),
    )
    .await;
    let (mut writer, mut reader) = open(&target(port), "echo $$; exec sleep 300").await;
    let family = processes(&mut reader, 1).await;
    writer.write(vec![Bytes::from_static(b"x")]).await.unwrap();
    until("the end of the command", || !alive(&family[0])).await;
    // The client hears of it too.
    let (_, _, exit) = drain(reader).await;
    assert!(matches!(exit, Some(ExitStatus::Unknown(_))), "{exit:?}");
    server.stop().await;
}

#[tokio::test]
async fn the_end_of_the_server_is_told_and_leaves_nothing() {
    let server = start(loopback());
    let (writer, mut reader) = open(&server.target(), FAMILY).await;
    let family = processes(&mut reader, 3).await;
    server.stop().await;
    // They are killed by now; the system may take a moment for it.
    until("the end of the family", || {
        !family.iter().any(|it| alive(it))
    })
    .await;
    let (_, _, exit) = drain(reader).await;
    let Some(ExitStatus::Unknown(sentence)) = exit else {
        panic!("{exit:?}");
    };
    assert!(sentence.contains("the test is over"), "{sentence}");
    drop(writer);
}
