//! `--out DIR`: what each host prints, in files of its own.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::cli::terminal::failure::Failure;
use crate::cli::terminal::lines::Stream;
use crate::cli::terminal::printer::{Report, View};
use crate::files::folder::Folder;
use crate::files::of_host::of_host;

/// The most files that are open at a time, so that connections find file descriptors too.
const MOST_OPEN: usize = 64;

/// Writes the bytes of each host to `HOST.stdout` and `HOST.stderr`.
pub(super) struct OutFiles {
    folder: Folder,
    names: Vec<String>,
    open: HashMap<(usize, Stream), File>,
    /// Those that have been opened before, which are not emptied again.
    begun: HashSet<(usize, Stream)>,
}

impl OutFiles {
    /// Makes the folder where there is none.
    ///
    /// # Errors
    ///
    /// Where that cannot be done, or nothing can be made in it.
    pub(super) fn prepare(path: &Path, labels: &[String]) -> Result<OutFiles, Failure> {
        let folder = std::fs::create_dir_all(path)
            .and_then(|()| Folder::open(path))
            .and_then(|folder| {
                // That files can be made there is known before anything runs. The error's own text would name this one.
                let made = tempfile::tempfile_in(path).map(|_| folder);
                made.map_err(|error| error.kind().into())
            })
            .map_err(|error| {
                Failure::usage(format!("cannot write to {}: {error}", path.display()))
                    .with_hint("--out takes a folder that files can be made in, which is made itself where there is none")
            })?;
        Ok(OutFiles {
            folder,
            names: labels.iter().map(|label| of_host(label)).collect(),
            open: HashMap::new(),
            begun: HashSet::new(),
        })
    }

    fn name(&self, host: usize, stream: Stream) -> String {
        format!("{}.{}", self.names[host], stream.name())
    }

    fn file(&mut self, host: usize, stream: Stream) -> io::Result<&mut File> {
        let key = (host, stream);
        if !self.open.contains_key(&key) {
            if self.open.len() >= MOST_OPEN {
                self.open.clear();
            }
            let name = self.name(host, stream);
            let first = self.begun.insert(key);
            let made = self.folder.create(&name, first).or_else(|error| {
                // Those of other hosts may be what there are too many of; they are opened again when they are wanted.
                if self.open.is_empty() {
                    return Err(error);
                }
                self.open.clear();
                self.folder.create(&name, first)
            });
            let made = made.map_err(|error| named(&error, &self.folder.path.join(&name)))?;
            self.open.insert(key, made);
        }
        self.open
            .get_mut(&key)
            .ok_or(io::ErrorKind::NotFound.into())
    }
}

impl View for OutFiles {
    fn output(&mut self, host: usize, stream: Stream, data: &[u8]) -> io::Result<()> {
        let name = self.name(host, stream);
        self.file(host, stream)?
            .write_all(data)
            .map_err(|error| named(&error, &self.folder.path.join(name)))
    }

    fn end(&mut self, host: usize, report: &Report) -> io::Result<()> {
        // A host that was begun has both, so that an empty one says that nothing was printed.
        if report.status != "skipped" {
            for line in &report.stack {
                self.output(host, Stream::Stderr, line.as_bytes())?;
            }
            if let Some((error, _)) = &report.error {
                let line = format!("easycluster: {error}\n");
                self.output(host, Stream::Stderr, line.as_bytes())?;
            }
            self.file(host, Stream::Stdout)?;
            self.file(host, Stream::Stderr)?;
        }
        self.open.retain(|(other, _), _| *other != host);
        Ok(())
    }
}

fn named(error: &io::Error, path: &Path) -> io::Error {
    let mut text = format!("{}: {error}", path.display());
    if error.kind() == io::ErrorKind::QuotaExceeded || error.kind() == io::ErrorKind::StorageFull {
        text.push_str("; give --out another folder");
    }
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use super::of_host;

    #[test]
    fn more_files_than_may_be_open_are_written_whole() {
        use super::{MOST_OPEN, OutFiles, Stream, View};
        let folder = tempfile::tempdir().expect("folder");
        let count = 2 * MOST_OPEN;
        let labels: Vec<String> = (0..count).map(|n| n.to_string()).collect();
        std::fs::write(folder.path().join("0.stdout"), "old").expect("written");
        let mut files = OutFiles::prepare(folder.path(), &labels).expect("prepared");
        for part in ["one ", "two"] {
            for host in 0..count {
                let written = files.output(host, Stream::Stdout, part.as_bytes());
                written.expect("written");
                assert!(files.open.len() <= MOST_OPEN);
            }
        }
        for label in labels {
            let text = std::fs::read_to_string(folder.path().join(format!("{label}.stdout")));
            assert_eq!(text.expect("there"), "one two", "{label}");
        }
    }

    #[test]
    fn names_of_files_lead_nowhere_else_and_differ() {
        for (label, name) in [
            ("web1", "web1"),
            ("me@web1:22", "me@web1%3a22"),
            ("../../etc/passwd", "%2e.%2f..%2fetc%2fpasswd"),
            (".", "%2e"),
            ("web#2", "web%232"),
            ("50%", "50%25"),
            ("\u{fc}", "%c3%bc"),
        ] {
            assert_eq!(of_host(label), name);
        }
        let long = |end: &str| of_host(&format!("{}{end}", "x/".repeat(200)));
        assert!(long("a").len() <= 200);
        assert_ne!(long("a"), long("b"));
    }
}
