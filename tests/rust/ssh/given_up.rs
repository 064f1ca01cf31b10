//! Starts on a shared connection that are given up at any moment: nothing of theirs stays, and nobody else is concerned.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use std::time::Duration;

use easycluster::transport::ssh::{Connector, open_alone};
use easycluster::transport::{StageLimits, TransportOptions};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::support::SshdOptions;
use crate::support::remote::{
    bare_target, finish, idle, server, server_with, target_at, until, with_key,
};

/// Tells that a future wants to be polled.
#[derive(Default)]
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Polls a future so many times, and drops it where it would be polled once more.
async fn given_up_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(value);
        }
        woken.0.notified().await;
    }
    None
}

#[tokio::test]
async fn a_start_that_is_given_up_at_any_moment_leaves_no_session_open() {
    let server = server_with(SshdOptions {
        lines: vec!["LogLevel DEBUG1".to_owned()],
        ..SshdOptions::default()
    });
    let (connector, options) = (Connector::new(), TransportOptions::default());
    let target = with_key(bare_target(&server), &server.key.private);
    let start = |command| open_alone(&connector, &target, command, &options);
    let first = start("cat").await.unwrap();
    let mut polls = 1;
    while given_up_after(polls, start("cat")).await.is_none() {
        polls += 1;
    }
    // It has been given up where its channel was asked for, and later.
    assert!(polls > 1);
    // Of all that was asked for, the first is still there.
    let last = start("echo last").await.unwrap();
    assert_eq!(finish(last).await.0, b"last\n");
    until(|| {
        let log = server.log();
        let (_, log) = log.split_once("---- ready ----").unwrap();
        let opened = log.matches("session_new: session ").count();
        match (opened, log.matches("Close session: ").count()) {
            (opened, closed) if opened > polls && opened == closed + 1 => Ok(()),
            found => Err((found, polls)),
        }
    })
    .await;
    assert_eq!(server.logins(), 1);
    drop(first);
    idle(&server).await;
}

#[tokio::test]
async fn a_start_that_may_take_longer_is_not_given_up_with_the_one_that_it_waits_for() {
    let server = server();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target_at(&server, listener.local_addr().unwrap().port());
    let connector = Connector::new();
    let start = |limit| {
        let (connector, target) = (connector.clone(), target.clone());
        let options = TransportOptions::default().with_limits(StageLimits::all(limit));
        tokio::spawn(async move { open_alone(&connector, &target, "echo here", &options).await })
    };
    let hasty = start(Duration::from_millis(700));
    // The server is slow at first.
    let (silent, _) = listener.accept().await.unwrap();
    let patient = start(Duration::from_secs(60));
    let error = hasty.await.unwrap().unwrap_err();
    assert!(error.timed_out, "{error}");
    drop(silent);
    let port = server.port();
    let relayed = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        _ = copy_bidirectional(&mut client, &mut server).await;
    });
    let process = patient.await.unwrap().unwrap();
    assert_eq!(finish(process).await.0, b"here\n");
    relayed.abort();
    idle(&server).await;
}
