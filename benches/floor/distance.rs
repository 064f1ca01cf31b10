//! A relay on the loopback that makes a server seem far away: what goes through comes out a little later.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Relays connections to `port` with this delay each way; gives the relay's own port. Lives as long as the runtime.
pub async fn far_away(port: u16, one_way: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("the loopback has a free port");
    let own = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        loop {
            let (near, _) = listener.accept().await.expect("a connection");
            let far = TcpStream::connect(("127.0.0.1", port))
                .await
                .expect("the server listens");
            near.set_nodelay(true)
                .and(far.set_nodelay(true))
                .expect("a live socket");
            let (near_read, near_write) = near.into_split();
            let (far_read, far_write) = far.into_split();
            tokio::spawn(carry(near_read, far_write, one_way));
            tokio::spawn(carry(far_read, near_write, one_way));
        }
    });
    own
}

/// Hands on what is read, each piece after its delay, in order and without delaying the next.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (send, mut receive) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((due, piece)) = receive.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    });
    let mut buffer = vec![0; 65536];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        // A delayed acknowledgement of the relay's own would delay a server that waits for one.
        #[cfg(target_os = "linux")]
        let _ = from.as_ref().set_quickack(true);
        if send
            .send((Instant::now() + delay, buffer[..count].to_vec()))
            .is_err()
        {
            return;
        }
    }
}
