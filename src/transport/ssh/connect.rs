//! From settings to an authenticated connection: resolve, connect, key exchange, host key, authentication.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use russh::SshId;
use russh::client::{Config, GexParams, Handle};
use tokio::net::{TcpSocket, TcpStream};

use super::connection::Connection;
use super::handler::{ClientHandler, HandlerError, Shared, describe};
use super::host_key::HostKeyCheck;
use super::key_store::KeyStore;
use super::settings::{AddressFamily, Route, Settings};
use super::stream::{ByteStream, PromptStream, Tethered};
use super::timing::Stages;
use super::{algorithms, auth};
use crate::error::{ConnectError, Stage};

/// What the server may send before we have read it, in bytes a channel: between these two, by the distance to the
/// server. A window that is larger than the way needs only makes small answers wait behind large ones.
const WINDOW_LEAST: u32 = 2 * 1024 * 1024;
/// Enough for 160 MB/s at 100 ms.
const WINDOW_MOST: u32 = 16 * 1024 * 1024;
/// What a window is made to carry where the two bounds allow it, in bytes a second.
const WINDOW_RATE: f64 = 400e6;
/// The largest packet we take, in bytes.
const PACKET: u32 = 32 * 1024;
/// Silence after which we ask for a sign of life, where the configuration does not say.
const ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// A stream to the server, and what it depends on.
pub(super) struct Carrier {
    pub(super) stream: Box<dyn ByteStream>,
    /// The server is on this machine.
    pub(super) loopback: bool,
    /// How long it took to open, which is one round trip and little more; `None` where that cannot be told.
    pub(super) round_trip: Option<Duration>,
    /// The connection that it runs through.
    pub(super) outer: Option<Arc<Connection>>,
}

/// Resolves the host name and opens a TCP connection.
pub(super) async fn dial(stages: &Stages, settings: &Settings) -> Result<Carrier, ConnectError> {
    let mut last = None;
    for attempt in 0..settings.connection_attempts {
        if attempt > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let addresses = resolve(stages, settings).await?;
        for address in addresses {
            let since = Instant::now();
            match dial_one(stages, settings, address).await {
                Ok(stream) => {
                    stages.reached(Stage::Connect, since, address.to_string());
                    return Ok(Carrier {
                        stream: Box::new(PromptStream::new(stream)),
                        loopback: address.ip().is_loopback(),
                        round_trip: Some(since.elapsed()),
                        outer: None,
                    });
                }
                Err(error) => last = Some(error),
            }
        }
    }
    Err(last.unwrap_or_else(|| stages.error(Stage::Connect, "there is no address to try")))
}

async fn resolve(stages: &Stages, settings: &Settings) -> Result<Vec<SocketAddr>, ConnectError> {
    let since = Instant::now();
    let host = settings.hostname.clone();
    let looking = tokio::net::lookup_host((host.clone(), settings.port));
    let found: Vec<SocketAddr> = stages
        .timed(Stage::Resolve, looking)
        .await?
        .map_err(|error| {
            stages
                .error(
                    Stage::Resolve,
                    format!("the name {host} has no address: {error}"),
                )
                .with_hint(
                    "check the spelling, the HostName in your ssh_config and your name server",
                )
        })?
        .filter(|address| match settings.address_family {
            AddressFamily::Any => true,
            AddressFamily::Inet => address.is_ipv4(),
            AddressFamily::Inet6 => address.is_ipv6(),
        })
        .collect();
    if found.is_empty() {
        return Err(stages
            .error(
                Stage::Resolve,
                format!("the name {host} has no address of the wanted kind"),
            )
            .with_hint("look at AddressFamily in your ssh_config"));
    }
    let shown: Vec<String> = found
        .iter()
        .map(|address| address.ip().to_string())
        .collect();
    stages.reached(Stage::Resolve, since, shown.join(", "));
    Ok(found)
}

async fn dial_one(
    stages: &Stages,
    settings: &Settings,
    address: SocketAddr,
) -> Result<TcpStream, ConnectError> {
    let limit = limit_of(stages, settings, Stage::Connect);
    let dialing = async {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Some(source) = &settings.bind_address {
            let source: IpAddr = source.parse().map_err(|_| {
                std::io::Error::other(format!("BindAddress {source} is not an address"))
            })?;
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket.connect(address).await?;
        // Requests are small and each waits for an answer.
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(stream)
    };
    stages
        .timed_for(Stage::Connect, limit, dialing)
        .await
        .map_err(|error| {
            error.with_hint(format!(
                "{address} does not answer: check the address, the port and firewalls on the way"
            ))
        })?
        .map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::ConnectionRefused => {
                    "nothing listens there: check that sshd runs and the port is right"
                }
                _ => "check the address, the port and the network",
            };
            let mut failure = stages
                .error(Stage::Connect, format!("{address}: {error}"))
                .with_hint(hint);
            failure.refused = error.kind() == std::io::ErrorKind::ConnectionRefused;
            failure
        })
}

/// The configured limit; zero is OpenSSH's word for none, which leaves ours.
fn limit_of(stages: &Stages, settings: &Settings, stage: Stage) -> Duration {
    settings
        .connect_timeout
        .filter(|limit| !limit.is_zero())
        .unwrap_or_else(|| stages.options.limits.of(stage))
}

/// Makes an authenticated connection over `carrier`.
pub(super) async fn establish(
    stages: &Stages,
    settings: &Settings,
    carrier: Carrier,
    keys: &KeyStore,
) -> Result<Arc<Connection>, ConnectError> {
    // Thousands of hashed names take a while, which other connections need not wait for.
    let (for_check, wanted, loopback) = (stages.clone(), settings.clone(), carrier.loopback);
    let check =
        tokio::task::spawn_blocking(move || HostKeyCheck::new(&for_check, &wanted, loopback))
            .await
            .map_err(|error| stages.error(Stage::HostKey, error.to_string()))?;
    let config = Arc::new(client_config(settings, &check, carrier.round_trip).map_err(
        |message| {
            stages.error(Stage::Configure, message).with_hint(
            "set OpenSSH as the program for this host with ssh=/usr/bin/ssh, or change the list",
        )
        },
    )?);
    let stall_limit = config
        .keepalive_interval
        .map(|interval| interval.saturating_mul(settings.alive_count_max.saturating_add(1)));
    let (stream, lifeline) = Tethered::new(carrier.stream, stall_limit);
    let (mut handle, shared) = exchange_keys(stages, settings, config, stream, check).await?;
    if let Err(error) = auth::authenticate(stages, settings, &mut handle, &shared, keys).await {
        drop(lifeline);
        return Err(error);
    }
    let peer = format!("{}:{}", settings.host, settings.port);
    Ok(Arc::new(Connection::new(
        handle,
        lifeline,
        shared,
        peer,
        settings.environment.clone(),
        carrier.outer,
    )))
}

/// The window for a server at this distance.
fn window(round_trip: Option<Duration>) -> u32 {
    match round_trip {
        // A float that is too large for the type becomes the largest value.
        Some(time) => ((time.as_secs_f64() * WINDOW_RATE) as u32).clamp(WINDOW_LEAST, WINDOW_MOST),
        None => WINDOW_MOST,
    }
}

fn client_config(
    settings: &Settings,
    check: &HostKeyCheck,
    round_trip: Option<Duration>,
) -> Result<Config, String> {
    let interval = settings.alive_interval.unwrap_or(ALIVE_INTERVAL);
    Ok(Config {
        client_id: SshId::Standard(
            concat!("SSH-2.0-easycluster_", env!("CARGO_PKG_VERSION")).into(),
        ),
        window_size: window(round_trip),
        maximum_packet_size: PACKET,
        // Only a channel's confirmation goes through russh's own queue (see `channel`).
        channel_buffer_size: 4,
        preferred: algorithms::preferred(settings, check)?,
        // What OpenSSH asks for; russh's own wish for 8192 bits takes seconds.
        gex: GexParams::new(2048, 3072, 8192).map_err(|error| error.to_string())?,
        keepalive_interval: (!interval.is_zero()).then_some(interval),
        keepalive_max: settings.alive_count_max as usize,
        nodelay: true,
        ..Config::default()
    })
}

async fn exchange_keys(
    stages: &Stages,
    settings: &Settings,
    config: Arc<Config>,
    stream: Tethered,
    check: HostKeyCheck,
) -> Result<(Handle<ClientHandler>, Arc<Shared>), ConnectError> {
    let since = Instant::now();
    let limit = limit_of(stages, settings, Stage::KeyExchange);
    let (handler, shared) = ClientHandler::new(check);
    let exchange = russh::client::connect_stream(config, stream, handler);
    let exchanged = stages
        .timed_for(Stage::KeyExchange, limit, exchange)
        .await
        .map_err(|error| {
            match &settings.route {
                Route::Command(_) => error.with_hint(exchange_hint(settings, &russh::Error::HUP)),
                _ => error.with_hint("something accepts connections there but does not speak SSH in time: check the port, or the server's load"),
            }
        })?;
    match exchanged {
        Ok(handle) => {
            stages.reached(Stage::KeyExchange, since, shared.negotiated());
            Ok((handle, shared))
        }
        Err(HandlerError::HostKey(error)) => Err(*error),
        Err(HandlerError::Russh(error)) => {
            let hint = exchange_hint(settings, &error);
            let message = match error {
                // The handler may know more than russh returns.
                russh::Error::Disconnect => shared.ended().unwrap_or_else(|| describe(&error)),
                other => describe(&other),
            };
            Err(stages.error(Stage::KeyExchange, message).with_hint(hint))
        }
    }
}

/// What to do about a key exchange that failed.
fn exchange_hint(settings: &Settings, error: &russh::Error) -> String {
    if let russh::Error::NoCommonAlgo { kind, theirs, .. } = error {
        let keyword = match kind {
            russh::AlgorithmKind::Kex => "KexAlgorithms",
            russh::AlgorithmKind::Key => "HostKeyAlgorithms",
            russh::AlgorithmKind::Cipher => "Ciphers",
            russh::AlgorithmKind::Mac => "MACs",
            russh::AlgorithmKind::Compression => "Compression",
        };
        let first = theirs.first().map(String::as_str).unwrap_or_default();
        return crate::error::printable(&format!(
            "an old server may need `{keyword} +{first}` in your ssh_config; what is not supported here, ssh=/usr/bin/ssh may have"
        ));
    }
    match &settings.route {
        Route::Command(command) => format!("run the ProxyCommand by hand to see what it says: {command}"),
        _ => "check that the port is that of an SSH server and that it lets this machine in (MaxStartups, firewalls, hosts.deny)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_grows_with_the_distance() {
        let at = |micros| window(Some(Duration::from_micros(micros)));
        assert_eq!((at(0), at(200)), (WINDOW_LEAST, WINDOW_LEAST));
        assert_eq!(at(20_000), 8_000_000);
        assert_eq!((at(100_000), at(60_000_000)), (WINDOW_MOST, WINDOW_MOST));
        assert_eq!(window(None), WINDOW_MOST);
    }
}
