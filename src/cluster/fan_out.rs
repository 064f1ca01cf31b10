//! Bounded work on any number of machines: each piece starts when there is room for it.

use std::future::Future;
use std::iter::{Enumerate, Fuse};

use tokio::task::JoinSet;

use crate::error::Error;

/// How many machines to connect to at the same time by default: enough to hide the network's round trips, few
/// enough for the limits of open files and of half-open connections (sshd's `MaxStartups`) on the way.
pub const AT_ONCE: usize = 64;

/// Runs any number of futures, at most `at_once` of them at the same time (at least 1): each is created when there is room for
/// it, and runs as a task of its own.
///
/// Nothing runs before the first [`FanOut::next`]. Dropping the returned value ends the running tasks and starts no more. Must be
/// used within a tokio runtime.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let squares = (0..1000).map(|n| async move { n * n });
/// let mut work = easycluster::fan_out(squares, 64);
/// while let Some((place, square)) = work.next().await {
///     if square > 100 {
///         println!("{place} is the first that is done with more than 100");
///         break;
///     }
/// }
/// # }
/// ```
pub fn fan_out<I>(work: I, at_once: usize) -> FanOut<I::IntoIter>
where
    I: IntoIterator,
    I::Item: Future<Output: Send + 'static> + Send + 'static,
{
    FanOut {
        waiting: work.into_iter().fuse().enumerate(),
        running: JoinSet::new(),
        at_once: at_once.max(1),
    }
}

/// Work with a bound on how much runs at the same time; see [`fan_out`].
pub struct FanOut<I>
where
    I: Iterator<Item: Future>,
{
    waiting: Enumerate<Fuse<I>>,
    running: JoinSet<(usize, <I::Item as Future>::Output)>,
    at_once: usize,
}

impl<I, T> FanOut<I>
where
    I: Iterator<Item: Future<Output = T> + Send + 'static>,
    T: Send + 'static,
{
    /// The next that is done: its place in the order of the work, and what came of it. `None` when all is done. Work that
    /// panicked is skipped.
    ///
    /// Nothing is lost where the future is dropped before it is ready.
    pub async fn next(&mut self) -> Option<(usize, T)> {
        loop {
            while self.running.len() < self.at_once {
                let Some((place, work)) = self.waiting.next() else {
                    break;
                };
                // A task that had it within itself would hold it twice: as what it was made of, and as what it runs.
                let work = Box::pin(work);
                self.running.spawn(async move { (place, work.await) });
            }
            match self.running.join_next().await {
                Some(Ok(done)) => return Some(done),
                Some(Err(_panicked)) => {}
                None => return None,
            }
        }
    }

    /// All of it, in the order of the work; `None` for work that panicked.
    pub async fn in_order(mut self) -> Vec<Option<T>> {
        let mut results = Vec::new();
        while let Some((place, result)) = self.next().await {
            if results.len() <= place {
                results.resize_with(place + 1, || None);
            }
            if let Some(slot) = results.get_mut(place) {
                *slot = Some(result);
            }
        }
        results
    }

    /// Ends what runs, waits until it has ended, and begins nothing more.
    pub async fn stop(mut self) {
        self.running.shutdown().await;
    }
}

/// The outcome of work that panicked.
pub(super) fn panicked<R>() -> Result<R, Error> {
    Err(Error::Convert("the task on this side ended".to_owned()))
}

/// Each machine's outcome, in order.
pub(super) async fn outcomes<I, R>(work: I, count: usize, at_once: usize) -> Vec<Result<R, Error>>
where
    I: Iterator<Item: Future<Output = Result<R, Error>> + Send + 'static>,
    R: Send + 'static,
{
    let mut results = fan_out(work, at_once).in_order().await;
    results.resize_with(count, || None);
    results
        .into_iter()
        .map(|result| result.unwrap_or_else(panicked))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// How many run now, and the most that ever did.
    #[derive(Default)]
    struct Running {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    impl Running {
        async fn work(self: Arc<Self>, milliseconds: u64) -> u64 {
            struct Ended(Arc<Running>);
            impl Drop for Ended {
                fn drop(&mut self) {
                    self.0.now.fetch_sub(1, Ordering::SeqCst);
                }
            }
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            let _ended = Ended(self);
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            milliseconds
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_allowed_run_and_all_are_done_in_order() {
        let running = Arc::new(Running::default());
        let work = (0..100u64).map(|n| Arc::clone(&running).work((n * 37) % 50));
        let results = fan_out(work, 7).in_order().await;
        let expected: Vec<_> = (0..100u64).map(|n| Some((n * 37) % 50)).collect();
        assert_eq!(results, expected);
        assert_eq!(running.most.load(Ordering::SeqCst), 7);
        assert_eq!(running.now.load(Ordering::SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_first_comes_first() {
        let running = Arc::new(Running::default());
        let work = [30, 10, 20].map(|time| Arc::clone(&running).work(time));
        let mut work = fan_out(work, 64);
        let mut order = Vec::new();
        while let Some((place, _)) = work.next().await {
            order.push(place);
        }
        assert_eq!(order, [1, 2, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_ends_what_runs_and_begins_nothing_more() {
        let running = Arc::new(Running::default());
        let begun = Arc::new(AtomicUsize::new(0));
        let work = (0..1000u64).map(|n| {
            begun.fetch_add(1, Ordering::SeqCst);
            Arc::clone(&running).work(n)
        });
        let mut work = fan_out(work, 10);
        assert_eq!(work.next().await, Some((0, 0)));
        work.stop().await;
        assert_eq!(running.now.load(Ordering::SeqCst), 0);
        assert_eq!(begun.load(Ordering::SeqCst), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_is_the_least_and_panics_are_passed_over() {
        let work = (0..3).map(|n| async move {
            assert!(n != 1, "one of the tasks panics in this test");
            n
        });
        assert_eq!(fan_out(work, 0).in_order().await, [Some(0), None, Some(2)]);
        let last = (0..1).map(|_| async { panic!("as above") });
        let outcomes: Vec<Result<(), Error>> = outcomes(last, 1, 1).await;
        assert!(matches!(outcomes.as_slice(), [Err(_)]));
    }
}
