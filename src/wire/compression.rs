//! DEFLATED payloads: one zlib stream per frame, bounded when inflated (FR-10).

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use super::error::ProtocolError;
use super::header::MAX_PAYLOAD;
use super::segments::Segments;

/// The shortest payload that is worth deflating, in bytes.
pub const COMPRESS_MIN: usize = 256;

/// The payload deflated, or none where that would not make it shorter or it is below [`COMPRESS_MIN`].
pub fn deflate(payload: &Segments) -> Option<Bytes> {
    if payload.len() < COMPRESS_MIN {
        return None;
    }
    // The fastest level: a link slow enough to ask for compression gains little from the slower ones.
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(payload.len() / 2), Compression::fast());
    for piece in payload.pieces() {
        encoder.write_all(piece).ok()?;
    }
    let deflated = encoder.finish().ok()?;
    (deflated.len() < payload.len()).then(|| Bytes::from(deflated))
}

/// The payload inflated.
///
/// # Errors
/// [`ProtocolError::TooLarge`] past [`MAX_PAYLOAD`], [`ProtocolError::Malformed`] where it is not exactly one zlib
/// stream.
pub fn inflate(payload: Segments) -> Result<Bytes, ProtocolError> {
    let deflated = payload.into_bytes();
    let mut decoder = ZlibDecoder::new(deflated.as_ref());
    let mut inflated = Vec::new();
    let limit = MAX_PAYLOAD as u64;
    let read = decoder.by_ref().take(limit + 1).read_to_end(&mut inflated);
    if read.is_err() {
        return Err(ProtocolError::Malformed("a deflated payload is broken"));
    }
    if inflated.len() > MAX_PAYLOAD {
        return Err(ProtocolError::TooLarge {
            what: "an inflated payload",
            size: inflated.len() as u64,
            limit,
        });
    }
    if decoder.total_in() != deflated.len() as u64 {
        return Err(ProtocolError::Malformed(
            "a deflated payload has bytes after its end",
        ));
    }
    Ok(Bytes::from(inflated))
}
