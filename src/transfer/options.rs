//! What a copy is to do, and what came of it.

use std::fmt;
use std::sync::Arc;

pub use crate::files::tree::Links;

/// Which files are not sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Skip {
    /// Those whose size and time are the same.
    #[default]
    Same,
    /// Those whose size and content are the same, by SHA-256.
    Content,
    /// None.
    Never,
}

/// Which permissions files and folders get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Modes {
    /// Those that they have, without set-user-ID, set-group-ID and the sticky bit.
    #[default]
    Permissions,
    /// Those that they have, with those bits. What comes from a server never has them.
    All,
    /// Files these; folders the same, and whoever may read one may enter it.
    Set(u32),
}

/// Told of how far a copy is.
pub type ProgressSink = Arc<dyn Fn(&Progress) + Send + Sync>;

/// How far a copy is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The host.
    pub host: String,
    /// Files that are there, of those that are to be copied.
    pub files: u64,
    /// Files that are to be copied.
    pub all_files: u64,
    /// Bytes of content that are there.
    pub bytes: u64,
    /// Bytes of content that are to be copied.
    pub all_bytes: u64,
}

/// How to copy files.
///
/// ```
/// use easycluster::CopyOptions;
/// let mut options = CopyOptions::default();
/// options.delete = true;
/// options.exclude = vec!["*.pyc".into(), "build/".into()];
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct CopyOptions {
    /// Permissions of what is copied.
    pub modes: Modes,
    /// Whether files, folders and links get the times that they have here.
    pub times: bool,
    /// What is done with symbolic links.
    pub links: Links,
    /// Which files are not sent again.
    pub skip: Skip,
    /// Whether to remove what is in copied folders there and not here. What is excluded stays.
    pub delete: bool,
    /// Patterns of what is left out: of a name (`*.pyc`), or with a slash of the path from the top (`docs/*.html`); with a slash at the end
    /// of folders alone.
    pub exclude: Vec<String>,
    /// Whether a large file that was cut off stays there in part, so that another attempt goes on with it.
    pub resume: bool,
    /// Whether each file is on the disk before it takes its name.
    pub fsync: bool,
    /// The most bytes that `get` takes.
    pub max_bytes: Option<u64>,
    /// The most files and folders that `get` takes, and that are looked at there for what is not here.
    pub max_files: u64,
    /// Told of how far it is, several times a second at most.
    pub progress: Option<ProgressSink>,
}

impl Default for CopyOptions {
    fn default() -> Self {
        CopyOptions {
            modes: Modes::default(),
            times: true,
            links: Links::default(),
            skip: Skip::default(),
            delete: false,
            exclude: Vec::new(),
            resume: true,
            fsync: false,
            max_bytes: None,
            max_files: 1_000_000,
            progress: None,
        }
    }
}

impl fmt::Debug for CopyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyOptions")
            .field("modes", &self.modes)
            .field("links", &self.links)
            .field("skip", &self.skip)
            .field("delete", &self.delete)
            .field("exclude", &self.exclude)
            .finish_non_exhaustive()
    }
}

impl CopyOptions {
    /// The permissions for something that has these; `trusted` is false for what a server says.
    pub(super) fn mode(&self, mode: u32, is_folder: bool, trusted: bool) -> u32 {
        match self.modes {
            Modes::All if trusted => mode & 0o7777,
            Modes::Permissions | Modes::All => mode & 0o777,
            Modes::Set(mode) if is_folder => mode & 0o777 | (mode & 0o444) >> 2,
            Modes::Set(mode) => mode & 0o7777,
        }
    }
}

/// What a copy did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// Files whose content was copied.
    pub files: u64,
    /// Folders that were made.
    pub folders: u64,
    /// Symbolic links that were made.
    pub links: u64,
    /// Files, folders and links that were there as they should be.
    pub unchanged: u64,
    /// What was removed.
    pub deleted: u64,
    /// Bytes of content that were copied, holes included.
    pub bytes: u64,
    /// Bytes that an earlier attempt had left.
    pub resumed: u64,
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = vec![format!(
            "{} copied ({})",
            counted(self.files, "file"),
            size(self.bytes)
        )];
        for (count, text) in [
            (self.folders, counted(self.folders, "folder") + " made"),
            (self.links, counted(self.links, "link") + " made"),
            (self.unchanged, format!("{} unchanged", self.unchanged)),
            (self.deleted, format!("{} removed", self.deleted)),
        ] {
            if count > 0 {
                parts.push(text);
            }
        }
        if self.resumed > 0 {
            parts.push(format!(
                "{} were there from an earlier attempt",
                size(self.resumed)
            ));
        }
        f.write_str(&parts.join(", "))
    }
}

fn counted(count: u64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

/// A number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut amount = bytes as f64;
    let mut unit = "bytes";
    for next in UNITS {
        if amount < 1024.0 {
            break;
        }
        amount /= 1024.0;
        unit = next;
    }
    if unit == "bytes" {
        format!("{bytes} {unit}")
    } else {
        format!("{amount:.1} {unit}")
    }
}

/// What would change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// What it is about, as it is called below the destination.
    pub path: String,
    /// What a copy would do.
    pub change: Change,
}

/// What a copy would do with something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It is here and not there.
    New,
    /// Its content, or where it leads to, is another.
    Content,
    /// Its permissions or its time are others.
    Attributes,
    /// It is there and not here; only `delete` removes it.
    Leftover,
    /// It is of another kind there, such as a folder in the place of a file.
    Kind,
}

impl Change {
    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Change::New => "new",
            Change::Content => "content",
            Change::Attributes => "attributes",
            Change::Leftover => "leftover",
            Change::Kind => "kind",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_that_give_rights_come_from_nowhere_unasked() {
        let with = |modes| CopyOptions {
            modes,
            ..CopyOptions::default()
        };
        assert_eq!(with(Modes::Permissions).mode(0o4755, false, true), 0o755);
        assert_eq!(with(Modes::All).mode(0o4755, false, true), 0o4755);
        assert_eq!(with(Modes::All).mode(0o4755, false, false), 0o755);
        assert_eq!(with(Modes::Set(0o640)).mode(0o4755, false, true), 0o640);
        assert_eq!(with(Modes::Set(0o640)).mode(0o4755, true, true), 0o750);
    }

    #[test]
    fn sizes_are_for_people() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(1023), "1023 bytes");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(3 << 30), "3.0 GiB");
    }
}
