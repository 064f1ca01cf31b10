//! Many machines: the same call on all of them at once, one result for each.
//!
//!     cargo run --example many_hosts you@web1 you@web2
//!
//! Without arguments the servers are three processes on this machine.

// An example prints, and ends where it cannot go on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub
)]

use std::time::{Duration, Instant};

use easycluster::{Client, Cluster, ConnectOptions, ConnectionSpec, Error};

const SOURCE: &str = "\
import os, time

def work(seconds):
    time.sleep(seconds)
    return os.getpid()
";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut specs = std::env::args().skip(1).collect::<Vec<_>>();
    if specs.is_empty() {
        specs = vec![":local".to_owned(); 3];
    }
    let specs = specs
        .iter()
        .map(|spec| spec.parse())
        .collect::<Result<Vec<ConnectionSpec>, _>>()?;

    // A machine that cannot be reached does not keep us from the others.
    let mut clients: Vec<Client> = Vec::new();
    for connected in Cluster::connect_each(&specs, &ConnectOptions::default(), 32).await {
        match connected {
            Ok(client) => clients.push(client),
            Err(error) => eprintln!("left out: {error}"),
        }
    }
    let cluster = Cluster::from(clients);

    for outcome in cluster.define(SOURCE).await {
        outcome?;
    }
    let started = Instant::now();
    let outcomes = cluster.call::<i64>("work", (0.5,)).await;
    let elapsed = started.elapsed();
    for (client, outcome) in cluster.clients().iter().zip(outcomes) {
        match outcome {
            Ok(_process) => println!("{}: done", client.host()),
            Err(error) => println!("{error}"),
        }
    }
    // The sleeps were at the same time.
    let together = elapsed < Duration::from_millis(500 * cluster.clients().len().max(2) as u64);
    println!("at once: {together}");

    for client in cluster.clients() {
        client.clone().close().await;
    }
    Ok(())
}
