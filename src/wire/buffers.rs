//! Out-of-band buffers of a message: the table in front of the pickle (FR-11).

use bytes::{BufMut, Bytes, BytesMut};

use super::error::ProtocolError;
use super::segments::Segments;

/// The most buffers that one message may carry.
pub const MAX_BUFFERS: usize = 65_536;

/// The table that stands before a pickle of `pickle` bytes and buffers of these lengths.
pub fn buffer_table(pickle: usize, buffers: impl ExactSizeIterator<Item = usize>) -> Bytes {
    let mut table = BytesMut::with_capacity(12 + 8 * buffers.len());
    table.put_u32(buffers.len() as u32);
    table.put_u64(pickle as u64);
    for length in buffers {
        table.put_u64(length as u64);
    }
    table.freeze()
}

/// Takes a BUFFERS message apart into its pickle and its buffers, without copying.
///
/// # Errors
/// [`ProtocolError::TooLarge`] past [`MAX_BUFFERS`], [`ProtocolError::Malformed`] where the lengths do not add up to
/// the message.
pub fn split_buffers(mut message: Segments) -> Result<(Segments, Vec<Segments>), ProtocolError> {
    const SHORT: ProtocolError =
        ProtocolError::Malformed("a message is shorter than its table of buffers");
    const SUM: ProtocolError =
        ProtocolError::Malformed("a message's buffers do not add up to its length");
    let count = u32::from_be_bytes(message.take_array().ok_or(SHORT)?) as usize;
    if count > MAX_BUFFERS {
        return Err(ProtocolError::TooLarge {
            what: "a table of buffers",
            size: count as u64,
            limit: MAX_BUFFERS as u64,
        });
    }
    // One more length than buffers: the pickle's comes first.
    let mut lengths = Vec::with_capacity(count.min(message.len() / 8) + 1);
    for _ in 0..=count {
        lengths.push(u64::from_be_bytes(message.take_array().ok_or(SHORT)?));
    }
    let sum = lengths
        .iter()
        .try_fold(0u64, |sum, length| sum.checked_add(*length));
    if sum != Some(message.len() as u64) {
        return Err(SUM);
    }
    let mut parts = lengths
        .into_iter()
        .map(|length| message.split_to(length as usize));
    let pickle = parts.next().ok_or(SHORT)?;
    Ok((pickle, parts.collect()))
}
