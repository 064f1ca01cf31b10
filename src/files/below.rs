//! Files beneath a folder that is held open: no name leads out of it, because each part is opened by itself and no link is followed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::arriving::{Arriving, arriving, is_ours, permissions, random, timestamps};
use super::tree::{Entry, Kind, Time};

/// A folder of this machine, and one beneath it that was used last.
#[derive(Debug)]
pub(crate) struct Below {
    top: Arc<OwnedFd>,
    last: Option<(Vec<u8>, Arc<OwnedFd>)>,
}

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A pipe that lies there instead of a file holds nobody up.
const READING: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// The folder and the name of a path.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(place) => {
            let (folder, name) = path.split_at(place);
            (folder, name.get(1..).unwrap_or_default())
        }
        None => (b"", path),
    }
}

/// Whether the part of a path is a plain name; all others are refused before, and here once more.
fn plain(name: &[u8]) -> io::Result<&[u8]> {
    match super::names::refused(name) {
        None if !name.contains(&b'/') => Ok(name),
        _ => Err(Errno::INVAL.into()),
    }
}

impl Below {
    /// Opens a folder that the user named, which may be a link; with `create` it is made where it is not there.
    pub(crate) fn open(path: &Path, create: bool) -> io::Result<Below> {
        if create {
            std::fs::create_dir_all(path).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => io::Error::other("it is there and is not a folder"),
                _ => error,
            })?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = fs::open(path, flags, Mode::empty())?;
        Ok(Below {
            top: Arc::new(top),
            last: None,
        })
    }

    /// A folder beneath, none of whose parts is a link.
    fn folder(&mut self, path: &[u8]) -> io::Result<Arc<OwnedFd>> {
        if path.is_empty() {
            return Ok(Arc::clone(&self.top));
        }
        if let Some((last, folder)) = &self.last
            && last == path
        {
            return Ok(Arc::clone(folder));
        }
        // From the one that was used last where this is in it, else from the top.
        let (mut folder, parts) = match &self.last {
            Some((last, folder)) => match path.strip_prefix(last.as_slice()) {
                Some([b'/', rest @ ..]) => (Arc::clone(folder), rest),
                _ => (Arc::clone(&self.top), path),
            },
            None => (Arc::clone(&self.top), path),
        };
        for name in parts.split(|byte| *byte == b'/') {
            folder = Arc::new(fs::openat(&*folder, plain(name)?, FOLDER, Mode::empty())?);
        }
        self.last = Some((path.to_vec(), Arc::clone(&folder)));
        Ok(folder)
    }

    /// What is there; `None` where nothing is. A link is not followed.
    pub(crate) fn look(&mut self, path: &[u8]) -> io::Result<Option<Entry>> {
        let found = if path.is_empty() {
            fs::fstat(&*self.top)
        } else {
            let (folder, name) = split(path);
            match self.folder(folder) {
                Ok(folder) => fs::statat(&*folder, plain(name)?, AtFlags::SYMLINK_NOFOLLOW),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        };
        let status = match found {
            Ok(status) => status,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let kind = match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => Kind::Folder,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        };
        let target = match kind {
            Kind::Link => {
                let (folder, name) = split(path);
                fs::readlinkat(&*self.folder(folder)?, name, Vec::new())?.into_bytes()
            }
            _ => Vec::new(),
        };
        Ok(Some(Entry {
            path: path.to_vec(),
            kind,
            // On Linux it is this type already.
            #[allow(clippy::useless_conversion)]
            mode: u32::from(status.st_mode & 0o7777),
            size: u64::try_from(status.st_size).unwrap_or(0),
            time: Time {
                seconds: status.st_mtime,
                nanoseconds: u32::try_from(status.st_mtime_nsec).unwrap_or(0),
            },
            target,
        }))
    }

    /// Makes a folder, where there is none.
    pub(crate) fn make_folder(&mut self, path: &[u8]) -> io::Result<()> {
        if path.is_empty() {
            return Ok(());
        }
        let (folder, name) = split(path);
        let folder = self.folder(folder)?;
        // Its own mode comes when everything has arrived in it.
        match fs::mkdirat(&*folder, plain(name)?, Mode::RWXU) {
            Err(Errno::EXIST) => self.folder(path).map(drop).map_err(|error| {
                let text = "it is there and is not a folder; remove it first";
                match error.raw_os_error().map(Errno::from_raw_os_error) {
                    Some(Errno::NOTDIR | Errno::LOOP) => io::Error::other(text),
                    _ => error,
                }
            }),
            made => Ok(made?),
        }
    }

    /// Where a file or link of that name is to be made: only in the place of a file or a link.
    fn place_of<'a>(&mut self, path: &'a [u8], what: &str) -> io::Result<(Arc<OwnedFd>, &'a [u8])> {
        let (folder, name) = split(path);
        let folder = self.folder(folder)?;
        if self
            .look(path)?
            .is_some_and(|there| !matches!(there.kind, Kind::File | Kind::Link))
        {
            let text = format!("it is there and is no {what}; remove it first");
            return Err(io::Error::other(text));
        }
        Ok((folder, name))
    }

    /// Begins a file under another name, which ends with `ending`; of what an earlier attempt left there `kept` bytes stay.
    pub(crate) fn begin(
        &mut self,
        path: &[u8],
        ending: &str,
        kept: u64,
        keep: bool,
    ) -> io::Result<Arriving> {
        let (folder, name) = self.place_of(path, "file")?;
        Arriving::open(folder, plain(name)?, ending, kept, keep)
    }

    /// How many bytes an earlier attempt left of a file, and the file to read them from.
    pub(crate) fn left(&mut self, path: &[u8], ending: &str) -> Option<(u64, std::fs::File)> {
        let (folder, name) = split(path);
        let folder = self.folder(folder).ok()?;
        let file = fs::openat(&*folder, arriving(name, ending), READING, Mode::empty()).ok()?;
        let status = fs::fstat(&file).ok()?;
        is_ours(&status).then_some((u64::try_from(status.st_size).ok()?, file.into()))
    }

    /// A file, to read what is in it.
    pub(crate) fn read(&mut self, path: &[u8]) -> io::Result<std::fs::File> {
        let (folder, name) = split(path);
        let folder = self.folder(folder)?;
        Ok(fs::openat(&*folder, plain(name)?, READING, Mode::empty())?.into())
    }

    /// Makes a symbolic link in the place of a file or link of that name.
    pub(crate) fn link(
        &mut self,
        path: &[u8],
        target: &[u8],
        time: Option<Time>,
    ) -> io::Result<()> {
        let (folder, name) = self.place_of(path, "link")?;
        let arriving = arriving(plain(name)?, &random()?);
        fs::symlinkat(target, &*folder, &*arriving)?;
        let set = time.map_or(Ok(()), |time| {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            fs::utimensat(&*folder, &*arriving, &timestamps(time), flags)
        });
        let renamed = set.and_then(|()| fs::renameat(&*folder, &*arriving, &*folder, name));
        if renamed.is_err() {
            let _ = fs::unlinkat(&*folder, &*arriving, AtFlags::empty());
        }
        Ok(renamed?)
    }

    /// Sets the mode and the time of a folder or a file that is there.
    pub(crate) fn settle(
        &mut self,
        path: &[u8],
        mode: Option<u32>,
        time: Option<Time>,
    ) -> io::Result<()> {
        let there = if path.is_empty() {
            Arc::clone(&self.top)
        } else {
            let (folder, name) = split(path);
            let folder = self.folder(folder)?;
            Arc::new(fs::openat(&*folder, plain(name)?, READING, Mode::empty())?)
        };
        if let Some(mode) = mode {
            fs::fchmod(&*there, permissions(mode))?;
        }
        if let Some(time) = time {
            fs::futimens(&*there, &timestamps(time))?;
        }
        Ok(())
    }

    /// Removes a file, a link or an empty folder.
    pub(crate) fn remove(&mut self, path: &[u8], is_folder: bool) -> io::Result<()> {
        let (folder, name) = split(path);
        let folder = self.folder(folder)?;
        let flags = if is_folder {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        if is_folder {
            self.last = None;
        }
        Ok(fs::unlinkat(&*folder, plain(name)?, flags)?)
    }

    /// All that is beneath a path, each folder in front of what is in it; links are not followed.
    ///
    /// # Errors
    /// What cannot be looked at, and why.
    pub(crate) fn list(&mut self, path: &[u8]) -> Result<Vec<Entry>, (Vec<u8>, io::Error)> {
        let mut found = Vec::new();
        let mut waiting = vec![path.to_vec()];
        while let Some(path) = waiting.pop() {
            let names = self.names(&path).map_err(|error| (path.clone(), error))?;
            let first = waiting.len();
            for name in names {
                let inner = super::names::joined(&path, &name);
                let looked = self.look(&inner);
                if let Some(entry) = looked.map_err(|error| (inner.clone(), error))? {
                    if entry.kind == Kind::Folder {
                        waiting.insert(first, inner);
                    }
                    found.push(entry);
                }
            }
        }
        Ok(found)
    }

    /// The names in a folder, in order.
    fn names(&mut self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        for name in fs::Dir::read_from(&*self.folder(path)?)? {
            let name = name?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Whether upper and lower case are the same to the file system of this folder.
    pub(crate) fn folds_case(&mut self) -> io::Result<bool> {
        let (lower, upper) = (".easycluster-case", ".EASYCLUSTER-CASE");
        let file = self.begin(lower.as_bytes(), "case", 0, false)?;
        let shown = arriving(upper.as_bytes(), "case");
        let folds = fs::statat(&*self.top, &*shown, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        drop(file);
        Ok(folds)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn folder() -> (tempfile::TempDir, Below) {
        let folder = tempfile::tempdir().unwrap();
        let below = Below::open(&folder.path().join("a/b"), true).unwrap();
        (folder, below)
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = names
            .map(|name| name.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    const TIME: Option<Time> = Some(Time {
        seconds: 1_000_000_000,
        nanoseconds: 5,
    });

    #[test]
    fn a_file_takes_its_name_when_it_is_whole() {
        let (folder, mut below) = folder();
        let place = folder.path().join("a/b");
        below.make_folder(b"d").unwrap();
        let file = below.begin(b"d/file", "0", 0, false).unwrap();
        file.write(70_000, [b"end".as_slice()]).unwrap();
        assert_eq!(names(&place.join("d")), [".file.easycluster-0"]);
        file.finish(80_000, 0o640, TIME, true).unwrap();
        assert_eq!(names(&place.join("d")), ["file"]);
        let status = place.join("d/file").metadata().unwrap();
        assert_eq!((status.len(), status.mode() & 0o7777), (80_000, 0o640));
        assert_eq!((status.mtime(), status.mtime_nsec()), (1_000_000_000, 5));
        drop(below.begin(b"d/other", "0", 0, false).unwrap());
        assert_eq!(names(&place.join("d")), ["file"]);
        drop(below.begin(b"d/other", "0", 0, true).unwrap());
        assert_eq!(names(&place.join("d")).len(), 2);
        below.settle(b"d", Some(0o711), TIME).unwrap();
        assert_eq!(
            place.join("d").metadata().unwrap().permissions().mode() & 0o777,
            0o711
        );
        assert!(!below.folds_case().unwrap());
        assert_eq!(names(&place), ["d"]);
    }

    #[test]
    fn no_link_is_followed_and_no_name_leads_out() {
        let (folder, mut below) = folder();
        let (outside, place) = (folder.path().join("out"), folder.path().join("a/b"));
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("file"), "mine").unwrap();
        symlink(&outside, place.join("link")).unwrap();
        symlink(outside.join("file"), place.join("file")).unwrap();
        for path in ["link/new", "../new", "x/../../new", "/tmp/new", "..", "."] {
            assert!(
                below.begin(path.as_bytes(), "0", 0, false).is_err(),
                "{path}"
            );
            assert!(below.link(path.as_bytes(), b"x", None).is_err(), "{path}");
            assert!(below.make_folder(path.as_bytes()).is_err(), "{path}");
            assert!(below.remove(path.as_bytes(), false).is_err(), "{path}");
            assert!(below.read(path.as_bytes()).is_err(), "{path}");
        }
        assert!(below.make_folder(b"link").is_err());
        assert!(below.settle(b"link", Some(0o777), TIME).is_err());
        assert!(below.read(b"file").is_err());
        // The link goes, and what it led to stays.
        let file = below.begin(b"file", "0", 0, false).unwrap();
        file.write(0, [b"new".as_slice()]).unwrap();
        file.finish(3, 0o600, None, false).unwrap();
        assert!(!place.join("file").is_symlink());
        assert_eq!(
            std::fs::read_to_string(outside.join("file")).unwrap(),
            "mine"
        );
        assert_eq!(names(&outside), ["file"]);
        below.link(b"link", b"file", TIME).unwrap();
        assert_eq!(
            std::fs::read_link(place.join("link")).unwrap(),
            Path::new("file")
        );
    }

    #[test]
    fn what_an_earlier_attempt_left_is_taken_up_only_if_it_is_ours() {
        let (folder, mut below) = folder();
        let place = folder.path().join("a/b");
        let file = below.begin(b"file", "1", 0, true).unwrap();
        file.write(0, [b"12345".as_slice()]).unwrap();
        drop(file);
        assert_eq!(below.left(b"file", "1").unwrap().0, 5);
        assert!(below.left(b"file", "2").is_none());
        assert!(below.begin(b"file", "1", 6, true).is_err());
        let file = below.begin(b"file", "1", 3, true).unwrap();
        file.write(3, [b"678".as_slice()]).unwrap();
        file.finish(6, 0o600, None, false).unwrap();
        assert_eq!(
            std::fs::read_to_string(place.join("file")).unwrap(),
            "123678"
        );
        // Somebody else's link or second name is not written through.
        std::fs::write(place.join("mine"), "mine").unwrap();
        let planted = place.join(".file.easycluster-1");
        std::fs::hard_link(place.join("mine"), &planted).unwrap();
        assert!(below.left(b"file", "1").is_none());
        below
            .begin(b"file", "1", 0, false)
            .unwrap()
            .write(0, [b"x".as_slice()])
            .unwrap();
        symlink(place.join("mine"), &planted).unwrap();
        assert!(below.left(b"file", "1").is_none());
        below
            .begin(b"file", "1", 0, false)
            .unwrap()
            .write(0, [b"x".as_slice()])
            .unwrap();
        assert_eq!(std::fs::read_to_string(place.join("mine")).unwrap(), "mine");
    }

    #[test]
    fn what_is_there_is_listed_without_following_links() {
        let (folder, mut below) = folder();
        let place = folder.path().join("a/b");
        std::fs::create_dir_all(place.join("d/e")).unwrap();
        std::fs::write(place.join("d/e/file"), "x").unwrap();
        symlink("..", place.join("d/up")).unwrap();
        let listed = below.list(b"").unwrap();
        let listed: Vec<_> = listed
            .iter()
            .map(|entry| String::from_utf8_lossy(&entry.path).into_owned())
            .collect();
        assert_eq!(listed, ["d", "d/e", "d/up", "d/e/file"]);
        assert_eq!(below.look(b"d/up").unwrap().unwrap().target, b"..");
        assert_eq!(below.look(b"d/no").unwrap(), None);
        below.remove(b"d/e/file", false).unwrap();
        below.remove(b"d/e", true).unwrap();
        assert_eq!(below.list(b"d").unwrap().len(), 1);
    }
}
