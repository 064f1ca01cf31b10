//! What a forked child does with what the parent's connections use. Windows has no fork.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::{FileType, RawMode};
use rustix::io::FdFlags;

use crate::descriptors;

/// Closes the child's copies of what the parent's connections use: held open here, they would keep the other side from seeing
/// the parent's end. `/dev/null` takes the numbers, because objects copied from the parent may still name them.
pub(super) fn leave_connections() {
    descriptors::leave_coming();
    let nothing = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null");
    for (number, inode) in descriptors::take_of_connections() {
        // Safety: looked at only for its inode; a number that is not open is an error.
        let looked_at = rustix::fs::fstat(unsafe { BorrowedFd::borrow_raw(number) });
        if !looked_at.is_ok_and(|stat| stat.st_ino == inode && is_stream(stat.st_mode)) {
            continue;
        }
        // Safety: what owns the number is the parent's copy, which nothing drops or uses in this process.
        let mut copy = unsafe { OwnedFd::from_raw_fd(number) };
        if let Ok(nothing) = &nothing
            && rustix::io::dup2(nothing, &mut copy).is_ok()
        {
            _ = rustix::io::fcntl_setfd(&copy, FdFlags::CLOEXEC);
            std::mem::forget(copy);
        }
    }
}

fn is_stream(mode: RawMode) -> bool {
    matches!(
        FileType::from_raw_mode(mode),
        FileType::Socket | FileType::Fifo
    )
}
