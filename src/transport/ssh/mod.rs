//! SSH in process: whoever can type `ssh box` and get a prompt gets a channel to it here.
//!
//! `pool` finds or makes a connection (`connect`, `proxy`, `auth`, `host_key`) from the settings that
//! `config` puts together, and `channel` runs one command on it.

mod algorithms;
mod auth;
mod channel;
mod config;
mod connect;
mod connection;
mod from_spec;
mod handler;
mod host_key;
mod identity;
mod key_store;
mod known_hosts;
mod known_hosts_file;
mod pem;
mod pool;
mod prompt;
mod proxy;
mod settings;
mod stream;
mod timing;

pub use channel::{Reader, Writer};
pub use config::explain;
pub use from_spec::target_of;
pub use pool::Connector;
pub use prompt::terminal_prompter;
pub use settings::{ConfigSource, SshTarget};

use super::{Process, TransportOptions};
use crate::error::ConnectError;

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
    let (writer, reader, peer) = connector.start(target, command, options).await?;
    Ok(Process {
        writer: super::Writer::Ssh(writer),
        reader: super::Reader::Ssh(reader),
        peer,
    })
}
