//! How often a connection waits for the other side, seen by a relay that delays every byte, beside `ssh` on the same relay.

mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use easycluster::transport::ssh::{ConfigSource, Connector, SshTarget, open};
use easycluster::transport::{Process, ReadEvent, TransportOptions};
use support::{Sshd, SshdOptions, program};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// One way. A round trip is twice this.
const DELAY: Duration = Duration::from_millis(25);

/// Hands everything on after the delay, without making what follows wait for it.
async fn delayed(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let (sender, mut waiting) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((when, bytes)) = waiting.recv().await {
            tokio::time::sleep_until(when.into()).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        _ = to.shutdown().await;
    });
    let mut buffer = vec![0; 65536];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if sender
            .send((Instant::now() + DELAY, buffer[..count].to_vec()))
            .is_err()
        {
            return;
        }
    }
}

/// A relay on a thread of its own, so that a busy test does not add to the delay.
fn relay(to: u16) -> u16 {
    let (sender, port) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap().port()).unwrap();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let (client_read, client_write) = client.into_split();
                let (server_read, server_write) = server.into_split();
                tokio::spawn(delayed(client_read, server_write));
                tokio::spawn(delayed(server_read, client_write));
            }
        });
    });
    port.recv().unwrap()
}

fn by_openssh(server: &Sshd, port: u16) -> Duration {
    let since = Instant::now();
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
    since.elapsed()
}

/// From nothing to the first byte of the command's answer to what was sent behind it.
async fn by_us(server: &Sshd, port: u16) -> (Duration, Connector, Process, SshTarget) {
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
    let since = Instant::now();
    let process = first_answer(&connector, &target).await;
    (since.elapsed(), connector, process, target)
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
    let slow = relay(server.port());
    let trip = 2.0 * DELAY.as_secs_f64();
    // The best of several runs each, because the machine may be busy; what is left when the time
    // without the delay is taken away is waiting.
    const RUNS: usize = 6;
    let best = |times: &[f64]| times.iter().copied().fold(f64::MAX, f64::min);
    let (mut theirs, mut theirs_direct) = (Vec::new(), Vec::new());
    let (mut ours, mut ours_direct) = (Vec::new(), Vec::new());
    let (mut second, mut second_direct) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        theirs_direct.push(by_openssh(&server, server.port()).as_secs_f64());
        theirs.push(by_openssh(&server, slow).as_secs_f64());
        for (port, first, more) in [
            (server.port(), &mut ours_direct, &mut second_direct),
            (slow, &mut ours, &mut second),
        ] {
            let (took, connector, process, target) = by_us(&server, port).await;
            first.push(took.as_secs_f64());
            let since = Instant::now();
            let other = first_answer(&connector, &target).await;
            more.push(since.elapsed().as_secs_f64());
            drop((process, other));
        }
    }
    let trips = |slow: &[f64], direct: &[f64]| (best(slow) - best(direct)) / trip;
    let theirs = trips(&theirs, &theirs_direct);
    let ours = trips(&ours, &ours_direct);
    let second = trips(&second, &second_direct);
    println!(
        "round trips: ssh true {theirs:.1}, our first result {ours:.1}, a second client {second:.1}"
    );
    // Both are whole numbers but for the noise of a busy machine.
    assert!(ours < 8.5, "{ours:.1} round trips to the first result");
    assert!(ours <= theirs + 0.5, "ours {ours:.1}, ssh {theirs:.1}");
    // Opening the channel; starting the command, which opens the window for its input; the input
    // and its echo. No handshake.
    assert!(second < 3.7, "{second:.1} round trips for a second client");
}
