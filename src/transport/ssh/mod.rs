//! SSH in process: whoever can type `ssh box` and get a prompt gets a channel to it here.
//!
//! `pool` finds or makes a connection (`connect`, `stream`, `auth`, `host_key`) from the settings that
//! `config` puts together, and `channel` runs one command on it.

mod algorithms;
mod auth;
mod channel;
mod config;
mod connect;
mod connection;
mod describe;
#[cfg(feature = "internals")]
pub(crate) mod fuzz;
mod handler;
mod host_key;
mod pool;
mod prompt;
mod stream;
mod timing;

pub use channel::{Reader, Writer};
pub use config::explain;
pub use config::settings::{ConfigSource, Override, SshTarget};
pub use config::target::target_of;
pub(crate) use config::target::{config_source, option_text, overrides};
pub use pool::Connector;
pub(crate) use prompt::askpass::prompter;
pub use prompt::terminal_prompter;

use std::sync::Arc;

use crate::error::ConnectError;
use crate::stub::Bootstrap;
use crate::transport::{HasEnded, OnRunning, Process, Started, TransportOptions};
use connection::Connection;

/// Starts `command` on `target` over a connection of `connector`. The server's answer to the command
/// is not waited for, so what is written next travels right behind it.
///
/// # Errors
/// The stage that failed, why, and what to do next.
pub async fn open(
    connector: &Connector,
    target: &SshTarget,
    command: &str,
    options: &TransportOptions,
) -> Result<Process, ConnectError> {
    let started = connector.start(target, command, None, options).await?;
    Ok(process(
        started.command.writer,
        started.command.reader,
        &started.connection,
    ))
}

/// Starts an interpreter by `bootstrap`, or takes over one that was started ahead of need in the same
/// words. What is returned has `ahead` of them started for the clients to come, when it is told to.
///
/// # Errors
/// The stage that failed, why, and what to do next.
pub async fn start_stub(
    connector: &Connector,
    target: &SshTarget,
    bootstrap: Bootstrap,
    ahead: usize,
    options: &TransportOptions,
) -> Result<Started, ConnectError> {
    let wanted = Some(bootstrap.wanted()).filter(|_| ahead > 0);
    let command = bootstrap.command();
    let pool::Started {
        command: running,
        connection,
        fresh,
    } = connector.start(target, command, wanted, options).await?;
    // It does not keep the connection. What fails is tried again when the next client has come.
    let (weak, wanted) = (Arc::downgrade(&connection), bootstrap.wanted().to_owned());
    let replenish = move || {
        if let Some(connection) = weak.upgrade() {
            connection.prepare(&wanted, ahead);
        }
    };
    let shared = Arc::clone(connection.shared());
    let shared_has_ended = (!fresh).then(|| Box::new(move || shared.ended().is_some()) as HasEnded);
    Ok(Started {
        process: process(running.writer, running.reader, &connection),
        stub_sent: running.bootstrap.is_some(),
        bootstrap: running.bootstrap.unwrap_or(bootstrap),
        shared_has_ended,
        on_running: (ahead > 0).then(|| Box::new(replenish) as OnRunning),
    })
}

fn process(writer: Writer, reader: Reader, connection: &Connection) -> Process {
    Process {
        writer: crate::transport::Writer::Ssh(writer),
        reader: crate::transport::Reader::Ssh(reader),
        peer: connection.peer().to_owned(),
    }
}
