//! An SSH server that answers every command by itself, so that one process can stand for thousands of hosts, each a user.

use std::sync::Arc;
use std::time::Duration;

use russh::keys::PrivateKey;
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, Session, VerifiedPublicKey, run_stream,
};
use russh::{Channel, ChannelId, MethodKind, MethodSet};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What every command prints, behind the sign that it was started.
const ANSWER: &[u8] = b"1\n";

/// How many clients the system keeps until they are taken.
const BACKLOG: u32 = 4096;

/// Serves on a free port of the loopback until the runtime ends, and gives that port. Any key and any user logs in. Commands print `1`
/// and end well, once there have been `together` of them.
pub fn start(host_key: PrivateKey, together: usize) -> std::io::Result<u16> {
    let arrived = watch::Sender::new(0);
    let config = Arc::new(Config {
        keys: vec![host_key],
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: Duration::ZERO,
        inactivity_timeout: None,
        nodelay: true,
        ..Config::default()
    });
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener: TcpListener = socket.listen(BACKLOG)?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        loop {
            // One that has gone already, or want of descriptors, which others give back.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            let config = Arc::clone(&config);
            let login = Login {
                arrived: arrived.clone(),
                together,
            };
            tokio::spawn(async move {
                _ = stream.set_nodelay(true);
                if let Ok(session) = run_stream(config, stream, login).await {
                    _ = session.await;
                }
            });
        }
    });
    Ok(port)
}

struct Login {
    arrived: watch::Sender<usize>,
    together: usize,
}

impl Handler for Login {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        _: &str,
        _: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
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
        session.channel_success(channel)?;
        self.arrived.send_modify(|count| *count += 1);
        let (mut all, together) = (self.arrived.subscribe(), self.together);
        let handle = session.handle();
        let printed = [&sign(command), ANSWER].concat();
        tokio::spawn(async move {
            _ = all.wait_for(|count| *count >= together).await;
            // One that has gone wants no answer.
            _ = handle.data(channel, printed).await;
            _ = handle.exit_status_request(channel, 0).await;
            _ = handle.eof(channel).await;
            _ = handle.close(channel).await;
        });
        Ok(())
    }
}

/// What a command is to print first, by which it is known to have been started.
fn sign(command: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(command);
    let (_, words) = text.split_once("printf %s%s ").unwrap_or_default();
    let (words, _) = words.split_once(';').unwrap_or_default();
    words.split(' ').collect::<String>().into_bytes()
}
