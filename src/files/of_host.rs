//! The name of a file or folder that belongs to a host.

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
