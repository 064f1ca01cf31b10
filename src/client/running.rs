//! What a call is made in: whether that is a function of this program that remote code has called, which decides where it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::connection::{Connection, WeakConnection};
use crate::session::ThreadTarget;

tokio::task_local! {
    /// The function that this task runs.
    static INSIDE: Arc<Running>;
}

/// One call of a function of this program.
pub(super) struct Running {
    connection: WeakConnection,
    waited_for: bool,
    calls: AtomicBool,
    called: Arc<Notify>,
}

impl Running {
    /// A call that came by this connection. `called` is told when it makes its first call itself.
    pub(super) fn new(connection: &Connection, waited_for: bool, called: &Arc<Notify>) -> Running {
        Running {
            connection: connection.downgrade(),
            waited_for,
            calls: AtomicBool::new(false),
            called: Arc::clone(called),
        }
    }

    /// Whether it has made calls, and so may wait for another function of this program.
    pub(super) fn has_called(&self) -> bool {
        self.calls.load(Ordering::Relaxed)
    }

    /// Runs a function so that the calls which it makes are known as its own.
    pub(super) async fn within<F: Future>(self: Arc<Self>, function: F) -> F::Output {
        INSIDE.scope(self, function).await
    }
}

/// The server thread of a call that names none: Python's main thread, but one of its own where a function makes it that remote
/// code has called and waits for.
pub(super) fn thread(connection: &Connection) -> Result<ThreadTarget, &'static str> {
    let inside = INSIDE.try_with(|running| {
        if !running.waited_for && running.connection.is(connection) {
            return Err("a callback that nobody waits for cannot make calls on its own client");
        }
        if !running.calls.swap(true, Ordering::Relaxed) {
            running.called.notify_one();
        }
        Ok(ThreadTarget::OneShot)
    });
    inside.unwrap_or(Ok(ThreadTarget::Id(0)))
}
