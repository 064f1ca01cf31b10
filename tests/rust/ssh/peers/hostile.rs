//! Servers that send what they were not asked for: channels, questions without an end, keys of an agent that are none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use easycluster::Stage;
use easycluster::transport::ssh::{Connector, open};
use easycluster::transport::{StageLimits, TransportOptions};
use russh::server::{Auth, Config, Handle, Handler, Response, Server as _, Session};
use russh::{Channel, ChannelId, MethodKind, MethodSet};
use tokio::net::{TcpListener, UnixListener};

use super::target;
use crate::support::remote::{
    answers, bare_target, finish, open_spec, server, server_with_lines, until,
};
use crate::support::{Agent, KeyPair, within};

/// What a server does to its client.
#[derive(Clone, Copy, PartialEq)]
pub(in crate::ssh) enum Does {
    /// Opens channels of every type, this many times.
    Opens(usize),
    /// Asks nothing, again and again.
    AsksNothing,
    /// Asks for nothing but patience, as for a push on a phone, and lets in.
    Thinks(Duration),
    /// Has room for a gibibyte, and takes nothing of it.
    TakesNothing,
}

#[derive(Clone)]
pub(in crate::ssh) struct Hostile {
    does: Does,
    refused: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
    rounds: Arc<AtomicUsize>,
}

impl Hostile {
    pub(in crate::ssh) async fn start(does: Does) -> (Self, u16) {
        let server = Hostile {
            does,
            refused: Arc::default(),
            accepted: Arc::default(),
            rounds: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::make(&folder.path().join("key"), "ed25519", "");
        let key = russh::keys::load_secret_key(&key.private, None).unwrap();
        let config = Arc::new(Config {
            keys: vec![key],
            methods: MethodSet::from(&[MethodKind::None, MethodKind::KeyboardInteractive][..]),
            auth_rejection_time: Duration::ZERO,
            window_size: match does {
                Does::TakesNothing => 1 << 30,
                _ => Config::default().window_size,
            },
            ..Config::default()
        });
        let mut running = server.clone();
        tokio::spawn(async move { running.run_on_socket(config, &listener).await });
        (server, port)
    }

    async fn open_all(self, handle: Handle, times: usize) {
        for _ in 0..times {
            let count = |opened: Result<_, russh::Error>| {
                let counter = if opened.is_ok() {
                    &self.accepted
                } else {
                    &self.refused
                };
                counter.fetch_add(1, Ordering::Relaxed);
            };
            count(handle.channel_open_session().await);
            count(handle.channel_open_agent().await);
            count(handle.channel_open_x11("127.0.0.1", 1).await);
            count(handle.channel_open_direct_tcpip("a", 1, "b", 2).await);
            count(handle.channel_open_forwarded_tcpip("a", 1, "b", 2).await);
            count(handle.channel_open_forwarded_streamlocal("/a").await);
        }
    }
}

impl russh::server::Server for Hostile {
    type Handler = Self;
    fn new_client(&mut self, _: Option<std::net::SocketAddr>) -> Self {
        self.clone()
    }
}

impl Handler for Hostile {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, Self::Error> {
        Ok(match self.does {
            Does::Opens(_) | Does::TakesNothing => Auth::Accept,
            Does::AsksNothing | Does::Thinks(_) => Auth::reject(),
        })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        _: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        self.rounds.fetch_add(1, Ordering::Relaxed);
        if let Does::Thinks(time) = self.does {
            _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
            return Ok(Auth::Accept);
        }
        Ok(Auth::Partial {
            name: "".into(),
            instructions: "".into(),
            prompts: Vec::new().into(),
        })
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<russh::server::Msg>,
        reply: russh::server::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        if let Does::Opens(times) = self.does {
            tokio::spawn(self.clone().open_all(session.handle(), times));
        }
        Ok(())
    }

    async fn data(&mut self, _: ChannelId, _: &[u8], _: &mut Session) -> Result<(), Self::Error> {
        match self.does {
            Does::TakesNothing => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn channels_that_a_server_opens_are_refused_and_too_many_end_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (server, port) = Hostile::start(Does::Opens(3)).await;
    let options = TransportOptions::default();
    let target_of = |port| target(port, folder.path());
    let connector = Connector::new();
    let process = within(open(&connector, &target_of(port), "x", &options))
        .await
        .unwrap();
    until(|| {
        let refused = server.refused.load(Ordering::Relaxed);
        if refused == 18 { Ok(()) } else { Err(refused) }
    })
    .await;
    assert_eq!(server.accepted.load(Ordering::Relaxed), 0);
    // The connection goes on.
    let again = within(open(&connector, &target_of(port), "x", &options)).await;
    assert!(again.is_ok(), "{again:?}");
    drop((process, again));

    let (server, port) = Hostile::start(Does::Opens(1000)).await;
    let process = within(open(&connector, &target_of(port), "x", &options))
        .await
        .unwrap();
    // It ends by itself, though the server leaves the channel open.
    within(finish(process)).await;
    assert_eq!(server.accepted.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn questions_without_an_end_are_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let (server, port) = Hostile::start(Does::AsksNothing).await;
    let (options, asked) = answers(&[]);
    let target = target(port, folder.path());
    let error = within(open(&Connector::new(), &target, "x", &options))
        .await
        .unwrap_err();
    assert_eq!(error.stage, Stage::Authentication, "{error}");
    assert!(
        error.message.contains("goes on asking without an end"),
        "{error}"
    );
    assert!(server.rounds.load(Ordering::Relaxed) < 100);
    let asked = asked.lock().unwrap();
    assert!(
        asked
            .iter()
            .all(|question| !question.text.contains("password")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_second_factor_takes_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let (_, port) = Hostile::start(Does::Thinks(Duration::from_secs(3))).await;
    let target = target(port, folder.path());
    let mut limits = StageLimits::default().with_authentication(Duration::from_secs(1));
    // Somebody is there, whose phone has rung.
    let (mut options, _) = answers(&[]);
    options.limits = limits.clone();
    let opened = within(open(&Connector::new(), &target, "x", &options)).await;
    assert!(opened.is_ok(), "{opened:?}");
    // The user's own limit holds.
    options.limits = limits
        .clone()
        .in_all(Instant::now(), Duration::from_secs(2));
    let error = within(open(&Connector::new(), &target, "x", &options))
        .await
        .unwrap_err();
    assert!(error.timed_out, "{error}");
    assert!(error.hint.is_some_and(|hint| hint.contains("timeout=")));
    // A longer one lengthens the stages.
    limits = limits.in_all(Instant::now(), Duration::from_secs(20));
    assert!(limits.of(Stage::Authentication) > Duration::from_secs(15));
}

#[tokio::test]
async fn a_banner_that_cannot_be_read_is_told_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let banner = folder.path().join("banner");
    std::fs::write(&banner, b"Gr\xfc\xdfe\n").unwrap();
    let server = server_with_lines(&[&format!("Banner {}", banner.display())]);
    let error = within(open_spec(&server.spec(), "true")).await.unwrap_err();
    assert_eq!(error.stage, Stage::Authentication, "{error}");
    assert!(error.message.contains("is not UTF-8"), "{error}");
    assert!(
        error
            .hint
            .is_some_and(|hint| hint.contains("ssh=/usr/bin/ssh"))
    );
}

/// An agent in front of another: its list has an entry in front whose comment is not text, and one that is not a key.
async fn odd_agent(folder: &std::path::Path, real: std::path::PathBuf) -> std::path::PathBuf {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let socket = folder.join("odd-agent");
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let real = real.clone();
            tokio::spawn(async move {
                let mut agent = tokio::net::UnixStream::connect(real).await.unwrap();
                while let Ok(length) = client.read_u32().await {
                    let mut request = vec![0; length as usize];
                    client.read_exact(&mut request).await.unwrap();
                    agent.write_u32(length).await.unwrap();
                    agent.write_all(&request).await.unwrap();
                    let length = agent.read_u32().await.unwrap();
                    let mut answer = vec![0; length as usize];
                    agent.read_exact(&mut answer).await.unwrap();
                    if answer[0] == 12 {
                        let count = u32::from_be_bytes(answer[1..5].try_into().unwrap()) + 1;
                        let mut longer = vec![12];
                        longer.extend(count.to_be_bytes());
                        longer.extend([0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 2, 0xff, 0xfe]);
                        longer.extend(&answer[5..]);
                        answer = longer;
                    }
                    client.write_u32(answer.len() as u32).await.unwrap();
                    client.write_all(&answer).await.unwrap();
                }
            });
        }
    });
    socket
}

#[tokio::test]
async fn an_entry_of_an_agent_that_cannot_be_read_costs_only_itself() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::start();
    // A comment in Latin-1, in the file and so in the agent.
    let status = std::process::Command::new(crate::support::program("ssh-keygen"))
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(folder.path().join("latin"))
        .arg("-C")
        .arg(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"M\xfcller"))
        .status()
        .unwrap();
    assert!(status.success());
    agent.add(&folder.path().join("latin"));
    agent.add(&server.key.private);
    for socket in [
        agent.socket(),
        odd_agent(folder.path(), agent.socket()).await,
    ] {
        let target = bare_target(&server)
            .with_option("IdentityFile", "none")
            .with_option("IdentityAgent", socket.display().to_string());
        let options = TransportOptions::default();
        let opened = within(open(&Connector::new(), &target, "echo in", &options)).await;
        assert_eq!(finish(opened.unwrap()).await.0, b"in\n");
    }
}
