//! The native SSH transport against a real sshd: commands, their streams and their end, shared connections.

use std::time::Duration;

use bytes::Bytes;
use easycluster::Stage;
use easycluster::transport::ssh::{Connector, SshTarget, open};
use easycluster::transport::{ExitStatus, TransportOptions};

use crate::support::SshdOptions;
use crate::support::remote::{
    comes_back_whole, finish, idle, open_spec, output, server, server_with, target_at, until,
};

#[tokio::test]
async fn a_command_has_its_streams_and_its_exit_status() {
    let server = server();
    let mut process = open_spec(&server.spec(), "cat; echo oops >&2; exit 7")
        .await
        .unwrap();
    process
        .writer
        .write(vec![
            Bytes::from_static(b"one "),
            Bytes::from_static(b"two"),
        ])
        .await
        .unwrap();
    process.writer.finish().await;
    let (out, err, status) = finish(process).await;
    assert_eq!(out, b"one two");
    assert_eq!(err, b"oops\n");
    assert_eq!(status, ExitStatus::Code(7));
    idle(&server).await;
}

#[tokio::test]
async fn a_signal_is_told_by_its_name() {
    let server = server();
    let process = open_spec(&server.spec(), "kill -TERM $$").await.unwrap();
    assert_eq!(finish(process).await.2, ExitStatus::Signal("TERM".into()));
}

#[tokio::test]
async fn clients_of_one_host_share_a_connection_and_the_last_one_ends_it() {
    let server = server();
    let first = open_spec(&server.spec(), "cat").await.unwrap();
    let second = open_spec(&server.spec(), "echo second").await.unwrap();
    assert_eq!(finish(second).await.0, b"second\n");
    assert_eq!(server.logins(), 1);
    drop(first);
    idle(&server).await;
    let third = open_spec(&server.spec(), "echo third").await.unwrap();
    assert_eq!(finish(third).await.0, b"third\n");
    assert_eq!(server.logins(), 2);
    idle(&server).await;
}

#[tokio::test]
async fn clients_that_start_at_once_make_one_connection() {
    let server = server();
    let spec = server.spec();
    let opening: Vec<_> = (0..8)
        .map(|number| {
            let spec = spec.clone();
            tokio::spawn(async move {
                open_spec(&spec, &format!("echo {number}; cat"))
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut open = Vec::new();
    for opened in opening {
        open.push(opened.await.unwrap());
    }
    assert_eq!(server.logins(), 1);
    drop(open);
    idle(&server).await;
}

#[tokio::test]
async fn a_dropped_channel_is_closed_so_that_sshd_counts_it_no_longer() {
    let server = server();
    // Keeps the connection alive while the others come and go; sshd allows ten at once.
    let _keeper = open_spec(&server.spec(), "cat").await.unwrap();
    for _ in 0..25 {
        let process = open_spec(&server.spec(), "cat").await.unwrap();
        drop(process);
        // A busy sshd takes its time to end what it ran, and what has not ended counts.
        let running = || {
            let mut left = server.session_processes();
            left.retain(|process| process.command == "cat");
            left
        };
        until(|| match running() {
            left if left.len() <= 1 => Ok(()),
            left => Err(left),
        })
        .await;
    }
    assert!(server.logins() <= 4, "{} connections", server.logins());
}

#[tokio::test]
async fn a_full_server_gets_one_more_connection() {
    let server = server_with(SshdOptions {
        max_sessions: 1,
        ..SshdOptions::default()
    });
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(open_spec(&server.spec(), "cat").await.unwrap());
    }
    assert_eq!(server.logins(), 3);
    drop(processes);
    idle(&server).await;
}

#[tokio::test]
async fn clients_that_start_at_once_fill_one_connection_after_the_other() {
    let server = server_with(SshdOptions {
        max_sessions: 2,
        ..SshdOptions::default()
    });
    let spec = server.spec();
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let spec = spec.clone();
            tokio::spawn(async move { open_spec(&spec, "cat").await.unwrap() })
        })
        .collect();
    let mut processes = Vec::new();
    for opened in opening {
        processes.push(opened.await.unwrap());
    }
    let logins = server.logins();
    assert!((4..=8).contains(&logins), "{logins} connections");
    drop(processes);
    idle(&server).await;
}

#[tokio::test]
async fn an_unread_channel_holds_up_no_other() {
    let server = server();
    let unread = open_spec(
        &server.spec(),
        "head -c 60000000 /dev/zero; head -c 5000000 /dev/zero >&2",
    )
    .await
    .unwrap();
    for number in 0..5 {
        let other = open_spec(&server.spec(), &format!("echo {number}"))
            .await
            .unwrap();
        let (out, ..) = tokio::time::timeout(Duration::from_secs(20), finish(other))
            .await
            .expect("the other channel goes on");
        assert_eq!(out, format!("{number}\n").as_bytes());
    }
    assert_eq!(server.logins(), 1);
    let (out, err, status) = finish(unread).await;
    assert_eq!((out.len(), err.len()), (60_000_000, 5_000_000));
    assert_eq!(status, ExitStatus::Code(0));
}

#[tokio::test]
async fn writing_to_a_command_that_reads_nothing_ends_with_the_command() {
    let server = server();
    let mut process = open_spec(&server.spec(), "sleep 0.5; exit 3")
        .await
        .unwrap();
    // More than every window and pipe on the way holds.
    let big = Bytes::from(vec![0u8; 16 * 1024 * 1024]);
    let written = tokio::time::timeout(Duration::from_secs(20), process.writer.write(vec![big]))
        .await
        .expect("the writer does not wait forever");
    assert!(written.is_err());
    assert_eq!(finish(process).await.2, ExitStatus::Code(3));
}

#[tokio::test]
async fn large_input_comes_back_whole() {
    let server = server();
    let process = open_spec(&server.spec(), "cat").await.unwrap();
    comes_back_whole(process, 20_000_000).await;
}

#[tokio::test]
async fn the_end_of_a_connection_is_said_to_all_its_channels() {
    let server = server();
    let first = open_spec(&server.spec(), "cat").await.unwrap();
    let second = open_spec(&server.spec(), "cat").await.unwrap();
    server.break_sessions();
    for process in [first, second] {
        let (_, _, status) = finish(process).await;
        assert!(
            matches!(&status, ExitStatus::Unknown(why) if why.contains("connection")),
            "{status}"
        );
    }
    // A new client gets a new connection.
    let again = open_spec(&server.spec(), "echo again").await.unwrap();
    assert_eq!(finish(again).await.0, b"again\n");
}

#[tokio::test]
async fn a_refused_key_says_what_was_tried_and_what_the_server_takes() {
    let server = server();
    let other = crate::support::KeyPair::make(&server.folder().join("other"), "ed25519", "");
    let spec = server.spec().replace(
        server.key.private.to_str().unwrap(),
        other.private.to_str().unwrap(),
    );
    let error = open_spec(&spec, "true").await.unwrap_err();
    assert_eq!(error.stage, Stage::Authentication);
    assert!(
        error.message.contains("the server takes publickey"),
        "{error}"
    );
    assert!(error.message.contains("other: refused"), "{error}");
}

#[tokio::test]
async fn nothing_listening_is_said_at_the_stage_connect() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let error = open_spec(&format!("me@127.0.0.1:{port}:config=none"), "true")
        .await
        .unwrap_err();
    assert_eq!(error.stage, Stage::Connect);
    assert!(
        error.hint.unwrap().contains("nothing listens"),
        "{}",
        error.message
    );

    let error = open_spec("me@no-such-host.invalid:config=none", "true")
        .await
        .unwrap_err();
    assert_eq!(error.stage, Stage::Resolve);
}

#[tokio::test]
async fn the_address_to_connect_from_may_be_a_name_and_must_be_of_the_hosts_kind() {
    let server = server();
    let options = TransportOptions::default();
    let target = target_at(&server, server.port());
    let named = target.clone().with_option("BindAddress", "localhost");
    let process = open(&Connector::new(), &named, "echo $SSH_CONNECTION", &options)
        .await
        .unwrap();
    assert!(output(process).await.starts_with("127.0.0.1 "));
    // Every address of the loopback network is this machine's, on Linux.
    if cfg!(target_os = "linux") {
        let other = target.clone().with_option("BindAddress", "127.0.0.2");
        let process = open(&Connector::new(), &other, "echo $SSH_CONNECTION", &options)
            .await
            .unwrap();
        assert!(output(process).await.starts_with("127.0.0.2 "));
    }
    let six = SshTarget {
        host: "::1".to_owned(),
        ..target.with_option("BindAddress", "127.0.0.1")
    };
    let error = open(&Connector::new(), &six, "true", &options)
        .await
        .unwrap_err();
    assert_eq!(error.stage, Stage::Connect);
    assert!(
        error
            .message
            .contains("127.0.0.1 is IPv4 and ::1 has only IPv6"),
        "{error}"
    );
}
