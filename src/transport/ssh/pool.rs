//! One connection a host: clients of the same target share it and each opens a channel on it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

use tokio::runtime::Id as RuntimeId;

use crate::descriptors::{self, Admission};
use crate::error::{ConnectError, Stage};
use crate::spec::JumpHost;
use crate::transport::ssh::auth::key_store::KeyStore;
use crate::transport::ssh::channel::standby::Wanted;
use crate::transport::ssh::config;
use crate::transport::ssh::config::settings::{ConfigSource, Route, Settings, SshTarget};
use crate::transport::ssh::connect::{dial, establish};
use crate::transport::ssh::connection::{Connection, RunningCommand};
use crate::transport::ssh::stream::{ServerStream, proxy};
use crate::transport::ssh::timing::Stages;
use crate::transport::{StageLimits, TransportOptions};

/// A way through more jump hosts than this is taken for a circle in the configuration.
const MAX_HOPS: usize = 16;

/// A session task lives on the runtime that it was started on, so connections are not shared across runtimes.
type Key = (RuntimeId, Settings);
/// Held while a connection is established, so that clients that start at once make one and not many.
type Slot = Arc<tokio::sync::Mutex<Connections>>;

/// The connections of one target.
#[derive(Default)]
struct Connections {
    known: Vec<Weak<Connection>>,
    /// The last attempt that failed.
    failure: Option<Failed>,
}

/// An attempt that failed: those who waited for it take its error as theirs, instead of each waiting for a dead host in turn.
struct Failed {
    when: Instant,
    error: ConnectError,
    limits: StageLimits,
}

impl Failed {
    /// Whether one who has begun to wait at `asked`, with these limits, would fare no better: a host that has not answered in time
    /// may do so for who has more of it.
    fn is_for(&self, asked: Instant, limits: &StageLimits) -> bool {
        let stage = self.error.stage;
        asked < self.when
            && !(self.error.timed_out && limits.whole(stage) > self.limits.whole(stage))
    }
}

/// A command that was started, and on what.
pub(crate) struct Started {
    pub(crate) command: RunningCommand,
    pub(crate) connection: Arc<Connection>,
    /// The connection was made for it.
    pub(crate) fresh: bool,
}

/// Opens channels and keeps track of which connections there are. Clones share them.
#[derive(Clone, Default)]
pub struct Connector {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    slots: Mutex<HashMap<Key, Slot>>,
    keys: KeyStore,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl Connector {
    /// A connector that shares nothing with others.
    pub fn new() -> Self {
        Connector::default()
    }

    /// The connector that everything in this process shares by default.
    pub fn shared() -> &'static Connector {
        static SHARED: OnceLock<Connector> = OnceLock::new();
        SHARED.get_or_init(Connector::new)
    }

    /// Starts `command` on `target`, or takes over an interpreter like `wanted` that was prepared
    /// there. A connection to the same target is shared; when its server refuses one more session,
    /// another connection is made.
    pub(crate) async fn start(
        &self,
        target: &SshTarget,
        command: &str,
        wanted: Option<&Wanted>,
        options: &TransportOptions,
    ) -> Result<Started, ConnectError> {
        let stages = Stages::new(&target.host, options);
        // Until it is there; a jump host on the way has its place among ours.
        let _admission = admit(&stages).await?;
        let settings = config::resolve(&stages, target).await?;
        follow(&stages, &settings).await?;
        // Not a retry: each turn is on another connection, and there are as many turns as other clients fill connections first.
        loop {
            let (connection, fresh) = self.connection(&stages, &settings, wanted).await?;
            match connection.begin(&stages, command, wanted).await {
                Ok(command) => {
                    return Ok(Started {
                        command,
                        connection,
                        fresh,
                    });
                }
                // On a connection that is not shared the refusal is final. One that others use is
                // full, or has ended between finding and using it.
                Err(error) if error.timed_out => return Err(error),
                Err(error) if fresh && connection.shared().used_channels() == 0 => {
                    return Err(error);
                }
                Err(_) if !connection.usable() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A usable connection, or one on which an interpreter like `wanted` waits; and whether it was
    /// made just now.
    async fn connection(
        &self,
        stages: &Stages,
        settings: &Settings,
        wanted: Option<&Wanted>,
    ) -> Result<(Arc<Connection>, bool), ConnectError> {
        let key = (tokio::runtime::Handle::current().id(), settings.clone());
        let slot = {
            let mut slots = self
                .inner
                .slots
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // Slots without connections and without waiters are history.
            slots.retain(|known, slot| *known == key || !is_idle(slot));
            Arc::clone(slots.entry(key).or_default())
        };
        let asked = Instant::now();
        let mut connections = slot.lock().await;
        connections.known.retain(|known| known.strong_count() > 0);
        let known = || connections.known.iter().filter_map(Weak::upgrade);
        // One that is full may still have an interpreter.
        let prepared =
            wanted.and_then(|wanted| known().find(|connection| connection.has_prepared(wanted)));
        if let Some(connection) = prepared.or_else(|| known().find(|known| known.usable())) {
            return Ok((connection, false));
        }
        if let Some(failed) = &connections.failure
            && failed.is_for(asked, &stages.options.limits)
        {
            return Err(failed.error.clone());
        }
        // Batch mode holds for passphrases and host keys too, and for the jump hosts on the way.
        let silent = settings.batch_mode.then(|| stages.without_questions());
        let stages = silent.as_ref().unwrap_or(stages);
        let made = async {
            let server = self.server_stream(stages, settings).await?;
            establish(stages, settings, server, &self.inner.keys).await
        };
        match made.await {
            Ok(connection) => {
                connections.known.push(Arc::downgrade(&connection));
                Ok((connection, true))
            }
            Err(error) => {
                connections.failure = Some(Failed {
                    when: Instant::now(),
                    error: error.clone(),
                    limits: stages.options.limits.clone(),
                });
                Err(error)
            }
        }
    }

    async fn server_stream(
        &self,
        stages: &Stages,
        settings: &Settings,
    ) -> Result<ServerStream, ConnectError> {
        match &settings.route {
            Route::Direct => dial(stages, settings).await,
            Route::Command(command) => proxy::through_command(stages, command),
            Route::Jump(hops) => self.through(stages, settings, hops).await,
        }
    }

    /// Goes through the last of `hops`, which goes through those before it.
    fn through<'a>(
        &'a self,
        stages: &'a Stages,
        settings: &'a Settings,
        hops: &'a [JumpHost],
    ) -> Pin<Box<dyn Future<Output = Result<ServerStream, ConnectError>> + Send + 'a>> {
        Box::pin(async move {
            let Some((last, before)) = hops.split_last() else {
                return dial(stages, settings).await;
            };
            let hop = hop_settings(stages, last, before, &settings.config)
                .await
                .map_err(|error| via(error, last))?;
            let mut inner = stages.clone();
            inner.host.clone_from(&hop.host);
            let (connection, _) = Box::pin(self.connection(&inner, &hop, None))
                .await
                .map_err(|error| via(error, last))?;
            proxy::through_connection(stages, settings, connection).await
        })
    }
}

/// Waits for file descriptors.
async fn admit(stages: &Stages) -> Result<Admission, ConnectError> {
    let deadline = stages.options.limits.deadline.map(|deadline| deadline.at);
    descriptors::admit(deadline).await.map_err(|message| {
        stages.error(Stage::Connect, message).with_hint(
            "raise the limit of open files (ulimit -n), or connect to fewer hosts at once",
        )
    })
}

/// Follows the jump hosts without connecting to any. A connection holds its slot while those on the
/// way to it are established, so hosts that jump through each other would wait for each other forever.
async fn follow(stages: &Stages, settings: &Settings) -> Result<(), ConnectError> {
    let mut seen = vec![settings.host.clone()];
    let mut next = settings.clone();
    while let Route::Jump(hops) = &next.route
        && let Some((last, before)) = hops.split_last()
    {
        if seen.len() > MAX_HOPS {
            let few = seen.get(..4).unwrap_or_default().join(", then ");
            return Err(stages
                .error(
                    Stage::Configure,
                    format!("the way there has more than {MAX_HOPS} jump hosts: {few}, and so on"),
                )
                .with_hint("look for a circle in the ProxyJump lines of your ssh_config"));
        }
        seen.push(last.host.to_plain());
        next = hop_settings(stages, last, before, &next.config)
            .await
            .map_err(|error| via(error, last))?;
    }
    Ok(())
}

/// The settings of a jump host: its own from the configuration, but the hops before it are those of the list.
async fn hop_settings(
    stages: &Stages,
    hop: &JumpHost,
    before: &[JumpHost],
    config_source: &ConfigSource,
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

/// Says which machine on the way it was.
fn via(mut error: ConnectError, hop: &JumpHost) -> ConnectError {
    error.message = format!("jump host {}: {}", hop.host, error.message);
    error
}

fn is_idle(slot: &Slot) -> bool {
    // One count is the map's own.
    Arc::strong_count(slot) == 1
        && slot
            .try_lock()
            .is_ok_and(|slot| slot.known.iter().all(|known| known.strong_count() == 0))
}
