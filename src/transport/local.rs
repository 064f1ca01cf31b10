//! The `:local` transport: the remote command as a child process on this machine.

use crate::error::{ConnectError, Stage};
use crate::process::{self, ErrorOutput, Group};
use crate::transport::{Process, Reader, TransportOptions, Writer};

/// Starts the command under `/bin/sh`, as a login shell would.
///
/// # Errors
/// At stage channel, if there is no shell or no process can be started.
pub async fn open(command: &str, options: &TransportOptions) -> Result<Process, ConnectError> {
    let started = std::time::Instant::now();
    process::has_shell().map_err(|reason| {
        ConnectError::new("local", Stage::Channel, reason.to_owned()).with_hint(
            "name a host that is reached by SSH; :local works on Unix systems and within WSL",
        )
    })?;
    let mut shell = process::shell(command);
    // As on another machine: commands start in the home directory, not wherever this program runs.
    if let Some(home) = std::env::home_dir().filter(|home| home.is_dir()) {
        shell.current_dir(home);
    }
    let spawned = process::spawn(shell, Group::Own, ErrorOutput::Piped).map_err(|error| {
        ConnectError::new(
            "local",
            Stage::Channel,
            format!("/bin/sh cannot be started: {error}"),
        )
    })?;
    let (writer, reader) = spawned.into_halves();
    options.reached(Stage::Channel, started.elapsed(), "child process");
    Ok(Process {
        writer: Writer::Child(writer),
        reader: Reader::Child(reader),
        peer: "local".to_owned(),
    })
}
