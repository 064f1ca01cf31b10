//! How a cluster is connected: how many at once, what is tried again, and how many hosts are enough.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::connection::ConnectOptions;
use crate::retry::Retry;

use super::AT_ONCE;

/// How to connect to many hosts.
#[derive(Clone)]
#[non_exhaustive]
pub struct ClusterOptions {
    /// How to connect to each.
    pub connect: ConnectOptions,
    /// To how many at the same time, at least 1.
    pub at_once: usize,
    /// What failed for a passing reason is tried again as this says.
    pub retry: Retry,
    /// How many hosts are enough.
    pub quorum: Quorum,
    /// When to go on with those that are connected, if they are enough, though others may still come; or else to fail. Without it,
    /// until it is known of every host.
    pub deadline: Option<Duration>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        ClusterOptions {
            connect: ConnectOptions::default(),
            at_once: AT_ONCE,
            retry: Retry::default(),
            quorum: Quorum::All,
            deadline: None,
        }
    }
}

impl ClusterOptions {
    /// The same with other options of each connection.
    #[must_use]
    pub fn with_connect(mut self, connect: ConnectOptions) -> Self {
        self.connect = connect;
        self
    }

    /// The same with another number of hosts that are connected to at the same time.
    #[must_use]
    pub fn with_at_once(mut self, at_once: usize) -> Self {
        self.at_once = at_once;
        self
    }

    /// The same with other retries.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same with another quorum.
    #[must_use]
    pub fn with_quorum(mut self, quorum: Quorum) -> Self {
        self.quorum = quorum;
        self
    }

    /// The same with a deadline.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

/// How many hosts of a cluster must be connected. Written `all`, `any`, a number such as `3`, or a share such as `80%`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Quorum {
    /// Every host.
    #[default]
    All,
    /// One.
    Any,
    /// So many.
    AtLeast(usize),
    /// This share of them, from 0 to 1, rounded up.
    Share(f64),
}

impl Quorum {
    /// How many of `hosts` that is: at least one, where there is one, and at most all.
    pub fn of(self, hosts: usize) -> usize {
        let wanted = match self {
            Quorum::All => hosts,
            Quorum::Any => 1,
            Quorum::AtLeast(count) => count,
            // A cast from a float stays within the range of the integer.
            Quorum::Share(share) => (hosts as f64 * share - 1e-9).ceil() as usize,
        };
        wanted.max(1).min(hosts)
    }
}

/// A text that is not a quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuorumError {
    text: String,
}

impl fmt::Display for QuorumError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a quorum is `all`, `any`, a number of hosts such as `3`, or a share such as `80%`, not {:?}",
            self.text
        )
    }
}

impl std::error::Error for QuorumError {}

impl FromStr for Quorum {
    type Err = QuorumError;

    fn from_str(text: &str) -> Result<Quorum, QuorumError> {
        let wrong = || QuorumError {
            text: text.to_owned(),
        };
        match text {
            "all" => return Ok(Quorum::All),
            "any" => return Ok(Quorum::Any),
            _ => {}
        }
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
            let valid = (0.0..=100.0).contains(&percent);
            return valid
                .then_some(Quorum::Share(percent / 100.0))
                .ok_or_else(wrong);
        }
        text.parse().map(Quorum::AtLeast).map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_read_and_counted() {
        let of_ten = |text: &str| text.parse::<Quorum>().map(|quorum| quorum.of(10));
        assert_eq!(of_ten("all"), Ok(10));
        assert_eq!(of_ten("any"), Ok(1));
        assert_eq!(of_ten("3"), Ok(3));
        assert_eq!(of_ten("30"), Ok(10));
        assert_eq!(of_ten("80%"), Ok(8));
        assert_eq!(of_ten("81%"), Ok(9));
        assert_eq!(of_ten("0%"), Ok(1));
        assert_eq!(Quorum::Share(0.3).of(10), 3);
        for wrong in ["", "most", "101%", "-1", "NaN%"] {
            assert!(of_ten(wrong).is_err(), "{wrong}");
        }
    }
}
