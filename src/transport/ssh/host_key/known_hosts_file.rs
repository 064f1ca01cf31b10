//! Adding a line to a known_hosts file, so that many connections at once lose none and contradict none.

use std::io::{Read, Write};
use std::path::Path;

use data_encoding::BASE64;

use crate::system::rights::private_folder;
use crate::transport::ssh::host_key::known_hosts::{
    Entry, Finding, entries_in, hash_label, judge_key,
};

/// What became of a key that was to be recorded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Recording {
    /// A line was added.
    Added,
    /// Another connection has recorded the same key meanwhile.
    Known,
    /// Nothing was added: another connection has recorded another key meanwhile.
    Changed(Entry),
    /// Nothing was added: the key has been revoked meanwhile.
    Revoked(Entry),
}

/// Records `blob` as the key of `label`, if still nothing is recorded for it. Looking and writing are under one
/// lock, so that of two servers that show different keys at once only one is believed.
/// Blocks on the file's lock, so it belongs on a blocking thread.
pub(crate) fn add_key(
    file: &Path,
    label: &str,
    algorithm: &str,
    blob: &[u8],
    hashed: bool,
) -> Result<Recording, String> {
    let name = if hashed {
        hash_label(label)?
    } else {
        label.to_owned()
    };
    let line = format!("{name} {algorithm} {}\n", BASE64.encode(blob));
    append(file, label, blob, &line).map_err(|error| format!("{}: {error}", file.display()))
}

fn append(file: &Path, label: &str, blob: &[u8], line: &str) -> std::io::Result<Recording> {
    if let Some(folder) = file.parent()
        && !folder.exists()
    {
        private_folder().recursive(true).create(folder)?;
    }
    // A link of the user's own is common here, to a folder under version control.
    let mut handle = crate::files::open_to_append(file, 0o600, true)?;
    // The lock ends with the handle. OpenSSH takes none, but it appends by one write as we do.
    handle.lock()?;
    let mut before = Vec::new();
    handle.read_to_end(&mut before)?;
    match judge_key(&entries_in(label, &before, file), blob) {
        Finding::Unknown => {}
        Finding::Known(_) => return Ok(Recording::Known),
        Finding::Changed(entry) => return Ok(Recording::Changed(entry)),
        Finding::Revoked(entry) => return Ok(Recording::Revoked(entry)),
    }
    let mut bytes = Vec::with_capacity(line.len() + 1);
    // An editor may have left the last line open.
    if before.last().is_some_and(|last| *last != b'\n') {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(line.as_bytes());
    handle.write_all(&bytes)?;
    Ok(Recording::Added)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_writers_lose_no_line_and_double_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/known_hosts");
        std::thread::scope(|scope| {
            for number in 0..16u8 {
                let file = &file;
                scope.spawn(move || {
                    for round in 0..8u8 {
                        let mut blob = vec![0, 0, 0, 11];
                        blob.extend_from_slice(b"ssh-ed25519");
                        blob.extend_from_slice(&[number / 2; 36]);
                        let host = format!("host{}-{round}", number / 2);
                        add_key(file, &host, "ssh-ed25519", &blob, round % 2 == 0).unwrap();
                    }
                });
            }
        });
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().count(), 64, "{text}");
        for number in 0..8 {
            for round in 0..8 {
                let label = format!("host{number}-{round}");
                let found = entries_in(&label, text.as_bytes(), &file);
                assert_eq!(found.len(), 1, "{label}");
            }
        }
    }

    #[test]
    fn of_many_keys_at_once_one_is_recorded_and_the_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        let results: Vec<Recording> = std::thread::scope(|scope| {
            let adding: Vec<_> = (0..8u8)
                .map(|number| {
                    let file = &file;
                    scope.spawn(move || {
                        let mut blob = vec![0, 0, 0, 11];
                        blob.extend_from_slice(b"ssh-ed25519");
                        blob.push(number);
                        add_key(file, "box", "ssh-ed25519", &blob, number % 2 == 0).unwrap()
                    })
                })
                .collect();
            adding.into_iter().map(|it| it.join().unwrap()).collect()
        });
        let added = results.iter().filter(|it| **it == Recording::Added);
        assert_eq!(added.count(), 1, "{results:?}");
        let refused = results
            .iter()
            .filter(|it| matches!(it, Recording::Changed(_)));
        assert_eq!(refused.count(), 7, "{results:?}");
        assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 1);
    }

    #[test]
    fn an_open_last_line_is_closed_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        std::fs::write(&file, "# mine").unwrap();
        let mut blob = vec![0, 0, 0, 11];
        blob.extend_from_slice(b"ssh-ed25519");
        let added = add_key(&file, "box", "ssh-ed25519", &blob, false).unwrap();
        assert_eq!(added, Recording::Added);
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, "# mine\nbox ssh-ed25519 AAAAC3NzaC1lZDI1NTE5\n");
    }
}
