//! Further processes on the hosts of a cluster, so that its maps use several processors.

use std::time::Duration;

use crate::client::Client;
use crate::error::Error;
use crate::retry::Retry;
use crate::spec::ConnectionSpec;

use super::hosts::{Inner, lock};
use super::joining::{Attempted, Joining};
use super::options::{ClusterOptions, Slots};
use super::{attempts, fan_out};

/// Processes that a host gets at most by its own word; each takes memory here.
pub(crate) const MOST_TOLD: usize = 512;

/// Starts them; gives the places of their hosts and their clients. Those that a host refuses are missing.
pub(super) async fn further(
    inner: &Inner,
    specs: &[ConnectionSpec],
    options: &ClusterOptions,
) -> Vec<(usize, Client)> {
    let members: Vec<(usize, Client)> = lock(&inner.members)
        .iter()
        .map(|member| (member.place, member.client.clone()))
        .collect();
    let wanted = match options.slots {
        Slots::Count(count) => vec![count; members.len()],
        Slots::Processors => {
            let clients: Vec<Client> = members.iter().map(|(_, client)| client.clone()).collect();
            let limit = options.connect.transport.limits.stub;
            let asked = clients.into_iter().map(|client| processors(client, limit));
            let counts = fan_out(asked, members.len());
            let counts = counts.in_order().await.into_iter();
            // A host that does not say, or not in time, has the one process that it has.
            counts
                .map(|count| count.unwrap_or(Ok(1)).unwrap_or(1).min(MOST_TOLD))
                .collect()
        }
    };
    let mut places = Vec::new();
    for ((place, _), wanted) in members.iter().zip(wanted) {
        places.extend(std::iter::repeat_n(*place, wanted.saturating_sub(1)));
    }
    let again = places.iter().filter_map(|place| specs.get(*place).cloned());
    let attempt = attempts(again.collect(), options.connect.clone());
    let mut joining = Joining::start(places.len(), options.at_once, &Retry::never(), attempt);
    let mut started = Vec::new();
    while let Some(Attempted { place, result, .. }) = joining.next().await {
        if let (Some(host), Ok(client)) = (places.get(place), result) {
            started.push((*host, client));
        }
    }
    started
}

async fn processors(client: Client, limit: Duration) -> Result<usize, Error> {
    client.send_helper(&crate::stub::functions::MAP_ITEMS);
    client
        .call("helpers/map_items.processors", ())
        .timeout(limit)
        .await
}
