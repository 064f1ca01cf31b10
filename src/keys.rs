//! The shared key of a standalone server: making it, reading it, and keeping it in a file that only its owner reads.
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::files;
use crate::system::rights::Rights;

/// The length of a key in bytes.
pub const KEY_SIZE: usize = 32;

/// How much of a key file is read in search of the end of its first line, in bytes.
const MAX_LINE: u64 = 4096;

/// A shared key. `Debug` leaves its bytes out.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; KEY_SIZE]);

/// Leaves the bytes out.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

impl Key {
    /// A new key from the operating system's random numbers.
    ///
    /// # Errors
    /// [`KeyError::Random`] where the system has none to give.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = [0; KEY_SIZE];
        getrandom::fill(&mut bytes).map_err(|error| KeyError::Random(error.to_string()))?;
        Ok(Key(bytes))
    }

    /// 64 hex digits are the key itself; any other text is a passphrase, and its SHA-256 is the key.
    ///
    /// # Errors
    /// [`KeyError::Empty`].
    pub fn decode(text: &str) -> Result<Self, KeyError> {
        LoadedKey::decode(text).map(|loaded| loaded.key)
    }

    /// The key as it is used.
    pub fn as_bytes(&self) -> &[u8; KEY_SIZE] {
        &self.0
    }

    /// As a key file has it: 64 lower-case hex digits.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl From<[u8; KEY_SIZE]> for Key {
    fn from(bytes: [u8; KEY_SIZE]) -> Self {
        Key(bytes)
    }
}

fn decode_hex(text: &str) -> Option<[u8; KEY_SIZE]> {
    if text.len() != 2 * KEY_SIZE || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; KEY_SIZE];
    for (position, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * position..2 * position + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// A key, and what its file's owner ought to hear about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedKey {
    /// The key.
    pub key: Key,
    /// What is wrong with the file, though not so wrong that it cannot be read.
    pub warnings: Vec<KeyWarning>,
    /// The number of characters of a passphrase: a short one can be guessed. None for a key of 64 hex digits.
    pub passphrase: Option<usize>,
}

impl LoadedKey {
    pub(crate) fn without_warnings(key: Key) -> Self {
        LoadedKey {
            key,
            warnings: Vec::new(),
            passphrase: None,
        }
    }

    /// A key as typed, see [`Key::decode`].
    ///
    /// # Errors
    /// [`KeyError::Empty`].
    pub fn decode(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(match decode_hex(text) {
            Some(bytes) => LoadedKey::without_warnings(Key(bytes)),
            None => LoadedKey {
                passphrase: Some(text.chars().count()),
                ..LoadedKey::without_warnings(Key(Sha256::digest(text.as_bytes()).into()))
            },
        })
    }
}

/// A finding about a key file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyWarning {
    /// Its group or everybody may read or write it; with the permission bits.
    OpenToOthers(PathBuf, u32),
    /// Its first line has so many hexadecimal digits, though a key has 64 of them: it was cut off, or is that of something else.
    NearlyKey(PathBuf, usize),
}

impl fmt::Display for KeyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyWarning::OpenToOthers(path, mode) => {
                let path = path.display();
                write!(
                    f,
                    "the file {path} is open to other users (mode {mode:04o}); run: chmod 600 {path}"
                )
            }
            KeyWarning::NearlyKey(path, count) => write!(
                f,
                "the first line of {} has {count} hexadecimal digits and not 64 as a key has, so it is taken for a passphrase",
                path.display()
            ),
        }
    }
}

/// What can go wrong with keys and their files.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key has no characters.
    #[error("the key is empty; make one with: easycluster -g FILE")]
    Empty,
    /// The first line of the file is empty.
    #[error("key file {} has an empty first line; make a new one with: easycluster -g FILE", .0.display())]
    EmptyFile(PathBuf),
    /// The first line is too long, or is not text.
    #[error("{} is not a valid key file: its first line is not a line of text of at most 4096 bytes", .0.display())]
    NoKeyFile(PathBuf),
    /// The file is one of SSH or TLS; its first line is the same in all of them, or public.
    #[error("{} is a file of an SSH or TLS key, whose first line anybody can guess; make a key for this with: easycluster -g FILE", .0.display())]
    OtherKey(PathBuf),
    /// The file cannot be opened or read.
    #[error("cannot read key file {}: {}", .0.display(), .1)]
    Read(PathBuf, #[source] io::Error),
    /// The file cannot be written.
    #[error("cannot write key file {}: {}", .0.display(), .1)]
    Write(PathBuf, #[source] io::Error),
    /// The system gave no random numbers.
    #[error("the operating system provides no random numbers: {0}")]
    Random(String),
}

/// Reads a key file: its first line, decoded by [`Key::decode`].
///
/// # Errors
/// Where the file cannot be read or holds no key. Loose permissions are a warning beside the key.
pub fn read_key_file(path: &Path) -> Result<LoadedKey, KeyError> {
    let read_error = |error| KeyError::Read(path.to_path_buf(), error);
    let (line, warning) = first_line(path).map_err(read_error)?;
    let no_key_file = || KeyError::NoKeyFile(path.to_path_buf());
    if line.len() as u64 > MAX_LINE {
        return Err(no_key_file());
    }
    let text = String::from_utf8(line).map_err(|_| no_key_file())?;
    let text = text.trim_end_matches(['\r', '\n']);
    // Blanks, and the mark that editors of Windows write, are seen by nobody who compares two key files.
    let bare = text.trim_start_matches('\u{feff}').trim();
    if begins_another_key(bare) {
        return Err(KeyError::OtherKey(path.to_path_buf()));
    }
    let mut loaded = match decode_hex(bare) {
        Some(bytes) => LoadedKey::without_warnings(Key(bytes)),
        // All of a passphrase counts.
        None => LoadedKey::decode(text).map_err(|_| KeyError::EmptyFile(path.to_path_buf()))?,
    };
    loaded.warnings.extend(warning);
    let is_nearly_key = bare.len() >= KEY_SIZE && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_nearly_key && loaded.passphrase.is_some() {
        let warning = KeyWarning::NearlyKey(path.to_path_buf(), bare.len());
        loaded.warnings.push(warning);
    }
    Ok(loaded)
}

/// Whether a text begins as the files of other keys do.
pub(crate) fn begins_another_key(text: &str) -> bool {
    OF_OTHER_KEYS.iter().any(|start| text.starts_with(start))
}

/// How the files of other keys begin: PEM, public keys of SSH, PuTTY's.
const OF_OTHER_KEYS: [&str; 5] = [
    "-----BEGIN ",
    "ssh-",
    "ecdsa-sha2-",
    "sk-",
    "PuTTY-User-Key-File",
];

/// The first line of a file, at most one byte longer than a line may be, and what its owner ought to hear.
fn first_line(path: &Path) -> io::Result<(Vec<u8>, Option<KeyWarning>)> {
    let file = File::open(path)?;
    let warning = permission_warning(path, &file)?;
    let mut line = Vec::new();
    BufReader::new(file.take(MAX_LINE + 1)).read_until(b'\n', &mut line)?;
    Ok((line, warning))
}

/// The password in the first line of a file. Loose permissions are a warning beside it.
#[cfg(feature = "cli")]
pub(crate) fn read_password_file(path: &Path) -> io::Result<(String, Option<KeyWarning>)> {
    let (line, warning) = first_line(path)?;
    let text = String::from_utf8(line).map_err(|_| io::Error::other("it is not text"))?;
    let text = text.trim_end_matches(['\r', '\n']);
    match text.len() as u64 {
        0 => Err(io::Error::other("its first line is empty")),
        length if length > MAX_LINE => Err(io::Error::other("its first line is too long")),
        _ => Ok((text.to_owned(), warning)),
    }
}

fn permission_warning(path: &Path, file: &File) -> io::Result<Option<KeyWarning>> {
    let metadata = file.metadata()?;
    // A pipe (`kf=/dev/stdin`, process substitution) has no lasting permissions to complain about.
    let open =
        Rights::of(&metadata).filter(|rights| metadata.is_file() && rights.is_open_to_others());
    Ok(open.map(|rights| KeyWarning::OpenToOthers(path.to_path_buf(), rights.mode)))
}

/// Writes a key file that only its owner reads, from its first byte on.
///
/// `Ok(false)`: the file exists and `overwrite` is false. With `overwrite` the old file stays until the new one is whole.
///
/// # Errors
/// [`KeyError::Write`]; nothing half written is left behind.
pub fn write_key_file(path: &Path, key: &Key, overwrite: bool) -> Result<bool, KeyError> {
    let write_error = |error| KeyError::Write(path.to_path_buf(), error);
    let text = format!("{}\n", key.to_hex());
    let written = if overwrite {
        files::replace(path, text.as_bytes(), 0o600)
    } else {
        files::create(path, text.as_bytes(), 0o600)
    };
    match written {
        Err(error) if !overwrite && error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        result => result.map(|()| true).map_err(write_error),
    }
}
