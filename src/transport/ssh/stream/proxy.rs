//! Streams to a server that is not reached directly: through a command, or through another SSH server.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, ReadHalf, SimplexStream, WriteHalf};
use tokio::process::{ChildStdin, ChildStdout};

use crate::error::{ConnectError, Stage};
use crate::process::{self, ErrorOutput, Group};
use crate::spec::JumpHost;
use crate::transport::ReadEvent;
use crate::transport::ssh::channel::{Reader, Writer};
use crate::transport::ssh::config;
use crate::transport::ssh::config::settings::{Route, Settings, SshTarget};
use crate::transport::ssh::connect::Carrier;
use crate::transport::ssh::connection::Connection;
use crate::transport::ssh::timing::Stages;

/// What waits between an inner session and the outer channel, in bytes.
const FORWARD_BUFFER: usize = 64 * 1024;

/// The settings of a jump host: its own from the configuration, but the hops before it are those of the list.
pub(crate) async fn hop_settings(
    stages: &Stages,
    hop: &JumpHost,
    before: &[JumpHost],
    config_source: &crate::transport::ssh::config::settings::ConfigSource,
) -> Result<Settings, ConnectError> {
    let target = SshTarget {
        port: hop.port,
        user: hop.user.clone(),
        config: config_source.clone(),
        ..SshTarget::new(hop.host.to_plain())
    };
    let mut settings = config::resolve(stages, &target).await?;
    if !before.is_empty() {
        settings.route = Route::Jump(before.to_vec());
    }
    Ok(settings)
}

/// Starts a ProxyCommand.
pub(crate) fn through_command(stages: &Stages, command: &str) -> Result<Carrier, ConnectError> {
    let since = Instant::now();
    // A command that asks for a password reads the terminal, where somebody is there to be asked.
    // It is written for the user's own shell, which `ssh` takes too.
    let shell = process::user_shell();
    let (mut shell, group) = if stages.asker.available() {
        (process::ignoring_interrupts(shell), Group::Shared)
    } else {
        (process::program(shell), Group::Own)
    };
    shell.arg("-c").arg(format!("exec {command}"));
    let spawned = process::spawn(shell, group, ErrorOutput::Inherited).map_err(|error| {
        stages.error(Stage::Connect, format!("ProxyCommand '{command}': {error}"))
    })?;
    stages.reached(Stage::Connect, since, format!("ProxyCommand {command}"));
    Ok(Carrier {
        stream: Box::new(CommandStream {
            input: spawned.stdin,
            output: spawned.stdout,
            _child: spawned.child,
        }),
        loopback: false,
        // Starting a process says nothing of the way to the server.
        round_trip: None,
        outer: None,
    })
}

/// The standard input and output of a command, which is killed with the stream.
struct CommandStream {
    input: ChildStdin,
    output: ChildStdout,
    _child: process::Child,
}

impl AsyncRead for CommandStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(context, buffer)
    }
}

impl AsyncWrite for CommandStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(context)
    }
}

/// Opens a stream to the target of `settings` through `outer`.
pub(crate) async fn through_connection(
    stages: &Stages,
    settings: &Settings,
    outer: Arc<Connection>,
) -> Result<Carrier, ConnectError> {
    let since = Instant::now();
    let (writer, reader) = outer
        .forward(stages, &settings.hostname, settings.port)
        .await?;
    let round_trip = Some(since.elapsed());
    let (input, output) = tokio::io::simplex(FORWARD_BUFFER);
    tokio::spawn(pump(input, writer));
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
    Ok(Carrier {
        stream: Box::new(ForwardedStream {
            input: output,
            reader,
            rest: Bytes::new(),
        }),
        loopback: false,
        round_trip,
        outer: Some(outer),
    })
}

/// Carries what the inner session writes into the outer channel, until either ends.
async fn pump(mut from: ReadHalf<SimplexStream>, mut to: Writer) {
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

/// A forwarding channel as a byte stream.
struct ForwardedStream {
    input: WriteHalf<SimplexStream>,
    reader: Reader,
    rest: Bytes,
}

impl AsyncRead for ForwardedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.rest.is_empty() {
            match this.reader.poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(ReadEvent::Stdout(bytes))) => this.rest = bytes,
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => return Poll::Ready(Ok(())),
            }
        }
        let count = this.rest.len().min(buffer.remaining());
        buffer.put_slice(this.rest.get(..count).unwrap_or_default());
        this.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ForwardedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(context)
    }
}
