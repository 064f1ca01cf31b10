//! From settings to an authenticated connection: resolve, connect, key exchange, host key, authentication.

use std::sync::Arc;
use std::time::{Duration, Instant};

use russh::client::{Config, GexParams, Handle};
use russh::{Limits, SshId};

use crate::dial::Dial;
use crate::error::{ConnectError, Stage};
use crate::transport::ssh::algorithms;
use crate::transport::ssh::auth;
use crate::transport::ssh::auth::key_store::KeyStore;
use crate::transport::ssh::config::settings::{Rekey, Route, Settings};
use crate::transport::ssh::connection::Connection;
use crate::transport::ssh::describe::describe;
use crate::transport::ssh::handler::{ClientHandler, ENDED, HandlerError, Shared};
use crate::transport::ssh::host_key::HostKeyCheck;
use crate::transport::ssh::stream::ServerStream;
use crate::transport::ssh::stream::abortable::AbortableStream;
use crate::transport::ssh::stream::greeting::Greeting;
use crate::transport::ssh::timing::Stages;

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

/// The pause between two of ConnectionAttempts, as in OpenSSH.
const ATTEMPT_INTERVAL: Duration = Duration::from_secs(1);

/// Resolves the host name and opens a TCP connection.
pub(crate) async fn dial(
    stages: &Stages,
    settings: &Settings,
) -> Result<ServerStream, ConnectError> {
    let dialling = Dial {
        name: &stages.host,
        host: &settings.hostname,
        port: settings.port,
        family: settings.address_family,
        bind: settings.bind_address.as_deref(),
        resolve_limit: stages.options.limits.of(Stage::Resolve),
        connect_limit: limit_of(stages, settings, Stage::Connect),
        unknown_hint: "check the spelling, the HostName in your ssh_config and your name server",
        refused_hint: "nothing listens there: check that sshd runs and the port is right",
        observer: stages.options.observer.as_ref(),
    };
    let mut dialled = dialling.connect().await;
    for _ in 1..settings.connection_attempts {
        if dialled.is_ok() {
            break;
        }
        tokio::time::sleep(ATTEMPT_INTERVAL).await;
        dialled = dialling.connect().await;
    }
    let dialled = dialled?;
    Ok(ServerStream {
        stream: Box::new(dialled.stream),
        address: Some(dialled.address.ip()),
        round_trip: Some(dialled.round_trip),
        carrier: None,
    })
}

/// The configured limit; zero is OpenSSH's word for none, which leaves ours.
fn limit_of(stages: &Stages, settings: &Settings, stage: Stage) -> Duration {
    let limits = &stages.options.limits;
    match settings.connect_timeout.filter(|limit| !limit.is_zero()) {
        Some(configured) => limits.within(configured, Instant::now()),
        None => limits.of(stage),
    }
}

/// Makes an authenticated connection over `server`.
pub(crate) async fn establish(
    stages: &Stages,
    settings: &Settings,
    server: ServerStream,
    keys: &KeyStore,
) -> Result<Arc<Connection>, ConnectError> {
    // Thousands of hashed names take a while, which other connections need not wait for.
    let (for_check, wanted, address) = (stages.clone(), settings.clone(), server.address);
    let files = HostKeyCheck::files(settings);
    let check = stages
        .reading(Stage::HostKey, &files, move || {
            HostKeyCheck::new(&for_check, &wanted, address)
        })
        .await??;
    let config = Arc::new(client_config(settings, &check, server.round_trip).map_err(
        |message| {
            stages.error(Stage::Configure, message).with_hint(
            "set OpenSSH as the program for this host with ssh=/usr/bin/ssh, or change the list",
        )
        },
    )?);
    let stall_limit = config
        .keepalive_interval
        .map(|interval| interval.saturating_mul(settings.alive_count_max.saturating_add(1)));
    let greeting = Greeting::default();
    let (stream, abort) = AbortableStream::new(server.stream, stall_limit, greeting.clone());
    let exchanged = exchange_keys(stages, settings, config, stream, check).await;
    let (mut handle, shared) = exchanged.map_err(|error| greeted(stages, error, &greeting))?;
    if let Err(error) = auth::authenticate(stages, settings, &mut handle, &shared, keys).await {
        drop(abort);
        return Err(error);
    }
    let peer = format!("{}:{}", settings.host, settings.port);
    Ok(Arc::new(Connection::new(
        handle,
        abort,
        shared,
        peer,
        settings.environment.clone(),
        server.carrier,
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
        preferred: algorithms::preferred(settings, &check.recorded(), check.wants_certificates())?,
        // What OpenSSH asks for; russh's own wish for 8192 bits takes seconds.
        gex: GexParams::new(2048, 3072, 8192).map_err(|error| error.to_string())?,
        keepalive_interval: (!interval.is_zero()).then_some(interval),
        keepalive_max: settings.alive_count_max as usize,
        nodelay: true,
        limits: rekey_limits(&settings.rekey),
        ..Config::default()
    })
}

/// When keys are renewed: as configured, but never later than russh would by itself.
fn rekey_limits(rekey: &Rekey) -> Limits {
    let usual = Limits::default();
    let bytes = rekey.bytes.and_then(|bytes| usize::try_from(bytes).ok());
    let bytes = bytes.unwrap_or(usize::MAX);
    Limits {
        rekey_write_limit: usual.rekey_write_limit.min(bytes),
        rekey_read_limit: usual.rekey_read_limit.min(bytes),
        rekey_time_limit: rekey.time.map_or(usual.rekey_time_limit, |time| {
            usual.rekey_time_limit.min(time)
        }),
    }
}

async fn exchange_keys(
    stages: &Stages,
    settings: &Settings,
    config: Arc<Config>,
    stream: AbortableStream,
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
        Err(HandlerError::Misbehaves(what)) => Err(stages.error(Stage::KeyExchange, what)),
        Err(HandlerError::Russh(error)) => {
            let hint = exchange_hint(settings, &error);
            let closed = is_closed(&error);
            let message = match error {
                // The handler may know more than russh returns.
                russh::Error::Disconnect => shared
                    .ended()
                    .filter(|why| why != ENDED)
                    .unwrap_or_else(|| describe(&russh::Error::HUP)),
                other => describe(&other),
            };
            let error = stages.error(Stage::KeyExchange, message);
            Err(error.with_hint(hint).passing(closed))
        }
    }
}

/// Whether the other end closed the connection, as a server does that has too many (MaxStartups).
fn is_closed(error: &russh::Error) -> bool {
    matches!(
        error,
        russh::Error::HUP | russh::Error::Disconnect | russh::Error::IO(_)
    )
}

/// Adds what the server said before its version, which often is the reason.
fn greeted(stages: &Stages, error: ConnectError, greeting: &Greeting) -> ConnectError {
    if error.stage != Stage::KeyExchange {
        return error;
    }
    let mut error = match greeting.fault() {
        None => error,
        Some(fault) => stages
            .error(Stage::KeyExchange, fault)
            .with_hint("check the port; what only an old server speaks, no current program does"),
    };
    let text = greeting.text();
    if !text.is_empty() {
        let said = String::from_utf8_lossy(&text);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        error.message = crate::error::printable(&format!(
            "{}; before that the server said: {said}",
            error.message
        ));
    }
    error
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
        let usable = theirs.iter().find(|name| algorithms::is_supported(name));
        return match usable {
            Some(name) => format!(
                "if you trust that algorithm, put `{keyword} +{name}` into your ssh_config for this host"
            ),
            None => format!(
                "nothing of what the server offers is supported here, so no {keyword} line helps; ssh=/usr/bin/ssh may have it"
            ),
        };
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
