//! The program on both ends of the TCP transport: `-g` makes the key, `-S` serves, `run` and `ping` call.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::cli::scene::{PATIENCE, easycluster, program, said};

/// Makes a key and starts a server; gives the server and the port it got.
async fn server(folder: &std::path::Path) -> (Child, u16, String) {
    let key = folder.join("secret.key").to_str().expect("path").to_owned();
    let made = easycluster(&["-g", &key]).await;
    assert_eq!((made.stderr.as_str(), made.code), ("", Some(0)));
    let mut child = program(&["-S", "-k", &key, "-p", "0", "-b", "127.0.0.1"])
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
    let mut line = String::new();
    tokio::time::timeout(PATIENCE, stdout.read_line(&mut line))
        .await
        .expect("a line in time")
        .expect("read");
    let port = line
        .trim()
        .strip_prefix("Listening on port ")
        .and_then(|port| port.parse().ok());
    (child, port.expect("a port"), key)
}

#[tokio::test]
async fn a_key_of_the_command_line_reaches_a_standalone_server() {
    let folder = tempfile::tempdir().expect("folder");
    let (child, port, key) = server(folder.path()).await;
    let spec = format!("127.0.0.1:{port}:name=box");
    let output = easycluster(&[
        "run",
        "-k",
        &key,
        &spec,
        "-c",
        "import sys; print(1); sys.exit(4)",
    ])
    .await;
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str(), output.code),
        ("box | 1\n", "", Some(4))
    );
    let output = easycluster(&["ping", "-k", &key, &spec]).await;
    assert_eq!((output.stderr.as_str(), output.code), ("", Some(0)));
    // Another key gets a clear no.
    let output = easycluster(&["run", "-K", "a wrong passphrase", &spec, "-c", "print(1)"]).await;
    assert_eq!((output.stdout.as_str(), output.code), ("", Some(255)));
    assert!(
        output.stderr.starts_with("error: box: "),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("\n hint: "), "{}", output.stderr);
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    kill_process(
        Pid::from_raw(pid.expect("alive")).expect("pid"),
        Signal::TERM,
    )
    .expect("signal");
    assert!(said(child).await.code.is_some());
}
