//! Files that this program writes where others may write too: never through a link that somebody else put there, never half; and trees of
//! files, whose names may be those of others.

#[cfg(unix)]
pub(crate) mod arriving;
#[cfg(unix)]
pub(crate) mod below;
#[cfg(feature = "cli")]
pub(crate) mod folder;
#[cfg(unix)]
pub(crate) mod names;
pub(crate) mod of_host;
pub(crate) mod problem;
#[cfg(unix)]
pub(crate) mod tree;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
#[cfg(unix)]
use std::path::PathBuf;

#[cfg(unix)]
use crate::system::rights::Rights;

/// All of a file that a person or a configuration names, which may be a device or a pipe. Blocks as long as that gives nothing.
///
/// # Errors
/// As opening and reading it fail, and where it holds more than `most` bytes: a device may never end.
pub(crate) fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    rest_at_most(File::open(path)?, most, &mut content)?;
    Ok(content)
}

/// The same of what is open.
pub(crate) fn rest_at_most(file: impl Read, most: u64, content: &mut Vec<u8>) -> io::Result<()> {
    let held = file.take(most + 1).read_to_end(content)?;
    if held as u64 > most {
        let text = format!(
            "it holds more than {} MiB, which such a file does not",
            most >> 20
        );
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(())
}

/// Makes a new file with these permissions. A link is not followed.
///
/// # Errors
/// `AlreadyExists` where there is anything of that name; otherwise as writing it fails, with nothing left behind.
pub(crate) fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let mut file = options.open(path)?;
    let written = permit(&file, mode)
        .and_then(|()| file.write_all(content))
        .and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = std::fs::remove_file(path);
    }
    written
}

/// Sets the permissions whatever the umask is.
#[cfg(unix)]
fn permit(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
fn permit(_: &File, _: u32) -> io::Result<()> {
    Ok(())
}

/// Puts a file in the place of what has its name, which stays until the new one is whole. Where that is a link, the link goes and
/// what it leads to stays as it is.
///
/// # Errors
/// Where it cannot be written, or what has its name is neither a file nor a link, such as a device; nothing is left behind.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    if let Ok(there) = path.symlink_metadata()
        && !there.is_file()
        && !there.is_symlink()
    {
        return Err(io::Error::other("it is there and is not a file"));
    }
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{:016x}.new", u64::from_ne_bytes(random)));
    let beside = path.with_file_name(name);
    create(&beside, content, mode)?;
    if let Err(error) = std::fs::rename(&beside, path) {
        let _ = std::fs::remove_file(&beside);
        return Err(error);
    }
    Ok(())
}

/// As [`replace`], but refuses to take the place of a link: whoever named it meant what it leads to.
///
/// # Errors
/// As [`replace`], and where there is a link.
pub(crate) fn replace_no_link(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    if path.is_symlink() {
        return Err(is_a_link());
    }
    replace(path, content, mode)
}

fn is_a_link() -> io::Error {
    io::Error::other(
        "it is a symbolic link, which somebody else may have put there; name the file itself, or remove the link",
    )
}

/// Opens a file to write behind what is in it, making it if there is none. A link is followed only within /dev and /proc
/// (`/dev/stderr`), or, with `own_links`, where this user or root has made it.
///
/// # Errors
/// As opening fails, and where there is another link.
#[cfg(unix)]
pub(crate) fn open_to_append(path: &Path, mode: u32, own_links: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut path = path.to_path_buf();
    // As many links as the kernel follows.
    for _ in 0..40 {
        let opened = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(mode)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(&path);
        let Err(error) = opened else {
            return opened;
        };
        if error.raw_os_error() != Some(rustix::io::Errno::LOOP.raw_os_error()) {
            return Err(error);
        }
        if path.starts_with("/dev") || path.starts_with("/proc") {
            return OpenOptions::new().append(true).open(&path);
        }
        if !own_links || !is_trusted(&path)? {
            return Err(is_a_link());
        }
        path = target(&path)?;
    }
    Err(io::Error::other("it is a link that leads to itself"))
}

#[cfg(not(unix))]
pub(crate) fn open_to_append(path: &Path, _: u32, _: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
}

/// Whether this user or root has made what has this name.
#[cfg(unix)]
fn is_trusted(path: &Path) -> io::Result<bool> {
    let rights = Rights::of(&path.symlink_metadata()?);
    Ok(rights.is_some_and(|rights| rights.mine || rights.of_root))
}

#[cfg(unix)]
fn target(link: &Path) -> io::Result<PathBuf> {
    let target = std::fs::read_link(link)?;
    Ok(link
        .parent()
        .map(|folder| folder.join(&target))
        .unwrap_or(target))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    /// A folder with a file, and a link to it.
    fn linked() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "mine").expect("a file");
        symlink(&file, &link).expect("a link");
        (folder, file, link)
    }

    fn names(folder: &Path) -> usize {
        std::fs::read_dir(folder).expect("a folder").count()
    }

    #[test]
    fn what_a_link_leads_to_stays_as_it_is() {
        let (folder, file, link) = linked();
        let error = create(&link, b"new", 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(replace_no_link(&link, b"new", 0o644).is_err());
        assert!(open_to_append(&link, 0o640, false).is_err());
        assert!(link.is_symlink() && names(folder.path()) == 2);
        replace(&link, b"new", 0o755).unwrap();
        assert!(!link.is_symlink());
        assert_eq!(std::fs::read_to_string(&link).unwrap(), "new");
        assert_eq!(link.metadata().unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        assert_eq!(names(folder.path()), 2);
    }

    #[test]
    fn a_link_that_leads_nowhere_makes_no_file_there() {
        let folder = tempfile::tempdir().unwrap();
        let (nothing, link) = (folder.path().join("nothing"), folder.path().join("link"));
        symlink(&nothing, &link).unwrap();
        assert!(create(&link, b"new", 0o600).is_err());
        assert!(replace_no_link(&link, b"new", 0o600).is_err());
        assert!(open_to_append(&link, 0o600, false).is_err());
        replace(&link, b"new", 0o600).unwrap();
        assert!(!nothing.exists());
    }

    #[test]
    fn a_file_is_replaced_and_what_is_none_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        replace(&file, b"one", 0o600).unwrap();
        let before = file.metadata().unwrap().ino();
        replace_no_link(&file, b"two", 0o600).unwrap();
        assert_ne!(file.metadata().unwrap().ino(), before);
        assert!(replace(folder.path(), b"x", 0o600).is_err());
        assert!(replace(Path::new("/dev/null"), b"x", 0o600).is_err());
        assert!(replace(&folder.path().join("no/file"), b"x", 0o600).is_err());
        assert_eq!(names(folder.path()), 1);
    }

    #[test]
    fn own_links_are_followed_where_that_is_wanted() {
        let (_folder, file, link) = linked();
        open_to_append(&link, 0o600, true)
            .unwrap()
            .write_all(b" too")
            .unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine too");
        assert!(link.is_symlink());
        let error = open_to_append(Path::new("/dev/stderr"), 0o600, false).err();
        assert!(error.is_none(), "{error:?}");
        if !rustix::process::geteuid().is_root() {
            return;
        }
        rustix::fs::chownat(
            rustix::fs::CWD,
            &link,
            Some(rustix::fs::Uid::from_raw(12345)),
            None,
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )
        .unwrap();
        assert!(open_to_append(&link, 0o600, true).is_err());
    }
}
