//! Connection specs: what `[user@]host[:port][:option=value]...` says, as a value.
//!
//! The grammar is in `spec/connection-spec.md`; each numbered rule there has vectors that the tests run.
//! Parsing reads no file, no environment and no clock: a key file is opened when the key is asked for.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod canonical;
mod error;
mod items;
mod options;
mod parse;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

pub use error::{SpecError, SpecErrorKind};

use crate::keys::{Key, KeyError, LoadedKey, read_key_file};

/// The port of the standalone TCP server where a spec names none.
pub const DEFAULT_PORT: u16 = 11998;

/// The longest spec that is read, in bytes.
pub const MAX_SPEC: usize = 4096;

/// The longest `timeout`, in seconds: one week.
pub const MAX_TIMEOUT: u64 = 604_800;

/// The most interpreters that `ahead` has started.
pub const MAX_AHEAD: usize = 64;

/// One parsed connection spec.
///
/// ```
/// use easycluster::spec::{ConnectionSpec, Transport};
///
/// let spec: ConnectionSpec = "user@[2001:db8::2]:2222:rpython=python2.7".parse()?;
/// assert_eq!(spec.user.as_deref(), Some("user"));
/// assert_eq!(spec.port, Some(2222));
/// assert_eq!(spec.transport(), Transport::Ssh);
/// # Ok::<(), easycluster::spec::SpecError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionSpec {
    /// Where to connect, or this machine.
    pub host: Host,
    /// The remote user, from `user@` or `user=`.
    pub user: Option<String>,
    /// The port, where the spec names one.
    pub port: Option<u16>,
    /// The shared key of a standalone server (`key`, `kf`, `keyfile`).
    pub key: Option<KeySource>,
    /// What `ssh=` says. `None`: decided by the user's presence.
    pub ssh: Option<SshChoice>,
    /// Compression of large frames (`compress`).
    pub compress: Option<bool>,
    /// Further arguments in the manner of the `ssh` program (`extra`), already split into words.
    pub extra: Vec<String>,
    /// The remote interpreter (`rpython`), instead of the usual search.
    pub rpython: Option<String>,
    /// The time limit for the whole of connecting (`timeout`).
    pub timeout: Option<Duration>,
    /// The private key file to log in with (`identity`).
    pub identity: Option<PathBuf>,
    /// The known hosts file to use instead of the user's (`known_hosts`).
    pub known_hosts: Option<PathBuf>,
    /// Which ssh_config to read (`config`).
    pub config: Option<ConfigChoice>,
    /// What to do about an unknown host key (`hostkey`).
    pub hostkey: Option<HostKeyPolicy>,
    /// `batch=yes`: ask no questions on the terminal.
    pub batch: Option<bool>,
    /// The hosts to go through, in order (`jump`). `Some` of nothing is `jump=none`.
    pub jump: Option<Vec<JumpHost>>,
    /// Further global names that a Python master may unpickle from this host (`allow`).
    pub allow: Vec<String>,
    /// The name to show for this connection (`name`).
    pub name: Option<String>,
    /// How many interpreters are kept started on the connection for clients to come (`ahead`).
    pub ahead: Option<usize>,
    /// Options that belong to the program which parsed the spec.
    pub custom: BTreeMap<String, String>,
}

/// The host part of a spec.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// This machine, without any network (`:local`).
    Local,
    /// A host name or an alias of ssh_config, as typed.
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, and its zone where one was given.
    V6(Ipv6Addr, Option<String>),
}

impl Host {
    /// The text that a resolver or ssh_config takes: an IPv6 address without brackets.
    pub fn to_plain(&self) -> String {
        match self {
            Host::Local => "local".to_string(),
            Host::Name(name) => name.clone(),
            Host::V4(address) => address.to_string(),
            Host::V6(address, None) => address.to_string(),
            Host::V6(address, Some(zone)) => format!("{address}%{zone}"),
        }
    }
}

/// As a spec writes it: an IPv6 address in brackets, this machine as `:local`.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Local => f.write_str(":local"),
            Host::V6(..) => write!(f, "[{}]", self.to_plain()),
            _ => f.write_str(&self.to_plain()),
        }
    }
}

/// What `ssh=` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SshChoice {
    /// `ssh=yes`: native SSH.
    Yes,
    /// `ssh=no`: the standalone server's TCP protocol.
    No,
    /// `ssh=/path`: the user's own ssh program.
    Program(PathBuf),
}

/// How a spec is connected: CS-10.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Native SSH.
    Ssh,
    /// SSH by way of this program.
    OpenSsh(PathBuf),
    /// The standalone server, by TCP and a shared key.
    Tcp,
    /// A child process of this one.
    Local,
}

/// Which ssh_config is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChoice {
    /// `config=none`: no ssh_config at all.
    None,
    /// This file instead of the user's and the system's.
    File(PathBuf),
}

/// What happens to a host key that known_hosts does not have. A changed or revoked key is refused by all but `Off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// Ask on the terminal; refuse where there is none.
    Ask,
    /// Refuse.
    Refuse,
    /// Accept and record.
    AcceptNew,
    /// Accept anything, record nothing.
    Off,
}

impl HostKeyPolicy {
    /// The word in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            HostKeyPolicy::Ask => "ask",
            HostKeyPolicy::Refuse => "refuse",
            HostKeyPolicy::AcceptNew => "accept-new",
            HostKeyPolicy::Off => "off",
        }
    }
}

/// One host on the way, from `jump`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JumpHost {
    /// The user there.
    pub user: Option<String>,
    /// The host; never [`Host::Local`].
    pub host: Host,
    /// The port there.
    pub port: Option<u16>,
}

impl fmt::Display for JumpHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        write!(f, "{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Where the shared key comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// `kf=` or `keyfile=`: the first line of this file.
    File(PathBuf),
    /// `key=`: the key itself, as typed. Never shown.
    Text(String),
    /// Given by the program instead of the spec ([`ParseOptions::default_key`]).
    Given(Key),
}

/// Leaves the key itself out.
impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::File(path) => f.debug_tuple("File").field(path).finish(),
            KeySource::Text(_) => f.write_str("Text(hidden)"),
            KeySource::Given(_) => f.write_str("Given(hidden)"),
        }
    }
}

impl KeySource {
    /// Reads or decodes the key.
    ///
    /// # Errors
    /// The key file's, and [`KeyError::Empty`].
    pub fn load(&self) -> Result<LoadedKey, KeyError> {
        match self {
            KeySource::File(path) => read_key_file(&expand_home(path)),
            KeySource::Text(text) => LoadedKey::decode(text),
            KeySource::Given(key) => Ok(LoadedKey::without_warnings(key.clone())),
        }
    }
}

/// Which options outside the grammar a program takes for itself.
///
/// They go before the options that this project added, so that a program which had a `name` or `timeout` of its own keeps it,
/// but never before `kf`, `keyfile`, `key`, `compress`, `ssh`, `user`, `extra` and `rpython`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CustomOptions<'a> {
    /// None: an unknown option is an error.
    #[default]
    None,
    /// These names.
    Names(&'a [&'a str]),
    /// Every name but the eight above.
    Any,
}

/// What a program adds to the text of a spec.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParseOptions<'a> {
    /// Options that are handed through in [`ConnectionSpec::custom`].
    pub custom: CustomOptions<'a>,
    /// The port where the spec has none.
    pub default_port: Option<u16>,
    /// The shared key where the spec has none.
    pub default_key: Option<Key>,
    /// Compression where the spec says nothing.
    pub default_compress: Option<bool>,
}

impl ConnectionSpec {
    /// Parses a spec by the plain grammar.
    ///
    /// # Errors
    /// [`SpecError`], whose text shows the spec with the place marked.
    pub fn parse(spec: &str) -> Result<Self, SpecError> {
        Self::parse_with(spec, &ParseOptions::default())
    }

    /// Parses a spec with a program's own options and defaults.
    ///
    /// # Errors
    /// As [`ConnectionSpec::parse`].
    pub fn parse_with(spec: &str, options: &ParseOptions<'_>) -> Result<Self, SpecError> {
        parse::parse(spec, options)
    }

    /// A spec of nothing but a host: what parsing its bare name gives.
    pub fn for_host(host: Host) -> Self {
        ConnectionSpec {
            host,
            user: None,
            port: None,
            key: None,
            ssh: None,
            compress: None,
            extra: Vec::new(),
            rpython: None,
            timeout: None,
            identity: None,
            known_hosts: None,
            config: None,
            hostkey: None,
            batch: None,
            jump: None,
            allow: Vec::new(),
            name: None,
            ahead: None,
            custom: BTreeMap::new(),
        }
    }

    /// How this spec is connected: `:local` by a child process, `ssh=` as it says, else SSH where there is a user, else TCP.
    pub fn transport(&self) -> Transport {
        match (&self.host, &self.ssh, &self.user) {
            (Host::Local, _, _) => Transport::Local,
            (_, Some(SshChoice::Program(path)), _) => Transport::OpenSsh(path.clone()),
            (_, Some(SshChoice::Yes), _) | (_, None, Some(_)) => Transport::Ssh,
            (_, Some(SshChoice::No), _) | (_, None, None) => Transport::Tcp,
        }
    }

    /// The port of the standalone server: the spec's, or [`DEFAULT_PORT`]. SSH's own default is left to its configuration.
    pub fn tcp_port(&self) -> u16 {
        self.port.unwrap_or(DEFAULT_PORT)
    }

    /// What to call this connection in messages: `name`, or the user, host and port, never the options.
    pub fn label(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        match &self.host {
            Host::Local => "local".to_string(),
            host => JumpHost {
                user: self.user.clone(),
                host: host.clone(),
                port: self.port,
            }
            .to_string(),
        }
    }
}

impl FromStr for ConnectionSpec {
    type Err = SpecError;

    fn from_str(spec: &str) -> Result<Self, SpecError> {
        Self::parse(spec)
    }
}

/// A path with a leading `~/` replaced by the user's home directory, where that is known.
pub fn expand_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_path_buf(),
    }
}
