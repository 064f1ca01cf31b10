//! Connection specs: what `[user@]host[:port][:option=value]...` says, as a value.
//!
//! The grammar is in `spec/connection-spec.md`; each numbered rule there has vectors that the tests run.
//! Parsing reads no file, no environment and no clock: a key file is opened when the key is asked for.
mod canonical;
mod error;
mod head;
mod items;
mod options;
mod parse;
mod password;
mod separators;
mod step;
mod suggestion;
mod types;
mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::keys::Key;

pub use error::{SpecError, SpecErrorKind};
pub(crate) use options::find as find_option;
#[cfg(feature = "python")]
pub(crate) use options::{OPTIONS, Sets, SpecOption, transport_name};
pub use parse::{CustomOptions, ParseOptions};
pub use password::Password;
pub(crate) use password::{PasswordSource, Secret};
pub use step::Step;
pub(crate) use suggestion::nearest;
pub(crate) use types::key_variable;
pub use types::{
    ConfigChoice, Fingerprint, Host, HostKeyPolicy, JumpHost, KeySource, SshChoice, Transport,
    expand_home,
};
#[cfg(feature = "python")]
pub(crate) use values::OptionValue;

/// The port of the standalone TCP server where a spec names none.
pub const DEFAULT_PORT: u16 = 11998;

/// The longest spec that is read, in bytes.
pub const MAX_SPEC: usize = 4096;

/// The longest `timeout`, in seconds: one week.
pub const MAX_TIMEOUT: u64 = 604_800;

/// The largest `max_result`, in bytes.
pub const MAX_RESULT: u64 = 1 << 40;
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
///
/// A program makes one by parsing, or from its parts; fields are set by name, because there will be more of them:
///
/// ```
/// use easycluster::spec::{ConnectionSpec, Host};
///
/// let host = Host::Name("web1".to_string());
/// let spec = ConnectionSpec::for_host(host)
///     .with_port(2222)
///     .with_option("user", "deploy")?
///     .with_option("identity", "~/.ssh/deploy")?;
/// assert_eq!(spec.to_string(), "deploy@web1:2222:identity=~/.ssh/deploy");
/// # Ok::<(), easycluster::spec::SpecError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
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
    /// The private key file to log in with, or `env:NAME` for a variable that has the key (`identity`).
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
    /// Modules of a Python master's own that this host may import from it (`forward`).
    pub forward: Vec<String>,
    /// The name to show for this connection (`name`).
    pub name: Option<String>,
    /// How many interpreters are kept started on the connection for clients to come (`ahead`).
    pub ahead: Option<usize>,
    /// The longest result taken, in bytes (`max_result`).
    pub max_result: Option<u64>,
    /// The steps from the login to the interpreter, in order (`then`).
    pub then: Vec<Step>,
    /// A last step by sudo (`become`).
    pub become_step: Option<Step>,
    /// Options that belong to the program which parsed the spec.
    pub custom: BTreeMap<String, String>,
}

impl ConnectionSpec {
    /// A spec of nothing but a host: what parsing its bare name gives.
    pub fn for_host(host: Host) -> Self {
        ConnectionSpec {
            host,
            ..ConnectionSpec::default()
        }
    }

    /// The same with a port.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// The same with a shared key, which errors and the canonical text leave out.
    #[must_use]
    pub fn with_key(mut self, key: Key) -> Self {
        self.key = Some(KeySource::Given(key));
        self
    }

    /// The same with one more step behind those of `then`.
    #[must_use]
    pub fn with_step(mut self, step: Step) -> Self {
        self.then.push(step);
        self
    }

    /// The same with a password for each step by sudo that has none.
    #[must_use]
    pub fn with_sudo_password(mut self, given: &Password) -> Self {
        for step in self.then.iter_mut().chain(&mut self.become_step) {
            if let Step::Sudo { password, .. } = step {
                password.get_or_insert_with(|| given.clone());
            }
        }
        self
    }

    /// The steps from the login to the interpreter: those of `then`, and `become` last.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.then.iter().chain(&self.become_step)
    }

    /// How this spec is connected: `:local` by a child process, `ssh=` as it says, else SSH where there is a user, else TCP.
    pub fn transport(&self) -> Transport {
        Transport::of(self)
    }

    /// The port of the standalone server: the spec's, or [`DEFAULT_PORT`]. SSH's own default is left to its configuration.
    pub fn tcp_port(&self) -> u16 {
        self.port.unwrap_or(DEFAULT_PORT)
    }

    /// What to call this connection in messages: `name`, or the user, host and port, and the steps in parentheses; of the options
    /// nothing else.
    pub fn label(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let login = match &self.host {
            Host::Local => "local".to_string(),
            host => JumpHost {
                user: self.user.clone(),
                host: host.clone(),
                port: self.port,
            }
            .to_string(),
        };
        match self.steps_text() {
            Some(steps) => format!("{login} ({steps})"),
            None => login,
        }
    }

    /// The steps with commas between, if there are any.
    pub fn steps_text(&self) -> Option<String> {
        let steps: Vec<Step> = self.steps().cloned().collect();
        (!steps.is_empty()).then(|| step::show_steps(&steps))
    }
}
