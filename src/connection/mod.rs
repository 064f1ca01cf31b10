//! One connection to one remote Python: the only place that moves bytes between transport, stub and session.

mod asks;
pub(crate) mod boot;
mod channel;
mod completion;
mod driver;
pub(crate) mod failed_start;
mod hello;
pub(crate) mod hints;
mod lifeline;
mod memory;
mod options;
mod output;
mod shared;
mod start;

use std::sync::Arc;
use std::time::Instant;

pub use asks::{Ask, Asks, Outcome as AskOutcome};
pub use channel::{Channel, ChannelError};
pub use completion::{Completion, Failure, Sink};
pub use hello::Hello;
#[cfg(feature = "python")]
pub(crate) use memory::allowed as allowed_memory;
pub use options::{ClassSink, ConnectOptions, Peer};
#[cfg(feature = "python")]
pub(crate) use output::Receipt;
pub use output::{Output, OutputSink};

use crate::error::Error;
use crate::session::{
    CancelReason, MAX_CHANNEL_WINDOW, MIN_CHANNEL_WINDOW, Request, RequestId, Session,
};
use crate::spec::ConnectionSpec;
use crate::stub::functions::Helper;
use shared::Shared;

/// A handle on a connection; clones share it, and dropping the last one closes it.
///
/// This is the layer without Python values: payloads are pickles made by the caller. Most
/// programs want [`Client`](crate::Client) instead.
#[derive(Clone)]
pub struct Connection {
    handle: Arc<Handle>,
}

/// A [`Connection`] that does not keep the connection open.
#[derive(Clone)]
pub struct WeakConnection {
    handle: std::sync::Weak<Handle>,
}

impl WeakConnection {
    /// The connection, while it is held.
    pub fn upgrade(&self) -> Option<Connection> {
        self.handle.upgrade().map(|handle| Connection { handle })
    }

    /// Whether this is a handle on that connection.
    pub fn is(&self, connection: &Connection) -> bool {
        std::ptr::eq(self.handle.as_ptr(), Arc::as_ptr(&connection.handle))
    }
}

/// Closes the connection when the last user's handle goes; the tasks hold only `Shared`.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.start_close();
    }
}

impl Connection {
    /// Connects as far as a started remote command, and sends the stub and HELLO behind it
    /// without waiting; requests may be submitted at once. What happens to the interpreter
    /// and the stub is known after [`ready`](Self::ready).
    ///
    /// Must be called within a tokio runtime, on which the connection's two tasks then run.
    ///
    /// # Errors
    /// [`Error::Connect`] with the stage that failed.
    pub async fn open(
        spec: &ConnectionSpec,
        mut options: ConnectOptions,
    ) -> Result<Connection, Error> {
        let since = Instant::now();
        // The spec's limit is for the whole of connecting. The stage that meets it is named in the error.
        if let Some(limit) = spec.timeout {
            options.transport.limits = options.transport.limits.in_all(since, limit);
        }
        let starter = start::Starter::new(spec, &options.transport);
        let started = starter.start().await?;
        let session = Session::new(
            options.session_config(spec),
            hello::client_hello(spec, &options)?,
        );
        let sinks = shared::Sinks {
            output: options.output.clone(),
            classes: options.classes.clone(),
        };
        let shared = Arc::new(Shared::new(
            spec.label(),
            started.process.peer.clone(),
            session,
            sinks,
        ));
        driver::start(Arc::clone(&shared), started, starter, options.transport);
        Ok(Connection {
            handle: Arc::new(Handle { shared }),
        })
    }

    /// Waits until the stub runs.
    ///
    /// # Errors
    /// [`Error::Connect`] at stage interpreter or stub, with what the remote machine printed.
    pub async fn ready(&self) -> Result<Hello, Error> {
        self.shared()
            .ready()
            .await
            .map_err(|failure| failure.into_error(self.host()))
    }

    /// Hands in a request. Never blocks; the sink hears of its end exactly once, at once if
    /// the connection is lost already.
    pub fn submit(&self, request: Request, sink: Sink) -> Option<RequestId> {
        self.submit_as(request, |_| sink)
    }

    /// The same with a sink that is made once the request's id is known, which is `None` where the request is refused. It is
    /// made under the connection's lock, so it must not use the connection.
    pub fn submit_as(
        &self,
        request: Request,
        sink: impl FnOnce(Option<RequestId>) -> Sink,
    ) -> Option<RequestId> {
        self.shared().submit(request, sink, Instant::now())
    }

    /// Sends functions that requests submitted later may call, unless they have been sent on this connection (BS-9).
    pub(crate) fn send_helper(&self, helper: &'static Helper) {
        self.shared().send_helper(helper);
    }

    /// Hands in a request and waits for its end.
    pub async fn request(&self, request: Request) -> Completion {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let id = self.submit(request, Sink::Oneshot(sender));
        let guard = CancelOnDrop {
            connection: self,
            id,
        };
        let completion = receiver
            .await
            .unwrap_or_else(|_| Completion::Lost(Failure::closed()));
        guard.disarm();
        completion
    }

    /// Opens a channel whose windows are of so many bytes, which a request submitted later may name. Takes no round trip.
    ///
    /// # Errors
    /// Why the connection has ended.
    pub fn open_channel(&self, window: u32) -> Result<Channel, Failure> {
        let window = window.clamp(MIN_CHANNEL_WINDOW, MAX_CHANNEL_WINDOW);
        let (id, line) = self.shared().open_channel(window)?;
        Ok(Channel::new(self.clone(), id, line, u64::from(window)))
    }

    /// Gives up a call: dropped if queued, interrupted if running. Its sink hears of it.
    pub fn cancel(&self, id: RequestId) {
        self.shared()
            .with_session(|session| session.cancel(id, CancelReason::Cancelled, Instant::now()));
    }

    /// Gives up `times` receipts of the server's object `oid`.
    pub fn release(&self, oid: u64, times: u32) {
        self.shared()
            .with_session(|session| session.release(oid, times));
    }

    /// Ends a server thread behind what was submitted for it.
    pub fn stop_thread(&self, thread: i32) {
        self.shared()
            .with_session(|session| session.stop_thread(thread));
    }

    /// Asks the stub for a sign of life and waits for it; gives the round trip.
    ///
    /// # Errors
    /// [`Error::Lost`] if the connection ends first.
    pub async fn ping(&self) -> Result<std::time::Duration, Error> {
        self.shared()
            .ping()
            .await
            .map_err(|failure| failure.into_error(self.host()))
    }

    /// Calls back once when the connection has ended, with the reason; at once if it has.
    pub fn on_lost(&self, callback: impl FnOnce(Failure) + Send + 'static) {
        self.shared().on_lost(Box::new(callback));
    }

    /// Says goodbye; what is pending is lost. Returns at once.
    pub fn close(&self) {
        self.shared().start_close();
    }

    /// Waits until the connection has ended and the remote process with it, as far as the transport knows.
    pub async fn closed(&self) -> Failure {
        self.shared().ended().await
    }

    /// Ends the connection at once, without a goodbye; what is pending is lost for this reason.
    pub fn abandon(&self, reason: &str) {
        self.shared().fail(Failure::Lost(reason.to_owned()));
        self.shared().start_close();
    }

    /// A handle that does not keep the connection open.
    pub fn downgrade(&self) -> WeakConnection {
        WeakConnection {
            handle: Arc::downgrade(&self.handle),
        }
    }

    /// Whether requests can be submitted.
    pub fn is_connected(&self) -> bool {
        self.shared().failure().is_none()
    }

    /// Why the connection ended, if it has.
    pub fn failure(&self) -> Option<Failure> {
        self.shared().failure()
    }

    /// The host as the user named it; stands in errors.
    pub fn host(&self) -> &str {
        &self.shared().host
    }

    /// The other end as the transport reached it, such as `box:22`.
    pub fn peer(&self) -> &str {
        &self.shared().peer
    }

    /// What the stub said of itself, once it has.
    pub fn hello(&self) -> Option<Hello> {
        self.shared().hello()
    }

    /// The longest result or item taken, in bytes.
    pub fn max_result(&self) -> u64 {
        self.shared().max_result()
    }

    /// How many calls have not ended.
    pub fn in_flight(&self) -> usize {
        self.shared().with_session(|session| session.in_flight())
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.peer())
    }
}

impl PartialEq for Connection {
    /// Whether both are handles on the same connection.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.handle, &other.handle)
    }
}

/// A future dropped before its answer (a timeout or select around it) must not leave the remote call running.
struct CancelOnDrop<'a> {
    connection: &'a Connection,
    id: Option<RequestId>,
}

impl CancelOnDrop<'_> {
    fn disarm(mut self) {
        self.id = None;
    }
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let shared = self.connection.shared();
            shared.with_session(|session| {
                session.cancel(id, CancelReason::Abandoned, Instant::now())
            });
        }
    }
}

/// What every caller of [`Connection::submit`] needs to name.
pub mod request {
    pub use crate::session::{Answer, Payload, Request, RequestId, RequestKind, ThreadTarget};
}
