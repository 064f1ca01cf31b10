//! Files made in a folder that is held open, one by one, for as long as a command runs.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A folder that files are made in, which stays the same whatever its path leads to later.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    #[cfg(unix)]
    handle: rustix::fd::OwnedFd,
}

impl Folder {
    /// Opens a folder that is there.
    #[cfg(unix)]
    pub(crate) fn open(path: &Path) -> io::Result<Folder> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Folder {
            path: path.to_owned(),
            handle: rustix::fs::open(path, flags, Mode::empty())?,
        })
    }

    /// Makes the file, or opens the one that is there to write at its end; `first` empties it. A link or a pipe of that name is not followed.
    #[cfg(unix)]
    pub(crate) fn create(&self, name: &str, first: bool) -> io::Result<File> {
        use rustix::fs::{FileType, Mode, OFlags};
        let flags = OFlags::WRONLY
            | OFlags::CREATE
            | OFlags::APPEND
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(&self.handle, name, flags, Mode::from(0o666))?;
        let file = FileType::from_raw_mode(rustix::fs::fstat(&handle)?.st_mode);
        if file != FileType::RegularFile {
            return Err(io::Error::other("it is there and is not a file"));
        }
        if first {
            rustix::fs::ftruncate(&handle, 0)?;
        }
        Ok(File::from(handle))
    }

    #[cfg(not(unix))]
    pub(crate) fn open(path: &Path) -> io::Result<Folder> {
        Ok(Folder {
            path: path.to_owned(),
        })
    }

    #[cfg(not(unix))]
    pub(crate) fn create(&self, name: &str, first: bool) -> io::Result<File> {
        let mut options = File::options();
        // Windows empties no file that is opened to append.
        if first {
            options.write(true).truncate(true);
        } else {
            options.append(true);
        }
        options.create(true).open(self.path.join(name))
    }
}
