//! What can be wrong with a peer's bytes: one variant for each code of spec/errors.md that this layer raises.

use thiserror::Error;

/// A breach of the protocol by the other end. The connection cannot go on after it.
///
/// `code` gives the name that spec/errors.md lists and that FATAL frames carry; `Display` gives a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// A frame does not begin with the magic (FR-3).
    #[error("the stream is garbled: a frame should begin here, but the bytes are {0:#06x}")]
    Garbled(u16),
    /// A frame, an inflated payload or a message passes its limit (FR-4, FR-10, FR-12).
    #[error("{what} of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes, or as much of it as was looked at.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A kind that is not defined, or not for this direction (FR-5).
    #[error("frame kind {0:#04x} is unknown in this direction")]
    UnknownKind(u8),
    /// A flag bit that is not defined for the kind (FR-5).
    #[error("flags {flags:#04x} are not defined for a frame of kind {kind}")]
    UnknownFlag {
        /// The frame's kind.
        kind: &'static str,
        /// The bits that it must not have.
        flags: u8,
    },
    /// The input ended inside a frame (FR-6).
    #[error("the stream ended inside a frame, {missing} bytes before its end")]
    Truncated {
        /// How many bytes were still to come, as far as known.
        missing: usize,
    },
    /// A frame whose content contradicts itself or what came before it.
    #[error("{0}")]
    Malformed(&'static str),
    /// An answer to a request that was never sent, or was answered already (ME-3).
    #[error("an answer came for request {0}, which is not waiting for one")]
    UnknownRequest(u32),
    /// More was sent than the receiver's window allows (ME-10, ME-12).
    #[error("{excess} bytes were sent beyond the window of {window}")]
    Window {
        /// How far it was passed, in bytes.
        excess: u64,
        /// The window in bytes.
        window: u64,
    },
}

impl ProtocolError {
    /// The code's name in spec/errors.md.
    pub fn code(&self) -> &'static str {
        match self {
            ProtocolError::Garbled(_) => "garbled",
            ProtocolError::TooLarge { .. } => "too-large",
            ProtocolError::UnknownKind(_) => "unknown-kind",
            ProtocolError::UnknownFlag { .. } => "unknown-flag",
            ProtocolError::Truncated { .. } => "truncated",
            ProtocolError::Malformed(_) => "malformed",
            ProtocolError::UnknownRequest(_) => "unknown-request",
            ProtocolError::Window { .. } => "window",
        }
    }
}
