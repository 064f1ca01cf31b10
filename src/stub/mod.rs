//! The stub that is embedded in this crate, and the remote command that starts it (spec/bootstrap.md).

/// A part of the stub as the build script made it from these files.
macro_rules! part {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".deflate"))
    };
}

#[cfg(test)]
mod assemble;
pub(crate) mod functions;
mod interpreter;
pub(crate) mod program;
#[cfg(test)]
mod strip;

use bytes::Bytes;
use include_dir::{Dir, include_dir};

use crate::error::{ConnectError, Error, Stage};
use crate::session::Parts;
use interpreter::Interpreter;

/// The first flight of a client for calls takes at most this many bytes: command line, first part, HELLO and a short call, or all that
/// `ping` sends before an answer has come (BS-7).
pub const BOOTSTRAP_LIMIT: usize = 9_000;

/// The words behind the script's `set --` where no interpreter is named: what is tried, best
/// first (BS-3). A loop counts the versions down, because every byte of the command counts.
const CANDIDATES: &str = r#"python3 python;for m in 15 14 13 12 11 10 9 8 7 6 5 4 3 2;do set -- "$@" python3.$m;done;set -- "$@" python2 python2.7 python2.6 /usr/libexec/platform-python"#;

static SOURCES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/bootstrap_py");

/// A file of `bootstrap_py` as its author wrote it, such as `shared/objects.py`.
pub fn file(path: &str) -> Option<&'static str> {
    SOURCES.get_file(path)?.contents_utf8()
}

/// The first part of the stub, which follows the command: raw deflate (BS-6).
pub fn first_part() -> Bytes {
    Bytes::from_static(part!("core"))
}

/// The payloads of the parts that are sent when they are needed (BS-9).
pub fn parts() -> Parts {
    Parts {
        requests: Bytes::from_static(part!("requests")),
        calls: Bytes::from_static(part!("calls")),
        control: Bytes::from_static(part!("control")),
        channels: Bytes::from_static(part!("channels")),
    }
}

/// The program `helpers/terminal.py`, for a command line: its name, NUL, its text, as raw deflate.
pub fn terminal() -> &'static [u8] {
    part!("terminal")
}

/// What the other side is to print as a sign, and nothing else prints: 16 hex digits.
///
/// # Errors
/// If the system has no randomness.
pub(crate) fn new_marker() -> Result<String, ConnectError> {
    let mut random = [0u8; 8];
    getrandom::fill(&mut random).map_err(|error| {
        ConnectError::new(
            "local",
            Stage::Configure,
            format!("the operating system provides no random numbers: {error}"),
        )
    })?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The halves of a marker, which a command line has apart, because it may be repeated where the marker is looked for.
pub(crate) fn halves(marker: &str) -> (&str, &str) {
    marker
        .split_at_checked(marker.len() / 2)
        .unwrap_or((marker, ""))
}

/// The script that finds an interpreter and runs the first stage in it, with a marker of its own.
#[derive(Debug, Clone)]
pub(crate) struct FirstStage {
    /// What `/bin/sh -c` runs.
    pub(crate) script: String,
    /// What stands in front of every sign of life.
    pub(crate) marker: String,
    /// The interpreter asked for; empty if any will do.
    pub(crate) wanted: String,
}

impl FirstStage {
    /// A first stage under the interpreter `rpython`, or the best one found, that goes on with the file `end` and reads `length` bytes
    /// first.
    ///
    /// # Errors
    /// If the interpreter's name holds what no shell passes on unchanged, or the system has no randomness.
    fn new(end: &str, length: usize, rpython: Option<&str>) -> Result<FirstStage, Error> {
        let marker = new_marker()?;
        let (first, second) = halves(&marker);
        let interpreter = match rpython {
            None => Interpreter {
                candidate: CANDIDATES.to_owned(),
                arguments: String::new(),
            },
            Some(named) => interpreter::read(named).map_err(Error::Convert)?,
        };
        let stage = ["stub/first_stage.py", end].map(|name| file(name).unwrap_or_default());
        let loader = join(&stage.concat(), "@").replace('"', "~");
        let script = join(file("stub/first_stage.sh").unwrap_or_default(), " ")
            .replace("; ", ";")
            .replace("%LOADER%", &loader)
            .replace("%MARKER_A%", first)
            .replace("%MARKER_B%", second)
            .replace("%CANDIDATES%", &interpreter.candidate)
            .replace("%ARGUMENTS%", &interpreter.arguments)
            .replace("%LENGTH%", &length.to_string());
        Ok(FirstStage {
            script,
            marker,
            wanted: rpython.unwrap_or_default().to_owned(),
        })
    }
}

/// One start of the stub: the remote command with its own marker.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    command: String,
    first_stage: FirstStage,
}

impl Bootstrap {
    /// A bootstrap under the interpreter `rpython`, or the best one found.
    ///
    /// # Errors
    /// If the interpreter's name holds what no shell passes on unchanged, or the system has no randomness.
    pub fn new(rpython: Option<&str>) -> Result<Bootstrap, Error> {
        let end = "stub/first_stage_stub.py";
        let first_stage = FirstStage::new(end, first_part().len(), rpython)?;
        Ok(Bootstrap {
            command: format!("exec /bin/sh -c '{}'", first_stage.script),
            first_stage,
        })
    }

    /// The command for the login shell.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// What `/bin/sh -c` runs.
    pub fn script(&self) -> &str {
        &self.first_stage.script
    }

    /// The same start by another command for the login shell, which runs the script behind something else.
    #[must_use]
    pub fn by(mut self, command: String) -> Bootstrap {
        self.command = command;
        self
    }

    /// What stands in front of every sign of life.
    pub fn marker(&self) -> &str {
        &self.first_stage.marker
    }

    /// The interpreter asked for; empty if any will do.
    pub fn wanted(&self) -> &str {
        &self.first_stage.wanted
    }
}

/// Joins the lines that are not comments.
fn join(text: &str, separator: &str) -> String {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflated(part: &[u8]) -> String {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::DeflateDecoder::new(part), &mut text)
            .unwrap();
        text
    }

    fn all_parts() -> Vec<(&'static str, Bytes)> {
        let Parts {
            requests,
            calls,
            control,
            channels,
        } = parts();
        vec![
            ("core", first_part()),
            ("requests", requests),
            ("calls", calls),
            ("control", control),
            ("channels", channels),
        ]
    }

    #[test]
    fn no_part_grows_unseen() {
        let most = [
            ("core", 7_175),
            ("requests", 4_160),
            ("calls", 16_780),
            ("control", 2_100),
            ("channels", 4_000),
        ];
        for ((name, part), (listed, limit)) in all_parts().into_iter().zip(most) {
            println!("{name}: {} bytes", part.len());
            assert_eq!(name, listed);
            assert!(part.len() <= limit, "{name}: {} bytes", part.len());
        }
        println!("probe: {} bytes", functions::PROBE.payload().len());
        // It is part of a command line.
        println!("terminal: {} bytes", terminal().len());
        assert!(terminal().len() <= 1_500, "{} bytes", terminal().len());
    }

    #[test]
    fn the_parts_are_those_of_the_page() {
        let page = include_str!("../../spec/bootstrap.md");
        let table = page.split_once("| part |").unwrap().1;
        let named: Vec<&str> = table
            .lines()
            .skip(2)
            .map_while(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        let listed: Vec<&str> = assemble::parts().map(|(name, _)| name).collect();
        assert_eq!(named, listed);
        assert_eq!(
            listed,
            all_parts()
                .iter()
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn the_interpreters_are_tried_in_the_order_of_the_page() {
        let page = include_str!("../../spec/bootstrap.md");
        assert!(page.contains(&format!("| BOOTSTRAP_LIMIT | {BOOTSTRAP_LIMIT} |")));
        let listed = page
            .split_once("in this order: ")
            .and_then(|(_, rest)| rest.split_once(", and runs"))
            .map(|(listed, _)| listed.split(", "))
            .expect("the sentence of BS-3");
        let newest_first = |range: &str| -> Vec<String> {
            let ends: Vec<u32> = range
                .split(" down to ")
                .filter_map(|name| name.strip_prefix("python3.")?.parse().ok())
                .collect();
            match ends[..] {
                [newest, oldest] => (oldest..=newest)
                    .rev()
                    .map(|minor| format!("python3.{minor}"))
                    .collect(),
                _ => vec![range.to_owned()],
            }
        };
        let listed: Vec<String> = listed.flat_map(newest_first).collect();
        let tried = std::process::Command::new("/bin/sh")
            .arg("-c")
            .arg(format!("set -- {CANDIDATES};echo \"$*\""))
            .output()
            .unwrap();
        let tried = String::from_utf8(tried.stdout).unwrap();
        let tried: Vec<&str> = tried.split_whitespace().collect();
        assert_eq!(tried, listed);
    }

    #[test]
    fn the_build_script_compressed_these_files() {
        let read = |name: &str| {
            let found = ["stub/", "shared/", ""].map(|folder| file(&format!("{folder}{name}")));
            found.into_iter().flatten().next().unwrap()
        };
        for ((name, part), (listed, files)) in all_parts().into_iter().zip(assemble::parts()) {
            assert_eq!(name, listed);
            assert_eq!(inflated(&part), assemble::assemble(&files, read));
        }
        let probe = inflated(&functions::PROBE.payload());
        assert!(probe.starts_with("helpers/probe.py\0") && probe.contains("def describe_machine"));
    }

    #[test]
    fn the_command_passes_every_shell() {
        let bootstrap = Bootstrap::new(None).unwrap();
        let inner = bootstrap
            .command()
            .strip_prefix("exec /bin/sh -c '")
            .unwrap()
            .strip_suffix('\'')
            .unwrap();
        assert!(!inner.contains(['\'', '\\', '!', '\n']), "{inner}");
        assert!(!bootstrap.command().contains(bootstrap.marker()));
    }
}
