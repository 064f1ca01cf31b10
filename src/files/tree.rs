//! Trees of files on this machine: what is in them, and patterns of what is left out.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::names::{differ, joined, last};
use super::problem::Problem;

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A folder.
    Folder,
    /// A file.
    File,
    /// A symbolic link.
    Link,
    /// A device, a pipe, a socket.
    Other,
}

/// When something was changed last: seconds and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

impl Time {
    /// Whether both may be the same moment, as far as what keeps them is exact: some file systems keep whole seconds, and old Pythons
    /// microseconds.
    pub(crate) fn is_near(self, other: Time) -> bool {
        let whole = self.nanoseconds == 0 || other.nanoseconds == 0;
        self.seconds == other.seconds
            && (whole || self.nanoseconds.abs_diff(other.nanoseconds) < 2_000)
            || self.nanos().abs_diff(other.nanos()) < 2_000
    }

    fn nanos(self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanoseconds)
    }
}

/// Something in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Relative, with slashes; empty for what is named itself.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    /// Permissions and the bits in front of them.
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) time: Time,
    /// Where a link leads to.
    pub(crate) target: Vec<u8>,
}

impl Entry {
    pub(crate) fn of(path: Vec<u8>, status: &Metadata, target: Vec<u8>) -> Entry {
        let kind = if status.is_dir() {
            Kind::Folder
        } else if status.is_file() {
            Kind::File
        } else if status.is_symlink() {
            Kind::Link
        } else {
            Kind::Other
        };
        Entry {
            path,
            kind,
            mode: status.mode() & 0o7777,
            size: status.size(),
            time: Time {
                seconds: status.mtime(),
                nanoseconds: u32::try_from(status.mtime_nsec()).unwrap_or(0),
            },
            target,
        }
    }
}

/// Patterns of what is left out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exclude {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    glob: glob::Pattern,
    /// Of the whole path, and not of a name wherever it is.
    whole: bool,
    folders: bool,
}

impl Exclude {
    /// A pattern without a slash is that of a name anywhere; one with a slash is that of the path from the top. A slash at the end
    /// means folders alone. `*`, `?`, `[...]`, and `**` for any folders.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub(crate) fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Exclude, String> {
        let parse = |text: &S| {
            let text = text.as_ref();
            let folders = text.len() > 1 && text.ends_with('/');
            let bare = text.trim_end_matches('/');
            let whole = bare.contains('/');
            let glob = glob::Pattern::new(bare.trim_start_matches('/'))
                .map_err(|error| format!("the pattern {text}: {error}"))?;
            Ok(Pattern {
                glob,
                whole,
                folders,
            })
        };
        let patterns = patterns.iter().map(parse).collect::<Result<_, String>>()?;
        Ok(Exclude { patterns })
    }

    /// Whether it is left out by itself; what is in a folder that is left out does not need to be asked about.
    pub(crate) fn has(&self, path: &[u8], is_folder: bool) -> bool {
        const OPTIONS: glob::MatchOptions = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: false,
        };
        if self.patterns.is_empty() {
            return false;
        }
        let path = String::from_utf8_lossy(path);
        let name = path.rsplit('/').next().unwrap_or_default();
        self.patterns.iter().any(|pattern| {
            let text = if pattern.whole { path.as_ref() } else { name };
            (is_folder || !pattern.folders) && pattern.glob.matches_with(text, OPTIONS)
        })
    }

    /// Whether it, or a folder that it is in, is left out.
    pub(crate) fn covers(&self, path: &[u8], is_folder: bool) -> bool {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut above = slashes.filter_map(|(place, _)| path.get(..place));
        self.has(path, is_folder) || above.any(|folder| self.has(folder, true))
    }
}

/// What is done with symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Links {
    /// They are copied as links.
    #[default]
    Copy,
    /// What they lead to is copied.
    Follow,
    /// They are left out.
    Skip,
}

/// Something in a tree on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    pub(crate) entry: Entry,
    /// Where it is.
    pub(crate) place: PathBuf,
    /// Which file that was when it was looked at: device and inode.
    pub(crate) identity: (u64, u64),
}

/// What is to be sent: each folder in front of what is in it.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) entries: Vec<Local>,
    /// The names at the top, one a source; empty for one that is sent without its own name.
    pub(crate) tops: Vec<Vec<u8>>,
    /// What cannot be read.
    pub(crate) problems: Vec<Problem>,
}

impl Tree {
    /// What is in these: one that ends with a slash gives what is in it, others give themselves.
    ///
    /// # Errors
    /// Where one is not there.
    pub(crate) fn read(
        sources: &[PathBuf],
        links: Links,
        exclude: &Exclude,
    ) -> Result<Tree, String> {
        let mut tree = Tree::default();
        for source in sources {
            let text = source.as_os_str().as_bytes();
            let fail = |error: io::Error| format!("{}: {error}", source.display());
            let status = source.metadata().map_err(fail)?;
            let inside = status.is_dir() && (text.ends_with(b"/") || last(text).is_empty());
            let name = if inside { &b""[..] } else { last(text) };
            tree.tops.push(name.to_vec());
            differ(tree.tops.iter().map(Vec::as_slice))?;
            tree.add(source.clone(), name.to_vec(), &status, Vec::new());
            if status.is_dir() {
                let top = Level::new(source.clone(), name.to_vec(), &status);
                tree.descend(top, links, exclude);
            }
        }
        if sources.len() > 1 {
            tree.merge()?;
        }
        Ok(tree)
    }

    /// Makes one folder of those that several sources have, which is that of the first.
    fn merge(&mut self) -> Result<(), String> {
        let mut seen: HashMap<Vec<u8>, Kind> = HashMap::new();
        let mut twice = None;
        self.entries.retain(|local| {
            let Entry { path, kind, .. } = &local.entry;
            let Some(first) = seen.insert(path.clone(), *kind) else {
                return true;
            };
            if (first, *kind) != (Kind::Folder, Kind::Folder) && twice.is_none() {
                twice = Some(Problem::new(path, "").path);
            }
            false
        });
        match twice {
            Some(path) => Err(format!(
                "two sources have {path}, and only one can be copied; copy them one after the other, or leave it out of one"
            )),
            None => Ok(()),
        }
    }

    /// Whether it is one file, which may get another name.
    pub(crate) fn is_one_file(&self) -> bool {
        self.tops.len() == 1
            && matches!(self.entries.as_slice(), [one] if one.entry.kind != Kind::Folder)
    }

    fn add(&mut self, place: PathBuf, path: Vec<u8>, status: &Metadata, target: Vec<u8>) {
        let entry = Entry::of(path, status, target);
        if entry.kind == Kind::Other {
            let problem = Problem::new(&entry.path, "it is a device, a pipe or a socket");
            return self.problems.push(problem);
        }
        self.entries.push(Local {
            entry,
            place,
            identity: identity(status),
        });
    }

    /// Adds what is in a folder. Not by recursion: a tree may be as many folders deep as a path is long.
    fn descend(&mut self, top: Level, links: Links, exclude: &Exclude) {
        let mut levels: Vec<Level> = self.opened(top).into_iter().collect();
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.next() else {
                levels.pop();
                continue;
            };
            let place = level.place.join(OsStr::from_bytes(&name));
            let path = joined(&level.path, &name);
            match self.visit(place, path.clone(), links, exclude) {
                Ok(None) => {}
                Ok(Some(inner)) if levels.iter().any(|it| it.identity == inner.identity) => {
                    let reason = "it is a link to a folder that it is in";
                    self.problems.push(Problem::new(&path, reason));
                }
                Ok(Some(inner)) => levels.extend(self.opened(inner)),
                Err(error) => self.problems.push(Problem::new(&path, error.to_string())),
            }
        }
    }

    /// The same with the names in the folder, if it can be read.
    fn opened(&mut self, level: Level) -> Option<Level> {
        let names = std::fs::read_dir(&level.place).and_then(|names| {
            let names = names.map(|name| Ok(name?.file_name().into_vec()));
            names.collect::<io::Result<Vec<_>>>()
        });
        match names {
            Ok(mut names) => {
                names.sort();
                let names = names.into_iter();
                Some(Level { names, ..level })
            }
            Err(error) => {
                let problem = Problem::new(&level.path, error.to_string());
                self.problems.push(problem);
                None
            }
        }
    }

    /// Adds something; gives it where it is a folder.
    fn visit(
        &mut self,
        place: PathBuf,
        path: Vec<u8>,
        links: Links,
        exclude: &Exclude,
    ) -> io::Result<Option<Level>> {
        let mut status = place.symlink_metadata()?;
        let mut target = Vec::new();
        if status.is_symlink() {
            match links {
                Links::Skip => return Ok(None),
                Links::Copy => target = std::fs::read_link(&place)?.into_os_string().into_vec(),
                Links::Follow => status = place.metadata()?,
            }
        }
        if exclude.has(&path, status.is_dir()) {
            return Ok(None);
        }
        self.add(place.clone(), path.clone(), &status, target);
        Ok(status.is_dir().then(|| Level::new(place, path, &status)))
    }
}

/// A folder that is gone through, and the names in it that are left.
struct Level {
    place: PathBuf,
    path: Vec<u8>,
    identity: (u64, u64),
    names: std::vec::IntoIter<Vec<u8>>,
}

impl Level {
    fn new(place: PathBuf, path: Vec<u8>, status: &Metadata) -> Level {
        Level {
            place,
            path,
            identity: identity(status),
            names: Vec::new().into_iter(),
        }
    }
}

/// Which file it is: device and inode.
fn identity(status: &Metadata) -> (u64, u64) {
    (status.dev(), status.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_names_or_of_paths() {
        let exclude = Exclude::new(&["*.pyc", "build/", "/top", "a/*/c", "x/**/y"]).unwrap();
        for (path, is_folder, left_out) in [
            ("m.pyc", false, true),
            ("d/m.pyc", false, true),
            ("m.py", false, false),
            ("d/build", true, true),
            ("d/build", false, false),
            ("top", false, true),
            ("d/top", false, false),
            ("a/b/c", false, true),
            ("a/b/b/c", false, false),
            ("x/1/2/y", false, true),
        ] {
            assert_eq!(exclude.has(path.as_bytes(), is_folder), left_out, "{path}");
        }
        assert!(exclude.covers(b"d/build/x/y", false));
        assert!(!exclude.covers(b"d/x/y/z", false));
        assert!(Exclude::new(&["[a"]).is_err());
    }

    #[test]
    fn a_tree_may_be_as_deep_as_a_path_is_long() {
        let folder = tempfile::tempdir().unwrap();
        let mut place = folder.path().to_owned();
        let deepest = (4000 - place.as_os_str().len()) / 2;
        for _ in 0..deepest {
            place.push("d");
        }
        std::fs::create_dir_all(&place).unwrap();
        let source = folder.path().join("d");
        // As much of a stack as a thread that copies has.
        let read = std::thread::Builder::new()
            .stack_size(256 * 1024)
            .spawn(move || Tree::read(&[source], Links::Copy, &Exclude::default()));
        let tree = read.unwrap().join().unwrap().unwrap();
        assert_eq!((tree.entries.len(), tree.problems.len()), (deepest, 0));
    }

    #[test]
    fn two_sources_make_one_folder_unless_both_have_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        for (top, name) in [(&one, "a"), (&two, "b")] {
            std::fs::create_dir_all(top.join("shared")).unwrap();
            std::fs::write(top.join("shared").join(name), name).unwrap();
        }
        let read = || {
            let sources = [one.join(""), two.join("")];
            Tree::read(&sources, Links::Copy, &Exclude::default()).map(|tree| {
                let paths = tree.entries.into_iter();
                let paths = paths.map(|it| String::from_utf8(it.entry.path).unwrap());
                paths.collect::<Vec<_>>()
            })
        };
        assert_eq!(read().unwrap(), ["", "shared", "shared/a", "shared/b"]);
        std::fs::write(two.join("shared/a"), "another").unwrap();
        let error = read().unwrap_err();
        assert!(error.contains("two sources have shared/a"), "{error}");
        std::fs::remove_file(two.join("shared/a")).unwrap();
        // A file and a folder of one name.
        std::fs::create_dir(two.join("shared/a")).unwrap();
        assert!(read().is_err());
    }

    #[test]
    fn times_are_as_exact_as_what_keeps_them() {
        let at = |seconds, nanoseconds| Time {
            seconds,
            nanoseconds,
        };
        assert!(at(5, 123_456_789).is_near(at(5, 123_456_000)));
        assert!(at(5, 123_456_789).is_near(at(5, 0)));
        assert!(at(5, 999_999_900).is_near(at(6, 0)));
        assert!(!at(5, 100_000_000).is_near(at(5, 200_000_000)));
        assert!(!at(5, 0).is_near(at(6, 0)));
    }

    #[test]
    fn a_tree_has_each_folder_in_front_of_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        std::fs::create_dir_all(top.join("b/c")).unwrap();
        std::fs::write(top.join("b/c/file"), "x").unwrap();
        std::fs::write(top.join("a"), "x").unwrap();
        std::os::unix::fs::symlink("a", top.join("link")).unwrap();
        std::os::unix::fs::symlink("..", top.join("b/up")).unwrap();
        let read = |source: PathBuf, links| {
            let tree = Tree::read(&[source], links, &Exclude::new(&["*.o"]).unwrap()).unwrap();
            let paths = tree.entries.iter();
            let paths = paths.map(|it| String::from_utf8(it.entry.path.clone()).unwrap());
            (paths.collect::<Vec<_>>(), tree.problems)
        };
        let (paths, problems) = read(top.clone(), Links::Skip);
        assert_eq!(paths, ["top", "top/a", "top/b", "top/b/c", "top/b/c/file"]);
        assert_eq!(problems, []);
        let (paths, _) = read(top.join(""), Links::Copy);
        assert_eq!(paths, ["", "a", "b", "b/c", "b/c/file", "b/up", "link"]);
        let (paths, problems) = read(top.join(""), Links::Follow);
        assert!(paths.contains(&"link".to_owned()));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(Tree::read(&[top.join("no")], Links::Copy, &Exclude::default()).is_err());
    }
}
