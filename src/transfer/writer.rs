//! Writes what one host sends of the files that were asked for, each to where it is wanted and no further than it is long.

use std::collections::{HashMap, HashSet};

use super::get::ending;
use super::options::Change;
use super::plan::{self, Verdict};
use super::records::{self, Given, Malformed};
use super::source::SMALL;
use crate::files::arriving::Arriving;
use crate::files::below::Below;
use crate::files::problem::Problem;
use crate::files::tree::{Entry, Kind};
use crate::wire::Segments;

/// A part of a file that was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// The place of the file among all.
    pub(super) place: usize,
    pub(super) offset: u64,
    pub(super) size: u32,
    /// It is the first that is asked for of a large file; so many bytes are there already.
    pub(super) kept: Option<u64>,
}

/// What was done.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub(super) files: u64,
    pub(super) folders: u64,
    pub(super) links: u64,
    pub(super) deleted: u64,
}

/// What was taken of an answer.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) problems: Vec<Problem>,
}

pub(super) struct Writer {
    all: Vec<(Entry, Given, Verdict)>,
    resume: bool,
    sync: bool,
    arriving: HashMap<usize, Arriving>,
    failed: HashSet<usize>,
    counts: Counts,
}

impl Writer {
    pub(super) fn new(all: Vec<(Entry, Given, Verdict)>, resume: bool, sync: bool) -> Writer {
        Writer {
            all,
            resume,
            sync,
            arriving: HashMap::new(),
            failed: HashSet::new(),
            counts: Counts::default(),
        }
    }

    pub(super) fn has_failed(&self, place: usize) -> bool {
        self.failed.contains(&place)
    }

    /// Makes the folders that are not there; what is in the way is a problem.
    pub(super) fn make_folders(&mut self, below: &mut Below) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut unmade: HashSet<&[u8]> = HashSet::new();
        for (place, (entry, _, verdict)) in self.all.iter().enumerate() {
            let folder = plan::above(&entry.path).last();
            if folder.is_some_and(|folder| unmade.contains(folder)) {
                // It fails for no reason of its own.
                unmade.extend((entry.kind == Kind::Folder).then_some(&*entry.path));
                self.failed.insert(place);
                continue;
            }
            let made = match (verdict, entry.kind) {
                (Verdict::Change(Change::Kind), kind) => Err(plan::in_the_way(kind).to_owned()),
                (Verdict::Change(Change::New), Kind::Folder) => {
                    self.counts.folders += u64::from(!entry.path.is_empty());
                    below
                        .make_folder(&entry.path)
                        .map_err(|error| error.to_string())
                }
                _ => Ok(()),
            };
            if let Err(reason) = made {
                problems.push(records::problem(&entry.path, &reason));
                unmade.extend((entry.kind == Kind::Folder).then_some(&*entry.path));
                self.failed.insert(place);
            }
        }
        problems
    }

    /// Writes the parts of an answer.
    pub(super) fn take(
        &mut self,
        below: &mut Below,
        parts: &[Part],
        mut answer: Segments,
    ) -> Result<Taken, Malformed> {
        let mut taken = Taken::default();
        // All of it makes sense, or nothing of it is written.
        let contents = parts
            .iter()
            .map(|part| records::content(&mut answer, part.size));
        let contents = contents.collect::<Result<Vec<_>, Malformed>>()?;
        if !answer.is_empty() {
            return Err(Malformed);
        }
        for (part, content) in parts.iter().zip(contents) {
            if self.failed.contains(&part.place) {
                continue;
            }
            let written = content.and_then(|pieces| {
                self.write(below, *part, &pieces)
                    .map_err(|error| error.to_string())
            });
            match written {
                Ok(whole) => {
                    taken.bytes += u64::from(part.size);
                    taken.files += u64::from(whole);
                }
                Err(reason) => {
                    self.failed.insert(part.place);
                    // It stays in part only where the link was cut: on a full disk it would take the room of others, and of a
                    // file that changed nobody wants the half.
                    if let Some(file) = self.arriving.remove(&part.place) {
                        file.discard();
                    }
                    let path = self
                        .all
                        .get(part.place)
                        .map(|(entry, ..)| entry.path.as_slice());
                    taken
                        .problems
                        .push(records::problem(path.unwrap_or_default(), &reason));
                }
            }
        }
        Ok(taken)
    }

    /// Whether the file is whole then.
    fn write(
        &mut self,
        below: &mut Below,
        part: Part,
        pieces: &[(u64, Segments)],
    ) -> std::io::Result<bool> {
        let gone = || std::io::Error::other("it was not begun");
        let (entry, given, _) = self.all.get(part.place).ok_or_else(gone)?;
        let large = entry.size > SMALL;
        if part.offset == 0 || part.kept.is_some() {
            let ending = ending(entry);
            let kept = part.kept.unwrap_or(0);
            let file = below.begin(&entry.path, &ending, kept, large && self.resume)?;
            self.arriving.insert(part.place, file);
        }
        let file = self.arriving.get(&part.place).ok_or_else(gone)?;
        for (start, piece) in pieces {
            file.write(part.offset + start, piece.pieces().map(|piece| &**piece))?;
        }
        if part.offset + u64::from(part.size) < entry.size {
            return Ok(false);
        }
        let file = self.arriving.remove(&part.place).ok_or_else(gone)?;
        file.finish(entry.size, given.mode, given.time, self.sync)?;
        self.counts.files += 1;
        Ok(true)
    }

    /// Makes the links, removes what is not to be there, and gives folders their permissions and times.
    pub(super) fn finish(mut self, mut below: Below, extras: &[Entry]) -> (Vec<Problem>, Counts) {
        let mut problems = Vec::new();
        let all = std::mem::take(&mut self.all);
        for (place, (entry, given, verdict)) in all.iter().enumerate() {
            let changed = matches!(verdict, Verdict::Change(Change::New | Change::Content))
                && !self.failed.contains(&place);
            if entry.kind == Kind::Link && changed {
                match below.link(&entry.path, &entry.target, given.time) {
                    Ok(()) => self.counts.links += 1,
                    Err(error) => problems.push(records::problem(&entry.path, &error.to_string())),
                }
            }
        }
        for extra in extras {
            match below.remove(&extra.path, extra.kind == Kind::Folder) {
                Ok(()) => self.counts.deleted += 1,
                Err(error) => problems.push(records::problem(&extra.path, &error.to_string())),
            }
        }
        let mut touched: HashSet<&[u8]> = HashSet::new();
        for (place, (entry, given, verdict)) in all.iter().enumerate().rev() {
            let new = *verdict == Verdict::Change(Change::New);
            if new || *verdict == Verdict::Change(Change::Content) {
                touched.extend(plan::above(&entry.path).last());
            }
            let settled = *verdict == Verdict::Change(Change::Attributes)
                || entry.kind == Kind::Folder && (new || touched.contains(entry.path.as_slice()));
            // The folder that all goes to may be anything; it keeps what it has.
            if !settled || entry.path.is_empty() || self.failed.contains(&place) {
                continue;
            }
            if let Err(error) = below.settle(&entry.path, Some(given.mode), given.time) {
                problems.push(records::problem(&entry.path, &error.to_string()));
            }
        }
        (problems, self.counts)
    }
}
