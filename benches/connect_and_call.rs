//! The measurements against what SSH itself costs, in one run over one real sshd. `cargo bench --bench connect_and_call`
//!
//! With words behind `--`, only the measurements whose names hold one of them: `-- one_call gibibyte`.
//! Ratios hold on other machines, absolute figures do not. Each has a bound, and one that exceeds it makes the exit
//! status 1. The goals, which are tighter, stand in goals.py.

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

#[path = "floor/mod.rs"]
mod floor;
#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use easycluster::{Client, Cluster, ConnectOptions, ConnectionSpec, Value};
use floor::Floor;
use support::{Interpreter, Sshd, SshdOptions, interpreter_at_least, processes};

const MIB: usize = 1 << 20;

/// How many hosts a server pretends to be: sshd listens on 16 addresses at most.
const ADDRESSES: u8 = 16;

fn main() {
    let start = || {
        Sshd::start_with(&SshdOptions {
            addresses: ADDRESSES,
            max_sessions: 100,
            ..SshdOptions::default()
        })
    };
    let (server, second) = (start(), start());
    let python = interpreter_at_least((3, 8));
    println!(
        "sshd of this machine, remote Python {}.{} ({})",
        python.version.0,
        python.version.1,
        python.path.display()
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    // Cargo adds words of its own that begin with dashes.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    let mut report = Report { exceeded: 0 };
    runtime.block_on(async {
        if wanted("connect_to_first_result") {
            connect_to_first_result(&server, python, &mut report).await;
        }
        if wanted("far_away") {
            far_away(&server, python, &mut report).await;
        }
        if wanted("many_hosts") {
            many_hosts([&server, &second], python, &mut report).await;
        }
        if wanted("one_call") {
            one_call(&server, python, &mut report).await;
        }
        if wanted("many_in_flight") {
            many_in_flight(&server, python, &mut report).await;
        }
        if wanted("idle_channels") {
            idle_channels(&server, &mut report).await;
        }
        if wanted("bulk_both_ways") {
            bulk_both_ways(&server, python, &mut report).await;
        }
        if wanted("one_gibibyte") {
            one_gibibyte(&server, python, &mut report).await;
        }
    });
    drop(runtime);
    server.wait_until_idle();
    second.wait_until_idle();
    if report.exceeded > 0 {
        println!("{} bounds exceeded", report.exceeded);
        // Ending the process like this drops nothing, and the servers would go on.
        drop((server, second));
        std::process::exit(1);
    }
    println!("every bound kept");
}

struct Report {
    exceeded: u32,
}

impl Report {
    fn line(&self, what: &str, figures: String) {
        println!("{what:<44} {figures}");
    }

    fn ratio(&mut self, what: &str, ours: Duration, floor: Duration, bound: f64) {
        let ratio = ours.as_secs_f64() / floor.as_secs_f64();
        let verdict = self.judge(ratio <= bound);
        self.line(
            what,
            format!(
                "{ratio:.2} of the floor ({} against {}); at most {bound}: {verdict}",
                show(ours),
                show(floor)
            ),
        );
    }

    fn at_most(&mut self, what: &str, found: f64, bound: f64, unit: &str) {
        let verdict = self.judge(found <= bound);
        self.line(
            what,
            format!("{found:.1} {unit}; at most {bound} {unit}: {verdict}"),
        );
    }

    fn judge(&mut self, kept: bool) -> &'static str {
        self.exceeded += u32::from(!kept);
        if kept { "kept" } else { "EXCEEDED" }
    }
}

fn show(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    if micros < 2000.0 {
        format!("{micros:.0} us")
    } else {
        format!("{:.1} ms", micros / 1000.0)
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn mib_per_second(bytes: usize, time: Duration) -> String {
    format!(
        "{:.0} MiB/s",
        bytes as f64 / MIB as f64 / time.as_secs_f64()
    )
}

async fn client(server: &Sshd, python: &Interpreter) -> Client {
    client_of(server.spec(), python).await
}

async fn client_of(spec: String, python: &Interpreter) -> Client {
    Client::from_spec(&format!("{spec}:rpython={}", python.path.display()))
        .await
        .expect("the client connects")
}

/// A whole connection and one call, against russh's connection and `python -c pass`. Turn by turn, so that both see the same machine.
async fn connect_to_first_result(server: &Sshd, python: &Interpreter, report: &mut Report) {
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    let command = format!("exec {} -c pass", python.path.display());
    for round in 0..25 {
        let begin = Instant::now();
        let bare = Floor::connect(
            "127.0.0.1",
            server.port(),
            server.user(),
            &server.key.private,
        )
        .await;
        bare.run(&command).await;
        let floor_time = begin.elapsed();
        bare.close().await;

        let logins = server.logins();
        let begin = Instant::now();
        let client = client(server, python).await;
        let sum: i64 = client.call("abs", (-42,)).await.expect("the call succeeds");
        let our_time = begin.elapsed();
        assert_eq!((sum, server.logins()), (42, logins + 1));
        client.close().await;
        // The first rounds warm the caches of the disk.
        if round >= 5 {
            ours.push(our_time);
            floor.push(floor_time);
        }
    }
    report.ratio("connect to first result", median(ours), median(floor), 1.2);
}

/// The same over a round trip of 50 ms, where each round trip that is saved counts. Ours has one more than the floor, because
/// what goes to the command's input has to wait for the channel's window.
async fn far_away(server: &Sshd, python: &Interpreter, report: &mut Report) {
    let port = floor::distance::far_away(server.port(), Duration::from_millis(25)).await;
    server.is_known_at(port);
    let command = format!("exec {} -c pass", python.path.display());
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let begin = Instant::now();
        let bare = Floor::connect("127.0.0.1", port, server.user(), &server.key.private).await;
        bare.run(&command).await;
        floor.push(begin.elapsed());
        bare.close().await;

        let begin = Instant::now();
        let client = client_of(server.spec_at("127.0.0.1", port), python).await;
        let _: i64 = client.call("abs", (-42,)).await.expect("the call succeeds");
        ours.push(begin.elapsed());
        client.close().await;
    }
    report.ratio(
        "the same with a round trip of 50 ms",
        median(ours),
        median(floor),
        1.3,
    );
}

/// 32 hosts connected and called at once.
async fn many_hosts(servers: [&Sshd; 2], python: &Interpreter, report: &mut Report) {
    let command = format!("exec {} -c pass", python.path.display());
    let hosts: Vec<(&Sshd, String)> = servers
        .iter()
        .flat_map(|server| (1..=ADDRESSES).map(|last| (*server, format!("127.0.0.{last}"))))
        .collect();
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let begin = Instant::now();
        let mut running = tokio::task::JoinSet::new();
        for (server, address) in hosts.iter().cloned() {
            let (port, user, key) = (
                server.port(),
                server.user().to_string(),
                server.key.private.clone(),
            );
            let command = command.clone();
            running.spawn(async move {
                let bare = Floor::connect(&address, port, &user, &key).await;
                bare.run(&command).await;
                bare
            });
        }
        let connected = running.join_all().await;
        floor.push(begin.elapsed());
        for bare in connected {
            bare.close().await;
        }

        let begin = Instant::now();
        let specs: Vec<ConnectionSpec> = hosts
            .iter()
            .map(|(server, address)| {
                format!(
                    "{}:rpython={}",
                    server.spec_at(address, server.port()),
                    python.path.display()
                )
            })
            .map(|spec| spec.parse().expect("a good spec"))
            .collect();
        let cluster = Cluster::connect(&specs, &ConnectOptions::default())
            .await
            .expect("all connect");
        let sums = cluster.call::<i64>("abs", (-42,)).await;
        assert!(sums.len() == 32 && sums.iter().all(|sum| matches!(sum, Ok(42))));
        ours.push(begin.elapsed());
        for client in cluster.clients() {
            client.clone().close().await;
        }
    }
    report.ratio(
        "32 hosts connected and called",
        median(ours),
        median(floor),
        1.5,
    );
}

/// One call after the other, against an echo by a Python process over the same kind of channel.
async fn one_call(server: &Sshd, python: &Interpreter, report: &mut Report) {
    let bare = Floor::connect(
        "127.0.0.1",
        server.port(),
        server.user(),
        &server.key.private,
    )
    .await;
    let mut echo = bare.echo(python.to_str()).await;
    let client = client(server, python).await;
    let apart = floor::apart::Apart::new(server);
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for block in 0..12 {
        for _ in 0..500 {
            let floor_time = echo.round_trip(64).await;
            if block >= 2 {
                floor.push(floor_time);
            }
        }
        for _ in 0..500 {
            let begin = Instant::now();
            let sum: i64 = client.call("abs", (-42,)).await.expect("the call succeeds");
            assert_eq!(sum, 42);
            if block >= 2 {
                ours.push(begin.elapsed());
            }
        }
    }
    drop(apart);
    report.ratio("one call", median(ours), median(floor), 1.5);
    client.close().await;
    drop(echo);
    bare.close().await;
}

async fn many_in_flight(server: &Sshd, python: &Interpreter, report: &mut Report) {
    const CALLS: i64 = 100_000;
    let client = client(server, python).await;
    let begin = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..CALLS {
        let client = client.clone();
        calls.spawn(async move { client.call::<i64>("abs", (-number,)).await });
    }
    let mut sum = 0;
    while let Some(done) = calls.join_next().await {
        sum += done.expect("no task panics").expect("the call succeeds");
    }
    let time = begin.elapsed();
    assert_eq!(sum, CALLS * (CALLS - 1) / 2);
    report.line(
        "100,000 calls in flight at once",
        format!("{:.0} a second", CALLS as f64 / time.as_secs_f64()),
    );
    client.close().await;
}

/// What sshd takes for a session channel on which nothing runs, as each connection keeps one for the next client.
async fn idle_channels(server: &Sshd, report: &mut Report) {
    let (time, memory) = floor::idle::channel(server).await;
    report.line(
        "an idle channel at sshd",
        format!("{} of processor time, {memory:.1} KiB", show(time)),
    );
}

const ECHO: &str = "def echo(data):\n    return data\n";

/// 64 arguments and 64 results of 1 MiB at once, and small calls on another thread beside them.
async fn bulk_both_ways(server: &Sshd, python: &Interpreter, report: &mut Report) {
    const CALLS: usize = 64;
    let client = client(server, python).await;
    client.define(ECHO).await.expect("the definition runs");
    let (latencies, stop) = small_calls_beside(&client);
    let begin = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..CALLS {
        let client = client.clone();
        calls.spawn(async move {
            let data = vec![number as u8; MIB];
            let back: Value = client
                .call("echo", (Value::Bytes(data.clone()),))
                .await
                .expect("the call succeeds");
            assert!(back.as_bytes() == Some(&data[..]), "the bytes differ");
        });
    }
    while let Some(done) = calls.join_next().await {
        done.expect("no call fails");
    }
    let time = begin.elapsed();
    report.line(
        "64 x 1 MiB there and back",
        mib_per_second(2 * CALLS * MIB, time),
    );
    report_small_calls(report, latencies, stop).await;
    client.close().await;
}

/// Ends the small calls and says how long they took.
async fn report_small_calls(
    report: &mut Report,
    latencies: tokio::task::JoinHandle<Vec<Duration>>,
    stop: Arc<AtomicBool>,
) {
    stop.store(true, Ordering::Relaxed);
    let latencies = latencies.await.expect("no call fails");
    let worst = latencies.iter().max().copied().unwrap_or_default();
    let count = latencies.len();
    report.line(
        "small calls beside them",
        format!("{count} calls, median {}", show(median(latencies))),
    );
    report.at_most("  the slowest", worst.as_secs_f64() * 1e3, 50.0, "ms");
}

/// Calls on a thread of its own until told to stop; gives what each call took.
fn small_calls_beside(
    client: &Client,
) -> (tokio::task::JoinHandle<Vec<Duration>>, Arc<AtomicBool>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (client, stopped) = (client.clone(), stop.clone());
    let calls = tokio::spawn(async move {
        let mut times = Vec::new();
        while !stopped.load(Ordering::Relaxed) {
            let begin = Instant::now();
            let _: i64 = client
                .call("abs", (-1,))
                .thread(7)
                .await
                .expect("the call succeeds");
            times.push(begin.elapsed());
        }
        times
    });
    (calls, stop)
}

/// One argument and one result of 1 GiB, the memory that this process needed for them, and small calls beside them.
async fn one_gibibyte(server: &Sshd, python: &Interpreter, report: &mut Report) {
    const SIZE: usize = 1024 * MIB;
    let client = client(server, python).await;
    // Made before it is measured: making it holds Python's lock, and so would any program's own code.
    client
        .define("def size(data):\n    return len(data)\nDATA = b'x' * (1 << 30)\ndef made():\n    return DATA\n")
        .await
        .expect("the definition runs");

    forget_peak_memory();
    let argument = client.clone();
    let pickling = tokio::task::spawn_blocking(move || {
        let data = Value::Bytes(vec![1; SIZE]);
        (argument.call::<u64>("size", (&data,)), data)
    });
    let (call, data) = pickling.await.expect("it is pickled");
    let (latencies, stop) = small_calls_beside(&client);
    let begin = Instant::now();
    let size = call.await.expect("the call succeeds");
    let time = begin.elapsed();
    assert_eq!(size, SIZE as u64);
    report.line("1 GiB as an argument", mib_per_second(SIZE, time));
    report_memory(report, "  peak memory of this process");
    report_small_calls(report, latencies, stop).await;
    drop(data);

    forget_peak_memory();
    let (latencies, stop) = small_calls_beside(&client);
    let begin = Instant::now();
    let back: Value = client.call("made", ()).await.expect("the call succeeds");
    let time = begin.elapsed();
    assert_eq!(back.as_bytes().map(<[u8]>::len), Some(SIZE));
    report.line("1 GiB as a result", mib_per_second(SIZE, time));
    report_memory(report, "  peak memory of this process");
    report_small_calls(report, latencies, stop).await;
    client.close().await;
}

fn report_memory(report: &Report, what: &str) {
    let peak = processes::peak_memory(std::process::id());
    report.line(
        what,
        format!("{:.2} GiB", peak as f64 / (1024 * MIB) as f64),
    );
}

/// Makes the kernel start counting the peak again.
fn forget_peak_memory() {
    std::fs::write("/proc/self/clear_refs", "5").expect("the kernel resets the peak");
}
