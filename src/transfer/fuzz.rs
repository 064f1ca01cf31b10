//! What fuzzers feed to what reads a server's words about files.

use std::collections::HashMap;

use bytes::Bytes;

use super::listing::Listing;
use super::options::CopyOptions;
use super::records;
use crate::files::names;
use crate::files::tree::{Exclude, Kind};

/// Reads bytes as the rows of a listing, and as what a server says of contents and failures. The first two bytes are limits.
pub(crate) fn files(data: &[u8]) {
    let Some(([most, size], rest)) = data
        .split_first_chunk::<2>()
        .map(|(two, rest)| (*two, rest))
    else {
        return;
    };
    let rest = Bytes::copy_from_slice(rest);
    listing(rest.clone(), u64::from(most));
    content(rest.clone(), u32::from(size));
    let _ = records::failures(rest);
}

/// Whatever is listed, what is taken of it stays beneath the destination, in order, within the limits.
fn listing(rows: Bytes, most: u64) {
    let options = CopyOptions {
        max_files: most,
        max_bytes: Some(most << 8),
        ..CopyOptions::default()
    };
    let Ok(exclude) = Exclude::new(&["*.o"]) else {
        return;
    };
    let sources = [b"/srv/top".to_vec(), b"other/".to_vec()];
    let mut listing = Listing::new(&sources, &options, &exclude);
    for (index, name, told) in records::rows(rows).unwrap_or_default() {
        if listing.add(index, &name, told).is_err() {
            break;
        }
    }
    assert!(listing.wanted.len() as u64 <= most + sources.len() as u64);
    let mut bytes = 0_u64;
    let mut there: HashMap<&[u8], Kind> = HashMap::new();
    for one in &listing.wanted {
        let entry = &one.entry;
        let path = entry.path.as_slice();
        assert!(names::refused(path).is_none() || path.is_empty() && entry.kind == Kind::Folder);
        if let Some(place) = path.iter().rposition(|byte| *byte == b'/') {
            let above = path.get(..place).unwrap_or_default();
            assert_eq!(there.get(above), Some(&Kind::Folder), "{path:?}");
        }
        assert_eq!(there.insert(path, entry.kind), None, "{path:?}");
        match entry.kind {
            Kind::Folder => {}
            Kind::File => bytes = bytes.saturating_add(entry.size),
            Kind::Link => assert_eq!(names::refused_target(path, &entry.target), None),
            Kind::Other => unreachable!("a device is taken"),
        }
    }
    assert!(bytes <= most << 8);
}

/// What is written of a part is within it, each piece behind the one before.
fn content(answer: Bytes, size: u32) {
    let Ok(Ok(pieces)) = records::content(&mut answer.into(), size) else {
        return;
    };
    let mut end = 0;
    for (place, piece) in pieces {
        assert!(place >= end);
        end = place + piece.len() as u64;
    }
    assert!(end <= u64::from(size));
}
