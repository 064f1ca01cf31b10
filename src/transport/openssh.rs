//! The user's own `ssh` program, for what the native transport lacks (`ssh=/path/to/ssh` in a spec).

use std::path::PathBuf;

use crate::error::{ConnectError, Stage};
use crate::process::{self, ErrorOutput, Group};
use crate::spec::{ConfigChoice, ConnectionSpec, HostKeyPolicy, expand_home};
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
    /// Arguments of the user's own, put before the host.
    pub extra: Vec<String>,
}

/// The target of a spec whose transport is an ssh program: its fields as arguments, `extra` before them.
///
/// # Errors
/// None today; the signature is that of the native transport.
pub fn target_of(spec: &ConnectionSpec, program: PathBuf) -> Result<OpenSshTarget, ConnectError> {
    let mut extra = spec.extra.clone();
    let mut option = |text: String| extra.extend(["-o".to_owned(), text]);
    if let Some(path) = &spec.identity {
        let path = expand_home(path);
        option(format!("IdentityFile=\"{}\"", path.display()));
        option("IdentitiesOnly=yes".to_owned());
    }
    if let Some(path) = &spec.known_hosts {
        let path = expand_home(path);
        option(format!("UserKnownHostsFile=\"{}\"", path.display()));
        option("GlobalKnownHostsFile=none".to_owned());
    }
    match spec.hostkey {
        None => {}
        Some(HostKeyPolicy::Ask) => option("StrictHostKeyChecking=ask".to_owned()),
        Some(HostKeyPolicy::Refuse) => option("StrictHostKeyChecking=yes".to_owned()),
        Some(HostKeyPolicy::AcceptNew) => option("StrictHostKeyChecking=accept-new".to_owned()),
        Some(HostKeyPolicy::Off) => {
            option("StrictHostKeyChecking=no".to_owned());
            option("UserKnownHostsFile=/dev/null".to_owned());
            option("GlobalKnownHostsFile=/dev/null".to_owned());
        }
    }
    if let Some(batch) = spec.batch {
        option(format!("BatchMode={}", if batch { "yes" } else { "no" }));
    }
    if let Some(jump) = &spec.jump {
        let hops: Vec<String> = jump.iter().map(ToString::to_string).collect();
        let hops = if hops.is_empty() {
            "none".to_owned()
        } else {
            hops.join(",")
        };
        option(format!("ProxyJump={hops}"));
    }
    match &spec.config {
        None => {}
        Some(ConfigChoice::None) => extra.extend(["-F".to_owned(), "none".to_owned()]),
        Some(ConfigChoice::File(path)) => {
            extra.extend(["-F".to_owned(), expand_home(path).display().to_string()]);
        }
    }
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
    // Where somebody may be asked, it asks them itself.
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
            .with_hint("name the ssh program by its full path in the spec, or take ssh=yes for the native transport")
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
