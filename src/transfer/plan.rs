//! What a copy has to do: what is to be there, beside what is there.

use std::collections::HashSet;

use super::options::{Change, Skip};
use super::records::Given;
use crate::files::tree::{Entry, Kind};

/// What has to be done about something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Same,
    /// That.
    Change(Change),
    /// Only the content can tell; size and kind are the same.
    Ask,
    /// It cannot be there, because a folder that it is in cannot; that is said of the folder.
    Blocked,
}

/// Blocks what is in folders in whose place there is something else: through a link there it would be written elsewhere.
pub(super) fn block<'a>(entries: impl Iterator<Item = &'a Entry>, verdicts: &mut [Verdict]) {
    let mut blocked: HashSet<&[u8]> = HashSet::new();
    // Each folder comes in front of what is in it.
    for (entry, verdict) in entries.zip(verdicts) {
        if above(&entry.path)
            .last()
            .is_some_and(|it| blocked.contains(it))
        {
            *verdict = Verdict::Blocked;
        }
        let no_folder = matches!(verdict, Verdict::Blocked | Verdict::Change(Change::Kind));
        if no_folder && entry.kind == Kind::Folder {
            blocked.insert(&entry.path);
        }
    }
}

/// Compares what is to be there with what is there.
pub(super) fn verdict(wanted: &Entry, given: Given, there: Option<&Entry>, skip: Skip) -> Verdict {
    let Some(there) = there else {
        return Verdict::Change(Change::New);
    };
    match (wanted.kind, there.kind) {
        (Kind::Folder, Kind::Folder) => attributes(given, there),
        (Kind::File, Kind::File) if wanted.size != there.size => Verdict::Change(Change::Content),
        (Kind::File, Kind::File) => match skip {
            Skip::Never => Verdict::Change(Change::Content),
            Skip::Content => Verdict::Ask,
            Skip::Same if wanted.time.is_near(there.time) => attributes(given, there),
            Skip::Same => Verdict::Change(Change::Content),
        },
        (Kind::Link, Kind::Link) if wanted.target == there.target => Verdict::Same,
        (Kind::Link | Kind::File, Kind::Link | Kind::File) => Verdict::Change(Change::Content),
        _ => Verdict::Change(Change::Kind),
    }
}

/// The verdict where the content is the same.
pub(super) fn attributes(given: Given, there: &Entry) -> Verdict {
    let time = given.time.is_none_or(|time| time.is_near(there.time));
    if time && given.mode == there.mode {
        Verdict::Same
    } else {
        Verdict::Change(Change::Attributes)
    }
}

/// The reason why something of another kind stays.
pub(super) fn in_the_way(wanted: Kind) -> &'static str {
    match wanted {
        Kind::Folder => "it is there and is not a folder; remove it first",
        _ => "it is there and is neither a file nor a link; remove it first",
    }
}

/// The folders that a path is in.
pub(super) fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate();
    let slashes = slashes.filter(|(_, byte)| **byte == b'/');
    slashes.filter_map(|(place, _)| path.get(..place))
}

/// Of what is in folders there, what is not to be there: what is in a folder in front of it, so that it can be removed in this order.
pub(super) fn extras<'a>(
    there: impl Iterator<Item = &'a Entry>,
    stays: impl Fn(&Entry) -> bool,
) -> Vec<Entry> {
    let mut extras: Vec<Entry> = Vec::new();
    // Folders that hold what stays.
    let mut kept: HashSet<&[u8]> = HashSet::new();
    let all: Vec<&Entry> = there.collect();
    // Each folder comes in front of what is in it, so backwards what stays is known before the folders that hold it.
    for entry in all.into_iter().rev() {
        if kept.contains(entry.path.as_slice()) || stays(entry) {
            kept.extend(above(&entry.path));
        } else {
            extras.push(entry.clone());
        }
    }
    extras
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tree::Time;

    fn entry(kind: Kind, size: u64, seconds: i64) -> Entry {
        Entry {
            path: b"x".to_vec(),
            kind,
            mode: 0o644,
            size,
            time: Time {
                seconds,
                nanoseconds: 0,
            },
            target: Vec::new(),
        }
    }

    fn of(wanted: &Entry, there: &Entry, skip: Skip) -> Verdict {
        let given = Given {
            mode: wanted.mode,
            time: Some(wanted.time),
        };
        verdict(wanted, given, Some(there), skip)
    }

    #[test]
    fn a_file_is_sent_again_where_something_tells_that_it_differs() {
        let file = |size, seconds| entry(Kind::File, size, seconds);
        let content = Verdict::Change(Change::Content);
        assert_eq!(of(&file(5, 1), &file(5, 1), Skip::Same), Verdict::Same);
        assert_eq!(of(&file(5, 1), &file(5, 2), Skip::Same), content);
        assert_eq!(of(&file(5, 1), &file(6, 1), Skip::Same), content);
        assert_eq!(of(&file(5, 1), &file(6, 1), Skip::Content), content);
        assert_eq!(of(&file(5, 1), &file(5, 2), Skip::Content), Verdict::Ask);
        assert_eq!(of(&file(5, 1), &file(5, 1), Skip::Never), content);
        let mut other = file(5, 1);
        other.mode = 0o600;
        let attributes = Verdict::Change(Change::Attributes);
        assert_eq!(of(&other, &file(5, 1), Skip::Same), attributes);
    }

    #[test]
    fn a_folder_takes_no_place_of_a_file_and_no_file_that_of_a_folder() {
        let [file, folder, link, other] =
            [Kind::File, Kind::Folder, Kind::Link, Kind::Other].map(|kind| entry(kind, 0, 1));
        let kind = Verdict::Change(Change::Kind);
        let content = Verdict::Change(Change::Content);
        for (wanted, there, expected) in [
            (&folder, &file, kind),
            (&folder, &link, kind),
            (&file, &folder, kind),
            (&file, &other, kind),
            (&link, &folder, kind),
            (&file, &link, content),
            (&link, &file, content),
            (&link, &link, Verdict::Same),
            (&folder, &folder, Verdict::Same),
        ] {
            let found = of(wanted, there, Skip::Same);
            assert_eq!(found, expected, "{:?} {:?}", wanted.kind, there.kind);
        }
    }

    #[test]
    fn what_is_in_a_folder_that_cannot_be_there_is_blocked() {
        let entry = |path: &str, kind| Entry {
            path: path.into(),
            ..entry(kind, 0, 1)
        };
        let entries = [
            entry("a", Kind::Folder),
            entry("a/b", Kind::Folder),
            entry("a/b/c", Kind::File),
            entry("a/d", Kind::File),
            entry("ab", Kind::File),
        ];
        let new = Verdict::Change(Change::New);
        let kind = Verdict::Change(Change::Kind);
        let mut verdicts = [Verdict::Same, kind, new, new, new];
        block(entries.iter(), &mut verdicts);
        assert_eq!(verdicts, [Verdict::Same, kind, Verdict::Blocked, new, new]);
    }

    #[test]
    fn extras_come_with_what_is_in_them_first_and_never_what_holds_something() {
        let there: Vec<Entry> = ["a", "a/b", "a/b/keep", "a/c", "d", "d/e"]
            .map(|path| Entry {
                path: path.into(),
                ..entry(
                    if path.len() < 4 && path != "a/c" && path != "d/e" {
                        Kind::Folder
                    } else {
                        Kind::File
                    },
                    0,
                    1,
                )
            })
            .into();
        let extras = extras(there.iter(), |entry| entry.path.ends_with(b"keep"));
        let paths: Vec<_> = extras.iter().map(|it| it.path.as_slice()).collect();
        assert_eq!(paths, [b"d/e".as_slice(), b"d", b"a/c"]);
    }
}
