//! The types of a spec's parts: hosts, jump hosts, where a key comes from, what `ssh=`, `config=` and `hostkey=` choose.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use data_encoding::BASE64_NOPAD;

use crate::keys::{Key, KeyError, LoadedKey, read_key_file};
use crate::spec::ConnectionSpec;

/// The host part of a spec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Host {
    /// This machine, without any network (`:local`).
    #[default]
    Local,
    /// A host name or an alias of ssh_config, as typed.
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, and its zone where one was given.
    V6(Ipv6Addr, Option<String>),
}

impl Host {
    /// The host that a plain text means, an IPv6 address without brackets. The text is not checked.
    pub fn from_plain(text: &str) -> Self {
        let (address, zone) = match text.split_once('%') {
            Some((address, zone)) => (address, Some(zone.to_string())),
            None => (text, None),
        };
        match (text.parse(), address.parse()) {
            (Ok(address), _) => Host::V4(address),
            (_, Ok(address)) => Host::V6(address, zone),
            _ => Host::Name(text.to_string()),
        }
    }

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

/// What `ssh=` says (CS-14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SshChoice {
    /// `ssh=yes`: native SSH.
    Yes,
    /// `ssh=no`: the standalone server's TCP protocol.
    No,
    /// `ssh=/path`: the user's own ssh program.
    Program(PathBuf),
}

/// How a spec is connected (CS-10).
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

impl Transport {
    /// How this spec is connected.
    pub(super) fn of(spec: &ConnectionSpec) -> Self {
        match (&spec.host, &spec.ssh, &spec.user) {
            (Host::Local, _, _) => Transport::Local,
            (_, Some(SshChoice::Program(path)), _) => Transport::OpenSsh(path.clone()),
            (_, Some(SshChoice::Yes), _) | (_, None, Some(_)) => Transport::Ssh,
            (_, Some(SshChoice::No), _) | (_, None, None) => Transport::Tcp,
        }
    }
}

/// Which ssh_config is read (CS-18).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChoice {
    /// `config=none`: no ssh_config at all.
    None,
    /// This file instead of the user's and the system's.
    File(PathBuf),
}

/// What decides about a host key (CS-19). A changed or revoked key is refused by all but `Off` and `Pinned`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostKeyPolicy {
    /// Ask on the terminal about an unknown key; refuse it where there is no terminal.
    Ask,
    /// Refuse an unknown key.
    Refuse,
    /// Accept an unknown key and record it.
    AcceptNew,
    /// Accept any key.
    Off,
    /// Accept these keys and no others, whatever known_hosts records (CS-30).
    Pinned(Vec<Fingerprint>),
}

/// As the spec's `hostkey` writes it.
impl fmt::Display for HostKeyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostKeyPolicy::Ask => f.write_str("ask"),
            HostKeyPolicy::Refuse => f.write_str("refuse"),
            HostKeyPolicy::AcceptNew => f.write_str("accept-new"),
            HostKeyPolicy::Off => f.write_str("off"),
            HostKeyPolicy::Pinned(pins) => f.write_str(&listed(pins)),
        }
    }
}

/// The SHA-256 of a host key, written as `ssh-keygen -l` prints it: `SHA256:` and 43 characters of base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// What a fingerprint begins with.
pub(super) const FINGERPRINT_HASH: &str = "SHA256";

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FINGERPRINT_HASH}:{}", BASE64_NOPAD.encode(&self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.strip_prefix(FINGERPRINT_HASH)
            .and_then(|rest| rest.strip_prefix(':'))
            .and_then(|digits| {
                BASE64_NOPAD
                    .decode(digits.trim_end_matches('=').as_bytes())
                    .ok()
            })
            .and_then(|bytes| bytes.try_into().ok())
            .map(Fingerprint)
            .ok_or_else(|| {
                format!("{text:?} is not a fingerprint as `ssh-keygen -l` prints it: SHA256: and 43 characters of base64")
            })
    }
}

/// One host on the way, from `jump` (CS-21).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

/// Values with commas between them, as `jump`, `allow` and `hostkey` take them.
pub(super) fn listed<T: fmt::Display>(values: &[T]) -> String {
    let texts: Vec<String> = values.iter().map(T::to_string).collect();
    texts.join(",")
}

/// Where the shared key comes from (CS-12).
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// `kf=` or `keyfile=`: the first line of this file.
    File(PathBuf),
    /// `key=`: the key itself, as typed. Never shown.
    Text(String),
    /// Given by the program instead of the spec ([`crate::spec::ParseOptions::default_key`]).
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

/// A path with a leading `~/` replaced by the user's home directory, where that is known (CS-24).
pub fn expand_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_path_buf(),
    }
}

/// The environment variable that a private key is in, where a path stands for one: `env:NAME` (CS-37).
pub(crate) fn key_variable(path: &Path) -> Option<&str> {
    path.to_str()?
        .strip_prefix("env:")
        .filter(|name| !name.is_empty())
}
