//! A relay that counts round trips: how often a connection waits for the other side.
//!
//! Not timed, because a busy machine would count too. Every delivery has a depth: one more than the
//! deepest delivery that its sender had before it sent. Half the depth is the round trips waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::until;

/// One way: long enough that what is sent without waiting is sent before the next delivery.
const DELAY: Duration = Duration::from_millis(40);

/// The deepest delivery to each side, and how many are on their way.
#[derive(Clone, Default)]
pub struct Depths {
    to_client: Arc<AtomicU32>,
    to_server: Arc<AtomicU32>,
    flying: Arc<AtomicU32>,
}

/// Hands everything on after the delay, without making what follows wait for it.
async fn delayed(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    sender: Arc<AtomicU32>,
    receiver: Arc<AtomicU32>,
    flying: Arc<AtomicU32>,
) {
    let landed = Arc::clone(&flying);
    let (queue, mut waiting) = tokio::sync::mpsc::unbounded_channel::<(Instant, u32, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((when, depth, bytes)) = waiting.recv().await {
            tokio::time::sleep_until(when.into()).await;
            receiver.fetch_max(depth, Ordering::SeqCst);
            if to.write_all(&bytes).await.is_err() {
                return;
            }
            landed.fetch_sub(1, Ordering::SeqCst);
        }
        _ = to.shutdown().await;
    });
    let mut buffer = vec![0; 65536];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        flying.fetch_add(1, Ordering::SeqCst);
        let depth = sender.load(Ordering::SeqCst) + 1;
        let when = Instant::now() + DELAY;
        if queue.send((when, depth, buffer[..count].to_vec())).is_err() {
            return;
        }
    }
}

/// A relay on a thread of its own, for one connection, so that a busy test does not hold it up.
pub fn relay(to: u16) -> (u16, Depths) {
    let (sender, port) = std::sync::mpsc::channel();
    let depths = Depths::default();
    let Depths {
        to_client,
        to_server,
        flying,
    } = depths.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap().port()).unwrap();
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            client.set_nodelay(true).unwrap();
            server.set_nodelay(true).unwrap();
            let (client_read, client_write) = client.into_split();
            let (server_read, server_write) = server.into_split();
            tokio::join!(
                delayed(
                    client_read,
                    server_write,
                    Arc::clone(&to_client),
                    Arc::clone(&to_server),
                    Arc::clone(&flying)
                ),
                delayed(server_read, client_write, to_server, to_client, flying)
            );
        });
    });
    (port.recv().unwrap(), depths)
}

impl Depths {
    /// Round trips up to what the client has now.
    pub fn trips(&self) -> f64 {
        f64::from(self.to_client.load(Ordering::SeqCst)) / 2.0
    }
}

/// Waits until nothing is on its way, so that what came before is not counted.
pub async fn settled(depths: &Depths) {
    // Twice the delay, in which an answer would have been sent.
    let mut quiet = Instant::now();
    until(|| {
        let flying = depths.flying.load(Ordering::SeqCst);
        if flying > 0 {
            quiet = Instant::now();
        }
        match quiet.elapsed() < 2 * DELAY {
            true => Err(flying),
            false => Ok(()),
        }
    })
    .await;
}
