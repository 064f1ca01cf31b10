//! Text of SSH servers at the terminal: banners, questions, refusals, farewells.

use std::sync::Arc;
use std::time::Duration;

use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Response, Session};
use russh::{Channel, ChannelId, Disconnect, MethodKind, MethodSet, Sig};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::cli::scene::easycluster;
use crate::cli::shown::{NASTY, assert_shown};
use crate::cli::terminal::at_a_terminal;
use crate::support::{KeyPair, within};

/// Where the server says it.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Before its version, and then it ends.
    Greeting,
    /// Before it lets nobody in.
    Banner,
    Question,
    /// Instead of running the command.
    Disconnect,
    /// As what the command prints, and the name of the signal that ends it.
    Command,
}

#[derive(Clone)]
struct Rude(Place);

impl Handler for Rude {
    type Error = russh::Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, Self::Error> {
        Ok((self.0 == Place::Banner).then(|| NASTY.to_owned()))
    }

    async fn auth_none(&mut self, _: &str) -> Result<Auth, Self::Error> {
        Ok(match self.0 {
            Place::Banner | Place::Question => Auth::reject(),
            _ => Auth::Accept,
        })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        _: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        Ok(Auth::Partial {
            name: NASTY.into(),
            instructions: NASTY.into(),
            prompts: vec![(format!("{NASTY} Token: ").into(), true)].into(),
        })
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
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
        if self.0 == Place::Disconnect {
            return session.disconnect(Disconnect::ByApplication, NASTY, "");
        }
        session.channel_success(channel)?;
        session.data(channel, NASTY.as_bytes().to_vec())?;
        session.extended_data(channel, 1, NASTY.as_bytes().to_vec())?;
        session.exit_signal_request(channel, Sig::Custom(NASTY.to_owned()), false, NASTY, NASTY)?;
        session.close(channel)?;
        Ok(())
    }
}

/// Serves until the runtime ends.
async fn start(place: Place) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let pair = KeyPair::make(&folder.path().join("host"), "ed25519", "");
    let key = russh::keys::load_secret_key(&pair.private, None).unwrap();
    let config = Arc::new(Config {
        keys: vec![key],
        methods: MethodSet::from(&[MethodKind::None, MethodKind::KeyboardInteractive][..]),
        auth_rejection_time: Duration::ZERO,
        ..Config::default()
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let config = Arc::clone(&config);
            tokio::spawn(async move {
                if place != Place::Greeting {
                    let session = russh::server::run_stream(config, stream, Rude(place)).await;
                    if let Ok(session) = session {
                        _ = session.await;
                    }
                    return;
                }
                stream.write_all(NASTY.as_bytes()).await.unwrap();
                _ = stream.shutdown().await;
                _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            });
        }
    });
    port
}

fn spec(port: u16, folder: &std::path::Path) -> String {
    let folder = folder.display();
    format!(
        "127.0.0.1:{port}:config=none:known_hosts={folder}/known_hosts:hostkey=accept-new:name=web1:extra=-o IdentityAgent=none -o IdentityFile=none"
    )
}

#[tokio::test]
async fn what_an_ssh_server_says_is_shown_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (name, place) in [
        ("greeting", Place::Greeting),
        ("banner", Place::Banner),
        ("disconnect", Place::Disconnect),
        ("command", Place::Command),
    ] {
        let spec = format!("{}:batch=yes", spec(start(place).await, folder.path()));
        let all: [&[&str]; 5] = [
            &["ping", &spec],
            &["ping", "-v", &spec],
            &["ping", "--json", &spec],
            &["run", &spec, "-c", "1"],
            &["run", "--json", &spec, "-c", "1"],
        ];
        for arguments in all {
            let said = within(easycluster(arguments)).await;
            assert_shown(name, arguments, &said);
        }
    }
}

#[tokio::test]
async fn a_question_of_an_ssh_server_does_nothing_to_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec(start(Place::Question).await, folder.path());
    let steps: Vec<(&str, &str)> = vec![("Token: ", "1\n"), ("Token: ", "\u{3}")];
    let seen = within(at_a_terminal(&["ping", &spec], &steps)).await;
    // Colours are ours at a terminal.
    let shown = seen
        .shown
        .replace("\u{1b}[0m", "")
        .replace("\u{1b}[1m\u{1b}[31m", "")
        .replace("\u{1b}[1m\u{1b}[34m", "");
    let said = crate::cli::scene::Said {
        stdout: shown,
        stderr: String::new(),
        code: Some(0),
    };
    assert_shown("question", &[], &said);
}
