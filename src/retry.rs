//! How often something that failed for a passing reason is tried again, and after how long.

use std::time::Duration;

/// How often to try, and how long to wait in between: twice as long each time, and at random up to that.
///
/// ```
/// use std::time::Duration;
/// use easycluster::Retry;
///
/// let retry = Retry::default().with_attempts(5).with_longest(Duration::from_secs(60));
/// assert!(retry.wait_after(1) <= Duration::from_secs(1));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// How many attempts there are in all; 1 tries nothing again.
    pub attempts: u32,
    /// The longest wait behind the first attempt.
    pub first: Duration,
    /// The longest wait behind any attempt.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            attempts: 3,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(15),
        }
    }
}

impl Retry {
    /// That many attempts, one right behind the other: for what another attempt does not meet again.
    pub(crate) const fn without_waits(attempts: u32) -> Retry {
        Retry {
            attempts,
            first: Duration::ZERO,
            longest: Duration::ZERO,
        }
    }

    /// One attempt and no more.
    pub fn never() -> Retry {
        Retry::default().with_attempts(1)
    }

    /// The same with another number of attempts in all, at least 1.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// The same with another limit for the wait behind the first attempt.
    #[must_use]
    pub fn with_first(mut self, first: Duration) -> Self {
        self.first = first;
        self
    }

    /// The same with another limit for any wait.
    #[must_use]
    pub fn with_longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Whether there is another attempt behind the one with this number, which counts from 1.
    pub fn allows_another(&self, attempt: u32) -> bool {
        attempt < self.attempts
    }

    /// The longest wait behind an attempt.
    pub fn limit_after(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }

    /// How long to wait behind an attempt: anything up to the limit, so that those who failed together do not come back together.
    pub fn wait_after(&self, attempt: u32) -> Duration {
        let limit = self.limit_after(attempt);
        let random = getrandom::u32().unwrap_or(u32::MAX);
        limit.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_doubles_up_to_the_longest() {
        let retry = Retry::default();
        let limits: Vec<_> = (1..8).map(|n| retry.limit_after(n).as_secs()).collect();
        assert_eq!(limits, [1, 2, 4, 8, 15, 15, 15]);
        assert_eq!(retry.limit_after(u32::MAX), Duration::from_secs(15));
    }

    #[test]
    fn waits_stay_below_the_limit_and_differ() {
        let retry = Retry::default();
        let waits: Vec<_> = (0..100).map(|_| retry.wait_after(3)).collect();
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(4)));
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }

    #[test]
    fn attempts_are_counted_in_all() {
        let retry = Retry::default().with_attempts(2);
        assert!(retry.allows_another(1));
        assert!(!retry.allows_another(2));
        assert!(!Retry::never().allows_another(1));
        assert!(Retry::without_waits(3).allows_another(2));
        assert_eq!(Retry::without_waits(3).wait_after(2), Duration::ZERO);
        assert!(!Retry::default().with_attempts(0).allows_another(1));
    }
}
