//! The old encrypted PEM format for elliptic curve keys (`ssh-keygen -m PEM`), which russh reads for RSA keys only.

use aes::Aes128;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use data_encoding::{BASE64, HEXUPPER_PERMISSIVE};

const BEGIN: &str = "-----BEGIN EC PRIVATE KEY-----";
const END: &str = "-----END EC PRIVATE KEY-----";

/// The same key without encryption; `None` if the text is no such key or the passphrase is wrong.
pub(crate) fn decrypt_ec(text: &str, passphrase: &str) -> Option<String> {
    let (_, rest) = text.split_once(BEGIN)?;
    let (body, _) = rest.split_once(END)?;
    let (_, rest) = body.split_once("DEK-Info: AES-128-CBC,")?;
    let (iv, encoded) = rest.trim_start().split_once('\n')?;
    let iv: [u8; 16] = HEXUPPER_PERMISSIVE
        .decode(iv.trim().as_bytes())
        .ok()?
        .try_into()
        .ok()?;
    let packed: String = encoded.split_whitespace().collect();
    let mut data = BASE64.decode(packed.as_bytes()).ok()?;

    // The key is one MD5 of the passphrase and the first half of the vector, as OpenSSL has always made it.
    let mut seed = passphrase.as_bytes().to_vec();
    seed.extend_from_slice(iv.get(..8)?);
    let key = md5::compute(&seed).0;
    let plain = cbc::Decryptor::<Aes128>::new(&key.into(), &iv.into())
        .decrypt_padded::<Pkcs7>(&mut data)
        .ok()?;
    let mut pem = format!("{BEGIN}\n");
    for line in BASE64.encode(plain).as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).ok()?);
        pem.push('\n');
    }
    Some(format!("{pem}{END}\n"))
}
