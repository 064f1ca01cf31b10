//! SSH in process: a channel to every host that `ssh HOST` reaches.
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

#[cfg(feature = "cli")]
pub(crate) use auth::MAX_KEY_FILE;
pub use channel::{Reader, Writer};
pub use config::explain;
pub use config::settings::{ConfigSource, Override, SshTarget};
pub use config::target::target_of;
pub(crate) use config::target::{config_source, option_text, overrides};
pub(crate) use config::{check_keyword, check_option};
pub use pool::Connector;
pub(crate) use prompt::askpass::prompter;
pub use prompt::terminal_prompter;

use std::sync::Arc;

use crate::error::ConnectError;
use crate::spec::Step;
use crate::stub::Bootstrap;
use crate::transport::steps::may_ask;
use crate::transport::{HasEnded, OnRunning, Process, Started, TransportOptions};
use channel::standby::Wanted;
use connection::Connection;

/// Starts `command` on `target` over a connection of `connector`, and keeps a channel open for the next client. The server's answer
/// to the command is not waited for, so what is written next travels right behind it.
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
    started.connection.keep_spare();
    Ok(process_of(started))
}

/// The same, and opens nothing ahead of need: for a command by itself, behind which no client is expected.
///
/// # Errors
/// As [`open`].
pub async fn open_alone(
    connector: &Connector,
    target: &SshTarget,
    command: &str,
    options: &TransportOptions,
) -> Result<Process, ConnectError> {
    Ok(process_of(
        connector.start(target, command, None, options).await?,
    ))
}

fn process_of(started: pool::Started) -> Process {
    process(
        started.command.writer,
        started.command.reader,
        &started.connection,
    )
}

/// Starts an interpreter by `bootstrap`, or takes over one that was started ahead of need in the same
/// words. What is returned has `ahead` of them started for the clients to come, when it is told to; none where one of `steps`,
/// which `bootstrap` goes through, may ask for something.
///
/// # Errors
/// The stage that failed, why, and what to do next.
pub async fn start_stub(
    connector: &Connector,
    target: &SshTarget,
    bootstrap: Bootstrap,
    steps: &[Step],
    ahead: usize,
    options: &TransportOptions,
) -> Result<Started, ConnectError> {
    let ahead = if may_ask(steps) { 0 } else { ahead };
    let wanted = (ahead > 0).then(|| Wanted {
        interpreter: bootstrap.wanted().to_owned(),
        steps: steps.to_vec(),
    });
    let command = bootstrap.command();
    let pool::Started {
        command: running,
        connection,
        fresh,
    } = connector
        .start(target, command, wanted.as_ref(), options)
        .await?;
    // Behind the command. One that was started ahead has asked for it already.
    if running.bootstrap.is_none() {
        connection.keep_spare();
    }
    // It does not keep the connection. What fails is tried again when the next client has come.
    let weak = Arc::downgrade(&connection);
    let replenish = wanted.map(|wanted| {
        Box::new(move || {
            if let Some(connection) = weak.upgrade() {
                connection.prepare(&wanted, ahead);
            }
        }) as OnRunning
    });
    let shared = Arc::clone(connection.shared());
    let shared_has_ended = (!fresh).then(|| Box::new(move || shared.ended().is_some()) as HasEnded);
    Ok(Started {
        process: process(running.writer, running.reader, &connection),
        stub_sent: running.bootstrap.is_some(),
        bootstrap: running.bootstrap.unwrap_or(bootstrap),
        shared_has_ended,
        steps: steps.to_vec(),
        first: Vec::new(),
        on_running: replenish,
    })
}

fn process(writer: Writer, reader: Reader, connection: &Connection) -> Process {
    Process {
        writer: crate::transport::Writer::Ssh(writer),
        reader: crate::transport::Reader::Ssh(reader),
        peer: connection.peer().to_owned(),
    }
}
