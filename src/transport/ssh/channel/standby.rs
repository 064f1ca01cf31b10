//! What a connection has ready for clients to come: a spare channel, and interpreters that have their stub already.
//!
//! None of it holds the connection, so that all of it ends with the last client.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use russh::client::Handle;
use tokio::runtime::Handle as Runtime;
use tokio::sync::Notify;

use crate::spec::Step;
use crate::stub::{self, Bootstrap};
use crate::transport::ssh::channel::exec;
use crate::transport::ssh::channel::opening::{Confirmed, Opening};
use crate::transport::ssh::handler::{ClientHandler, Shared};
use crate::transport::steps;

/// A channel on which an interpreter was started and sent the stub.
pub(crate) struct Prepared {
    pub(crate) channel: Confirmed,
    /// It belongs to this one process: what the process says first begins with its marker.
    pub(crate) bootstrap: Bootstrap,
}

/// What an interpreter is asked for by: one that was started in other words is never handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The interpreter; empty if any will do.
    pub(crate) interpreter: String,
    /// What it runs behind.
    pub(crate) steps: Vec<Step>,
}

/// What stands by on one connection.
pub(crate) struct Standby {
    runtime: Runtime,
    shared: Arc<Shared>,
    state: Mutex<State>,
    /// The server refused a channel: none is asked for ahead of need until another one is closed.
    at_capacity: AtomicBool,
    /// An interpreter is ready, or will not be.
    changed: Notify,
}

#[derive(Default)]
struct State {
    spare: Option<Opening>,
    /// By what was asked for; there are few.
    interpreters: Vec<(Wanted, Interpreters)>,
}

#[derive(Default)]
struct Interpreters {
    ready: Vec<Prepared>,
    /// How many more are on their way.
    starting: usize,
}

impl Standby {
    pub(crate) fn new(runtime: Runtime, shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Standby {
            runtime,
            shared,
            state: Mutex::default(),
            at_capacity: AtomicBool::new(false),
            changed: Notify::new(),
        })
    }

    /// Nothing in here can be left half done, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether the server has room for more channels, as far as its last word tells.
    pub(crate) fn set_at_capacity(&self, at_capacity: bool) {
        self.at_capacity.store(at_capacity, Ordering::Relaxed);
    }

    fn is_at_capacity(&self) -> bool {
        self.at_capacity.load(Ordering::Relaxed)
    }

    fn open(self: &Arc<Self>, handle: Arc<Handle<ClientHandler>>) -> Opening {
        let standby = Arc::clone(self);
        Opening::spawn(&self.runtime, &self.shared, async move {
            let opened = handle.channel_open_session().await;
            match &opened {
                Ok(channel) => standby.shared.set_standby(channel.id(), true),
                Err(russh::Error::ChannelOpenFailure(_)) => standby.set_at_capacity(true),
                // The connection has ended, which its users hear of by themselves.
                Err(_) => {}
            }
            opened
        })
    }

    /// Has a spare channel opened, unless there is one or the server has no room.
    pub(crate) fn keep_spare(self: &Arc<Self>, handle: Arc<Handle<ClientHandler>>) {
        if !self.is_at_capacity() {
            self.lock().spare.get_or_insert_with(|| self.open(handle));
        }
    }

    /// The spare channel, if one was asked for.
    pub(crate) fn take_spare(&self) -> Option<Opening> {
        self.lock().spare.take()
    }

    /// Has interpreters started, so that with those on their way there are as many as `count` like `bootstrap`'s.
    pub(crate) fn prepare(
        self: &Arc<Self>,
        handle: &Arc<Handle<ClientHandler>>,
        environment: &Arc<[(String, String)]>,
        wanted: &Wanted,
        count: usize,
    ) {
        if self.is_at_capacity() {
            return;
        }
        let missing = self.with_interpreters(wanted, |interpreters| {
            let missing = count.saturating_sub(interpreters.ready.len() + interpreters.starting);
            interpreters.starting += missing;
            missing
        });
        for _ in 0..missing {
            let (standby, wanted) = (Arc::clone(self), wanted.clone());
            // The spare channel may have the last place that the server allows.
            let spare = self.take_spare();
            let opening = spare.unwrap_or_else(|| self.open(Arc::clone(handle)));
            let environment = Arc::clone(environment);
            self.runtime.spawn(async move {
                let prepared = standby.prepare_one(opening, &environment, &wanted).await;
                standby.with_interpreters(&wanted, |interpreters| {
                    interpreters.starting -= 1;
                    interpreters.ready.extend(prepared);
                });
                standby.changed.notify_waiters();
            });
        }
        self.keep_spare(Arc::clone(handle));
    }

    /// What goes wrong here is not reported: a client that finds none ready starts its own, and
    /// hears what the matter is.
    async fn prepare_one(
        &self,
        opening: Opening,
        environment: &[(String, String)],
        wanted: &Wanted,
    ) -> Option<Prepared> {
        let interpreter = Some(wanted.interpreter.as_str()).filter(|name| !name.is_empty());
        let bootstrap = Bootstrap::new(interpreter).ok()?;
        let bootstrap = steps::behind("", bootstrap, &wanted.steps).ok()?;
        let channel = opening.answer().await.ok()?;
        let sending = async {
            exec(&channel.write, environment, bootstrap.command()).await?;
            channel.write.data_bytes(stub::first_part()).await
        };
        // russh would wait forever for the window of a channel that the server has closed.
        let sent = tokio::select! {
            biased;
            sent = sending => sent.is_ok(),
            () = channel.outlet.closed() => false,
        };
        if sent {
            return Some(Prepared { channel, bootstrap });
        }
        channel.discard(&self.shared).await;
        None
    }

    /// Whether an interpreter waits, or is on its way.
    pub(crate) fn has_prepared(&self, wanted: &Wanted) -> bool {
        self.with_interpreters(wanted, |interpreters| {
            !interpreters.ready.is_empty() || interpreters.starting > 0
        })
    }

    /// An interpreter that waits and is alive.
    pub(crate) fn take_prepared(&self, wanted: &Wanted) -> Option<Prepared> {
        let prepared = self.with_interpreters(wanted, |interpreters| interpreters.ready.pop())?;
        self.shared.set_standby(prepared.channel.write.id(), false);
        Some(prepared)
    }

    /// The same, and waits for those on their way.
    pub(crate) async fn next_prepared(&self, wanted: &Wanted) -> Option<Prepared> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            if let Some(prepared) = self.take_prepared(wanted) {
                return Some(prepared);
            }
            if !self.has_prepared(wanted) {
                return None;
            }
            changed.await;
        }
    }

    /// Looks at the interpreters of one kind, but for those that died while they waited.
    fn with_interpreters<T>(
        &self,
        wanted: &Wanted,
        use_them: impl FnOnce(&mut Interpreters) -> T,
    ) -> T {
        let mut state = self.lock();
        let all = &mut state.interpreters;
        let at = all.iter().position(|(known, _)| known == wanted);
        let at = at.unwrap_or_else(|| {
            all.push((wanted.clone(), Interpreters::default()));
            all.len() - 1
        });
        let mut none = Interpreters::default();
        let interpreters = all.get_mut(at).map_or(&mut none, |(_, known)| known);
        for dead in interpreters
            .ready
            .extract_if(.., |prepared| prepared.channel.outlet.is_over())
        {
            // What it left behind may keep its channel open.
            let shared = Arc::clone(&self.shared);
            self.runtime
                .spawn(async move { dead.channel.discard(&shared).await });
        }
        use_them(interpreters)
    }
}
