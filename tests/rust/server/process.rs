//! The program as a server: its command line, signals, log lines, daemon and key files.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use easycluster::keys::{Key, write_key_file};
use easycluster::{Client, Error};
use rustix::process::{Pid, Signal, kill_process};

use crate::server::harness::*;

pub fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_easycluster"))
}

pub fn say(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

fn signal(process: u32, signal: Signal) {
    kill_process(Pid::from_raw(process as i32).unwrap(), signal).unwrap();
}

/// A server in a process of its own; killed when dropped.
struct Process {
    child: Child,
    port: u16,
}

impl Process {
    /// Starts it on a free loopback port and waits until it listens.
    fn start(key: &Path, arguments: &[&str]) -> Self {
        let mut child = program()
            .args(["-S", "-b", "127.0.0.1", "-p", "0", "-k"])
            .arg(key)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        Process {
            port: port(&line),
            child,
        }
    }

    /// Ends it by a signal: its log and whether it ended well.
    fn end(&mut self, by: Signal) -> (String, bool) {
        signal(self.child.id(), by);
        let mut log = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut log).unwrap();
        (log, self.child.wait().unwrap().success())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn port(line: &str) -> u16 {
    let number = line.trim().strip_prefix("Listening on port ");
    number
        .unwrap_or_else(|| panic!("{line:?}"))
        .parse()
        .unwrap()
}

fn new_key(folder: &Path) -> std::path::PathBuf {
    let key = folder.join("secret.key");
    let done = program().arg("-g").arg(&key).output().unwrap();
    assert!(done.status.success(), "{}", say(&done));
    key
}

async fn client(port: u16, key: &Path) -> Result<Client, Error> {
    let spec = format!("127.0.0.1:{port}:kf={}", key.display());
    within(Client::from_spec(&spec)).await
}

#[test]
fn a_key_file_is_made_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let key = new_key(folder.path());
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let first = std::fs::read(&key).unwrap();
    let again = program().arg("-g").arg(&key).output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(say(&again).contains("already exists"), "{}", say(&again));
    assert_eq!(std::fs::read(&key).unwrap(), first);
    let over = program().args(["keygen", "-O"]).arg(&key).output().unwrap();
    assert!(over.status.success());
    assert_ne!(std::fs::read(&key).unwrap(), first);
}

#[test]
fn a_key_that_can_be_guessed_is_refused_in_a_sentence() {
    for key in ["", "s3cret"] {
        let done = program()
            .args(["serve", "-b", "127.0.0.1", "-p", "0", "-K", key])
            .output()
            .unwrap();
        assert!(!done.status.success());
        assert!(say(&done).contains("easycluster -g"), "{}", say(&done));
    }
    let done = program().arg("-S").output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    assert!(say(&done).contains("needs a key"), "{}", say(&done));
}

#[tokio::test]
async fn connections_and_requests_are_logged_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let key = new_key(folder.path());
    let mut logs = Vec::new();
    for arguments in [
        &["-c", "QuietServer"] as &[&str],
        &[],
        &["-v"],
        &["-vv", "--log-format", "json"],
    ] {
        let mut server = Process::start(&key, arguments);
        let client = client(server.port, &key).await.unwrap();
        let _: i64 = within(async { client.call("os.getpid", ()).await })
            .await
            .unwrap();
        within(client.close()).await;
        let (log, good) = server.end(Signal::TERM);
        assert!(good, "{log}");
        logs.push(log);
    }
    assert_eq!(logs[0], "");
    assert!(
        logs[1].contains("listening") && !logs[1].contains("peer"),
        "{}",
        logs[1]
    );
    assert!(
        logs[2].contains("connection peer=\"127.0.0.1:"),
        "{}",
        logs[2]
    );
    assert!(
        logs[2].contains("end of connection") && !logs[2].contains("getpid"),
        "{}",
        logs[2]
    );
    let lines: Vec<serde_json::Value> = logs[3]
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let call = lines.iter().find(|line| line["kind"] == "call").unwrap();
    assert_eq!(call["name"], "os.getpid");
    assert_eq!(call["message"], "request");
}

/// Its stderr is a pipe that is full: whoever shows it has stopped.
#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let key = new_key(folder.path());
    let mut server = Process::start(&key, &["-vv", "--log-format", "json"]);
    let client = client(server.port, &key).await.unwrap();
    for _ in 0..1000 {
        let _: i64 = within(async { client.call("os.getpid", ()).await })
            .await
            .unwrap();
    }
    within(client.close()).await;
    signal(server.child.id(), Signal::TERM);
    until("its end", || server.child.try_wait().unwrap().is_some()).await;
    assert!(server.child.wait().unwrap().success());
}

#[tokio::test]
async fn signals_end_it_well_and_clients_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let key = new_key(folder.path());
    for (by, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let mut server = Process::start(&key, &["-v"]);
        let client = client(server.port, &key).await.unwrap();
        let pid: i64 = within(async { client.call("os.getpid", ()).await })
            .await
            .unwrap();
        let call = client.call::<()>("time.sleep", (300,));
        let ended = tokio::task::spawn_blocking(move || server.end(by));
        let error = within(async { call.await }).await.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        let (log, good) = within(ended).await.unwrap();
        assert!(good, "{log}");
        until("the end of the interpreter", || {
            !Path::new(&format!("/proc/{pid}")).exists()
        })
        .await;
    }
}

#[tokio::test]
async fn a_hang_up_reads_the_key_again() {
    let folder = tempfile::tempdir().unwrap();
    let key = new_key(folder.path());
    let old = folder.path().join("old.key");
    std::fs::copy(&key, &old).unwrap();
    let server = Process::start(&key, &[]);
    let before = client(server.port, &old).await.unwrap();
    let done = program().args(["-O", "-g"]).arg(&key).output().unwrap();
    assert!(done.status.success(), "{}", say(&done));
    assert!(client(server.port, &old).await.is_ok());
    signal(server.child.id(), Signal::HUP);
    let deadline = std::time::Instant::now() + PATIENCE;
    while client(server.port, &key).await.is_err() {
        assert!(
            std::time::Instant::now() < deadline,
            "the new key never counted"
        );
    }
    assert!(client(server.port, &old).await.is_err());
    // A broken file changes nothing.
    std::fs::write(&key, "").unwrap();
    signal(server.child.id(), Signal::HUP);
    // Who was in stays in.
    let two: i64 = within(async { before.eval("1 + 1").await }).await.unwrap();
    assert_eq!(two, 2);
}

#[test]
fn what_a_link_leads_to_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    write_key_file(&key, &Key::generate().unwrap(), false).unwrap();
    let (target, link) = (folder.path().join("target"), folder.path().join("link"));
    std::fs::write(&target, "precious").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    for option in ["-P", "--log-file"] {
        let done = program()
            .args(["-S", "-b", "127.0.0.1", "-p", "0", "-k"])
            .args([&key, Path::new(option), &link])
            .output()
            .unwrap();
        assert!(!done.status.success(), "{option}: {}", say(&done));
        assert!(
            say(&done).contains("is a symbolic link"),
            "{option}: {}",
            say(&done)
        );
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
    }
    // A file that an earlier server has left behind is replaced, and one of another server is not removed.
    let pidfile = folder.path().join("pid");
    std::fs::write(&pidfile, "1\n").unwrap();
    let mut server = Process::start(&key, &["-P", pidfile.to_str().unwrap()]);
    let text = std::fs::read_to_string(&pidfile).unwrap();
    assert_eq!(text, format!("{}\n", server.child.id()));
    // That of a server that runs is not taken: nobody could find it any more.
    let done = program()
        .args(["-S", "-b", "127.0.0.1", "-p", "0", "-k"])
        .args([&key, Path::new("-P"), &pidfile])
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(say(&done).contains("a server that runs"), "{}", say(&done));
    assert_eq!(std::fs::read_to_string(&pidfile).unwrap(), text);
    std::fs::write(&pidfile, "1\n").unwrap();
    // It serves, and heeds signals, once it drops what is no client.
    let mut stranger = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stranger.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let _ = stranger.read_to_end(&mut Vec::new());
    assert!(server.end(Signal::TERM).1);
    assert_eq!(std::fs::read_to_string(&pidfile).unwrap(), "1\n");
}

#[tokio::test]
async fn a_daemon_runs_alone_and_hides_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let pidfile = folder.path().join("pid");
    let text = "a passphrase of many words";
    let done = program()
        .args(["-S", "-d", "-b", "127.0.0.1", "-p", "0", "-K", text, "-P"])
        .arg(&pidfile)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", say(&done));
    let port = port(&String::from_utf8_lossy(&done.stdout));
    let pid: u32 = std::fs::read_to_string(&pidfile)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(
        line.contains("-S") && !line.contains("passphrase"),
        "{line:?}"
    );
    // It has left the terminal and the session of the program that started it.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .nth(3)
        .unwrap();
    assert_eq!(session, pid.to_string());
    let client = within(Client::from_spec(&format!("127.0.0.1:{port}:key={text}")))
        .await
        .unwrap();
    let two: i64 = within(async { client.eval("1 + 1").await }).await.unwrap();
    assert_eq!(two, 2);
    signal(pid, Signal::TERM);
    until("the end of the daemon", || !pidfile.exists()).await;
    until("its reaping", || {
        !Path::new(&format!("/proc/{pid}/exe")).exists()
    })
    .await;

    // What keeps it from listening is said, and told by the exit code.
    let done = program()
        .args(["-S", "-d", "-b", "192.0.2.1", "-p", "0", "-K", text])
        .output()
        .unwrap();
    assert!(!done.status.success());
    assert!(
        say(&done).contains("cannot listen on 192.0.2.1"),
        "{}",
        say(&done)
    );
}

#[test]
fn a_port_in_use_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let key = new_key(folder.path());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let done = program()
        .args(["serve", "-b", "127.0.0.1", "-p", &port, "-k"])
        .arg(&key)
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(
        say(&done).contains(&port) && say(&done).contains("in use"),
        "{}",
        say(&done)
    );
}
