//! The standalone server for machines without SSH: authenticates clients by a shared key and runs
//! what they ask for, one process per connection, as sshd would.

mod admission;
#[cfg(unix)]
mod command;
#[cfg(unix)]
mod connection;
#[cfg(unix)]
mod foreground;
pub mod key;
mod listen;
mod options;
mod profile;
mod request_log;

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

pub use crate::spec::DEFAULT_PORT;
pub use crate::transport::tcp::link::Liveness;
pub use crate::wire::authentication::KEY_MIN;
pub use admission::{HANDSHAKES_MAX, parse_network};
#[cfg(unix)]
pub use foreground::serve_until_signal;
pub use options::ServerOptions;

/// How long a client may take to prove that it holds the key (AU-9).
pub const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Authenticated connections at once, by default.
pub const CONNECTIONS_MAX: usize = 512;
/// How long connections may take to end with the server.
const STOP_GRACE: Duration = Duration::from_secs(8);
/// Refused connections that are logged individually within a second; the others are counted.
const REFUSALS_LOGGED: u32 = 20;

/// Why a server cannot be started or a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The key is too easy to guess.
    #[error(
        "the key has {0} characters, and keys of fewer than {KEY_MIN} can be guessed; make one with `easycluster -g FILE`, or add --allow-short-key"
    )]
    ShortKey(usize),
    /// The key cannot be read.
    #[error(transparent)]
    Key(#[from] crate::keys::KeyError),
    /// No socket could be opened.
    #[error("cannot listen on {place}: {error}")]
    Listen {
        /// The address and port wanted.
        place: String,
        /// What the system said.
        error: io::Error,
    },
    /// Profiles cannot be prepared.
    #[error("cannot set up profiling: {0}")]
    Profile(io::Error),
    /// This system is not served yet.
    #[error("the standalone server runs only on Unix systems")]
    Platform,
}

/// What all connections share.
struct Context {
    options: ServerOptions,
    key: Mutex<Arc<[u8]>>,
    connections: admission::Connections,
    #[cfg_attr(not(unix), allow(dead_code))]
    environment: Vec<(OsString, OsString)>,
    refusals: Mutex<(Option<Instant>, u32)>,
    /// Held for as long as commands may look into its folder.
    _profile: Option<profile::Profile>,
}

impl Context {
    fn key(&self) -> Arc<[u8]> {
        self.key
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Logs a refused connection, but limits how many are logged, so that a flood does not fill the log.
    fn refused(&self, peer: &str, reason: &str) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = *refusals;
        let fresh = since.is_none_or(|since| since.elapsed() >= Duration::from_secs(1));
        if fresh {
            if count > REFUSALS_LOGGED {
                warn!(
                    connections = count - REFUSALS_LOGGED,
                    "more refused within a second"
                );
            }
            *refusals = (Some(Instant::now()), 1);
        } else {
            refusals.1 = count.saturating_add(1);
        }
        if fresh || count < REFUSALS_LOGGED {
            warn!(peer, reason, "refused");
        }
    }
}

/// A server that listens but does not accept yet.
pub struct Server {
    listeners: Vec<TcpListener>,
    context: Arc<Context>,
    handle: Handle,
    stop: watch::Receiver<Option<String>>,
}

/// Acts on a running server from elsewhere.
#[derive(Clone)]
pub struct Handle {
    stop: Arc<watch::Sender<Option<String>>>,
    context: Arc<Context>,
}

impl Handle {
    /// Ends the server: clients receive `sentence`, their commands are ended, `run` returns.
    pub fn stop(&self, sentence: &str) {
        self.stop.send_replace(Some(sentence.to_owned()));
    }

    /// Uses another key for all handshakes from now on. Open connections stay.
    pub fn set_key(&self, key: &[u8]) -> Result<(), ServerError> {
        check_key(key, self.context.options.allow_short_key)?;
        *self
            .context
            .key
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = key.into();
        Ok(())
    }

    /// How many authenticated connections are open.
    pub fn connections(&self) -> usize {
        self.context.connections.open()
    }
}

fn check_key(key: &[u8], allow_short: bool) -> Result<(), ServerError> {
    if key.len() < KEY_MIN && !allow_short {
        return Err(ServerError::ShortKey(key.len()));
    }
    Ok(())
}

impl Server {
    /// Opens the sockets. Needs a tokio runtime with I/O and time.
    pub fn bind(key: &[u8], options: ServerOptions) -> Result<Self, ServerError> {
        if cfg!(not(unix)) {
            return Err(ServerError::Platform);
        }
        check_key(key, options.allow_short_key)?;
        let listeners = listen::listen(options.bind.as_deref(), options.port, options.ipv6)
            .map_err(|error| ServerError::Listen {
                place: format!(
                    "{} port {}",
                    options.bind.as_deref().unwrap_or("any address"),
                    options.port
                ),
                error,
            })?;
        let (stop, stopped) = watch::channel(None);
        #[cfg(unix)]
        let mut environment = command::environment(std::env::vars_os(), &options.pass_environment);
        #[cfg(not(unix))]
        let mut environment = Vec::new();
        let profile = options.profile.as_deref().map(profile::Profile::new);
        let profile = profile.transpose().map_err(ServerError::Profile)?;
        if let Some(profile) = &profile {
            profile.enter(&mut environment);
        }
        let context = Arc::new(Context {
            key: Mutex::new(key.into()),
            connections: admission::Connections::new(options.connections_max),
            environment,
            refusals: Mutex::default(),
            _profile: profile,
            options,
        });
        Ok(Server {
            listeners,
            handle: Handle {
                stop: Arc::new(stop),
                context: context.clone(),
            },
            context,
            stop: stopped,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.addresses().first().map_or(0, SocketAddr::port)
    }

    /// Acts on it while it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until `Handle::stop`, then ends all connections.
    #[cfg(unix)]
    pub async fn run(self) {
        let handshakes = Arc::new(admission::Handshakes::new(
            self.context.options.handshakes_max,
        ));
        let mut tasks = JoinSet::new();
        let mut stop = self.stop.clone();
        loop {
            let accepted = tokio::select! {
                accepted = async {
                    handshakes.room().await;
                    accept_any(&self.listeners).await
                } => accepted,
                Some(_) = tasks.join_next() => continue,
                _ = connection::stopped(&mut stop) => break,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: others have to end first.
                    self.context
                        .refused("a client", &format!("it could not be accepted: {error}"));
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let place = handshakes.enter(address.ip());
            if admission::allowed(&self.context.options.allow, address.ip()) {
                let context = self.context.clone();
                let stop = self.stop.clone();
                tasks.spawn(connection::serve(stream, address, place, context, stop));
            } else {
                self.context
                    .refused(&address.to_string(), "its address is not allowed");
                tasks.spawn(async move {
                    let mut stream = stream;
                    crate::transport::tcp::handshake::refuse(
                        &mut stream,
                        crate::wire::authentication::Refusal::Address,
                    )
                    .await;
                    drop(place);
                });
            }
        }
        let open = self.handle.connections();
        info!(connections = open, "ending");
        drop(self.listeners);
        let all = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(STOP_GRACE, all).await;
        // Whatever is left is dropped, and its process groups are killed with it.
        tasks.shutdown().await;
    }
}

/// The next connection of any listener.
#[cfg(unix)]
async fn accept_any(listeners: &[TcpListener]) -> io::Result<(tokio::net::TcpStream, SocketAddr)> {
    std::future::poll_fn(|cx| {
        for listener in listeners {
            if let std::task::Poll::Ready(accepted) = listener.poll_accept(cx) {
                return std::task::Poll::Ready(accepted);
            }
        }
        std::task::Poll::Pending
    })
    .await
}
