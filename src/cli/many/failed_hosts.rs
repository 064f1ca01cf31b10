//! The file of hosts that did not end well, by which a command is tried again on those: `--failed-to` and `--retry-from`.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::cli::terminal::failure::Failure;
use crate::cli::terminal::hosts::Target;
use crate::inventory::without_mark;

/// A file that is written as a whole at the end of a command, and is there or can be made at its start.
pub(super) struct FileAtEnd {
    path: PathBuf,
    /// The new content, until it takes the place of the old. None for what is no regular file, such as a pipe.
    new: Option<tempfile::NamedTempFile>,
}

impl FileAtEnd {
    /// Checks that the file can be written.
    ///
    /// # Errors
    ///
    /// Where it cannot, so that this is known before anything runs.
    pub(super) fn prepare(option: &str, path: &Path) -> Result<FileAtEnd, Failure> {
        let fails = |error: std::io::Error| {
            Failure::usage(format!("cannot write {}: {error}", path.display()))
                .with_hint(format!("{option} takes a file in a folder that exists"))
        };
        let special = match path.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                return Err(fails(std::io::ErrorKind::IsADirectory.into()));
            }
            Ok(metadata) => !metadata.is_file(),
            Err(_) => false,
        };
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let new = if special {
            None
        } else {
            let mut builder = tempfile::Builder::new();
            builder.prefix(".easycluster-");
            // As any new file has it, so that a later step of a job may read it as another user.
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
            folder.metadata().map_err(fails)?;
            let new = builder.tempfile_in(folder);
            // Its text would name the new file, which nobody has asked for.
            Some(new.map_err(|error| fails(error.kind().into()))?)
        };
        Ok(FileAtEnd {
            path: path.to_owned(),
            new,
        })
    }

    /// Writes the content.
    ///
    /// # Errors
    ///
    /// As writing says it, with the file's name.
    pub(super) fn write(self, content: &[u8]) -> std::io::Result<()> {
        let written = match self.new {
            None => std::fs::write(&self.path, content),
            Some(mut new) => new
                .write_all(content)
                .and_then(|()| new.persist(&self.path).map_err(|failed| failed.error))
                .map(drop),
        };
        written.map_err(|error| {
            std::io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        })
    }
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
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("cannot read {}: {error}", path.display()))
            .with_hint("--retry-from takes a file that --failed-to has written")
    })?;
    let wanted: HashSet<&str> = without_mark(&text)
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let known: HashSet<&str> = targets.iter().map(|target| target.label.as_str()).collect();
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
