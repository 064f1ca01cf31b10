//! How often a connection waits for the other side, counted by a relay that delays every byte, beside `ssh` on the same relay.
//!
//! Not timed, because a busy machine would count too. Every delivery has a depth: one more than the
//! deepest delivery that its sender had before it sent. Half the depth is the round trips waited for.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use easycluster::connection::ConnectOptions;
use easycluster::{Client, ConnectionSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Sshd, SshdOptions, program, until};

/// One way: long enough that what is sent without waiting is sent before the next delivery.
const DELAY: Duration = Duration::from_millis(40);

/// The deepest delivery to each side, and how many are on their way.
#[derive(Clone, Default)]
struct Depths {
    to_client: Arc<AtomicU32>,
    to_server: Arc<AtomicU32>,
    flying: Arc<AtomicU32>,
}

/// Hands everything on after the delay, without making what follows wait for it.
async fn delayed(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    sender: Arc<AtomicU32>,
    receiver: Arc<AtomicU32>,
    flying: Arc<AtomicU32>,
) {
    let landed = Arc::clone(&flying);
    let (queue, mut waiting) = tokio::sync::mpsc::unbounded_channel::<(Instant, u32, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((when, depth, bytes)) = waiting.recv().await {
            tokio::time::sleep_until(when.into()).await;
            receiver.fetch_max(depth, Ordering::SeqCst);
            if to.write_all(&bytes).await.is_err() {
                return;
            }
            landed.fetch_sub(1, Ordering::SeqCst);
        }
        _ = to.shutdown().await;
    });
    let mut buffer = vec![0; 65536];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        flying.fetch_add(1, Ordering::SeqCst);
        let depth = sender.load(Ordering::SeqCst) + 1;
        let when = Instant::now() + DELAY;
        if queue.send((when, depth, buffer[..count].to_vec())).is_err() {
            return;
        }
    }
}

/// A relay on a thread of its own, for one connection, so that a busy test does not delay it.
fn relay(to: u16) -> (u16, Depths) {
    let (sender, port) = std::sync::mpsc::channel();
    let depths = Depths::default();
    let Depths {
        to_client,
        to_server,
        flying,
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
                    Arc::clone(&to_server),
                    Arc::clone(&flying)
                ),
                delayed(server_read, client_write, to_server, to_client, flying)
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

/// Round trips that each of these took to the result of a call.
struct Ours {
    first: f64,
    second: f64,
    /// One for which an interpreter was started ahead of need.
    ahead: f64,
}

async fn by_us(server: &Sshd) -> Ours {
    let (port, depths) = relay(server.port());
    server.is_known_at(port);
    let spec = server.spec_at("127.0.0.1", port);
    let mut clients = Vec::new();
    let first = result(&spec, &depths, &mut clients).await;
    let second = result(&format!("{spec}:ahead=1"), &depths, &mut clients).await;
    // The other two, and the one that waits.
    prepared(server, 3).await;
    let ahead = result(&format!("{spec}:ahead=1"), &depths, &mut clients).await;
    Ours {
        first,
        second,
        ahead,
    }
}

/// Round trips from nothing to the result of a call, definitions included.
async fn result(spec: &str, depths: &Depths, clients: &mut Vec<Client>) -> f64 {
    settled(depths).await;
    let before = depths.trips();
    let spec: ConnectionSpec = spec.parse().unwrap();
    let client = Client::begin(&spec, ConnectOptions::default())
        .await
        .unwrap();
    let defining = client.define("def double(number):\n    return 2 * number\n");
    let calling = client.call::<i64>("double", (21,));
    let (defined, (doubled, after)) = tokio::join!(defining, async {
        let doubled = calling.await;
        (doubled, depths.trips())
    });
    defined.unwrap();
    assert_eq!(doubled.unwrap(), 42);
    clients.push(client);
    after - before
}

/// Waits until nothing is on its way, so that what came before is not counted.
async fn settled(depths: &Depths) {
    // Twice the delay, in which an answer would have been sent.
    let mut quiet = Instant::now();
    until(|| {
        let flying = depths.flying.load(Ordering::SeqCst);
        if flying > 0 {
            quiet = Instant::now();
        }
        match quiet.elapsed() < 2 * DELAY {
            true => Err(flying),
            false => Ok(()),
        }
    })
    .await;
}

/// Waits until so many interpreters have been started; what they say then is waited for by `settled`.
async fn prepared(server: &Sshd, count: usize) {
    until(|| {
        let processes = server.session_processes();
        let running = processes
            .iter()
            .filter(|process| process.command.contains("import"))
            .count();
        if running < count {
            Err(processes)
        } else {
            Ok(())
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_result_takes_no_more_round_trips_than_ssh_takes_for_true() {
    let server = Sshd::start_with(&SshdOptions {
        home: vec![(".bashrc", String::new())],
        ..SshdOptions::default()
    });
    // The least of several runs: on a busy machine what need not wait is sometimes late.
    let mut theirs = f64::MAX;
    let mut ours = Ours {
        first: f64::MAX,
        second: f64::MAX,
        ahead: f64::MAX,
    };
    for _ in 0..5 {
        theirs = theirs.min(by_openssh(&server));
        let run = by_us(&server).await;
        ours.first = ours.first.min(run.first);
        ours.second = ours.second.min(run.second);
        ours.ahead = ours.ahead.min(run.ahead);
    }
    let Ours {
        first,
        second,
        ahead,
    } = ours;
    println!(
        "round trips: ssh true {theirs}, our first result {first}, a second client {second}, one ahead of need {ahead}"
    );
    assert!(first <= 8.0, "{first} round trips to the first result");
    assert!(first <= theirs, "ours {first}, ssh {theirs}");
    // Starting the command on the spare channel, which opens the window for its input; the stub
    // with the call behind it.
    assert!(second <= 2.0, "{second} round trips for a second client");
    // The call.
    assert!(ahead <= 1.0, "{ahead} round trips with all in place");
    server.wait_until_idle();
}
