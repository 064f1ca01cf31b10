//! The `:local` transport: the remote command as a child process on this machine.

use tokio::process::Command;

use crate::error::{ConnectError, Stage};
use crate::process;
use crate::transport::{Process, Reader, TransportOptions, Writer};

/// Starts the command under `/bin/sh`, as a login shell would.
///
/// # Errors
/// At stage channel, if there is no shell or no process can be started.
pub async fn open(command: &str, options: &TransportOptions) -> Result<Process, ConnectError> {
    let started = std::time::Instant::now();
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command);
    // As on another machine: commands start in the home directory, not wherever this program runs.
    if let Some(home) = std::env::home_dir().filter(|home| home.is_dir()) {
        shell.current_dir(home);
    }
    let (writer, reader) = process::spawn(shell, process::Group::Own).map_err(|error| {
        ConnectError::new(
            "local",
            Stage::Channel,
            format!("/bin/sh cannot be started: {error}"),
        )
    })?;
    options.reached(Stage::Channel, started.elapsed(), "child process");
    Ok(Process {
        writer: Writer::Child(writer),
        reader: Reader::Child(reader),
        peer: "local".to_owned(),
    })
}
