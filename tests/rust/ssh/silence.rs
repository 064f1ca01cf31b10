//! Peers that fall silent, at each stage and afterwards: every wait ends, by its own limit, with the stage's name.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use easycluster::transport::ssh::{ConfigSource, Connector, SshTarget, open};
use easycluster::transport::{ExitStatus, Process, ReadEvent, StageLimits, TransportOptions};
use easycluster::{Client, ConnectError, ConnectOptions, Error, Stage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::remote::{
    cat, comes_back_whole, finish, output, server, server_with, server_with_lines, target_at, until,
};
use crate::support::{Sshd, SshdOptions, within};

fn limits(limit: Duration) -> TransportOptions {
    TransportOptions::default().with_limits(StageLimits::all(limit))
}

/// A relay before the server. It counts what the server sends and can stop handing it on.
struct Relay {
    port: u16,
    /// Bytes from the server after which nothing more is handed on.
    hold_after: Arc<AtomicU64>,
    passed: Arc<AtomicU64>,
}

async fn relay(to: u16) -> Relay {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = Relay {
        port: listener.local_addr().unwrap().port(),
        hold_after: Arc::new(AtomicU64::new(u64::MAX)),
        passed: Arc::new(AtomicU64::new(0)),
    };
    let (hold_after, passed) = (Arc::clone(&relay.hold_after), Arc::clone(&relay.passed));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (hold_after, passed) = (Arc::clone(&hold_after), Arc::clone(&passed));
            tokio::spawn(async move {
                let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                let (mut client_read, mut client_write) = client.into_split();
                let (mut server_read, mut server_write) = server.into_split();
                let held = Arc::clone(&hold_after);
                let up = async move {
                    let mut buffer = vec![0; 65536];
                    loop {
                        // A held peer takes nothing either.
                        if held.load(Ordering::Relaxed) == 0 {
                            std::future::pending::<()>().await;
                        }
                        let count = client_read.read(&mut buffer).await.unwrap_or(0);
                        if count == 0 || server_write.write_all(&buffer[..count]).await.is_err() {
                            break;
                        }
                    }
                };
                let down = async move {
                    let mut byte = [0; 4096];
                    loop {
                        let count = server_read.read(&mut byte).await.unwrap_or(0);
                        if count == 0 {
                            break;
                        }
                        let before = passed.fetch_add(count as u64, Ordering::Relaxed);
                        if before + count as u64 > hold_after.load(Ordering::Relaxed) {
                            std::future::pending::<()>().await;
                        }
                        if client_write.write_all(&byte[..count]).await.is_err() {
                            break;
                        }
                    }
                };
                tokio::select! { () = up => {}, () = down => {} }
            });
        }
    });
    relay
}

async fn fails(target: &SshTarget, options: &TransportOptions) -> (ConnectError, Duration) {
    let since = Instant::now();
    let connector = Connector::new();
    let opening = open(&connector, target, "true", options);
    let error = within(opening).await.unwrap_err();
    (error, since.elapsed())
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_at_the_key_exchange() {
    let server = server();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepted = tokio::spawn(async move { listener.accept().await.unwrap().0 });
    let (error, _) = fails(
        &target_at(&server, port),
        &limits(Duration::from_millis(300)),
    )
    .await;
    assert_eq!(
        (error.stage, error.timed_out),
        (Stage::KeyExchange, true),
        "{error}"
    );
    // The socket goes with it: russh alone would keep task and socket.
    let mut stream = accepted.await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest))
        .await
        .expect("our side hangs up")
        .ok();
    assert!(rest.starts_with(b"SSH-2.0-"));
}

#[tokio::test]
async fn the_configured_connect_timeout_holds() {
    let server = server();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target_at(&server, listener.local_addr().unwrap().port())
        .with_option("ConnectTimeout", "1");
    let (error, took) = fails(&target, &limits(Duration::from_secs(25))).await;
    assert_eq!(
        (error.stage, error.timed_out),
        (Stage::KeyExchange, true),
        "{error}"
    );
    // The other limit is 25 s.
    assert!(took < Duration::from_secs(25), "{took:?}");

    // Zero means that the configuration sets no limit, not one that is over at once.
    let none = target_at(&server, server.port()).with_option("ConnectTimeout", "0");
    let process = open(
        &Connector::new(),
        &none,
        "echo in",
        &TransportOptions::default(),
    )
    .await
    .unwrap();
    assert_eq!(output(process).await, "in\n");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_gives_nothing_is_given_up_by_name_and_holds_nobody_up() {
    let server = server();
    let pipe = server.folder().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let name = pipe.display().to_string();
    for (keyword, stage) in [
        ("UserKnownHostsFile", Stage::HostKey),
        ("RevokedHostKeys", Stage::HostKey),
        ("IdentityFile", Stage::Authentication),
        ("CertificateFile", Stage::Authentication),
    ] {
        let mut target = target_at(&server, server.port()).with_option(keyword, name.clone());
        // The first counts.
        target.options.rotate_right(1);
        let options = limits(Duration::from_secs(3));
        let (stuck, good) = tokio::join!(fails(&target, &options), async {
            let target = target_at(&server, server.port());
            let opened = open(&Connector::new(), &target, "echo in", &options).await;
            output(opened.unwrap()).await
        });
        let error = stuck.0;
        assert_eq!((error.stage, error.timed_out), (stage, true), "{error}");
        assert!(error.message.contains(&name), "{error}");
        assert_eq!(good, "in\n");
    }
    let mut target = target_at(&server, server.port());
    target.config = ConfigSource::File(pipe);
    let error = fails(&target, &limits(Duration::from_secs(3))).await.0;
    let stage = (error.stage, error.timed_out);
    assert_eq!(stage, (Stage::Configure, true), "{error}");
    assert!(error.message.contains(&name), "{error}");
    assert!(error.hint.is_some_and(|hint| hint.contains("pipe")));
    // A device that never ends holds no key.
    let target = target_at(&server, server.port()).with_option("CertificateFile", "/dev/zero");
    let (connector, options) = (Connector::new(), TransportOptions::default());
    let opened = open(&connector, &target, "echo in", &options);
    assert_eq!(output(within(opened).await.unwrap()).await, "in\n");
}

#[tokio::test]
async fn the_stage_that_meets_the_limit_of_the_spec_is_named() {
    let server = server();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for extra in ["", ":extra=-oConnectTimeout=25"] {
        let spec = format!("{}:timeout=1{extra}", server.spec_at("127.0.0.1", port));
        let spec = spec.parse().unwrap();
        let connecting = Client::connect(&spec, ConnectOptions::default());
        let result = tokio::time::timeout(Duration::from_secs(20), connecting).await;
        let Err(Error::Connect(error)) = result.expect("far longer than the limit") else {
            panic!("no one answers there");
        };
        assert_eq!(
            (error.stage, error.timed_out),
            (Stage::KeyExchange, true),
            "{error}"
        );
        assert_eq!(error.message, "no answer within 1 s");
    }
}

#[tokio::test]
async fn something_else_than_ssh_is_told() {
    let server = server();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let (error, _) = fails(&target_at(&server, port), &limits(Duration::from_secs(5))).await;
    assert_eq!(error.stage, Stage::KeyExchange, "{error}");
    assert!(error.hint.is_some());
}

/// How much the server sends in a whole connection, so that it can be cut anywhere.
async fn bytes_of_a_connection(server: &Sshd) -> u64 {
    let relay = relay(server.port()).await;
    let mut process = open(
        &Connector::new(),
        &target_at(server, relay.port),
        "true",
        &TransportOptions::default(),
    )
    .await
    .unwrap();
    while process.reader.next().await.is_some() {}
    relay.passed.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_server_that_falls_silent_anywhere_is_given_up_with_the_stage() {
    let server = server();
    let whole = bytes_of_a_connection(&server).await;
    // Where in the stream it falls silent; the first bytes are its version and key exchange. All at
    // once, with a limit that a busy machine keeps wherever the server does answer.
    let mut waiting = Vec::new();
    for cut in (0..12).map(|part| 10 + part * (whole - 200) / 12) {
        let relay = relay(server.port()).await;
        relay.hold_after.store(cut, Ordering::Relaxed);
        let target = target_at(&server, relay.port);
        waiting.push(tokio::spawn(async move {
            let (connector, options) = (Connector::new(), limits(Duration::from_secs(6)));
            let opening = open(&connector, &target, "echo in", &options);
            tokio::time::timeout(Duration::from_secs(60), opening)
                .await
                .unwrap_or_else(|_| panic!("silent after {cut} of {whole} bytes: waits forever"))
                .map(drop)
        }));
    }
    let mut stages = Vec::new();
    for waited in waiting {
        if let Err(error) = waited.await.unwrap() {
            assert!(error.timed_out, "{error}");
            stages.push(error.stage);
        }
    }
    for stage in [Stage::KeyExchange, Stage::Authentication] {
        assert!(stages.contains(&stage), "{stages:?}");
    }
    assert!(stages.is_sorted(), "{stages:?}");
}

#[tokio::test]
async fn a_channel_that_does_not_open_is_given_up_and_its_connection_not_used_again() {
    // No spare channel, which would need no opening.
    let server = server_with(SshdOptions {
        max_sessions: 1,
        ..SshdOptions::default()
    });
    let relay = relay(server.port()).await;
    let connector = Connector::new();
    let target = target_at(&server, relay.port);
    let keeper = open(&connector, &target, "cat", &TransportOptions::default())
        .await
        .unwrap();
    until(|| match server.log() {
        log if log.contains("no more sessions") => Ok(()),
        log => Err(log),
    })
    .await;
    relay
        .hold_after
        .store(relay.passed.load(Ordering::Relaxed), Ordering::Relaxed);
    let error = open(
        &connector,
        &target,
        "true",
        &limits(Duration::from_millis(500)),
    )
    .await
    .unwrap_err();
    assert_eq!(
        (error.stage, error.timed_out),
        (Stage::Channel, true),
        "{error}"
    );
    relay.hold_after.store(u64::MAX, Ordering::Relaxed);
    let again = open(
        &connector,
        &target,
        "echo again",
        &limits(Duration::from_secs(20)),
    )
    .await
    .unwrap();
    // The server may say how the command ended before it hands on what that printed.
    assert_eq!(finish(again).await.0, b"again\n");
    assert_eq!(server.logins(), 2);
    drop(keeper);
}

async fn end_of(process: Process, limit: Duration) -> ExitStatus {
    let Process { mut reader, .. } = process;
    let reading = async {
        loop {
            match reader.next().await {
                Some(ReadEvent::Exit(status)) => return status,
                Some(_) => {}
                None => panic!("no end was said"),
            }
        }
    };
    tokio::time::timeout(limit, reading)
        .await
        .expect("the silence is noticed")
}

#[tokio::test]
async fn a_peer_that_falls_silent_later_is_noticed_by_the_keep_alive() {
    let server = server();
    let relay = relay(server.port()).await;
    let target = target_at(&server, relay.port)
        .with_option("ServerAliveInterval", "1")
        .with_option("ServerAliveCountMax", "2");
    let process = cat(&target).await;
    relay.hold_after.store(0, Ordering::Relaxed);
    let status = end_of(process, Duration::from_secs(15)).await;
    assert!(status.to_string().contains("silent"), "{status}");
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_noticed_while_we_write() {
    let server = server();
    let relay = relay(server.port()).await;
    let target = target_at(&server, relay.port)
        .with_option("ServerAliveInterval", "1")
        .with_option("ServerAliveCountMax", "1");
    let process = open(
        &Connector::new(),
        &target,
        "cat >/dev/null",
        &TransportOptions::default(),
    )
    .await
    .unwrap();
    let Process {
        reader,
        mut writer,
        peer,
    } = process;
    // The relay stops in the middle of this, and every buffer on the way fills up.
    let pieces = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&pieces);
    let writing = tokio::spawn(async move {
        let piece = Bytes::from(vec![7u8; 1024 * 1024]);
        for _ in 0..256 {
            writer.write(vec![piece.clone()]).await?;
            counted.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<_, std::io::Error>(())
    });
    until(|| match pieces.load(Ordering::Relaxed) {
        0 => Err("nothing is written"),
        _ => Ok(()),
    })
    .await;
    relay.hold_after.store(0, Ordering::Relaxed);
    let written = tokio::time::timeout(Duration::from_secs(20), writing)
        .await
        .expect("the writer does not wait forever");
    assert!(written.unwrap().is_err());
    let writer_less = Process {
        reader,
        writer: support_writer().await,
        peer,
    };
    end_of(writer_less, Duration::from_secs(10)).await;
}

/// A writer of no consequence, to put a process together again.
async fn support_writer() -> easycluster::transport::Writer {
    easycluster::transport::local::open("true", &TransportOptions::default())
        .await
        .unwrap()
        .writer
}

#[tokio::test]
async fn keys_are_exchanged_again_in_the_middle_of_a_transfer() {
    // After every megabyte, and by the server's wish.
    let server = server_with_lines(&["RekeyLimit 1M"]);
    let process = cat(&target_at(&server, server.port())).await;
    comes_back_whole(process, 16_000_000).await;
}

#[tokio::test]
async fn many_clients_of_a_dead_host_wait_for_it_once() {
    let server = server();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target_at(&server, listener.local_addr().unwrap().port());
    let connector = Connector::new();
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let (connector, target) = (connector.clone(), target.clone());
            tokio::spawn(async move {
                open(
                    &connector,
                    &target,
                    "true",
                    &limits(Duration::from_millis(600)),
                )
                .await
            })
        })
        .collect();
    for waited in waiting {
        assert!(waited.await.unwrap().unwrap_err().timed_out);
    }
    // The system accepts connections before the program does, so that what was tried waits here.
    let mut tried = 0;
    let listener = listener.into_std().unwrap();
    while listener.accept().is_ok() {
        tried += 1;
    }
    assert_eq!(tried, 1);
}
