//! Proving who the user is, in the order OpenSSH would, and saying what was tried when nothing helped.

mod agent;
pub(crate) mod identity;
pub(crate) mod key_store;
mod key_text;
mod pem;
mod questions;
mod signer;

use russh::client::{AuthResult, Handle};
use russh::keys::{Algorithm, HashAlg, PublicKey};
use russh::{MethodKind, MethodSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "cli")]
pub(crate) use key_text::MAX_KEY_FILE;

use crate::error::{ConnectError, Stage, printable};
use crate::transport::ssh::algorithms;
use crate::transport::ssh::auth::identity::{Candidate, Candidates, Source, candidates};
use crate::transport::ssh::auth::key_store::KeyStore;
use crate::transport::ssh::config::settings::Settings;
use crate::transport::ssh::describe::{NOT_UTF8, describe};
use crate::transport::ssh::handler::{ClientHandler, Shared};
use crate::transport::ssh::host_key::Trust;
use crate::transport::ssh::timing::Stages;
use signer::{SignFailure, Signer};

/// How long to wait for the list of signature algorithms, which OpenSSH sends with the end of the key exchange.
const EXTENSION_LIMIT: Duration = Duration::from_millis(300);

/// Authenticates `handle`, or says what was tried in what order and what the server would take.
pub(crate) async fn authenticate(
    stages: &Stages,
    settings: &Settings,
    handle: &mut Handle<ClientHandler>,
    shared: &Arc<Shared>,
    keys: &KeyStore,
) -> Result<(), ConnectError> {
    let since = Instant::now();
    let mut attempt = Attempt {
        stages,
        settings,
        handle,
        shared,
        keys,
        tried: Vec::new(),
        accepted: None,
    };
    let method = attempt.run().await?;
    stages.reached(
        Stage::Authentication,
        since,
        format!("{} by {method}", settings.user),
    );
    Ok(())
}

/// One connection's way through the methods.
pub(crate) struct Attempt<'a> {
    pub(crate) stages: &'a Stages,
    pub(crate) settings: &'a Settings,
    pub(crate) handle: &'a mut Handle<ClientHandler>,
    shared: &'a Arc<Shared>,
    keys: &'a KeyStore,
    /// What was tried, in order, for the error.
    pub(crate) tried: Vec<String>,
    /// The methods the server would take, once it has said so.
    pub(crate) accepted: Option<MethodSet>,
}

/// How one request came out.
pub(crate) enum Outcome {
    Success,
    /// Right, and the server wants one more.
    Partial,
    Failure,
}

/// Whether an answer says no to what was shown; a partial success does not.
pub(crate) fn is_refusal(result: &AuthResult) -> bool {
    matches!(
        result,
        AuthResult::Failure {
            partial_success: false,
            ..
        }
    )
}

impl Attempt<'_> {
    /// The name of what let us in.
    async fn run(&mut self) -> Result<String, ConnectError> {
        let mut offers = if self.settings.pubkey_authentication {
            candidates(self.stages, self.settings).await?
        } else {
            Candidates::default()
        };
        offers.list.reverse();
        let mut prompts = self.settings.password_prompts;
        let mut interactive = self.settings.password_prompts;
        let mut asked_methods = false;
        loop {
            let Some(method) = self.next_method(&offers, prompts, interactive) else {
                // `none` tells what the server takes, and lets us in where nothing is asked.
                if !asked_methods {
                    asked_methods = true;
                    let known = self.accepted.is_some();
                    if let Outcome::Success = self.none().await? {
                        return Ok("none".to_owned());
                    }
                    if !known {
                        continue;
                    }
                }
                return Err(self.refused(&offers.notes));
            };
            let (name, outcome) = match method {
                MethodKind::PublicKey => {
                    let Some(candidate) = offers.list.pop() else {
                        continue;
                    };
                    let outcome = self.public_key(&candidate).await?;
                    (candidate.name, outcome)
                }
                MethodKind::KeyboardInteractive => {
                    interactive -= 1;
                    let outcome = self.keyboard_interactive().await?;
                    ("keyboard-interactive".to_owned(), outcome)
                }
                _ => {
                    prompts -= 1;
                    ("password".to_owned(), self.password().await?)
                }
            };
            match outcome {
                Outcome::Success => return Ok(name),
                Outcome::Partial => self.tried.push(format!(
                    "{name}: accepted, and the server wants more than that (partial success)"
                )),
                Outcome::Failure => {}
            }
        }
    }

    /// The first preferred method that the server takes and that has something left to try.
    fn next_method(
        &self,
        offers: &Candidates,
        prompts: u32,
        interactive: u32,
    ) -> Option<MethodKind> {
        let can_ask = !self.settings.batch_mode
            && self.stages.asker.available()
            // Nothing typed may reach a server whose key is wrong.
            && self.shared.trust() == Some(Trust::Full);
        self.settings
            .preferred_authentications
            .iter()
            .filter_map(|name| name.parse::<MethodKind>().ok())
            .find(|method| {
                // Before the server has spoken only keys are worth a guess: a question to the user is not.
                let taken = match &self.accepted {
                    Some(accepted) => accepted.contains(method),
                    None => *method == MethodKind::PublicKey,
                };
                taken
                    && match method {
                        MethodKind::PublicKey => !offers.list.is_empty(),
                        MethodKind::KeyboardInteractive => {
                            self.settings.keyboard_interactive && can_ask && interactive > 0
                        }
                        MethodKind::Password => {
                            self.settings.password_authentication && can_ask && prompts > 0
                        }
                        _ => false,
                    }
            })
    }

    /// Takes an answer in; an ended connection becomes the error that says why.
    pub(crate) fn outcome(&mut self, result: AuthResult) -> Result<Outcome, ConnectError> {
        match result {
            AuthResult::Success => Ok(Outcome::Success),
            AuthResult::Failure {
                remaining_methods,
                partial_success,
            } => {
                // russh gives an empty list for a connection that has ended meanwhile.
                if remaining_methods.is_empty() {
                    return Err(self.lost());
                }
                self.accepted = Some(remaining_methods);
                Ok(if partial_success {
                    Outcome::Partial
                } else {
                    Outcome::Failure
                })
            }
        }
    }

    async fn none(&mut self) -> Result<Outcome, ConnectError> {
        let request = self.handle.authenticate_none(&self.settings.user);
        match self.stages.timed(Stage::Authentication, request).await? {
            Ok(result) => self.outcome(result),
            Err(error) => Err(self.broken(&error)),
        }
    }

    async fn public_key(&mut self, candidate: &Candidate) -> Result<Outcome, ConnectError> {
        let key = match &candidate.key {
            Some(key) => key.clone(),
            // A file in an old format does not tell its public half without the passphrase.
            None => match &candidate.source {
                Source::File(path) => match self.keys.load(path, &self.stages.asker).await {
                    Ok(private) => private.public_key().clone(),
                    Err(note) => {
                        return Ok(self.passed_over(format!("{}: {note}", candidate.name)));
                    }
                },
                Source::Agent(_) => return Ok(Outcome::Failure),
            },
        };
        if let Some(why) = algorithms::too_short(self.settings, &key) {
            return Ok(self.passed_over(format!("{}: {why}", candidate.name)));
        }
        let hash = match self.signature_hash(candidate, &key).await? {
            Ok(hash) => hash,
            Err(note) => return Ok(self.passed_over(format!("{}: {note}", candidate.name))),
        };
        let mut signer = Signer {
            candidate,
            key: &key,
            keys: self.keys,
            asker: &self.stages.asker,
        };
        let user = &self.settings.user;
        let answer = match &candidate.certificate {
            Some(certificate) => {
                let request = self.handle.authenticate_certificate_with(
                    user,
                    certificate.clone(),
                    hash,
                    &mut signer,
                );
                self.stages.timed(Stage::Authentication, request).await?
            }
            None => {
                let request =
                    self.handle
                        .authenticate_publickey_with(user, key.clone(), hash, &mut signer);
                self.stages.timed(Stage::Authentication, request).await?
            }
        };
        match answer {
            Ok(result) => {
                if is_refusal(&result) {
                    self.tried.push(format!("{}: refused", candidate.name));
                }
                self.outcome(result)
            }
            Err(SignFailure::Lost) => Err(self.lost()),
            Err(SignFailure::Signer(note)) => {
                Ok(self.passed_over(format!("{}: {note}", candidate.name)))
            }
        }
    }

    fn passed_over(&mut self, note: String) -> Outcome {
        self.tried.push(note);
        Outcome::Failure
    }

    /// The hash for an RSA key's signature. Today's servers refuse SHA-1, so it is used only where
    /// the configuration asks for it and the server offers nothing better.
    async fn signature_hash(
        &self,
        candidate: &Candidate,
        key: &PublicKey,
    ) -> Result<Result<Option<HashAlg>, String>, ConnectError> {
        let allowed = algorithms::user_key_algorithms(self.settings);
        let suffix = if candidate.certificate.is_some() {
            "-cert-v01@openssh.com"
        } else {
            ""
        };
        let named = |name: &str| -> String {
            match name.strip_suffix("@openssh.com") {
                Some(base) if !suffix.is_empty() => format!("{base}{suffix}"),
                _ => format!("{name}{suffix}"),
            }
        };
        if !matches!(key.algorithm(), Algorithm::Rsa { .. }) {
            let name = named(key.algorithm().as_str());
            return Ok(if allowed.contains(&name.as_str()) {
                Ok(None)
            } else {
                Err(format!("{name} is not among PubkeyAcceptedAlgorithms"))
            });
        }
        let wanted = |hash: Option<HashAlg>| {
            allowed.contains(&named(Algorithm::Rsa { hash }.as_str()).as_str())
        };
        let asking = self.handle.best_supported_rsa_hash();
        // An old server says nothing; then the modern signature is the better guess.
        let offered = match tokio::time::timeout(EXTENSION_LIMIT, asking).await {
            Ok(Ok(offered)) => offered,
            Ok(Err(error)) => return Err(self.broken(&error)),
            Err(_) => None,
        };
        let order: &[Option<HashAlg>] = match offered {
            Some(None) => &[None],
            // A server that lists nothing is old; where the configuration allows for that, so do we, as OpenSSH does.
            None if wanted(None) => &[None],
            Some(Some(HashAlg::Sha256)) => &[Some(HashAlg::Sha256), None],
            _ => &[Some(HashAlg::Sha512), Some(HashAlg::Sha256), None],
        };
        Ok(order.iter().copied().find(|hash| wanted(*hash)).ok_or_else(|| {
            let needed = order.first().map(|hash| Algorithm::Rsa { hash: *hash }.to_string());
            format!(
                "the server takes RSA signatures by {}, which is not among PubkeyAcceptedAlgorithms",
                needed.unwrap_or_default()
            )
        }))
    }

    pub(crate) fn broken(&self, error: &russh::Error) -> ConnectError {
        match self.shared.ended() {
            Some(_) => self.lost(),
            None => self.failure(&describe(error)),
        }
    }

    /// The connection ended in the middle of it.
    fn lost(&self) -> ConnectError {
        let why = self
            .shared
            .ended()
            .unwrap_or_else(|| "the server closed the connection".to_owned());
        let error = self.failure(&why);
        if why == NOT_UTF8 {
            return error.with_hint(
                "take ssh=/usr/bin/ssh for this host, or have its Banner written in UTF-8",
            );
        }
        if why.contains("Too many authentication failures") {
            return error.with_hint(format!(
                "the server gives up before the right key is reached: name it with IdentityFile for {} in your ssh_config, or with an identity option in the spec",
                self.settings.host
            ));
        }
        error
    }

    pub(crate) fn failure(&self, why: &str) -> ConnectError {
        let mut message = printable(why);
        if !self.tried.is_empty() {
            message.push_str("; tried ");
            message.push_str(&self.tried.join(", "));
        }
        self.stages
            .error(Stage::Authentication, message)
            .with_output(self.shared.banner().as_bytes())
    }

    /// Nothing is left to try.
    pub(crate) fn refused(&self, notes: &[String]) -> ConnectError {
        let accepted: Vec<&str> = self
            .accepted
            .iter()
            .flat_map(|set| set.iter())
            .map(<&str>::from)
            .collect();
        let mut message = format!(
            "permission denied for {}: the server takes {}",
            self.settings.user,
            if accepted.is_empty() {
                "nothing more".to_owned()
            } else {
                accepted.join(", ")
            }
        );
        if self.tried.is_empty() {
            message.push_str("; there was nothing to try");
        } else {
            message.push_str("; tried ");
            message.push_str(&self.tried.join(", "));
        }
        if !self.settings.lacking_methods.is_empty() {
            message.push_str("; not supported here though the ssh_config turns it on: ");
            message.push_str(&self.settings.lacking_methods.join(", "));
        }
        if !notes.is_empty() {
            message.push_str("; skipped ");
            message.push_str(&notes.join(", "));
        }
        let asks = self.accepted.as_ref().is_some_and(|accepted| {
            accepted.contains(&MethodKind::Password)
                || accepted.contains(&MethodKind::KeyboardInteractive)
        });
        let hint = if notes.iter().any(|note| note.ends_with("chmod 600 it")) {
            "a private key that others may read is not used: chmod 600 it"
        } else if notes
            .iter()
            .any(|note| note.contains("the environment variable"))
        {
            "identity=env:NAME takes a private key from the variable NAME, as it is or in base64: set it, in CI as a secret of the job"
        } else if notes.iter().any(|note| note.contains("No such file")) {
            "a key file that is named is not there: correct IdentityFile in your ssh_config, or the spec's identity"
        } else if asks && (self.settings.batch_mode || !self.stages.asker.available()) {
            "a password would do but there is no terminal to ask for it on: put a key into your agent or name one with IdentityFile, and its public half into the server's authorized_keys"
        } else if self.tried.iter().any(|tried| tried.contains("passphrase")) {
            "unlock the key with ssh-add, and your agent signs with it without a question"
        } else {
            "put your public key into ~/.ssh/authorized_keys there (ssh-copy-id), or name the right key and user"
        };
        self.stages
            .error(Stage::Authentication, message)
            .with_hint(hint)
            .with_output(self.shared.banner().as_bytes())
    }
}
