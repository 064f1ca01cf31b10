//! Many machines at once: connect to all, call on all, results in order.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::sync::Arc;

use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use std::future::IntoFuture;

use super::{Call, Client};
use crate::connection::ConnectOptions;
use crate::connection_spec::ConnectionSpec;
use crate::error::Error;
use crate::pickle::Arguments;

/// Clients that are used together.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    clients: Vec<Client>,
}

impl Cluster {
    /// Connects to all at once, at most `limit` at a time, and says of each how it went, in the order of the specs.
    pub async fn connect_each(
        specs: &[ConnectionSpec],
        options: &ConnectOptions,
        limit: usize,
    ) -> Vec<Result<Client, Error>> {
        let permits = Arc::new(Semaphore::new(limit.max(1)));
        let mut connecting = JoinSet::new();
        for (n, spec) in specs.iter().cloned().enumerate() {
            let (options, permits) = (options.clone(), Arc::clone(&permits));
            connecting.spawn(async move {
                let _permit = permits.acquire_owned().await;
                (n, Client::connect(&spec, options).await)
            });
        }
        let mut results: Vec<_> = connecting.join_all().await;
        results.sort_by_key(|(n, _)| *n);
        results.into_iter().map(|(_, result)| result).collect()
    }

    /// Connects to all.
    ///
    /// # Errors
    /// The first host's error, in the order of the specs; the other connections are closed then.
    pub async fn connect(
        specs: &[ConnectionSpec],
        options: &ConnectOptions,
    ) -> Result<Cluster, Error> {
        let results = Self::connect_each(specs, options, usize::from(u16::MAX)).await;
        Ok(Cluster {
            clients: results.into_iter().collect::<Result<_, _>>()?,
        })
    }

    /// The clients, in order.
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// Runs source in the definitions module of every machine; each machine's outcome in order.
    pub async fn define(&self, source: &str) -> Vec<Result<(), Error>> {
        run_all(self.clients.iter().map(|client| client.define(source))).await
    }

    /// Calls a function on every machine at once; each machine's outcome in order.
    pub async fn call<R>(&self, name: &str, args: impl Arguments + Clone) -> Vec<Result<R, Error>>
    where
        R: DeserializeOwned + Send + 'static,
    {
        run_all(
            self.clients
                .iter()
                .map(|client| client.call(name, args.clone())),
        )
        .await
    }

    /// Evaluates an expression on every machine at once; each machine's outcome in order.
    pub async fn eval<R: DeserializeOwned + Send + 'static>(
        &self,
        expression: &str,
    ) -> Vec<Result<R, Error>> {
        run_all(self.clients.iter().map(|client| client.eval(expression))).await
    }
}

impl From<Vec<Client>> for Cluster {
    fn from(clients: Vec<Client>) -> Self {
        Cluster { clients }
    }
}

async fn run_all<R>(calls: impl Iterator<Item = Call<R>>) -> Vec<Result<R, Error>>
where
    R: DeserializeOwned + Send + 'static,
{
    let mut running = Vec::new();
    for call in calls {
        running.push(tokio::spawn(call.into_future()));
    }
    let mut results = Vec::with_capacity(running.len());
    for task in running {
        // Dropping this future detaches the tasks; each ends with its own call.
        results.push(task.await.unwrap_or_else(|error| {
            Err(Error::Convert(format!("the call's task ended: {error}")))
        }));
    }
    results
}
