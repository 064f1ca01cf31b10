//! A server in this process on a free loopback port, ways to reach it, and a proxy that stands in
//! the middle.

use std::sync::{Arc, Mutex};

use easycluster::server::{Handle, Server, ServerOptions};
use easycluster::transport::tcp::{Reader, TcpTarget, Writer, connect};
use easycluster::transport::{ExitStatus, ReadEvent, TransportOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub use crate::support::{PATIENCE, within};

pub const KEY: [u8; 32] = *b"0123456789abcdef0123456789abcdef";

/// A running server; ends with `stop`.
pub struct Running {
    pub handle: Handle,
    pub port: u16,
    task: tokio::task::JoinHandle<()>,
}

pub fn loopback() -> ServerOptions {
    ServerOptions::default().with_port(0).with_bind("127.0.0.1")
}

pub fn start(options: ServerOptions) -> Running {
    let server = Server::bind(&KEY, options).unwrap();
    let (handle, port) = (server.handle(), server.port());
    Running {
        handle,
        port,
        task: tokio::spawn(server.run()),
    }
}

impl Running {
    pub fn target(&self) -> TcpTarget {
        target(self.port)
    }

    pub async fn stop(self) {
        self.handle.stop("the test is over");
        within(self.task).await.unwrap();
    }
}

pub fn target(port: u16) -> TcpTarget {
    TcpTarget {
        host: "127.0.0.1".into(),
        port,
        key: KEY.to_vec(),
    }
}

/// Polls until `what` holds.
pub async fn until(name: &str, mut what: impl FnMut() -> bool) {
    crate::support::until(|| what().then_some(()).ok_or(name)).await;
}

pub async fn open(target: &TcpTarget, command: &str) -> (Writer, Reader) {
    within(connect(target, command, &TransportOptions::default()))
        .await
        .unwrap()
}

/// Runs a command to its end: what it wrote and how it ended.
pub async fn run(target: &TcpTarget, command: &str) -> (Vec<u8>, Vec<u8>, Option<ExitStatus>) {
    let (mut writer, reader) = open(target, command).await;
    writer.finish().await;
    drain(reader).await
}

pub async fn drain(mut reader: Reader) -> (Vec<u8>, Vec<u8>, Option<ExitStatus>) {
    let (mut out, mut err, mut exit) = (Vec::new(), Vec::new(), None);
    while let Some(event) = within(reader.next()).await {
        match event {
            ReadEvent::Stdout(bytes) => out.extend_from_slice(&bytes),
            ReadEvent::Stderr(bytes) => err.extend_from_slice(&bytes),
            ReadEvent::OutputEnd => {}
            ReadEvent::Exit(status) => exit = Some(status),
        }
    }
    (out, err, exit)
}

/// The server still serves others.
pub async fn assert_serves(target: &TcpTarget) {
    let (out, _, exit) = run(target, "echo fine").await;
    assert_eq!(out, b"fine\n");
    assert_eq!(exit, Some(ExitStatus::Code(0)));
}

/// What a proxy does with one write of one side: `(from the client, number of the piece, bytes)`.
pub type Meddle = Box<dyn FnMut(bool, usize, Vec<u8>) -> Vec<Vec<u8>> + Send>;

/// A proxy to the server that cuts the stream into the protocol's own pieces and lets `meddle`
/// change, drop, repeat or reorder them. Gives its port.
pub async fn proxy(port: u16, meddle: Meddle) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let meddle = Arc::new(Mutex::new(meddle));
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = server.into_split();
        let up = forward(true, client_read, server_write, meddle.clone());
        let down = forward(false, server_read, client_write, meddle);
        tokio::join!(up, down);
    });
    own
}

async fn forward(
    from_client: bool,
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    meddle: Arc<Mutex<Meddle>>,
) {
    for number in 0.. {
        let Some(piece) = piece(&mut from).await else {
            break;
        };
        let pieces = (meddle.lock().unwrap())(from_client, number, piece);
        for piece in pieces {
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    }
    let _ = to.shutdown().await;
}

/// One handshake message or one sealed frame.
async fn piece(from: &mut tokio::net::tcp::OwnedReadHalf) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 4];
    from.read_exact(&mut bytes).await.ok()?;
    let rest = match &bytes[..] {
        b"ECTH" => 68,
        b"ECTP" => 32,
        b"ECTR" => 2,
        length => u32::from_be_bytes(length.try_into().unwrap()) as usize + 16,
    };
    bytes.resize(4 + rest, 0);
    from.read_exact(&mut bytes[4..]).await.ok()?;
    Some(bytes)
}
