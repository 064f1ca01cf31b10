//! A TCP connection to a host: all its addresses, staggered, the first that answers wins.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::{ConnectError, Stage};
use crate::transport::TransportOptions;

/// How long one address is waited for before the next is tried beside it (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);

/// The addresses of `host`, the families in turns so that one broken family costs one stagger.
async fn resolve(
    name: &str,
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<Vec<SocketAddr>, ConnectError> {
    let found = timeout(limit, lookup_host((host, port)))
        .await
        .map_err(|_| ConnectError::timeout(name, Stage::Resolve, limit))?
        .map_err(|error| {
            ConnectError::new(
                name,
                Stage::Resolve,
                format!("the host name was not found: {error}"),
            )
            .with_hint("check the spelling, or give the address itself")
        })?;
    let found: Vec<_> = found.collect();
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (mut same, mut other): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|it| it.is_ipv6() == first_is_v6);
    same.reverse();
    other.reverse();
    let mut order = Vec::with_capacity(same.len() + other.len());
    while !same.is_empty() || !other.is_empty() {
        order.extend(same.pop());
        order.extend(other.pop());
    }
    Ok(order)
}

fn failure(name: &str, address: Option<SocketAddr>, error: &io::Error) -> ConnectError {
    let place = address.map_or_else(String::new, |address| format!(" to {address}"));
    let (message, hint) = match error.kind() {
        io::ErrorKind::ConnectionRefused => (
            format!("connection{place} refused: nothing listens there"),
            "start the server with `easycluster -S -k FILE`, or check the port",
        ),
        _ => (
            format!("no connection{place}: {error}"),
            "check the address, the network and the firewall on the way",
        ),
    };
    let mut failure = ConnectError::new(name, Stage::Connect, message).with_hint(hint);
    failure.refused = error.kind() == io::ErrorKind::ConnectionRefused;
    failure
}

/// Connects to the first address of `host` that answers. `name` is what errors call the host.
pub async fn dial(
    name: &str,
    host: &str,
    port: u16,
    options: &TransportOptions,
) -> Result<TcpStream, ConnectError> {
    let start = Instant::now();
    let mut waiting = resolve(name, host, port, options.limits.of(Stage::Resolve))
        .await?
        .into_iter();
    options.reached(
        Stage::Resolve,
        start.elapsed(),
        format!("{} addresses", waiting.len()),
    );

    let start = Instant::now();
    let limit = options.limits.of(Stage::Connect);
    let mut attempts = JoinSet::new();
    let mut last = failure(
        name,
        None,
        &io::Error::new(io::ErrorKind::NotFound, "the host has no address"),
    );
    loop {
        let fresh = waiting.next();
        let started = fresh.is_some();
        if let Some(address) = fresh {
            attempts.spawn(async move { (address, TcpStream::connect(address).await) });
        }
        if attempts.is_empty() {
            return Err(last);
        }
        let patience = if started && waiting.len() > 0 {
            Instant::now() + STAGGER
        } else {
            start + limit
        };
        match timeout_at(patience.min(start + limit), attempts.join_next()).await {
            Ok(Some(Ok((address, Ok(stream))))) => {
                // Small requests must not wait for the acknowledgement of those before them.
                let _ = stream.set_nodelay(true);
                options.reached(Stage::Connect, start.elapsed(), address.to_string());
                return Ok(stream);
            }
            Ok(Some(Ok((address, Err(error))))) => last = failure(name, Some(address), &error),
            Ok(Some(Err(error))) => last = failure(name, None, &io::Error::other(error)),
            Ok(None) => {}
            Err(_) if start.elapsed() >= limit => {
                return Err(
                    ConnectError::timeout(name, Stage::Connect, limit).with_hint(
                        "check the address, and whether a firewall drops what is sent there",
                    ),
                );
            }
            Err(_) => {}
        }
    }
}
