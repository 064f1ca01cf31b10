//! A peer that does not do its part.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::progress::CLOSE_GRACE;
use crate::transport::tcp::handshake;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A client's bare socket behind its handshake, and the server's side of the link.
async fn linked() -> ((TcpStream, (Sealer, Opener)), (LinkSender, LinkReceiver)) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connect = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (client, hello) = handshake::greet(&mut stream, KEY).await.unwrap();
        let keys = handshake::prove(&mut stream, client, &hello, &[])
            .await
            .unwrap();
        (stream, keys)
    };
    let accept = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let keys = handshake::accept(&mut stream, KEY).await.unwrap();
        (stream, keys)
    };
    let (client, (stream, (sealer, opener))) = tokio::join!(connect, accept);
    let alive = Liveness::default();
    let server = start(stream, BytesMut::new(), Side::Server, sealer, opener, alive);
    (client, server)
}

#[tokio::test]
async fn a_peer_that_reads_nothing_holds_nothing_open() {
    let (deaf, (sender, receiver)) = linked().await;
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

#[tokio::test]
async fn what_the_window_does_not_count_comes_once() {
    let end = Message::End.head();
    let open = Message::Open(Open {
        command: "true".to_owned(),
        ..Open::default()
    });
    let empty = Message::Data(&[]).head();
    for (content, taken) in [(end, 1), (open.head(), 1), (empty, 0)] {
        let ((mut stream, (mut sealer, _opener)), (_sender, mut receiver)) = linked().await;
        let mut out = Vec::new();
        for _ in 0..3 {
            sealer.seal(&[&content], &mut out).unwrap();
        }
        stream.write_all(&out).await.unwrap();
        for _ in 0..taken {
            assert!(matches!(receiver.next().await, Some(Ok(_))));
        }
        let error = receiver.next().await.unwrap().unwrap_err();
        let LinkError::Authentication(AuthenticationError::Malformed(_)) = error else {
            panic!("{error}");
        };
        assert!(receiver.next().await.is_none());
    }
}

#[tokio::test]
async fn the_end_is_heard_at_once_by_who_has_more_to_send() {
    let mut times = Vec::new();
    // The quickest counts, because a busy machine makes any of them late.
    for _ in 0..3 {
        let ((stream, (sealer, opener)), server) = linked().await;
        let alive = Liveness::default();
        let (_kept, mut receiver) =
            start(stream, BytesMut::new(), Side::Client, sealer, opener, alive);
        let (sender, _receiver) = server;
        sender.send(&Message::Close);
        let since = Instant::now();
        while receiver.next().await.is_some() {}
        times.push(since.elapsed());
    }
    assert!(times.iter().min() < Some(&CLOSE_GRACE), "{times:?}");
}
