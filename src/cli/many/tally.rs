//! Counts how hosts ended, and says it: `18 ok, 1 failed, 1 unreachable`.

/// The words for how a host ended, in the order in which they are said.
pub(crate) const STATUSES: [&str; 7] = [
    "ok",
    "failed",
    "timeout",
    "unreachable",
    "lost",
    "interrupted",
    "skipped",
];

/// How many hosts ended in which way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    counts: [usize; STATUSES.len()],
}

impl Tally {
    /// Counts one host, which ended so.
    pub(crate) fn add(&mut self, status: &str) {
        if let Some(place) = STATUSES.iter().position(|known| *known == status) {
            self.counts[place] += 1;
        }
    }

    /// How many have ended.
    pub(crate) fn ended(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Each way that occurred, with its number.
    pub(crate) fn text(&self) -> String {
        let said: Vec<String> = STATUSES
            .iter()
            .zip(self.counts)
            .filter(|(_, count)| *count > 0)
            .map(|(status, count)| match *status {
                "timeout" => format!("{count} timed out"),
                status => format!("{count} {status}"),
            })
            .collect();
        said.join(", ")
    }
}

/// `1 host`, `20 hosts`.
pub(crate) fn hosts(count: usize) -> String {
    format!("{count} {}", if count == 1 { "host" } else { "hosts" })
}

#[cfg(test)]
mod tests {
    use super::{Tally, hosts};

    #[test]
    fn each_way_is_counted_and_said_in_order() {
        let mut tally = Tally::default();
        for status in ["unreachable", "ok", "timeout", "ok", "failed"] {
            tally.add(status);
        }
        assert_eq!(tally.text(), "2 ok, 1 failed, 1 timed out, 1 unreachable");
        assert_eq!(tally.ended(), 5);
        assert_eq!(
            (hosts(1), hosts(0)),
            ("1 host".to_owned(), "0 hosts".to_owned())
        );
    }
}
