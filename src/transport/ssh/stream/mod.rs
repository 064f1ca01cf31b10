//! The byte stream under an SSH session, however it reaches the server.

pub(crate) mod abortable;
pub(crate) mod greeting;
pub(crate) mod proxy;
pub(crate) mod quick_ack;

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

/// What a session can run on.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Has what was received acknowledged now and not with the next packet, where there is such a thing.
    fn acknowledge_now(&self) {}
}

/// A stream to the server, and what it depends on.
pub(crate) struct ServerStream {
    pub(crate) stream: Box<dyn ByteStream>,
    /// The server's address, where the stream leads to it directly.
    pub(crate) address: Option<IpAddr>,
    /// How long it took to open, which is one round trip and little more; `None` where that cannot be told.
    pub(crate) round_trip: Option<Duration>,
    /// The process or the connection that it runs through, which must not end first.
    pub(crate) carrier: Option<Arc<dyn Any + Send + Sync>>,
}
