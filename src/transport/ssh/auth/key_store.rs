//! Private keys in files: read when they are needed, their passphrases asked for once and not once a host.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use russh::keys::{Error as KeyError, PrivateKey, decode_secret_key};

use crate::transport::asker::Asker;
use crate::transport::ssh::auth::key_text;
use crate::transport::ssh::auth::pem::{Fault, decrypt, unread_cipher};
use crate::transport::ssh::timing::aside;

/// How long a refused passphrase is not asked for again, so that many hosts at once ask once.
const REFUSAL_LIFETIME: Duration = Duration::from_secs(10);
/// How long reading a file may take that was read a moment ago: a pipe gives nothing the second time.
const FILE_LIMIT: Duration = Duration::from_secs(10);
/// Wrong passphrases before a key is skipped, as in OpenSSH.
const PASSPHRASE_TRIES: u32 = 3;

/// Private keys that were read, so that a passphrase is asked for once and not once a host.
#[derive(Default)]
pub(crate) struct KeyStore {
    slots: Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<Slot>>>>,
}

#[derive(Default)]
enum Slot {
    #[default]
    Unread,
    Ready(Arc<PrivateKey>),
    Refused(Instant),
}

impl KeyStore {
    /// The private key in `path`, asking for its passphrase if it has one.
    pub(crate) async fn load(&self, path: &Path, asker: &Asker) -> Result<Arc<PrivateKey>, String> {
        let slot = Arc::clone(
            self.slots
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(path.to_path_buf())
                .or_default(),
        );
        let mut slot = slot.lock().await;
        match &*slot {
            Slot::Ready(key) => return Ok(Arc::clone(key)),
            Slot::Refused(when) if when.elapsed() < REFUSAL_LIFETIME => {
                return Err("no passphrase was given".to_owned());
            }
            _ => {}
        }
        match read_private(path, asker).await {
            Ok(key) => {
                let key = Arc::new(key);
                *slot = Slot::Ready(Arc::clone(&key));
                Ok(key)
            }
            Err(error) => {
                // Who could not be asked has refused nothing: another client's user may be there.
                if asker.available() {
                    *slot = Slot::Refused(Instant::now());
                }
                Err(error)
            }
        }
    }
}

async fn read_private(path: &Path, asker: &Asker) -> Result<PrivateKey, String> {
    let shown = path.display();
    let file = path.to_path_buf();
    let reading = aside(move || key_text::read(&file));
    let read = tokio::time::timeout(FILE_LIMIT, reading).await;
    let read = read.map_err(|_| "it cannot be read in time".to_owned())?;
    let text = read.flatten().map_err(|error| error.to_string())?;
    match decode_secret_key(&text, None) {
        Ok(key) => return Ok(key),
        Err(error) if !encrypted(&text, &error) => {
            return Err(format!(
                "{error}; ssh-keygen -p -f {shown} rewrites it in the usual format"
            ));
        }
        Err(_) => {}
    }
    if let Some(cipher) = unread_cipher(&text) {
        return Err(format!(
            "it is encrypted by {cipher}, which is not read here; `ssh-keygen -p -f {shown}` rewrites it with another cipher, and ssh-add puts it into an agent as it is"
        ));
    }
    if !asker.available() {
        return Err("it has a passphrase and there is no terminal to ask for it on".to_owned());
    }
    for number in 0..PASSPHRASE_TRIES {
        let again = if number == 0 {
            ""
        } else {
            "Wrong passphrase, please try again.\n"
        };
        let Some(passphrase) = asker
            .ask(&format!("{again}Passphrase for key {shown}: "), false)
            .await
            .filter(|passphrase| !passphrase.is_empty())
        else {
            return Err("no passphrase was given".to_owned());
        };
        let text = text.clone();
        // Deriving the key from the passphrase takes a tenth of a second by design.
        let decoded = tokio::task::spawn_blocking(move || decode_with(&text, &passphrase))
            .await
            .map_err(|error| error.to_string())?;
        match decoded {
            Ok(key) => return Ok(key),
            Err(Refusal::Passphrase) => {}
            Err(Refusal::Other(why)) => {
                return Err(format!(
                    "{why}; `ssh-keygen -p -f {shown}` rewrites it in the usual format"
                ));
            }
        }
    }
    Err("wrong passphrase".to_owned())
}

/// Why a passphrase did not open a file.
enum Refusal {
    Passphrase,
    Other(String),
}

fn decode_with(text: &str, passphrase: &str) -> Result<PrivateKey, Refusal> {
    match decrypt(text, passphrase) {
        // Once in 256 times a wrong passphrase leaves what looks like a key's end.
        Some(Ok(plain)) => decode_secret_key(&plain, None).map_err(|_| Refusal::Passphrase),
        Some(Err(Fault::Passphrase)) => Err(Refusal::Passphrase),
        Some(Err(Fault::Broken)) => Err(Refusal::Other("the file is broken".to_owned())),
        None => decode_secret_key(text, Some(passphrase)).map_err(|error| match error {
            // It names what it cannot do; everything else comes of a wrong passphrase.
            KeyError::UnknownAlgorithm(_) | KeyError::UnsupportedKeyType { .. } => {
                Refusal::Other(error.to_string())
            }
            _ => Refusal::Passphrase,
        }),
    }
}

fn encrypted(text: &str, error: &KeyError) -> bool {
    matches!(error, KeyError::KeyIsEncrypted)
        || text.contains("ENCRYPTED")
        || text.contains("BEGIN OPENSSH PRIVATE KEY")
            && PrivateKey::from_openssh(text).is_ok_and(|key| key.is_encrypted())
}
