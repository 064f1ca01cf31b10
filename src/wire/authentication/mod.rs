//! Authentication of the TCP transport: the handshake under a shared key, the sealed frames after
//! it and what they carry. Pure: bytes in, bytes out; randomness is passed in. See
//! `spec/authentication.md` (AU-n).
mod handshake;
mod message;
mod sealed;

pub use handshake::{
    Client, ClientProved, Greeting, HELLO, HELLO_TAG, PROOF, PROOF_TAG, REFUSAL, REFUSAL_TAG,
    Server, Step, VERSION,
};
pub use message::{COMMAND_MAX, Exit, Message, Open, Opened, WINDOW};
pub use sealed::{Direction, Opener, SEALED_HEADER, SEALED_MAX, SEALED_TAG, Sealer};

/// Keys shorter than this many bytes can be guessed from one recorded handshake by anyone who took
/// part in it, and are refused unless explicitly allowed (AU-16).
pub const KEY_MIN: usize = 16;

/// Fresh randomness of one side for one handshake. Never use one twice.
pub struct Fresh {
    /// Makes this handshake unlike any other.
    pub nonce: [u8; 32],
    /// The ephemeral secret behind the Diffie-Hellman half of the key derivation.
    pub secret: [u8; 32],
}

/// Why the server turned a connection away before it was authenticated. It crosses the network
/// unauthenticated, so it is a hint for a person and never more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The hello was not one of this version.
    Version,
    /// The client's proof does not fit: the keys differ, or someone changed bytes on the way.
    Proof,
    /// As many connections as the server allows are open or being authenticated.
    Busy,
    /// The server does not take connections from this address.
    Address,
    /// The handshake took longer than the server waits.
    Slow,
    /// A code this version does not know.
    Other(u8),
}

impl Refusal {
    /// The code on the wire (AU-13).
    pub fn code(self) -> u8 {
        match self {
            Refusal::Version => 1,
            Refusal::Proof => 2,
            Refusal::Busy => 3,
            Refusal::Address => 4,
            Refusal::Slow => 5,
            Refusal::Other(code) => code,
        }
    }

    /// The meaning of a code on the wire.
    pub fn from_code(code: u8) -> Self {
        match code {
            1 => Refusal::Version,
            2 => Refusal::Proof,
            3 => Refusal::Busy,
            4 => Refusal::Address,
            5 => Refusal::Slow,
            other => Refusal::Other(other),
        }
    }
}

/// Why a handshake or a sealed frame was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationError {
    /// The first bytes are not of this protocol.
    #[error("the other side does not speak this protocol")]
    NotOurs,
    /// The other side speaks another version.
    #[error("the other side speaks version {theirs} of the protocol, this side version {ours}")]
    Version {
        /// The version byte received.
        theirs: u8,
        /// This side's version.
        ours: u8,
    },
    /// A hello says the role of its receiver: it was reflected.
    #[error("the handshake was sent back to its sender")]
    Reflected,
    /// The other side's ephemeral public value adds nothing to the secret.
    #[error("the other side's ephemeral key is not usable")]
    WeakPublic,
    /// The other side's proof does not fit.
    #[error("the other side has a different key, or bytes were changed in transit")]
    Proof,
    /// The server turned the connection away.
    #[error("the server refused the connection (code {})", .0.code())]
    Refused(Refusal),
    /// A sealed frame's tag does not fit: changed, replayed, dropped or reordered.
    #[error("a frame was changed, repeated, left out or reordered in transit")]
    Tampered,
    /// A sealed frame announces more than it may.
    #[error("a frame of {0} bytes is over the limit of {SEALED_MAX}")]
    TooLarge(u64),
    /// An authenticated frame has a content that this version does not understand.
    #[error("the other side sent a frame that is not understood: {0}")]
    Malformed(&'static str),
    /// The running number has reached its end; a new connection gets new keys.
    #[error("the connection carried as many frames as its keys allow; connect again")]
    Exhausted,
}

#[cfg(test)]
mod tests;
