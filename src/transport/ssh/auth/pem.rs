//! Old formats of private key files that russh does not read, and the names of the ciphers that are not supported here.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use aes::{Aes128, Aes192, Aes256};
use data_encoding::{BASE64, HEXUPPER_PERMISSIVE};
use des::TdesEde3;

/// Key types that the traditional format is used for.
const TYPES: &[&str] = &["RSA", "EC"];

/// Why a traditional key file gives no key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The passphrase is wrong.
    Passphrase,
    /// The file is broken.
    Broken,
}

/// A key file in OpenSSL's traditional format, encrypted.
struct Traditional<'a> {
    kind: &'a str,
    cipher: &'a str,
    /// The cipher's first vector in hexadecimal digits.
    vector: &'a str,
    body: &'a str,
}

fn traditional(text: &str) -> Option<Traditional<'_>> {
    let kind = TYPES.iter().find(|kind| text.contains(&begin(kind)))?;
    let (_, rest) = text.split_once(&begin(kind))?;
    let (inner, _) = rest.split_once("-----END ")?;
    let (_, rest) = inner.split_once("DEK-Info:")?;
    let (information, body) = rest.trim_start().split_once('\n')?;
    let (cipher, vector) = information.trim().split_once(',')?;
    Some(Traditional {
        kind,
        cipher,
        vector,
        body,
    })
}

fn begin(kind: &str) -> String {
    format!("-----BEGIN {kind} PRIVATE KEY-----")
}

/// The same key without encryption; `None` if the text is not a traditional key file, or its cipher is not known.
pub(crate) fn decrypt(text: &str, passphrase: &str) -> Option<Result<String, Fault>> {
    let key = traditional(text)?;
    is_known(key.cipher).then(|| decrypt_traditional(&key, passphrase))
}

fn is_known(cipher: &str) -> bool {
    matches!(
        cipher,
        "AES-128-CBC" | "AES-192-CBC" | "AES-256-CBC" | "DES-EDE3-CBC"
    )
}

fn decrypt_traditional(key: &Traditional<'_>, passphrase: &str) -> Result<String, Fault> {
    let vector = HEXUPPER_PERMISSIVE
        .decode(key.vector.trim().as_bytes())
        .map_err(|_| Fault::Broken)?;
    let salt = vector.get(..8).ok_or(Fault::Broken)?;
    let packed: String = key.body.split_whitespace().collect();
    let mut data = BASE64
        .decode(packed.as_bytes())
        .map_err(|_| Fault::Broken)?;
    let plain = match key.cipher {
        "AES-128-CBC" => open::<Aes128>(&derive(passphrase, salt, 16), &vector, &mut data),
        "AES-192-CBC" => open::<Aes192>(&derive(passphrase, salt, 24), &vector, &mut data),
        "AES-256-CBC" => open::<Aes256>(&derive(passphrase, salt, 32), &vector, &mut data),
        _ => open::<TdesEde3>(&derive(passphrase, salt, 24), &vector, &mut data),
    }?;
    let begin = begin(key.kind);
    let mut pem = format!("{begin}\n");
    for line in BASE64.encode(plain).as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    Ok(format!("{pem}{}\n", begin.replace("BEGIN", "END")))
}

fn open<'a, C: BlockCipherDecrypt + KeyInit>(
    key: &[u8],
    vector: &[u8],
    data: &'a mut [u8],
) -> Result<&'a [u8], Fault>
where
    cbc::Decryptor<C>: BlockModeDecrypt + KeyIvInit,
{
    cbc::Decryptor::<C>::new_from_slices(key, vector)
        .map_err(|_| Fault::Broken)?
        .decrypt_padded::<Pkcs7>(data)
        .map_err(|_| Fault::Passphrase)
}

/// A key of so many bytes: MD5 of the passphrase and the salt, behind what came before, as OpenSSL has always made it.
fn derive(passphrase: &str, salt: &[u8], length: usize) -> Vec<u8> {
    let mut key = Vec::new();
    let mut last: Vec<u8> = Vec::new();
    while key.len() < length {
        last.extend_from_slice(passphrase.as_bytes());
        last.extend_from_slice(salt);
        last = md5::compute(&last).0.to_vec();
        key.extend_from_slice(&last);
    }
    key.truncate(length);
    key
}

/// Ciphers and derivations of PKCS #8 that are not read here, by the bytes that name them.
const UNREAD: &[(&[u8], &str)] = &[
    (b"\x06\x08\x2a\x86\x48\x86\xf7\x0d\x03\x07", "3DES"),
    (b"\x06\x05\x2b\x0e\x03\x02\x07", "DES"),
    (b"\x06\x08\x2a\x86\x48\x86\xf7\x0d\x03\x02", "RC2"),
    (
        b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x03",
        "DES (PBES1)",
    ),
    (
        b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0a",
        "DES (PBES1)",
    ),
    (
        b"\x06\x0a\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01",
        "a cipher of PKCS #12",
    ),
];

/// What is read of PKCS #8: ciphers (AES in CBC), and the hashes for PBKDF2 (SHA-2), of which none is named where it is SHA-1.
const READ_CIPHERS: &[&[u8]] = &[
    b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x02",
    b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x16",
    b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2a",
];
const READ_HASHES: &[&[u8]] = &[
    b"\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x08",
    b"\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x09",
    b"\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x0a",
    b"\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x0b",
];
const PBKDF2: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c";
/// These names stand at the beginning; what is encrypted may hold any bytes.
const NAMES_END: usize = 256;

/// What of an encrypted key in PKCS #8 is not read here.
fn unread_of_pkcs8(body: &[u8]) -> Option<String> {
    let head = body.get(..NAMES_END).unwrap_or(body);
    let names = |name: &[u8]| head.windows(name.len()).any(|window| window == name);
    if let Some((_, name)) = UNREAD.iter().find(|(name, _)| names(name)) {
        return Some((*name).to_owned());
    }
    if !READ_CIPHERS.iter().any(|name| names(name)) {
        return Some("another cipher than AES-CBC".to_owned());
    }
    let is_sha1 = names(PBKDF2) && !READ_HASHES.iter().any(|name| names(name));
    is_sha1.then(|| "a key that SHA-1 derives (PBKDF2)".to_owned())
}

/// The name of the cipher that a key file is encrypted with, where it is one that is not read here.
pub(crate) fn unread_cipher(text: &str) -> Option<String> {
    if let Some(key) = traditional(text) {
        return (!is_known(key.cipher)).then(|| crate::error::printable(key.cipher));
    }
    if let Some(body) = between(text, "ENCRYPTED PRIVATE KEY") {
        return unread_of_pkcs8(&body);
    }
    let body = between(text, "OPENSSH PRIVATE KEY")?;
    let rest = body.strip_prefix(b"openssh-key-v1\0")?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let cipher = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let cipher = String::from_utf8_lossy(cipher);
    (!READ_FROM_OPENSSH.contains(&&*cipher)).then(|| crate::error::printable(&cipher))
}

/// Ciphers of OpenSSH's own format that are read.
const READ_FROM_OPENSSH: &[&str] = &[
    "none",
    "aes128-cbc",
    "aes192-cbc",
    "aes256-cbc",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
];

/// The bytes between the two lines of a PEM file.
fn between(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once("-----END ")?;
    let packed: String = body.split_whitespace().collect();
    BASE64.decode(packed.as_bytes()).ok()
}
