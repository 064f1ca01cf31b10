//! The stub that this crate carries inside itself, and the remote command that starts it (spec/bootstrap.md).

mod assemble;
mod interpreter;
mod shorten;
mod strip;

use bytes::Bytes;
use include_dir::{Dir, include_dir};

use crate::error::{ConnectError, Error, Stage};
use interpreter::Interpreter;

/// Command line and stub together take at most this many bytes, so that they fit into the
/// first flight of a new TCP connection (BS-7).
pub const BOOTSTRAP_LIMIT: usize = 14_000;

/// The words behind the script's `set --` where no interpreter is named: what is tried, best
/// first (BS-3). A loop counts the versions down, because every byte of the command counts.
const CANDIDATES: &str = r#"python3 python;for m in 14 13 12 11 10 9 8 7 6 5 4 3 2;do set -- "$@" python3.$m;done;set -- "$@" python2 python2.7 python2.6 /usr/libexec/platform-python"#;

static SOURCES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/bootstrap_py");
/// Made by the build script from the same files.
static STUB: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stub.deflate"));

/// A file of `bootstrap_py` as its author wrote it, such as `shared/objects.py`.
pub fn file(path: &str) -> Option<&'static str> {
    SOURCES.get_file(path)?.contents_utf8()
}

/// The stub's text as the first stage inflates it: its first file, then a NUL, a name, a NUL and a text
/// for each other.
pub fn stub_text() -> String {
    assemble::assemble(
        ["stub", "shared"]
            .into_iter()
            .filter_map(|folder| SOURCES.get_dir(folder))
            .flat_map(Dir::files)
            .filter_map(|file| Some((file.path().to_str()?, file.contents_utf8()?))),
    )
}

/// The stub on the wire: raw deflate (BS-6).
pub fn stub() -> Bytes {
    Bytes::from_static(STUB)
}

/// One start of the stub: the remote command with its own marker.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    command: String,
    marker: String,
    wanted: String,
}

impl Bootstrap {
    /// A bootstrap under the interpreter `rpython`, or the best one found.
    ///
    /// # Errors
    /// If the interpreter's name holds what no shell passes on unchanged, or the system has no randomness.
    pub fn new(rpython: Option<&str>) -> Result<Bootstrap, Error> {
        let mut random = [0u8; 8];
        getrandom::fill(&mut random).map_err(|error| {
            ConnectError::new(
                "local",
                Stage::Configure,
                format!("the system gives no random numbers: {error}"),
            )
        })?;
        let marker: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let (first, second) = marker.split_at(marker.len() / 2);
        let interpreter = match rpython {
            None => Interpreter {
                candidate: CANDIDATES.to_owned(),
                arguments: String::new(),
            },
            Some(named) => interpreter::read(named).map_err(Error::Convert)?,
        };
        let loader = join(file("stub/first_stage.py").unwrap_or_default(), "@").replace('"', "~");
        let script = join(file("stub/first_stage.sh").unwrap_or_default(), " ")
            .replace("; ", ";")
            .replace("%LOADER%", &loader)
            .replace("%MARKER_A%", first)
            .replace("%MARKER_B%", second)
            .replace("%CANDIDATES%", &interpreter.candidate)
            .replace("%ARGUMENTS%", &interpreter.arguments)
            .replace("%LENGTH%", &stub().len().to_string());
        Ok(Bootstrap {
            command: format!("exec /bin/sh -c '{script}'"),
            marker,
            wanted: rpython.unwrap_or_default().to_owned(),
        })
    }

    /// The command for the login shell.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// What stands in front of every sign of life.
    pub fn marker(&self) -> &str {
        &self.marker
    }

    /// The interpreter asked for; empty if any will do.
    pub fn wanted(&self) -> &str {
        &self.wanted
    }

    /// What follows the command on standard input.
    pub fn stub(&self) -> Bytes {
        stub()
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

    #[test]
    fn command_and_stub_fit_the_first_flight() {
        let bootstrap = Bootstrap::new(None).unwrap();
        let size = bootstrap.command().len() + bootstrap.stub().len();
        println!(
            "command {} + stub {} = {size} bytes",
            bootstrap.command().len(),
            bootstrap.stub().len()
        );
        assert!(size <= BOOTSTRAP_LIMIT, "{size} bytes");
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
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::DeflateDecoder::new(STUB), &mut text)
            .unwrap();
        assert_eq!(text, stub_text());
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
