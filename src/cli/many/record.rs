//! What every host has printed, kept until somebody wants all of one host's at once. It is kept in a file without a name, so that no
//! amount of output fills the memory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};

use crate::cli::terminal::failure::Failure;
use crate::cli::terminal::lines::Stream;
use crate::cli::terminal::printer::{Report, View};

/// The longest piece that is read back at a time.
const PIECE: usize = 64 * 1024;

/// What is done with what hosts have printed.
pub(super) trait Reader: Send {
    /// The host with this number has ended.
    fn ended(&mut self, _host: usize, _all: &mut Record) -> io::Result<()> {
        Ok(())
    }
    /// All hosts have ended.
    fn finished(&mut self, all: &mut Record) -> io::Result<()>;
}

/// A piece of the file.
struct Piece {
    stream: Stream,
    from: u64,
    length: u64,
}

/// One host's part of the record.
#[derive(Default)]
struct Kept {
    pieces: Vec<Piece>,
    digests: [Sha256; 2],
    report: Option<Report>,
}

/// What all hosts have printed, and how they ended.
pub(super) struct Record {
    labels: Vec<String>,
    file: Option<File>,
    length: u64,
    hosts: Vec<Kept>,
}

impl Record {
    /// Without a file nothing can be kept of what hosts print.
    fn new(labels: &[String], file: Option<File>) -> Record {
        Record {
            labels: labels.to_vec(),
            file,
            length: 0,
            hosts: labels.iter().map(|_| Kept::default()).collect(),
        }
    }

    pub(super) fn labels(&self) -> &[String] {
        &self.labels
    }

    /// How the host ended, if it has.
    pub(super) fn report(&self, host: usize) -> Option<&Report> {
        self.hosts[host].report.as_ref()
    }

    /// How many bytes the host has printed on the stream.
    pub(super) fn length(&self, host: usize, stream: Stream) -> u64 {
        let pieces = self.hosts[host].pieces.iter();
        pieces
            .filter(|piece| piece.stream == stream)
            .map(|piece| piece.length)
            .sum()
    }

    /// The same for two hosts only where both streams are the same.
    pub(super) fn digest(&self, host: usize) -> [u8; 64] {
        let mut both = [0; 64];
        let (stdout, stderr) = both.split_at_mut(32);
        let [out, err] = self.hosts[host].digests.clone();
        stdout.copy_from_slice(&out.finalize());
        stderr.copy_from_slice(&err.finalize());
        both
    }

    fn append(&mut self, host: usize, stream: Stream, data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let file = self.file.as_mut().ok_or(io::ErrorKind::Unsupported)?;
        file.seek(SeekFrom::Start(self.length))?;
        file.write_all(data)?;
        let kept = &mut self.hosts[host];
        kept.digests[stream as usize].update(data);
        let (from, length) = (self.length, data.len() as u64);
        self.length += length;
        match kept.pieces.last_mut() {
            Some(last) if last.stream == stream && last.from + last.length == from => {
                last.length += length;
            }
            _ => kept.pieces.push(Piece {
                stream,
                from,
                length,
            }),
        }
        Ok(())
    }

    /// Gives `take` what the host has printed, piece by piece in the order in which it came.
    pub(super) fn read(
        &mut self,
        host: usize,
        mut take: impl FnMut(Stream, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let mut buffer = vec![0; PIECE];
        for piece in &self.hosts[host].pieces {
            file.seek(SeekFrom::Start(piece.from))?;
            let mut rest = (&mut *file).take(piece.length);
            loop {
                let count = rest.read(&mut buffer)?;
                if count == 0 {
                    break;
                }
                take(piece.stream, &buffer[..count])?;
            }
        }
        Ok(())
    }

    /// A stream's beginning and end, at most so many bytes of each, and how many bytes are between them.
    pub(super) fn ends(
        &mut self,
        host: usize,
        stream: Stream,
        [first, last]: [usize; 2],
    ) -> io::Result<(Vec<u8>, u64, Vec<u8>)> {
        let (mut beginning, mut end) = (Vec::new(), std::collections::VecDeque::new());
        self.read(host, |of, data| {
            if of == stream {
                let room = first.saturating_sub(beginning.len()).min(data.len());
                let (fits, over) = data.split_at(room);
                beginning.extend_from_slice(fits);
                end.extend(over);
                let too_many = end.len().saturating_sub(last);
                end.drain(..too_many);
            }
            Ok(())
        })?;
        let shown = (beginning.len() + end.len()) as u64;
        let between = self.length(host, stream).saturating_sub(shown);
        Ok((beginning, between, end.into()))
    }
}

/// Keeps the record, and shows it to its readers.
pub(super) struct Recorder {
    record: Record,
    readers: Vec<Box<dyn Reader>>,
}

impl Recorder {
    /// `output`: whether hosts print anything, for which there has to be a file.
    ///
    /// # Errors
    ///
    /// Where that cannot be made, so that this is known before anything runs.
    pub(super) fn new(
        labels: &[String],
        readers: Vec<Box<dyn Reader>>,
        output: bool,
    ) -> Result<Recorder, Failure> {
        let file = output.then(tempfile::tempfile).transpose();
        let file = file.map_err(|error| {
            Failure::here(format!(
                "what hosts print cannot be kept in {}: {error}",
                std::env::temp_dir().display()
            ))
            .with_hint("name another folder with TMPDIR; without --gather, --junit and --ci nothing is kept")
        })?;
        Ok(Recorder {
            record: Record::new(labels, file),
            readers,
        })
    }
}

impl View for Recorder {
    fn output(&mut self, host: usize, stream: Stream, data: &[u8]) -> io::Result<()> {
        self.record.append(host, stream, data).map_err(|error| {
            let folder = std::env::temp_dir();
            let text = format!("keeping it in {}: {error}", folder.display());
            io::Error::new(error.kind(), text)
        })
    }

    fn end(&mut self, host: usize, report: &Report) -> io::Result<()> {
        for line in &report.stack {
            self.record.append(host, Stream::Stderr, line.as_bytes())?;
        }
        self.record.hosts[host].report = Some(report.clone());
        for reader in &mut self.readers {
            reader.ended(host, &mut self.record)?;
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        // One that fails takes nothing from the others.
        let mut first = Ok(());
        for reader in &mut self.readers {
            first = first.and(reader.finished(&mut self.record));
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::{Record, Stream};

    fn record() -> Record {
        let labels = ["a", "b", "c"].map(str::to_owned);
        let mut record = Record::new(&labels, tempfile::tempfile().ok());
        for (host, stream, data) in [
            (0, Stream::Stdout, "one "),
            (1, Stream::Stdout, "one two"),
            (0, Stream::Stdout, "two"),
            (0, Stream::Stderr, "x"),
            (1, Stream::Stderr, "x"),
            (2, Stream::Stdout, "one twox"),
        ] {
            record.append(host, stream, data.as_bytes()).expect("kept");
        }
        record
    }

    #[test]
    fn what_is_kept_comes_back_in_order() {
        let mut record = record();
        let mut read = Vec::new();
        record
            .read(0, |stream, data| {
                read.push((stream, String::from_utf8_lossy(data).into_owned()));
                Ok(())
            })
            .expect("read");
        let of = |stream, text: &str| (stream, text.to_owned());
        assert_eq!(
            read,
            [
                of(Stream::Stdout, "one "),
                of(Stream::Stdout, "two"),
                of(Stream::Stderr, "x")
            ]
        );
        assert_eq!(record.length(0, Stream::Stdout), 7);
    }

    #[test]
    fn the_same_output_has_the_same_digest_however_it_came() {
        let record = record();
        assert_eq!(record.digest(0), record.digest(1));
        assert_ne!(record.digest(0), record.digest(2));
    }

    #[test]
    fn of_a_long_stream_there_are_the_ends() {
        let mut record = record();
        let ends = record.ends(1, Stream::Stdout, [2, 3]).expect("read");
        assert_eq!(ends, (b"on".to_vec(), 2, b"two".to_vec()));
        let ends = record.ends(1, Stream::Stdout, [100, 100]).expect("read");
        assert_eq!(ends, (b"one two".to_vec(), 0, Vec::new()));
    }
}
