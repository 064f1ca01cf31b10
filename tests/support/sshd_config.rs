//! What the tests' sshd is configured with: the options that tests vary, and the sshd_config made of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{KeyPair, program};

/// The variable that every process of a session has, so that it is found even when its parents are gone.
pub const MARK: &str = "EASYCLUSTER_TEST_SSHD";

/// Without the one key exchange of OpenSSH that this crate does not have. `ssh` chooses it where it can, and works on it ten times as
/// long as on all the rest of a connection.
pub const QUICK_EXCHANGE: &str = "KexAlgorithms -sntrup761x25519-sha512*";

/// What may differ from a plain server.
#[derive(Debug, Clone)]
pub struct SshdOptions {
    /// `MaxSessions`.
    pub max_sessions: u32,
    /// `MaxAuthTries`.
    pub max_auth_tries: u32,
    /// On how many addresses it listens (127.0.0.1, 127.0.0.2 and so on), as if they were so many hosts; 16 at most.
    pub addresses: u8,
    /// The types of the host keys that it has, for ssh-keygen.
    pub host_key_types: Vec<&'static str>,
    /// The type of the client's key.
    pub client_key_type: &'static str,
    /// A shell in place of the user's own: the command is handed to it as a login shell gets it.
    pub shell: Option<PathBuf>,
    /// What is printed to stdout before the command runs, as a chatty start-up file does.
    pub greeting: String,
    /// `ForceCommand`: runs in place of what the client asks for.
    pub force_command: Option<String>,
    /// Variables for the session (`SetEnv`).
    pub environment: Vec<(String, String)>,
    /// Files for the session's home directory (start-up files of shells), by name. It is a folder of its own, so that
    /// the user's own start-up files neither slow a test down nor decide how it ends.
    pub home: Vec<(&'static str, String)>,
    /// Further lines of sshd_config. The first mention of a keyword wins, so they stand first.
    pub lines: Vec<String>,
    /// Whether to log in once to see that it is ready. Off where logging in is made impossible.
    pub log_in: bool,
}

impl Default for SshdOptions {
    fn default() -> Self {
        SshdOptions {
            max_sessions: 10,
            max_auth_tries: 6,
            addresses: 1,
            host_key_types: vec!["ed25519"],
            client_key_type: "ed25519",
            shell: None,
            greeting: String::new(),
            force_command: None,
            environment: Vec::new(),
            home: Vec::new(),
            lines: Vec::new(),
            log_in: true,
        }
    }
}

pub fn configuration(
    folder: &Path,
    port: u16,
    mark: &str,
    host_keys: &[KeyPair],
    options: &SshdOptions,
) -> String {
    let mut lines = options.lines.clone();
    let at = folder.display();
    lines
        .extend((1..=options.addresses).map(|last| format!("ListenAddress 127.0.0.{last}:{port}")));
    lines.extend([
        "PidFile none".into(),
        format!("AuthorizedKeysFile {at}/authorized_keys"),
        // The temporary folder is writable by others up the path, and PAM needs root.
        "StrictModes no".into(),
        "UsePAM no".into(),
        "PermitRootLogin yes".into(),
        "PasswordAuthentication no".into(),
        "KbdInteractiveAuthentication no".into(),
        "UseDNS no".into(),
        "PrintMotd no".into(),
        "PrintLastLog no".into(),
        "LogLevel VERBOSE".into(),
        // Many connections at once are what some tests are about.
        "MaxStartups 500".into(),
        "LoginGraceTime 60".into(),
        QUICK_EXCHANGE.into(),
        format!("MaxSessions {}", options.max_sessions),
        format!("MaxAuthTries {}", options.max_auth_tries),
    ]);
    lines.extend(
        host_keys
            .iter()
            .map(|key| format!("HostKey {}", key.private.display())),
    );
    if knows_penalties() {
        // Newer servers shut out an address after failed logins, and here every test has the same address.
        lines.push("PerSourcePenalties no".into());
    }
    let mut environment = options.environment.clone();
    environment.push((MARK.into(), mark.into()));
    let home = folder.join("home");
    fs::create_dir_all(&home).expect("created");
    for (name, content) in &options.home {
        let file = home.join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("created");
        fs::write(&file, content).expect("written");
    }
    environment.push(("HOME".into(), home.display().to_string()));
    // Only the first SetEnv line counts.
    let environment: Vec<String> = environment
        .iter()
        .map(|(name, value)| format!("\"{name}={value}\""))
        .collect();
    lines.push(format!("SetEnv {}", environment.join(" ")));
    if let Some(command) = forced(folder, options) {
        lines.push(format!("ForceCommand {command}"));
    }
    lines.join("\n") + "\n"
}

/// The current user's shell cannot be changed, so another one is put behind it: a script execs it with the client's command.
fn forced(folder: &Path, options: &SshdOptions) -> Option<String> {
    if options.force_command.is_some() || (options.shell.is_none() && options.greeting.is_empty()) {
        return options.force_command.clone();
    }
    let shell = options.shell.clone().unwrap_or_else(|| "/bin/sh".into());
    let script = folder.join("login");
    fs::write(folder.join("greeting"), &options.greeting).expect("written");
    let text = format!(
        "cat '{}'\nexec '{}' -c \"$SSH_ORIGINAL_COMMAND\"\n",
        folder.join("greeting").display(),
        shell.display()
    );
    fs::write(&script, text).expect("written");
    Some(format!("exec /bin/sh {}", script.display()))
}

fn knows_penalties() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| version_of_openssh() >= (Some(9), Some(8)))
}

fn version_of_openssh() -> (Option<u32>, Option<u32>) {
    let output = Command::new(program("ssh"))
        .arg("-V")
        .output()
        .expect("ssh starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let version = text
        .trim_start_matches("OpenSSH_")
        .split([' ', ',', 'p'])
        .next()
        .unwrap_or_default()
        .to_string();
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next(), parts.next())
}
