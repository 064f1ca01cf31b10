//! What SSH itself costs: a bare russh client that does the same over the same server, without this crate.

pub mod apart;
pub mod distance;
pub mod idle;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use russh::client::{self, Handle, Msg};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key};
use russh::{Channel, ChannelMsg};

/// Takes any host key: the server was started by this very program.
struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

/// An authenticated connection.
pub struct Floor {
    handle: Handle<Trusting>,
}

impl Floor {
    pub async fn connect(address: &str, port: u16, user: &str, key: &Path) -> Floor {
        let config = client::Config {
            nodelay: true,
            ..client::Config::default()
        };
        let mut handle = client::connect(Arc::new(config), (address, port), Trusting)
            .await
            .expect("russh connects");
        let key = load_secret_key(key, None).expect("the key is readable");
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
        let answer = handle
            .authenticate_publickey(user, key)
            .await
            .expect("russh authenticates");
        assert!(answer.success(), "the server refuses the key");
        Floor { handle }
    }

    /// A session channel on which nothing is asked for.
    pub async fn open_idle(&self) -> Channel<Msg> {
        self.handle
            .channel_open_session()
            .await
            .expect("the server opens a channel")
    }

    /// Runs a command and waits for its end.
    pub async fn run(&self, command: &str) {
        let mut channel = self.exec(command).await;
        while let Some(message) = channel.wait().await {
            if let ChannelMsg::ExitStatus { exit_status } = message {
                assert_eq!(exit_status, 0, "{command}");
            }
        }
    }

    /// Starts a Python that sends back what it reads, and answers one call after the other.
    pub async fn echo(&self, python: &str) -> Echo {
        let script =
            "import os\nwhile 1:\n d = os.read(0, 65536)\n if not d: break\n os.write(1, d)";
        let mut echo = Echo {
            channel: self
                .exec(&format!("exec {python} -S -E -u -c '{script}'"))
                .await,
        };
        echo.round_trip(64).await;
        echo
    }

    pub async fn close(self) {
        let _ = self
            .handle
            .disconnect(russh::Disconnect::ByApplication, "", "")
            .await;
        let _ = self.handle.await;
    }

    async fn exec(&self, command: &str) -> Channel<Msg> {
        let channel = self
            .handle
            .channel_open_session()
            .await
            .expect("a channel opens");
        channel.exec(true, command).await.expect("exec is sent");
        channel
    }
}

/// A remote process that echoes.
pub struct Echo {
    channel: Channel<Msg>,
}

impl Echo {
    /// Sends this many bytes and waits until as many are back.
    pub async fn round_trip(&mut self, size: usize) -> Duration {
        let begin = Instant::now();
        let data = vec![b'x'; size];
        self.channel.data(&data[..]).await.expect("data is sent");
        let mut back = 0;
        while back < size {
            match self.channel.wait().await.expect("the echo lives") {
                ChannelMsg::Data { data } => back += data.len(),
                ChannelMsg::ExitStatus { exit_status } => {
                    panic!("the echo ended with {exit_status}")
                }
                _ => {}
            }
        }
        begin.elapsed()
    }
}
