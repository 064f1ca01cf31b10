//! The records that travel to and from the functions of `helpers/files`; what they mean stands there. All numbers are big-endian.

use bytes::{Buf, Bytes};

use crate::files::problem::Problem;
use crate::files::tree::{Entry, Kind, Time};
use crate::wire::Segments;

/// The time that means that none is set.
const NO_TIME: u32 = u32::MAX;
/// The longest reason that is shown.
const LONGEST_REASON: usize = 300;

/// What a server sent makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl From<bytes::TryGetError> for Malformed {
    fn from(_: bytes::TryGetError) -> Self {
        Malformed
    }
}

fn split(data: &mut Bytes, length: usize) -> Result<Bytes, Malformed> {
    if length > data.len() {
        return Err(Malformed);
    }
    Ok(data.split_to(length))
}

/// What a server says of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    There(Entry),
    Absent,
    /// It cannot be looked at, for this reason.
    Refused(String),
}

/// Reads one row.
pub(super) fn row(data: &mut Bytes) -> Result<(Vec<u8>, Told), Malformed> {
    let kind = data.try_get_u8()?;
    let mode = data.try_get_u32()?;
    let size = data.try_get_u64()?;
    let seconds = data.try_get_i64()?;
    let nanoseconds = data.try_get_u32()?;
    let (name, target) = (data.try_get_u16()?, data.try_get_u16()?);
    let name = split(data, name.into())?.to_vec();
    let target = split(data, target.into())?.to_vec();
    let kind = match kind {
        b'd' => Kind::Folder,
        b'f' => Kind::File,
        b'l' => Kind::Link,
        b'o' => Kind::Other,
        b'-' => return Ok((name, Told::Absent)),
        b'!' => return Ok((name, Told::Refused(reason(&target)))),
        _ => return Err(Malformed),
    };
    if nanoseconds >= 1_000_000_000 || size > i64::MAX as u64 {
        return Err(Malformed);
    }
    let entry = Entry {
        path: name.clone(),
        kind,
        mode: mode & 0o7777,
        size,
        time: Time {
            seconds,
            nanoseconds,
        },
        target,
    };
    Ok((name, Told::There(entry)))
}

fn reason(text: &[u8]) -> String {
    let text = text.get(..LONGEST_REASON).unwrap_or(text);
    String::from_utf8_lossy(text).into_owned()
}

/// Reads the rows of a walk: the index of the path that was asked for, and a row.
pub(super) fn rows(mut data: Bytes) -> Result<Vec<(u32, Vec<u8>, Told)>, Malformed> {
    let mut found = Vec::new();
    while data.has_remaining() {
        let index = data.try_get_u32()?;
        let (name, told) = row(&mut data)?;
        found.push((index, name, told));
    }
    Ok(found)
}

/// Reads what `write` says of failures: an index and a reason each.
pub(super) fn failures(mut data: Bytes) -> Result<Vec<(u32, String)>, Malformed> {
    let mut found = Vec::new();
    while data.has_remaining() {
        let index = data.try_get_u32()?;
        let length = data.try_get_u16()?;
        found.push((index, reason(&split(&mut data, length.into())?)));
    }
    Ok(found)
}

/// What `read` gives of a part of a file: its pieces, each at its place; or why not.
pub(super) fn content(
    data: &mut Segments,
    size: u32,
) -> Result<Result<Vec<(u64, Segments)>, String>, Malformed> {
    let [failed] = data.take_array().ok_or(Malformed)?;
    if failed != 0 {
        let length = u16::from_be_bytes(data.take_array().ok_or(Malformed)?);
        return Ok(Err(reason(&taken(data, length.into())?.into_bytes())));
    }
    let crc = number(data)?;
    let count = number(data)?;
    let mut pieces = Vec::new();
    let mut place = 0_u64;
    let mut made = flate2::Crc::new();
    for _ in 0..count {
        let (skip, length) = (number(data)?, number(data)?);
        place += u64::from(skip);
        if place + u64::from(length) > size.into() {
            return Err(Malformed);
        }
        zeros(&mut made, skip.into());
        let piece = taken(data, length as usize)?;
        for part in piece.pieces() {
            made.update(part);
        }
        pieces.push((place, piece));
        place += u64::from(length);
    }
    zeros(&mut made, u64::from(size) - place);
    if made.sum() != crc {
        return Ok(Err("it arrived damaged; try again".to_owned()));
    }
    Ok(Ok(pieces))
}

fn number(data: &mut Segments) -> Result<u32, Malformed> {
    data.take_array().map(u32::from_be_bytes).ok_or(Malformed)
}

fn taken(data: &mut Segments, length: usize) -> Result<Segments, Malformed> {
    if length > data.len() {
        return Err(Malformed);
    }
    Ok(data.split_to(length))
}

/// Takes so many zero bytes in, which are at most those of one part.
fn zeros(crc: &mut flate2::Crc, mut count: u64) {
    const ZEROS: [u8; 4096] = [0; 4096];
    while count > 0 {
        let some = count.min(4096);
        crc.update(ZEROS.get(..some as usize).unwrap_or_default());
        count -= some;
    }
}

/// Paths, each behind its length.
pub(super) fn paths(flags: u8, paths: &[&[u8]]) -> Vec<u8> {
    let mut data = vec![flags];
    for path in paths {
        put_path(&mut data, path);
    }
    data
}

pub(super) fn put_path(data: &mut Vec<u8>, path: &[u8]) {
    data.extend_from_slice(&short(path));
    data.extend_from_slice(path);
}

/// A length; no system has longer paths.
fn short(path: &[u8]) -> [u8; 2] {
    u16::try_from(path.len()).unwrap_or(u16::MAX).to_be_bytes()
}

/// What an entry is given: permissions, and a time if any.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given {
    pub(super) mode: u32,
    pub(super) time: Option<Time>,
}

impl Given {
    fn put(self, data: &mut Vec<u8>) {
        data.extend_from_slice(&self.mode.to_be_bytes());
        put_time(data, self.time);
    }
}

fn put_time(data: &mut Vec<u8>, time: Option<Time>) {
    let (seconds, nanoseconds) = time.map_or((0, NO_TIME), |it| (it.seconds, it.nanoseconds));
    data.extend_from_slice(&seconds.to_be_bytes());
    data.extend_from_slice(&nanoseconds.to_be_bytes());
}

fn begin(kind: u8, index: u32) -> Vec<u8> {
    let mut data = vec![kind];
    data.extend_from_slice(&index.to_be_bytes());
    data
}

pub(super) fn crc(content: &[u8]) -> u32 {
    let mut made = flate2::Crc::new();
    made.update(content);
    made.sum()
}

/// A whole file.
pub(super) fn small(index: u32, path: &[u8], given: Given, content: &[u8]) -> Vec<u8> {
    let mut data = begin(b'F', index);
    data.reserve(path.len() + content.len() + 26);
    data.extend_from_slice(&short(path));
    given.put(&mut data);
    data.extend_from_slice(&length(content));
    data.extend_from_slice(&crc(content).to_be_bytes());
    data.extend_from_slice(path);
    data.extend_from_slice(content);
    data
}

fn length(content: &[u8]) -> [u8; 4] {
    u32::try_from(content.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes()
}

/// The begin of a file that comes in pieces; `kept` bytes of what an earlier attempt left stay.
pub(super) fn large(index: u32, path: &[u8], size: u64, kept: u64, ending: &[u8; 8]) -> Vec<u8> {
    let mut data = begin(b'B', index);
    data.extend_from_slice(&short(path));
    data.extend_from_slice(&size.to_be_bytes());
    data.extend_from_slice(&kept.to_be_bytes());
    data.extend_from_slice(ending);
    data.extend_from_slice(path);
    data
}

/// Bytes of what stands in front of a piece.
pub(super) const PIECE_HEAD: usize = 21;

/// What stands in front of a piece of it.
pub(super) fn piece_head(index: u32, offset: u64, content: &[u8]) -> [u8; PIECE_HEAD] {
    let mut head = [0; PIECE_HEAD];
    let fields = [b'W']
        .into_iter()
        .chain(index.to_be_bytes())
        .chain(offset.to_be_bytes())
        .chain(length(content))
        .chain(crc(content).to_be_bytes());
    for (slot, byte) in head.iter_mut().zip(fields) {
        *slot = byte;
    }
    head
}

/// Its end.
pub(super) fn done(index: u32, given: Given) -> Vec<u8> {
    let mut data = begin(b'E', index);
    given.put(&mut data);
    data
}

/// Its rest does not come.
pub(super) fn given_up(index: u32) -> Vec<u8> {
    begin(b'X', index)
}

/// A symbolic link.
pub(super) fn link(index: u32, path: &[u8], target: &[u8], time: Option<Time>) -> Vec<u8> {
    let mut data = begin(b'L', index);
    data.extend_from_slice(&short(path));
    data.extend_from_slice(&short(target));
    put_time(&mut data, time);
    data.extend_from_slice(path);
    data.extend_from_slice(target);
    data
}

/// A folder that is to be there.
pub(super) fn folder(index: u32, path: &[u8], given: Given) -> Vec<u8> {
    folder_record(b'D', index, path, given)
}

/// Mode and time of what is there.
pub(super) fn settled(index: u32, path: &[u8], given: Given) -> Vec<u8> {
    folder_record(b'T', index, path, given)
}

fn folder_record(kind: u8, index: u32, path: &[u8], given: Given) -> Vec<u8> {
    let mut data = begin(kind, index);
    data.extend_from_slice(&short(path));
    given.put(&mut data);
    data.extend_from_slice(path);
    data
}

/// Something that is to be gone.
pub(super) fn removed(index: u32, path: &[u8]) -> Vec<u8> {
    let mut data = begin(b'R', index);
    put_path(&mut data, path);
    data
}

/// A part of a file that is wanted.
pub(super) fn wanted(data: &mut Vec<u8>, path: &[u8], follow: bool, offset: u64, size: u32) {
    data.push(u8::from(follow));
    data.extend_from_slice(&short(path));
    data.extend_from_slice(&offset.to_be_bytes());
    data.extend_from_slice(&size.to_be_bytes());
    data.extend_from_slice(path);
}

/// A digest that is wanted: of so many bytes of a file, or of what an earlier attempt left of it.
pub(super) fn digest(length: u64, ending: Option<&[u8; 8]>, path: &[u8]) -> Vec<u8> {
    let mut data = length.to_be_bytes().to_vec();
    data.extend_from_slice(ending.unwrap_or(&[0; 8]));
    data.extend_from_slice(path);
    data
}

/// The problem with a path of a server's.
pub(super) fn problem(path: &[u8], reason: &str) -> Problem {
    Problem::new(if path.is_empty() { b"." } else { path }, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(segments: &[(u32, &[u8])], crc: u32) -> Bytes {
        let mut data = vec![0];
        data.extend_from_slice(&crc.to_be_bytes());
        data.extend_from_slice(&(segments.len() as u32).to_be_bytes());
        for (skip, content) in segments {
            data.extend_from_slice(&skip.to_be_bytes());
            data.extend_from_slice(&(content.len() as u32).to_be_bytes());
            data.extend_from_slice(content);
        }
        data.into()
    }

    #[test]
    fn content_is_no_longer_than_it_was_to_be_and_undamaged() {
        let whole = [&[0; 5][..], b"ab", &[0; 3]].concat();
        let good = answer(&[(5, b"ab")], crc(&whole));
        let content = |data: &mut Bytes, size| content(&mut data.clone().into(), size);
        let pieces = content(&mut good.clone(), 10).unwrap().unwrap();
        assert_eq!(pieces, [(5, Segments::from(Bytes::from_static(b"ab")))]);
        assert_eq!(content(&mut good.clone(), 6), Err(Malformed));
        assert!(content(&mut good.clone(), 11).unwrap().is_err());
        assert!(
            content(&mut answer(&[(5, b"ac")], crc(&whole)), 10)
                .unwrap()
                .is_err()
        );
        let huge = answer(&[(u32::MAX, b""), (u32::MAX, b"")], 0);
        assert_eq!(content(&mut huge.clone(), 10), Err(Malformed));
        for cut in 0..good.len() {
            assert_eq!(content(&mut good.slice(..cut), 10), Err(Malformed));
        }
    }

    #[test]
    fn rows_that_are_cut_off_or_of_no_kind_are_refused() {
        let mut data = vec![0, 0, 0, 7, b'l'];
        data.extend_from_slice(&0o777_u32.to_be_bytes());
        data.extend_from_slice(&[0; 8 + 8 + 4]);
        data.extend_from_slice(&[0, 1, 0, 2, b'a', b'x', b'y']);
        let data = Bytes::from(data);
        let found = rows(data.clone()).unwrap();
        let [(7, name, Told::There(entry))] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(
            (name.as_slice(), entry.target.as_slice()),
            (&b"a"[..], &b"xy"[..])
        );
        for cut in 1..data.len() {
            assert_eq!(rows(data.slice(..cut)), Err(Malformed));
        }
        let mut other = data.to_vec();
        other[4] = b'x';
        assert_eq!(rows(other.into()), Err(Malformed));
    }
}
