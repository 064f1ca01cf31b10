//! Many machines at once: bounded work on any number of them, and clients that are used together.

pub(crate) mod balance;
mod each;
mod fan_out;
pub(crate) mod joining;
mod map;
mod options;
mod report;

use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::client::{Call, Client};
use crate::connection::ConnectOptions;
use crate::error::Error;
use crate::pickle::Arguments;
use crate::retry::Retry;
use crate::spec::ConnectionSpec;

pub use each::Each;
pub use fan_out::{AT_ONCE, FanOut, fan_out};
use fan_out::{outcomes, panicked};
use joining::{Attempted, Joining};
pub use map::{Map, MapOptions};
pub use options::{ClusterOptions, Quorum, QuorumError};
pub use report::{ConnectReport, HostOutcome, HostReport};

/// Clients that are used together. Clones share them.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use easycluster::{Cluster, ClusterOptions, Quorum};
///
/// let specs = ["web1", "web2", "web3"].map(|host| host.parse()).into_iter().collect::<Result<Vec<_>, _>>()?;
/// let options = ClusterOptions::default().with_quorum(Quorum::Any);
/// let cluster = Cluster::open(specs, &options).await?;
/// println!("{}", cluster.report());
/// let mut loads = cluster.each::<Vec<f64>>("os.getloadavg", ());
/// while let Some((host, load)) = loads.next().await {
///     println!("{host}: {load:?}");
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    members: Mutex<Vec<Member>>,
    report: Mutex<ConnectReport>,
    lost: watch::Sender<Vec<String>>,
    joined: watch::Sender<usize>,
    /// What still connects to the hosts that are not there.
    joining: Mutex<Option<AbortHandle>>,
}

/// One attempt to connect to a host.
type Attempt = Pin<Box<dyn Future<Output = Result<Client, Error>> + Send>>;

/// A client and its place among the hosts.
#[derive(Debug, Clone)]
struct Member {
    place: usize,
    client: Client,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(joining) = lock(&self.joining).take() {
            joining.abort();
        }
    }
}

impl Inner {
    fn new(report: ConnectReport) -> Arc<Inner> {
        Arc::new(Inner {
            members: Mutex::default(),
            report: Mutex::new(report),
            lost: watch::Sender::new(Vec::new()),
            joined: watch::Sender::new(0),
            joining: Mutex::default(),
        })
    }

    /// Notes how connecting to a host ended, and takes its client in.
    fn take(self: &Arc<Self>, attempted: Attempted<Client>) {
        let Attempted {
            place,
            result,
            attempts,
            elapsed,
        } = attempted;
        let mut report = lock(&self.report);
        let Some(host) = report.hosts.get_mut(place) else {
            return;
        };
        host.attempts = attempts;
        host.elapsed = elapsed;
        match result {
            Err(error) => host.outcome = HostOutcome::Failed(Arc::new(error)),
            Ok(client) => {
                host.outcome = HostOutcome::Connected;
                let name = host.host.clone();
                drop(report);
                self.add(place, name, client);
            }
        }
    }

    fn add(self: &Arc<Self>, place: usize, host: String, client: Client) {
        let cluster = Arc::downgrade(self);
        client.connection().on_lost(move |_| {
            if let Some(cluster) = Weak::upgrade(&cluster) {
                cluster.lost.send_modify(|hosts| hosts.push(host));
            }
        });
        let mut members = lock(&self.members);
        let at = members.partition_point(|member| member.place < place);
        members.insert(at, Member { place, client });
        let count = members.len();
        drop(members);
        self.joined.send_replace(count);
    }
}

impl Cluster {
    /// Connects to all hosts, and returns when enough are connected and it is known of the others, or the deadline has passed.
    /// Those that come later join then.
    ///
    /// # Errors
    /// The report, if too few are connected. Those that are get closed.
    pub async fn open(
        specs: Vec<ConnectionSpec>,
        options: &ClusterOptions,
    ) -> Result<Cluster, Box<ConnectReport>> {
        let started = Instant::now();
        let needed = options.quorum.of(specs.len());
        let labels = specs.iter().map(ConnectionSpec::label);
        let inner = Inner::new(ConnectReport::new(labels, needed));
        let count = specs.len();
        let attempt = attempts(specs, options.connect.clone());
        let mut joining = Joining::start(count, options.at_once, &options.retry, attempt);
        let all = async {
            while let Some(attempted) = joining.next().await {
                inner.take(attempted);
            }
        };
        let complete = match options.deadline {
            None => {
                all.await;
                true
            }
            Some(limit) => tokio::time::timeout(limit, all).await.is_ok(),
        };
        lock(&inner.report).elapsed = started.elapsed();
        let report = lock(&inner.report).clone();
        if !report.has_quorum() {
            drop(joining);
            let members = std::mem::take(&mut *lock(&inner.members));
            let closing = members.into_iter().map(|member| member.client.close());
            let count = closing.len();
            fan_out(closing, count).in_order().await;
            return Err(Box::new(report));
        }
        if !complete {
            let cluster = Arc::downgrade(&inner);
            let late = tokio::spawn(async move {
                while let Some(attempted) = joining.next().await {
                    let Some(cluster) = Weak::upgrade(&cluster) else {
                        return;
                    };
                    cluster.take(attempted);
                }
            });
            *lock(&inner.joining) = Some(late.abort_handle());
        }
        Ok(Cluster { inner })
    }

    /// Connects to all, at most `limit` at a time, and says of each how it went, in the order of the specs.
    pub async fn connect_each(
        specs: &[ConnectionSpec],
        options: &ConnectOptions,
        limit: usize,
    ) -> Vec<Result<Client, Error>> {
        let attempt = attempts(specs.to_vec(), options.clone());
        let mut joining = Joining::start(specs.len(), limit, &Retry::never(), attempt);
        let mut results: Vec<Option<Result<Client, Error>>> = Vec::new();
        results.resize_with(specs.len(), || None);
        while let Some(Attempted { place, result, .. }) = joining.next().await {
            if let Some(outcome) = results.get_mut(place) {
                *outcome = Some(result);
            }
        }
        let results = results.into_iter();
        results
            .map(|outcome| outcome.unwrap_or_else(panicked))
            .collect()
    }

    /// Connects to all, [`AT_ONCE`] at a time and without trying again.
    ///
    /// # Errors
    /// The first host's error, in the order of the specs; the other connections are closed then.
    pub async fn connect(
        specs: &[ConnectionSpec],
        options: &ConnectOptions,
    ) -> Result<Cluster, Error> {
        let options = ClusterOptions::default()
            .with_connect(options.clone())
            .with_retry(Retry::never());
        Cluster::open(specs.to_vec(), &options)
            .await
            .map_err(|report| first_error(*report))
    }

    /// The clients that are connected, in the order of the hosts.
    pub fn clients(&self) -> Vec<Client> {
        let members = lock(&self.inner.members);
        members.iter().map(|member| member.client.clone()).collect()
    }

    /// The client of a host, by the name that the report has for it.
    pub fn client(&self, host: &str) -> Option<Client> {
        let members = self.members();
        let found = members.into_iter().find(|(name, _)| name == host);
        found.map(|(_, client)| client)
    }

    /// The hosts that are connected and their clients, in the order of the hosts.
    pub fn members(&self) -> Vec<(String, Client)> {
        let report = lock(&self.inner.report);
        let members = lock(&self.inner.members);
        let named = members.iter().filter_map(|member| {
            let host = report.hosts.get(member.place)?;
            Some((host.host.clone(), member.client.clone()))
        });
        named.collect()
    }

    /// How connecting went, up to now.
    pub fn report(&self) -> ConnectReport {
        lock(&self.inner.report).clone()
    }

    /// The hosts whose connections have ended, in the order in which they did.
    pub fn lost(&self) -> watch::Receiver<Vec<String>> {
        self.inner.lost.subscribe()
    }

    /// How many hosts have joined, which changes while late ones do.
    pub fn joined(&self) -> watch::Receiver<usize> {
        self.inner.joined.subscribe()
    }

    /// The cluster of those hosts for whose names `wanted` is true. It shares their clients, and no host joins it later.
    #[must_use]
    pub fn select(&self, wanted: impl Fn(&str) -> bool) -> Cluster {
        let members = self.members();
        Cluster::of(members.into_iter().filter(|(host, _)| wanted(host)))
    }

    /// Runs source in the definitions module of every machine; each machine's outcome in order.
    pub async fn define(&self, source: &str) -> Vec<Result<(), Error>> {
        self.on_each(|client| client.define(source)).await
    }

    /// Calls a function on every machine at once; each machine's outcome in order.
    pub async fn call<R>(&self, name: &str, args: impl Arguments + Clone) -> Vec<Result<R, Error>>
    where
        R: DeserializeOwned + Send + 'static,
    {
        self.on_each(|client| client.call(name, args.clone())).await
    }

    /// Calls a function on every machine at once, and gives the outcomes as they come.
    pub fn each<R>(&self, name: &str, args: impl Arguments + Clone) -> Each<R>
    where
        R: DeserializeOwned + Send + 'static,
    {
        let calls = self
            .members()
            .into_iter()
            .map(|(host, client)| (host, client.call(name, args.clone())));
        Each::new(calls)
    }

    /// Calls a function with each of many items, each on whichever machine is free, and gives the results in the order of the items or
    /// as they come. Items are taken from the input as they are needed. Runs only while results are asked for.
    pub fn map<I, R>(&self, name: &str, items: I, options: &MapOptions) -> Map<I::IntoIter, R>
    where
        I: IntoIterator<Item: Serialize + Send + Sync + 'static>,
        R: DeserializeOwned + Send + 'static,
    {
        Map::new(self.members(), name, items.into_iter(), options)
    }

    /// Evaluates an expression on every machine at once; each machine's outcome in order.
    pub async fn eval<R: DeserializeOwned + Send + 'static>(
        &self,
        expression: &str,
    ) -> Vec<Result<R, Error>> {
        self.on_each(|client| client.eval(expression)).await
    }

    /// Waits until every machine has done what was called in its main thread so far; each machine's outcome in order.
    pub async fn barrier(&self) -> Vec<Result<(), Error>> {
        self.on_each(|client| client.eval("None")).await
    }

    /// Ends the connections in order, and waits until the remote processes have ended.
    pub async fn close(self) {
        if let Some(joining) = lock(&self.inner.joining).take() {
            joining.abort();
        }
        let members = std::mem::take(&mut *lock(&self.inner.members));
        let closing = members.into_iter().map(|member| member.client.close());
        let count = closing.len();
        fan_out(closing, count).in_order().await;
    }

    async fn on_each<R: DeserializeOwned + Send + 'static>(
        &self,
        call: impl Fn(&Client) -> Call<R>,
    ) -> Vec<Result<R, Error>> {
        let clients = self.clients();
        let count = clients.len();
        let calls = clients.iter().map(|client| call(client).into_future());
        // They are connected, and waiting for an answer costs nothing.
        outcomes(calls, count, count).await
    }

    /// A cluster of clients that are connected already.
    fn of(members: impl Iterator<Item = (String, Client)>) -> Cluster {
        let (hosts, clients): (Vec<_>, Vec<_>) = members.unzip();
        let mut report = ConnectReport::new(hosts.iter().cloned(), 0);
        for host in &mut report.hosts {
            host.outcome = HostOutcome::Connected;
        }
        let inner = Inner::new(report);
        for (place, (host, client)) in hosts.into_iter().zip(clients).enumerate() {
            inner.add(place, host, client);
        }
        Cluster { inner }
    }
}

/// Makes an attempt to connect to the host at a place.
fn attempts(
    specs: Vec<ConnectionSpec>,
    options: ConnectOptions,
) -> impl Fn(usize) -> Attempt + Send + Sync + 'static {
    move |place| {
        let (spec, options) = (specs.get(place).cloned(), options.clone());
        Box::pin(async move {
            match spec {
                Some(spec) => Client::connect(&spec, options).await,
                None => Err(Error::Convert(format!("there is no host {place}"))),
            }
        })
    }
}

/// The first host's error of a report; every host has one or is connected, or is still being tried.
fn first_error(report: ConnectReport) -> Error {
    let summary = report.to_string();
    let failed = report
        .hosts
        .into_iter()
        .find_map(|host| match host.outcome {
            HostOutcome::Failed(error) => Arc::try_unwrap(error).ok(),
            _ => None,
        });
    failed.unwrap_or(Error::Convert(summary))
}

impl From<Vec<Client>> for Cluster {
    fn from(clients: Vec<Client>) -> Self {
        let named = |client: Client| (client.host().to_owned(), client);
        Cluster::of(clients.into_iter().map(named))
    }
}
