//! The TCP transport: to a standalone server, authenticated by a shared key. Its end is the same
//! byte pipe to a shell command as every other transport's.

// Both ends run these two; without the server only the client's half is in use.
#[cfg_attr(not(feature = "server"), allow(dead_code))]
pub(crate) mod handshake;
#[cfg_attr(not(feature = "server"), allow(dead_code))]
pub(crate) mod link;

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use self::link::{Incoming, LinkError, LinkReceiver, LinkSender, Liveness, Side, Taker};
use crate::dial::{AddressFamily, Dial};
use crate::error::{ConnectError, Stage};
use crate::spec::ConnectionSpec;
use crate::transport::{ExitStatus, Process, ReadEvent, TransportOptions};
use crate::wire::authentication::{
    AuthenticationError, COMMAND_MAX, Message, Open, Opened, Opener, Refusal, Sealer,
};

/// A standalone server.
#[derive(Clone)]
pub struct TcpTarget {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The key shared with the server.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for TcpTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpTarget")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("key", &format_args!("{} bytes", self.key.len()))
            .finish()
    }
}

impl TcpTarget {
    /// What the target is called in errors: `host:port`, an IPv6 address in brackets.
    pub fn peer(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// The write half: standard input of the remote command.
#[derive(Debug)]
pub struct Writer {
    sender: LinkSender,
    ended: bool,
}

/// The read half: standard output and error of the remote command, and how it ended.
#[derive(Debug)]
pub struct Reader {
    receiver: LinkReceiver,
    taker: Taker,
    peer: String,
    said_exit: bool,
    server: Option<Opened>,
}

impl Writer {
    /// Writes all of it. Waits while the other side has no room.
    pub async fn write(&mut self, pieces: Vec<Bytes>) -> io::Result<()> {
        for piece in pieces {
            self.sender.data(piece).await?;
        }
        Ok(())
    }

    /// Ends the standard input of the remote command.
    pub async fn finish(&mut self) {
        if !self.ended {
            self.ended = true;
            self.sender.send(&Message::End);
        }
    }
}

impl Reader {
    /// The server's release and the command's process id there; known once the server has started
    /// the command, which it says before any output.
    pub fn server(&self) -> Option<&Opened> {
        self.server.as_ref()
    }

    /// What came next; None when nothing more will. Can be cancelled without losing anything.
    pub async fn next(&mut self) -> Option<ReadEvent> {
        loop {
            let status = match self.receiver.next().await {
                Some(Ok(Incoming::Data(bytes))) => {
                    self.taker.taken(bytes.len());
                    return Some(ReadEvent::Stdout(bytes));
                }
                Some(Ok(Incoming::Stderr(bytes))) => {
                    self.taker.taken(bytes.len());
                    return Some(ReadEvent::Stderr(bytes));
                }
                Some(Ok(Incoming::Exit(exit))) => exit.into(),
                Some(Ok(Incoming::Opened(opened))) => {
                    self.server = Some(opened);
                    continue;
                }
                Some(Ok(Incoming::Open(_) | Incoming::End | Incoming::Close)) => continue,
                Some(Err(LinkError::Peer(sentence))) => {
                    ExitStatus::Unknown(format!("the server at {} says: {sentence}", self.peer))
                }
                Some(Err(error)) => {
                    ExitStatus::Unknown(format!("the connection to {} ended: {error}", self.peer))
                }
                None => return None,
            };
            if !self.said_exit {
                self.said_exit = true;
                return Some(ReadEvent::Exit(status));
            }
        }
    }
}

/// Connects as the spec says: its host, port and key.
///
/// # Errors
/// Where there is no key, at stage configure; else as `connect`.
pub async fn open(
    spec: &ConnectionSpec,
    command: &str,
    options: &TransportOptions,
) -> Result<Process, ConnectError> {
    let configure = |message: String| ConnectError::new(spec.label(), Stage::Configure, message);
    let Some(source) = &spec.key else {
        return Err(configure("a standalone server needs a key and the spec has none".into())
            .with_hint(format!(
                "add kf=FILE with the server's key file, or write user@{host} to connect over SSH",
                host = spec.host.to_plain()
            )));
    };
    let loaded = source
        .load()
        .map_err(|error| configure(error.to_string()))?;
    for warning in &loaded.warnings {
        options.reached(Stage::Configure, Duration::ZERO, warning.to_string());
    }
    let target = TcpTarget {
        host: spec.host.to_plain(),
        port: spec.tcp_port(),
        key: loaded.key.as_bytes().to_vec(),
    };
    let (writer, reader) = connect(&target, command, options).await?;
    Ok(Process {
        writer: crate::transport::Writer::Tcp(writer),
        reader: crate::transport::Reader::Tcp(reader),
        peer: target.peer(),
    })
}

/// Connects, authenticates and has the server run `command` by `/bin/sh -c`. Returns as soon as
/// the server has proved that it holds the key; the command was sent before that.
pub async fn connect(
    target: &TcpTarget,
    command: &str,
    options: &TransportOptions,
) -> Result<(Writer, Reader), ConnectError> {
    let peer = target.peer();
    if command.len() > COMMAND_MAX {
        return Err(ConnectError::new(
            peer,
            Stage::Channel,
            format!(
                "the command line has {} bytes, over the limit of {COMMAND_MAX}",
                command.len()
            ),
        ));
    }
    let dialling = Dial {
        name: &peer,
        host: &target.host,
        port: target.port,
        family: AddressFamily::Any,
        bind: None,
        resolve_limit: options.limits.of(Stage::Resolve),
        connect_limit: options.limits.of(Stage::Connect),
        unknown_hint: "check the spelling, or give the address itself",
        refused_hint: "nothing listens there: start the server with `easycluster -S -k FILE`, or check the port",
        observer: options.observer.as_ref(),
    };
    let mut stream = dialling.connect().await?.stream;
    let (sealer, opener) = authenticate(&mut stream, target, command, options, &peer).await?;
    let (sender, receiver) = link::start(
        stream,
        BytesMut::new(),
        Side::Client,
        sealer,
        opener,
        Liveness::default(),
    );
    let writer = Writer {
        sender,
        ended: false,
    };
    let reader = Reader {
        taker: receiver.taker(),
        receiver,
        peer,
        said_exit: false,
        server: None,
    };
    Ok((writer, reader))
}

async fn authenticate(
    stream: &mut TcpStream,
    target: &TcpTarget,
    command: &str,
    options: &TransportOptions,
    peer: &str,
) -> Result<(Sealer, Opener), ConnectError> {
    let start = Instant::now();
    let limit = options.limits.of(Stage::KeyExchange);
    let (client, hello) = staged(
        peer,
        Stage::KeyExchange,
        limit,
        handshake::greet(stream, &target.key),
    )
    .await?;
    options.reached(Stage::KeyExchange, start.elapsed(), "X25519, version 1");

    let start = Instant::now();
    let open = Message::Open(Open {
        command: command.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    });
    let limit = options.limits.of(Stage::Authentication);
    let keys = staged(
        peer,
        Stage::Authentication,
        limit,
        handshake::prove(stream, client, &hello, &[open.head()]),
    )
    .await?;
    options.reached(
        Stage::Authentication,
        start.elapsed(),
        "shared key, HMAC-SHA256, ChaCha20-Poly1305",
    );
    Ok(keys)
}

async fn staged<T>(
    peer: &str,
    stage: Stage,
    limit: Duration,
    work: impl Future<Output = Result<T, LinkError>>,
) -> Result<T, ConnectError> {
    match timeout(limit, work).await {
        Ok(result) => result.map_err(|error| explain(peer, stage, &error)),
        Err(_) => Err(ConnectError::timeout(peer, stage, limit)
            .with_hint("something listens there, but it does not answer as an easycluster server")),
    }
}

/// What to do next depends on how far it came and what the other side was.
fn explain(peer: &str, stage: Stage, error: &LinkError) -> ConnectError {
    const COMPARE: &str = "compare the key files of both sides; they must hold the same key";
    let failed = ConnectError::new(peer, stage, error.to_string());
    match error {
        LinkError::Authentication(AuthenticationError::Refused(refusal)) => {
            let (message, hint) = match refusal {
                Refusal::Proof => (
                    "the server has a different key, or bytes were changed in transit",
                    COMPARE,
                ),
                Refusal::Version => (
                    "the server speaks another version of the protocol",
                    "install the same release on both sides",
                ),
                Refusal::Busy => (
                    "the server's limit of connections is reached",
                    "try again later, or raise the server's limit",
                ),
                Refusal::Address => (
                    "the server does not accept connections from this machine's address",
                    "start the server with --allow for this network",
                ),
                Refusal::Slow => ("the handshake took too long for the server", "try again"),
                Refusal::Other(_) => (
                    "the server refused the connection for a reason this version does not know",
                    "install the same release on both sides",
                ),
            };
            ConnectError::new(peer, stage, message).with_hint(hint)
        }
        LinkError::Authentication(AuthenticationError::Proof) => failed.with_hint(COMPARE),
        LinkError::Authentication(AuthenticationError::NotOurs) => {
            failed.with_hint("check the port: something other than `easycluster -S` listens there")
        }
        LinkError::Truncated => ConnectError::new(
            peer,
            stage,
            "the other side ended the connection in the handshake",
        )
        .with_hint("check that `easycluster -S` listens there, and check its log"),
        _ => failed,
    }
}
