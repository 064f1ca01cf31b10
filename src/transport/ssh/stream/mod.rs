//! The byte stream under an SSH session, with what russh lacks: it can be cut off from outside, notices a peer that takes nothing, and acknowledges at once while a session comes about.

pub(crate) mod proxy;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

/// What a session can run on.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// As many bytes as a server sends at most until its first channel runs a command.
const ACKNOWLEDGED_AT_ONCE: usize = 32 * 1024;

/// A TCP stream whose first bytes are acknowledged at once. sshd lets small packets wait for the acknowledgement of those
/// before them (Nagle) until the first command runs, and the kernel delays that by 40 ms where we have nothing to say:
/// the confirmation of the first channel would come so much later.
pub(crate) struct PromptStream {
    stream: TcpStream,
    /// How many bytes are still acknowledged at once.
    left: usize,
}

impl PromptStream {
    pub(crate) fn new(stream: TcpStream) -> PromptStream {
        PromptStream {
            stream,
            left: ACKNOWLEDGED_AT_ONCE,
        }
    }
}

impl AsyncRead for PromptStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        if this.left > 0 {
            let read = buffer.filled().len().saturating_sub(before);
            this.left = this.left.saturating_sub(read);
            // The kernel forgets it after a while, so it is told again. Where it does not know the option nothing is lost but time.
            #[cfg(any(target_os = "linux", target_os = "android"))]
            let _ = this.stream.set_quickack(true);
        }
        polled
    }
}

impl AsyncWrite for PromptStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// Cuts the stream off when dropped. russh's session task does not look at its handle while a key
/// exchange is under way, so without this a silent server would keep task and socket for ever.
pub(crate) struct Lifeline {
    _cut: oneshot::Sender<()>,
}

/// A stream on a lifeline.
pub(crate) struct Tethered {
    inner: Box<dyn ByteStream>,
    cut: oneshot::Receiver<()>,
    /// How long a write may wait while nothing goes in or out; russh's keep-alive is deaf while it writes.
    stall_limit: Option<Duration>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Tethered {
    pub(crate) fn new(
        inner: Box<dyn ByteStream>,
        stall_limit: Option<Duration>,
    ) -> (Self, Lifeline) {
        let (sender, cut) = oneshot::channel();
        (
            Tethered {
                inner,
                cut,
                stall_limit,
                stalled: None,
            },
            Lifeline { _cut: sender },
        )
    }

    fn check_cut(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match Pin::new(&mut self.cut).poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(_) => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the connection was given up",
            )),
        }
    }

    /// Called where a write has to wait.
    fn check_stall(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(limit) = self.stall_limit else {
            return Ok(());
        };
        let sleep = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
        match sleep.as_mut().poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the server took nothing for {} s", limit.as_secs_f64()),
            )),
        }
    }
}

impl AsyncRead for Tethered {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_cut(context)?;
        let polled = Pin::new(&mut this.inner).poll_read(context, buffer);
        if polled.is_ready() {
            this.stalled = None;
        }
        polled
    }
}

impl AsyncWrite for Tethered {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_cut(context)?;
        let polled = Pin::new(&mut this.inner).poll_write(context, bytes);
        match polled {
            Poll::Ready(_) => this.stalled = None,
            Poll::Pending => this.check_stall(context)?,
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_cut(context)?;
        Pin::new(&mut this.inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn acknowledges_at_once_while_a_session_comes_about_and_not_for_ever() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let mut client = PromptStream::new(stream);
        let mut bytes = [0u8; 64];
        for _ in 0..20 {
            server.write_all(&bytes).await.unwrap();
            client.read_exact(&mut bytes).await.unwrap();
            // What the kernel would take for a talk in turns, and begin to delay.
            client.write_all(&bytes).await.unwrap();
            server.read_exact(&mut bytes).await.unwrap();
        }
        assert!(client.left < ACKNOWLEDGED_AT_ONCE - 1000 && client.left > 0);
        client.stream.set_quickack(false).unwrap();
        server.write_all(&bytes).await.unwrap();
        client.read_exact(&mut bytes).await.unwrap();
        assert!(client.stream.quickack().unwrap());

        client.left = 64;
        server.write_all(&bytes).await.unwrap();
        client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(client.left, 0);
        client.stream.set_quickack(false).unwrap();
        server.write_all(&bytes).await.unwrap();
        client.read_exact(&mut bytes).await.unwrap();
        assert!(!client.stream.quickack().unwrap());
    }
}
