//! Servers that do not like a channel on which nothing runs, as the spare one is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use easycluster::Stage;
use easycluster::transport::ssh::{ConfigSource, Connector, SshTarget, open};
use easycluster::transport::{ReadEvent, StageLimits, TransportOptions};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session};
use russh::{Channel, ChannelId, ChannelOpenFailure};

use crate::support::KeyPair;
use crate::support::remote::{finish, until};

/// What becomes of each connection's second channel; the others are opened.
#[derive(Clone, Copy)]
enum Second {
    Closed,
    Refused,
    NeverAnswered,
    /// Opened, and much is sent on it.
    Flooded,
    /// Opened, and no command on it is answered.
    Mute,
}

#[derive(Clone)]
struct Peer {
    second: Second,
    /// Channels asked for on this connection.
    asked: usize,
    mute: Option<ChannelId>,
    /// Channels asked for on all.
    all: Arc<AtomicUsize>,
    unanswered: Arc<Mutex<Vec<ChannelOpenHandle>>>,
}

impl Handler for Peer {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.asked += 1;
        self.all.fetch_add(1, Ordering::SeqCst);
        if self.asked != 2 {
            reply.accept().await;
            return Ok(());
        }
        let (id, handle) = (channel.id(), session.handle());
        match self.second {
            Second::Refused => reply.reject(ChannelOpenFailure::ResourceShortage).await,
            Second::NeverAnswered => self.unanswered.lock().unwrap().push(reply),
            Second::Closed => {
                reply.accept().await;
                tokio::spawn(async move { handle.close(id).await });
            }
            Second::Mute => {
                self.mute = Some(id);
                reply.accept().await;
            }
            Second::Flooded => {
                reply.accept().await;
                tokio::spawn(async move {
                    for _ in 0..64 {
                        _ = handle.data(id, Bytes::from(vec![b'x'; 32 * 1024])).await;
                    }
                });
            }
        }
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.mute == Some(channel) {
            return Ok(());
        }
        session.channel_success(channel)?;
        session.data(channel, Bytes::copy_from_slice(command))?;
        if command != b"stay" {
            session.exit_status_request(channel, 0)?;
            session.close(channel)?;
        }
        Ok(())
    }
}

/// A server that serves until the runtime ends, as a target, and the channels it was asked for.
async fn peer(second: Second) -> (SshTarget, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let folder = tempfile::tempdir().unwrap();
    let pair = KeyPair::make(&folder.path().join("host"), "ed25519", "");
    let config = Arc::new(Config {
        keys: vec![russh::keys::load_secret_key(&pair.private, None).unwrap()],
        ..Config::default()
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Of an option said twice the first counts, and nothing is to be recorded in the folder, which is gone by then.
    let target = SshTarget {
        port: Some(listener.local_addr().unwrap().port()),
        config: ConfigSource::None,
        ..SshTarget::new("127.0.0.1")
    }
    .with_option("UserKnownHostsFile", "none")
    .with_option("GlobalKnownHostsFile", "none")
    .with_option("StrictHostKeyChecking", "no")
    .with_option("IdentityAgent", "none")
    .with_option("IdentityFile", "none");
    let (all, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let peer = Peer {
        second,
        asked: 0,
        mute: None,
        all: Arc::clone(&all),
        unanswered: Arc::default(),
    };
    let made = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            made.fetch_add(1, Ordering::SeqCst);
            let (config, peer) = (Arc::clone(&config), peer.clone());
            tokio::spawn(async move {
                if let Ok(session) = russh::server::run_stream(config, stream, peer).await {
                    _ = session.await;
                }
            });
        }
    });
    (target, all, connections)
}

async fn until_asked(all: &AtomicUsize, wanted: usize) {
    until(|| match all.load(Ordering::SeqCst) {
        asked if asked >= wanted => Ok(()),
        asked => Err(asked),
    })
    .await;
}

async fn says(connector: &Connector, target: &SshTarget, command: &str) -> Vec<u8> {
    let options = TransportOptions::default();
    finish(open(connector, target, command, &options).await.unwrap())
        .await
        .0
}

#[tokio::test]
async fn a_spare_channel_that_comes_to_nothing_is_replaced_by_an_ordinary_one() {
    for second in [Second::Closed, Second::Refused] {
        let (target, all, connections) = peer(second).await;
        let connector = Connector::new();
        let options = TransportOptions::default();
        let first = open(&connector, &target, "stay", &options).await.unwrap();
        until_asked(&all, 2).await;
        // What the server said of the spare channel comes before the answer to this.
        assert_eq!(says(&connector, &target, "one").await, b"one");
        assert_eq!(says(&connector, &target, "two").await, b"two");
        assert_eq!(connections.load(Ordering::SeqCst), 1);
        drop(first);
    }
}

#[tokio::test]
async fn what_a_server_sends_on_a_spare_channel_delays_no_client() {
    let (target, all, _) = peer(Second::Flooded).await;
    let connector = Connector::new();
    let options = TransportOptions::default();
    let mut first = open(&connector, &target, "stay", &options).await.unwrap();
    until_asked(&all, 2).await;
    assert_eq!(
        first.reader.next().await,
        Some(ReadEvent::Stdout(Bytes::from_static(b"stay")))
    );
    let said = says(&connector, &target, "one").await;
    assert!(said.ends_with(b"one"), "{} bytes", said.len());
}

/// Half a second for a channel.
fn impatient() -> TransportOptions {
    TransportOptions::default()
        .with_limits(StageLimits::default().with_channel(Duration::from_millis(500)))
}

#[tokio::test]
async fn a_server_that_never_answers_for_the_spare_channel_holds_up_the_first_client_in_nothing() {
    let (target, all, connections) = peer(Second::NeverAnswered).await;
    let connector = Connector::new();
    let options = impatient();
    let mut first = open(&connector, &target, "stay", &options).await.unwrap();
    until_asked(&all, 2).await;
    assert_eq!(
        first.reader.next().await,
        Some(ReadEvent::Stdout(Bytes::from_static(b"stay")))
    );
    // The next one learns of it at the limit of its stage, and the one behind it finds another way.
    let error = open(&connector, &target, "one", &options)
        .await
        .unwrap_err();
    assert_eq!((error.stage, error.timed_out), (Stage::Channel, true));
    assert_eq!(says(&connector, &target, "two").await, b"two");
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_command_on_a_spare_channel_without_an_answer_is_given_up_and_its_connection_with_it() {
    let (target, all, connections) = peer(Second::Mute).await;
    let connector = Connector::new();
    let options = impatient();
    let _first = open(&connector, &target, "stay", &options).await.unwrap();
    until_asked(&all, 2).await;
    let second = open(&connector, &target, "one", &options).await.unwrap();
    let (out, _, status) = finish(second).await;
    assert!(out.is_empty());
    assert!(
        status
            .to_string()
            .contains("not answered the start of the command for 0.5 s"),
        "{status}"
    );
    assert_eq!(says(&connector, &target, "two").await, b"two");
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}
