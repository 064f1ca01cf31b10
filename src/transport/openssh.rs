//! The user's own `ssh` program, for what the native transport lacks (`ssh=/path/to/ssh` in a spec).

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::{ConnectError, Stage};
use crate::process::{self, ErrorOutput, Group};
use crate::spec::{ConnectionSpec, expand_home};
use crate::transport::ssh::{ConfigSource, config_source, option_text, overrides};
use crate::transport::{Process, TransportOptions};

/// Which program to run, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenSshTarget {
    /// The program; found by `PATH` if it has no slash.
    pub program: PathBuf,
    /// Host name or alias.
    pub host: String,
    /// Port, if the user named one.
    pub port: Option<u16>,
    /// Login name, if the user named one.
    pub user: Option<String>,
    /// Further arguments, put before the host.
    pub extra: Vec<OsString>,
}

/// The target of a spec whose transport is an ssh program: its options as arguments, and `extra` behind them.
///
/// # Errors
/// At stage configure, where no argument makes the program do what the spec says.
pub fn target_of(spec: &ConnectionSpec, program: PathBuf) -> Result<OpenSshTarget, ConnectError> {
    let mut extra = Vec::new();
    match config_source(spec) {
        ConfigSource::Standard => {}
        ConfigSource::None => extra.extend(["-F".into(), "none".into()]),
        ConfigSource::File(path) => extra.extend(["-F".into(), path.into_os_string()]),
    }
    for option in overrides(spec) {
        let text = option_text(&option).map_err(|reason| {
            ConnectError::new(spec.label(), Stage::Configure, reason)
                .with_hint("use ssh=yes, the native transport")
        })?;
        extra.extend(["-o".into(), text]);
    }
    extra.extend(spec.extra.iter().map(OsString::from));
    Ok(OpenSshTarget {
        program: expand_home(&program),
        host: spec.host.to_plain(),
        port: spec.port,
        user: spec.user.clone(),
        extra,
    })
}

/// Runs `command` on the target by the `ssh` program.
pub async fn open(
    target: &OpenSshTarget,
    command: &str,
    options: &TransportOptions,
) -> Result<Process, ConnectError> {
    let since = std::time::Instant::now();
    let fail = |message: String| ConnectError::new(&target.host, Stage::Connect, message);
    // A host that begins with a dash would be read as an option.
    if target.host.starts_with('-')
        || target
            .user
            .as_ref()
            .is_some_and(|user| user.starts_with('-'))
    {
        return Err(fail("host and user must not begin with a dash".to_owned()));
    }
    // Where there is a terminal to ask on, it asks there itself.
    let (mut ssh, group) = match process::find_program(&target.program) {
        Some(program) if cfg!(unix) && options.prompter.is_some() => {
            (process::ignoring_interrupts(program), Group::Shared)
        }
        // Starting it says what is wrong with it.
        _ => (process::program(&target.program), Group::Own),
    };
    // No terminal on the other side, no escape characters in the stream, nothing of the user's forwardings.
    ssh.args(["-T", "-e", "none", "-o", "ClearAllForwardings=yes"]);
    if options.prompter.is_none() {
        ssh.args(["-o", "BatchMode=yes"]);
    }
    if let Some(user) = &target.user {
        ssh.arg("-l").arg(user);
    }
    if let Some(port) = target.port {
        ssh.arg("-p").arg(port.to_string());
    }
    ssh.args(&target.extra)
        .arg("--")
        .arg(&target.host)
        .arg(command);
    let spawned = process::spawn(ssh, group, ErrorOutput::Piped).map_err(|error| {
        fail(format!("{}: {error}", target.program.display()))
            .with_hint("name the ssh program by its full path in the spec, or use ssh=yes for the native transport")
    })?;
    let (writer, reader) = spawned.into_halves();
    options.reached(
        Stage::Connect,
        since.elapsed(),
        format!("started {}", target.program.display()),
    );
    Ok(Process {
        writer: crate::transport::Writer::Child(writer),
        reader: crate::transport::Reader::Child(reader),
        peer: target.host.clone(),
    })
}
