//! A file that arrives under another name than its own, and takes that when it is whole.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Timestamps};
use rustix::io::Errno;

use super::tree::Time;

/// How many pieces are written at once, which is far below the least limit of any system.
const AT_ONCE: usize = 64;

/// A file that arrives under another name than its own.
#[derive(Debug)]
pub(crate) struct Arriving {
    folder: Arc<OwnedFd>,
    file: std::fs::File,
    name: Vec<u8>,
    arriving: Vec<u8>,
    /// Whether what has arrived stays where the rest does not come.
    keep: bool,
    whole: bool,
}

impl Arriving {
    /// Opens it in a folder; its other name ends with `ending`. Of what an earlier attempt left there `kept` bytes stay.
    pub(super) fn open(
        folder: Arc<OwnedFd>,
        name: &[u8],
        ending: &str,
        kept: u64,
        keep: bool,
    ) -> io::Result<Arriving> {
        let mut arriving = arriving(name, ending);
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = if kept > 0 {
            let file = match fs::openat(&*folder, &*arriving, flags, Mode::empty()) {
                Err(Errno::NOENT) => return Err(taken()),
                opened => opened?,
            };
            let status = fs::fstat(&file)?;
            if !is_ours(&status) || status.st_size < i64::try_from(kept).unwrap_or(i64::MAX) {
                return Err(Errno::STALE.into());
            }
            if !(lock(&file) && has_name(&folder, &file, &arriving)) {
                return Err(taken());
            }
            fs::ftruncate(&file, kept)?;
            file
        } else if let Some(file) = begun(&folder, &arriving)? {
            file
        } else {
            arriving = self::arriving(name, &random()?);
            begun(&folder, &arriving)?.ok_or_else(taken)?
        };
        Ok(Arriving {
            folder,
            file: file.into(),
            name: name.to_vec(),
            arriving,
            keep,
            whole: false,
        })
    }

    /// Writes a part of it, which is in pieces; what is never written is zero.
    pub(crate) fn write<'a>(
        &self,
        offset: u64,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> io::Result<()> {
        let pieces: Vec<IoSlice<'_>> = pieces.into_iter().map(IoSlice::new).collect();
        let mut place = offset;
        for some in pieces.chunks(AT_ONCE) {
            let mut written = match rustix::io::pwritev(&self.file, some, place) {
                Err(Errno::INTR) => 0,
                written => written?,
            };
            for piece in some {
                let there = written.min(piece.len());
                written -= there;
                // Nothing, but where a signal came or the disk is full.
                let rest = piece.get(there..).unwrap_or_default();
                self.file.write_all_at(rest, place + there as u64)?;
                place += piece.len() as u64;
            }
        }
        Ok(())
    }

    /// Leaves nothing of it.
    pub(crate) fn discard(mut self) {
        self.keep = false;
    }

    /// Gives it its length, mode, time and name.
    pub(crate) fn finish(
        mut self,
        size: u64,
        mode: u32,
        time: Option<Time>,
        sync: bool,
    ) -> io::Result<()> {
        // Where it cannot get what it needs, another attempt would have to go on with nothing.
        self.keep = false;
        fs::ftruncate(&self.file, size)?;
        fs::fchmod(&self.file, permissions(mode))?;
        if let Some(time) = time {
            fs::futimens(&self.file, &timestamps(time))?;
        }
        if sync {
            self.file.sync_all()?;
        }
        fs::renameat(&*self.folder, &*self.arriving, &*self.folder, &*self.name)?;
        self.whole = true;
        Ok(())
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if !self.whole && !self.keep {
            let _ = fs::unlinkat(&*self.folder, &*self.arriving, AtFlags::empty());
        }
    }
}

/// The name under which a file arrives.
pub(super) fn arriving(name: &[u8], ending: &str) -> Vec<u8> {
    let name = name.get(..200).unwrap_or(name);
    [b".", name, b".easycluster-", ending.as_bytes()].concat()
}

/// An ending that no other attempt has.
pub(super) fn random() -> io::Result<String> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(data_encoding::HEXLOWER.encode(&random))
}

/// Says that this file is being written; whether nobody else has said so. Not every file system has locks.
fn lock(file: impl std::os::fd::AsFd) -> bool {
    let locked = fs::flock(file, fs::FlockOperation::NonBlockingLockExclusive);
    !matches!(locked, Err(Errno::WOULDBLOCK | Errno::ACCESS))
}

/// Opens a new file of this name, for nobody else; `None` where somebody else is writing one.
fn begun(folder: &OwnedFd, name: &[u8]) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::CREATE | OFlags::EXCL;
    let create = || fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR);
    let mut created = create();
    if matches!(created, Err(Errno::EXIST)) {
        clear(folder, name)?;
        created = create();
    }
    let file = match created {
        Err(Errno::EXIST) => return Ok(None),
        created => created?,
    };
    // Before it was locked, somebody else may have taken it for what an earlier attempt left.
    Ok((lock(&file) && has_name(folder, &file, name)).then_some(file))
}

/// Removes what has this name, if nobody writes to it.
fn clear(folder: &OwnedFd, name: &[u8]) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // What cannot be opened is a link, or nothing of ours.
    let file = fs::openat(folder, name, flags, Mode::empty()).ok();
    // It goes while it is locked, so that its name cannot have become somebody else's.
    if file
        .as_ref()
        .is_none_or(|file| lock(file) && has_name(folder, file, name))
    {
        match fs::unlinkat(folder, name, AtFlags::empty()) {
            Err(Errno::NOENT) => {}
            removed => removed?,
        }
    }
    Ok(())
}

/// Whether an open file is still what has this name.
fn has_name(folder: &OwnedFd, file: &OwnedFd, name: &[u8]) -> bool {
    let there = fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    match (fs::fstat(file), there) {
        (Ok(mine), Ok(there)) => (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino),
        _ => false,
    }
}

fn taken() -> io::Error {
    io::Error::other("another copy writes the same file")
}

/// Whether what an earlier attempt left is that, and nobody else has a way to it.
pub(super) fn is_ours(status: &fs::Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::RegularFile
        && status.st_uid == rustix::process::geteuid().as_raw()
        && status.st_nlink == 1
}

/// Permissions as the system takes them.
pub(super) fn permissions(mode: u32) -> Mode {
    // Elsewhere than on Linux the number is shorter.
    Mode::from_raw_mode((mode & 0o7777) as fs::RawMode)
}

pub(super) fn timestamps(time: Time) -> Timestamps {
    let time = fs::Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
