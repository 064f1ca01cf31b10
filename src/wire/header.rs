//! The sixteen bytes in front of every payload (FR-2 to FR-5).

use super::error::ProtocolError;
use super::kind::{Flags, Kind, Sender};

/// The first two bytes of every frame: `EC`.
pub const MAGIC: u16 = 0x4543;
/// Bytes of a header.
pub const HEADER: usize = 16;
/// The longest payload of one frame, in bytes.
pub const MAX_PAYLOAD: usize = 1_048_576;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is.
    pub kind: Kind,
    /// Its flags; only such as the kind may have.
    pub flags: Flags,
    /// Bytes of payload behind the header, at most [`MAX_PAYLOAD`].
    pub length: u32,
    /// The request that it belongs to, or 0.
    pub request: u32,
    /// The server thread that it belongs to, or 0.
    pub thread: i32,
}

impl Header {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER] {
        let [m0, m1] = MAGIC.to_be_bytes();
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        let [r0, r1, r2, r3] = self.request.to_be_bytes();
        let [t0, t1, t2, t3] = self.thread.to_be_bytes();
        let (kind, flags) = (self.kind.code(), self.flags.bits());
        [
            m0, m1, kind, flags, l0, l1, l2, l3, r0, r1, r2, r3, t0, t1, t2, t3,
        ]
    }

    /// Reads a header that `sender` sent.
    ///
    /// # Errors
    /// Whatever is wrong with the frame that its header alone shows, in the order magic, kind, flags, length.
    pub fn decode(bytes: [u8; HEADER], sender: Sender) -> Result<Header, ProtocolError> {
        let [
            m0,
            m1,
            kind,
            flags,
            l0,
            l1,
            l2,
            l3,
            r0,
            r1,
            r2,
            r3,
            t0,
            t1,
            t2,
            t3,
        ] = bytes;
        let magic = u16::from_be_bytes([m0, m1]);
        if magic != MAGIC {
            return Err(ProtocolError::Garbled(magic));
        }
        let kind = Kind::from_code(kind, sender).ok_or(ProtocolError::UnknownKind(kind))?;
        let flags = Flags::from_bits(flags);
        let strange = flags.without(kind.allowed_flags());
        if strange != Flags::NONE {
            return Err(ProtocolError::UnknownFlag {
                kind: kind.name(),
                flags: strange.bits(),
            });
        }
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        if length as usize > MAX_PAYLOAD {
            return Err(ProtocolError::TooLarge {
                what: "a frame's payload",
                size: u64::from(length),
                limit: MAX_PAYLOAD as u64,
            });
        }
        if !kind.fits(length as usize) {
            return Err(ProtocolError::Malformed(
                "a control frame's payload has a length that its kind cannot have",
            ));
        }
        Ok(Header {
            kind,
            flags,
            length,
            request: u32::from_be_bytes([r0, r1, r2, r3]),
            thread: i32::from_be_bytes([t0, t1, t2, t3]),
        })
    }
}
