//! The file of hosts that did not end well, by which a command is tried again on those: `--failed-to` and `--retry-from`.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::cli::terminal::failure::Failure;
use crate::cli::terminal::hosts::Target;
use crate::inventory::{text_within, without_mark};

/// A file that is written as a whole at the end of a command, and is there or can be made at its start.
pub(super) struct FileAtEnd {
    path: PathBuf,
    place: Place,
}

/// Where the content goes.
enum Place {
    /// Into a new file, which takes the place of the old one; where links lead there, they stay.
    File(Box<tempfile::NamedTempFile>, PathBuf),
    /// Behind what we have printed: it is our own stdout or stderr, also where that is a file.
    Output(File),
    /// Into what is no regular file, such as a pipe.
    Special,
}

impl FileAtEnd {
    /// Checks that the file can be written.
    ///
    /// # Errors
    ///
    /// Where it cannot, so that this is known before anything runs.
    pub(super) fn prepare(option: &str, path: &Path) -> Result<FileAtEnd, Failure> {
        // As elsewhere; nobody wants a file of that name.
        let path = if cfg!(unix) && path == Path::new("-") {
            Path::new("/dev/stdout")
        } else {
            path
        };
        let place = Place::of(path).map_err(|error| {
            Failure::usage(format!("cannot write {}: {error}", path.display()))
                .with_hint(format!("{option} takes a file in a folder that exists"))
        })?;
        Ok(FileAtEnd {
            path: path.to_owned(),
            place,
        })
    }

    /// Writes the content.
    ///
    /// # Errors
    ///
    /// As writing says it, with the file's name.
    pub(super) fn write(self, content: &[u8]) -> std::io::Result<()> {
        let written = match self.place {
            Place::Special => std::fs::write(&self.path, content),
            Place::Output(mut output) => output.write_all(content),
            // By the file itself, whose errors do not name the new one, which nobody has asked for.
            Place::File(mut new, real) => new
                .as_file_mut()
                .write_all(content)
                .and_then(|()| new.persist(real).map_err(|failed| failed.error))
                .map(drop),
        };
        written.map_err(|error| {
            std::io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        })
    }
}

impl Place {
    fn of(path: &Path) -> std::io::Result<Place> {
        if let Some(output) = crate::descriptors::standard_output_at(path) {
            return Ok(Place::Output(output));
        }
        let is_link = path.symlink_metadata().is_ok_and(|it| it.is_symlink());
        if is_link && !path.exists() {
            // What it leads to is made, as by everything that writes to it.
            File::options().append(true).create(true).open(path)?;
        }
        let (real, permissions) = match path.metadata() {
            Ok(there) if there.is_dir() => return Err(std::io::ErrorKind::IsADirectory.into()),
            Ok(there) if there.is_file() => match path.canonicalize() {
                Ok(real) => (real, Some(there.permissions())),
                // It has no name any more, and is open as a descriptor.
                Err(_) => return Ok(Place::Special),
            },
            Ok(_) => return Ok(Place::Special),
            Err(_) => (path.to_owned(), None),
        };
        let folder = match real.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".easycluster-");
        // As any new file has it, so that a later step of a job may read it as another user.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        folder.metadata()?;
        // Its text would name the new file.
        let new = builder
            .tempfile_in(folder)
            .map_err(|error| std::io::Error::from(error.kind()))?;
        if let Some(permissions) = permissions {
            // One that others must not read stays so.
            new.as_file().set_permissions(permissions)?;
        }
        Ok(Place::File(Box::new(new), real))
    }
}

/// Refuses to write a file over one that the hosts were `read` from, or two over each other.
///
/// # Errors
///
/// With the file's name.
pub(super) fn check_apart<'a>(
    written: &[(&str, &Path)],
    read: impl Iterator<Item = &'a PathBuf>,
) -> Result<(), Failure> {
    let hint = "give it a file of its own";
    for path in read.filter(|path| path.as_path() != Path::new("-")) {
        if let Some((option, _)) = written.iter().find(|(_, other)| is_same(path, other)) {
            return Err(Failure::usage(format!(
                "{option} would write over {}, which names the hosts",
                path.display()
            ))
            .with_hint(hint));
        }
    }
    match written {
        [(one, path), (other, same)] if is_same(path, same) => Err(Failure::usage(format!(
            "{one} and {other} would both write {}",
            path.display()
        ))
        .with_hint(hint)),
        _ => Ok(()),
    }
}

/// Whether both are one regular file, or will be.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| {
        let real = path.canonicalize();
        real.or_else(|_| std::path::absolute(path)).ok()
    };
    let is_special = one.exists() && !one.is_file();
    !is_special && real(one) == real(other)
}

/// The file's content: a name a line.
pub(super) fn content<'a>(labels: impl Iterator<Item = &'a str>) -> String {
    labels.map(|label| format!("{label}\n")).collect()
}

/// Those targets that the file names, in the order of the targets.
///
/// # Errors
///
/// Where the file cannot be read, or names a host that is not among the targets.
pub(super) fn only_those_of(path: &Path, targets: Vec<Target>) -> Result<Vec<Target>, Failure> {
    let text = std::fs::File::open(path).and_then(text_within);
    let text = text.map_err(|error| {
        Failure::usage(format!("cannot read {}: {error}", path.display()))
            .with_hint("--retry-from takes a file that --failed-to has written")
    })?;
    let known: HashSet<&str> = targets.iter().map(|target| target.label.as_str()).collect();
    // A comment may have been added by hand; a host may be called so that it looks like one.
    let wanted: HashSet<&str> = without_mark(&text)
        .lines()
        .map(|line| {
            if known.contains(line) {
                line
            } else {
                line.trim()
            }
        })
        .filter(|line| known.contains(line) || !(line.is_empty() || line.starts_with('#')))
        .collect();
    // The first of them by name, so that the same file gives the same error.
    if let Some(name) = wanted.difference(&known).min() {
        return Err(Failure::usage(format!(
            "{}: {name} is not among the hosts of this command",
            path.display()
        ))
        .with_hint("name the same hosts as in the run that wrote the file"));
    }
    Ok(targets
        .into_iter()
        .filter(|target| wanted.contains(target.label.as_str()))
        .collect())
}
