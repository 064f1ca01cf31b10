//! Sealed frames: every byte after the handshake is encrypted and authenticated under a key of
//! its direction, with the frame's running number as nonce (AU-10 to AU-12).

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::AuthenticationError;

/// Bytes before a sealed frame's content: its length.
pub const SEALED_HEADER: usize = 4;
/// Bytes behind a sealed frame's content: the tag.
pub const SEALED_TAG: usize = 16;
/// The most bytes one frame may carry.
pub const SEALED_MAX: usize = 262_144;
/// Frames one key may seal. Far below what the cipher allows, far above what a connection sends.
const NUMBER_END: u64 = 1 << 48;

/// Which way a frame goes. It stands in the authenticated header data beside the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Sent by the client.
    ClientToServer,
    /// Sent by the server.
    ServerToClient,
}

fn prepared(key: &[u8; 32]) -> Result<LessSafeKey, AuthenticationError> {
    // Fails for a key of another length only, which the type rules out.
    UnboundKey::new(&CHACHA20_POLY1305, key)
        .map(LessSafeKey::new)
        .map_err(|_| AuthenticationError::Exhausted)
}

/// The nonce is the running number, so a repeated, left out or reordered frame does not open.
fn nonce(number: &mut u64) -> Result<Nonce, AuthenticationError> {
    if *number >= NUMBER_END {
        return Err(AuthenticationError::Exhausted);
    }
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    *number += 1;
    Ok(Nonce::assume_unique_for_key([
        0, 0, 0, 0, a, b, c, d, e, f, g, h,
    ]))
}

fn associated(direction: Direction, length: u32) -> Aad<[u8; 5]> {
    let [a, b, c, d] = length.to_be_bytes();
    let way = match direction {
        Direction::ClientToServer => b'C',
        Direction::ServerToClient => b'S',
    };
    Aad::from([way, a, b, c, d])
}

/// Seals the frames of one direction, in order.
pub struct Sealer {
    key: LessSafeKey,
    direction: Direction,
    number: u64,
}

impl Sealer {
    /// A sealer whose next frame is number 0.
    pub fn new(key: &[u8; 32], direction: Direction) -> Result<Self, AuthenticationError> {
        Ok(Sealer {
            key: prepared(key)?,
            direction,
            number: 0,
        })
    }

    /// Appends one sealed frame to `out`. The content is `parts` end to end, 1 to SEALED_MAX bytes.
    pub fn seal(&mut self, parts: &[&[u8]], out: &mut Vec<u8>) -> Result<(), AuthenticationError> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length == 0 {
            return Err(AuthenticationError::Malformed("an empty frame"));
        }
        let announced = match u32::try_from(length) {
            Ok(announced) if length <= SEALED_MAX => announced,
            _ => return Err(AuthenticationError::TooLarge(length as u64)),
        };
        out.reserve(SEALED_HEADER + length + SEALED_TAG);
        out.extend_from_slice(&announced.to_be_bytes());
        let start = out.len();
        for part in parts {
            out.extend_from_slice(part);
        }
        let nonce = nonce(&mut self.number)?;
        let content = out.get_mut(start..).unwrap_or_default();
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, associated(self.direction, announced), content)
            .map_err(|_| AuthenticationError::Exhausted)?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }
}

/// Opens the frames of one direction, in order.
pub struct Opener {
    key: LessSafeKey,
    direction: Direction,
    number: u64,
}

impl Opener {
    /// An opener that expects frame number 0 next.
    pub fn new(key: &[u8; 32], direction: Direction) -> Result<Self, AuthenticationError> {
        Ok(Opener {
            key: prepared(key)?,
            direction,
            number: 0,
        })
    }

    /// The content length that a frame's header announces. It is not authenticated yet: it is
    /// held against the limit, decides how much is read, and nothing else.
    pub fn announced(header: [u8; SEALED_HEADER]) -> Result<usize, AuthenticationError> {
        let length = u32::from_be_bytes(header) as usize;
        if length > SEALED_MAX {
            return Err(AuthenticationError::TooLarge(length as u64));
        }
        if length == 0 {
            return Err(AuthenticationError::Malformed("an empty frame"));
        }
        Ok(length)
    }

    /// Opens one frame in place: `body` is content and tag. Gives the content. After an error the
    /// connection is over: the number does not fit any more.
    pub fn open<'a>(&mut self, body: &'a mut [u8]) -> Result<&'a mut [u8], AuthenticationError> {
        let length = body
            .len()
            .checked_sub(SEALED_TAG)
            .and_then(|length| u32::try_from(length).ok())
            .ok_or(AuthenticationError::Tampered)?;
        let nonce = nonce(&mut self.number)?;
        self.key
            .open_in_place(nonce, associated(self.direction, length), body)
            .map_err(|_| AuthenticationError::Tampered)
    }
}
