//! The handshake: two hellos, two proofs, and the keys of both directions (AU-1 to AU-9).

use curve25519_dalek::montgomery::MontgomeryPoint;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::sealed::{Direction, Opener, Sealer};
use super::{AuthenticationError, Fresh, Refusal};

/// The protocol's version. It stands in both hellos, which the proofs and all keys cover, so it
/// cannot be talked down.
pub const VERSION: u8 = 1;
/// Bytes of a hello: tag 4, version 1, role 1, capabilities 2, nonce 32, ephemeral public 32.
pub const HELLO: usize = 72;
/// Bytes of a proof: tag 4, HMAC-SHA256 32.
pub const PROOF: usize = 36;
/// Bytes of a refusal: tag 4, the server's version 1, code 1.
pub const REFUSAL: usize = 6;
/// The first bytes of a hello.
pub const HELLO_TAG: [u8; 4] = *b"ECTH";
/// The first bytes of a proof.
pub const PROOF_TAG: [u8; 4] = *b"ECTP";
/// The first bytes of a refusal.
pub const REFUSAL_TAG: [u8; 4] = *b"ECTR";

/// Capability bits this side offers. None exist yet; they are in the hello so that later ones are
/// authenticated from the start.
const CAPABILITIES: u16 = 0;
const ROLE_CLIENT: u8 = b'C';
const ROLE_SERVER: u8 = b'S';
/// Separates these derived keys from any other use of the same shared key.
const LABEL: &[u8] = b"easycluster tcp 1 ";

/// What the four bytes that begin every handshake message announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A hello; HELLO bytes in all.
    Hello,
    /// A proof; PROOF bytes in all.
    Proof,
    /// A refusal; REFUSAL bytes in all.
    Refusal,
}

impl Step {
    /// Reads a tag. Nothing else of an unauthenticated message decides how much is read.
    pub fn from_tag(tag: [u8; 4]) -> Result<Self, AuthenticationError> {
        match tag {
            HELLO_TAG => Ok(Step::Hello),
            PROOF_TAG => Ok(Step::Proof),
            REFUSAL_TAG => Ok(Step::Refusal),
            _ => Err(AuthenticationError::NotOurs),
        }
    }

    /// Bytes of the whole message, tag included.
    pub fn length(self) -> usize {
        match self {
            Step::Hello => HELLO,
            Step::Proof => PROOF,
            Step::Refusal => REFUSAL,
        }
    }
}

impl Refusal {
    /// The refusal as it crosses the network.
    pub fn encode(self) -> [u8; REFUSAL] {
        let [a, b, c, d] = REFUSAL_TAG;
        [a, b, c, d, VERSION, self.code()]
    }

    /// Reads a refusal.
    pub fn decode(bytes: &[u8; REFUSAL]) -> Result<Self, AuthenticationError> {
        let [a, b, c, d, _version, code] = *bytes;
        if [a, b, c, d] != REFUSAL_TAG {
            return Err(AuthenticationError::NotOurs);
        }
        Ok(Refusal::from_code(code))
    }
}

/// A hello that was read and fits this version. It proves nothing about its sender.
#[derive(Clone, Copy)]
pub struct Greeting {
    nonce: [u8; 32],
    public: [u8; 32],
}

impl Greeting {
    fn read(bytes: &[u8; HELLO], role: u8) -> Result<Self, AuthenticationError> {
        // The lengths are fixed, so the pattern takes the message apart without a slice that
        // could be out of range.
        let (head, rest) = bytes.split_at(8);
        let (nonce, public) = rest.split_at(32);
        let [a, b, c, d, version, theirs, _, _] = *head else {
            return Err(AuthenticationError::NotOurs);
        };
        if [a, b, c, d] != HELLO_TAG {
            return Err(AuthenticationError::NotOurs);
        }
        if version != VERSION {
            return Err(AuthenticationError::Version {
                theirs: version,
                ours: VERSION,
            });
        }
        if theirs != role {
            return Err(match theirs {
                ROLE_CLIENT | ROLE_SERVER => AuthenticationError::Reflected,
                _ => AuthenticationError::NotOurs,
            });
        }
        Ok(Greeting {
            nonce: nonce.try_into().map_err(|_| AuthenticationError::NotOurs)?,
            public: public
                .try_into()
                .map_err(|_| AuthenticationError::NotOurs)?,
        })
    }
}

fn hello(role: u8, fresh: &Fresh) -> [u8; HELLO] {
    let public = MontgomeryPoint::mul_base_clamped(fresh.secret).to_bytes();
    let mut bytes = [0; HELLO];
    let fields = HELLO_TAG
        .into_iter()
        .chain([VERSION, role])
        .chain(CAPABILITIES.to_be_bytes())
        .chain(fresh.nonce)
        .chain(public);
    for (place, byte) in bytes.iter_mut().zip(fields) {
        *place = byte;
    }
    bytes
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Result<Hmac<Sha256>, AuthenticationError> {
    // HMAC takes keys of any length; the error cannot occur and is passed on all the same.
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key).map_err(|_| AuthenticationError::WeakPublic)?;
    for part in parts {
        mac.update(part);
    }
    Ok(mac)
}

/// Both hellos in order: what the proofs and all derived keys cover.
#[derive(Clone)]
struct Transcript {
    client: [u8; HELLO],
    server: [u8; HELLO],
}

/// The four keys of one connection, each for one purpose and one sender.
struct Derived {
    client_proof: [u8; 32],
    server_proof: [u8; 32],
    client_to_server: [u8; 32],
    server_to_client: [u8; 32],
}

/// HKDF-SHA256 (RFC 5869) over the shared key and the Diffie-Hellman value. The salt is both
/// nonces; the info of each expansion is the label, the purpose and both hellos.
fn derive(
    key: &[u8],
    client_nonce: &[u8; 32],
    server_nonce: &[u8; 32],
    secret: [u8; 32],
    public: [u8; 32],
    transcript: &Transcript,
) -> Result<Derived, AuthenticationError> {
    let shared = MontgomeryPoint(public).mul_clamped(secret).to_bytes();
    // A point of low order makes the value zero whatever the secret: an attacker chose it.
    if shared.iter().fold(0, |sum, byte| sum | byte) == 0 {
        return Err(AuthenticationError::WeakPublic);
    }
    let mut salt = [0; 64];
    for (place, byte) in salt.iter_mut().zip(client_nonce.iter().chain(server_nonce)) {
        *place = *byte;
    }
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes();
    let extracted = mac(&salt, &[&length, key, &shared])?
        .finalize()
        .into_bytes();
    let expand = |purpose: &[u8]| -> Result<[u8; 32], AuthenticationError> {
        Ok(mac(
            &extracted,
            &[LABEL, purpose, &transcript.client, &transcript.server, &[1]],
        )?
        .finalize()
        .into_bytes()
        .into())
    };
    Ok(Derived {
        client_proof: expand(b"client proof")?,
        server_proof: expand(b"server proof")?,
        client_to_server: expand(b"client to server")?,
        server_to_client: expand(b"server to client")?,
    })
}

fn proof(mac: Hmac<Sha256>) -> [u8; PROOF] {
    let mut bytes = [0; PROOF];
    let fields = PROOF_TAG.into_iter().chain(mac.finalize().into_bytes());
    for (place, byte) in bytes.iter_mut().zip(fields) {
        *place = byte;
    }
    bytes
}

fn check(mac: Hmac<Sha256>, bytes: &[u8; PROOF]) -> Result<(), AuthenticationError> {
    let (tag, code) = bytes.split_at(4);
    if tag != PROOF_TAG {
        return Err(AuthenticationError::NotOurs);
    }
    // In constant time.
    mac.verify_slice(code)
        .map_err(|_| AuthenticationError::Proof)
}

/// The client's side, its hello sent.
pub struct Client {
    key: Vec<u8>,
    fresh: Fresh,
    hello: [u8; HELLO],
}

/// The client's side, its proof sent, the server's outstanding.
pub struct ClientProved {
    derived: Derived,
    transcript: Transcript,
    proof: [u8; PROOF],
}

impl Client {
    /// Starts a handshake: the hello is the first thing sent.
    pub fn start(key: &[u8], fresh: Fresh) -> (Self, [u8; HELLO]) {
        let hello = hello(ROLE_CLIENT, &fresh);
        let client = Client {
            key: key.to_vec(),
            fresh,
            hello,
        };
        (client, hello)
    }

    /// Takes the server's hello; gives the proof to send and the sealer of what may be sent right
    /// behind it. Only who holds the key can open what is sealed, so nothing needs to wait for the
    /// server's proof but what the server says.
    pub fn server_hello(
        self,
        bytes: &[u8; HELLO],
    ) -> Result<(ClientProved, [u8; PROOF], Sealer), AuthenticationError> {
        let greeting = Greeting::read(bytes, ROLE_SERVER)?;
        let transcript = Transcript {
            client: self.hello,
            server: *bytes,
        };
        let derived = derive(
            &self.key,
            &self.fresh.nonce,
            &greeting.nonce,
            self.fresh.secret,
            greeting.public,
            &transcript,
        )?;
        let proof = proof(mac(
            &derived.client_proof,
            &[&transcript.client, &transcript.server],
        )?);
        let sealer = Sealer::new(&derived.client_to_server, Direction::ClientToServer)?;
        let proved = ClientProved {
            derived,
            transcript,
            proof,
        };
        Ok((proved, proof, sealer))
    }
}

impl ClientProved {
    /// Takes the server's proof; gives the opener of what the server seals.
    pub fn server_proof(self, bytes: &[u8; PROOF]) -> Result<Opener, AuthenticationError> {
        check(
            mac(
                &self.derived.server_proof,
                &[
                    &self.transcript.client,
                    &self.transcript.server,
                    &self.proof,
                ],
            )?,
            bytes,
        )?;
        Opener::new(&self.derived.server_to_client, Direction::ServerToClient)
    }
}

/// The server's side, its hello sent, the client's proof outstanding.
pub struct Server {
    derived: Derived,
    transcript: Transcript,
}

impl Server {
    /// Takes a client's hello; gives the hello to answer with.
    pub fn answer(
        key: &[u8],
        fresh: Fresh,
        bytes: &[u8; HELLO],
    ) -> Result<(Self, [u8; HELLO]), AuthenticationError> {
        let greeting = Greeting::read(bytes, ROLE_CLIENT)?;
        let hello = hello(ROLE_SERVER, &fresh);
        let transcript = Transcript {
            client: *bytes,
            server: hello,
        };
        let derived = derive(
            key,
            &greeting.nonce,
            &fresh.nonce,
            fresh.secret,
            greeting.public,
            &transcript,
        )?;
        let server = Server {
            derived,
            transcript,
        };
        Ok((server, hello))
    }

    /// Takes the client's proof; gives the proof to answer with, the sealer and the opener.
    pub fn client_proof(
        self,
        bytes: &[u8; PROOF],
    ) -> Result<([u8; PROOF], Sealer, Opener), AuthenticationError> {
        check(
            mac(
                &self.derived.client_proof,
                &[&self.transcript.client, &self.transcript.server],
            )?,
            bytes,
        )?;
        let answer = proof(mac(
            &self.derived.server_proof,
            &[&self.transcript.client, &self.transcript.server, bytes],
        )?);
        Ok((
            answer,
            Sealer::new(&self.derived.server_to_client, Direction::ServerToClient)?,
            Opener::new(&self.derived.client_to_server, Direction::ClientToServer)?,
        ))
    }
}
