//! How a cluster is connected and how its maps work: what is tried again, how many hosts are enough, which processes are used.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::connection::ConnectOptions;
use crate::inventory::Inventory;
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
    /// How many processes run on each host, so that a map uses several processors.
    pub slots: Slots,
    /// Whose groups [`Cluster::group`](crate::Cluster::group) knows.
    pub inventory: Option<Inventory>,
}

/// How many processes run on each host of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Slots {
    /// So many; at least 1.
    Count(usize),
    /// As many as the processors that the host's affinity and control group allow.
    Processors,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        ClusterOptions {
            connect: ConnectOptions::default(),
            at_once: AT_ONCE,
            retry: Retry::default(),
            quorum: Quorum::All,
            deadline: None,
            slots: Slots::Count(1),
            inventory: None,
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

    /// The same with several processes on each host.
    #[must_use]
    pub fn with_slots(mut self, slots: Slots) -> Self {
        self.slots = slots;
        self
    }

    /// The same with the inventory that the hosts are from.
    #[must_use]
    pub fn with_inventory(mut self, inventory: Inventory) -> Self {
        self.inventory = Some(inventory);
        self
    }
}

/// How a map works.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MapOptions {
    /// Whether results come as they are there, instead of in the order of the items.
    pub as_completed: bool,
    /// Items in a batch; without it, as many as take a tenth of a second.
    pub batch: Option<usize>,
    /// How many batches a process has at most: the one that runs, and those that wait behind it, so that no round trip passes between
    /// them. At least 1.
    pub outstanding: usize,
    /// The most processes of a host that are used; without it, all.
    pub per_host: Option<usize>,
    /// How often an item is sent again after the host that had it was lost. Only for functions that may run twice.
    pub retries: u32,
    /// How long an item may take, from when its host is free for it. Such items are sent one by one.
    pub timeout: Option<Duration>,
    /// How long the whole map may take.
    pub deadline: Option<Duration>,
}

impl Default for MapOptions {
    fn default() -> Self {
        MapOptions {
            as_completed: false,
            batch: None,
            outstanding: 2,
            per_host: None,
            retries: 0,
            timeout: None,
            deadline: None,
        }
    }
}

impl MapOptions {
    /// The same with results as they come.
    #[must_use]
    pub fn with_as_completed(mut self) -> Self {
        self.as_completed = true;
        self
    }

    /// The same with a fixed number of items in a batch.
    #[must_use]
    pub fn with_batch(mut self, items: usize) -> Self {
        self.batch = Some(items);
        self
    }

    /// The same with another number of times that an item may be sent again.
    #[must_use]
    pub fn with_retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// The same with a time limit for each item, whose error then has the remote stack.
    #[must_use]
    pub fn with_timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// The same with another number of batches that a process has at most.
    #[must_use]
    pub fn with_outstanding(mut self, batches: usize) -> Self {
        self.outstanding = batches;
        self
    }

    /// The same with at most so many processes of each host.
    #[must_use]
    pub fn with_per_host(mut self, processes: usize) -> Self {
        self.per_host = Some(processes);
        self
    }

    /// The same with a time limit for the whole map.
    #[must_use]
    pub fn with_deadline(mut self, limit: Duration) -> Self {
        self.deadline = Some(limit);
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
    /// So many, of which there must be as many.
    AtLeast(usize),
    /// This share of them, from 0 to 1, rounded up.
    Share(f64),
}

impl Quorum {
    /// How many of `hosts` that is: at least one, where there is one. It is more than there are where so many are wanted, and no
    /// cluster of them opens then.
    pub fn of(self, hosts: usize) -> usize {
        let wanted = match self {
            Quorum::All => hosts,
            Quorum::Any => 1.min(hosts),
            Quorum::AtLeast(count) => count,
            // A cast from a float stays within the range of the integer.
            Quorum::Share(share) => (hosts as f64 * share - 1e-9).ceil() as usize,
        };
        wanted.max(1.min(hosts))
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
        assert_eq!(of_ten("30"), Ok(30));
        assert_eq!(of_ten("80%"), Ok(8));
        assert_eq!(of_ten("81%"), Ok(9));
        assert_eq!(of_ten("0%"), Ok(1));
        assert_eq!(Quorum::Share(0.3).of(10), 3);
        assert_eq!(Quorum::Any.of(0), 0);
        assert_eq!(Quorum::AtLeast(1).of(0), 1);
        for wrong in ["", "most", "101%", "-1", "NaN%"] {
            assert!(of_ten(wrong).is_err(), "{wrong}");
        }
    }
}
