//! Servers that the usual harness does not start: dropbear, sshd with passwords, and ones in process that behave oddly or ask for what no account here has.

mod accounts;
mod dropbear;
pub(super) mod hostile;
mod idle_channels;
mod passwords;

use std::path::Path;
use std::sync::{Arc, Mutex};

use self::dropbear::Dropbear;
use bytes::Bytes;
use easycluster::transport::ssh::{ConfigSource, Connector, Override, SshTarget, open};
use easycluster::transport::{ExitStatus, TransportOptions};
use easycluster::{ConnectError, Stage};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session};
use russh::{Channel, ChannelId, MethodKind, MethodSet};

use crate::support::KeyPair;
use crate::support::remote::{answers, cat, comes_back_whole, finish, until};

fn target(port: u16, folder: &Path) -> SshTarget {
    SshTarget {
        port: Some(port),
        config: ConfigSource::None,
        ..SshTarget::new("127.0.0.1")
    }
    .with_option(
        "UserKnownHostsFile",
        folder.join("known_hosts").display().to_string(),
    )
    .with_option("GlobalKnownHostsFile", "none")
    .with_option("StrictHostKeyChecking", "accept-new")
    .with_option("IdentityAgent", "none")
}

async fn run(
    target: &SshTarget,
    command: &str,
    options: &TransportOptions,
) -> Result<(String, ExitStatus), ConnectError> {
    let process = open(&Connector::new(), target, command, options).await?;
    let (out, _, status) = finish(process).await;
    Ok((String::from_utf8_lossy(&out).into_owned(), status))
}

#[tokio::test]
async fn dropbear_runs_commands_with_every_type_of_its_host_key() {
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let Some(dropbear) = Dropbear::start(kind) else {
            return;
        };
        let mut target = target(dropbear.port, dropbear.folder.path())
            .with_option("IdentityFile", dropbear.key.private.display().to_string());
        target.user = Some("root".into());
        let result = run(&target, "echo in; exit 9", &TransportOptions::default()).await;
        let (out, status) = result.unwrap_or_else(|error| panic!("{error}\n{}", dropbear.log()));
        assert_eq!(
            (out.as_str(), status),
            ("in\n", ExitStatus::Code(9)),
            "{}",
            dropbear.log()
        );
        let recorded = std::fs::read_to_string(dropbear.folder.path().join("known_hosts")).unwrap();
        let name = match kind {
            "ed25519" => "ssh-ed25519",
            "ecdsa" => "ecdsa-sha2-nistp256",
            _ => "ssh-rsa",
        };
        assert!(recorded.contains(name), "{recorded}");

        // Its window is small (24 KiB), so that large data needs many adjustments both ways.
        let process = cat(&target).await;
        comes_back_whole(process, 3_000_000).await;
    }
}

#[tokio::test]
async fn clients_of_dropbear_share_a_connection() {
    let Some(dropbear) = Dropbear::start("ed25519") else {
        return;
    };
    let mut target = target(dropbear.port, dropbear.folder.path())
        .with_option("IdentityFile", dropbear.key.private.display().to_string());
    target.user = Some("root".into());
    let (connector, options) = (Connector::new(), TransportOptions::default());
    let first = open(&connector, &target, "cat", &options).await.unwrap();
    // One takes the spare channel after the other.
    for number in 0..5 {
        let next = open(&connector, &target, &format!("echo {number}"), &options)
            .await
            .unwrap();
        assert_eq!(finish(next).await.0, format!("{number}\n").as_bytes());
    }
    assert_eq!(dropbear.log().matches("auth succeeded").count(), 1);
    // With a spare channel open, the last client's going still ends the connection.
    drop(first);
    until(|| {
        let left = crate::support::processes::descendants(dropbear.child.id() as i32);
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
}

#[tokio::test]
async fn dropbear_takes_rsa_and_ecdsa_keys_and_refuses_others() {
    let Some(dropbear) = Dropbear::start("ed25519") else {
        return;
    };
    let at = dropbear.folder.path();
    for kind in ["rsa", "ecdsa"] {
        let pair = KeyPair::make(&at.join(format!("user_{kind}")), kind, "");
        let mut target = target(dropbear.port, at)
            .with_option("IdentityFile", pair.private.display().to_string());
        target.user = Some("root".into());
        let error = run(&target, "true", &TransportOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.stage, Stage::Authentication, "{error}");
        assert!(
            error.message.contains("the server takes publickey"),
            "{error}"
        );
        let keys = at.join(".ssh/authorized_keys");
        let old = std::fs::read_to_string(&keys).unwrap();
        std::fs::write(&keys, format!("{old}{}\n", pair.public())).unwrap();
        let (out, _) = run(&target, "echo in", &TransportOptions::default())
            .await
            .unwrap();
        assert_eq!(out, "in\n");
    }
}

#[tokio::test]
async fn dropbear_takes_the_password_of_an_account() {
    let Some(dropbear) = Dropbear::start("ed25519") else {
        return;
    };
    let mut target =
        target(dropbear.port, dropbear.folder.path()).with_option("IdentityFile", "none");
    target.user = Some("root".into());
    let (options, asked) = answers(&["wrong", "sesame"]);
    let result = run(&target, "echo in", &options).await;
    let (out, _) = result.unwrap_or_else(|error| panic!("{error}\n{}", dropbear.log()));
    assert_eq!(out, "in\n");
    assert_eq!(asked.lock().unwrap().len(), 2);
}

/// What the asking server takes.
#[derive(Clone)]
struct Asking {
    methods: &'static [MethodKind],
    asked: Arc<Mutex<Vec<String>>>,
}

impl Asking {
    fn reject(&self) -> Auth {
        Auth::Reject {
            proceed_with_methods: Some(MethodSet::from(self.methods)),
            partial_success: false,
        }
    }
}

impl Handler for Asking {
    type Error = russh::Error;

    async fn auth_none(&mut self, user: &str) -> Result<Auth, Self::Error> {
        self.asked.lock().unwrap().push("none".into());
        Ok(if user == "anybody" {
            Auth::Accept
        } else {
            self.reject()
        })
    }

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, Self::Error> {
        self.asked.lock().unwrap().push("password".into());
        Ok(if password == "sesame" {
            Auth::Accept
        } else {
            self.reject()
        })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<russh::server::Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        match response {
            None => Ok(Auth::Partial {
                name: "Two factors".into(),
                instructions: "Look at your \u{1b}[31mtoken".into(),
                prompts: vec![("Token: ".into(), true), ("PIN: ".into(), false)].into(),
            }),
            Some(response) => {
                let given: Vec<String> = response
                    .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                    .collect();
                let right = given == ["123456", "0000"];
                self.asked.lock().unwrap().push(format!("{given:?}"));
                Ok(if right { Auth::Accept } else { self.reject() })
            }
        }
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
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if command == b"refuse" {
            session.channel_failure(channel)?;
            return Ok(());
        }
        session.channel_success(channel)?;
        session.data(channel, Bytes::copy_from_slice(command))?;
        if command != b"vanish" {
            session.exit_status_request(channel, 5)?;
        }
        session.close(channel)?;
        Ok(())
    }
}

/// Serves until the runtime ends; says the port and what was asked for.
async fn asking(methods: &'static [MethodKind]) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let handler = Asking {
        methods,
        asked: Arc::clone(&asked),
    };
    let folder = tempfile::tempdir().unwrap();
    let pair = KeyPair::make(&folder.path().join("host"), "ed25519", "");
    let key = russh::keys::load_secret_key(&pair.private, None).unwrap();
    let config = Arc::new(Config {
        keys: vec![key],
        methods: MethodSet::from(methods),
        auth_rejection_time: std::time::Duration::from_millis(1),
        ..Config::default()
    });
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (config, handler) = (Arc::clone(&config), handler.clone());
            tokio::spawn(async move {
                if let Ok(session) = russh::server::run_stream(config, stream, handler).await {
                    _ = session.await;
                }
            });
        }
    });
    (port, asked)
}

#[tokio::test]
async fn a_password_is_asked_for_until_it_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let (port, _) = asking(&[MethodKind::Password]).await;
    let target = target(port, folder.path()).with_option("IdentityFile", "none");
    let (options, asked) = answers(&["wrong", "sesame"]);
    let (out, status) = run(&target, "hello", &options).await.unwrap();
    assert_eq!((out.as_str(), status), ("hello", ExitStatus::Code(5)));
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2);
    assert!(
        asked
            .iter()
            .all(|question| !question.echo && question.text.contains("password"))
    );

    // As often as the configuration says, then it is over.
    let (options, asked) = answers(&["a", "b", "c", "d", "e"]);
    let once = target.clone().with_option("NumberOfPasswordPrompts", "1");
    let error = run(&once, "hello", &options).await.unwrap_err();
    assert!(error.message.contains("password: refused"), "{error}");
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn batch_mode_asks_nothing_and_says_what_would_have_done() {
    let folder = tempfile::tempdir().unwrap();
    let (port, tried) = asking(&[MethodKind::Password, MethodKind::KeyboardInteractive]).await;
    let key = KeyPair::make(&folder.path().join("mine"), "ed25519", "");
    let target =
        target(port, folder.path()).with_option("IdentityFile", key.private.display().to_string());
    let (options, asked) = answers(&["sesame"]);
    let batch = target.clone().with_option("BatchMode", "yes");
    for (target, options) in [(&batch, &options), (&target, &TransportOptions::default())] {
        let error = run(target, "hello", options).await.unwrap_err();
        assert_eq!(error.stage, Stage::Authentication);
        assert!(
            error
                .message
                .contains("the server takes password, keyboard-interactive"),
            "{error}"
        );
        assert!(error.message.contains("mine: refused"), "{error}");
        assert!(error.hint.unwrap().contains("no terminal to ask"));
    }
    assert!(asked.lock().unwrap().is_empty());
    assert!(!tried.lock().unwrap().contains(&"password".to_owned()));
}

#[tokio::test]
async fn questions_of_the_server_are_put_to_the_user_without_its_escapes() {
    let folder = tempfile::tempdir().unwrap();
    let (port, given) = asking(&[MethodKind::KeyboardInteractive]).await;
    let target = target(port, folder.path()).with_option("IdentityFile", "none");
    let (options, asked) = answers(&["123456", "0000"]);
    let (out, _) = run(&target, "hello", &options).await.unwrap();
    assert_eq!(out, "hello");
    let asked = asked.lock().unwrap().clone();
    assert_eq!(
        asked
            .iter()
            .map(|question| question.echo)
            .collect::<Vec<_>>(),
        [true, false]
    );
    assert!(
        asked[0].text.contains("Two factors") && asked[0].text.contains("Token: "),
        "{}",
        asked[0].text
    );
    assert!(
        asked
            .iter()
            .all(|question| !question.text.contains('\u{1b}'))
    );
    assert!(
        given
            .lock()
            .unwrap()
            .contains(&"[\"123456\", \"0000\"]".to_owned())
    );

    let (options, _) = answers(&["1"]);
    let error = run(&target, "hello", &options).await.unwrap_err();
    assert!(error.message.contains("not answered"), "{error}");
}

#[tokio::test]
async fn a_server_that_asks_for_nothing_lets_us_in() {
    let folder = tempfile::tempdir().unwrap();
    let (port, _) = asking(&[MethodKind::Password]).await;
    let mut target = target(port, folder.path()).with_option("IdentityFile", "none");
    target.user = Some("anybody".into());
    assert_eq!(
        run(&target, "hello", &TransportOptions::default())
            .await
            .unwrap()
            .0,
        "hello"
    );
}

#[tokio::test]
async fn a_refused_command_and_a_missing_exit_status_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (port, _) = asking(&[MethodKind::Password]).await;
    let mut target = target(port, folder.path()).with_option("IdentityFile", "none");
    target.user = Some("anybody".into());
    let (_, status) = run(&target, "refuse", &TransportOptions::default())
        .await
        .unwrap();
    assert_eq!(
        status,
        ExitStatus::Unknown("the server refused to run the command".into())
    );
    let (out, status) = run(&target, "vanish", &TransportOptions::default())
        .await
        .unwrap();
    assert_eq!(out, "vanish");
    assert!(matches!(status, ExitStatus::Unknown(_)), "{status}");
}

#[tokio::test]
async fn an_unknown_host_key_is_put_to_the_user_and_recorded_on_yes() {
    let folder = tempfile::tempdir().unwrap();
    let (port, _) = asking(&[MethodKind::Password]).await;
    let mut target = target(port, folder.path()).with_option("IdentityFile", "none");
    target.user = Some("anybody".into());
    target
        .options
        .retain(|option| !matches!(option, Override::Line(keyword, _) if keyword == "StrictHostKeyChecking"));
    let known_hosts = folder.path().join("known_hosts");
    for (answer, text) in [
        (vec!["no"], "not accepted"),
        (vec!["maybe"], "not answered"),
    ] {
        let (options, _) = answers(&answer);
        let error = run(&target, "hello", &options).await.unwrap_err();
        assert_eq!(error.stage, Stage::HostKey);
        assert!(error.message.contains(text), "{error}");
        assert!(!known_hosts.exists());
    }
    let (options, asked) = answers(&["what?", "yes"]);
    assert_eq!(run(&target, "hello", &options).await.unwrap().0, "hello");
    assert!(asked.lock().unwrap()[0].text.contains("SHA256:"));
    assert!(
        std::fs::read_to_string(&known_hosts)
            .unwrap()
            .starts_with(&format!("[127.0.0.1]:{port} ssh-ed25519 "))
    );
    // From now on nothing is asked.
    assert_eq!(
        run(&target, "hello", &TransportOptions::default())
            .await
            .unwrap()
            .0,
        "hello"
    );
}
