//! Functions of this program's own that a client sends when it first needs them: which files go together, and what they are for.

use bytes::Bytes;

/// Files of `bootstrap_py/helpers`, which are one part. It is sent once a connection, and requests behind it may call its functions
/// (BS-9).
#[derive(Debug)]
pub(crate) struct Helper {
    pub(crate) name: &'static str,
    payload: &'static [u8],
}

impl Helper {
    /// The payload of PART.
    pub(crate) fn payload(&self) -> Bytes {
        Bytes::from_static(self.payload)
    }
}

/// The part that the build script made under a name.
macro_rules! helper {
    ($name:literal) => {
        Helper {
            name: $name,
            payload: part!($name),
        }
    };
}

/// `helpers/asks`, by which the other side calls functions of this one, and `helpers/forward`, which imports modules so.
pub(crate) static ASKS: Helper = helper!("asks");

/// `helpers/commands`, which runs shell commands.
pub(crate) static COMMANDS: Helper = helper!("commands");

/// `helpers/environments`, which keeps folders of packages.
#[cfg(any(feature = "python", all(unix, feature = "cli")))]
pub(crate) static ENVIRONMENTS: Helper = helper!("environments");

/// `helpers/files` and `helpers/files_arriving`, which copy files.
pub(crate) static FILES: Helper = helper!("files");

/// `helpers/map_items`, which runs batches of a map, and `helpers/values`, which keeps what was sent ahead.
pub(crate) static MAP_ITEMS: Helper = helper!("map_items");

/// `helpers/probe.describe_machine`, which tells about the machine that it runs on.
pub(crate) static PROBE: Helper = helper!("probe");

/// `helpers/reports`, which tells what remote code logs and how far it is.
#[cfg(feature = "python")]
pub(crate) static REPORTS: Helper = helper!("reports");

/// `helpers/run_program.run_program`, which runs a program as `python FILE` would.
#[cfg(any(feature = "python", feature = "cli"))]
pub(crate) static RUN_PROGRAM: Helper = helper!("run_program");

/// `helpers/streams.pour`, which sends the items of a generator through a channel.
pub(crate) static STREAMS: Helper = helper!("streams");

/// `helpers/workers`, which runs processes of other libraries.
#[cfg(feature = "python")]
pub(crate) static WORKERS: Helper = helper!("workers");
