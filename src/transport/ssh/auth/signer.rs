//! Signatures for authentication, by the agent or by a key file.

use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::Signature;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{HashAlg, PublicKey, agent::AgentIdentity, signature::Signer as SignatureSigner};

use crate::transport::asker::Asker;
use crate::transport::ssh::auth::identity::{Candidate, Source, agent};
use crate::transport::ssh::auth::key_store::KeyStore;

/// Signs with a candidate's private key, which is read or asked for only now that the server takes the public one.
pub(crate) struct Signer<'a> {
    pub candidate: &'a Candidate,
    pub key: &'a PublicKey,
    pub keys: &'a KeyStore,
    pub asker: &'a Asker,
}

/// Why there is no signature.
pub(crate) enum SignFailure {
    /// The connection is gone.
    Lost,
    /// The agent or the key file.
    Signer(String),
}

impl From<russh::SendError> for SignFailure {
    fn from(_: russh::SendError) -> Self {
        SignFailure::Lost
    }
}

impl russh::Signer for Signer<'_> {
    type Error = SignFailure;

    async fn auth_sign(
        &mut self,
        identity: &AgentIdentity,
        hash: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, Self::Error> {
        match &self.candidate.source {
            Source::Agent(socket) => {
                let mut client = agent(socket).await.map_err(SignFailure::Signer)?;
                // By the plain key where the certificate is from a file: an agent without it still has its key.
                let plain = AgentIdentity::PublicKey {
                    key: self.key.clone(),
                    comment: String::new(),
                };
                let by = if self.candidate.certificate_in_agent {
                    identity
                } else {
                    &plain
                };
                client
                    .sign_request(by, hash, to_sign)
                    .await
                    .map_err(|error| {
                        SignFailure::Signer(format!("the agent did not sign: {error}"))
                    })
            }
            Source::File(path) => {
                let key = self
                    .keys
                    .load(path, self.asker)
                    .await
                    .map_err(SignFailure::Signer)?;
                let failed = |error: &dyn std::fmt::Display| SignFailure::Signer(error.to_string());
                let signature: Signature = match key.key_data() {
                    KeypairData::Rsa(pair) => (pair, hash)
                        .try_sign(&to_sign)
                        .map_err(|error| failed(&error))?,
                    pair => pair.try_sign(&to_sign).map_err(|error| failed(&error))?,
                };
                let mut bytes = Vec::new();
                signature
                    .encode(&mut bytes)
                    .map_err(|error| failed(&error))?;
                bytes.encode(&mut to_sign).map_err(|error| failed(&error))?;
                Ok(to_sign)
            }
        }
    }
}
