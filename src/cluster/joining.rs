//! Connecting to many hosts: bounded, with retries, until enough are there.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::error::Error;
use crate::retry::Retry;

/// How connecting to one host ended.
#[derive(Debug)]
pub(crate) struct Attempted<T> {
    /// The position of the host among all.
    pub(crate) place: usize,
    /// The connection, or why there is none.
    pub(crate) result: Result<T, Error>,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// How long all attempts took together, waits included.
    pub(crate) elapsed: Duration,
}

/// Connections that are being made. Dropping this gives up those that are not there.
#[derive(Debug)]
pub(crate) struct Joining<T> {
    attempts: JoinSet<Attempted<T>>,
}

impl<T: Send + 'static> Joining<T> {
    /// Starts to connect to `count` hosts, to `at_once` at the same time. `connect` makes one attempt for the host at a place.
    /// Must be called within a tokio runtime.
    pub(crate) fn start<F>(
        count: usize,
        at_once: usize,
        retry: &Retry,
        connect: impl Fn(usize) -> F + Send + Sync + 'static,
    ) -> Joining<T>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let connect = Arc::new(connect);
        let gate = Arc::new(Semaphore::new(at_once.max(1)));
        let mut attempts = JoinSet::new();
        for place in 0..count {
            let (connect, gate, retry) = (Arc::clone(&connect), Arc::clone(&gate), retry.clone());
            attempts.spawn(attempt(place, retry, gate, move || connect(place)));
        }
        Joining { attempts }
    }

    /// The next host of which it is known how connecting ended; `None` when all are. Safe to drop and call again.
    pub(crate) async fn next(&mut self) -> Option<Attempted<T>> {
        loop {
            match self.attempts.join_next().await? {
                Ok(attempted) => return Some(attempted),
                // A task that panicked has no host to name; the count shows that it is missing.
                Err(_panicked) => {}
            }
        }
    }
}

/// Connects to one host, and tries again as far as that may help.
async fn attempt<T, F: Future<Output = Result<T, Error>>>(
    place: usize,
    retry: Retry,
    gate: Arc<Semaphore>,
    connect: impl Fn() -> F,
) -> Attempted<T> {
    let mut started = None;
    let mut attempts = 0;
    loop {
        // Held while connecting only, so that waiting hosts do not keep others out.
        let permit = gate.acquire().await;
        let started = *started.get_or_insert_with(Instant::now);
        attempts += 1;
        let result = connect().await;
        drop(permit);
        match result {
            Err(error) if error.is_temporary() && retry.allows_another(attempts) => {
                tokio::time::sleep(retry.wait_after(attempts)).await;
            }
            result => {
                return Attempted {
                    place,
                    result,
                    attempts,
                    elapsed: started.elapsed(),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ConnectError, Stage};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn failed(stage: Stage) -> Error {
        ConnectError::new("web1", stage, "it failed").into()
    }

    async fn all<T: Send + 'static>(mut joining: Joining<T>) -> Vec<Attempted<T>> {
        let mut all = Vec::new();
        while let Some(one) = joining.next().await {
            all.push(one);
        }
        all.sort_by_key(|attempted| attempted.place);
        all
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_may_pass_is_tried_again() {
        let stages = [
            Stage::Configure,
            Stage::Connect,
            Stage::HostKey,
            Stage::Authentication,
            Stage::Channel,
            Stage::Interpreter,
        ];
        let retry = Retry::default().with_attempts(4);
        let joining = Joining::<()>::start(stages.len(), 2, &retry, move |place| async move {
            Err(failed(stages[place]))
        });
        let attempts: Vec<_> = all(joining).await.iter().map(|one| one.attempts).collect();
        assert_eq!(attempts, [1, 4, 1, 1, 4, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_waits_to_be_tried_again_keeps_no_other_out() {
        let tries = Arc::new(AtomicUsize::new(0));
        let retry = Retry::default().with_attempts(3);
        let joining = Joining::start(3, 1, &retry, move |place| {
            let tries = Arc::clone(&tries);
            async move {
                match place {
                    0 if tries.fetch_add(1, Ordering::SeqCst) < 2 => Err(failed(Stage::Connect)),
                    _ => Ok(place),
                }
            }
        });
        let all = all(joining).await;
        let places: Vec<_> = all
            .iter()
            .map(|one| *one.result.as_ref().unwrap())
            .collect();
        assert_eq!(places, [0, 1, 2]);
        assert_eq!(all[0].attempts, 3);
        assert_eq!(all[1].attempts, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_hangs_costs_only_itself() {
        let joining = Joining::start(10, 4, &Retry::never(), move |place| async move {
            if place == 3 {
                tokio::time::sleep(Duration::from_secs(20)).await;
                return Err(failed(Stage::Authentication));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(())
        });
        let start = tokio::time::Instant::now();
        let all = all(joining).await;
        assert_eq!(all.iter().filter(|one| one.result.is_ok()).count(), 9);
        assert!(start.elapsed() < Duration::from_secs(21));
    }
}
