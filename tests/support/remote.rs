//! What the tests of the SSH transport do with a server: name it as a target, run commands on it, read them to their end, answer questions.

use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use easycluster::spec::Transport;
use easycluster::transport::ssh::{ConfigSource, Connector, SshTarget, open};
use easycluster::transport::{
    self, ExitStatus, Process, Prompter, Question, ReadEvent, TransportOptions,
};
use easycluster::{ConnectError, ConnectionSpec};

pub use super::until;
use super::{Sshd, SshdOptions, processes, within};

/// A ProxyCommand in Python, because netcat is not everywhere: carries its streams to the host and port of its arguments.
pub const RELAY: &str = "import os, select, socket, sys\n\
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n\
    while True:\n\
    \x20   for f in select.select([0, s], [], [])[0]:\n\
    \x20       d = os.read(f if f == 0 else s.fileno(), 65536)\n\
    \x20       if not d: sys.exit(0)\n\
    \x20       os.write(1, d) if f is s else s.sendall(d)\n";

/// A server whose sessions have a home directory of their own: whatever start-up files the user has, they are not what is tested.
pub fn server_with(options: SshdOptions) -> Sshd {
    Sshd::start_with(&SshdOptions {
        home: vec![(".bashrc", String::new())],
        ..options
    })
}

/// The same with further lines of sshd_config.
pub fn server_with_lines(lines: &[&str]) -> Sshd {
    server_with(SshdOptions {
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        ..SshdOptions::default()
    })
}

/// The same and plain.
pub fn server() -> Sshd {
    server_with(SshdOptions::default())
}

/// `cat` on a connection of its own: what is written to it comes back.
pub async fn cat(target: &SshTarget) -> Process {
    open(
        &Connector::new(),
        target,
        "cat",
        &TransportOptions::default(),
    )
    .await
    .unwrap()
}

/// A target at a server, without any of the user's own files but for an agent in the environment.
pub fn bare_target(server: &Sshd) -> SshTarget {
    SshTarget {
        port: Some(server.port()),
        user: Some(server.user().to_owned()),
        config: ConfigSource::None,
        ..SshTarget::new("127.0.0.1")
    }
    .with_option(
        "UserKnownHostsFile",
        server.known_hosts().display().to_string(),
    )
    .with_option("GlobalKnownHostsFile", "none")
    .with_option("StrictHostKeyChecking", "yes")
}

/// The target with this key file and no agent.
pub fn with_key(target: SshTarget, key: &Path) -> SshTarget {
    target
        .with_option("IdentityFile", key.display().to_string())
        .with_option("IdentityAgent", "none")
}

/// A target that logs in, reached by a port that need not be the server's own.
pub fn target_at(server: &Sshd, port: u16) -> SshTarget {
    let target = with_key(bare_target(server), &server.key.private);
    SshTarget {
        port: Some(port),
        ..target
    }
    .with_option("HostKeyAlias", "testhost")
}

/// Starts a command by a spec.
pub async fn open_spec(spec: &str, command: &str) -> Result<Process, ConnectError> {
    let spec: ConnectionSpec = spec.parse().expect("a good spec");
    let options = TransportOptions::default();
    if spec.transport() == Transport::Ssh {
        let target = transport::ssh::target_of(&spec)?;
        return open(Connector::shared(), &target, command, &options).await;
    }
    transport::open(&spec, command, &options).await
}

/// Everything that a process writes, and how it ends.
pub async fn finish(process: Process) -> (Vec<u8>, Vec<u8>, ExitStatus) {
    let Process {
        mut reader, writer, ..
    } = process;
    let (mut out, mut err, mut status) = (Vec::new(), Vec::new(), None);
    while let Some(event) = reader.next().await {
        match event {
            ReadEvent::Stdout(bytes) => out.extend_from_slice(&bytes),
            ReadEvent::Stderr(bytes) => err.extend_from_slice(&bytes),
            ReadEvent::OutputEnd => {}
            ReadEvent::Exit(how) => {
                assert!(status.is_none(), "the end is said once");
                status = Some(how);
            }
        }
    }
    drop(writer);
    (out, err, status.expect("an end"))
}

/// What a process writes to its standard output until its end.
pub async fn output(process: Process) -> String {
    String::from_utf8_lossy(&finish(process).await.0).into_owned()
}

/// Sends so many bytes to a process that sends back what it gets, and checks that it does.
pub async fn comes_back_whole(process: Process, count: u32) {
    let Process {
        mut reader,
        mut writer,
        ..
    } = process;
    let sent: Vec<u8> = (0..count).map(|number| (number / 7) as u8).collect();
    let copy = Bytes::from(sent.clone());
    let writing = tokio::spawn(async move {
        writer.write(vec![copy]).await.expect("written");
        writer.finish().await;
        writer
    });
    let mut received = Vec::new();
    let reading = async {
        while let Some(event) = reader.next().await {
            if let ReadEvent::Stdout(bytes) = event {
                received.extend_from_slice(&bytes);
            }
        }
    };
    within(reading).await;
    assert!(received == sent, "{} of {count} bytes", received.len());
    drop(writing.await.expect("written"));
}

/// Waits until the server has no session left.
pub async fn idle(server: &Sshd) {
    processes::until_none(|| server.session_processes()).await;
}

/// Answers questions from a list, and remembers what was asked.
pub fn answers(list: &[&str]) -> (TransportOptions, Arc<Mutex<Vec<Question>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let remembered = Arc::clone(&asked);
    let left: Mutex<Vec<String>> =
        Mutex::new(list.iter().rev().map(|text| (*text).to_owned()).collect());
    let prompter: Prompter = Arc::new(move |question: &Question| {
        remembered
            .lock()
            .expect("no holder panics")
            .push(question.clone());
        left.lock().expect("no holder panics").pop()
    });
    let options = TransportOptions::default().with_prompter(prompter);
    (options, asked)
}
