//! `easycluster ping`: the table, the story, JSON, exit codes.

use serde_json::Value;

use crate::cli::scene::{PATIENCE, Scene, easycluster, program, said};
use crate::support::write_program;

const ABSENT: &str = "me@127.0.0.1:1:config=none:batch=yes:name=gone";

#[tokio::test]
async fn the_table_tells_who_is_there() {
    let scene = Scene::new().await;
    let output = easycluster(&["ping", "-q", &scene.spec("web1"), &scene.spec("web2")]).await;
    assert_eq!((output.stderr.as_str(), output.code), ("", Some(0)));
    let lines: Vec<Vec<&str>> = output
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        [
            "HOST", "STATUS", "CONNECT", "ROUND", "TRIP", "CORES", "PYTHON", "SYSTEM"
        ]
    );
    let mut rows: Vec<_> = lines[1..].iter().map(|row| (row[0], row[1])).collect();
    rows.sort_unstable();
    assert_eq!(rows, [("web1", "ok"), ("web2", "ok")]);
    scene.end().await;
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_in_the_table_and_its_reason_on_stderr() {
    let scene = Scene::new().await;
    let output = easycluster(&["ping", ABSENT, &scene.spec("web1")]).await;
    assert_eq!(output.code, Some(255));
    let rows = output.sorted_stdout();
    assert_eq!(rows[1], "gone  failed: connect");
    assert!(rows[2].starts_with("web1  ok "), "{rows:?}");
    assert!(
        output.stderr.starts_with("error: gone: connect: "),
        "{}",
        output.stderr
    );
    scene.end().await;
}

#[tokio::test]
async fn a_python_that_comes_up_and_stands_still_is_given_up() {
    let scene = Scene::new().await;
    // What a ping asks of the system stops the process that asks.
    scene.file(
        "sitecustomize.py",
        "import os, signal\nos.uname = lambda: os.kill(os.getpid(), signal.SIGSTOP)\n",
    );
    let folder = scene.folder.path().display();
    let python = scene.folder.path().join("python");
    write_program(
        &python,
        &format!("#!/bin/sh\nPYTHONPATH={folder} exec python3 \"$@\"\n"),
    );
    let spec = format!("{}:rpython={}", scene.spec("web1"), python.display());
    let output = easycluster(&["ping", "--connect-timeout", "5", &spec]).await;
    assert_eq!(output.code, Some(255));
    assert!(
        output
            .stderr
            .starts_with("error: web1: stub: no answer within 5 s\n"),
        "{}",
        output.stderr
    );
    scene.end().await;
}

#[tokio::test]
async fn json_is_one_array_in_the_order_of_the_hosts() {
    let scene = Scene::new().await;
    let output = easycluster(&["ping", "--json", ABSENT, &scene.spec("web1")]).await;
    assert_eq!((output.stderr.as_str(), output.code), ("", Some(255)));
    let hosts: Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(hosts[0]["host"], "gone");
    assert_eq!(hosts[0]["reachable"], false);
    assert_eq!(hosts[0]["stage"], "connect");
    assert_eq!(hosts[1]["host"], "web1");
    assert_eq!(hosts[1]["reachable"], true);
    assert_eq!(hosts[1]["implementation"], "CPython");
    let python = hosts[1]["python"].as_str().expect("text");
    assert!(
        python.starts_with(['2', '3']) && python.matches('.').count() == 2,
        "{python}"
    );
    let executable = hosts[1]["executable"].as_str().expect("text");
    assert!(executable.starts_with('/'), "{executable}");
    assert!(hosts[1]["cores"].as_i64().is_some_and(|cores| cores > 0));
    assert!(
        hosts[1]["round_trip_ms"]
            .as_f64()
            .is_some_and(|time| time > 0.0)
    );
    scene.end().await;
}

#[tokio::test]
async fn the_story_goes_stage_by_stage() {
    let scene = Scene::new().await;
    let output = easycluster(&["ping", "-v", &scene.spec("web1")]).await;
    assert_eq!((output.stderr.as_str(), output.code), ("", Some(0)));
    let mut lines = output.stdout.lines();
    assert_eq!(lines.next(), Some("web1"));
    let mut told: Vec<&str> = Vec::new();
    for line in lines.clone() {
        // Stages' names have at most two words, and two blanks at least behind them.
        told.extend(
            line.trim_start()
                .split("  ")
                .next()
                .filter(|name| !name.is_empty()),
        );
    }
    for stage in [
        "connect",
        "key exchange",
        "host key",
        "authentication",
        "channel",
        "interpreter",
        "stub",
        "python",
        "round trip",
    ] {
        assert!(
            told.contains(&stage),
            "{stage} is missing:\n{}",
            output.stdout
        );
    }
    scene.end().await;
}

#[tokio::test]
async fn the_story_tells_where_it_ends() {
    let output = easycluster(&["ping", "-v", ABSENT]).await;
    assert_eq!(output.code, Some(255));
    let last = output.stdout.trim_end().lines().last().expect("a line");
    assert!(
        last.trim_start().starts_with("connect "),
        "{}",
        output.stdout
    );
    assert!(last.ends_with("FAILED"), "{}", output.stdout);
    assert!(
        output.stderr.starts_with("error: gone: connect: "),
        "{}",
        output.stderr
    );
}

#[tokio::test]
async fn a_host_that_hangs_keeps_no_other_from_the_table() {
    let scene = Scene::new().await;
    // It takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let port = silent.local_addr().expect("address").port();
    let hangs = format!("me@127.0.0.1:{port}:config=none:batch=yes:name=silent");
    let mut child = program(&["ping", &hangs, &scene.spec("web1")])
        .spawn()
        .expect("the program starts");
    let stdout = child.stdout.take().expect("stdout");
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(stdout));
    let mut next = async || {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        line.expect("in time").expect("read").expect("a line")
    };
    assert!(next().await.starts_with("HOST "));
    let row = next().await;
    assert!(row.starts_with("web1    ok "), "{row}");
    // The other one is still waited for.
    assert!(child.try_wait().expect("a status").is_none());
    drop(silent);
    assert_eq!(next().await, "silent  failed: key exchange");
    let output = said(child).await;
    assert_eq!(output.code, Some(255));
    assert!(
        output.stderr.contains("\n2 hosts: 1 ok, 1 unreachable, "),
        "{}",
        output.stderr
    );
    scene.end().await;
}
