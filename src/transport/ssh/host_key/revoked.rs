//! Files of RevokedHostKeys: lists of public keys, and the binary lists that `ssh-keygen -k` makes (PROTOCOL.krl).

use data_encoding::BASE64;
use russh::keys::{Certificate, PublicKey};
use sha1::{Digest, Sha1};
use sha2::Sha256;

const MAGIC: &[u8] = b"SSHKRL\n\0";
const FORMAT: u32 = 1;

/// The keys and certificates that a file revokes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Revoked {
    keys: Vec<Vec<u8>>,
    sha1: Vec<Vec<u8>>,
    sha256: Vec<Vec<u8>>,
    certificates: Vec<OfAuthority>,
}

/// Certificates of one authority, or of all where it has no key.
#[derive(Debug, Default, PartialEq, Eq)]
struct OfAuthority {
    authority: Vec<u8>,
    ranges: Vec<(u64, u64)>,
    /// Serials as bits of a number, counted from the first value.
    bitmaps: Vec<(u64, Vec<u8>)>,
    key_ids: Vec<Vec<u8>>,
}

impl Revoked {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// What in it cannot be understood, for then it may revoke anything.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        match bytes.strip_prefix(MAGIC) {
            Some(rest) => read_binary(rest)
                .ok_or_else(|| "the binary list is broken, or of a newer kind".to_owned()),
            None => read_lines(&String::from_utf8_lossy(bytes)),
        }
    }

    /// What of a shown key is revoked: the key itself, its certificate, or the certificate's authority.
    pub(crate) fn finds(&self, key: &[u8], certificate: Option<&Certificate>) -> Option<String> {
        if self.has_key(key) {
            return Some("the server's key".to_owned());
        }
        let certificate = certificate?;
        let authority = PublicKey::new(certificate.signature_key().clone(), "");
        // A key that cannot be written down again is in no list, and counts for nothing later on.
        let authority = authority.to_bytes().ok()?;
        if self.has_key(&authority) {
            return Some("the authority of the server's certificate".to_owned());
        }
        let revoked = self
            .certificates
            .iter()
            .filter(|list| list.authority.is_empty() || list.authority == authority)
            .any(|list| list.has(certificate.serial(), certificate.key_id()));
        revoked.then(|| format!("the server's certificate '{}'", certificate.key_id()))
    }

    fn has_key(&self, blob: &[u8]) -> bool {
        let among = |list: &[Vec<u8>], digest: &[u8]| list.iter().any(|known| known == digest);
        among(&self.keys, blob)
            || among(&self.sha1, &Sha1::digest(blob))
            || among(&self.sha256, &Sha256::digest(blob))
    }
}

impl OfAuthority {
    fn has(&self, serial: u64, key_id: &str) -> bool {
        if self.key_ids.iter().any(|known| known == key_id.as_bytes()) {
            return true;
        }
        // Zero is the serial of those that were given none, and says nothing.
        serial != 0
            && (self
                .ranges
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&serial))
                || self
                    .bitmaps
                    .iter()
                    .any(|(first, bits)| has_bit(bits, serial.checked_sub(*first))))
    }
}

/// Whether a bit of a big-endian number is set.
fn has_bit(number: &[u8], bit: Option<u64>) -> bool {
    let Some(bit) = bit.and_then(|bit| usize::try_from(bit).ok()) else {
        return false;
    };
    let byte = number.iter().rev().nth(bit / 8);
    byte.is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
}

/// One public key a line, as `ssh` has it: a line that is not a key makes the file useless.
fn read_lines(text: &str) -> Result<Revoked, String> {
    let mut found = Revoked::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start_matches([' ', '\t']);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_ascii_whitespace();
        let key = words
            .nth(1)
            .and_then(|key| BASE64.decode(key.as_bytes()).ok());
        match key {
            Some(key) => found.keys.push(key),
            None => return Err(format!("line {} is not a public key", index + 1)),
        }
    }
    Ok(found)
}

/// What stands behind the magic bytes; `None` where it cannot be understood.
fn read_binary(bytes: &[u8]) -> Option<Revoked> {
    let mut reader = Reader(bytes);
    if reader.u32()? != FORMAT {
        return None;
    }
    // Version, date and flags; reserved, and a comment.
    reader.take(24)?;
    reader.string()?;
    reader.string()?;
    let mut found = Revoked::default();
    while let Some(kind) = reader.byte() {
        let mut section = Reader(reader.string()?);
        match kind {
            1 => found.certificates.push(read_certificates(section)?),
            2 => section.strings_into(&mut found.keys)?,
            3 => section.strings_into(&mut found.sha1)?,
            5 => section.strings_into(&mut found.sha256)?,
            // A signature, which OpenSSH does not look at in files that are named either. Another string follows.
            4 => {
                reader.string()?;
            }
            255 => section.extension()?,
            _ => return None,
        }
    }
    Some(found)
}

fn read_certificates(mut reader: Reader<'_>) -> Option<OfAuthority> {
    let mut found = OfAuthority {
        authority: reader.string()?.to_vec(),
        ..OfAuthority::default()
    };
    reader.string()?;
    while let Some(kind) = reader.byte() {
        let mut section = Reader(reader.string()?);
        match kind {
            0x20 => {
                while !section.0.is_empty() {
                    let serial = section.u64()?;
                    found.ranges.push((serial, serial));
                }
            }
            0x21 => found.ranges.push((section.u64()?, section.u64()?)),
            0x22 => found
                .bitmaps
                .push((section.u64()?, section.string()?.to_vec())),
            0x23 => section.strings_into(&mut found.key_ids)?,
            0x39 => section.extension()?,
            _ => return None,
        }
    }
    Some(found)
}

/// Takes a list apart from its beginning.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn strings_into(&mut self, list: &mut Vec<Vec<u8>>) -> Option<()> {
        while !self.0.is_empty() {
            list.push(self.string()?.to_vec());
        }
        Some(())
    }

    /// An extension that does not have to be understood; `None` for one that does.
    fn extension(&mut self) -> Option<()> {
        self.string()?;
        (self.byte()? == 0).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_from_the_end() {
        assert!(has_bit(&[0x80, 0x01], Some(0)) && has_bit(&[0x80, 0x01], Some(15)));
        assert!(!has_bit(&[0x80, 0x01], Some(1)) && !has_bit(&[0x80, 0x01], Some(16)));
        assert!(!has_bit(&[0xff], None) && !has_bit(&[], Some(0)));
    }

    #[test]
    fn lines_are_keys_or_the_file_is_useless() {
        let list = Revoked::read(b"# mine\n\n  ssh-ed25519 AAAA comment\n").unwrap();
        assert_eq!(list.keys, [[0, 0, 0]]);
        assert_eq!(Revoked::read(b"").unwrap(), Revoked::default());
        assert!(Revoked::read(b"ssh-ed25519 \xff\n").is_err());
        assert!(Revoked::read(b"no key\n").is_err());
    }

    #[test]
    fn no_cut_of_a_binary_list_is_taken_for_a_whole_one() {
        let mut list = MAGIC.to_vec();
        list.extend([0, 0, 0, 1]);
        list.extend([0; 24]);
        list.extend([0, 0, 0, 0, 0, 0, 0, 1, b'c']);
        let header = list.len();
        list.extend([2, 0, 0, 0, 7, 0, 0, 0, 3, 1, 2, 3]);
        assert_eq!(Revoked::read(&list).unwrap().keys, [[1, 2, 3]]);
        for end in MAGIC.len()..list.len() {
            let whole = end == header;
            assert_eq!(Revoked::read(&list[..end]).is_ok(), whole, "{end}");
        }
        // Critical extensions and sections of newer kinds may revoke anything.
        for (section, readable) in [
            (&[255u8, 0, 0, 0, 6, 0, 0, 0, 1, b'n', 0][..], true),
            (&[255, 0, 0, 0, 6, 0, 0, 0, 1, b'n', 1], false),
            (&[9, 0, 0, 0, 0], false),
        ] {
            let longer = [&list, section].concat();
            assert_eq!(Revoked::read(&longer).is_ok(), readable, "{section:?}");
        }
    }
}
