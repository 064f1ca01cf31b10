//! A byte stream with what russh lacks: it can be cut off from outside, it notices a peer that takes nothing, and it
//! begins with the version of the server, whatever stood before that.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

use super::ByteStream;
use super::greeting::{Filter, Greeting};
use super::quick_ack::QuickAck;

/// Cuts the stream off when dropped. russh's session task does not look at its handle while a key
/// exchange is under way, so without this a silent server would keep task and socket forever.
pub(crate) struct AbortOnDrop {
    _abort: oneshot::Sender<()>,
}

/// A stream that its [`AbortOnDrop`] cuts off.
pub(crate) struct AbortableStream {
    inner: Box<dyn ByteStream>,
    aborted: oneshot::Receiver<()>,
    quick_ack: QuickAck,
    /// How long a write may wait while nothing goes in or out; russh's keep-alive is deaf while it writes.
    stall_limit: Option<Duration>,
    stalled: Option<Pin<Box<Sleep>>>,
    /// Until the version has come.
    filter: Option<Filter>,
    /// The version, and what came with it, not handed on yet.
    ready: Vec<u8>,
}

impl AbortableStream {
    pub(crate) fn new(
        inner: Box<dyn ByteStream>,
        stall_limit: Option<Duration>,
        greeting: Greeting,
    ) -> (Self, AbortOnDrop) {
        let (sender, aborted) = oneshot::channel();
        let stream = AbortableStream {
            inner,
            aborted,
            quick_ack: QuickAck::new(),
            stall_limit,
            stalled: None,
            filter: Some(Filter::new(greeting)),
            ready: Vec::new(),
        };
        (stream, AbortOnDrop { _abort: sender })
    }

    /// Reads on until the version is there.
    fn poll_version(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(filter) = &mut self.filter {
            let mut bytes = [0u8; 1024];
            let mut read = ReadBuf::new(&mut bytes);
            let result = ready!(Pin::new(&mut self.inner).poll_read(context, &mut read));
            if let Err(error) = result {
                filter.end();
                return Poll::Ready(Err(error));
            }
            self.quick_ack.after_read(&*self.inner, read.filled().len());
            if read.filled().is_empty() {
                filter.end();
                return Poll::Ready(Ok(()));
            }
            let found = filter.take(read.filled());
            let invalid = |fault| io::Error::new(io::ErrorKind::InvalidData, fault);
            if let Some(version) = found.map_err(invalid)? {
                self.ready = version;
                self.filter = None;
            }
        }
        let count = self.ready.len().min(buffer.remaining());
        buffer.put_slice(self.ready.get(..count).unwrap_or_default());
        self.ready.drain(..count);
        Poll::Ready(Ok(()))
    }

    fn check_aborted(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match Pin::new(&mut self.aborted).poll(context) {
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

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

impl AsyncRead for AbortableStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_aborted(context)?;
        if this.filter.is_some() || !this.ready.is_empty() {
            return this.poll_version(context, buffer);
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(context, buffer);
        let read = buffer.filled().len().saturating_sub(before);
        this.quick_ack.after_read(&*this.inner, read);
        if polled.is_ready() {
            this.stalled = None;
        }
        polled
    }
}

impl AsyncWrite for AbortableStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_aborted(context)?;
        let polled = Pin::new(&mut this.inner).poll_write(context, bytes);
        match polled {
            Poll::Ready(_) => this.stalled = None,
            Poll::Pending => this.check_stall(context)?,
        }
        // A server that refuses us may close before our version arrives. What it said is still there to be
        // read, and the end behind it.
        match polled {
            Poll::Ready(Err(error)) if this.filter.is_some() && is_closed(&error) => {
                Poll::Ready(Ok(bytes.len()))
            }
            polled => polled,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_aborted(context)?;
        Pin::new(&mut this.inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}
