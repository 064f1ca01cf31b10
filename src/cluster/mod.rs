//! Many machines at once: bounded work on any number of them, and clients that are used together.

pub(crate) mod balance;
mod batch;
mod each;
mod fan_out;
mod hosts;
pub(crate) mod joining;
mod map;
mod options;
mod report;
pub(crate) mod slots;

use std::collections::HashSet;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::client::{Call, Client};
use crate::connection::ConnectOptions;
use crate::error::Error;
use crate::inventory::{Inventory, InventoryError};
use crate::pickle::Arguments;
use crate::retry::Retry;
use crate::spec::ConnectionSpec;

pub use each::Each;
pub use fan_out::{AT_ONCE, FanOut, fan_out};
use fan_out::{outcomes, panicked};
use hosts::{Inner, Member, lock};
use joining::{Attempted, Joining};
pub use map::Map;
pub use options::{ClusterOptions, MapOptions, Quorum, QuorumError, Slots};
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

impl Cluster {
    /// Connects to all hosts, and returns when enough are connected and it is known of the others, or the deadline has passed.
    /// Those that come later join then.
    ///
    /// # Errors
    /// The report, if too few are connected. Those that are get closed. At once, if there are fewer than the quorum.
    pub async fn open(
        specs: Vec<ConnectionSpec>,
        options: &ClusterOptions,
    ) -> Result<Cluster, Box<ConnectReport>> {
        let started = Instant::now();
        let needed = options.quorum.of(specs.len());
        let labels = specs.iter().map(ConnectionSpec::label);
        let report = ConnectReport::new(labels, needed);
        if report.lacks_hosts() {
            return Err(Box::new(report.without_quorum()));
        }
        let inner = Inner::new(report, options.inventory.clone());
        let count = specs.len();
        let attempt = attempts(specs.clone(), options.connect.clone());
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
            inner.close().await;
            return Err(Box::new(report));
        }
        let further = slots::further(&inner, &specs, options).await;
        inner.add_further(further);
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
        let hosts = lock(&self.inner.report).hosts.clone();
        let members = lock(&self.inner.members).clone();
        let named = members.into_iter().filter_map(|member| {
            let host = hosts.get(member.place)?.host.clone();
            wanted(&host).then_some((host, member))
        });
        Cluster::of(named, self.inner.inventory.clone())
    }

    /// The cluster of those hosts that a pattern of Ansible's chooses, by their names and by the groups of the inventory that
    /// [`ClusterOptions::inventory`] is: `web:&prod:!web03`, globs, `~regex`, `group[0:3]`. As for [`Cluster::select`].
    ///
    /// # Errors
    /// A pattern that cannot be understood, or names neither a host nor a group.
    pub fn group(&self, pattern: &str) -> Result<Cluster, InventoryError> {
        let hosts = lock(&self.inner.report).hosts.clone();
        let names = || hosts.iter().map(|host| (host.host.as_str(), [].as_slice()));
        let chosen = match &self.inner.inventory {
            Some(inventory) => inventory.select(&[pattern])?,
            None => Inventory::of_groups(names())?.select(&[pattern])?,
        };
        let chosen: HashSet<&str> = chosen.iter().map(|host| host.name()).collect();
        Ok(self.select(|host| chosen.contains(host)))
    }

    /// The clients of all processes and the names of their hosts: the first of each host, then the second.
    fn processes(&self, per_host: Option<usize>) -> Vec<(String, Client)> {
        let hosts = lock(&self.inner.report).hosts.clone();
        let members = lock(&self.inner.members).clone();
        let mut numbered: Vec<(usize, String, Client)> = Vec::new();
        for member in &members {
            let Some(host) = hosts.get(member.place) else {
                continue;
            };
            let most = per_host.unwrap_or(usize::MAX).max(1);
            let clients = member.processes().take(most).enumerate();
            numbered.extend(clients.map(|(n, client)| (n, host.host.clone(), client.clone())));
        }
        numbered.sort_by_key(|(number, _, _)| *number);
        let named = numbered.into_iter();
        named.map(|(_, host, client)| (host, client)).collect()
    }

    /// Runs source in the definitions module of every process of every machine; each machine's outcome in order.
    pub async fn define(&self, source: &str) -> Vec<Result<(), Error>> {
        self.on_every_process(|client| client.define(source)).await
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
        let processes = self.processes(options.per_host);
        Map::new(processes, name, items.into_iter(), options)
    }

    /// Evaluates an expression on every machine at once; each machine's outcome in order.
    pub async fn eval<R: DeserializeOwned + Send + 'static>(
        &self,
        expression: &str,
    ) -> Vec<Result<R, Error>> {
        self.on_each(|client| client.eval(expression)).await
    }

    /// Waits until every process of every machine has done what was called in its main thread so far; each machine's outcome in order.
    pub async fn barrier(&self) -> Vec<Result<(), Error>> {
        self.on_every_process(|client| client.eval("None")).await
    }

    /// Ends the connections in order, and waits until the remote processes have ended.
    pub async fn close(self) {
        if let Some(joining) = lock(&self.inner.joining).take() {
            joining.abort();
        }
        self.inner.close().await;
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

    /// Each machine's outcome of a call in all of its processes: the first failure, if there is one.
    async fn on_every_process(&self, call: impl Fn(&Client) -> Call<()>) -> Vec<Result<(), Error>> {
        let members = lock(&self.inner.members).clone();
        let calls: Vec<_> = members
            .iter()
            .flat_map(|member| member.processes().map(|client| call(client).into_future()))
            .collect();
        let count = calls.len();
        let mut done = outcomes(calls.into_iter(), count, count).await.into_iter();
        let merged = members.iter().map(|member| {
            let own: Vec<_> = done.by_ref().take(member.processes().count()).collect();
            own.into_iter().collect()
        });
        merged.collect()
    }

    /// A cluster of clients that are connected already.
    fn of(
        members: impl Iterator<Item = (String, Member)>,
        inventory: Option<Inventory>,
    ) -> Cluster {
        let (hosts, members): (Vec<_>, Vec<_>) = members.unzip();
        let mut report = ConnectReport::new(hosts.iter().cloned(), 0);
        for (host, member) in report.hosts.iter_mut().zip(&members) {
            host.outcome = HostOutcome::Connected;
            host.processes = 1 + member.further.len();
        }
        let inner = Inner::new(report, inventory);
        for (place, (host, member)) in hosts.into_iter().zip(members).enumerate() {
            inner.add(place, host, member.client, member.further);
        }
        Cluster { inner }
    }
}

/// One attempt to connect to a host.
type Attempt = Pin<Box<dyn Future<Output = Result<Client, Error>> + Send>>;

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
        let named = |client: Client| {
            let member = Member {
                place: 0,
                client,
                further: Vec::new(),
            };
            (member.client.host().to_owned(), member)
        };
        Cluster::of(clients.into_iter().map(named), None)
    }
}
