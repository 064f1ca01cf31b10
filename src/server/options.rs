//! Everything about a standalone server that can be chosen.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::{CONNECTIONS_MAX, DEFAULT_PORT, HANDSHAKE_LIMIT, HANDSHAKES_MAX, Liveness};

/// Everything about a server that can be chosen.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Port to listen on; with 0 the system picks one.
    pub port: u16,
    /// Address or host name to listen on; None is all addresses.
    pub bind: Option<String>,
    /// Whether to listen on IPv6 too.
    pub ipv6: bool,
    /// Networks that may connect; none allows all.
    pub allow: Vec<IpNet>,
    /// Authenticated connections at once.
    pub connections_max: usize,
    /// Connections at once that have not yet shown that they hold the key.
    pub handshakes_max: usize,
    /// How long they may take.
    pub handshake_limit: Duration,
    /// When a silent client is asked, and when it is given up.
    pub liveness: Liveness,
    /// Names of environment variables that commands get beside the usual ones.
    pub pass_environment: Vec<String>,
    /// What the files are called that remote Python threads are profiled into: `%d`
    /// counts them, 0 is the main thread; `%p` is the process id. Written when a thread or its client ends in order.
    pub profile: Option<String>,
    /// Where the key is read from again on `reload`.
    pub key_file: Option<PathBuf>,
    /// Whether a key shorter than KEY_MIN bytes will do.
    pub allow_short_key: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            port: DEFAULT_PORT,
            bind: None,
            ipv6: true,
            allow: Vec::new(),
            connections_max: CONNECTIONS_MAX,
            handshakes_max: HANDSHAKES_MAX,
            handshake_limit: HANDSHAKE_LIMIT,
            liveness: Liveness::default(),
            pass_environment: Vec::new(),
            profile: None,
            key_file: None,
            allow_short_key: false,
        }
    }
}

impl ServerOptions {
    /// The same with the port to listen on; with 0 the system picks one.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The same with the address or host name to listen on.
    #[must_use]
    pub fn with_bind(mut self, bind: impl Into<String>) -> Self {
        self.bind = Some(bind.into());
        self
    }

    /// The same with or without IPv6.
    #[must_use]
    pub fn with_ipv6(mut self, ipv6: bool) -> Self {
        self.ipv6 = ipv6;
        self
    }

    /// The same with the networks that may connect.
    #[must_use]
    pub fn with_allow(mut self, allow: Vec<IpNet>) -> Self {
        self.allow = allow;
        self
    }

    /// The same with a limit of authenticated connections.
    #[must_use]
    pub fn with_connections_max(mut self, connections_max: usize) -> Self {
        self.connections_max = connections_max;
        self
    }

    /// The same with a limit of connections in their handshake.
    #[must_use]
    pub fn with_handshakes_max(mut self, handshakes_max: usize) -> Self {
        self.handshakes_max = handshakes_max;
        self
    }

    /// The same with a time limit of handshakes.
    #[must_use]
    pub fn with_handshake_limit(mut self, handshake_limit: Duration) -> Self {
        self.handshake_limit = handshake_limit;
        self
    }

    /// The same with the times after which a silent client is asked and given up.
    #[must_use]
    pub fn with_liveness(mut self, liveness: Liveness) -> Self {
        self.liveness = liveness;
        self
    }

    /// The same with the environment variables that commands get beside the usual ones.
    #[must_use]
    pub fn with_pass_environment(mut self, pass_environment: Vec<String>) -> Self {
        self.pass_environment = pass_environment;
        self
    }

    /// The same with the files that remote threads are profiled into.
    #[must_use]
    pub fn with_profile(mut self, profile: impl Into<String>) -> Self {
        self.profile = Some(profile.into());
        self
    }

    /// The same with the file that the key is read from again on `reload`.
    #[must_use]
    pub fn with_key_file(mut self, key_file: impl Into<PathBuf>) -> Self {
        self.key_file = Some(key_file.into());
        self
    }

    /// The same with or without keys shorter than KEY_MIN bytes.
    #[must_use]
    pub fn with_allow_short_key(mut self, allow_short_key: bool) -> Self {
        self.allow_short_key = allow_short_key;
        self
    }
}
