//! Waiting: asked for again and again, to a deadline that no busy machine reaches. The tests in Rust sleep nowhere else.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long anything may take to become ready or to go away, on a busy machine too. Reaching it is a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between one look and the next.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks every few milliseconds until there is an answer; `None` when the patience is over.
pub fn poll<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Waits until a condition holds, and lets our own tasks run meanwhile. What stands in the way at the end fails the test.
pub async fn until<T: Debug>(mut look: impl FnMut() -> Result<(), T>) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(found) = look() {
        assert!(Instant::now() < deadline, "still: {found:#?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Fails where `work` takes longer than the patience.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("it took too long")
}
