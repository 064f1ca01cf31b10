//! What servers say before their version, and instead of it.

use std::time::{Duration, Instant};

use easycluster::Stage;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::support::remote::{finish, open_spec, server};
use crate::support::within;

/// A server that says this first, and then is the one at port `to`, or ends, or stays silent.
async fn saying(greeting: Vec<u8>, then: Then) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let greeting = greeting.clone();
            tokio::spawn(async move {
                client.write_all(&greeting).await.unwrap();
                match then {
                    Then::Serve(to) => {
                        let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                        _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                    Then::End => {
                        // Its own version is taken first, so that what was said arrives.
                        _ = client.shutdown().await;
                        _ = client.read_to_end(&mut Vec::new()).await;
                    }
                    Then::Wait => _ = client.read_to_end(&mut Vec::new()).await,
                }
            });
        }
    });
    port
}

#[derive(Clone, Copy)]
enum Then {
    Serve(u16),
    End,
    Wait,
}

#[tokio::test]
async fn long_greetings_are_read_as_far_as_openssh_reads_them() {
    let server = server();
    let line = |length: usize| [vec![b'x'; length - 1], vec![b'\n']].concat();
    for (name, greeting) in [
        ("21 lines", b"welcome\r\n".repeat(21)),
        ("1000 lines", b"welcome\n".repeat(1000)),
        ("a long line", line(254)),
        ("a very long line", line(8192)),
        ("no text", b"\xff\xfe\0\r\n\n".to_vec()),
    ] {
        let port = saying(greeting, Then::Serve(server.port())).await;
        server.is_known_at(port);
        let spec = server.spec_at("127.0.0.1", port);
        let opened = within(open_spec(&spec, "echo in")).await;
        let process = opened.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(finish(process).await.0, b"in\n", "{name}");
    }
}

#[tokio::test]
async fn what_a_server_says_instead_of_its_version_is_shown() {
    let server = server();
    for said in [
        "Exceeded MaxStartups\r\n",
        "Not allowed at this time\r\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "an open line",
    ] {
        let port = saying(said.as_bytes().to_vec(), Then::End).await;
        server.is_known_at(port);
        let spec = server.spec_at("127.0.0.1", port);
        let error = within(open_spec(&spec, "true")).await.unwrap_err();
        assert_eq!(error.stage, Stage::KeyExchange, "{said}: {error}");
        assert!(error.message.contains(said.trim()), "{error}");
        assert!(error.message.contains("closed the connection"), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_ssh_2_server_is_told_at_once() {
    let server = server();
    for (greeting, words) in [
        (b"SSH-1.5-OldServer\n".to_vec(), "SSH 1"),
        (b"SSH-1.5-".to_vec(), "SSH 1"),
        (b"SSH-3.0-new\r\n".to_vec(), "SSH-3.0-new"),
        (vec![b'x'; 9000], "8192 bytes"),
        (b"x\n".repeat(1100), "1024 lines"),
    ] {
        let port = saying(greeting, Then::Wait).await;
        server.is_known_at(port);
        let since = Instant::now();
        let spec = server.spec_at("127.0.0.1", port);
        let error = within(open_spec(&spec, "true")).await.unwrap_err();
        assert!(error.message.contains(words), "{words}: {error}");
        // Well below the limit of the stage, which is 20 s.
        assert!(since.elapsed() < Duration::from_secs(10), "{words}");
    }
}
