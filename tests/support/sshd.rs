//! A real OpenSSH server, run by the current user on a free port of the loopback, with everything in a temporary folder.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::processes::{self, Process};
pub use super::sshd_config::SshdOptions;
use super::sshd_config::{MARK, configuration};
use super::{KeyPair, PATIENCE, poll, program};

pub struct Sshd {
    folder: tempfile::TempDir,
    port: u16,
    mark: String,
    user: String,
    child: Child,
    stopped: bool,
    /// The client's key, which the server accepts.
    pub key: KeyPair,
    /// The server's own keys.
    pub host_keys: Vec<KeyPair>,
}

impl Sshd {
    /// A plain server.
    pub fn start() -> Self {
        Self::start_with(&SshdOptions::default())
    }

    /// Starts a server and waits until logging in works.
    pub fn start_with(options: &SshdOptions) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::Builder::new()
            .prefix("sshd")
            .tempdir()
            .expect("a temporary folder");
        let mark = format!(
            "{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let key = KeyPair::make(
            &folder.path().join("client_key"),
            options.client_key_type,
            "",
        );
        let host_key =
            |kind: &&str| KeyPair::make(&folder.path().join(format!("host_{kind}")), kind, "");
        let host_keys: Vec<KeyPair> = options.host_key_types.iter().map(host_key).collect();
        fs::write(
            folder.path().join("authorized_keys"),
            format!("{}\n", key.public()),
        )
        .expect("written");
        prepare_for_root();

        // Another process may take the free port before sshd does; then the next one is tried.
        for _ in 0..5 {
            let port = free_port();
            write_known_hosts(folder.path(), port, &host_keys);
            let config = folder.path().join("sshd_config");
            fs::write(
                &config,
                configuration(folder.path(), port, &mark, &host_keys, options),
            )
            .expect("written");
            let mut child = spawn(&config, &folder.path().join("log"));
            if !listens(&mut child, port) {
                let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
                assert!(
                    log.contains("Address already in use"),
                    "sshd does not start:\n{log}"
                );
                continue;
            }
            let user = current_user();
            let server = Sshd {
                folder,
                port,
                mark,
                user,
                child,
                stopped: false,
                key,
                host_keys,
            };
            server.write_client_config();
            if options.log_in {
                server.log_in();
            }
            return server;
        }
        panic!("no free port for sshd after five attempts");
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    /// The process that listens.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its files are; goes with the server.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A known_hosts file with the server's keys.
    pub fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    /// An ssh_config in which the host `testhost` is this server.
    pub fn client_config(&self) -> PathBuf {
        self.folder.path().join("client_config")
    }

    /// A spec that logs in, whatever the user's own configuration is.
    pub fn spec(&self) -> String {
        self.spec_at("127.0.0.1", self.port)
    }

    /// The same by another of its addresses, or through something that stands in front of it.
    pub fn spec_at(&self, address: &str, port: u16) -> String {
        let (key, known_hosts) = (self.key.private.display(), self.known_hosts());
        let known_hosts = known_hosts.display();
        format!(
            "{}@{address}:{port}:identity={key}:known_hosts={known_hosts}:config=none:batch=yes",
            self.user
        )
    }

    /// Makes its host keys known for another port too.
    pub fn is_known_at(&self, port: u16) {
        let known = fs::read_to_string(self.known_hosts()).expect("readable");
        let more = known.replace(&format!("]:{}", self.port), &format!("]:{port}"));
        fs::write(self.known_hosts(), known + &more).expect("written");
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How many connections have been authenticated so far, without the harness's own.
    pub fn logins(&self) -> usize {
        let log = self.log();
        count_logins(log.split_once(READY).map_or(log.as_str(), |(_, rest)| rest))
    }

    /// Accepts one more public key; the line may have options of authorized_keys in front.
    pub fn authorize(&self, line: &str) {
        let file = self.folder.path().join("authorized_keys");
        let old = fs::read_to_string(&file).expect("readable");
        fs::write(&file, format!("{old}{line}\n")).expect("written");
    }

    /// An `ssh` command that logs in here; the caller adds what to run.
    pub fn ssh(&self) -> Command {
        self.ssh_as(&self.key)
    }

    /// The same with another key, and with its certificate where one stands beside it.
    pub fn ssh_as(&self, key: &KeyPair) -> Command {
        let mut command = Command::new(program("ssh"));
        command
            .args(["-F", "none", "-T", "-p"])
            .arg(self.port.to_string())
            .arg("-i")
            .arg(&key.private);
        command.arg(format!(
            "-oUserKnownHostsFile={}",
            self.known_hosts().display()
        ));
        let options = [
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "GlobalKnownHostsFile=none",
            "BatchMode=yes",
            "ConnectTimeout=20",
        ];
        options.iter().for_each(|option| {
            command.arg(format!("-o{option}"));
        });
        command
            .arg(format!("{}@127.0.0.1", self.user))
            .stdin(Stdio::null());
        command
    }

    /// What runs in sessions now: sshd's own processes for them, and theirs.
    pub fn session_processes(&self) -> Vec<Process> {
        let mut found = processes::descendants(self.child.id() as i32);
        for process in processes::with_environment(MARK, &self.mark) {
            if !found.iter().any(|other| other.pid == process.pid) {
                found.push(process);
            }
        }
        found
    }

    /// Waits until no session is left, without ending any. What is left after the patience fails the test.
    pub fn wait_until_idle(&self) {
        let mut left = Vec::new();
        let idle = poll(PATIENCE, || {
            processes::look_again(&mut left, || self.session_processes());
            left.is_empty().then_some(())
        });
        assert!(
            idle.is_some(),
            "still running: {:#?}\nsshd's log:\n{}",
            self.session_processes(),
            self.log()
        );
    }

    /// Ends every session and the server, as a crash of the machine would look from the other side.
    pub fn stop(&mut self) {
        self.stopped = true;
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.break_sessions();
    }

    /// Ends the sessions, not the server: connections break.
    pub fn break_sessions(&self) {
        let gone = poll(PATIENCE, || {
            let left = self.session_processes();
            left.iter().for_each(Process::kill);
            left.is_empty().then_some(())
        });
        assert!(
            gone.is_some(),
            "sessions do not end: {:#?}",
            self.session_processes()
        );
    }

    /// Logs in by the `ssh` program. Seen from the log, so that a session whose command never ends counts too.
    fn log_in(&self) {
        let mut client = self
            .ssh()
            .arg("true")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ssh starts");
        let accepted = poll(PATIENCE, || {
            let ended = client.try_wait().expect("ssh can be waited for").is_some();
            let accepted = count_logins(&self.log()) > 0;
            (accepted || ended).then_some(accepted)
        });
        if accepted != Some(true) {
            let _ = client.kill();
            let mut said = String::new();
            let _ = client
                .stderr
                .take()
                .map(|mut stderr| stderr.read_to_string(&mut said));
            panic!(
                "logging in to sshd failed: {said}\nits log:\n{}",
                self.log()
            );
        }
        let done = poll(Duration::from_secs(2), || {
            client.try_wait().expect("ssh can be waited for")
        });
        if done.is_none() {
            let _ = client.kill();
            let _ = client.wait();
        }
        self.break_sessions();
        let mut log = fs::OpenOptions::new()
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("the log is there");
        std::io::Write::write_all(&mut log, READY.as_bytes()).expect("written");
    }

    fn write_client_config(&self) {
        let folder = self.folder.path().display();
        let text = format!(
            "Host testhost\n  HostName 127.0.0.1\n  HostKeyAlias testhost\n  Port {}\n  User {}\n  IdentityFile {folder}/client_key\n  \
             IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {folder}/known_hosts\n  GlobalKnownHostsFile none\n  \
             StrictHostKeyChecking yes\n  BatchMode yes\n  ControlPath none\n  ConnectTimeout 20\n",
            self.port, self.user
        );
        fs::write(self.client_config(), text).expect("written");
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        if self.stopped {
            return;
        }
        if std::thread::panicking() {
            eprintln!("sshd's log:\n{}", self.log());
            let _ = self.child.kill();
            let _ = self.child.wait();
            self.session_processes().iter().for_each(Process::kill);
            return;
        }
        self.stop();
    }
}

/// Counts the logins in a log. `Accepted key` without ` for ` is only a step on the way.
fn count_logins(log: &str) -> usize {
    log.lines()
        .filter(|line| line.starts_with("Accepted ") && line.contains(" for "))
        .count()
}

/// Stands in the log where the harness's own login ends.
const READY: &str = "---- ready ----\n";

fn write_known_hosts(folder: &Path, port: u16, host_keys: &[KeyPair]) {
    let line = |key: &KeyPair| {
        format!(
            "[127.0.0.*]:{port},[localhost]:{port},testhost {}\n",
            key.public()
        )
    };
    fs::write(
        folder.join("known_hosts"),
        host_keys.iter().map(line).collect::<String>(),
    )
    .expect("written");
}

/// As root, sshd wants a folder that only the system's start-up script makes.
fn prepare_for_root() {
    if rustix::process::geteuid().is_root() {
        fs::create_dir_all("/run/sshd").expect("/run/sshd can be made by root");
    }
}

fn spawn(config: &Path, log: &Path) -> Child {
    fs::write(log, "").expect("written");
    let log = fs::OpenOptions::new()
        .append(true)
        .open(log)
        .expect("the log is there");
    Command::new(program("sshd"))
        .args(["-D", "-e", "-f"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("sshd starts")
}

/// Waits for the server's version line; false if it ended instead.
pub(super) fn listens(child: &mut Child, port: u16) -> bool {
    let answer = poll(PATIENCE, || {
        if child.try_wait().expect("sshd can be waited for").is_some() {
            return Some(false);
        }
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut start = [0; 4];
        stream.read_exact(&mut start).ok()?;
        Some(&start == b"SSH-")
    });
    answer.unwrap_or(false)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    listener.local_addr().expect("an address").port()
}

fn current_user() -> String {
    static NAME: OnceLock<String> = OnceLock::new();
    let asked = || {
        let output = Command::new("id").arg("-un").output().expect("id starts");
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    };
    NAME.get_or_init(asked).clone()
}
