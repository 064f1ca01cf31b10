//! How many bytes of answers have been handed to the owner and are still held there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Adds up what is held.
#[derive(Debug, Default)]
pub(super) struct Untaken(Arc<AtomicU64>);

impl Untaken {
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts so many bytes until the result is dropped.
    pub(super) fn hold(&self, bytes: u64) -> Held {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Held(Some((Arc::clone(&self.0), bytes)))
    }
}

/// Stands for what is held. A copy stands for nothing, and none differs from another.
#[derive(Debug, Default)]
pub(crate) struct Held(Option<(Arc<AtomicU64>, u64)>);

impl Clone for Held {
    fn clone(&self) -> Self {
        Held(None)
    }
}

impl PartialEq for Held {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((count, bytes)) = self.0.take() {
            count.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}
