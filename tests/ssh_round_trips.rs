//! How often a connection waits for the other side, counted by a relay that delays every byte, beside `ssh` on the same relay.
//!
//! Not timed, because a busy machine would count too. Every delivery has a depth: one more than the
//! deepest delivery that its sender had before it sent. Half the depth is the round trips waited for.

mod support;

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use easycluster::transport::ssh::{ConfigSource, Connector, SshTarget, open};
use easycluster::transport::{Process, ReadEvent, TransportOptions};
use support::{Sshd, SshdOptions, program};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// One way: long enough that what is sent without waiting is sent before the next delivery.
const DELAY: Duration = Duration::from_millis(40);

/// The deepest delivery to each side.
#[derive(Clone, Default)]
struct Depths {
    to_client: Arc<AtomicU32>,
    to_server: Arc<AtomicU32>,
}

/// Hands everything on after the delay, without making what follows wait for it.
async fn delayed(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    sender: Arc<AtomicU32>,
    receiver: Arc<AtomicU32>,
) {
    let (queue, mut waiting) = tokio::sync::mpsc::unbounded_channel::<(Instant, u32, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((when, depth, bytes)) = waiting.recv().await {
            tokio::time::sleep_until(when.into()).await;
            receiver.fetch_max(depth, Ordering::SeqCst);
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        _ = to.shutdown().await;
    });
    let mut buffer = vec![0; 65536];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let depth = sender.load(Ordering::SeqCst) + 1;
        let when = Instant::now() + DELAY;
        if queue.send((when, depth, buffer[..count].to_vec())).is_err() {
            return;
        }
    }
}

/// A relay on a thread of its own, for one connection, so that a busy test does not hold it up.
fn relay(to: u16) -> (u16, Depths) {
    let (sender, port) = std::sync::mpsc::channel();
    let depths = Depths::default();
    let Depths {
        to_client,
        to_server,
    } = depths.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap().port()).unwrap();
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            client.set_nodelay(true).unwrap();
            server.set_nodelay(true).unwrap();
            let (client_read, client_write) = client.into_split();
            let (server_read, server_write) = server.into_split();
            tokio::join!(
                delayed(
                    client_read,
                    server_write,
                    Arc::clone(&to_client),
                    Arc::clone(&to_server)
                ),
                delayed(server_read, client_write, to_server, to_client)
            );
        });
    });
    (port.recv().unwrap(), depths)
}

impl Depths {
    /// Round trips up to what the client has now.
    fn trips(&self) -> f64 {
        f64::from(self.to_client.load(Ordering::SeqCst)) / 2.0
    }
}

fn by_openssh(server: &Sshd) -> f64 {
    let (port, depths) = relay(server.port());
    let output = Command::new(program("ssh"))
        .args(["-F", "none", "-T", "-p"])
        .arg(port.to_string())
        .arg("-i")
        .arg(&server.key.private)
        .arg(format!(
            "-oUserKnownHostsFile={}",
            server.known_hosts().display()
        ))
        .args([
            "-oIdentitiesOnly=yes",
            "-oIdentityAgent=none",
            "-oGlobalKnownHostsFile=none",
        ])
        .args(["-oBatchMode=yes", "-oHostKeyAlias=testhost"])
        .arg(format!("{}@127.0.0.1", server.user()))
        .arg("true")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    depths.trips()
}

/// Round trips from nothing to the first byte of the command's answer to what was sent behind it,
/// and from there to the same for a second client.
async fn by_us(server: &Sshd) -> (f64, f64) {
    let (port, depths) = relay(server.port());
    let connector = Connector::new();
    let target = SshTarget {
        port: Some(port),
        user: Some(server.user().to_owned()),
        config: ConfigSource::None,
        ..SshTarget::new("127.0.0.1")
    }
    .with_option(
        "UserKnownHostsFile",
        server.known_hosts().display().to_string(),
    )
    .with_option("GlobalKnownHostsFile", "none")
    .with_option("HostKeyAlias", "testhost")
    .with_option("IdentityFile", server.key.private.display().to_string())
    .with_option("IdentityAgent", "none");
    let first = first_answer(&connector, &target).await;
    let to_first = depths.trips();
    let second = first_answer(&connector, &target).await;
    let to_second = depths.trips() - to_first;
    drop((first, second));
    (to_first, to_second)
}

async fn first_answer(connector: &Connector, target: &SshTarget) -> Process {
    let mut process = open(connector, target, "exec cat", &TransportOptions::default())
        .await
        .unwrap();
    process
        .writer
        .write(vec![bytes::Bytes::from_static(b"x")])
        .await
        .unwrap();
    assert!(matches!(
        process.reader.next().await,
        Some(ReadEvent::Stdout(_))
    ));
    process
}

#[tokio::test]
async fn a_result_takes_no_more_round_trips_than_ssh_takes_for_true() {
    let server = Sshd::start_with(&SshdOptions {
        home: vec![(".bashrc", String::new())],
        ..SshdOptions::default()
    });
    // The least of several runs: on a busy machine what need not wait is sometimes late.
    let (mut theirs, mut ours, mut second) = (f64::MAX, f64::MAX, f64::MAX);
    for _ in 0..5 {
        theirs = theirs.min(by_openssh(&server));
        let (to_first, to_second) = by_us(&server).await;
        ours = ours.min(to_first);
        second = second.min(to_second);
    }
    println!("round trips: ssh true {theirs}, our first result {ours}, a second client {second}");
    assert!(ours <= 8.0, "{ours} round trips to the first result");
    assert!(ours <= theirs, "ours {ours}, ssh {theirs}");
    // Opening the channel; starting the command, which opens the window for its input; the input
    // and its echo. No handshake.
    assert!(second <= 3.0, "{second} round trips for a second client");
}
