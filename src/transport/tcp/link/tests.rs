//! A peer that does not do its part.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::progress::CLOSE_GRACE;
use crate::transport::tcp::handshake;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn a_peer_that_reads_nothing_holds_nothing_open() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connect = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (client, hello) = handshake::greet(&mut stream, KEY).await.unwrap();
        handshake::prove(&mut stream, client, &hello, &[])
            .await
            .unwrap();
        stream
    };
    let accept = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let keys = handshake::accept(&mut stream, KEY).await.unwrap();
        (stream, keys)
    };
    let (deaf, (stream, (sealer, opener))) = tokio::join!(connect, accept);
    let rest = BytesMut::new();
    let alive = Liveness::default();
    let (sender, receiver) = start(stream, rest, Side::Server, sealer, opener, alive);
    let shared = Arc::downgrade(&receiver.owner.0);
    // As much as the window takes, far more than the sockets hold.
    let all = sender.data(vec![0; WINDOW as usize].into());
    timeout(CLOSE_GRACE, all).await.unwrap().unwrap();
    // One more byte waits for room.
    let more = sender.data(vec![0].into());
    assert!(timeout(Duration::from_millis(100), more).await.is_err());
    drop((sender, receiver));
    let deadline = Instant::now() + 5 * CLOSE_GRACE;
    while shared.upgrade().is_some() {
        assert!(Instant::now() < deadline, "its tasks still run");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(deaf);
}
