//! A known_hosts file split once a process: plain names are looked up in a map, and only hashed lines are hashed for.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::{Entry, Marker, decode_key, parse_line};
use crate::files::rest_at_most;
use crate::system::rights::Stamp;
use crate::transport::ssh::config::{Verdict, matches_host};

/// A file that was changed this long before it was read or less may be changed again without a sign of it:
/// times of change are as coarse as the system's clock tick, and some file systems count whole seconds.
const SETTLED_AFTER: Duration = Duration::from_secs(3);

/// A known_hosts file holds no more than this.
const MAX_FILE: u64 = 256 << 20;

/// Whether a later change would be seen by the file's stamp.
fn is_settled(stamp: &Stamp, now: SystemTime) -> bool {
    let changed = UNIX_EPOCH + Duration::from_secs(stamp.changed());
    now.duration_since(changed)
        .is_ok_and(|age| age > SETTLED_AFTER)
}

/// What a file holds, as far as it is needed to find the lines about a host.
#[derive(Debug, Default)]
pub(crate) struct Index {
    lines: Vec<Recorded>,
    /// Lines by each name that they have without wildcards.
    plain: HashMap<String, Vec<usize>>,
    /// Lines with wildcards or negations, and their lists of names.
    patterns: Vec<(usize, String)>,
    /// Lines whose name is hashed, with salt and hash.
    hashed: Vec<(usize, Vec<u8>, Vec<u8>)>,
}

/// One line, its key not decoded yet.
#[derive(Debug)]
struct Recorded {
    marker: Marker,
    algorithm: String,
    key: String,
    number: usize,
}

/// Indexes by their files, each with the state that its file was in.
type Known = HashMap<PathBuf, (Stamp, Arc<Index>)>;

/// The index of a file, read again only if the file has changed. `None` if there is no file.
pub(super) fn of(file: &Path) -> io::Result<Option<Arc<Index>>> {
    static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
    let mut opened = match std::fs::File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // Before it is read: what changes meanwhile then has another stamp the next time.
    let metadata = opened.metadata()?;
    let stamp = Stamp::of(&metadata);
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((then, index)) = known().get_or_insert_default().get(file)
        && *then == stamp
    {
        return Ok(Some(Arc::clone(index)));
    }
    let now = SystemTime::now();
    let mut bytes = Vec::new();
    rest_at_most(&mut opened, MAX_FILE, &mut bytes)?;
    let index = Arc::new(Index::new(&bytes));
    if metadata.is_file() && is_settled(&stamp, now) {
        let kept = (stamp, Arc::clone(&index));
        known()
            .get_or_insert_default()
            .insert(file.to_owned(), kept);
    }
    Ok(Some(index))
}

impl Index {
    /// Splits a file's bytes. Not every byte of a comment need be UTF-8.
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut index = Index::default();
        for (before, text) in String::from_utf8_lossy(bytes).lines().enumerate() {
            let Some(line) = parse_line(text) else {
                continue;
            };
            let place = index.lines.len();
            match line.names.strip_prefix('|') {
                Some(hashed) => match hashed_name(hashed) {
                    Some((salt, hash)) => index.hashed.push((place, salt, hash)),
                    None => continue,
                },
                None if line.names.contains(['*', '?', '!']) => {
                    index.patterns.push((place, line.names.to_owned()));
                }
                None => {
                    for name in line.names.split(',') {
                        let lines = index.plain.entry(name.to_lowercase()).or_default();
                        // A name may stand in a line twice.
                        if lines.last() != Some(&place) {
                            lines.push(place);
                        }
                    }
                }
            }
            index.lines.push(Recorded {
                marker: line.marker,
                algorithm: line.algorithm.to_owned(),
                key: line.key.to_owned(),
                number: before + 1,
            });
        }
        index
    }

    /// The lines about `label`, in the file's order.
    pub(super) fn entries(&self, label: &str, file: &Path) -> Vec<Entry> {
        let mut places: Vec<usize> = self
            .plain
            .get(&label.to_lowercase())
            .into_iter()
            .flatten()
            .copied()
            .collect();
        places.extend(
            self.patterns
                .iter()
                .filter(|(_, names)| matches_host(label, names) == Verdict::Match)
                .map(|(place, _)| *place),
        );
        places.extend(
            self.hashed
                .iter()
                .filter(|(_, salt, hash)| is_hash_of(label, salt, hash))
                .map(|(place, ..)| *place),
        );
        places.sort_unstable();
        let lines = places.iter().filter_map(|place| self.lines.get(*place));
        lines
            .filter_map(|line| {
                Some(Entry {
                    marker: line.marker,
                    algorithm: line.algorithm.clone(),
                    blob: decode_key(&line.algorithm, &line.key)?,
                    file: file.to_path_buf(),
                    line: line.number,
                })
            })
            .collect()
    }
}

/// Salt and hash of `1|salt|hash`.
fn hashed_name(hashed: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut parts = hashed.split('|');
    if parts.next()? != "1" {
        return None;
    }
    let mut decoded = || BASE64.decode(parts.next()?.as_bytes()).ok();
    Some((decoded()?, decoded()?))
}

/// Whether `hash` is the HMAC of the name under the salt.
fn is_hash_of(label: &str, salt: &[u8], hash: &[u8]) -> bool {
    Hmac::<Sha1>::new_from_slice(salt).is_ok_and(|mut mac| {
        mac.update(label.as_bytes());
        mac.verify_slice(hash).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::super::{entries_for, hash_label};
    use super::*;

    fn key(number: u8) -> String {
        let mut blob = vec![0, 0, 0, 11];
        blob.extend_from_slice(b"ssh-ed25519");
        blob.push(number);
        format!("ssh-ed25519 {}", BASE64.encode(&blob))
    }

    #[test]
    fn lines_are_found_by_name_pattern_and_hash_in_the_order_of_the_file() {
        let hashed = hash_label("box").unwrap();
        let text = format!(
            "# a comment\n{hashed} {}\nbox,BOX,other {}\n*ox,!fox {}\nother {}\n@revoked Box {}\nbox ssh-rsa AAAA\n",
            key(1),
            key(2),
            key(3),
            key(4),
            key(5)
        );
        let index = Index::new(text.as_bytes());
        let lines = |label: &str| -> Vec<usize> {
            let found = index.entries(label, Path::new("x"));
            found.iter().map(|entry| entry.line).collect()
        };
        assert_eq!(lines("box"), [2, 3, 4, 6]);
        assert_eq!(lines("other"), [3, 5]);
        assert_eq!(lines("fox"), [] as [usize; 0]);
        assert_eq!(lines("ox"), [4]);
    }

    #[test]
    fn a_changed_file_is_read_again_and_an_unreadable_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        let files = [file.clone()];
        assert_eq!(entries_for("box", &files), Ok(Vec::new()));
        for round in 0..4 {
            // The same length each time; the file is old from the second round on.
            std::fs::write(&file, format!("box {}\n", key(round))).unwrap();
            let old = SystemTime::now() - Duration::from_secs(60 + u64::from(round));
            let opened = std::fs::File::options().write(true).open(&file).unwrap();
            opened.set_modified(old).unwrap();
            for _ in 0..2 {
                let found = entries_for("box", &files).unwrap();
                assert_eq!(found.len(), 1);
                assert_eq!(found[0].blob.last(), Some(&round));
            }
        }
        // A folder opens and cannot be read, even if root runs the test.
        let error = entries_for("box", &[folder.path().to_path_buf()]).unwrap_err();
        assert!(
            error.contains(&folder.path().display().to_string()),
            "{error}"
        );
        let below = file.join("known_hosts");
        assert!(entries_for("box", &[below]).is_err());
    }

    #[test]
    fn an_old_file_is_split_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        std::fs::write(&file, format!("box {}\n", key(1))).unwrap();
        let stamp = Stamp::of(&std::fs::metadata(&file).unwrap());
        assert!(!is_settled(&stamp, SystemTime::now()));
        assert!(is_settled(
            &stamp,
            SystemTime::now() + Duration::from_secs(60)
        ));
        let (one, two) = (of(&file).unwrap().unwrap(), of(&file).unwrap().unwrap());
        assert!(!Arc::ptr_eq(&one, &two), "it may change unseen yet");
        let deadline = SystemTime::now() + Duration::from_secs(60);
        loop {
            let (one, two) = (of(&file).unwrap().unwrap(), of(&file).unwrap().unwrap());
            if Arc::ptr_eq(&one, &two) {
                break;
            }
            assert!(SystemTime::now() < deadline, "it is never kept");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
