//! The async API for one machine: define code, call it, evaluate expressions.

mod call;
mod callback;
mod callback_error;
mod channel;
mod object;
mod running;
mod serving;
mod stream;
mod value;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::connection::{ConnectOptions, Connection, Failure, Hello};
use crate::error::Error;
use crate::pickle::Arguments;
use crate::session::RequestKind;
use crate::spec::ConnectionSpec;
use crate::stub::functions::Helper;

pub use call::Call;
pub(crate) use call::Pending;
pub use callback::Callback;
pub use callback_error::CallbackError;
pub use channel::{ByteChannel, ByteReceiver, ByteSender, Channel, Receiver, Sender};
pub use object::RemoteObject;
pub use stream::RemoteStream;
pub use value::Value;

/// Python on another machine. Clones share the connection; dropping the last one ends the
/// remote process and what it started.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), easycluster::Error> {
/// use easycluster::Client;
///
/// let client = Client::from_spec("user@host:rpython=python2.7").await?;
/// client.define("def addvals(a, b):\n    return a + b\n").await?;
/// let sum: i64 = client.call("addvals", (3, 4)).await?;
/// assert_eq!(sum, 7);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    connection: Connection,
    definitions: String,
    callbacks: Arc<Mutex<Option<Arc<callback::Callbacks>>>>,
}

impl Client {
    /// Connects by a connection spec, `[user@]host[:port][:opt=val]...`, and waits until the remote Python is ready.
    ///
    /// # Errors
    /// [`Error::Spec`] with the place marked, [`Error::Connect`] with the stage that failed.
    pub async fn from_spec(spec: &str) -> Result<Client, Error> {
        Client::connect(&spec.parse()?, ConnectOptions::default()).await
    }

    /// Connects with options and waits until the remote Python is ready.
    ///
    /// # Errors
    /// [`Error::Connect`] with the stage that failed.
    pub async fn connect(spec: &ConnectionSpec, options: ConnectOptions) -> Result<Client, Error> {
        let client = Client::begin(spec, options).await?;
        client.ready().await?;
        Ok(client)
    }

    /// Connects as far as the started remote command and does not wait for Python: calls made
    /// now travel right behind the stub, which saves a round trip. What goes wrong with the
    /// interpreter is then the first call's error.
    ///
    /// # Errors
    /// [`Error::Connect`] with the stage that failed, up to the channel.
    pub async fn begin(spec: &ConnectionSpec, options: ConnectOptions) -> Result<Client, Error> {
        let definitions = options.definitions.clone();
        let connection = Connection::open(spec, options).await?;
        Ok(Client {
            connection,
            definitions,
            callbacks: Arc::default(),
        })
    }

    /// A client of a connection that somebody else has too.
    #[cfg_attr(not(feature = "python"), allow(dead_code))]
    pub(crate) fn of(connection: Connection) -> Client {
        Client {
            connection,
            definitions: String::new(),
            callbacks: Arc::default(),
        }
    }

    /// Waits until the remote Python is ready and says what it is.
    ///
    /// # Errors
    /// [`Error::Connect`] at stage interpreter or stub, [`Error::Lost`] if it was there and is gone.
    pub async fn ready(&self) -> Result<Hello, Error> {
        self.connection.ready().await
    }

    /// Runs source in the remote definitions module, where calls find what it defines. Calls
    /// submitted later, on any thread, see it.
    ///
    /// # Errors
    /// [`Error::Remote`] if the source does not compile or raises.
    pub fn define(&self, source: &str) -> Call<()> {
        self.define_in(&self.definitions, source)
    }

    /// Runs source in a remote module of this name, which other definitions can import.
    ///
    /// # Errors
    /// As [`define`](Self::define).
    pub fn define_in(&self, module: &str, source: &str) -> Call<()> {
        let mut call = Call::new(&self.connection, RequestKind::Define);
        call.push(module);
        call.push(source);
        call.push(&true);
        call.barrier()
    }

    /// Calls a function or class by its dotted name: one that was defined, a built-in, or
    /// one of a module that the remote machine has (imported on the way).
    ///
    /// The arguments are pickled before this returns; if they are hundreds of megabytes, make the
    /// call in `tokio::task::spawn_blocking`, so that the runtime's threads stay free for others.
    ///
    /// # Errors
    /// [`Error::Remote`] with the remote traceback, [`Error::Convert`] if an argument or the
    /// result does not fit, [`Error::Timeout`], [`Error::Lost`].
    pub fn call<R: DeserializeOwned + Send + 'static>(
        &self,
        name: &str,
        args: impl Arguments,
    ) -> Call<R> {
        let mut call = Call::new(&self.connection, RequestKind::Call);
        call.push(name);
        call.push_call_arguments(args);
        call
    }

    /// As [`call`](Self::call) with a number and bytes as arguments, which are not copied.
    pub(crate) fn call_with_bytes(
        &self,
        name: &str,
        number: u32,
        data: bytes::Bytes,
    ) -> Call<Value> {
        let mut call = Call::new(&self.connection, RequestKind::Call);
        call.push(name);
        call.push_with_bytes(number, data);
        call
    }

    /// Sends functions that later calls may call, unless they have been sent on this connection.
    pub(crate) fn send_helper(&self, helper: &'static Helper) {
        self.connection.send_helper(helper);
    }

    /// Evaluates an expression in the definitions module.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn eval<R: DeserializeOwned + Send + 'static>(&self, expression: &str) -> Call<R> {
        let mut call = Call::new(&self.connection, RequestKind::Eval);
        call.push(expression);
        call.push(&None::<&str>);
        call
    }

    /// Runs statements in the definitions module. The result is `None`, or what
    /// `exec_return(value)` ended them with.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn exec(&self, code: &str) -> Call<Value> {
        let mut call = Call::new(&self.connection, RequestKind::Exec);
        call.push(code);
        call.push(&None::<&str>);
        call
    }

    /// Ends the server thread of this number behind what was called on it.
    pub fn stop_thread(&self, number: i32) {
        self.connection.stop_thread(number);
    }

    /// Asks the stub for a sign of life; gives the round trip.
    ///
    /// # Errors
    /// [`Error::Lost`] if the connection ends first.
    pub async fn ping(&self) -> Result<Duration, Error> {
        self.connection.ping().await
    }

    /// Ends the connection in order and waits until the remote process has ended, four seconds at most.
    pub async fn close(self) -> Failure {
        self.connection.close();
        self.connection.closed().await
    }

    /// The connection below, for what this type does not offer.
    #[doc(hidden)]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The host as the user named it.
    pub fn host(&self) -> &str {
        self.connection.host()
    }
}
