//! Reading known_hosts files as OpenSSH does: hashed names, patterns, markers, several files.

mod index;

use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use index::Index;

/// What a line says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    /// It is the host's key.
    Key,
    /// It signs the host's certificates (`@cert-authority`).
    Authority,
    /// It is never accepted (`@revoked`).
    Revoked,
}

/// One line that is about the host in question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// What the line says.
    pub(crate) marker: Marker,
    /// The key type's name, such as `ssh-ed25519`.
    pub(crate) algorithm: String,
    /// The key as it goes over the wire.
    pub(crate) blob: Vec<u8>,
    /// Where it stands.
    pub(crate) file: PathBuf,
    /// The line's number, from 1.
    pub(crate) line: usize,
}

/// What the recorded keys say about a key that a server shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The key, or its certificate's authority, is recorded.
    Known(Entry),
    /// Nothing is recorded for the host.
    Unknown,
    /// Other keys are recorded for the host; the last of them.
    Changed(Entry),
    /// The key or its authority is revoked.
    Revoked(Entry),
}

/// The name that a host goes by in known_hosts: brackets and port where the port is not 22.
pub(crate) fn host_label(host: &str, port: u16) -> String {
    let host = host.to_lowercase();
    if port == 22 {
        host
    } else {
        format!("[{host}]:{port}")
    }
}

/// Collects the lines about `label` from `files` in order. Only a file that is not there says nothing: one
/// that cannot be read might record another key.
///
/// # Errors
/// The first file that cannot be read, and why.
pub(crate) fn entries_for(label: &str, files: &[PathBuf]) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for file in files {
        let index = index::of(file).map_err(|error| format!("{}: {error}", file.display()))?;
        if let Some(index) = index {
            entries.extend(index.entries(label, file));
        }
    }
    Ok(entries)
}

/// The lines about `label` in a file's bytes.
pub(crate) fn entries_in(label: &str, bytes: &[u8], file: &Path) -> Vec<Entry> {
    Index::new(bytes).entries(label, file)
}

/// A line cut up, its key not decoded yet.
struct Line<'a> {
    marker: Marker,
    names: &'a str,
    algorithm: &'a str,
    key: &'a str,
}

/// Cuts a line up; `None` for comments and for what does not parse, which must not make the good lines useless.
fn parse_line(line: &str) -> Option<Line<'_>> {
    let line = line.trim_start_matches([' ', '\t']);
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (marker, line) = match line.strip_prefix('@') {
        None => (Marker::Key, line),
        Some(rest) => {
            let (name, rest) = rest.split_once([' ', '\t'])?;
            let marker = match name {
                "cert-authority" => Marker::Authority,
                "revoked" => Marker::Revoked,
                _ => return None,
            };
            (marker, rest.trim_start_matches([' ', '\t']))
        }
    };
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    Some(Line {
        marker,
        names: words.next()?,
        algorithm: words.next()?,
        key: words.next()?.trim_end(),
    })
}

/// The bytes of a line's key. A key's own bytes begin with its type; a line whose two disagree is broken.
fn decode_key(algorithm: &str, key: &str) -> Option<Vec<u8>> {
    let blob = BASE64.decode(key.as_bytes()).ok()?;
    (blob_algorithm(&blob)? == algorithm).then_some(blob)
}

/// The type that a key's bytes begin with.
fn blob_algorithm(blob: &[u8]) -> Option<&str> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    let name = rest.get(..u32::from_be_bytes(*length) as usize)?;
    std::str::from_utf8(name).ok()
}

/// The hashed form of a name under a fresh salt.
pub(crate) fn hash_label(label: &str) -> Result<String, String> {
    let mut salt = [0u8; 20];
    getrandom::fill(&mut salt).map_err(|error| format!("no random salt: {error}"))?;
    let mut mac = Hmac::<Sha1>::new_from_slice(&salt).map_err(|error| error.to_string())?;
    mac.update(label.as_bytes());
    Ok(format!(
        "|1|{}|{}",
        BASE64.encode(&salt),
        BASE64.encode(&mac.finalize().into_bytes())
    ))
}

/// Judges a plain key.
pub(crate) fn judge_key(entries: &[Entry], blob: &[u8]) -> Finding {
    if let Some(revoked) = revoked(entries, blob) {
        return Finding::Revoked(revoked);
    }
    let mut finding = Finding::Unknown;
    for entry in entries.iter().filter(|entry| entry.marker == Marker::Key) {
        if entry.blob == blob {
            return Finding::Known(entry.clone());
        }
        finding = Finding::Changed(entry.clone());
    }
    finding
}

/// Judges a certificate by its authority's key. An unknown authority says nothing about the host,
/// so there is no `Changed`.
pub(crate) fn judge_certificate(entries: &[Entry], key: &[u8], authority: &[u8]) -> Finding {
    if let Some(revoked) = revoked(entries, key).or_else(|| revoked(entries, authority)) {
        return Finding::Revoked(revoked);
    }
    entries
        .iter()
        .find(|entry| entry.marker == Marker::Authority && entry.blob == authority)
        .map_or(Finding::Unknown, |entry| Finding::Known(entry.clone()))
}

fn revoked(entries: &[Entry], blob: &[u8]) -> Option<Entry> {
    entries
        .iter()
        .find(|entry| entry.marker == Marker::Revoked && entry.blob == blob)
        .cloned()
}
