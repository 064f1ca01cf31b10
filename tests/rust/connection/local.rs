//! The whole suite over a child process, under every interpreter of this machine.

use std::time::{Duration, Instant};

use easycluster::stub::{self, BOOTSTRAP_LIMIT, Bootstrap};
use easycluster::wire::{Decoder, Frame, Kind, Sender};
use easycluster::{Client, ConnectOptions, Error, Value};

use crate::support::{self, interpreters, suite};

#[tokio::test]
async fn every_interpreter_passes_the_suite() {
    for interpreter in interpreters() {
        println!("{}", interpreter.path.display());
        suite::run(
            &format!(":local:rpython={}", interpreter.to_str()),
            interpreter.version,
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_of_several_threads_passes_the_suite() {
    let interpreter = crate::support::interpreter_at_least((3, 8));
    suite::run(
        &format!(":local:rpython={}", interpreter.to_str()),
        interpreter.version,
    )
    .await;
}

#[test]
fn a_connection_whose_runtime_is_gone_is_lost() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (first, second) = (runtime(), runtime());
    let client = first.block_on(Client::from_spec(":local")).unwrap();
    let pending = client
        .call::<Value>("time.sleep", (600,))
        .thread(1)
        .into_future();
    drop(first);
    for call in [pending, client.eval("1").into_future()] {
        let error = second
            .block_on(async { tokio::time::timeout(crate::support::PATIENCE, call).await })
            .expect("it does not wait for a runtime that is gone")
            .unwrap_err();
        assert!(
            matches!(&error, Error::Lost { reason, .. } if reason.contains("runtime")),
            "{error}"
        );
    }
}

/// Preparing a result cannot be interrupted, and takes its time here.
#[tokio::test]
async fn the_time_limit_holds_while_a_result_is_pickled() {
    let found = interpreters();
    for interpreter in [&found[0], &found[found.len() - 1]] {
        let client = Client::from_spec(&format!(":local:rpython={}", interpreter.to_str()))
            .await
            .unwrap();
        client
            .define(
                "import time\nclass Slow(dict):\n    def items(self):\n        time.sleep(2)\n        return dict.items(self)\n",
            )
            .await
            .unwrap();
        let limit = Duration::from_millis(50);
        let large = client.eval::<Value>("Slow(a=1)").thread(1).timeout(limit);
        let small = client
            .eval::<i64>("1 + 1")
            .timeout(crate::support::PATIENCE);
        let started = Instant::now();
        let (large, small) = tokio::join!(
            async { (large.await, started.elapsed()) },
            small.into_future()
        );
        let (error, time) = (large.0.unwrap_err(), large.1);
        assert!(matches!(&error, Error::Timeout { .. }), "{error}");
        assert!(time < Duration::from_secs(20), "it took {time:?}");
        assert_eq!(small.unwrap(), 2);
        // The thread and the connection serve on.
        let next: i64 = client.eval("2 + 2").thread(1).await.unwrap();
        assert_eq!(next, 4);
    }
}

/// An interpreter that says nothing and keeps what it is sent; gives the path for `rpython` and the file.
fn listener(folder: &std::path::Path) -> (String, std::path::PathBuf) {
    let program = folder.join("listener");
    let heard = folder.join("heard");
    std::fs::write(
        &program,
        format!("#!/bin/sh\nexec cat >'{}'\n", heard.display()),
    )
    .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    (program.to_str().unwrap().to_owned(), heard)
}

/// What stands behind the first part of the stub, once there are so many frames.
fn frames(heard: &std::path::Path, count: usize) -> Vec<Frame> {
    support::poll(support::PATIENCE, || {
        let mut decoder = Decoder::new(Sender::Client, false);
        decoder.feed(
            std::fs::read(heard)
                .ok()?
                .get(stub::first_part().len()..)?
                .to_vec()
                .into(),
        );
        let frames: Vec<_> = std::iter::from_fn(|| decoder.next_frame().unwrap()).collect();
        (frames.len() >= count).then_some(frames)
    })
    .expect("the client sends its frames without an answer")
}

fn size(frames: &[Frame]) -> usize {
    let command = Bootstrap::new(None).unwrap().command().len();
    let framed = |frame: &Frame| easycluster::wire::HEADER + frame.payload.len();
    command + stub::first_part().len() + frames.iter().map(framed).sum::<usize>()
}

/// Counted on the pipe: all that a client sends while it has heard nothing.
#[tokio::test]
async fn the_first_flight_is_small() {
    let folder = tempfile::tempdir().unwrap();
    let (rpython, heard) = listener(folder.path());
    let spec = format!(":local:rpython={rpython}").parse().unwrap();
    let client = Client::begin(&spec, ConnectOptions::default())
        .await
        .unwrap();
    let call = tokio::spawn(client.call::<i64>("os.getpid", ()).into_future());
    let sent = tokio::task::spawn_blocking(move || frames(&heard, 4))
        .await
        .unwrap();
    let kinds: Vec<Kind> = sent.iter().map(|frame| frame.kind).collect();
    // What the call may come to need rides behind it.
    assert_eq!(kinds, [Kind::Hello, Kind::Call, Kind::Part, Kind::Part]);
    let parts = stub::parts();
    let behind = parts.requests.len() + parts.calls.len();
    let flight = size(&sent[..2]);
    println!("one call: {flight} bytes, and {behind} behind it");
    assert!(flight <= BOOTSTRAP_LIMIT, "{flight} bytes");
    assert_eq!(size(&sent) - flight, behind + 2 * easycluster::wire::HEADER);
    call.abort();
}

/// The same of the program: it knows what it asks for, and sends nothing beyond.
#[test]
fn the_first_flight_of_ping_is_small() {
    let folder = tempfile::tempdir().unwrap();
    let (rpython, heard) = listener(folder.path());
    let mut ping = std::process::Command::new(env!("CARGO_BIN_EXE_easycluster"))
        .args(["ping", &format!(":local:rpython={rpython}")])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let sent = frames(&heard, 3);
    // Nothing follows while no answer comes.
    let more = || (frames(&heard, 3).len() > sent.len()).then_some(());
    let follows = support::poll(Duration::from_millis(300), more);
    assert!(follows.is_none(), "{:?}", frames(&heard, 3));
    let later = frames(&heard, 3);
    ping.kill().unwrap();
    ping.wait().unwrap();
    let kinds: Vec<Kind> = later.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [Kind::Hello, Kind::Part, Kind::Call]);
    assert_eq!(sent.len(), later.len());
    println!("ping: {} bytes", size(&later));
    assert!(size(&later) <= BOOTSTRAP_LIMIT, "{} bytes", size(&later));
}
