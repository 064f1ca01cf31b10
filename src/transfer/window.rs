//! Which of the hosts that read the same is where: who shares what one of them has read, who waits, and who is left behind.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use super::source::{Key, Loaded, PIECE};

/// How far the fastest host may be ahead of the slowest.
const AHEAD: u64 = 8 << 20;
/// How long it waits for one that stands still.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Which reader is where, and what was read and is still wanted.
#[derive(Debug)]
pub(super) struct Window {
    slots: BTreeMap<Key, Arc<OnceCell<Arc<Loaded>>>>,
    /// Since when a reader is where it is.
    places: HashMap<usize, (Key, Instant)>,
}

#[derive(Debug)]
pub(super) enum Want {
    /// One of those that share it reads it.
    Shared(Arc<OnceCell<Arc<Loaded>>>),
    /// This one is too far from the others.
    Alone,
    /// This one is too far ahead.
    Wait,
}

impl Window {
    pub(super) fn new(readers: usize, now: Instant) -> Window {
        Window {
            slots: BTreeMap::new(),
            places: (0..readers).map(|reader| (reader, ((0, 0), now))).collect(),
        }
    }

    pub(super) fn leave(&mut self, reader: usize) {
        self.places.remove(&reader);
        self.forget();
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Drops what nobody comes to any more.
    fn forget(&mut self) {
        match self.places.values().map(|(key, _)| *key).min() {
            Some(first) => self.slots = self.slots.split_off(&first),
            None => self.slots.clear(),
        }
    }

    pub(super) fn want(&mut self, reader: usize, key: Key, now: Instant) -> Want {
        match self.places.get_mut(&reader) {
            Some(place) if place.0 == key => {}
            Some(place) => {
                *place = (key, now);
                self.forget();
            }
            None => return Want::Alone,
        }
        if let Some(cell) = self.slots.get(&key) {
            return Want::Shared(Arc::clone(cell));
        }
        while self.slots.len() as u64 * PIECE >= AHEAD {
            let slowest = self.places.iter().min_by_key(|(_, (key, _))| *key);
            let Some((slowest, since)) = slowest.map(|(reader, (_, since))| (*reader, *since))
            else {
                break;
            };
            if slowest == reader {
                return Want::Alone;
            }
            if now.saturating_duration_since(since) < PATIENCE {
                return Want::Wait;
            }
            self.leave(slowest);
        }
        let cell = Arc::default();
        self.slots.insert(key, Arc::clone(&cell));
        Want::Shared(cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_waits_for_the_slowest_and_then_leaves_it_behind() {
        let now = Instant::now();
        let mut window = Window::new(2, now);
        let most = AHEAD / PIECE;
        for piece in 0..most {
            assert!(matches!(window.want(0, (0, piece), now), Want::Shared(_)));
        }
        assert!(matches!(window.want(0, (0, most), now), Want::Wait));
        // It moves, so there is room again.
        assert!(matches!(window.want(1, (0, 1), now), Want::Shared(_)));
        assert!(matches!(window.want(0, (0, most), now), Want::Shared(_)));
        assert!(matches!(
            window.want(0, (0, most + 1), now + PATIENCE / 2),
            Want::Wait
        ));
        assert!(matches!(
            window.want(0, (0, most + 1), now + PATIENCE),
            Want::Shared(_)
        ));
        assert!(matches!(window.want(1, (0, 2), now), Want::Alone));
        assert_eq!(window.slots.len(), 1);
    }
}
