//! What a server says is to be fetched, taken only where it keeps the rules: it may name anything.

use super::options::{CopyOptions, Links};
use super::records::{self, Told};
use crate::files::names::{self, Seen, joined};
use crate::files::problem::Problem;
use crate::files::tree::{Entry, Exclude, Kind};

/// One thing to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// As it will be here: its path is that below the destination.
    pub(super) entry: Entry,
    /// Where it is there.
    pub(super) remote: Vec<u8>,
}

/// Bytes of the names of one file or folder, on average over all that may be listed.
const NAME: u64 = 256;
/// Bytes of names that are taken in any case.
const NAMES: u64 = 16 << 20;

/// What a server may still list.
pub(super) struct Budget {
    most: u64,
    rows: u64,
    names: u64,
}

impl Budget {
    /// For what is at so many paths.
    pub(super) fn new(options: &CopyOptions, paths: usize) -> Budget {
        Budget {
            most: options.max_files,
            rows: options.max_files.saturating_add(paths as u64),
            names: options.max_files.saturating_mul(NAME).max(NAMES),
        }
    }

    /// Takes a row. An error ends everything: a limit is reached.
    pub(super) fn take(&mut self, name: &[u8], told: &Told) -> Result<(), String> {
        let target = match told {
            Told::There(entry) => entry.target.len(),
            Told::Absent | Told::Refused(_) => 0,
        };
        let most = self.most;
        self.rows = self.rows.checked_sub(1).ok_or_else(|| {
            format!("there are more than {most} files and folders, the limit that max_files or --max-files sets")
        })?;
        let names = (name.len() + target) as u64;
        self.names = self.names.checked_sub(names).ok_or_else(|| {
            format!("the names of what is there are longer than {most} files and folders have, the limit that max_files or --max-files sets")
        })?;
        Ok(())
    }
}

/// What a path there is called here; empty for one whose content alone is fetched.
pub(super) fn called_here(source: &[u8]) -> &[u8] {
    if source.ends_with(b"/") {
        b""
    } else {
        names::last(source)
    }
}

/// What was listed so far.
pub(super) struct Listing<'a> {
    options: &'a CopyOptions,
    budget: Budget,
    exclude: &'a Exclude,
    /// The paths as the user named them, and what each is called here; empty for one whose content alone is fetched.
    sources: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) wanted: Vec<Wanted>,
    pub(super) problems: Vec<Problem>,
    pub(super) seen: Seen,
    bytes: u64,
    /// The source that the last row was of.
    last: Option<u32>,
}

impl<'a> Listing<'a> {
    pub(super) fn new(
        sources: &[Vec<u8>],
        options: &'a CopyOptions,
        exclude: &'a Exclude,
    ) -> Listing<'a> {
        let named = |source: &Vec<u8>| (source.clone(), called_here(source).to_vec());
        Listing {
            budget: Budget::new(options, sources.len()),
            options,
            exclude,
            sources: sources.iter().map(named).collect(),
            wanted: Vec::new(),
            problems: Vec::new(),
            seen: Seen::default(),
            bytes: 0,
            last: None,
        }
    }

    /// Takes a row. An error ends everything: a limit is reached.
    pub(super) fn add(&mut self, index: u32, name: &[u8], told: Told) -> Result<(), String> {
        let Some((source, top)) = self.sources.get(index as usize) else {
            return Err("the server names what was not asked for".to_owned());
        };
        let path = joined(top, name);
        self.budget.take(name, &told)?;
        let is_top = name.is_empty();
        if is_top && self.last.is_some_and(|last| last >= index)
            || !is_top && self.last != Some(index)
        {
            return Err("the server names things out of order".to_owned());
        }
        self.last = Some(index);
        let remote = joined(source, name);
        let entry = match told {
            Told::There(entry) => entry,
            Told::Absent if is_top => {
                let wild = source.iter().any(|byte| b"*?[".contains(byte));
                self.refuse(
                    &remote,
                    if wild {
                        "there is no such file or folder, and paths there are taken without wildcards"
                    } else {
                        "there is no such file or folder"
                    },
                );
                return Ok(());
            }
            Told::Absent => return Ok(()),
            Told::Refused(reason) => {
                self.refuse(&remote, &reason);
                return Ok(());
            }
        };
        let is_folder = entry.kind == Kind::Folder;
        // What is in several sources goes to one folder.
        if is_folder && self.sources.len() > 1 && self.seen.has_folder(&path) {
            return Ok(());
        }
        let plain = if path.is_empty() {
            (!is_folder).then_some("it is not a folder; name it without a slash at the end")
        } else {
            names::refused(&path)
        };
        if let Some(reason) = plain.or_else(|| self.seen.add(&path, is_folder)) {
            self.refuse(&remote, reason);
            return Ok(());
        }
        if !path.is_empty() && self.exclude.covers(&path, is_folder) {
            return Ok(());
        }
        match entry.kind {
            Kind::Other => self.refuse(&remote, "it is a device, a pipe or a socket"),
            Kind::Link if self.options.links == Links::Skip => {}
            Kind::Link if is_top => self.refuse(&remote, "it is a link that leads nowhere"),
            Kind::Link => match names::refused_target(&path, &entry.target) {
                Some(reason) => self.refuse(&remote, reason),
                None => self.want(path, remote, entry)?,
            },
            Kind::File | Kind::Folder => self.want(path, remote, entry)?,
        }
        Ok(())
    }

    fn want(&mut self, path: Vec<u8>, remote: Vec<u8>, entry: Entry) -> Result<(), String> {
        if entry.kind == Kind::File {
            self.bytes = self.bytes.saturating_add(entry.size);
            if let Some(most) = self.options.max_bytes
                && self.bytes > most
            {
                return Err(format!(
                    "there are more than {most} bytes, the limit that max_bytes or --max-bytes sets"
                ));
            }
        }
        let entry = Entry { path, ..entry };
        self.wanted.push(Wanted { entry, remote });
        Ok(())
    }

    fn refuse(&mut self, path: &[u8], reason: &str) {
        // A server could name any number of them.
        if self.problems.len() < 10_000 {
            self.problems.push(records::problem(path, reason));
        }
    }

    /// Whether it is one file, which may get another name here.
    pub(super) fn is_one_file(&self) -> bool {
        self.sources.len() == 1
            && matches!(self.wanted.as_slice(), [one] if one.entry.kind == Kind::File)
    }

    /// The names at the top.
    pub(super) fn tops(&self) -> impl Iterator<Item = &[u8]> {
        self.sources.iter().map(|(_, top)| top.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tree::Time;

    fn entry(kind: Kind, size: u64, target: &str) -> Told {
        Told::There(Entry {
            path: Vec::new(),
            kind,
            mode: 0o6777,
            size,
            time: Time {
                seconds: 0,
                nanoseconds: 0,
            },
            target: target.into(),
        })
    }

    fn file(size: u64) -> Told {
        entry(Kind::File, size, "")
    }

    fn folder() -> Told {
        entry(Kind::Folder, 0, "")
    }

    /// What is taken of these rows, all of one source, and how many problems there are.
    fn taken(
        rows: Vec<(&str, Told)>,
        options: &CopyOptions,
    ) -> Result<(Vec<String>, usize), String> {
        let exclude = Exclude::new(&options.exclude)?;
        let mut listing = Listing::new(&[b"/srv/top".to_vec()], options, &exclude);
        listing.add(0, b"", folder())?;
        for (name, told) in rows {
            listing.add(0, name.as_bytes(), told)?;
        }
        let paths = listing.wanted.iter();
        let paths = paths.map(|it| String::from_utf8_lossy(&it.entry.path).into_owned());
        Ok((paths.collect(), listing.problems.len()))
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused_and_the_rest_is_taken() {
        let options = CopyOptions::default();
        for bad in [
            "..",
            "../x",
            "/etc/x",
            "a/../../x",
            "a//b",
            ".",
            "./x",
            "x\0",
            "no/x",
        ] {
            let (paths, problems) =
                taken(vec![(bad, file(1)), ("good", file(1))], &options).unwrap();
            assert_eq!(
                (paths, problems),
                (vec!["top".into(), "top/good".into()], 1),
                "{bad}"
            );
        }
        let rows = vec![("a", file(1)), ("a/b", file(1)), ("a", folder())];
        assert_eq!(
            taken(rows, &options).unwrap(),
            (vec!["top".into(), "top/a".into()], 2)
        );
        let rows = vec![("link", entry(Kind::Link, 0, ".")), ("link/x", file(1))];
        assert_eq!(taken(rows, &options).unwrap().1, 1);
    }

    #[test]
    fn links_lead_to_what_is_fetched_and_nothing_else_is_made() {
        let options = CopyOptions::default();
        for (target, good) in [
            ("x", true),
            ("../x", true),
            ("../../x", false),
            ("/x", false),
            ("", false),
            ("a/..", false),
        ] {
            let (_, problems) =
                taken(vec![("link", entry(Kind::Link, 0, target))], &options).unwrap();
            assert_eq!(problems == 0, good, "{target}");
        }
        let (paths, problems) =
            taken(vec![("device", entry(Kind::Other, 0, ""))], &options).unwrap();
        assert_eq!((paths.len(), problems), (1, 1));
    }

    #[test]
    fn limits_end_it() {
        let mut options = CopyOptions {
            max_bytes: Some(10),
            ..CopyOptions::default()
        };
        assert!(taken(vec![("a", file(5)), ("b", file(5))], &options).is_ok());
        assert!(taken(vec![("a", file(5)), ("b", file(6))], &options).is_err());
        assert!(taken(vec![("a", file(u64::MAX)), ("b", file(u64::MAX))], &options).is_err());
        options.max_files = 1;
        assert!(taken(vec![("a", file(0))], &options).is_ok());
        // What is refused counts too.
        assert!(taken(vec![("a", file(0)), ("../b", file(0))], &options).is_err());
    }

    #[test]
    fn names_are_no_longer_than_so_many_files_have() {
        let long = |n: usize| format!("{n:0>200}/").repeat(20) + "x";
        let options = CopyOptions {
            max_files: 10_000,
            ..CopyOptions::default()
        };
        let rows = |count| (0..count).map(|n| (long(n), file(0)));
        let rows = |count| rows(count).collect::<Vec<_>>();
        let taken = |rows: &[(String, Told)]| {
            let rows = rows
                .iter()
                .map(|(name, told)| (name.as_str(), told.clone()));
            taken(rows.collect(), &options)
        };
        assert!(taken(&rows(4_000)).is_ok());
        assert!(taken(&rows(5_000)).unwrap_err().contains("max_files"));
    }

    #[test]
    fn what_is_in_two_sources_goes_to_one_folder() {
        let (options, exclude) = (CopyOptions::default(), Exclude::default());
        let mut listing = Listing::new(&[b"a/".to_vec(), b"b/".to_vec()], &options, &exclude);
        for (index, name) in [(0, "d/x"), (1, "d/y")] {
            listing.add(index, b"", folder()).unwrap();
            listing.add(index, b"d", folder()).unwrap();
            listing.add(index, name.as_bytes(), file(1)).unwrap();
        }
        let paths = listing.wanted.iter();
        let paths: Vec<_> = paths.map(|it| it.entry.path.as_slice()).collect();
        assert_eq!(paths, [&b""[..], b"d", b"d/x", b"d/y"]);
        assert_eq!(listing.problems, []);
        // Only one of two files can be there.
        listing.add(1, b"d/x", file(1)).unwrap();
        assert_eq!(listing.problems.len(), 1);
    }

    #[test]
    fn rows_come_in_the_order_of_what_was_asked_for() {
        let (options, exclude) = (CopyOptions::default(), Exclude::default());
        let sources = [b"a".to_vec(), b"b".to_vec()];
        let all = |rows: &[(u32, &str)]| {
            let mut listing = Listing::new(&sources, &options, &exclude);
            let mut rows = rows.iter();
            rows.try_for_each(|(index, name)| listing.add(*index, name.as_bytes(), folder()))
        };
        assert!(all(&[(0, ""), (0, "x"), (1, ""), (1, "x")]).is_ok());
        for bad in [
            &[(0, "x")][..],
            &[(0, ""), (0, "")],
            &[(1, ""), (0, "")],
            &[(0, ""), (1, "x")],
            &[(2, "")],
        ] {
            assert!(all(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_excluded_is_not_fetched() {
        let options = CopyOptions {
            exclude: vec!["*.o".into(), "build/".into()],
            ..CopyOptions::default()
        };
        let rows = vec![
            ("a.o", file(1)),
            ("build", folder()),
            ("build/x", file(1)),
            ("x", file(1)),
        ];
        assert_eq!(
            taken(rows, &options).unwrap(),
            (vec!["top".into(), "top/x".into()], 0)
        );
    }
}
