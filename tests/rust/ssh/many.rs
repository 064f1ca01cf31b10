//! Five hundred connections from one process, with the time and memory that they take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use easycluster::transport::ssh::{Connector, open};
use easycluster::transport::{Process, ReadEvent, StageLimits, TransportOptions};
use tokio::sync::Semaphore;

use crate::support::alone;
use crate::support::processes::{own_memory, threads as threads_of};
use crate::support::remote::{bare_target, idle, server, with_key};

const CONNECTIONS: usize = 500;
/// Handshakes at once; the rest wait for their turn.
const AT_ONCE: usize = 32;

#[test]
fn five_hundred_connections_are_made_used_and_ended() {
    alone(
        module_path!(),
        "five_hundred_connections_are_made_used_and_ended",
        five_hundred_connections(),
    );
}

async fn five_hundred_connections() {
    let server = server();
    let target = with_key(bare_target(&server), &server.key.private);
    let options =
        TransportOptions::default().with_limits(StageLimits::all(Duration::from_secs(120)));
    let before = own_memory();
    let threads = threads_of(std::process::id());
    let since = Instant::now();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let opening: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (turns, target, options) = (Arc::clone(&turns), target.clone(), options.clone());
            tokio::spawn(async move {
                let _turn = turns.acquire().await.unwrap();
                // A connector each, so that none is shared.
                open(&Connector::new(), &target, "exec cat", &options)
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut all = Vec::new();
    for opened in opening {
        all.push(opened.await.unwrap());
    }
    let connected = since.elapsed();
    let memory = own_memory().saturating_sub(before) / 1024;
    assert_eq!(server.logins(), CONNECTIONS);

    let since = Instant::now();
    for Process { writer, .. } in &mut all {
        writer
            .write(vec![Bytes::from_static(b"ping")])
            .await
            .unwrap();
    }
    for Process { reader, .. } in &mut all {
        assert_eq!(
            reader.next().await,
            Some(ReadEvent::Stdout(Bytes::from_static(b"ping")))
        );
    }
    println!(
        "{CONNECTIONS} connections in {:.1} s, {} KiB each; one echo on all of them in {:.3} s; {} threads more",
        connected.as_secs_f64(),
        memory / CONNECTIONS as u64,
        since.elapsed().as_secs_f64(),
        threads_of(std::process::id()) - threads
    );
    // A child process each would take about 8 MiB.
    assert!(memory < 500 * 1024, "{memory} KiB");

    drop(all);
    idle(&server).await;
}
