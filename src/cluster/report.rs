//! What became of each host that a cluster was to connect to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;

/// How connecting to a cluster went, host by host in the order given. Its `Display` is a table.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectReport {
    /// The hosts.
    pub hosts: Vec<HostReport>,
    /// How many had to be connected.
    pub needed: usize,
    /// How long it took until the cluster was there or was given up.
    pub elapsed: Duration,
}

/// How connecting to one host went.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HostReport {
    /// The host as the user named it.
    pub host: String,
    /// How often it was tried; 0 where that is not known yet.
    pub attempts: u32,
    /// How long that took, waits between attempts included.
    pub elapsed: Duration,
    /// What came of it.
    pub outcome: HostOutcome,
    /// How many processes were started on it, which may be fewer than `ClusterOptions::slots` says where the host refuses more.
    pub processes: usize,
}

/// What came of connecting to a host.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum HostOutcome {
    /// It is connected.
    Connected,
    /// It is not connected, for this reason.
    Failed(Arc<Error>),
    /// It is still being tried.
    Connecting,
    /// It was not tried, because there are fewer hosts than the quorum.
    NotTried,
}

impl HostReport {
    /// Why the host is not connected.
    pub fn error(&self) -> Option<&Error> {
        match &self.outcome {
            HostOutcome::Failed(error) => Some(error),
            _ => None,
        }
    }
}

impl ConnectReport {
    pub(super) fn new(hosts: impl Iterator<Item = String>, needed: usize) -> ConnectReport {
        let hosts = hosts.map(|host| HostReport {
            host,
            attempts: 0,
            elapsed: Duration::ZERO,
            outcome: HostOutcome::Connecting,
            processes: 0,
        });
        ConnectReport {
            hosts: hosts.collect(),
            needed,
            elapsed: Duration::ZERO,
        }
    }

    /// How many hosts are connected.
    pub fn connected(&self) -> usize {
        let connected = |host: &&HostReport| matches!(host.outcome, HostOutcome::Connected);
        self.hosts.iter().filter(connected).count()
    }

    /// The hosts that are not connected, whether they failed or are still being tried.
    pub fn missing(&self) -> impl Iterator<Item = &HostReport> {
        let missing = |host: &&HostReport| !matches!(host.outcome, HostOutcome::Connected);
        self.hosts.iter().filter(missing)
    }

    /// Of a quorum that no number of these hosts is: none is tried.
    pub(super) fn without_quorum(mut self) -> ConnectReport {
        for host in &mut self.hosts {
            host.outcome = HostOutcome::NotTried;
        }
        self
    }

    /// Whether there are fewer hosts than are needed.
    pub(super) fn lacks_hosts(&self) -> bool {
        self.needed > self.hosts.len()
    }

    /// Whether as many hosts are connected as were needed.
    pub fn has_quorum(&self) -> bool {
        self.connected() >= self.needed
    }
}

impl fmt::Display for ConnectReport {
    /// A line of summary, and a line for each host that is not connected, with its reason and what to do next; or one line that says
    /// that the quorum is more than the hosts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lacks_hosts() {
            let count = self.hosts.len();
            let needed = self.needed;
            return write!(
                f,
                "a quorum of {needed} is more than the number of hosts, {count}"
            );
        }
        write!(
            f,
            "{} of {} hosts connected, {} needed",
            self.connected(),
            self.hosts.len(),
            self.needed
        )?;
        for host in self.missing() {
            match host.error() {
                // The error names its host.
                Some(error) => write!(f, "\n  {error}")?,
                None => write!(f, "\n  {}: still connecting", host.host)?,
            }
            if host.attempts > 1 {
                write!(f, " (after {} attempts)", host.attempts)?;
            }
            if let Some(hint) = host.error().and_then(Error::hint) {
                write!(f, "\n    hint: {hint}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConnectReport {}
