//! What goes wrong on the way to a remote Python, or later: the right error, within its time, and nothing left running.

use std::path::Path;
use std::time::{Duration, Instant};

use easycluster::transport::{StageLimits, TransportOptions};
use easycluster::{
    Client, Command, CommandEvent, ConnectOptions, Error, ExitStatus, OutputSink, Stage,
};

use crate::support::remote::{idle, server};
use crate::support::{Sshd, SshdOptions, within};

/// A program that the bootstrap takes for an interpreter.
fn fake_python(folder: &Path, script: &str) -> String {
    let path = folder.join("fakepython");
    crate::support::write_program(&path, &format!("#!/bin/sh\n{script}\n"));
    path.to_str().unwrap().to_owned()
}

fn short_limits() -> ConnectOptions {
    let transport =
        TransportOptions::default().with_limits(StageLimits::all(Duration::from_secs(2)));
    ConnectOptions::default().with_transport(transport)
}

async fn failure(spec: &str, options: ConnectOptions) -> (Stage, String, String) {
    let started = Instant::now();
    let error = Client::connect(&spec.parse().unwrap(), options)
        .await
        .expect_err("it cannot connect");
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "it took {:?}",
        started.elapsed()
    );
    let Error::Connect(inner) = &error else {
        panic!("{error:?}")
    };
    (
        inner.stage,
        error.to_string(),
        error.hint().unwrap_or_default(),
    )
}

#[tokio::test]
async fn an_interpreter_that_is_not_there_is_named() {
    let (stage, text, hint) = failure(":local:rpython=python2.99", ConnectOptions::default()).await;
    assert_eq!(stage, Stage::Interpreter);
    assert!(text.contains("python2.99"), "{text}");
    assert!(hint.contains("rpython="), "{hint}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_machine_without_python_says_what_was_tried() {
    let server = Sshd::start_with(&SshdOptions {
        environment: vec![("PATH".to_owned(), "/nonexistent".to_owned())],
        home: vec![(".profile", String::new())],
        ..SshdOptions::default()
    });
    if Path::new("/usr/libexec/platform-python").exists() {
        panic!(
            "this machine has a platform-python, which is looked for by its path; the test needs one without"
        );
    }
    let (stage, text, hint) = failure(&server.spec(), ConnectOptions::default()).await;
    assert_eq!(stage, Stage::Interpreter);
    assert!(
        text.contains("no Python found") && text.contains("python3 python"),
        "{text}"
    );
    assert!(text.contains("platform-python"), "{text}");
    assert!(hint.contains("install Python"), "{hint}");
    server.wait_until_idle();
}

#[tokio::test]
async fn a_python_that_is_too_old_says_its_version() {
    // A real interpreter that says it is an old one: `-c` gets a line in front that changes what it reports.
    let folder = tempfile::tempdir().unwrap();
    let real = crate::support::interpreter_at_least((3, 6));
    let script = format!(
        "shift\ncode=\"$1\"\nshift\nexec {} -c \"import sys; sys.version_info = (2, 5, 1, 'final', 0)\n$code\" \"$@\"",
        real.to_str()
    );
    let path = fake_python(folder.path(), &script);
    let (stage, text, _) =
        failure(&format!(":local:rpython={path}"), ConnectOptions::default()).await;
    assert_eq!(stage, Stage::Interpreter);
    assert!(
        text.contains("2.5.1") && text.contains("2.6, 2.7 and 3.2"),
        "{text}"
    );
}

#[tokio::test]
async fn a_stub_that_dies_shows_what_was_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = fake_python(folder.path(), "echo 'cannot load libpython' >&2\nexit 127");
    let (stage, text, _) =
        failure(&format!(":local:rpython={path}"), ConnectOptions::default()).await;
    assert_eq!(stage, Stage::Interpreter);
    assert!(
        text.contains("exit status 127") && text.contains("cannot load libpython"),
        "{text}"
    );
}

#[tokio::test]
async fn an_interpreter_that_hangs_runs_into_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = fake_python(folder.path(), "echo hello there\nexec sleep 1000");
    let (stage, text, hint) = failure(&format!(":local:rpython={path}"), short_limits()).await;
    assert_eq!(stage, Stage::Interpreter);
    assert!(
        text.contains("within 2 s") && text.contains("hello there"),
        "{text}"
    );
    assert!(!hint.is_empty());
}

#[tokio::test]
async fn the_specs_timeout_covers_the_interpreter_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = fake_python(folder.path(), "exec sleep 1000");
    let spec = format!(":local:timeout=1:rpython={path}");
    let (stage, _, _) = failure(&spec, ConnectOptions::default()).await;
    assert_eq!(stage, Stage::Interpreter);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_account_that_refuses_commands_is_named() {
    let server = Sshd::start_with(&SshdOptions {
        force_command: Some("echo 'This account is currently not available.'; exit 1".to_owned()),
        log_in: false,
        ..SshdOptions::default()
    });
    let (stage, text, hint) = failure(&server.spec(), ConnectOptions::default()).await;
    assert_eq!(stage, Stage::Interpreter);
    assert!(
        text.contains("not available") && text.contains("exit status 1"),
        "{text}"
    );
    assert!(hint.contains("allow commands"), "{hint}");
    server.wait_until_idle();
}

/// Long before any time limit of connecting.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_account_that_sends_back_what_it_is_sent_is_told_at_once() {
    let server = Sshd::start_with(&SshdOptions {
        force_command: Some("exec cat".to_owned()),
        log_in: false,
        ..SshdOptions::default()
    });
    let (stage, text, hint) = failure(&server.spec(), ConnectOptions::default()).await;
    assert_eq!(stage, Stage::Interpreter);
    assert!(text.contains("sends back what it is sent"), "{text}");
    assert!(hint.contains("no forced command"), "{hint}");
    server.wait_until_idle();
}

/// What an account that runs `forced` in place of commands makes of one, and all that it prints.
async fn command_at(forced: &str, input: bool) -> (Result<ExitStatus, Error>, String) {
    let server = Sshd::start_with(&SshdOptions {
        force_command: Some(forced.to_owned()),
        log_in: false,
        ..SshdOptions::default()
    });
    let spec = format!("{}:timeout=3:name=web1", server.spec());
    let mut command = Command::on(&spec.parse().unwrap(), "echo asked; exit 3");
    if input {
        command = command.stdin("input");
    }
    let mut running = within(command.start()).await.unwrap();
    let mut printed = Vec::new();
    let ended = loop {
        match within(running.next()).await {
            Ok(Some(CommandEvent::Stdout(data) | CommandEvent::Stderr(data))) => {
                printed.extend_from_slice(&data);
            }
            Ok(Some(_)) => {}
            Ok(None) => break within(running.wait()).await,
            Err(error) => break Err(error),
        }
    };
    drop(running);
    server.wait_until_idle();
    (ended, String::from_utf8(printed).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_command_that_an_account_does_not_run_is_told() {
    for (forced, words) in [
        (
            "echo not today; exit 0",
            "the process ended with exit status 0",
        ),
        (
            "echo not today >&2; exit 1",
            "the process ended with exit status 1",
        ),
        ("echo not today; exec cat", "no answer within 3 s"),
    ] {
        for input in [false, true] {
            let (ended, printed) = command_at(forced, input).await;
            let Err(Error::Connect(error)) = ended else {
                panic!("{forced}: {ended:?}");
            };
            assert_eq!(error.stage, Stage::Interpreter);
            let text = error.to_string();
            assert!(text.starts_with("web1: ") && text.contains(words), "{text}");
            assert!(
                text.contains("not today") && printed.starts_with("not today\n"),
                "{text}"
            );
            assert!(!error.is_temporary());
            let hint = error.hint.unwrap_or_default();
            assert!(hint.contains("forced command"), "{hint}");
        }
    }
    // One that runs what was asked for is none of these.
    let passed = r#"echo first; sh -c "$SSH_ORIGINAL_COMMAND""#;
    let (ended, printed) = command_at(passed, true).await;
    assert_eq!(
        (ended.unwrap(), &*printed),
        (ExitStatus::Code(3), "first\nasked\n")
    );
}

#[tokio::test]
async fn the_hint_follows_what_was_printed() {
    let folder = tempfile::tempdir().unwrap();
    // As a login script that reads standard input does, before the interpreter starts.
    let reads = format!(
        "head -c 100 >'{}'; exec python3 \"$@\"",
        folder.path().join("read").display()
    );
    let home = "PYTHONHOME=/nowhere exec python3 \"$@\"".to_owned();
    let expired = "echo 'Your password has expired.' >&2; exit 1".to_owned();
    for (script, word) in [
        (reads, "standard input"),
        (home, "PYTHONHOME"),
        (expired, "change it"),
    ] {
        let path = fake_python(folder.path(), &script);
        let spec = format!(":local:rpython={path}");
        let (_, text, hint) = failure(&spec, ConnectOptions::default()).await;
        assert!(hint.contains(word), "{text}: {hint}");
    }
}

#[tokio::test]
async fn a_host_that_does_not_exist_and_a_port_that_is_closed() {
    let (stage, text, _) = failure(
        "someone@no-such-host.invalid:config=none:batch=yes",
        short_limits(),
    )
    .await;
    assert_eq!(stage, Stage::Resolve, "{text}");
    assert!(text.contains("no-such-host.invalid"), "{text}");
    let unused = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let spec = format!("someone@127.0.0.1:{unused}:config=none:batch=yes");
    let (stage, text, _) = failure(&spec, short_limits()).await;
    assert_eq!(stage, Stage::Connect, "{text}");
    assert!(text.to_lowercase().contains("refused"), "{text}");
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (stage, text, _) = failure(
        &format!("someone@127.0.0.1:{port}:config=none:batch=yes"),
        short_limits(),
    )
    .await;
    assert_eq!(stage, Stage::KeyExchange, "{text}");
    assert!(text.contains("within 2 s"), "{text}");
}

/// Starts a call that lasts, kills something, and gives the call's error.
async fn lost(client: &Client, kill: impl FnOnce()) -> String {
    client
        .define("import time\ndef doze():\n    time.sleep(1000)\n")
        .await
        .unwrap();
    let calls: Vec<_> = (0..3)
        .map(|n| {
            tokio::spawn(std::future::IntoFuture::into_future(
                client.call::<()>("doze", ()).thread(n),
            ))
        })
        .collect();
    client.ping().await.unwrap();
    kill();
    let mut text = String::new();
    for call in calls {
        let error = within(call).await.unwrap();
        let error = error.expect_err("the connection is gone");
        assert!(matches!(error, Error::Lost { .. }), "{error:?}");
        text = error.to_string();
    }
    assert!(!client.connection().is_connected());
    let error = client.eval::<i64>("1").await.unwrap_err();
    assert_eq!(error.to_string(), text, "later calls hear the same");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_remote_python_fails_every_call_at_once() {
    let server = Sshd::start();
    let interpreter = crate::support::interpreter_at_least((3, 6));
    for spec in [server.spec(), ":local".to_owned()] {
        let client = Client::from_spec(&format!("{spec}:rpython={}", interpreter.to_str()))
            .await
            .unwrap();
        let pid: i64 = client.eval("__import__('os').getpid()").await.unwrap();
        let text = lost(&client, || kill(pid)).await;
        assert!(text.contains("signal KILL"), "{text}");
    }
    server.wait_until_idle();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_sshd_fails_every_call_and_leaves_no_python() {
    let server = Sshd::start();
    let interpreter = crate::support::interpreter_at_least((3, 6));
    let client = Client::from_spec(&format!(
        "{}:rpython={}",
        server.spec(),
        interpreter.to_str()
    ))
    .await
    .unwrap();
    let pid: i64 = client.eval("__import__('os').getpid()").await.unwrap();
    lost(&client, || server.break_sessions()).await;
    gone(pid);
}

/// `kill -9` of the client, also in the middle of calls: the remote Python and what it started end by themselves.
#[test]
fn a_killed_client_leaves_nothing_on_the_server() {
    let server = Sshd::start();
    let interpreter = crate::support::interpreter_at_least((3, 6));
    let code = "import os, subprocess, sys, time\n\
                print(os.getpid(), subprocess.Popen(['sleep', '1000']).pid)\nsys.stdout.flush()\ntime.sleep(1000)";
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_easycluster"))
        .args([
            "run",
            "--no-prefix",
            &format!("{}:rpython={}", server.spec(), interpreter.to_str()),
            "-c",
            code,
        ])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = std::io::BufReader::new(program.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    let pids: Vec<i64> = line
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert_eq!(pids.len(), 2, "{line:?}");
    program.kill().unwrap();
    program.wait().unwrap();
    pids.into_iter().for_each(gone);
    server.wait_until_idle();
}

fn kill(pid: i64) {
    let status = std::process::Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

fn gone(pid: i64) {
    let link = format!("/proc/{pid}/cwd");
    let gone = crate::support::poll(crate::support::PATIENCE, || {
        std::fs::read_link(&link).is_err().then_some(())
    });
    assert!(gone.is_some(), "process {pid} is left");
}

#[tokio::test]
async fn a_panic_of_what_takes_output_ends_the_connection_and_leaves_nothing_on_the_server() {
    let server = server();
    let options = ConnectOptions::default()
        .with_output(OutputSink::new(|_| panic!("it panics in this test")));
    let client = Client::connect(&server.spec().parse().unwrap(), options)
        .await
        .unwrap();
    client
        .define("def say():\n    print('said')\n")
        .await
        .unwrap();
    let error = client.call::<()>("say", ()).await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error}");
    drop(client);
    idle(&server).await;
}
