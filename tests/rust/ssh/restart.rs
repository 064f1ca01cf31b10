//! A shared connection that dies while a client starts on it: the client starts again on a new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use easycluster::connection::ConnectOptions;
use easycluster::{Client, ConnectionSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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
