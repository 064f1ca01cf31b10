//! The keys a user may prove to be with: identity files, certificates, the agent, and in which order to offer them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, Certificate, PrivateKey, PublicKey, decode_secret_key};

use crate::error::{ConnectError, Stage};
use crate::system::account;
use crate::system::rights::Rights;
use crate::transport::ssh::algorithms;
use crate::transport::ssh::auth::agent::{self as asked, identities as held_by_agent};
use crate::transport::ssh::auth::key_text;
use crate::transport::ssh::config::settings::{AgentChoice, Settings};
use crate::transport::ssh::timing::Stages;

/// How long an agent may take to list its keys.
const AGENT_LIMIT: Duration = Duration::from_secs(10);

/// Where signatures come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The agent at this socket.
    Agent(PathBuf),
    /// The private key in this file.
    File(PathBuf),
}

/// One thing to offer to the server.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// The public key; `None` for a file that does not tell without its passphrase.
    pub(crate) key: Option<PublicKey>,
    /// The certificate to offer instead of the plain key.
    pub(crate) certificate: Option<Certificate>,
    /// Who signs.
    pub(crate) source: Source,
    /// The agent holds the certificate itself, so it is the certificate that it is asked for.
    pub(crate) certificate_in_agent: bool,
    /// What it is called in errors.
    pub(crate) name: String,
}

/// All candidates in order, and what was skipped and why.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    pub(crate) list: Vec<Candidate>,
    pub(crate) notes: Vec<String>,
}

struct FileKey {
    path: PathBuf,
    named: bool,
    key: Option<PublicKey>,
    /// Whether the private half is there.
    private: bool,
}

/// Collects what can be offered. Named identities come first, so that an agent with many keys does
/// not use up the server's patience (MaxAuthTries) before the right one.
///
/// # Errors
/// Where the files cannot be read in time.
pub(crate) async fn candidates(
    stages: &Stages,
    settings: &Settings,
) -> Result<Candidates, ConnectError> {
    let mut found = Candidates::default();
    let socket = agent_socket(settings);
    let held = match &socket {
        Some(socket) => agent_identities(socket, &mut found.notes).await,
        None => Vec::new(),
    };
    let named = settings.identity_files.iter().map(|file| &file.path);
    let named: Vec<PathBuf> = named.chain(&settings.certificate_files).cloned().collect();
    let wanted = settings.clone();
    let reading = stages.reading(Stage::Authentication, &named, move || {
        let mut notes = Vec::new();
        let files = read_files(&wanted, &mut notes);
        let certificates = read_certificates(&wanted, &files, &mut notes);
        (files, certificates, notes)
    });
    let (files, certificates, notes) = reading.await?;
    found.notes.extend(notes);

    let in_agent = |key: &PublicKey| {
        held.iter()
            .any(|identity| plain_key(identity).is_some_and(|own| same(own, key)))
    };
    let source_of = |key: &PublicKey| -> Option<Source> {
        if let Some(socket) = socket.as_ref().filter(|_| in_agent(key)) {
            return Some(Source::Agent(socket.clone()));
        }
        files
            .iter()
            .find(|file| file.private && file.key.as_ref().is_some_and(|own| same(own, key)))
            .map(|file| Source::File(file.path.clone()))
    };
    for (path, certificate) in certificates {
        let key = PublicKey::new(certificate.public_key().clone(), "");
        match source_of(&key) {
            Some(source) => found.list.push(Candidate {
                key: Some(key),
                name: format!("certificate {}", path.display()),
                certificate: Some(certificate),
                certificate_in_agent: false,
                source,
            }),
            None => found.notes.push(format!(
                "certificate {}: neither a file nor the agent has its private key",
                path.display()
            )),
        }
    }
    for file in files.iter().filter(|file| file.named) {
        push_file(&mut found, file, socket.as_deref(), &in_agent);
    }
    let usual_in_agent = |key: &PublicKey| {
        files
            .iter()
            .any(|file| !file.named && file.key.as_ref().is_some_and(|own| same(own, key)))
    };
    if let Some(socket) = &socket {
        let mut others: Vec<&AgentIdentity> = held.iter().collect();
        // The usual files' keys are likelier than others; the sort is stable.
        others.sort_by_key(|identity| !plain_key(identity).is_some_and(usual_in_agent));
        for identity in others {
            let known = plain_key(identity).is_some_and(usual_in_agent);
            if settings.identities_only && !known {
                continue;
            }
            push_agent(&mut found, identity, socket);
        }
    }
    for file in files.iter().filter(|file| !file.named) {
        if !file.key.as_ref().is_some_and(in_agent) {
            push_file(&mut found, file, socket.as_deref(), &in_agent);
        }
    }
    drop_short_keys(settings, &mut found);
    Ok(found)
}

/// RequiredRSASize holds for the user's keys too.
fn drop_short_keys(settings: &Settings, found: &mut Candidates) {
    let notes = &mut found.notes;
    found.list.retain(|candidate| {
        let why = candidate
            .key
            .as_ref()
            .and_then(|key| algorithms::too_short(settings, key));
        if let Some(why) = &why {
            notes.push(format!("{}: {why}", candidate.name));
        }
        why.is_none()
    });
}

fn same(one: &PublicKey, other: &PublicKey) -> bool {
    one.key_data() == other.key_data()
}

/// Whether the private half is in a FIDO device, and a file holds no more than a handle on it.
fn in_device(key: &PublicKey) -> bool {
    matches!(
        key.algorithm(),
        Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256
    )
}

fn plain_key(identity: &AgentIdentity) -> Option<&PublicKey> {
    match identity {
        AgentIdentity::PublicKey { key, .. } => Some(key),
        AgentIdentity::Certificate { .. } => None,
    }
}

fn push_file(
    found: &mut Candidates,
    file: &FileKey,
    socket: Option<&Path>,
    in_agent: &impl Fn(&PublicKey) -> bool,
) {
    let by_agent = socket.filter(|_| file.key.as_ref().is_some_and(in_agent));
    let source = match by_agent {
        Some(socket) => Source::Agent(socket.to_path_buf()),
        None if file.private => Source::File(file.path.clone()),
        None if file.key.as_ref().is_some_and(in_device) => {
            found.notes.push(format!(
                "{0}: a key in a security key device, which only an agent signs with here: `ssh-add {0}`",
                file.path.display()
            ));
            return;
        }
        None => {
            found.notes.push(format!(
                "{}: only a public key, and the agent does not hold it",
                file.path.display()
            ));
            return;
        }
    };
    let via = if by_agent.is_some() { " (agent)" } else { "" };
    found.list.push(Candidate {
        key: file.key.clone(),
        certificate: None,
        certificate_in_agent: false,
        source,
        name: format!("{}{via}", file.path.display()),
    });
}

fn push_agent(found: &mut Candidates, identity: &AgentIdentity, socket: &Path) {
    let (key, certificate, comment) = match identity {
        AgentIdentity::PublicKey { key, comment } => (key.clone(), None, comment),
        AgentIdentity::Certificate {
            certificate,
            comment,
        } => (
            PublicKey::new(certificate.public_key().clone(), ""),
            Some(certificate.clone()),
            comment,
        ),
    };
    let again = found.list.iter().any(|known| {
        known.certificate == certificate && known.key.as_ref().is_some_and(|own| same(own, &key))
    });
    if !again {
        let kind = if certificate.is_some() {
            "certificate"
        } else {
            "key"
        };
        found.list.push(Candidate {
            key: Some(key),
            certificate_in_agent: certificate.is_some(),
            certificate,
            source: Source::Agent(socket.to_path_buf()),
            name: format!("agent {kind} '{}'", crate::error::printable(comment)),
        });
    }
}

/// The socket of the agent in use.
fn agent_socket(settings: &Settings) -> Option<PathBuf> {
    match &settings.agent {
        AgentChoice::None => None,
        AgentChoice::Socket(path) => Some(path.clone()),
        AgentChoice::Environment => std::env::var_os("SSH_AUTH_SOCK")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .or_else(account::usual_agent),
    }
}

/// Connects to an agent.
pub(crate) async fn agent(socket: &Path) -> Result<AgentClient<asked::Stream>, String> {
    let stream = asked::connect(socket)
        .await
        .map_err(|error| format!("agent at {}: {error}", socket.display()))?;
    Ok(AgentClient::connect(stream))
}

async fn agent_identities(socket: &Path, notes: &mut Vec<String>) -> Vec<AgentIdentity> {
    let asking = async {
        let mut stream = asked::connect(socket).await?;
        held_by_agent(&mut stream).await
    };
    let note = |what: String| format!("agent at {}: {what}", socket.display());
    match tokio::time::timeout(AGENT_LIMIT, asking).await {
        Ok(Ok(held)) => {
            if held.identities.is_empty() && held.notes.is_empty() {
                notes.push(note("holds no keys".to_owned()));
            }
            notes.extend(held.notes.into_iter().map(note));
            held.identities
        }
        Ok(Err(error)) => {
            notes.push(note(error.to_string()));
            Vec::new()
        }
        Err(_) => {
            notes.push(note("no answer".to_owned()));
            Vec::new()
        }
    }
}

fn read_files(settings: &Settings, notes: &mut Vec<String>) -> Vec<FileKey> {
    let mut files = Vec::new();
    for identity in &settings.identity_files {
        let path = &identity.path;
        let public = public_file(path);
        match key_text::read(path) {
            Ok(text) => {
                if let Ok(key) = PublicKey::from_openssh(text.trim()) {
                    files.push(FileKey {
                        path: path.clone(),
                        named: identity.named,
                        key: Some(key),
                        private: false,
                    });
                    continue;
                }
                if let Some(problem) = permissions_problem(path) {
                    notes.push(problem);
                    continue;
                }
                let key = public_half(&text).or_else(|| read_public(&public));
                files.push(FileKey {
                    path: path.clone(),
                    named: identity.named,
                    private: !key.as_ref().is_some_and(in_device),
                    key,
                });
            }
            Err(error) => {
                // The agent may hold the key whose public half alone is on this machine.
                if let Some(key) = read_public(&public) {
                    files.push(FileKey {
                        path: path.clone(),
                        named: identity.named,
                        key: Some(key),
                        private: false,
                    });
                } else if identity.named {
                    notes.push(format!("{}: {error}", path.display()));
                }
            }
        }
    }
    files
}

/// OpenSSH ignores private keys that others can read; so do we.
fn permissions_problem(path: &Path) -> Option<String> {
    let rights = Rights::of(&std::fs::metadata(path).ok()?)?;
    (rights.mine && rights.is_open_to_others()).then(|| {
        format!(
            "{}: others may read it (mode {:04o}), so it is not used; chmod 600 it",
            path.display(),
            rights.mode
        )
    })
}

fn public_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

fn read_public(path: &Path) -> Option<PublicKey> {
    let text = key_text::of_file(path).ok()?;
    PublicKey::from_openssh(text.trim()).ok()
}

/// The public key that a private key file tells without a passphrase.
fn public_half(text: &str) -> Option<PublicKey> {
    if text.contains("BEGIN OPENSSH PRIVATE KEY") {
        return PrivateKey::from_openssh(text)
            .ok()
            .map(|key| key.public_key().clone());
    }
    decode_secret_key(text, None)
        .ok()
        .map(|key| key.public_key().clone())
}

fn read_certificates(
    settings: &Settings,
    files: &[FileKey],
    notes: &mut Vec<String>,
) -> Vec<(PathBuf, Certificate)> {
    let mut found: Vec<(PathBuf, Certificate)> = Vec::new();
    for path in &settings.certificate_files {
        match key_text::of_file(path).map(|text| Certificate::from_openssh(text.trim())) {
            Ok(Ok(certificate)) => found.push((path.clone(), certificate)),
            Ok(Err(error)) => notes.push(format!("{}: {error}", path.display())),
            Err(error) => notes.push(format!("{}: {error}", path.display())),
        }
    }
    for file in files {
        let mut name = file.path.as_os_str().to_owned();
        name.push("-cert.pub");
        let path = PathBuf::from(name);
        if let Ok(text) = key_text::of_file(&path)
            && let Ok(certificate) = Certificate::from_openssh(text.trim())
            && !found.iter().any(|(_, known)| *known == certificate)
        {
            found.push((path, certificate));
        }
    }
    found
}
