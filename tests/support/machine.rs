//! A machine of its own: this one's file system under an overlay that nobody else sees, with users, sudoers and an sshd of a test alone.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::processes::{self, Process};
use super::sshd_config::QUICK_EXCHANGE;
use super::{KeyPair, parts, program, sshd};

/// A machine that is ready when `start` returns, and gone with every process of it when this is dropped.
pub struct Machine {
    folder: tempfile::TempDir,
    port: u16,
    child: Child,
    /// It ends with its input, because one who is not root cannot signal it.
    input: Option<ChildStdin>,
    /// The key of every account.
    pub key: KeyPair,
}

impl Machine {
    /// Starts a machine; `setup` is a shell script that root runs there first. `None` where this machine does not let one do that.
    pub fn start(setup: &str) -> Option<Machine> {
        parts::need("machines", allowed().then_some(()))?;
        let folder = tempfile::Builder::new()
            .prefix("machine")
            .tempdir()
            .expect("a temporary folder");
        // Its accounts go through the folder to their keys.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(folder.path(), open).expect("changed");
        let key = KeyPair::make(&folder.path().join("client_key"), "ed25519", "");
        let host_key = KeyPair::make(&folder.path().join("host_key"), "ed25519", "");
        let write = |name: &str, text: String| {
            fs::write(folder.path().join(name), text).expect("written");
        };
        write("authorized_keys", format!("{}\n", key.public()));
        write("setup", setup.to_owned());
        let port = free_port();
        {
            write(
                "known_hosts",
                format!("[127.0.0.1]:{port} {}\n", host_key.public()),
            );
            write("sshd_config", configuration(folder.path(), port));
            let mut command = as_root("/bin/sh");
            command.arg("-c").arg(script(folder.path()));
            command.stdin(Stdio::piped()).stdout(Stdio::null());
            let log = fs::File::create(folder.path().join("log")).expect("created");
            let mut child = command.stderr(log).spawn().expect("unshare starts");
            let input = child.stdin.take();
            let listens = sshd::listens(&mut child, port);
            let machine = Machine {
                folder,
                port,
                child,
                input,
                key,
            };
            if listens {
                return Some(machine);
            }
            let log = machine.log();
            assert!(log.contains("Address already in use"), "no machine:\n{log}");
            // Another process has taken the free port before sshd did.
            Machine::start(setup)
        }
    }

    /// A spec that logs in as this account, with further options.
    pub fn spec(&self, user: &str, options: &str) -> String {
        self.spec_at(self.port, user, options)
    }

    /// The same through something that stands in front of it at another port.
    pub fn spec_at(&self, port: u16, user: &str, options: &str) -> String {
        let (key, at) = (self.key.private.display(), self.folder.path().display());
        let options = if options.is_empty() {
            String::new()
        } else {
            format!(":{options}")
        };
        format!(
            "{user}@127.0.0.1:{port}:identity={key}:known_hosts={at}/known_hosts:config=none{options}"
        )
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A folder that both this machine and that one have, by the same name; everybody there may read it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What sshd and the setup have said.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How many connections have been authenticated so far.
    pub fn logins(&self) -> usize {
        let log = self.log();
        log.lines()
            .filter(|line| line.starts_with("Accepted ") && line.contains(" for "))
            .count()
    }

    /// What runs there but for its first process and the server that listens.
    pub fn session_processes(&self) -> Vec<Process> {
        let mut found = processes::descendants(self.child.id() as i32);
        found.retain(|process| {
            !process.command.contains("[listener]") && !process.command.contains(IN_HERE)
        });
        found
    }

    /// Waits until no session is left, without ending any, and lets our own tasks run meanwhile.
    pub async fn idle(&self) {
        processes::until_none(|| self.session_processes()).await;
    }

    /// Ends sshd's own processes for the sessions: connections break.
    pub fn break_sessions(&self) {
        for process in self.session_processes() {
            if process.command.starts_with("sshd: ") {
                process.kill();
            }
        }
    }

    /// Runs a shell script there as root, and gives what it printed.
    pub fn run(&self, script: &str) -> String {
        let init = processes::descendants(self.child.id() as i32)
            .into_iter()
            .find(|process| {
                process.command.contains(IN_HERE) && process.command.starts_with("/bin/sh")
            })
            .expect("its first process");
        let root = self.folder.path().join("top/root");
        // -r, because all of this may run in a root of its own already.
        let enter = ["nsenter", "-t", &init.pid.to_string(), "-m", "-p", "-r"];
        let output = as_root_here(&enter)
            .arg("chroot")
            .arg(&root)
            .args(["/bin/sh", "-c", script])
            .output()
            .expect("nsenter starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{script}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the machine's log:\n{}", self.log());
        }
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// Stands in the command line of the machine's first process.
const IN_HERE: &str = "EASYCLUSTER_TEST_MACHINE";

/// The first process: covers the file system, sets the machine up, and ends, with everything else, at the end of its input.
fn script(folder: &Path) -> String {
    let at = folder.display();
    let sshd = program("sshd");
    let sshd = sshd.display();
    format!(
        "set -e; : {IN_HERE}; R={at}/top/root; mkdir -p {at}/top; mount -t tmpfs tmpfs {at}/top; mkdir {at}/top/u {at}/top/w $R; \
         mount -t overlay overlay -o lowerdir=/,upperdir={at}/top/u,workdir={at}/top/w $R; \
         mount -t proc proc $R/proc; mount --rbind /dev $R/dev; mount --rbind /sys $R/sys; mkdir -p $R{at}; mount --bind {at} $R{at}; \
         chmod 1777 $R/tmp; chroot $R /bin/sh -e {at}/setup; mkdir -p $R/run/sshd; \
         chroot $R {sshd} -D -e -f {at}/sshd_config & read end || :"
    )
}

fn configuration(folder: &Path, port: u16) -> String {
    let at = folder.display();
    format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {at}/host_key\nPidFile none\nAuthorizedKeysFile {at}/authorized_keys\n\
         StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUseDNS no\n\
         PrintMotd no\nPrintLastLog no\nLogLevel VERBOSE\nMaxStartups 500\nMaxSessions 30\n{QUICK_EXCHANGE}\n"
    )
}

fn as_root_here(words: &[&str]) -> Command {
    let (first, rest) = words.split_first().expect("a program");
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new(program(first));
        command.args(rest);
        return command;
    }
    let mut command = Command::new(program("sudo"));
    command.arg("-n").arg(program(first)).args(rest);
    command
}

fn as_root(program_there: &str) -> Command {
    as_root_here(&["unshare", "--mount", "--pid", "--fork", program_there])
}

/// Whether such a machine can be made here.
fn allowed() -> bool {
    static ALLOWED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ALLOWED.get_or_init(|| {
        let root = rustix::process::geteuid().is_root();
        if !root && !Path::new("/usr/bin/sudo").exists() {
            return false;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = folder.path().display();
        let script = format!(
            "mount -t tmpfs tmpfs {at} && mkdir {at}/u {at}/w {at}/r && \
             mount -t overlay overlay -o lowerdir=/,upperdir={at}/u,workdir={at}/w {at}/r && mount -t proc proc {at}/r/proc"
        );
        as_root("/bin/sh")
            .args(["-c", &script])
            .stdin(Stdio::null())
            .output()
            .is_ok_and(|done| done.status.success())
    })
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    listener.local_addr().expect("an address").port()
}
