//! The embedded SSH server, seen by the `ssh` program: log in, streams, exit status, refusal, clean-up.

use std::path::Path;
use std::process::{Output, Stdio};

use easycluster::cli::commands::demo::embedded_sshd::generate_ed25519;
use russh::keys::ssh_key::LineEnding;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::cli::scene::{PATIENCE, Scene, alive, until_gone, write_private};

impl Scene {
    fn ssh(&self, identity: &Path, command: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentitiesOnly=yes",
        ])
        .args([
            "-o",
            "IdentityAgent=none",
            "-o",
            "StrictHostKeyChecking=yes",
        ])
        .args(["-o", "GlobalKnownHostsFile=/dev/null", "-o"])
        .arg(format!(
            "UserKnownHostsFile={}",
            self.folder.path().join("known_hosts").display()
        ))
        .arg("-i")
        .arg(identity)
        .arg("-p")
        .arg(self.server.address().port().to_string())
        .arg("anyone@127.0.0.1")
        .arg(command)
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
        ssh
    }

    async fn run(&self, command: &str) -> Output {
        finished(self.ssh(&self.key(), command)).await
    }
}

async fn finished(mut command: Command) -> Output {
    tokio::time::timeout(PATIENCE, command.output())
        .await
        .expect("ssh ends in time")
        .expect("the ssh program runs")
}

#[tokio::test]
async fn both_streams_and_the_exit_status_arrive() {
    let scene = Scene::new().await;
    let output = scene.run("echo out; echo err >&2; exit 7").await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "out\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "err\n");
    assert_eq!(output.status.code(), Some(7));
    let output = scene.run("kill -TERM $$").await;
    assert_eq!(output.status.code(), Some(128 + 15));
    scene.server.shutdown().await;
}

#[tokio::test]
async fn megabytes_pass_in_both_directions_and_the_end_of_input_arrives() {
    let scene = Scene::new().await;
    let mut cat = scene
        .ssh(&scene.key(), "cat")
        .stdin(Stdio::piped())
        .spawn()
        .expect("ssh");
    let sent: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
    let mut stdin = cat.stdin.take().expect("stdin");
    let mut stdout = cat.stdout.take().expect("stdout");
    let mut received = Vec::new();
    let exchange = async {
        tokio::join!(
            async {
                stdin.write_all(&sent).await.expect("write");
                drop(stdin);
            },
            async {
                stdout.read_to_end(&mut received).await.expect("read");
            }
        );
        cat.wait().await.expect("wait")
    };
    let status = tokio::time::timeout(PATIENCE, exchange)
        .await
        .expect("cat ends in time");
    assert!(status.success());
    assert!(received == sent, "{} bytes came back", received.len());
    scene.server.shutdown().await;
}

#[tokio::test]
async fn another_key_is_refused() {
    let scene = Scene::new().await;
    let other = scene.folder.path().join("other");
    let key = generate_ed25519().expect("key");
    write_private(
        &other,
        &key.to_openssh(LineEnding::LF).expect("key as text"),
    );
    let output = finished(scene.ssh(&other, "echo in")).await;
    assert_eq!(output.status.code(), Some(255));
    assert!(output.stdout.is_empty());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("Permission denied (publickey)"), "{stderr}");
    scene.server.shutdown().await;
}

#[tokio::test]
async fn a_client_that_goes_takes_its_processes_along() {
    let scene = Scene::new().await;
    let (mut ssh, pids) = two_sleepers(&scene).await;
    ssh.kill().await.expect("kill ssh");
    for pid in &pids {
        until_gone(pid).await;
    }
    scene.server.shutdown().await;
}

#[tokio::test]
async fn shutdown_ends_connections_and_processes() {
    let scene = Scene::new().await;
    let (mut ssh, pids) = two_sleepers(&scene).await;
    let address = scene.server.address();
    tokio::time::timeout(PATIENCE, scene.server.shutdown())
        .await
        .expect("shutdown ends in time");
    for pid in &pids {
        // Killed by now; the kernel may take a moment longer to be done with it.
        until_gone(pid).await;
    }
    let status = tokio::time::timeout(PATIENCE, ssh.wait())
        .await
        .expect("ssh ends")
        .expect("wait");
    assert_eq!(status.code(), Some(255));
    assert!(std::net::TcpStream::connect(address).is_err());
}

/// A command that runs two processes of one group; gives the ssh client and the two process ids.
async fn two_sleepers(scene: &Scene) -> (tokio::process::Child, Vec<String>) {
    let mut ssh = scene
        .ssh(&scene.key(), "sleep 1000 & echo $! $$; wait")
        .spawn()
        .expect("ssh");
    let mut lines = BufReader::new(ssh.stdout.take().expect("stdout")).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line())
        .await
        .expect("process ids in time")
        .expect("read")
        .expect("a line");
    let pids: Vec<String> = line.split(' ').map(str::to_owned).collect();
    assert_eq!(pids.len(), 2, "{line}");
    assert!(pids.iter().all(|pid| alive(pid)));
    (ssh, pids)
}
