//! Python calls over the server: the stub under the interpreters of this machine.

use std::time::Instant;

use easycluster::keys::Key;
use easycluster::{Client, Error};

use crate::server::harness::*;
use crate::support::interpreters::interpreters;

fn spec(port: u16, rpython: Option<&str>) -> String {
    let key = Key::from(KEY).to_hex();
    let rpython = rpython.map_or_else(String::new, |path| format!(":rpython={path}"));
    format!("127.0.0.1:{port}:key={key}{rpython}")
}

#[tokio::test]
async fn every_interpreter_is_called_through_the_server() {
    let server = start(loopback());
    for python in interpreters() {
        let spec = spec(server.port, Some(python.to_str()));
        let client = within(Client::from_spec(&spec)).await.unwrap();
        let sum: i64 = within(async { client.eval("3 + 4").await }).await.unwrap();
        assert_eq!(sum, 7);
        let version: (u32, u32) = within(async {
            client
                .eval("tuple(__import__('sys').version_info[:2])")
                .await
        })
        .await
        .unwrap();
        assert_eq!(version, python.version);
        within(client.close()).await;
    }
    until("the end of all", || server.handle.connections() == 0).await;
    server.stop().await;
}

#[tokio::test]
async fn the_end_of_the_server_ends_running_calls_with_a_sentence() {
    let server = start(loopback());
    let client = within(Client::from_spec(&spec(server.port, None)))
        .await
        .unwrap();
    let _: i64 = within(async { client.eval("1").await }).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("begun");
    let begin = "import time\ndef begin(mark):\n    open(mark, 'w').close()\n    time.sleep(300)\n";
    within(async { client.define(begin).await }).await.unwrap();
    let call = client.call::<()>("begin", (mark.to_str().unwrap(),));
    let handle = server.handle.clone();
    let ((), result) = tokio::join!(
        async {
            until("the begin of the call", || mark.exists()).await;
            handle.stop("the machine goes down");
        },
        within(async { call.await })
    );
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    assert!(
        error.to_string().contains("the machine goes down"),
        "{error}"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_client_with_another_key_is_told() {
    let server = start(loopback());
    let error = within(Client::from_spec(&format!(
        "127.0.0.1:{}:key=guess",
        server.port
    )))
    .await
    .err()
    .unwrap();
    assert!(error.to_string().contains("a different key"), "{error}");
    assert!(error.hint().unwrap().contains("key files"));
    server.stop().await;
}

#[tokio::test]
async fn two_hundred_clients_call_at_once() {
    let server = start(loopback());
    let begin = Instant::now();
    let mut tasks = Vec::new();
    for number in 0..200i64 {
        // Two hundred interpreters start at once, which takes a busy machine a while.
        let spec = format!("{}:timeout=300", spec(server.port, None));
        tasks.push(tokio::spawn(async move {
            let client = Client::from_spec(&spec).await.unwrap();
            let doubled: i64 = client.eval(&format!("{number} * 2")).await.unwrap();
            assert_eq!(doubled, number * 2);
            client
        }));
    }
    let mut clients = Vec::new();
    for task in tasks {
        clients.push(task.await.unwrap());
    }
    println!(
        "200 clients connected and called: {:.2} s",
        begin.elapsed().as_secs_f64()
    );
    assert_eq!(server.handle.connections(), 200);
    let begin = Instant::now();
    let client = &clients[0];
    for _ in 0..500 {
        let _: i64 = client.eval("1").await.unwrap();
    }
    println!(
        "one call: {:.0} us",
        begin.elapsed().as_secs_f64() * 1e6 / 500.0
    );
    drop(clients);
    until("the end of all", || server.handle.connections() == 0).await;
    server.stop().await;
}

#[tokio::test]
async fn remote_threads_are_profiled_where_asked() {
    for python in interpreters() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = loopback();
        options.profile = Some(folder.path().join("of-%d").display().to_string());
        let server = start(options);
        let client = within(Client::from_spec(&spec(server.port, Some(python.to_str()))))
            .await
            .unwrap();
        let seen: (i64, bool, bool) = within(async {
            client
                .eval(
                    "(__import__('os').getpid(), 'PYTHONPATH' in __import__('os').environ, \
                     any('easycluster-profile' in path for path in __import__('sys').path))",
                )
                .await
        })
        .await
        .unwrap();
        // Remote code and what it starts see nothing of it.
        assert_eq!((seen.1, seen.2), (false, false));
        let _: Vec<i64> = within(async { client.eval("sorted([3, 1, 2])").thread(7).await })
            .await
            .unwrap();
        within(client.close()).await;
        let of_main = folder.path().join(format!("of-0.{}", seen.0));
        until("the profile", || of_main.exists()).await;
        let stats = |file: &std::path::Path| {
            let read = std::process::Command::new(&python.path)
                .args([
                    "-c",
                    "import pstats, sys; pstats.Stats(sys.argv[1]).print_stats()",
                ])
                .arg(file)
                .output()
                .unwrap();
            String::from_utf8_lossy(&read.stdout).into_owned()
        };
        assert!(stats(&of_main).contains("getpid"), "{python:?}");
        // From 3.12 on the one profiler is the main thread's.
        if python.version < (3, 12) {
            let files = std::fs::read_dir(folder.path()).unwrap();
            let found = files.filter(|it| stats(&it.as_ref().unwrap().path()).contains("sorted"));
            assert_eq!(found.count(), 1, "{python:?}");
        }
        server.stop().await;
    }
}
