//! Files from one host, which is believed nothing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::listing::{Listing, Wanted};
use super::options::{Change, Copied, CopyOptions, Links};
use super::plan::{self, Verdict};
use super::put::blocking;
use super::records::{self, Given};
use super::report::Report;
use super::source::{PIECE, SMALL, digest_of, ending_of};
use super::steps::{Step, Steps};
use super::writer::{Part, Writer};
use crate::client::Client;
use crate::error::Error;
use crate::files::below::Below;
use crate::files::names::joined;
use crate::files::problem::Problem;
use crate::files::tree::{Entry, Exclude, Kind};

/// Bytes and files that are asked for at a time.
const PACK: (u64, usize) = (256 * 1024, 400);
/// How many questions are on their way.
const ASKED: usize = 8;

/// One host's part of a copy from it.
pub(super) struct Get {
    steps: Steps,
    options: CopyOptions,
    exclude: Exclude,
    report: Report,
    wanted: Vec<Wanted>,
    verdicts: Vec<Verdict>,
    extras: Vec<Entry>,
}

/// What is asked for at a time.
type Asked = (Step, Vec<Part>);

impl Get {
    pub(super) fn new(client: &Client, options: CopyOptions, exclude: Exclude) -> Get {
        Get {
            steps: Steps::new(client),
            report: Report::new(client.host(), &options),
            options,
            exclude,
            wanted: Vec::new(),
            verdicts: Vec::new(),
            extras: Vec::new(),
        }
    }

    fn failed(&self, path: &[u8], reason: impl AsRef<str>) -> Error {
        Error::Files {
            host: self.report.host().to_owned(),
            problems: vec![Problem::new(path, reason)],
        }
    }

    /// Copies.
    pub(super) async fn copy(mut self, sources: &[Vec<u8>], dest: &Path) -> Result<Copied, Error> {
        let mut below = self.find_out(sources, dest).await?;
        self.count();
        let mut writer = self.writer();
        let mut writer = blocking(move || {
            let problems = writer.make_folders(&mut below);
            (writer, below, problems)
        })
        .await?;
        self.report.problems.append(&mut writer.2);
        let (writer, below) = self.fetch(writer.0, writer.1).await?;
        let extras = if self.options.delete {
            std::mem::take(&mut self.extras)
        } else {
            Vec::new()
        };
        let (problems, counts) = blocking(move || writer.finish(below, &extras)).await?;
        self.report.problems.extend(problems);
        self.report.copied.files = counts.files;
        self.report.copied.folders = counts.folders;
        self.report.copied.links = counts.links;
        self.report.copied.deleted = counts.deleted;
        self.report.end()
    }

    /// Lists what is there, and compares it with what is here.
    async fn find_out(&mut self, sources: &[Vec<u8>], dest: &Path) -> Result<Below, Error> {
        let (options, exclude) = (self.options.clone(), self.exclude.clone());
        let mut listing = Listing::new(sources, &options, &exclude);
        let asked: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
        let follow = u8::from(self.options.links == Links::Follow);
        let mut answer = self
            .steps
            .step("walk", records::paths(follow, &asked))
            .await?;
        while !answer.is_empty() {
            let rows = records::rows(answer).map_err(|_| self.steps.malformed())?;
            for (index, name, told) in rows {
                listing
                    .add(index, &name, told)
                    .map_err(|reason| self.failed(&name, reason))?;
            }
            answer = self.steps.step("more", Vec::new()).await?;
        }
        let one_file = listing.is_one_file();
        let alike = listing.seen.alike().map(<[u8]>::to_vec);
        let tops: Vec<Vec<u8>> = listing.tops().map(<[u8]>::to_vec).collect();
        self.report.problems.append(&mut listing.problems);
        self.wanted = listing.wanted;
        if self.wanted.is_empty() {
            self.report.check()?;
        }
        let (folder, name) = destination(dest, one_file);
        if let (Some(name), Some(one)) = (name, self.wanted.first_mut()) {
            one.entry.path = name;
        }
        self.compare(folder, tops, alike).await
    }

    async fn compare(
        &mut self,
        folder: PathBuf,
        tops: Vec<Vec<u8>>,
        alike: Option<Vec<u8>>,
    ) -> Result<Below, Error> {
        let (wanted, options, exclude) = (
            self.wanted.clone(),
            self.options.clone(),
            self.exclude.clone(),
        );
        let shown = folder.as_os_str().as_bytes().to_vec();
        let found = blocking(move || -> Result<_, (Vec<u8>, String)> {
            let name = folder.as_os_str().as_bytes();
            let fail = |path: &[u8], error: std::io::Error| (joined(name, path), error.to_string());
            let mut below = Below::open(&folder, true).map_err(|error| fail(b"", error))?;
            if let Some(path) = alike
                && below.folds_case().map_err(|error| fail(b"", error))?
            {
                let reason = "another name differs from it in case alone, and this folder holds only one of them";
                return Err((path, reason.to_owned()));
            }
            let mut verdicts = Vec::new();
            for one in &wanted {
                let there = below.look(&one.entry.path).unwrap_or_default();
                verdicts.push(plan::verdict(
                    &one.entry,
                    given(&options, &one.entry),
                    there.as_ref(),
                    options.skip,
                ));
            }
            plan::block(wanted.iter().map(|one| &one.entry), &mut verdicts);
            let mut extras = Vec::new();
            if options.delete {
                let ours: HashSet<&[u8]> =
                    wanted.iter().map(|one| one.entry.path.as_slice()).collect();
                let mut here = Vec::new();
                for top in &tops {
                    let is_folder = wanted
                        .iter()
                        .any(|one| one.entry.path == *top && one.entry.kind == Kind::Folder);
                    if is_folder
                        && below
                            .look(top)
                            .ok()
                            .flatten()
                            .is_some_and(|it| it.kind == Kind::Folder)
                    {
                        let listed = below.list(top);
                        here.extend(listed.map_err(|(path, error)| fail(&path, error))?);
                    }
                }
                extras = plan::extras(here.iter(), |entry| {
                    ours.contains(entry.path.as_slice())
                        || exclude.covers(&entry.path, entry.kind == Kind::Folder)
                });
            }
            Ok((below, verdicts, extras))
        });
        let (below, verdicts, extras) = found.await?.map_err(|(path, reason)| {
            let path = if path.is_empty() { shown } else { path };
            self.failed(&path, reason)
        })?;
        // What a server could not list may still be there.
        if self.options.delete && !self.report.problems.is_empty() {
            self.options.delete = false;
        }
        self.verdicts = verdicts;
        self.extras = extras;
        self.ask_for_digests(below).await
    }

    /// Settles what only the content can tell.
    async fn ask_for_digests(&mut self, mut below: Below) -> Result<Below, Error> {
        for place in 0..self.verdicts.len() {
            let (Some(Verdict::Ask), Some(one)) =
                (self.verdicts.get(place), self.wanted.get(place))
            else {
                continue;
            };
            let asked = records::digest(one.entry.size, None, &one.remote);
            let pending = self.steps.start("digest", asked);
            let entry = one.entry.clone();
            let (kept, here, there) = blocking(move || {
                let there = below.look(&entry.path).ok().flatten();
                let file = below.read(&entry.path).ok();
                let here = file.and_then(|file| digest_of(file, entry.size));
                (below, here, there)
            })
            .await?;
            below = kept;
            let told = self.steps.answer(pending).await?;
            let same = here.is_some_and(|here| here[..] == told[..]);
            let settled = match there {
                Some(there) if same => plan::attributes(given(&self.options, &one.entry), &there),
                _ => Verdict::Change(Change::Content),
            };
            if let Some(verdict) = self.verdicts.get_mut(place) {
                *verdict = settled;
            }
        }
        Ok(below)
    }

    fn count(&mut self) {
        for (one, verdict) in self.wanted.iter().zip(&self.verdicts) {
            match verdict {
                Verdict::Change(Change::New | Change::Content) if one.entry.kind == Kind::File => {
                    self.report.expect(one.entry.size);
                }
                Verdict::Same => self.report.copied.unchanged += 1,
                _ => {}
            }
        }
    }

    fn writer(&self) -> Writer {
        let all = self.wanted.iter().zip(&self.verdicts);
        let all = all.map(|(one, verdict)| {
            (
                one.entry.clone(),
                given(&self.options, &one.entry),
                *verdict,
            )
        });
        Writer::new(all.collect(), self.options.resume, self.options.fsync)
    }

    /// Fetches contents, in the order in which they were listed.
    async fn fetch(
        &mut self,
        mut writer: Writer,
        mut below: Below,
    ) -> Result<(Writer, Below), Error> {
        let mut asked: VecDeque<Asked> = VecDeque::new();
        let mut pack = (Vec::new(), Vec::new(), 0);
        let wanted = std::mem::take(&mut self.wanted);
        let mut kept: HashMap<usize, u64> = HashMap::new();
        for (place, one) in wanted.iter().enumerate() {
            let changed = matches!(
                self.verdicts.get(place),
                Some(Verdict::Change(Change::New | Change::Content))
            );
            if one.entry.kind != Kind::File || !changed || writer.has_failed(place) {
                continue;
            }
            let follow = self.options.links == Links::Follow || is_top(one);
            let mut offset = 0;
            let large = one.entry.size > SMALL;
            if large && self.options.resume {
                let (returned, left) = self.left(below, one).await?;
                below = returned;
                offset = left;
                kept.insert(place, left);
                self.report.copied.resumed += left;
                self.report.advance(0, left);
            }
            loop {
                let size = (one.entry.size - offset).min(PIECE) as u32;
                let part = Part {
                    place,
                    offset,
                    size,
                    kept: (large && Some(&offset) == kept.get(&place)).then_some(offset),
                };
                records::wanted(&mut pack.0, &one.remote, follow, offset, size);
                pack.1.push(part);
                pack.2 += u64::from(size);
                offset += u64::from(size);
                if pack.2 >= PACK.0 || pack.1.len() >= PACK.1 {
                    let (data, parts, _) = std::mem::take(&mut pack);
                    asked.push_back((self.steps.start("read", data), parts));
                    while asked.len() >= ASKED {
                        (writer, below) = self.taken(asked.pop_front(), writer, below).await?;
                    }
                }
                if offset >= one.entry.size || writer.has_failed(place) {
                    break;
                }
            }
        }
        if !pack.1.is_empty() {
            asked.push_back((self.steps.start("read", pack.0), pack.1));
        }
        while !asked.is_empty() {
            (writer, below) = self.taken(asked.pop_front(), writer, below).await?;
        }
        Ok((writer, below))
    }

    /// How much an earlier attempt left of a file, if it is the same.
    async fn left(&self, mut below: Below, one: &Wanted) -> Result<(Below, u64), Error> {
        let (path, size) = (one.entry.path.clone(), one.entry.size);
        let ending = ending(&one.entry);
        let (below, found) = blocking(move || {
            let found = below.left(&path, &ending).and_then(|(left, file)| {
                // What is left of a whole piece is fetched again.
                let left = left.min(size - 1) / PIECE * PIECE;
                (left > 0).then_some((left, digest_of(file, left)?))
            });
            (below, found)
        })
        .await?;
        let Some((left, here)) = found else {
            return Ok((below, 0));
        };
        let there = self
            .steps
            .step("digest", records::digest(left, None, &one.remote))
            .await?;
        Ok((below, if here[..] == there[..] { left } else { 0 }))
    }

    /// Waits for an answer and writes what is in it.
    async fn taken(
        &mut self,
        asked: Option<Asked>,
        mut writer: Writer,
        mut below: Below,
    ) -> Result<(Writer, Below), Error> {
        let Some((pending, parts)) = asked else {
            return Ok((writer, below));
        };
        let answer = self.steps.long_answer(pending).await?;
        let (writer, below, taken) = blocking(move || {
            let taken = writer.take(&mut below, &parts, answer);
            (writer, below, taken)
        })
        .await?;
        let taken = taken.map_err(|_| self.steps.malformed())?;
        self.report.copied.bytes += taken.bytes;
        self.report.advance(taken.files, taken.bytes);
        self.report.problems.extend(taken.problems);
        Ok((writer, below))
    }
}

/// Whether it is what the user named, which may be a link.
fn is_top(one: &Wanted) -> bool {
    !one.entry.path.contains(&b'/')
}

/// The ending of a large file's name while it arrives.
pub(super) fn ending(entry: &Entry) -> String {
    String::from_utf8_lossy(&ending_of(entry.size, entry.time, b"")).into_owned()
}

fn given(options: &CopyOptions, entry: &Entry) -> Given {
    Given {
        mode: options.mode(entry.mode, entry.kind == Kind::Folder, false),
        time: options.times.then_some(entry.time),
    }
}

/// The folder that all goes to, and the name of a single file where that is given.
fn destination(dest: &Path, one_file: bool) -> (PathBuf, Option<Vec<u8>>) {
    let text = dest.as_os_str().as_bytes();
    let name = dest.file_name();
    match (name, dest.parent()) {
        (Some(name), Some(parent)) if one_file && !text.ends_with(b"/") && !dest.is_dir() => {
            let parent = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            (parent.to_owned(), Some(name.as_bytes().to_vec()))
        }
        _ if text.is_empty() => (PathBuf::from("."), None),
        _ => (dest.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_file_gets_the_name_of_the_destination_unless_that_is_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let name = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(
            destination(&here.join("new"), true),
            (here.into(), name("new"))
        );
        assert_eq!(destination(here, true), (here.into(), None));
        assert_eq!(
            destination(&here.join("new/"), true),
            (here.join("new/"), None)
        );
        assert_eq!(
            destination(&here.join("new"), false),
            (here.join("new"), None)
        );
        assert_eq!(
            destination(Path::new("new"), true),
            (".".into(), name("new"))
        );
        assert_eq!(destination(Path::new(""), true), (".".into(), None));
        assert_eq!(destination(Path::new(".."), true), ("..".into(), None));
    }
}
