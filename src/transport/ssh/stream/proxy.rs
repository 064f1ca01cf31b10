//! Streams to a server that is not reached directly: through a command, or through another SSH server.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, Join, ReadBuf, ReadHalf, SimplexStream, WriteHalf};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::oneshot;

use crate::error::{ConnectError, Stage};
use crate::process::{self, ErrorOutput, Group};
use crate::progress::CLOSE_GRACE;
use crate::transport::ReadEvent;
use crate::transport::ssh::channel::{Reader, Writer};
use crate::transport::ssh::config::settings::Settings;
use crate::transport::ssh::connection::Connection;
use crate::transport::ssh::stream::{ByteStream, ServerStream};
use crate::transport::ssh::timing::Stages;

/// What waits between an inner session and the outer channel, in bytes.
const FORWARD_BUFFER: usize = 64 * 1024;

/// Starts a ProxyCommand.
pub(crate) fn through_command(
    stages: &Stages,
    command: &str,
) -> Result<ServerStream, ConnectError> {
    let since = Instant::now();
    // A command that asks for a password reads the terminal, where there is one.
    // It is written for the user's own shell, which `ssh` takes too.
    let group = if stages.asker.available() {
        Group::Shared
    } else {
        Group::Own
    };
    let shell = process::user_command(command, group);
    let spawned = process::spawn(shell, group, ErrorOutput::Inherited).map_err(|error| {
        stages.error(Stage::Connect, format!("ProxyCommand '{command}': {error}"))
    })?;
    stages.reached(Stage::Connect, since, format!("ProxyCommand {command}"));
    Ok(ServerStream {
        stream: Box::new(tokio::io::join(spawned.stdout, spawned.stdin)),
        address: None,
        // Starting a process says nothing of the way to the server.
        round_trip: None,
        carrier: Some(Arc::new(spawned.child)),
    })
}

/// The standard output and input of a command.
impl ByteStream for Join<ChildStdout, ChildStdin> {}

/// Opens a stream to the target of `settings` through `outer`.
pub(crate) async fn through_connection(
    stages: &Stages,
    settings: &Settings,
    outer: Arc<Connection>,
) -> Result<ServerStream, ConnectError> {
    let since = Instant::now();
    let (writer, reader) = outer
        .forward(stages, &settings.hostname, settings.port)
        .await?;
    let round_trip = Some(since.elapsed());
    let (input, output) = tokio::io::simplex(FORWARD_BUFFER);
    let (in_use, given_up) = oneshot::channel();
    tokio::spawn(pump(input, writer, given_up));
    stages.reached(
        Stage::Connect,
        since,
        format!(
            "{}:{} through {}",
            settings.hostname,
            settings.port,
            outer.peer()
        ),
    );
    let incoming = ForwardedReader {
        reader,
        rest: Bytes::new(),
        ended: false,
        outer: Arc::clone(&outer),
        _in_use: in_use,
    };
    Ok(ServerStream {
        stream: Box::new(tokio::io::join(incoming, output)),
        address: None,
        round_trip,
        carrier: Some(outer),
    })
}

/// Carries what the inner session writes into the outer channel, until either ends. The channel closes with the last
/// of its halves, so that once the session has `given_up`, a channel whose other end takes nothing is left to itself.
async fn pump(from: ReadHalf<SimplexStream>, mut to: Writer, given_up: oneshot::Receiver<()>) {
    let carrying = carry(from, &mut to);
    tokio::pin!(carrying);
    tokio::select! {
        () = &mut carrying => {}
        _ = given_up => {
            _ = tokio::time::timeout(CLOSE_GRACE, carrying).await;
        }
    }
}

async fn carry(mut from: ReadHalf<SimplexStream>, to: &mut Writer) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(FORWARD_BUFFER);
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {
                if to.write(vec![buffer.split().freeze()]).await.is_err() {
                    break;
                }
            }
        }
    }
    to.finish().await;
}

/// What comes out of a forwarding channel.
struct ForwardedReader {
    reader: Reader,
    rest: Bytes,
    /// The machine behind sends no more. The jump host need not close the channel before we end our side.
    ended: bool,
    /// The connection to the jump host, whose own end is another than that of the machine behind.
    outer: Arc<Connection>,
    /// Goes with the session.
    _in_use: oneshot::Sender<()>,
}

/// A forwarding channel.
impl ByteStream for Join<ForwardedReader, WriteHalf<SimplexStream>> {}

impl AsyncRead for ForwardedReader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.rest.is_empty() && !this.ended {
            match this.reader.poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(ReadEvent::Stdout(bytes))) => this.rest = bytes,
                Poll::Ready(Some(ReadEvent::OutputEnd) | None) => this.ended = true,
                Poll::Ready(Some(_)) => {}
            }
        }
        if this.rest.is_empty()
            && let Some(why) = this.outer.shared().ended()
        {
            let told = format!("jump host {}: {why}", this.outer.peer());
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, told)));
        }
        let count = this.rest.len().min(buffer.remaining());
        buffer.put_slice(this.rest.get(..count).unwrap_or_default());
        this.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}
