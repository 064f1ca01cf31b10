//! The server's key: where it comes from, and whether it is good enough to guard a user's account.

use std::path::Path;

use super::ServerError;
use crate::keys::{LoadedKey, read_key_file};
use crate::wire::authentication::KEY_MIN;

/// Reads the key file.
///
/// # Errors
/// Where it cannot be read, or holds a passphrase that is too short and that is not allowed.
pub fn from_file(path: &Path, allow_short: bool) -> Result<LoadedKey, ServerError> {
    judged(read_key_file(path)?, allow_short)
}

/// Takes a key as typed.
///
/// # Errors
/// Where it is empty, or a passphrase that is too short and that is not allowed.
pub fn from_text(text: &str, allow_short: bool) -> Result<LoadedKey, ServerError> {
    judged(LoadedKey::decode(text)?, allow_short)
}

fn judged(loaded: LoadedKey, allow_short: bool) -> Result<LoadedKey, ServerError> {
    match loaded.passphrase {
        Some(length) if length < KEY_MIN && !allow_short => Err(ServerError::ShortKey(length)),
        _ => Ok(loaded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_guessed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        for (text, length) in [("s3cret", 6), ("fifteen letters", 15)] {
            std::fs::write(&file, text).unwrap();
            for result in [from_text(text, false), from_file(&file, false)] {
                assert!(matches!(result, Err(ServerError::ShortKey(found)) if found == length));
            }
            assert!(from_text(text, true).is_ok());
            assert!(from_file(&file, true).is_ok());
        }
        assert!(from_text("", true).is_err());
        assert!(from_text("sixteen letters.", false).is_ok());
        assert!(from_text(&"0f".repeat(32), false).is_ok());
    }
}
