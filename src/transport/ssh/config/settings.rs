//! Everything that one SSH connection is made with, after the spec, the configuration files and the defaults are put together.

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use crate::dial::AddressFamily;
use crate::spec::{HostKeyPolicy, JumpHost};

/// Where to connect, as the user said it; the rest comes from the configuration files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct SshTarget {
    /// Host name, address or alias of the configuration.
    pub host: String,
    /// Port, if the user named one.
    pub port: Option<u16>,
    /// Login name, if the user named one.
    pub user: Option<String>,
    /// The identity among `options` is the only one: those of the files do not count.
    pub only_identity: bool,
    /// What wins over the files, as `ssh -o` does.
    pub options: Vec<Override>,
    /// Which configuration files to read.
    pub config: ConfigSource,
}

impl SshTarget {
    /// A target by its host name alone.
    pub fn new(host: impl Into<String>) -> Self {
        SshTarget {
            host: host.into(),
            ..SshTarget::default()
        }
    }

    /// Adds an `ssh_config` keyword that wins over the files.
    #[must_use]
    pub fn with_option(mut self, keyword: impl Into<String>, value: impl Into<String>) -> Self {
        self.options
            .push(Override::Line(keyword.into(), value.into()));
        self
    }
}

/// One setting that wins over the configuration files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Override {
    /// An `ssh_config` keyword and its value as a line has it: quotes, tokens and variables in it are read.
    Line(String, String),
    /// An `ssh_config` keyword and a file name that is taken as it is: nothing in it is expanded.
    Path(&'static str, PathBuf),
    /// What decides about the host key.
    HostKey(HostKeyPolicy),
}

impl From<(String, String)> for Override {
    fn from((keyword, value): (String, String)) -> Self {
        Override::Line(keyword, value)
    }
}

/// Which configuration files apply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum ConfigSource {
    /// `~/.ssh/config` and `/etc/ssh/ssh_config`.
    #[default]
    Standard,
    /// This file alone, as with `ssh -F`.
    File(PathBuf),
    /// None, as with `ssh -F none`.
    None,
}

/// Which agent to ask.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum AgentChoice {
    /// The socket in `SSH_AUTH_SOCK`, if it is set.
    Environment,
    /// No agent.
    None,
    /// This socket.
    Socket(PathBuf),
}

/// An identity file and whether the user named it, or it is one of the usual ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct IdentityFile {
    /// Its path, expanded.
    pub path: PathBuf,
    /// Named by the configuration or the spec.
    pub named: bool,
}

/// After what the keys of a connection are renewed, where the configuration says so.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Rekey {
    /// Bytes in one direction.
    pub bytes: Option<u64>,
    /// Time since the last renewal.
    pub time: Option<Duration>,
}

/// How the byte stream to the server is opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    /// A TCP connection.
    Direct,
    /// Through other SSH servers, first one first.
    Jump(Vec<JumpHost>),
    /// Through the standard input and output of a command, tokens expanded.
    Command(String),
}

/// All there is to know for one connection. Two equal settings can share a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Settings {
    /// The host as the user named it.
    pub host: String,
    /// The name or address to connect to.
    pub hostname: String,
    /// The port to connect to.
    pub port: u16,
    /// Login name.
    pub user: String,
    /// How to get there.
    pub route: Route,
    /// Kinds of addresses.
    pub address_family: AddressFamily,
    /// Source address of the TCP connection.
    pub bind_address: Option<String>,
    /// Limit for the TCP connection and the versions, where the configuration sets one.
    pub connect_timeout: Option<Duration>,
    /// Attempts to connect, one second apart.
    pub connection_attempts: u32,
    /// Identity files in order.
    pub identity_files: Vec<IdentityFile>,
    /// Certificate files in order.
    pub certificate_files: Vec<PathBuf>,
    /// Offer only the named identities, even if the agent has more.
    pub identities_only: bool,
    /// Which agent.
    pub agent: AgentChoice,
    /// Whether public keys are tried.
    pub pubkey_authentication: bool,
    /// Whether passwords are tried.
    pub password_authentication: bool,
    /// Whether keyboard-interactive is tried.
    pub keyboard_interactive: bool,
    /// Methods in order.
    pub preferred_authentications: Vec<String>,
    /// How many times to ask for a password.
    pub password_prompts: u32,
    /// Ask nothing.
    pub batch_mode: bool,
    /// Signature algorithms for public keys, as a pattern list with an optional `+`, `-` or `^`.
    pub pubkey_algorithms: Option<String>,
    /// The user's known_hosts files; new keys go into the first.
    pub user_known_hosts: Vec<PathBuf>,
    /// The machine's known_hosts files.
    pub global_known_hosts: Vec<PathBuf>,
    /// Keys that are never accepted, in a file of their own.
    pub revoked_host_keys: Option<PathBuf>,
    /// What to do about unknown keys.
    pub host_key_policy: HostKeyPolicy,
    /// The name to look up instead of the host's.
    pub host_key_alias: Option<String>,
    /// Whether new names are recorded as hashes.
    pub hash_known_hosts: bool,
    /// Whether host keys of loopback addresses are not checked.
    pub trust_localhost: bool,
    /// Host key algorithms, as configured.
    pub host_key_algorithms: Option<String>,
    /// Signature algorithms of certificate authorities, as configured.
    pub ca_signature_algorithms: Option<String>,
    /// Key exchange algorithms, as configured.
    pub kex_algorithms: Option<String>,
    /// Ciphers, as configured.
    pub ciphers: Option<String>,
    /// MACs, as configured.
    pub macs: Option<String>,
    /// Compression of the SSH stream.
    pub compression: bool,
    /// Silence after which the server is asked for a sign of life; zero is never, `None` is our default.
    pub alive_interval: Option<Duration>,
    /// Questions without an answer after which the connection is given up.
    pub alive_count_max: u32,
    /// Where the settings came from, for the jump hosts on the way.
    pub config: ConfigSource,
    /// Variables sent to the server.
    pub environment: Vec<(String, String)>,
    /// RSA keys with fewer bits count neither for the server nor for the user.
    pub required_rsa_size: u32,
    /// When the connection's own keys are renewed.
    pub rekey: Rekey,
    /// Whether the host's address has to agree with its key too.
    pub check_host_ip: bool,
    /// Ways of proving who the user is that the configuration turns on and that we do not have.
    pub lacking_methods: Vec<&'static str>,
}
