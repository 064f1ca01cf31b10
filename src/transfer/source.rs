//! What is sent, read once for all hosts that it goes to: those that are near each other share what one of them has read.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::options::CopyOptions;
use super::records::{self, Given};
use super::window::{PATIENCE, Want, Window};
use crate::files::tree::{Entry, Kind, Local, Tree};

/// Larger files are sent in pieces.
pub(super) const SMALL: u64 = 128 * 1024;
/// Bytes of a piece. Each costs a call, and some of them are on their way to each host.
pub(super) const PIECE: u64 = 512 * 1024;
/// How many bytes of small files are read at a time, and how many files.
const PACK: (u64, usize) = (256 * 1024, 400);
/// A run of zeros of this length becomes a hole.
const RUN: usize = 64 * 1024;
/// What is read at a time: small files, or a large file, which is read in pieces.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Small(Vec<u32>),
    Large(u32),
}

/// A unit and a piece of it.
pub(super) type Key = (usize, u64);

/// What was read: records for the other side, or why that could not be.
#[derive(Debug)]
pub(super) enum Loaded {
    Small(Vec<(u32, Result<Bytes, String>)>),
    Piece(Result<Bytes, String>),
}

/// What is sent to one host or to many.
pub(super) struct Source {
    pub(super) tree: Tree,
    pub(super) units: Vec<Unit>,
    options: CopyOptions,
    /// The names' endings of large files while they arrive, by their entries.
    endings: HashMap<u32, OnceLock<Option<[u8; 8]>>>,
    window: Mutex<Window>,
    moved: Notify,
    read: AtomicU64,
}

/// One host's way through it.
pub(super) struct Reader {
    source: Arc<Source>,
    number: usize,
}

impl Source {
    /// For so many readers.
    pub(super) fn new(
        tree: Tree,
        options: &CopyOptions,
        readers: usize,
    ) -> (Arc<Source>, Vec<Reader>) {
        let units = units(&tree.entries);
        let large = units.iter().filter_map(|unit| match unit {
            Unit::Large(entry) => Some((*entry, OnceLock::new())),
            Unit::Small(_) => None,
        });
        let source = Arc::new(Source {
            endings: large.collect(),
            units,
            tree,
            options: options.clone(),
            window: Mutex::new(Window::new(readers, Instant::now())),
            moved: Notify::new(),
            read: AtomicU64::new(0),
        });
        let readers = (0..readers).map(|number| Reader {
            source: Arc::clone(&source),
            number,
        });
        let readers = readers.collect();
        (source, readers)
    }

    /// How many bytes of files were read.
    #[cfg(test)]
    fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn entry(&self, index: u32) -> Option<&Local> {
        self.tree.entries.get(index as usize)
    }

    /// What an entry is given there.
    pub(super) fn given(&self, local: &Local) -> Given {
        let entry = &local.entry;
        Given {
            mode: self
                .options
                .mode(entry.mode, entry.kind == Kind::Folder, true),
            time: self.options.times.then_some(entry.time),
        }
    }

    /// The ending of a large file's name while it arrives: another attempt with the same file finds what is there by it. Reads.
    pub(super) fn ending(&self, index: u32) -> Option<[u8; 8]> {
        let ending = self.endings.get(&index)?;
        *ending.get_or_init(|| {
            let local = self.entry(index)?;
            let mut head = Vec::new();
            let file = open(&local.place).ok()?.0;
            file.take(RUN as u64).read_to_end(&mut head).ok()?;
            Some(ending_of(local.entry.size, local.entry.time, &head))
        })
    }

    /// The SHA-256 of the first bytes of an entry. Reads.
    pub(super) fn digest(&self, index: u32, length: u64) -> Option<[u8; 32]> {
        let file = open(&self.entry(index)?.place).ok()?.0;
        digest_of(file, length)
    }

    fn load(&self, (unit, piece): Key) -> Loaded {
        match self.units.get(unit) {
            Some(Unit::Small(entries)) => Loaded::Small(
                entries
                    .iter()
                    .map(|entry| (*entry, self.load_small(*entry)))
                    .collect(),
            ),
            Some(Unit::Large(entry)) => Loaded::Piece(self.load_piece(*entry, piece)),
            None => Loaded::Small(Vec::new()),
        }
    }

    fn load_small(&self, index: u32) -> Result<Bytes, String> {
        let local = self.entry(index).ok_or("it is gone")?;
        let mut content = Vec::with_capacity(local.entry.size as usize + 1);
        let (file, _) = open(&local.place).map_err(|error| error.to_string())?;
        // It may have become longer.
        file.take(SMALL + 1)
            .read_to_end(&mut content)
            .map_err(|error| error.to_string())?;
        if content.len() as u64 > SMALL {
            return Err(CHANGED.to_owned());
        }
        self.read.fetch_add(content.len() as u64, Ordering::Relaxed);
        let record = records::small(index, &local.entry.path, self.given(local), &content);
        Ok(record.into())
    }

    fn load_piece(&self, index: u32, piece: u64) -> Result<Bytes, String> {
        let local = self.entry(index).ok_or("it is gone")?;
        let offset = piece * PIECE;
        let length = local.entry.size.saturating_sub(offset).min(PIECE);
        // Read to where it is sent from, behind the room for what says where it belongs.
        let mut data = vec![0; records::PIECE_HEAD + length as usize];
        let (head, content) = data
            .split_at_mut_checked(records::PIECE_HEAD)
            .ok_or(CHANGED)?;
        let (file, status) = open(&local.place).map_err(|error| error.to_string())?;
        if is_another(local, &status) {
            return Err(CHANGED.to_owned());
        }
        file.read_exact_at(content, offset)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => CHANGED.to_owned(),
                _ => error.to_string(),
            })?;
        self.read.fetch_add(length, Ordering::Relaxed);
        let parts = parts(content);
        if let [(0, part)] = *parts
            && part.len() == content.len()
        {
            head.copy_from_slice(&records::piece_head(index, offset, part));
            return Ok(data.into());
        }
        let mut dense = Vec::new();
        for (start, part) in parts {
            dense.extend_from_slice(&records::piece_head(index, offset + start as u64, part));
            dense.extend_from_slice(part);
        }
        Ok(dense.into())
    }
}

const CHANGED: &str = "it changed while it was read; try again";

/// A file of this machine that is sent. A pipe that took its place makes nobody wait, and is no empty file.
fn open(path: &Path) -> io::Result<(std::fs::File, Metadata)> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
        .open(path)?;
    let status = file.metadata()?;
    if status.is_file() {
        Ok((file, status))
    } else {
        Err(io::Error::other(CHANGED))
    }
}

/// Whether a file is not what it was when it was listed, so that pieces of it before and behind would not belong together. One that only
/// grows, as logs do, is the same as far as it was announced.
fn is_another(local: &Local, status: &Metadata) -> bool {
    let now = Entry::of(Vec::new(), status, Vec::new());
    let grew = local.identity == (status.dev(), status.ino()) && now.size > local.entry.size;
    now.time != local.entry.time && !grew || now.size < local.entry.size
}

/// The ending for a file of this size, time and beginning.
pub(super) fn ending_of(size: u64, time: crate::files::tree::Time, head: &[u8]) -> [u8; 8] {
    let mut made = Sha256::new();
    made.update(size.to_be_bytes());
    made.update(time.seconds.to_be_bytes());
    made.update(time.nanoseconds.to_be_bytes());
    made.update(head);
    let digits = data_encoding::HEXLOWER.encode(&made.finalize());
    digits
        .as_bytes()
        .first_chunk()
        .copied()
        .unwrap_or(*b"00000000")
}

/// The SHA-256 of the first bytes of a file; `None` where it has fewer.
pub(super) fn digest_of(mut file: impl Read, mut left: u64) -> Option<[u8; 32]> {
    let mut made = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    while left > 0 {
        let some = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = file.read(buffer.get_mut(..some)?).ok()?;
        if count == 0 {
            return None;
        }
        made.update(buffer.get(..count)?);
        left -= count as u64;
    }
    Some(made.finalize().into())
}

/// What of a piece is not zero, and where.
fn parts(content: &[u8]) -> Vec<(usize, &[u8])> {
    let mut found: Vec<(usize, &[u8])> = Vec::new();
    let mut begun = None;
    for (number, run) in content.chunks(RUN).enumerate() {
        let start = number * RUN;
        let zero = run.len() == RUN && run.iter().all(|byte| *byte == 0);
        match (zero, begun) {
            (true, Some(from)) => {
                found.extend(content.get(from..start).map(|part| (from, part)));
                begun = None;
            }
            (false, None) => begun = Some(start),
            _ => {}
        }
    }
    if let Some(from) = begun {
        found.extend(content.get(from..).map(|part| (from, part)));
    }
    found
}

/// Small files together, large ones by themselves, in the order of the tree.
fn units(entries: &[Local]) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut pack = (0, Vec::new());
    for (index, local) in (0_u32..).zip(entries) {
        if local.entry.kind != Kind::File {
            continue;
        }
        if local.entry.size > SMALL {
            units.push(Unit::Large(index));
            continue;
        }
        if pack.0 + local.entry.size > PACK.0 || pack.1.len() == PACK.1 {
            units.push(Unit::Small(std::mem::take(&mut pack.1)));
            pack.0 = 0;
        }
        pack.0 += local.entry.size;
        pack.1.push(index);
    }
    if !pack.1.is_empty() {
        units.push(Unit::Small(pack.1));
    }
    units
}

impl Reader {
    /// One that shares with nobody.
    pub(super) fn alone(source: &Arc<Source>) -> Reader {
        Reader {
            source: Arc::clone(source),
            number: usize::MAX,
        }
    }

    pub(super) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// What is to be sent of a unit, read by this host or another one.
    pub(super) async fn get(&self, key: Key) -> Arc<Loaded> {
        loop {
            let wanted = self.source.window().want(self.number, key, Instant::now());
            self.source.moved.notify_waiters();
            match wanted {
                Want::Shared(cell) => {
                    let load = || self.load(key);
                    return Arc::clone(cell.get_or_init(load).await);
                }
                Want::Alone => return self.load(key).await,
                Want::Wait => {
                    let moved = self.source.moved.notified();
                    let _ = tokio::time::timeout(PATIENCE / 8, moved).await;
                }
            }
        }
    }

    async fn load(&self, key: Key) -> Arc<Loaded> {
        let source = Arc::clone(&self.source);
        let loaded = tokio::task::spawn_blocking(move || source.load(key)).await;
        Arc::new(loaded.unwrap_or_else(|error| Loaded::Piece(Err(error.to_string()))))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.source.window().leave(self.number);
        self.source.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tree::{Exclude, Links};

    #[test]
    fn runs_of_zeros_are_left_out() {
        let mut content = vec![0; 5 * RUN];
        assert_eq!(parts(&content), []);
        content[RUN] = 1;
        content[4 * RUN] = 1;
        content.push(0);
        let found: Vec<_> = parts(&content)
            .iter()
            .map(|(at, part)| (*at, part.len()))
            .collect();
        assert_eq!(found, [(RUN, RUN), (4 * RUN, RUN + 1)]);
        assert_eq!(parts(&[0; 10]).len(), 1);
    }

    #[test]
    fn a_file_that_becomes_another_is_not_put_together_from_both() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("large");
        let write = |path: &Path, byte: u8, size: usize| {
            std::fs::write(path, vec![byte; size]).unwrap();
            // No clock is exact enough for two files that are written one behind the other.
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(byte.into());
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(time).unwrap();
        };
        let size = 1_000_000;
        write(&place, 1, size);
        let exclude = Exclude::default();
        let tree = Tree::read(std::slice::from_ref(&place), Links::Copy, &exclude).unwrap();
        let (source, _) = Source::new(tree, &CopyOptions::default(), 1);
        let load = || match source.load((0, 1)) {
            Loaded::Piece(loaded) => loaded.map(drop),
            Loaded::Small(_) => panic!("it is large"),
        };
        assert_eq!(load(), Ok(()));
        let changed = Err(CHANGED.to_owned());
        // A log grows.
        write(&place, 2, size + 1);
        assert_eq!(load(), Ok(()));
        write(&place, 2, size);
        assert_eq!(load(), changed);
        write(&place, 1, size - 1);
        assert_eq!(load(), changed);
        // As most programs write a file anew.
        let new = folder.path().join("new");
        write(&new, 3, size + 1);
        std::fs::rename(&new, &place).unwrap();
        assert_eq!(load(), changed);
        std::fs::remove_file(&place).unwrap();
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &place, mode).unwrap();
        assert_eq!(load(), changed);
        assert!(source.load_small(0).is_err());
    }

    #[tokio::test]
    async fn ten_hosts_are_one_read() {
        let folder = tempfile::tempdir().unwrap();
        let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 7) as u8).collect();
        std::fs::write(folder.path().join("large"), &large).unwrap();
        for number in 0..1000 {
            std::fs::write(folder.path().join(format!("{number}")), vec![7; 1000]).unwrap();
        }
        let tree = Tree::read(&[folder.path().into()], Links::Copy, &Exclude::default()).unwrap();
        let (source, readers) = Source::new(tree, &CopyOptions::default(), 10);
        let all = readers.into_iter().map(|reader| {
            tokio::spawn(async move {
                let mut files = 0;
                for (number, unit) in reader.source().units.iter().enumerate() {
                    let pieces = match unit {
                        Unit::Small(entries) => {
                            files += entries.len();
                            1
                        }
                        Unit::Large(_) => 3_000_000_u64.div_ceil(PIECE),
                    };
                    for piece in 0..pieces {
                        match &*reader.get((number, piece)).await {
                            Loaded::Small(files) => assert!(files.iter().all(|(_, it)| it.is_ok())),
                            Loaded::Piece(piece) => assert!(piece.is_ok()),
                        }
                    }
                }
                files
            })
        });
        for reader in all.collect::<Vec<_>>() {
            assert_eq!(reader.await.unwrap(), 1000);
        }
        assert_eq!(source.bytes_read(), 4_000_000);
        assert!(source.window().is_empty());
    }
}
