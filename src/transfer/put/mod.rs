//! Files to one host: what is sent, what is removed.

mod there;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::client::Client;
use crate::error::Error;
use crate::files::tree::{Entry, Exclude, Kind, Local};
use crate::transfer::options::{Change, Copied, CopyOptions, Difference};
use crate::transfer::plan::{self, Verdict};
use crate::transfer::records;
use crate::transfer::report::Report;
use crate::transfer::source::{Loaded, PIECE, Reader, Source, Unit};
use crate::transfer::steps::{Step, Steps};

/// How many bytes of records are sent at a time.
const BLOCK: usize = 256 * 1024;
/// How many blocks are on their way.
const BLOCKS: usize = 8;
/// One host's part of a copy to it.
pub(in crate::transfer) struct Put {
    steps: Steps,
    reader: Reader,
    options: CopyOptions,
    exclude: Exclude,
    report: Report,
    /// What is to be there, and what is: by the entry's index.
    there: Vec<Option<Entry>>,
    /// How much an earlier attempt left of large files.
    left: HashMap<u32, u64>,
    verdicts: Vec<Verdict>,
    extras: Vec<Entry>,
    /// Whether the folder that all goes to is there.
    has_folder: bool,
    block: Vec<u8>,
    /// Blocks on their way, each with the files and bytes that are there when it is answered.
    blocks: VecDeque<(Step, u64, u64)>,
    counted: (u64, u64),
    /// What of the tree is not there after all.
    failed: HashSet<u32>,
    /// The folders among that: what was to be in one fails for no reason of its own.
    unmade: HashSet<Vec<u8>>,
    /// The folder that all goes to.
    dest: Vec<u8>,
}

impl Put {
    pub(in crate::transfer) fn new(
        client: &Client,
        reader: Reader,
        options: CopyOptions,
        exclude: Exclude,
    ) -> Put {
        let source = reader.source();
        let mut report = Report::new(client.host(), &options);
        report.problems = source.tree.problems.clone();
        let there = source.tree.entries.iter().map(|_| None).collect();
        Put {
            steps: Steps::new(client),
            reader,
            exclude,
            report,
            there,
            left: HashMap::new(),
            verdicts: Vec::new(),
            extras: Vec::new(),
            has_folder: false,
            block: Vec::new(),
            blocks: VecDeque::new(),
            counted: (0, 0),
            failed: HashSet::new(),
            unmade: HashSet::new(),
            dest: Vec::new(),
            options,
        }
    }

    fn source(&self) -> &Source {
        self.reader.source()
    }

    /// Copies.
    pub(in crate::transfer) async fn copy(mut self, folder: &[u8]) -> Result<Copied, Error> {
        self.dest = folder.to_owned();
        self.find_out(folder, self.options.delete).await?;
        self.count();
        self.send_folders().await?;
        self.send_files().await?;
        self.send_links().await?;
        self.remove_extras().await?;
        self.settle().await?;
        self.report.end()
    }

    /// What a copy would do.
    pub(in crate::transfer) async fn compare(
        mut self,
        folder: &[u8],
    ) -> Result<Vec<Difference>, Error> {
        self.find_out(folder, true).await?;
        self.report.check()?;
        let source = self.reader.source();
        let entries = source.tree.entries.iter().zip(&self.verdicts);
        let changes = entries.filter_map(|(local, verdict)| match verdict {
            // That of a folder which is there already is not ours to set.
            Verdict::Change(Change::Attributes) if local.entry.path.is_empty() => None,
            Verdict::Change(change) => Some(Difference {
                path: records::problem(&local.entry.path, "").path,
                change: *change,
            }),
            _ => None,
        });
        let mut changes: Vec<Difference> = changes.collect();
        changes.extend(self.extras.iter().map(|extra| Difference {
            path: records::problem(&extra.path, "").path,
            change: Change::Leftover,
        }));
        Ok(changes)
    }

    fn count(&mut self) {
        let entries = self.reader.source().tree.entries.iter();
        for (local, verdict) in entries.zip(&self.verdicts) {
            match verdict {
                Verdict::Change(Change::New | Change::Content)
                    if local.entry.kind == Kind::File =>
                {
                    self.report.expect(local.entry.size);
                }
                Verdict::Same => self.report.copied.unchanged += 1,
                _ => {}
            }
        }
    }

    fn is_sent(&self, index: u32) -> bool {
        matches!(
            self.verdicts.get(index as usize),
            Some(Verdict::Change(Change::New | Change::Content))
        ) && !self.lacks_folder(index)
    }

    /// Whether the folder that an entry was to be in could not be made.
    fn lacks_folder(&self, index: u32) -> bool {
        let path = self.source().entry(index).map(|local| &local.entry.path);
        !self.unmade.is_empty()
            && path.is_some_and(|path| {
                let folder = plan::above(path).last().unwrap_or_default();
                !path.is_empty() && self.unmade.contains(folder)
            })
    }

    async fn send_folders(&mut self) -> Result<(), Error> {
        let source = Arc::clone(self.reader.source());
        // That which all goes to, unless it is one of those that follow.
        let has_own = source
            .tree
            .entries
            .iter()
            .any(|it| it.entry.path.is_empty());
        if !self.has_folder && !has_own {
            let given = records::Given {
                mode: 0o755,
                time: None,
            };
            self.push(records::folder(u32::MAX, b"", given)).await?;
        }
        for (index, local) in (0_u32..).zip(&source.tree.entries) {
            match (self.verdicts.get(index as usize), local.entry.kind) {
                (Some(Verdict::Change(Change::Kind)), kind) => {
                    let problem = records::problem(&local.entry.path, plan::in_the_way(kind));
                    self.report.problems.push(problem);
                    self.failed.insert(index);
                }
                (Some(Verdict::Change(Change::New)), Kind::Folder) => {
                    self.report.copied.folders += 1;
                    let record = records::folder(index, &local.entry.path, source.given(local));
                    self.push(record).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn send_files(&mut self) -> Result<(), Error> {
        let source = Arc::clone(self.reader.source());
        for (number, unit) in source.units.iter().enumerate() {
            match unit {
                Unit::Small(entries) => {
                    if !entries.iter().any(|entry| self.is_sent(*entry)) {
                        continue;
                    }
                    if let Loaded::Small(files) = &*self.reader.get((number, 0)).await {
                        for (index, record) in files {
                            self.send_small(*index, record).await?;
                        }
                    }
                }
                Unit::Large(entry) if self.is_sent(*entry) => {
                    self.send_large(number, *entry).await?
                }
                Unit::Large(_) => {}
            }
        }
        Ok(())
    }

    async fn send_small(
        &mut self,
        index: u32,
        record: &Result<Bytes, String>,
    ) -> Result<(), Error> {
        if !self.is_sent(index) {
            return Ok(());
        }
        match record {
            Ok(record) => {
                let size = self.size(index);
                self.counted.0 += 1;
                self.counted.1 += size;
                self.report.copied.files += 1;
                self.report.copied.bytes += size;
                self.push(record).await
            }
            Err(reason) => {
                self.fail(index, reason);
                Ok(())
            }
        }
    }

    fn size(&self, index: u32) -> u64 {
        self.source()
            .entry(index)
            .map_or(0, |local| local.entry.size)
    }

    fn fail(&mut self, index: u32, reason: &str) {
        let entry = self.source().entry(index).map(|local| &local.entry);
        let is_folder = entry.is_none_or(|entry| entry.kind == Kind::Folder);
        let path = entry.map(|entry| entry.path.clone()).unwrap_or_default();
        let shown = if path.is_empty() { &self.dest } else { &path };
        let problem = records::problem(shown, reason);
        if self.failed.insert(index) && !self.lacks_folder(index) {
            self.report.problems.push(problem);
        }
        if is_folder {
            self.unmade.insert(path);
        }
    }

    async fn send_large(&mut self, unit: usize, index: u32) -> Result<(), Error> {
        let source = Arc::clone(self.reader.source());
        let Some(local) = source.entry(index) else {
            return Ok(());
        };
        let from = Arc::clone(&source);
        let Some(ending) = blocking(move || from.ending(index)).await? else {
            self.fail(index, "it cannot be read");
            return Ok(());
        };
        let (size, path) = (local.entry.size, &local.entry.path);
        let mut first = self
            .left
            .get(&index)
            .map_or(0, |left| left.min(&size) / PIECE);
        if first > 0
            && !self
                .is_same(index, first * PIECE, Some(&ending), path)
                .await?
        {
            first = 0;
        }
        self.report.copied.files += 1;
        self.report.copied.resumed += first * PIECE;
        self.counted.1 += first * PIECE;
        self.push(records::large(index, path, size, first * PIECE, &ending))
            .await?;
        for piece in first..size.div_ceil(PIECE) {
            let loaded = self.reader.get((unit, piece)).await;
            let bytes = (size - piece * PIECE).min(PIECE);
            match &*loaded {
                Loaded::Piece(Ok(record)) => {
                    self.counted.1 += bytes;
                    self.report.copied.bytes += bytes;
                    self.push_whole(record.clone()).await?;
                }
                Loaded::Piece(Err(reason)) => {
                    self.fail(index, reason);
                    return self.push(records::given_up(index)).await;
                }
                Loaded::Small(_) => {}
            }
            // What the other side cannot write does not need to be sent.
            if self.failed.contains(&index) {
                return Ok(());
            }
        }
        self.counted.0 += 1;
        self.push(records::done(index, source.given(local))).await
    }

    async fn send_links(&mut self) -> Result<(), Error> {
        let source = Arc::clone(self.reader.source());
        for (index, local) in (0_u32..).zip(&source.tree.entries) {
            if local.entry.kind == Kind::Link && self.is_sent(index) {
                self.report.copied.links += 1;
                let time = source.given(local).time;
                let record = records::link(index, &local.entry.path, &local.entry.target, time);
                self.push(record).await?;
            }
        }
        Ok(())
    }

    async fn remove_extras(&mut self) -> Result<(), Error> {
        // What could not be read here only seems not to be here.
        let unread = !self.source().tree.problems.is_empty();
        if !self.options.delete || unread {
            return Ok(());
        }
        let first = self.there.len();
        // What fails is known by its place behind the entries.
        let extras: Vec<Vec<u8>> = self.extras.iter().map(|extra| extra.path.clone()).collect();
        self.report.copied.deleted += extras.len() as u64;
        for (place, path) in extras.iter().enumerate() {
            let index = u32::try_from(first + place).unwrap_or(u32::MAX);
            self.push(records::removed(index, path)).await?;
        }
        Ok(())
    }

    /// Gives folders and what else is there already its permissions and times. What is in a folder comes first.
    async fn settle(&mut self) -> Result<(), Error> {
        let source = Arc::clone(self.reader.source());
        let mut touched: HashSet<&[u8]> = HashSet::new();
        for (index, local) in indexed(&source).rev() {
            let path = local.entry.path.as_slice();
            let verdict = self.verdicts.get(index as usize).copied();
            let is_folder = local.entry.kind == Kind::Folder;
            let new = verdict == Some(Verdict::Change(Change::New));
            if new || verdict == Some(Verdict::Change(Change::Content)) {
                touched.extend(plan::above(path).last());
            }
            let settled = verdict == Some(Verdict::Change(Change::Attributes))
                || is_folder && (new || touched.contains(path));
            // The folder that all goes to may be anything, /tmp as well: it keeps what it has.
            if settled && !self.failed.contains(&index) && (new || !path.is_empty()) {
                self.push(records::settled(index, path, source.given(local)))
                    .await?;
            }
        }
        self.flush_all().await
    }

    async fn push(&mut self, record: impl AsRef<[u8]>) -> Result<(), Error> {
        self.block.extend_from_slice(record.as_ref());
        if self.block.len() >= BLOCK {
            let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK + BLOCK / 2));
            self.send(block.into());
            self.make_room().await?;
        }
        Ok(())
    }

    /// The same for records of which there is a block already, which is not copied: all hosts send the same bytes.
    async fn push_whole(&mut self, records: Bytes) -> Result<(), Error> {
        if records.len() < BLOCK / 2 {
            return self.push(records).await;
        }
        // What counts here belongs to the records that come now.
        let counted = std::mem::take(&mut self.counted);
        self.flush();
        self.counted = counted;
        self.send(records);
        self.make_room().await
    }

    fn flush(&mut self) {
        if !self.block.is_empty() {
            let block = std::mem::take(&mut self.block);
            self.send(block.into());
        }
    }

    fn send(&mut self, block: Bytes) {
        let (files, bytes) = std::mem::take(&mut self.counted);
        self.blocks
            .push_back((self.steps.start("write", block), files, bytes));
    }

    async fn make_room(&mut self) -> Result<(), Error> {
        while self.blocks.len() >= BLOCKS {
            self.written().await?;
        }
        Ok(())
    }

    async fn flush_all(&mut self) -> Result<(), Error> {
        self.flush();
        while !self.blocks.is_empty() {
            self.written().await?;
        }
        Ok(())
    }

    /// Waits for the answer to the oldest block.
    async fn written(&mut self) -> Result<(), Error> {
        let Some((pending, files, bytes)) = self.blocks.pop_front() else {
            return Ok(());
        };
        let answer = self.steps.answer(pending).await?;
        let failures = records::failures(answer).map_err(|_| self.steps.malformed())?;
        for (index, reason) in failures {
            let extra = (index as usize).checked_sub(self.there.len());
            match extra.and_then(|place| self.extras.get(place)) {
                Some(extra) => {
                    self.report.copied.deleted = self.report.copied.deleted.saturating_sub(1);
                    self.report
                        .problems
                        .push(records::problem(&extra.path, &reason));
                }
                None => self.fail(index, &reason),
            }
        }
        self.report.advance(files, bytes);
        Ok(())
    }
}

/// Work that reads files, where it blocks nothing else.
pub(in crate::transfer) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Convert(error.to_string()))
}

fn indexed(source: &Source) -> impl DoubleEndedIterator<Item = (u32, &Local)> {
    let entries = source.tree.entries.iter().enumerate();
    entries.map(|(index, local)| (u32::try_from(index).unwrap_or(u32::MAX), local))
}
