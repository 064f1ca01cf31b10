//! A shared connection that dies while a client starts on it: the client starts again on a new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use easycluster::connection::request::{Payload, Request, RequestKind, ThreadTarget};
use easycluster::connection::{Completion, ConnectOptions, Connection};
use easycluster::{Client, ConnectionSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::Sshd;
use crate::support::remote::{server, until};

/// A relay that cuts a connection off at the next thing the client says, as often as it is told to.
async fn relay(to: u16) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let cuts = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&cuts);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let told = Arc::clone(&told);
            let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            tokio::spawn(async move {
                let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
                loop {
                    tokio::select! {
                        read = client.read(&mut up) => {
                            let count = read.unwrap_or(0);
                            let left = |left: usize| left.checked_sub(1);
                            let cut = told.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left);
                            if count == 0 || cut.is_ok() {
                                return;
                            }
                            server.write_all(&up[..count]).await.unwrap();
                        }
                        read = server.read(&mut down) => {
                            let count = read.unwrap_or(0);
                            if count == 0 || client.write_all(&down[..count]).await.is_err() {
                                return;
                            }
                        }
                    }
                }
            });
        }
    });
    (port, cuts)
}

async fn start(server: &Sshd, port: u16, extra: &str) -> Client {
    let spec = format!("{}{extra}", server.spec_at("127.0.0.1", port));
    let spec: ConnectionSpec = spec.parse().unwrap();
    Client::connect(&spec, ConnectOptions::default())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_start_that_meets_a_dead_connection_is_repeated_on_a_new_one() {
    for extra in ["", ":ahead=1"] {
        let server = server();
        let (port, cuts) = relay(server.port()).await;
        server.is_known_at(port);
        let first = start(&server, port, extra).await;
        first.ready().await.unwrap();
        // What is made ready for later clients has been asked for by then.
        let wanted = if extra.is_empty() { 1 } else { 2 };
        until(|| match server.session_processes().len() {
            found if found >= wanted => Ok(()),
            found => Err((found, wanted)),
        })
        .await;
        cuts.store(1, Ordering::SeqCst);
        let second = start(&server, port, extra).await;
        second.ready().await.unwrap();
        let pid: i64 = second.call("os.getpid", ()).await.unwrap();
        assert!(pid > 0);
        assert_eq!(cuts.load(Ordering::SeqCst), 0);
        assert_eq!(server.logins(), 2);
    }
}

/// What a relay does with its first connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Served,
    Ignored,
    Cut,
}

/// A relay whose first connection is served, ignored and cut off as it is told, and that takes each later one and says nothing.
/// Tells how many of those there are.
async fn relay_that_holds(to: u16) -> (u16, watch::Sender<First>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, mut told) = watch::channel(First::Served);
    let held = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&held);
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
        let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
        while *told.borrow() != First::Cut {
            tokio::select! {
                read = client.read(&mut up) => {
                    if *told.borrow() == First::Served {
                        server.write_all(&up[..read.unwrap()]).await.unwrap();
                    }
                }
                read = server.read(&mut down) => {
                    client.write_all(&down[..read.unwrap()]).await.unwrap();
                }
                _ = told.changed() => {}
            }
        }
        drop((client, server));
        while let Ok((mut client, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            while client.read(&mut up).await.is_ok_and(|count| count > 0) {}
            count.fetch_sub(1, Ordering::SeqCst);
        }
    });
    (port, tell, held)
}

/// A connection whose start met a dead one, and is repeated on one that says nothing; and what keeps the others.
async fn repeating(server: &Sshd) -> (Client, Connection, Arc<AtomicUsize>) {
    let (port, tell, held) = relay_that_holds(server.port()).await;
    server.is_known_at(port);
    let first = start(server, port, "").await;
    first.ready().await.unwrap();
    tell.send(First::Ignored).unwrap();
    let spec = server.spec_at("127.0.0.1", port).parse().unwrap();
    let second = Connection::open(&spec, ConnectOptions::default())
        .await
        .unwrap();
    tell.send(First::Cut).unwrap();
    until_held(&held, 1).await;
    (first, second, held)
}

async fn until_held(held: &AtomicUsize, wanted: usize) {
    until(|| match held.load(Ordering::SeqCst) {
        found if found == wanted => Ok(()),
        found => Err((found, wanted)),
    })
    .await;
}

/// Well within the time that a server has for its first word.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn requests_keep_their_time_while_a_start_is_repeated() {
    let server = server();
    let (_first, second, held) = repeating(&server).await;
    let mut request = Request::new(
        RequestKind::Method,
        ThreadTarget::Id(0),
        Payload::from(Bytes::from_static(b"N.")),
    );
    request.deadline = Some(Instant::now() + Duration::from_millis(100));
    let ended = tokio::time::timeout(SOON, second.request(request)).await;
    let ended = ended.expect("the end of the request");
    assert!(matches!(ended, Completion::TimedOut(None)), "{ended:?}");
    assert_eq!(held.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_is_abandoned_while_its_start_is_repeated_connects_no_more() {
    let server = server();
    let (_first, second, held) = repeating(&server).await;
    second.abandon("it is needed no more");
    let left = tokio::time::timeout(SOON, until_held(&held, 0)).await;
    left.expect("the end of the attempt");
}
