//! One authenticated SSH connection, which lives as long as somebody uses it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use russh::client::{Handle, Msg};
use russh::{Channel, Disconnect};
use tokio::runtime::Handle as Runtime;

use super::channel::{Reader, Writer, wire};
use super::handler::{ClientHandler, Shared, describe};
use super::stream::Lifeline;
use super::timing::Stages;
use crate::error::{ConnectError, Stage};

/// How long the farewell to a server may take before the stream is cut off.
const FAREWELL: Duration = Duration::from_secs(2);

/// A connection that channels can be opened on.
pub(super) struct Connection {
    /// `None` only while it is dropped.
    handle: Mutex<Option<Arc<Handle<ClientHandler>>>>,
    lifeline: Mutex<Option<Lifeline>>,
    shared: Arc<Shared>,
    runtime: Runtime,
    /// Set when the server refuses one session more, until one ends.
    full: AtomicBool,
    /// Set when a channel did not open in time: what comes later is not to be relied on.
    suspect: AtomicBool,
    /// What it is called in errors.
    peer: String,
    environment: Vec<(String, String)>,
    /// The connection that this one runs through must not end first.
    _outer: Option<Arc<Connection>>,
}

impl Connection {
    pub(super) fn new(
        handle: Handle<ClientHandler>,
        lifeline: Lifeline,
        shared: Arc<Shared>,
        peer: String,
        environment: Vec<(String, String)>,
        outer: Option<Arc<Connection>>,
    ) -> Self {
        Connection {
            handle: Mutex::new(Some(Arc::new(handle))),
            lifeline: Mutex::new(Some(lifeline)),
            shared,
            runtime: Runtime::current(),
            full: AtomicBool::new(false),
            suspect: AtomicBool::new(false),
            peer,
            environment,
            _outer: outer,
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    fn handle(&self) -> Option<Arc<Handle<ClientHandler>>> {
        self.handle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether a new channel is worth trying.
    pub(super) fn usable(&self) -> bool {
        !self.full.load(Ordering::Relaxed)
            && !self.suspect.load(Ordering::Relaxed)
            && self.shared.ended().is_none()
            && self.handle().is_some_and(|handle| !handle.is_closed())
    }

    /// Starts `command` on a channel of its own, without waiting for the server's answer to it.
    pub(super) async fn start(
        self: &Arc<Self>,
        stages: &Stages,
        command: &str,
    ) -> Result<(Writer, Reader), ConnectError> {
        let since = Instant::now();
        let channel = self.open_session(stages).await?;
        let (mut writer, reader) = wire(channel, Arc::clone(self));
        let lost = |error: std::io::Error| {
            let why = self.shared.ended().unwrap_or_else(|| error.to_string());
            stages.error(Stage::Channel, why)
        };
        let sent = writer.exec(&self.environment, command);
        stages.timed(Stage::Channel, sent).await?.map_err(lost)?;
        stages.reached(Stage::Channel, since, "open");
        Ok((writer, reader))
    }

    /// Opens a session channel. Runs in a task of its own: if the caller gives up meanwhile, the
    /// channel is closed when its confirmation arrives and does not count against MaxSessions.
    async fn open_session(self: &Arc<Self>, stages: &Stages) -> Result<Channel<Msg>, ConnectError> {
        let Some(handle) = self.handle() else {
            return Err(stages.error(Stage::Channel, "the connection is closed"));
        };
        let opening = OnClose::spawn(&self.runtime, &self.shared, async move {
            handle.channel_open_session().await
        });
        let opened = stages.timed(Stage::Channel, opening).await;
        match opened {
            Err(timeout) => {
                self.suspect.store(true, Ordering::Relaxed);
                Err(timeout)
            }
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(russh::Error::ChannelOpenFailure(reason))) => {
                self.full.store(true, Ordering::Relaxed);
                let words = self.shared.take_refusal().unwrap_or_default();
                let mut error = stages
                    .error(
                        Stage::Channel,
                        format!("the server refused one more session ({reason:?}: {words})"),
                    )
                    .with_hint("look at MaxSessions and at the account's restrictions in the server's sshd_config");
                error.session_refused = true;
                Err(error)
            }
            Ok(Err(error)) => {
                let why = self.shared.ended().unwrap_or_else(|| describe(&error));
                Err(stages.error(Stage::Channel, why))
            }
        }
    }

    /// A stream to another machine through this one.
    pub(super) async fn forward(
        self: &Arc<Self>,
        stages: &Stages,
        host: &str,
        port: u16,
    ) -> Result<(Writer, Reader), ConnectError> {
        let Some(handle) = self.handle() else {
            return Err(stages.error(Stage::Connect, "the connection is closed"));
        };
        let (to, via) = (host.to_owned(), self.peer.clone());
        let opening = OnClose::spawn(&self.runtime, &self.shared, async move {
            handle
                .channel_open_direct_tcpip(to, u32::from(port), "127.0.0.1", 0)
                .await
        });
        match stages.timed(Stage::Connect, opening).await? {
            Ok(channel) => Ok(wire(channel, Arc::clone(self))),
            Err(russh::Error::ChannelOpenFailure(reason)) => {
                let words = self.shared.take_refusal().unwrap_or_default();
                Err(stages
                    .error(
                        Stage::Connect,
                        format!("{via} cannot reach {host}:{port} ({reason:?}: {words})"),
                    )
                    .with_hint(
                        "try the same from the jump host; AllowTcpForwarding must be on there",
                    ))
            }
            Err(error) => {
                let why = self.shared.ended().unwrap_or_else(|| describe(&error));
                Err(stages.error(Stage::Connect, format!("{via}: {why}")))
            }
        }
    }

    /// A slot became free.
    pub(super) fn released(&self) {
        self.full.store(false, Ordering::Relaxed);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let handle = self
            .handle
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let lifeline = self
            .lifeline
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let outer = self._outer.take();
        let shared = Arc::clone(&self.shared);
        if let Some(handle) = handle {
            self.runtime.spawn(async move {
                let farewell = async {
                    _ = handle.disconnect(Disconnect::ByApplication, "", "en").await;
                    while !handle.is_closed() {
                        // The session closes its end of the queue when it is done writing.
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                };
                _ = tokio::time::timeout(FAREWELL, farewell).await;
                drop((lifeline, outer, shared));
            });
        }
    }
}

/// A channel open that outlives its caller just long enough to close what comes of it.
struct OnClose;

impl OnClose {
    async fn spawn(
        runtime: &Runtime,
        shared: &Arc<Shared>,
        opening: impl Future<Output = Result<Channel<Msg>, russh::Error>> + Send + 'static,
    ) -> Result<Channel<Msg>, russh::Error> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let shared = Arc::clone(shared);
        runtime.spawn(async move {
            let opened = opening.await;
            if let Err(Ok(channel)) = sender.send(opened) {
                shared.forget(channel.id());
                _ = channel.close().await;
            }
        });
        receiver.await.unwrap_or(Err(russh::Error::Disconnect))
    }
}
