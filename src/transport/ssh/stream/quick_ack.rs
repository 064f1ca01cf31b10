//! Acknowledging at once while a session is being set up.
//!
//! sshd lets small packets wait for the acknowledgement of those before them (Nagle) until the first command runs, and
//! the kernel delays that by 40 ms where we have nothing to say: the confirmation of the first channel would come so
//! much later.

use tokio::net::TcpStream;

use super::ByteStream;

/// As many bytes as a server sends at most until its first channel runs a command.
const ACKNOWLEDGED_AT_ONCE: usize = 32 * 1024;

impl ByteStream for TcpStream {
    fn acknowledge_now(&self) {
        // Where the kernel does not know the option nothing is lost but time.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = self.set_quickack(true);
    }
}

/// How much of a stream is still acknowledged at once.
pub(super) struct QuickAck {
    left: usize,
}

impl QuickAck {
    pub(super) fn new() -> Self {
        QuickAck {
            left: ACKNOWLEDGED_AT_ONCE,
        }
    }

    /// Notes that so many bytes were read from the stream. The kernel forgets the option after a while, so it is set again.
    pub(super) fn after_read(&mut self, stream: &dyn ByteStream, bytes: usize) {
        if self.left > 0 {
            self.left = self.left.saturating_sub(bytes);
            stream.acknowledge_now();
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn acknowledges_at_once_while_a_session_is_set_up_and_not_for_ever() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let mut quick = QuickAck::new();
        let mut bytes = [0u8; 64];
        for _ in 0..20 {
            server.write_all(&bytes).await.unwrap();
            client.read_exact(&mut bytes).await.unwrap();
            quick.after_read(&client, bytes.len());
            // What the kernel would take for a talk in turns, and begin to delay.
            client.write_all(&bytes).await.unwrap();
            server.read_exact(&mut bytes).await.unwrap();
        }
        assert!(quick.left < ACKNOWLEDGED_AT_ONCE - 1000 && quick.left > 0);
        client.set_quickack(false).unwrap();
        quick.after_read(&client, bytes.len());
        assert!(client.quickack().unwrap());

        quick.left = 64;
        quick.after_read(&client, bytes.len());
        assert_eq!(quick.left, 0);
        client.set_quickack(false).unwrap();
        quick.after_read(&client, bytes.len());
        assert!(!client.quickack().unwrap());
    }
}
