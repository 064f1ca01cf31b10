//! How many hosts a command works on at a time and in all: batches, and the failures after which it stops.

use crate::cli::terminal::hosts;

/// A number of hosts, or a part of all of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Share {
    Hosts(usize),
    Percent(f64),
}

impl Share {
    /// How many that is of so many, rounded down.
    pub(crate) fn of(self, total: usize) -> usize {
        match self {
            Share::Hosts(count) => count,
            // Counts of hosts are far below where this loses anything.
            #[allow(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss
            )]
            Share::Percent(percent) => (total as f64 * percent / 100.0) as usize,
        }
    }
}

/// `5` or `10%`.
pub(crate) fn share(text: &str) -> Result<Share, String> {
    let wrong =
        || "it takes a number of hosts, such as 5, or a part of them, such as 10%".to_owned();
    match text.strip_suffix('%') {
        Some(percent) => percent
            .parse()
            .ok()
            .filter(|percent| (0.0..=100.0).contains(percent))
            .map(Share::Percent)
            .ok_or_else(wrong),
        None => text.parse().map(Share::Hosts).map_err(|_| wrong()),
    }
}

/// The same, and more than nothing.
pub(crate) fn batch(text: &str) -> Result<Share, String> {
    match share(text)? {
        Share::Hosts(_) => hosts::at_least_one(text).map(Share::Hosts),
        Share::Percent(percent) if percent > 0.0 => Ok(Share::Percent(percent)),
        Share::Percent(_) => Err("it takes more than 0%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Share, batch, share};

    #[test]
    fn a_share_is_a_number_or_a_percentage() {
        assert_eq!(share("5"), Ok(Share::Hosts(5)));
        assert_eq!(share("0"), Ok(Share::Hosts(0)));
        assert_eq!(share("10%").map(|share| share.of(25)), Ok(2));
        assert_eq!(share("0.5%").map(|share| share.of(1000)), Ok(5));
        for wrong in ["", "%", "-1", "101%", "x", "nan%", "1.5"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
        assert!(batch("0").is_err() && batch("0%").is_err());
        assert_eq!(batch("100%").map(|share| share.of(7)), Ok(7));
    }
}
