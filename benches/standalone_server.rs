//! The standalone server beside SSH on the same machine, in one run. `cargo bench --bench standalone_server`
//!
//! Ratios hold on other machines, absolute figures do not. The server is a process of its own.

// A benchmark that meets a fault ends with it, and prints what it found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use easycluster::transport::tcp::{Reader, TcpTarget, Writer, connect};
use easycluster::transport::{ReadEvent, TransportOptions};
use easycluster::{Client, Value};
use support::{Interpreter, Sshd, SshdOptions, interpreter_at_least};

const MIB: usize = 1 << 20;
const KEY: [u8; 32] = *b"0123456789abcdef0123456789abcdef";

struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(key_file: &std::path::Path) -> Self {
        let hex: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(key_file, hex).expect("a key file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_easycluster"))
            .args([
                "-S",
                "-b",
                "127.0.0.1",
                "-p",
                "0",
                "-c",
                "QuietServer",
                "-k",
            ])
            .arg(key_file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("the server says where it listens");
        let port = line
            .rsplit(' ')
            .next()
            .and_then(|it| it.trim().parse().ok());
        Server {
            child,
            port: port.expect("a port"),
        }
    }

    fn target(&self) -> TcpTarget {
        TcpTarget {
            host: "127.0.0.1".into(),
            port: self.port,
            key: KEY.to_vec(),
        }
    }

    fn spec(&self) -> String {
        let hex: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("127.0.0.1:{}:key={hex}", self.port)
    }

    /// Resident memory in KiB.
    fn resident(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let text = text.expect("the server runs");
        let line = text.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        number.expect("a number of KiB")
    }

    /// Time on the processor so far, its children's not counted.
    fn cpu(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let text = text.expect("the server runs");
        let fields: Vec<_> = text.rsplit(") ").next().unwrap_or("").split(' ').collect();
        let ticks: u64 = [fields[11], fields[12]]
            .iter()
            .map(|it| it.parse::<u64>().expect("ticks"))
            .sum();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("key"));
    let sshd = Sshd::start_with(&SshdOptions::default());
    let python = interpreter_at_least((3, 8));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        // One of these words behind `--` runs that alone.
        let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
        let is_wanted = |name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
        if is_wanted("connecting") {
            connecting(&server, &sshd, python).await;
        }
        if is_wanted("calls") {
            calls(&server, &sshd, python).await;
        }
        if is_wanted("bulk") {
            bulk(&server, &sshd, python).await;
        }
        if is_wanted("pipe") {
            pipe(&server).await;
        }
        if is_wanted("many") {
            many(&server).await;
        }
    });
}

async fn client(spec: &str, python: &Interpreter) -> Client {
    Client::from_spec(&format!("{spec}:rpython={}", python.path.display()))
        .await
        .expect("the client connects")
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn rate(bytes: usize, time: Duration) -> f64 {
    bytes as f64 / MIB as f64 / time.as_secs_f64()
}

async fn connecting(server: &Server, sshd: &Sshd, python: &Interpreter) {
    let (mut tcp, mut ssh) = (Vec::new(), Vec::new());
    for round in 0..20 {
        for (spec, times) in [(server.spec(), &mut tcp), (sshd.spec(), &mut ssh)] {
            let begin = Instant::now();
            let client = client(&spec, python).await;
            let _: i64 = client.call("abs", (-42,)).await.expect("the call succeeds");
            if round >= 3 {
                times.push(begin.elapsed());
            }
            client.close().await;
        }
    }
    let (tcp, ssh) = (median(tcp), median(ssh));
    println!("connect to first result: server {tcp:.1?}, SSH {ssh:.1?}");
}

async fn calls(server: &Server, sshd: &Sshd, python: &Interpreter) {
    for (name, spec) in [("server", server.spec()), ("SSH", sshd.spec())] {
        let client = client(&spec, python).await;
        let mut times = Vec::new();
        for _ in 0..3000 {
            let begin = Instant::now();
            let _: i64 = client.call("abs", (-42,)).await.expect("the call succeeds");
            times.push(begin.elapsed());
        }
        println!("one call by {name}: {:.0?}", median(times));
        let begin = Instant::now();
        let cpu = server.cpu();
        let count = 20_000u32;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..count {
            let client = client.clone();
            calls.spawn(async move { client.call::<i64>("abs", (-42,)).await });
        }
        while let Some(done) = calls.join_next().await {
            done.expect("no task panics").expect("the call succeeds");
        }
        println!(
            "calls in flight by {name}: {:.0} a second",
            f64::from(count) / begin.elapsed().as_secs_f64()
        );
        if name == "server" {
            let spent = server.cpu() - cpu;
            println!(
                "the server's own time for a call in flight: {:.2?}",
                spent / count
            );
        }
        client.close().await;
    }
}

async fn bulk(server: &Server, sshd: &Sshd, python: &Interpreter) {
    let size = 64 * MIB;
    for (name, spec) in [("server", server.spec()), ("SSH", sshd.spec())] {
        let client = client(&spec, python).await;
        let (mut up, mut down) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let argument = Value::Bytes(vec![7; size]);
            let begin = Instant::now();
            let length: usize = client.call("len", (argument,)).await.expect("it arrives");
            up.push(begin.elapsed());
            assert_eq!(length, size);
            let begin = Instant::now();
            let result: Value = client
                .eval(&format!("b'x' * {size}"))
                .await
                .expect("it arrives");
            down.push(begin.elapsed());
            drop(result);
        }
        println!(
            "64 MiB by {name}: argument {:.0} MiB/s, result {:.0} MiB/s",
            rate(size, median(up)),
            rate(size, median(down))
        );
        client.close().await;
    }
}

async fn open(server: &Server, command: &str) -> (Writer, Reader) {
    connect(&server.target(), command, &TransportOptions::default())
        .await
        .expect("the server runs it")
}

/// The bare byte pipe, without Python.
async fn pipe(server: &Server) {
    let size = 512 * MIB;
    let cpu = server.cpu();
    let (mut writer, mut reader) = open(server, "exec cat > /dev/null").await;
    let piece = Bytes::from(vec![7; MIB]);
    let begin = Instant::now();
    for _ in 0..size / MIB {
        writer
            .write(vec![piece.clone()])
            .await
            .expect("it is taken");
    }
    writer.finish().await;
    while reader.next().await.is_some() {}
    println!("pipe up: {:.0} MiB/s", rate(size, begin.elapsed()));
    let (_writer, mut reader) = open(server, &format!("exec head -c {size} /dev/zero")).await;
    let begin = Instant::now();
    let mut received = 0;
    while let Some(event) = reader.next().await {
        if let ReadEvent::Stdout(bytes) = event {
            received += bytes.len();
        }
    }
    assert_eq!(received, size);
    println!("pipe down: {:.0} MiB/s", rate(size, begin.elapsed()));
    let spent = server.cpu() - cpu;
    println!("the server's own time for a GiB: {spent:.0?}");
}

/// Two hundred idle connections, and frames over them.
async fn many(server: &Server) {
    let before = server.resident();
    let mut open_ones = Vec::new();
    let begin = Instant::now();
    for _ in 0..200 {
        open_ones.push(open(server, "exec cat").await);
    }
    println!(
        "200 connections one after another: {:.1?} each",
        begin.elapsed() / 200
    );
    let rounds = 50u32;
    let (begin, cpu) = (Instant::now(), server.cpu());
    for _ in 0..rounds {
        for (writer, _) in &mut open_ones {
            let piece = Bytes::from_static(b"sixteen bytes...");
            writer.write(vec![piece]).await.expect("it is taken");
        }
        for (_, reader) in &mut open_ones {
            reader.next().await.expect("an echo");
        }
    }
    let spent = server.cpu() - cpu;
    println!(
        "frames over 200 connections: {:.1?} a round trip, {:.1?} of it the server's own time",
        begin.elapsed() / (200 * rounds),
        spent / (200 * rounds)
    );
    println!(
        "the server's memory a connection: {} KiB",
        (server.resident() - before) / 200
    );
}
