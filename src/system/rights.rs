//! Whose a file is, what others may do with it, and which state of it one sees. Windows tells the first two by access lists
//! that nothing here reads: there a file has no `Rights`, and nothing is refused or warned of because of them.

use std::fs::{DirBuilder, Metadata};

/// A file's owner and mode.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rights {
    /// This user's own.
    pub(crate) mine: bool,
    /// The administrator's.
    pub(crate) of_root: bool,
    /// The bits of `chmod`.
    pub(crate) mode: u32,
}

impl Rights {
    /// `None` where the system has no such thing.
    #[cfg(unix)]
    pub(crate) fn of(metadata: &Metadata) -> Option<Rights> {
        use std::os::unix::fs::MetadataExt;
        let owner = metadata.uid();
        Some(Rights {
            mine: owner == rustix::process::geteuid().as_raw(),
            of_root: owner == 0,
            mode: metadata.mode() & 0o7777,
        })
    }

    #[cfg(not(unix))]
    pub(crate) fn of(_: &Metadata) -> Option<Rights> {
        None
    }

    /// Whether others may read it.
    pub(crate) fn is_open_to_others(self) -> bool {
        self.mode & 0o077 != 0
    }
}

/// Whether the file may be run as a program.
pub(crate) fn is_executable(metadata: &Metadata) -> bool {
    Rights::of(metadata).is_some_and(|rights| rights.mode & 0o111 != 0)
}

/// Makes folders that only this user enters; on Windows those of a profile are so already.
pub(crate) fn private_folder() -> DirBuilder {
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// On Windows, which gives no such numbers, nothing.
    device_and_inode: (u64, u64),
    size: u64,
    /// Seconds and nanoseconds of the last change of its content.
    modified: (i64, i64),
    /// The same of anything about it; on Windows, of its content.
    changed: (i64, i64),
}

impl Stamp {
    #[cfg(unix)]
    pub(crate) fn of(metadata: &Metadata) -> Stamp {
        use std::os::unix::fs::MetadataExt;
        Stamp {
            device_and_inode: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    #[cfg(not(unix))]
    pub(crate) fn of(metadata: &Metadata) -> Stamp {
        let since = metadata.modified().ok().and_then(|time| {
            let age = time.duration_since(std::time::UNIX_EPOCH).ok()?;
            Some((
                i64::try_from(age.as_secs()).ok()?,
                i64::from(age.subsec_nanos()),
            ))
        });
        let modified = since.unwrap_or_default();
        Stamp {
            device_and_inode: (0, 0),
            size: metadata.len(),
            modified,
            changed: modified,
        }
    }

    /// The second in which the file was changed last.
    pub(crate) fn changed(&self) -> u64 {
        self.changed.0.max(0).unsigned_abs()
    }
}
