//! What there is at the host already, and what has to be done about each entry.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Buf;

use super::{BLOCKS, Put, blocking};
use crate::error::Error;
use crate::files::problem::Problem;
use crate::files::tree::{Entry, Kind};
use crate::transfer::listing::Budget;
use crate::transfer::options::Change;
use crate::transfer::plan::{self, Verdict};
use crate::transfer::records::{self, Told};
use crate::transfer::source::SMALL;
use crate::transfer::steps::Step;

/// How many paths are asked about at a time.
const ASKED: usize = 1000;

impl Put {
    pub(super) async fn find_out(&mut self, folder: &[u8], with_extras: bool) -> Result<(), Error> {
        let tops: Vec<Vec<u8>> = self.source().tree.tops.clone();
        let flags = u8::from(self.source().tree.is_one_file())
            | u8::from(self.options.fsync) << 1
            | u8::from(self.options.resume) << 2;
        let mut asked = vec![folder];
        asked.extend(tops.iter().map(Vec::as_slice));
        let mut answer = self
            .steps
            .step("begin", records::paths(flags, &asked))
            .await?;
        let mut told = Vec::new();
        for _ in &asked {
            let (_, row) = records::row(&mut answer).map_err(|_| self.steps.malformed())?;
            told.push(row);
        }
        match told.first() {
            Some(Told::There(there)) if there.kind == Kind::Folder => self.has_folder = true,
            Some(Told::There(_)) => {
                return Err(self.refused(folder, "it is there and is not a folder"));
            }
            Some(Told::Refused(reason)) => return Err(self.refused(folder, reason)),
            _ => {}
        }
        let all_new = told.iter().skip(1).all(|told| *told == Told::Absent);
        if !all_new && with_extras {
            let folders = tops.iter().zip(told.iter().skip(1));
            let folders = folders
                .filter(|(_, told)| matches!(told, Told::There(it) if it.kind == Kind::Folder));
            let folders: Vec<&[u8]> = folders.map(|(top, _)| top.as_slice()).collect();
            self.find_extras(&folders).await?;
        }
        // Of a large file that is not there, something may be all the same.
        let entries = &self.source().tree.entries;
        let mut alone = entries
            .iter()
            .filter(|it| it.entry.size > SMALL && it.entry.kind == Kind::File);
        if !all_new || alone.any(|it| !it.entry.path.contains(&b'/')) {
            self.look().await?;
        }
        self.judge().await
    }

    fn refused(&self, folder: &[u8], reason: &str) -> Error {
        Error::Files {
            host: self.steps.host().to_owned(),
            problems: vec![Problem::new(folder, reason)],
        }
    }

    /// Asks about every path.
    async fn look(&mut self) -> Result<(), Error> {
        let source = Arc::clone(self.reader.source());
        let mut asked = VecDeque::new();
        for first in (0..source.tree.entries.len()).step_by(ASKED) {
            // The beginnings of large files are read for it.
            let from = Arc::clone(&source);
            let data = blocking(move || {
                let mut data = Vec::new();
                for (index, local) in (0_u32..).zip(&from.tree.entries).skip(first).take(ASKED) {
                    data.extend_from_slice(&from.ending(index).unwrap_or_default());
                    records::put_path(&mut data, &local.entry.path);
                }
                data
            });
            asked.push_back((first, self.steps.start("look", data.await?)));
            if asked.len() > BLOCKS {
                self.looked(asked.pop_front()).await?;
            }
        }
        while !asked.is_empty() {
            self.looked(asked.pop_front()).await?;
        }
        Ok(())
    }

    async fn looked(&mut self, asked: Option<(usize, Step)>) -> Result<(), Error> {
        let Some((first, pending)) = asked else {
            return Ok(());
        };
        let mut answer = self.steps.answer(pending).await?;
        for (index, there) in (0_u32..).zip(&mut self.there).skip(first).take(ASKED) {
            let malformed = || self.steps.malformed();
            let (_, told) = records::row(&mut answer).map_err(|_| malformed())?;
            if let Told::There(entry) = told {
                *there = Some(entry);
            }
            let left = answer.try_get_u64().map_err(|_| malformed())?;
            if left > 0 {
                self.left.insert(index, left);
            }
        }
        Ok(())
    }

    /// Lists what is in folders there and not to be.
    async fn find_extras(&mut self, folders: &[&[u8]]) -> Result<(), Error> {
        let mut found = Vec::new();
        let mut budget = Budget::new(&self.options, folders.len());
        let mut answer = self.steps.step("walk", records::paths(0, folders)).await?;
        while !answer.is_empty() {
            let rows = records::rows(answer).map_err(|_| self.steps.malformed())?;
            for (index, name, told) in rows {
                budget
                    .take(&name, &told)
                    .map_err(|reason| self.refused(&name, &reason))?;
                let top = folders.get(index as usize).copied().unwrap_or_default();
                let path = crate::files::names::joined(top, &name);
                match told {
                    Told::There(entry) if !path.is_empty() => found.push(Entry { path, ..entry }),
                    Told::Refused(reason) => {
                        self.report.problems.push(records::problem(&path, &reason));
                    }
                    _ => {}
                }
            }
            answer = self.steps.step("more", Vec::new()).await?;
        }
        let ours = self.source().tree.entries.iter();
        let ours: HashSet<&[u8]> = ours.map(|local| local.entry.path.as_slice()).collect();
        let stays = |entry: &Entry| {
            let is_folder = entry.kind == Kind::Folder;
            ours.contains(entry.path.as_slice()) || self.exclude.covers(&entry.path, is_folder)
        };
        self.extras = plan::extras(found.iter(), stays);
        Ok(())
    }

    /// Says of every entry what has to be done.
    async fn judge(&mut self) -> Result<(), Error> {
        let source = Arc::clone(self.reader.source());
        let entries = &source.tree.entries;
        let verdicts = entries.iter().zip(&self.there).map(|(local, there)| {
            let given = source.given(local);
            plan::verdict(&local.entry, given, there.as_ref(), self.options.skip)
        });
        self.verdicts = verdicts.collect();
        plan::block(entries.iter().map(|it| &it.entry), &mut self.verdicts);
        for (index, local) in (0_u32..).zip(entries) {
            let place = index as usize;
            if self.verdicts.get(place) != Some(&Verdict::Ask) {
                continue;
            }
            let there = self.there.get(place).and_then(Option::as_ref);
            let settled = there.map(|there| plan::attributes(source.given(local), there));
            let same = self
                .is_same(index, local.entry.size, None, &local.entry.path)
                .await?;
            let verdict = match settled {
                Some(settled) if same => settled,
                _ => Verdict::Change(Change::Content),
            };
            if let Some(slot) = self.verdicts.get_mut(place) {
                *slot = verdict;
            }
        }
        Ok(())
    }

    /// Whether so many bytes there are those of an entry.
    pub(super) async fn is_same(
        &mut self,
        index: u32,
        length: u64,
        ending: Option<&[u8; 8]>,
        path: &[u8],
    ) -> Result<bool, Error> {
        let pending = self
            .steps
            .start("digest", records::digest(length, ending, path));
        let source = Arc::clone(self.reader.source());
        let here = blocking(move || source.digest(index, length)).await?;
        let there = self.steps.answer(pending).await?;
        Ok(here.is_some_and(|here| here[..] == there[..]))
    }
}
