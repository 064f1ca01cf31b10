//! Adding a line to a known_hosts file, so that many connections at once lose none.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use data_encoding::BASE64;
use rustix::fs::{FlockOperation, flock};

use crate::transport::ssh::host_key::known_hosts::{Marker, entries_for, hash_label};

/// Records `blob` as the key of `label`. Says whether a line was added: another connection may have done it already.
/// Blocks on the file's lock, so it belongs on a blocking thread.
pub(crate) fn add_key(
    file: &Path,
    label: &str,
    algorithm: &str,
    blob: &[u8],
    hashed: bool,
) -> Result<bool, String> {
    let name = if hashed {
        hash_label(label)?
    } else {
        label.to_owned()
    };
    let line = format!("{name} {algorithm} {}\n", BASE64.encode(blob));
    append(file, label, blob, &line).map_err(|error| format!("{}: {error}", file.display()))
}

fn append(file: &Path, label: &str, blob: &[u8], line: &str) -> std::io::Result<bool> {
    if let Some(folder) = file.parent()
        && !folder.exists()
    {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut handle = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(file)?;
    // The lock ends with the handle. OpenSSH takes none, but it appends by one write as we do.
    flock(&handle, FlockOperation::LockExclusive)?;
    let recorded = entries_for(label, &[file.to_path_buf()])
        .iter()
        .any(|entry| entry.marker == Marker::Key && entry.blob == blob);
    if recorded {
        return Ok(false);
    }
    let mut bytes = Vec::with_capacity(line.len() + 1);
    if !ends_with_newline(&mut handle)? {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(line.as_bytes());
    handle.write_all(&bytes)?;
    Ok(true)
}

/// An editor may have left the last line open.
fn ends_with_newline(handle: &mut File) -> std::io::Result<bool> {
    if handle.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    handle.seek(SeekFrom::End(-1))?;
    let mut last = [0u8; 1];
    handle.read_exact(&mut last)?;
    Ok(last == *b"\n")
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
                assert_eq!(
                    entries_for(&label, std::slice::from_ref(&file)).len(),
                    1,
                    "{label}"
                );
            }
        }
    }

    #[test]
    fn an_open_last_line_is_closed_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        std::fs::write(&file, "# mine").unwrap();
        let mut blob = vec![0, 0, 0, 11];
        blob.extend_from_slice(b"ssh-ed25519");
        assert!(add_key(&file, "box", "ssh-ed25519", &blob, false).unwrap());
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, "# mine\nbox ssh-ed25519 AAAAC3NzaC1lZDI1NTE5\n");
    }
}
