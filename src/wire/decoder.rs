//! The incremental reader: bytes in any pieces go in, frames come out.

use bytes::Bytes;

use super::error::ProtocolError;
use super::frame::Frame;
use super::header::{HEADER, Header};
use super::kind::{Flags, Sender};
use super::segments::Gather;

/// Reads one direction of a connection. It holds at most one frame's bytes and what it was last fed.
#[derive(Debug)]
pub struct Decoder {
    sender: Sender,
    compress: bool,
    waiting: Gather,
    // The header of the frame whose payload has not come in full.
    header: Option<Header>,
}

impl Decoder {
    /// A reader of what `sender` sends; DEFLATED frames are refused unless `compress` (FR-10).
    pub fn new(sender: Sender, compress: bool) -> Decoder {
        Decoder {
            sender,
            compress,
            waiting: Gather::new(),
            header: None,
        }
    }

    /// Takes what the transport delivered. Large pieces are kept, not copied.
    pub fn feed(&mut self, bytes: Bytes) {
        self.waiting.push(bytes);
    }

    /// The next frame, or none until more is fed.
    ///
    /// # Errors
    /// What the frame's header shows to be wrong, before its payload is waited for. The decoder is of no use after it.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ProtocolError> {
        let header = match self.header.take() {
            Some(header) => header,
            None => {
                let Some(bytes) = self.waiting.take_array::<HEADER>() else {
                    return Ok(None);
                };
                self.check(Header::decode(bytes, self.sender)?)?
            }
        };
        let Some(payload) = self.waiting.take(header.length as usize) else {
            self.header = Some(header);
            return Ok(None);
        };
        Ok(Some(Frame {
            kind: header.kind,
            flags: header.flags,
            request: header.request,
            thread: header.thread,
            payload,
        }))
    }

    /// Says that the input has ended.
    ///
    /// # Errors
    /// [`ProtocolError::Truncated`] where that was inside a frame.
    pub fn finish(&self) -> Result<(), ProtocolError> {
        let missing = match self.header {
            Some(header) => (header.length as usize).saturating_sub(self.waiting.len()),
            None if self.waiting.is_empty() => return Ok(()),
            None => HEADER.saturating_sub(self.waiting.len()),
        };
        Err(ProtocolError::Truncated { missing })
    }

    fn check(&self, header: Header) -> Result<Header, ProtocolError> {
        if header.flags.contains(Flags::DEFLATED) && !self.compress {
            return Err(ProtocolError::UnknownFlag {
                kind: header.kind.name(),
                flags: Flags::DEFLATED.bits(),
            });
        }
        Ok(header)
    }
}
