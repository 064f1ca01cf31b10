//! One command of the embedded SSH server: its environment, and its three streams over a channel.

use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

use bytes::Bytes;
use russh::server::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};

use crate::process::{self, ErrorOutput, ExitStatus, Group, Leader, Spawned};

/// The number SSH gives to stderr among a channel's extended data (RFC 4254, 5.2).
const STDERR: u32 = 1;

/// Who talks to whom; becomes `SSH_CONNECTION` in the command's environment.
pub(crate) struct Place {
    pub(crate) peer: SocketAddr,
    pub(crate) server: SocketAddr,
}

/// Starts `command` by `/bin/sh -c`, as sshd does by the login shell, in a process group of its own.
pub(crate) fn start(command: &[u8], place: &Place) -> io::Result<Spawned> {
    let connection = format!(
        "{} {} {} {}",
        place.peer.ip(),
        place.peer.port(),
        place.server.ip(),
        place.server.port()
    );
    let mut shell = process::shell(OsStr::from_bytes(command));
    // A login gets a fresh environment; this much of it sshd sets too.
    shell.env_clear().env("SSH_CONNECTION", connection);
    for name in ["HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG"] {
        if let Some(value) = std::env::var_os(name) {
            shell.env(name, value);
        }
    }
    if let Some(home) = std::env::home_dir().filter(|home| home.is_dir()) {
        shell.current_dir(home);
    }
    process::spawn(shell, Group::Own, ErrorOutput::Piped)
}

/// Serves a started command until it has ended or its client has gone, whichever is first.
pub(crate) async fn serve(
    spawned: Spawned,
    channel: Channel<Msg>,
    mut stopped: watch::Receiver<bool>,
) {
    let Spawned {
        mut stdin,
        stdout,
        stderr,
        mut child,
    } = spawned;
    let (from_client, to_client) = channel.split();
    // Without a bound, because a channel that is not read stalls its whole connection, window
    // updates included. What waits here was sent by the user of this very machine.
    let (input, mut queued) = mpsc::unbounded_channel::<Bytes>();
    let feed = async {
        while let Some(data) = queued.recv().await {
            // A command that closed its stdin goes on without it.
            if stdin.write_all(&data).await.is_err() {
                break;
            }
        }
        drop(stdin);
        // Empties the queue for as long as the client sends.
        while queued.recv().await.is_some() {}
    };
    let pump = async {
        tokio::join!(
            copy(Some(stdout), &to_client, None),
            copy(stderr, &to_client, Some(STDERR))
        );
    };
    let leader = child.group();
    let run = async {
        // As with sshd the channel lives until the last writer of the two pipes has gone.
        pump.await;
        child.wait().await
    };
    let status = tokio::select! {
        status = run => Some(status),
        () = receive(from_client, input, leader) => None,
        () = async { feed.await; std::future::pending().await } => None,
        _ = stopped.changed() => None,
    };
    if let Some(status) = status {
        // All output is out, so nothing is cut off; a client that has gone meanwhile hears nothing.
        let _ = finish(&to_client, &status).await;
        child.leave_group();
    } else {
        child.kill().await;
    }
    let _ = to_client.close().await;
}

/// Takes in what the client sends, until it closes the channel or disconnects.
async fn receive(
    mut channel: ChannelReadHalf,
    input: mpsc::UnboundedSender<Bytes>,
    leader: Leader,
) {
    let mut input = Some(input);
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                if let Some(input) = &input {
                    let _ = input.send(data);
                }
            }
            ChannelMsg::Eof => input = None,
            ChannelMsg::Signal { signal } => {
                if let Some(signal) = translated(&signal) {
                    leader.signal(signal);
                }
            }
            ChannelMsg::Close => return,
            _ => {}
        }
    }
}

/// Sends one of the command's output streams until its end.
async fn copy(
    source: Option<impl AsyncRead + Unpin>,
    channel: &ChannelWriteHalf<Msg>,
    extended: Option<u32>,
) {
    let Some(mut source) = source else { return };
    let mut buffer = vec![0u8; 32 * 1024];
    while let Ok(count) = source.read(&mut buffer).await {
        let Some(data) = buffer.get(..count).filter(|data| !data.is_empty()) else {
            return;
        };
        let data = Bytes::copy_from_slice(data);
        let sent = match extended {
            None => channel.data_bytes(data).await,
            Some(number) => channel.extended_data_bytes(number, data).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Reports how the command ended. A signal is reported as in shells, 128 and its number, because the
/// server side of the channel has no exit-signal message.
async fn finish(channel: &ChannelWriteHalf<Msg>, status: &ExitStatus) -> Result<(), russh::Error> {
    let code = status
        .shell_code()
        .and_then(|code| u32::try_from(code).ok())
        .unwrap_or(255);
    channel.exit_status(code).await?;
    channel.eof().await
}

/// The signals of SSH (RFC 4254, 6.10) that a client has a use for.
fn translated(signal: &Sig) -> Option<Signal> {
    Some(match signal {
        Sig::HUP => Signal::HUP,
        Sig::INT => Signal::INT,
        Sig::KILL => Signal::KILL,
        Sig::QUIT => Signal::QUIT,
        Sig::TERM => Signal::TERM,
        Sig::USR1 => Signal::USR1,
        _ => return None,
    })
}
