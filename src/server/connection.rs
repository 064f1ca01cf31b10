//! One connection from accept to end: the handshake, the command, the bytes between them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::ChildStdin;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::Context;
use super::admission::{Place, Seat};
use super::command;
use super::request_log::RequestLog;
use crate::process::{Child, ExitStatus, Spawned};
use crate::progress::CLOSE_GRACE;
use crate::transport::tcp::handshake;
use crate::transport::tcp::link::{
    self, Incoming, LinkError, LinkReceiver, LinkSender, Side, Taker,
};
use crate::wire::authentication::{Message, Open, Opened, Opener, Refusal, Sealer};

/// How long a command may take to end by itself once its client is gone: the stub runs exit
/// handlers for two seconds (ME-15).
const COMMAND_GRACE: Duration = Duration::from_secs(3);
/// How long output may go on after the command's end, where something that left its process group
/// keeps a pipe open.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);
/// Read from a command's output at once; a pipe holds as much.
const READ_SIZE: usize = 65_536;

/// The end of the server, sent to every connection: the sentence for the client.
pub(super) type Stop = watch::Receiver<Option<String>>;

/// Serves one connection to its end.
pub(super) async fn serve(
    mut stream: TcpStream,
    address: SocketAddr,
    place: Place,
    context: Arc<Context>,
    mut stop: Stop,
) {
    let peer = peer_name(address);
    // Small answers must not wait for the acknowledgement of those before them.
    let _ = stream.set_nodelay(true);
    let key = context.key();
    let limit = context.options.handshake_limit;
    let result = tokio::select! {
        result = timeout(limit, handshake::accept(&mut stream, &key)) => result,
        () = place.evicted.notified() => {
            handshake::refuse(&mut stream, Refusal::Busy).await;
            context.refused(&peer, "too many handshakes in progress");
            return;
        }
        _ = stopped(&mut stop) => return,
    };
    let (sealer, opener) = match result {
        Ok(Ok(keys)) => keys,
        Ok(Err(error)) => return context.refused(&peer, &error.to_string()),
        Err(_) => {
            handshake::refuse(&mut stream, Refusal::Slow).await;
            return context.refused(
                &peer,
                &format!("no handshake within {} s", limit.as_secs_f64()),
            );
        }
    };
    drop(place);
    authenticated(stream, sealer, opener, &peer, &context, stop).await;
}

/// Waits for the end of the server; gives the sentence for its clients.
pub(super) async fn stopped(stop: &mut Stop) -> String {
    let sentence = stop.wait_for(Option::is_some).await;
    sentence
        .ok()
        .and_then(|sentence| sentence.clone())
        .unwrap_or_else(|| "the server is shutting down".to_owned())
}

/// The address as it is shown in logs.
fn peer_name(address: SocketAddr) -> String {
    SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
}

async fn authenticated(
    stream: TcpStream,
    sealer: Sealer,
    opener: Opener,
    peer: &str,
    context: &Context,
    mut stop: Stop,
) {
    let (sender, mut receiver) = link::start(
        stream,
        BytesMut::new(),
        Side::Server,
        sealer,
        opener,
        context.options.liveness,
    );
    let Some(seat) = context.connections.enter() else {
        context.refused(peer, "the limit of connections is reached");
        return farewell(
            &sender,
            "the server's limit of connections is reached; try again later or raise --max-connections",
        )
        .await;
    };
    let open = tokio::select! {
        open = timeout(context.options.handshake_limit, receiver.next()) => open,
        _ = stopped(&mut stop) => return,
    };
    match open {
        Ok(Some(Ok(Incoming::Open(open)))) => {
            run(open, sender, receiver, seat, peer, context, stop).await;
        }
        Ok(Some(Err(error))) => context.refused(peer, &error.to_string()),
        Ok(None | Some(Ok(_))) => {
            context.refused(peer, "it did not say what to run");
            farewell(&sender, "the first message must say what to run").await;
        }
        Err(_) => {
            context.refused(peer, "it did not say in time what to run");
            farewell(&sender, "the first message did not arrive in time").await;
        }
    }
}

/// Says why, then ends the connection.
async fn farewell(sender: &LinkSender, sentence: &str) {
    sender.send(&Message::Error(sentence));
    let _ = timeout(CLOSE_GRACE, sender.finish()).await;
}

/// How a connection ended.
enum Ended {
    Exited(ExitStatus),
    Closed,
    Lost(LinkError),
    Stopped(String),
}

async fn run(
    open: Open,
    sender: LinkSender,
    receiver: LinkReceiver,
    _seat: Seat,
    peer: &str,
    context: &Context,
    mut stop: Stop,
) {
    let start = Instant::now();
    let spawned = match command::start(&open.command, &context.environment) {
        Ok(started) => started,
        Err(error) => {
            warn!(peer, %error, "the command could not be started");
            return farewell(
                &sender,
                &format!("the command could not be started: {error}"),
            )
            .await;
        }
    };
    let Spawned {
        stdin,
        stdout,
        stderr,
        mut child,
    } = spawned;
    let process = child.id();
    debug!(peer, process, client = %crate::error::one_line(&open.version), "connection");
    sender.send(&Message::Opened(Opened {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        process,
    }));

    let (exited, has_exited) = watch::channel(false);
    let mut pumps = JoinSet::new();
    let (output, errors) = (sender.clone(), sender.clone());
    let output_exited = has_exited.clone();
    pumps.spawn(async move {
        let sent = pump(stdout, output_exited, |bytes| output.data(bytes)).await;
        output.send(&Message::End);
        sent
    });
    if let Some(stderr) = stderr {
        pumps.spawn(async move { pump(stderr, has_exited, |bytes| errors.stderr(bytes)).await });
    }

    let mut requests = RequestLog::new(peer);
    let ended = tokio::select! {
        exit = finished(&mut child, &exited, &mut pumps) => Ended::Exited(exit),
        ended = input(receiver, stdin, &mut requests) => ended,
        sentence = stopped(&mut stop) => Ended::Stopped(sentence),
    };
    // What the select dropped has closed the command's standard input.
    let how = match &ended {
        Ended::Exited(exit) => {
            sender.send(&Message::Exit(exit.into()));
            sender.send(&Message::Close);
            sender.finish().await;
            match exit {
                ExitStatus::Code(status) => format!("exit status {status}"),
                ExitStatus::Signal(name) => format!("signal {name}"),
                ExitStatus::Unknown(why) => why.clone(),
            }
        }
        Ended::Closed => "closed by the client".to_owned(),
        Ended::Lost(error) => format!("lost: {error}"),
        Ended::Stopped(sentence) => {
            farewell(&sender, sentence).await;
            "the server is shutting down".to_owned()
        }
    };
    if !matches!(ended, Ended::Exited(_)) && timeout(COMMAND_GRACE, child.wait()).await.is_err() {
        child.kill().await;
    } else {
        child.kill_group();
    }
    pumps.shutdown().await;
    debug!(
        peer,
        process,
        seconds = start.elapsed().as_secs_f64(),
        requests = requests.count(),
        end = how,
        "end of connection"
    );
}

/// Waits for the end of the command and of its output.
async fn finished(
    child: &mut Child,
    exited: &watch::Sender<bool>,
    pumps: &mut JoinSet<u64>,
) -> ExitStatus {
    let exit = child.wait().await;
    // What it left in its group must not hold the pipes open.
    child.kill_group();
    exited.send_replace(true);
    while pumps.join_next().await.is_some() {}
    exit
}

/// Carries a command's output to the client until its end; gives the number of bytes.
async fn pump<F: Future<Output = std::io::Result<()>>>(
    mut from: impl AsyncRead + Unpin,
    mut exited: watch::Receiver<bool>,
    send: impl Fn(Bytes) -> F,
) -> u64 {
    let mut total = 0;
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ_SIZE);
        let read = tokio::select! {
            read = from.read_buf(&mut buffer) => read,
            () = async {
                let _ = exited.wait_for(|exited| *exited).await.map(drop);
                sleep(OUTPUT_GRACE).await;
            } => return total,
        };
        match read {
            Ok(0) | Err(_) => return total,
            Ok(count) => total += count as u64,
        }
        if send(buffer.split().freeze()).await.is_err() {
            return total;
        }
    }
}

/// Carries the client's bytes to the command until the link ends. What the command does not take
/// waits here, within the window, so that the end of the link is seen at any time.
async fn input(mut receiver: LinkReceiver, stdin: ChildStdin, requests: &mut RequestLog) -> Ended {
    let (queue, waiting) = mpsc::unbounded_channel();
    let mut queue = Some(queue);
    let feeder = feed(waiting, stdin, receiver.taker());
    tokio::pin!(feeder);
    let mut feeding = true;
    loop {
        let next = tokio::select! {
            next = receiver.next() => next,
            () = &mut feeder, if feeding => {
                feeding = false;
                continue;
            }
        };
        match next {
            Some(Ok(Incoming::Data(bytes))) => {
                requests.feed(&bytes);
                if let Some(queue) = &queue {
                    // If the command reads no more, its exit will report its end.
                    let _ = queue.send(bytes);
                }
            }
            Some(Ok(Incoming::End)) => queue = None,
            Some(Ok(Incoming::Close)) | None => return Ended::Closed,
            Some(Ok(_)) => {}
            Some(Err(error)) => return Ended::Lost(error),
        }
    }
}

/// Writes what is queued; closes the command's standard input at the end of the queue.
async fn feed(mut waiting: mpsc::UnboundedReceiver<Bytes>, mut stdin: ChildStdin, taker: Taker) {
    while let Some(bytes) = waiting.recv().await {
        if stdin.write_all(&bytes).await.is_err() {
            return;
        }
        taker.taken(bytes.len());
    }
}
