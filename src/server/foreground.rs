//! A server as a process: signals, reloading of the key file, and notifications to systemd.

use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use super::{Handle, Server, ServerError, key};

/// Serves until SIGTERM or SIGINT; reads the key file again at SIGHUP.
///
/// # Errors
/// Where the signals cannot be listened for.
pub async fn serve_until_signal(server: Server) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let handle = server.handle();
    for address in server.addresses() {
        info!(%address, "listening");
    }
    notify_systemd("READY=1");
    let running = server.run();
    tokio::pin!(running);
    let mut ending = false;
    loop {
        let name = tokio::select! {
            () = &mut running => return Ok(()),
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hang_up.recv() => {
                reload(&handle);
                continue;
            }
        };
        if ending {
            // Asked twice: dropping the server kills what is left.
            warn!(signal = name, "ending at once");
            return Ok(());
        }
        ending = true;
        notify_systemd("STOPPING=1");
        handle.stop(&format!("the server is shutting down ({name})"));
    }
}

fn reload(handle: &Handle) {
    let options = &handle.context.options;
    let Some(path) = &options.key_file else {
        warn!("SIGHUP ignored, because the key was not read from a file");
        return;
    };
    match read(path, options.allow_short_key).and_then(|key| handle.set_key(&key)) {
        Ok(()) => info!(file = %path.display(), "the key was read again"),
        Err(error) => error!(%error, "the key cannot be read again; the old one stays in use"),
    }
}

fn read(path: &Path, allow_short: bool) -> Result<Vec<u8>, ServerError> {
    Ok(key::from_file(path, allow_short)?.key.as_bytes().to_vec())
}

/// Notifies systemd if it started this process and asked for it (sd_notify(3)). It is one
/// datagram; if nothing listens, nothing is lost.
fn notify_systemd(state: &str) {
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::net::{SocketAddr, UnixDatagram};
        let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
            return;
        };
        let address = match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&path),
        };
        let sent = address
            .and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
        if let Err(error) = sent {
            warn!(%error, "systemd could not be notified");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = state;
}
