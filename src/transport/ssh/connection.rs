//! One authenticated SSH connection, which lives as long as it is used.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use russh::client::Handle;
use russh::{ChannelId, Disconnect};
use tokio::runtime::Handle as Runtime;

use crate::error::{ConnectError, Stage};
use crate::progress::CLOSE_GRACE;
use crate::stub::Bootstrap;
use crate::transport::ssh::channel::opening::{Confirmed, Opening};
use crate::transport::ssh::channel::standby::{Prepared, Standby, Wanted};
use crate::transport::ssh::channel::{Lease, Reader, Writer, halves};
use crate::transport::ssh::describe::describe;
use crate::transport::ssh::handler::{ClientHandler, Shared};
use crate::transport::ssh::stream::abortable::AbortOnDrop;
use crate::transport::ssh::timing::Stages;

/// A command that was started on a channel.
pub(crate) struct RunningCommand {
    pub(crate) writer: Writer,
    pub(crate) reader: Reader,
    /// By what it was started, if that was ahead of need; the stub has been sent then.
    pub(crate) bootstrap: Option<Bootstrap>,
}

/// A connection that channels can be opened on.
pub(crate) struct Connection {
    /// `None` only while it is dropped.
    handle: Mutex<Option<Arc<Handle<ClientHandler>>>>,
    abort: Mutex<Option<AbortOnDrop>>,
    shared: Arc<Shared>,
    runtime: Runtime,
    /// Set when the server refuses one session more, until one ends.
    full: AtomicBool,
    /// Set when a channel did not open in time: what comes later is not to be relied on.
    suspect: AtomicBool,
    /// What it is called in errors.
    peer: String,
    environment: Arc<[(String, String)]>,
    /// For clients to come.
    standby: Arc<Standby>,
    /// What this one runs through, which must not end first.
    carrier: Option<Arc<dyn Any + Send + Sync>>,
}

impl Connection {
    pub(crate) fn new(
        handle: Handle<ClientHandler>,
        abort: AbortOnDrop,
        shared: Arc<Shared>,
        peer: String,
        environment: Vec<(String, String)>,
        carrier: Option<Arc<dyn Any + Send + Sync>>,
    ) -> Self {
        let runtime = Runtime::current();
        Connection {
            handle: Mutex::new(Some(Arc::new(handle))),
            abort: Mutex::new(Some(abort)),
            standby: Standby::new(runtime.clone(), Arc::clone(&shared)),
            shared,
            runtime,
            full: AtomicBool::new(false),
            suspect: AtomicBool::new(false),
            peer,
            environment: environment.into(),
            carrier,
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn peer(&self) -> &str {
        &self.peer
    }

    fn handle(&self) -> Option<Arc<Handle<ClientHandler>>> {
        self.handle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether a new channel is worth trying.
    pub(crate) fn usable(&self) -> bool {
        !self.full.load(Ordering::Relaxed) && self.works()
    }

    /// Whether an interpreter that was asked for in the same words waits here.
    pub(crate) fn has_prepared(&self, wanted: &Wanted) -> bool {
        self.works() && self.standby.has_prepared(wanted)
    }

    fn works(&self) -> bool {
        !self.suspect.load(Ordering::Relaxed)
            && self.shared.ended().is_none()
            && self.handle().is_some_and(|handle| !handle.is_closed())
    }

    /// Takes over an interpreter that was prepared and asked for as `wanted`, or starts `command`.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        stages: &Stages,
        command: &str,
        wanted: Option<&Wanted>,
    ) -> Result<RunningCommand, ConnectError> {
        let prepared = wanted.and_then(|wanted| self.standby.take_prepared(wanted));
        if let Some(prepared) = prepared {
            return Ok(self.take_over(stages, prepared));
        }
        match self.start(stages, command).await {
            Ok((writer, reader)) => Ok(RunningCommand {
                writer,
                reader,
                bootstrap: None,
            }),
            Err(error) if error.session_refused => {
                // One that is on its way has the place that this client was refused.
                let waiting = async { self.standby.next_prepared(wanted?).await };
                match stages.timed(Stage::Channel, waiting).await? {
                    Some(prepared) => Ok(self.take_over(stages, prepared)),
                    None => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    fn take_over(self: &Arc<Self>, stages: &Stages, prepared: Prepared) -> RunningCommand {
        let (writer, reader) = halves(prepared.channel, self.lease());
        stages.reached(
            Stage::Channel,
            Instant::now(),
            "an interpreter started ahead",
        );
        RunningCommand {
            writer,
            reader,
            bootstrap: Some(prepared.bootstrap),
        }
    }

    /// Has interpreters like `wanted` started, until `count` wait for clients to come.
    pub(crate) fn prepare(&self, wanted: &Wanted, count: usize) {
        if let Some(handle) = self.handle().filter(|_| self.usable()) {
            self.standby
                .prepare(&handle, &self.environment, wanted, count);
        }
    }

    /// Has a channel opened for the next client. Nobody waits for it.
    pub(crate) fn keep_spare(&self) {
        if let Some(handle) = self.handle() {
            self.standby.keep_spare(handle);
        }
    }

    /// Starts `command` on a channel of its own, without waiting for the server's answer to it.
    async fn start(
        self: &Arc<Self>,
        stages: &Stages,
        command: &str,
    ) -> Result<(Writer, Reader), ConnectError> {
        let since = Instant::now();
        let (channel, spare) = self.session(stages).await?;
        let id = channel.write.id();
        let (mut writer, reader) = halves(channel, self.lease());
        let lost = |error: std::io::Error| {
            let why = self.shared.ended().unwrap_or_else(|| error.to_string());
            stages.error(Stage::Channel, why)
        };
        let sent = writer.exec(&self.environment, command);
        stages.timed(Stage::Channel, sent).await?.map_err(lost)?;
        if spare {
            self.expect_start(id, stages.options.limits.of(Stage::Channel));
        }
        stages.reached(Stage::Channel, since, "open");
        Ok((writer, reader))
    }

    /// Gives up a spare channel whose command the server does not take in time: it was opened long ago,
    /// so nothing says that the server is still there.
    fn expect_start(self: &Arc<Self>, id: ChannelId, limit: Duration) {
        let (shared, connection) = (Arc::clone(&self.shared), Arc::downgrade(self));
        self.runtime.spawn(async move {
            tokio::time::sleep(limit).await;
            let why = format!(
                "the server has not answered the start of the command for {} s",
                limit.as_secs_f64()
            );
            if shared.end_unless_started(id, &why)
                && let Some(connection) = connection.upgrade()
            {
                connection.suspect.store(true, Ordering::Relaxed);
            }
        });
    }

    /// A session channel: the spare one (true), or one that is opened now.
    async fn session(&self, stages: &Stages) -> Result<(Confirmed, bool), ConnectError> {
        if let Some(spare) = self.spare(stages).await? {
            return Ok((spare, true));
        }
        match self.open_session(stages).await {
            // One that another client's start asked for meanwhile may have had the last place.
            Err(error) if error.session_refused => {
                let spare = self.spare(stages).await?.ok_or(error)?;
                Ok((spare, true))
            }
            opened => opened.map(|channel| (channel, false)),
        }
    }

    /// The spare channel, also while its answer is on the way: to ask for another would not be faster.
    async fn spare(&self, stages: &Stages) -> Result<Option<Confirmed>, ConnectError> {
        let Some(opening) = self.standby.take_spare() else {
            return Ok(None);
        };
        match stages.timed(Stage::Channel, opening.answer()).await {
            Err(timeout) => {
                self.suspect.store(true, Ordering::Relaxed);
                Err(timeout)
            }
            Ok(Ok(channel)) => {
                self.shared.set_standby(channel.write.id(), false);
                // The server may have closed it meanwhile.
                Ok(Some(channel).filter(|channel| !channel.outlet.is_over()))
            }
            // Refused, or the end of the connection: opening one tells.
            Ok(Err(_)) => Ok(None),
        }
    }

    /// Opens a session channel.
    async fn open_session(&self, stages: &Stages) -> Result<Confirmed, ConnectError> {
        let Some(handle) = self.handle() else {
            return Err(stages.error(Stage::Channel, "the connection is closed"));
        };
        let opening = Opening::spawn(&self.runtime, &self.shared, async move {
            handle.channel_open_session().await
        });
        match stages.timed(Stage::Channel, opening.answer()).await {
            Err(timeout) => {
                self.suspect.store(true, Ordering::Relaxed);
                Err(timeout)
            }
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(russh::Error::ChannelOpenFailure(reason))) => {
                self.full.store(true, Ordering::Relaxed);
                self.standby.set_at_capacity(true);
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
    pub(crate) async fn forward(
        self: &Arc<Self>,
        stages: &Stages,
        host: &str,
        port: u16,
    ) -> Result<(Writer, Reader), ConnectError> {
        let Some(handle) = self.handle() else {
            return Err(stages.error(Stage::Connect, "the connection is closed"));
        };
        let (to, via) = (host.to_owned(), self.peer.clone());
        let opening = Opening::spawn(&self.runtime, &self.shared, async move {
            handle
                .channel_open_direct_tcpip(to, u32::from(port), "127.0.0.1", 0)
                .await
        });
        match stages.timed(Stage::Connect, opening.answer()).await? {
            Ok(channel) => Ok(halves(channel, self.lease())),
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

    /// What a channel of this connection needs of it.
    fn lease(self: &Arc<Self>) -> Lease {
        let connection = Arc::clone(self);
        Lease {
            runtime: self.runtime.clone(),
            shared: Arc::clone(&self.shared),
            on_release: Box::new(move || connection.released()),
        }
    }

    /// A channel was closed, so there is room for another.
    fn released(&self) {
        self.full.store(false, Ordering::Relaxed);
        self.standby.set_at_capacity(false);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let handle = self
            .handle
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let abort = self
            .abort
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let carrier = self.carrier.take();
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
                _ = tokio::time::timeout(CLOSE_GRACE, farewell).await;
                drop((abort, carrier, shared));
            });
        }
    }
}
