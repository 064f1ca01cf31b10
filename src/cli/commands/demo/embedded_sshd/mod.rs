//! A small SSH server inside this process, for the demonstration and for tests that must not need an installed sshd.
//!
//! It listens on loopback only, lets in the holder of one temporary key, and runs commands as the
//! current user. It serves `exec` requests and nothing else: no terminal, no shell, no forwarding.

mod process;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{PrivateKey, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, Disconnect, MethodKind, MethodSet};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::progress::CLOSE_GRACE;

/// A running server. [`shutdown`](EmbeddedSshd::shutdown) ends it and everything it started.
///
/// Dropping it without that also stops it, but does not wait until everything is gone.
#[derive(Debug)]
pub struct EmbeddedSshd {
    address: SocketAddr,
    host_key: PublicKey,
    stop: watch::Sender<bool>,
    /// Nothing is ever sent: it yields `None` once every task of the server has ended.
    all_ended: mpsc::Receiver<()>,
}

/// Makes a new Ed25519 key from the operating system's random numbers.
///
/// # Errors
///
/// Where the operating system has no random numbers to give.
pub fn generate_ed25519() -> io::Result<PrivateKey> {
    let mut seed = [0u8; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed));
    PrivateKey::new(pair, "easycluster temporary key").map_err(io::Error::other)
}

impl EmbeddedSshd {
    /// Starts a server on a free port of 127.0.0.1 that lets in clients with the private half of `authorized`.
    ///
    /// # Errors
    ///
    /// Where loopback cannot be listened on, or no host key can be made.
    pub async fn start(authorized: PublicKey) -> io::Result<EmbeddedSshd> {
        let key = generate_ed25519()?;
        let host_key = key.public_key().clone();
        let config = Arc::new(Config {
            methods: MethodSet::from(&[MethodKind::PublicKey][..]),
            keys: vec![key],
            // The client is this very machine's user: slowing down guesses only slows down the demonstration.
            auth_rejection_time: Duration::ZERO,
            inactivity_timeout: None,
            nodelay: true,
            ..Config::default()
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let (alive, all_ended) = mpsc::channel(1);
        tokio::spawn(accept(listener, config, authorized, stopped, alive));
        Ok(EmbeddedSshd {
            address,
            host_key,
            stop,
            all_ended,
        })
    }

    /// Where it listens: 127.0.0.1 and the port it got.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The line a known_hosts file needs for this server.
    ///
    /// # Errors
    ///
    /// Where the host key cannot be written as text.
    pub fn known_hosts_line(&self) -> io::Result<String> {
        let key = self.host_key.to_openssh().map_err(io::Error::other)?;
        Ok(format!(
            "[{}]:{} {key}\n",
            self.address.ip(),
            self.address.port()
        ))
    }

    /// Ends every connection and every process it started, and returns when they are gone.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        let _ = self.all_ended.recv().await;
    }
}

/// Accepts connections until `stopped`; each becomes a task that holds a clone of `alive`.
async fn accept(
    listener: TcpListener,
    config: Arc<Config>,
    authorized: PublicKey,
    mut stopped: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
) {
    loop {
        tokio::select! {
            // An error is as good as the word: then the server's owner is gone.
            _ = stopped.changed() => return,
            accepted = listener.accept() => {
                // A failed accept concerns that one connection (it was reset, or descriptors ran out).
                let Ok((stream, peer)) = accepted else { continue };
                let login = Login {
                    authorized: authorized.clone(),
                    peer,
                    server: listener.local_addr().unwrap_or(peer),
                    waiting: HashMap::new(),
                    stopped: stopped.clone(),
                    alive: alive.clone(),
                };
                tokio::spawn(serve(stream, Arc::clone(&config), login));
            }
        }
    }
}

/// One connection from the first byte to the last.
async fn serve(stream: TcpStream, config: Arc<Config>, login: Login) {
    let _ = stream.set_nodelay(true);
    let mut stopped = login.stopped.clone();
    let _alive = login.alive.clone();
    let running = tokio::select! {
        _ = stopped.changed() => return,
        session = russh::server::run_stream(config, stream, login) => session,
    };
    // A client that leaves in the middle of the handshake is its own affair.
    let Ok(mut session) = running else { return };
    let handle = session.handle();
    tokio::select! {
        _ = stopped.changed() => {
            let goodbye = async {
                let _ = handle
                    .disconnect(Disconnect::ByApplication, "server stops".into(), String::new())
                    .await;
                let _ = (&mut session).await;
            };
            let _ = tokio::time::timeout(CLOSE_GRACE, goodbye).await;
        }
        _ = &mut session => {}
    }
}

/// What is known about one client, and its channels that have not asked for a command yet.
struct Login {
    authorized: PublicKey,
    peer: SocketAddr,
    server: SocketAddr,
    waiting: HashMap<ChannelId, Channel<Msg>>,
    stopped: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
}

impl Handler for Login {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        _user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        // The comment is no part of a key, so only the key data are compared.
        if key.public_key.key_data() == self.authorized.key_data() {
            Ok(Auth::Accept)
        } else {
            Ok(Auth::reject())
        }
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.waiting.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.waiting.remove(&channel);
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        // A second request on one channel finds nothing here; SSH allows one command a channel.
        let Some(channel) = self.waiting.remove(&id) else {
            return session.channel_failure(id);
        };
        let place = process::Place {
            peer: self.peer,
            server: self.server,
        };
        match process::start(command, &place) {
            Ok(child) => {
                session.channel_success(id)?;
                let alive = self.alive.clone();
                let stopped = self.stopped.clone();
                tokio::spawn(async move {
                    process::serve(child, channel, stopped).await;
                    drop(alive);
                });
                Ok(())
            }
            Err(_) => session.channel_failure(id),
        }
    }

    async fn shell_request(
        &mut self,
        id: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }
}
