//! One call on many machines, whose outcomes are taken as they come.

use std::future::IntoFuture;

use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::client::Call;
use crate::error::Error;

/// The outcomes of a call on each machine of a cluster; see [`Cluster::each`](crate::Cluster::each). Dropping it cancels the calls
/// that are not done.
#[derive(Debug)]
pub struct Each<R> {
    calls: JoinSet<(usize, Result<R, Error>)>,
    hosts: Vec<String>,
}

impl<R: DeserializeOwned + Send + 'static> Each<R> {
    pub(super) fn new(calls: impl Iterator<Item = (String, Call<R>)>) -> Each<R> {
        let mut each = Each {
            calls: JoinSet::new(),
            hosts: Vec::new(),
        };
        for (place, (host, call)) in calls.enumerate() {
            each.hosts.push(host);
            let call = call.into_future();
            each.calls.spawn(async move { (place, call.await) });
        }
        each
    }

    /// The next outcome and its host; `None` when there are no more. Nothing is lost where the future is dropped before it is ready.
    pub async fn next(&mut self) -> Option<(String, Result<R, Error>)> {
        loop {
            match self.calls.join_next().await? {
                Ok((place, outcome)) => {
                    let host = self.hosts.get(place).cloned().unwrap_or_default();
                    return Some((host, outcome));
                }
                Err(_panicked) => {}
            }
        }
    }

    /// All outcomes, in the order of the hosts.
    pub async fn in_order(mut self) -> Vec<(String, Result<R, Error>)> {
        let mut outcomes = Vec::new();
        while let Some(joined) = self.calls.join_next().await {
            outcomes.extend(joined);
        }
        outcomes.sort_by_key(|(place, _)| *place);
        let named = outcomes.into_iter().filter_map(|(place, outcome)| {
            let host = self.hosts.get(place)?;
            Some((host.clone(), outcome))
        });
        named.collect()
    }
}
