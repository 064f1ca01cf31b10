//! The hosts of a cluster: which are connected, by which clients, which were lost, and whose groups they are in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::client::Client;
use crate::inventory::Inventory;

use super::fan_out::fan_out;
use super::joining::Attempted;
use super::report::{ConnectReport, HostOutcome};

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) members: Mutex<Vec<Member>>,
    pub(super) report: Mutex<ConnectReport>,
    pub(super) lost: watch::Sender<Vec<String>>,
    pub(super) joined: watch::Sender<usize>,
    /// What still connects to the hosts that are not there.
    pub(super) joining: Mutex<Option<AbortHandle>>,
    /// Whose groups patterns may name.
    pub(super) inventory: Option<Inventory>,
}

/// A host's place among the hosts, its client, and those of its further processes.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) place: usize,
    pub(super) client: Client,
    pub(super) further: Vec<Client>,
}

impl Member {
    pub(super) fn processes(&self) -> impl Iterator<Item = &Client> {
        std::iter::once(&self.client).chain(&self.further)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
    pub(super) fn new(report: ConnectReport, inventory: Option<Inventory>) -> Arc<Inner> {
        Arc::new(Inner {
            members: Mutex::default(),
            report: Mutex::new(report),
            lost: watch::Sender::new(Vec::new()),
            joined: watch::Sender::new(0),
            joining: Mutex::default(),
            inventory,
        })
    }

    /// Notes how connecting to a host ended, and takes its client in.
    pub(super) fn take(self: &Arc<Self>, attempted: Attempted<Client>) {
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
                host.processes = 1;
                let name = host.host.clone();
                drop(report);
                self.add(place, name, client, Vec::new());
            }
        }
    }

    /// Ends the connections in order, and waits until the remote processes have ended.
    pub(super) async fn close(&self) {
        let members = std::mem::take(&mut *lock(&self.members));
        let clients: Vec<Client> = members
            .iter()
            .flat_map(|member| member.processes().cloned())
            .collect();
        drop(members);
        let count = clients.len();
        let closing = clients.into_iter().map(Client::close);
        fan_out(closing, count).in_order().await;
    }

    /// Takes in further processes of hosts.
    pub(super) fn add_further(&self, further: Vec<(usize, Client)>) {
        let (mut report, mut members) = (lock(&self.report), lock(&self.members));
        for (place, client) in further {
            let found = members.iter_mut().find(|member| member.place == place);
            if let (Some(member), Some(host)) = (found, report.hosts.get_mut(place)) {
                member.further.push(client);
                host.processes += 1;
            }
        }
    }

    pub(super) fn add(
        self: &Arc<Self>,
        place: usize,
        host: String,
        client: Client,
        further: Vec<Client>,
    ) {
        let cluster = Arc::downgrade(self);
        client.connection().on_lost(move |_| {
            if let Some(cluster) = Weak::upgrade(&cluster) {
                cluster.lost.send_modify(|hosts| hosts.push(host));
            }
        });
        let mut members = lock(&self.members);
        let at = members.partition_point(|member| member.place < place);
        let member = Member {
            place,
            client,
            further,
        };
        members.insert(at, member);
        let count = members.len();
        drop(members);
        self.joined.send_replace(count);
    }
}
