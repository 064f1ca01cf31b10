//! Names of files that somebody else chose, and where links of theirs may lead: the rules for what is taken.

use std::collections::{HashMap, HashSet};

/// The longest name that common file systems take.
const LONGEST_NAME: usize = 255;
/// The longest path.
const LONGEST_PATH: usize = 4096;
/// How many folders deep a tree may be.
const DEEPEST: usize = 100;

/// Why a path of a peer's, relative and with slashes, may not be used; each part is a plain name below the folder that it is in.
pub(crate) fn refused(path: &[u8]) -> Option<&'static str> {
    if path.len() > LONGEST_PATH {
        return Some("its path is too long");
    }
    let mut parts = 0;
    for part in path.split(|byte| *byte == b'/') {
        parts += 1;
        match part {
            b"" => return Some("its path is absolute or has an empty part"),
            b"." | b".." => return Some("its path leads out of the folder"),
            _ if part.contains(&0) => return Some("its path has a NUL"),
            _ if part.len() > LONGEST_NAME => return Some("a name in its path is too long"),
            _ => {}
        }
    }
    (parts > DEEPEST).then_some("it is too many folders deep")
}

/// Why a symbolic link of a peer's at `path` may not lead to `target`: it has to stay within the folder whatever else is a link there.
///
/// `..` is taken at the beginning only, and not further than to the top: behind a name it would be that of wherever the name leads to.
pub(crate) fn refused_target(path: &[u8], target: &[u8]) -> Option<&'static str> {
    if target.is_empty() || target.contains(&0) || target.len() > LONGEST_PATH {
        return Some("what it leads to is not a path");
    }
    if target.starts_with(b"/") {
        return Some("it leads to an absolute path");
    }
    let above = path.iter().filter(|byte| **byte == b'/').count();
    let mut up = 0;
    let mut named = false;
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if named || up == above => return Some("it leads out of the folder"),
            b".." => up += 1,
            _ => named = true,
        }
    }
    None
}

/// What is known of the paths of a tree while they come, for those that cannot be there at the same time.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    exact: HashMap<Vec<u8>, bool>,
    folded: HashSet<String>,
    /// Two paths that differ in case alone.
    alike: Option<(Vec<u8>, String)>,
}

impl Seen {
    /// Takes the next path. Why it may not come now: it was there before, or what it is in is no folder.
    pub(crate) fn add(&mut self, path: &[u8], is_folder: bool) -> Option<&'static str> {
        if let Some(place) = path.iter().rposition(|byte| *byte == b'/') {
            let above = path.get(..place).unwrap_or_default();
            if self.exact.get(above) != Some(&true) {
                return Some("what it is in is not a folder that was named before");
            }
        }
        if self.exact.insert(path.to_vec(), is_folder).is_some() {
            return Some("it was named twice");
        }
        let folded = String::from_utf8_lossy(path).to_lowercase();
        if self.alike.is_none() && self.folded.contains(&folded) {
            self.alike = Some((path.to_vec(), folded.clone()));
        }
        self.folded.insert(folded);
        None
    }

    /// Whether a folder of this path came.
    pub(crate) fn has_folder(&self, path: &[u8]) -> bool {
        self.exact.get(path) == Some(&true)
    }

    /// A path that differs from another one in case alone, which where upper and lower case are the same would take its place.
    pub(crate) fn alike(&self) -> Option<&[u8]> {
        self.alike.as_ref().map(|(path, _)| path.as_slice())
    }
}

/// The last part of a path, such as a user writes it; empty where it has none of its own.
pub(crate) fn last(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/');
    let path = end.and_then(|end| path.get(..=end)).unwrap_or_default();
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    match name {
        b"." | b".." | b"~" => b"",
        name => name,
    }
}

/// Says so where two sources of a copy have the same name.
///
/// # Errors
/// Where two have it: one would take the place of the other, or both would become one.
pub(crate) fn differ<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Result<(), String> {
    let mut seen = HashSet::new();
    let mut names = names.into_iter().filter(|name| !name.is_empty());
    match names.find(|name| !seen.insert(*name)) {
        Some(name) => Err(format!(
            "two sources are called {}",
            crate::visible::one_line(&String::from_utf8_lossy(name))
        )),
        None => Ok(()),
    }
}

/// Both, with a slash between them where neither is empty.
pub(crate) fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = folder.to_vec();
    if !folder.is_empty() && !name.is_empty() && !folder.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_below_the_folder_are_taken() {
        for good in [
            "a", "a/b", "...", "a b", "\u{e4}", ".a", "a..", "-a", "a\\b",
        ] {
            assert_eq!(refused(good.as_bytes()), None, "{good}");
        }
        assert_eq!(refused(b"\xff\xfe"), None);
        for bad in [
            "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "./a", "a/.", "a\0b",
        ] {
            assert!(refused(bad.as_bytes()).is_some(), "{bad:?}");
        }
        assert!(refused(&[b'a'; 256]).is_some());
        assert!(refused("a/".repeat(3000).as_bytes()).is_some());
        assert!(refused(vec!["a"; 101].join("/").as_bytes()).is_some());
    }

    #[test]
    fn links_stay_within_the_folder() {
        let refused =
            |path: &str, target: &str| refused_target(path.as_bytes(), target.as_bytes()).is_some();
        for (path, target) in [
            ("a", "b"),
            ("a", "b/c"),
            ("d/a", "../b"),
            ("d/e/a", "../../b/c"),
            ("a", "."),
            ("a", "./b"),
            ("a", "..b"),
        ] {
            assert!(!refused(path, target), "{path} {target}");
        }
        for (path, target) in [
            ("a", ".."),
            ("a", "../b"),
            ("d/a", "../../b"),
            ("d/a", "./../../b"),
            ("a", "/etc"),
            ("a", ""),
            ("a", "b\0"),
            // `b` may be a link to a folder further up, whose `..` is outside.
            ("a", "b/../c"),
            ("d/e/a", "b/.."),
        ] {
            assert!(refused(path, target), "{path} {target}");
        }
    }

    #[test]
    fn a_path_comes_once_and_behind_its_folder() {
        let mut seen = Seen::default();
        assert_eq!(seen.add(b"a", true), None);
        assert_eq!(seen.add(b"a/b", false), None);
        assert!(seen.add(b"a/b", false).is_some());
        assert!(seen.add(b"a/b/c", false).is_some());
        assert!(seen.add(b"x/y", false).is_some());
        assert_eq!(seen.alike(), None);
        assert_eq!(seen.add(b"a/B", false), None);
        assert_eq!(seen.alike(), Some(&b"a/B"[..]));
    }

    #[test]
    fn the_last_part_is_a_name_of_its_own() {
        for (path, name) in [
            ("a", "a"),
            ("/a/b", "b"),
            ("/a/b//", "b"),
            ("/", ""),
            ("..", ""),
            ("a/..", ""),
            ("~", ""),
            ("", ""),
        ] {
            assert_eq!(last(path.as_bytes()), name.as_bytes(), "{path}");
        }
        assert_eq!(joined(b"", b"a"), b"a");
        assert_eq!(joined(b"/", b"a"), b"/a");
        assert_eq!(joined(b"a", b""), b"a");
        assert_eq!(joined(b"a", b"b"), b"a/b");
    }
}
