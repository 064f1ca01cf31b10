//! The name of a file or folder that belongs to a host, and its place in a path.

#[cfg(unix)]
use std::ffi::{OsStr, OsString};
#[cfg(unix)]
use std::os::unix::ffi::{OsStrExt, OsStringExt};
#[cfg(unix)]
use std::path::PathBuf;

/// What stands for the host in a path.
#[cfg(unix)]
const PLACE: &[u8] = b"{host}";

/// The longest name of a file, without what is added to it; every file system takes it.
const LONGEST_OF_HOST: usize = 200;

/// A host's name as a file's name: what is not a letter, digit or one of `._-@+` becomes `%` and two hexadecimal digits a byte, and so
/// does a dot at the start. Different hosts have different names.
pub(crate) fn of_host(label: &str) -> String {
    let mut name = String::new();
    for (place, byte) in label.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte);
        if plain && (place > 0 || byte != b'.') {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02x}"));
        }
    }
    if name.len() > LONGEST_OF_HOST {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(label.as_bytes());
        let digest = data_encoding::HEXLOWER.encode(digest.get(..16).unwrap_or_default());
        name.truncate(LONGEST_OF_HOST - digest.len() - 1);
        name.push_str(&format!("%{digest}"));
    }
    name
}

/// Whether the path is another one for each host.
#[cfg(unix)]
pub(crate) fn has_place(path: &OsStr) -> bool {
    path.as_bytes().windows(PLACE.len()).any(|it| it == PLACE)
}

/// The path for a host.
#[cfg(unix)]
pub(crate) fn path_of(path: &OsStr, label: &str) -> PathBuf {
    let name = of_host(label);
    let mut made = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(PLACE) {
            made.extend_from_slice(name.as_bytes());
            rest = behind;
        } else {
            made.push(*first);
            rest = others;
        }
    }
    OsString::from_vec(made).into()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_places_for_hosts() {
        let path = |path: &str, label| path_of(path.as_ref(), label).to_string_lossy().into_owned();
        assert_eq!(path("logs/{host}/", "web1"), "logs/web1/");
        assert_eq!(path("{host}{host}.{hos", "a"), "aa.{hos");
        assert_eq!(path("logs/{host}/", "../x"), "logs/%2e.%2fx/");
        assert!(has_place("a/{host}".as_ref()) && !has_place("a/{hos}".as_ref()));
    }
}
