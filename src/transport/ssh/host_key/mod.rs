//! Deciding whether a server is the one it should be: recorded keys, policy, and what to say when it is not.

pub(crate) mod known_hosts;
pub(crate) mod known_hosts_file;

mod ask;
mod certificate;
mod revoked;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Instant;

use russh::keys::{Certificate, PublicKey, PublicKeyOrCertificate};
use sha2::{Digest, Sha256};

use crate::error::{ConnectError, Stage};
use crate::files::read_at_most;
use crate::spec::{Fingerprint, HostKeyPolicy};
use crate::transport::ssh::algorithms;
use crate::transport::ssh::config::settings::Settings;
use crate::transport::ssh::host_key::known_hosts::{
    Entry, Finding, Marker, entries_for, host_label, judge_certificate, judge_key,
};
use crate::transport::ssh::timing::Stages;
use certificate::CertificateVerdict;
use revoked::Revoked;

/// Checks the key of one server.
pub(crate) struct HostKeyCheck {
    stages: Stages,
    settings: Settings,
    label: String,
    entries: Vec<Entry>,
    /// What is recorded for the host without its port, which OpenSSH takes where nothing else is known.
    portless: Vec<Entry>,
    /// What is recorded for the address that the name led to, where CheckHostIP asks for that.
    by_address: Vec<Entry>,
    /// What RevokedHostKeys names, or why that cannot be read.
    revoked: Option<Result<Revoked, String>>,
    /// The check never happens for a connection to ourselves, if the configuration says so.
    trusted: bool,
}

/// How a check that let the connection go on came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The server is who it should be.
    Full,
    /// The key is wrong and the configuration says to go on: no password may be typed in.
    Unsafe,
}

/// Lists of revoked keys hold no more than this.
const MAX_REVOKED: u64 = 64 << 20;

impl HostKeyCheck {
    /// The files that a check of these settings reads.
    pub(crate) fn files(settings: &Settings) -> Vec<PathBuf> {
        let mut files = all_files(settings);
        files.extend(settings.revoked_host_keys.clone());
        files
    }

    /// Reads what is recorded about the host.
    ///
    /// # Errors
    /// At stage host key, where a known_hosts file is there and cannot be read.
    pub(crate) fn new(
        stages: &Stages,
        settings: &Settings,
        address: Option<IpAddr>,
    ) -> Result<Self, ConnectError> {
        let label = label_of(settings);
        let files = all_files(settings);
        let recorded = |label: &str| {
            entries_for(label, &files).map_err(|message| {
                stages.error(Stage::HostKey, message).with_hint(
                    "a known_hosts file that cannot be read may record another key, so no key is accepted; correct its permissions, raise the limit of open files (ulimit -n), or name another file with UserKnownHostsFile",
                )
            })
        };
        // First, because of a pipe the rest is empty.
        let entries = recorded(&label)?;
        let portless = if settings.host_key_alias.is_none() && settings.port != 22 {
            recorded(&settings.hostname.to_lowercase())?
        } else {
            Vec::new()
        };
        let loopback = address.is_some_and(|address| address.is_loopback());
        let by_address = match address.filter(|_| settings.check_host_ip && !loopback) {
            Some(address)
                if settings.host_key_alias.is_none()
                    && settings.hostname.parse() != Ok(address) =>
            {
                recorded(&host_label(&address.to_string(), settings.port))?
            }
            _ => Vec::new(),
        };
        Ok(HostKeyCheck {
            entries,
            revoked: settings.revoked_host_keys.as_ref().map(|file| {
                let read = read_at_most(file, MAX_REVOKED).map_err(|error| error.to_string());
                read.and_then(|bytes| Revoked::read(&bytes))
            }),
            portless,
            label,
            stages: stages.clone(),
            settings: settings.clone(),
            by_address,
            trusted: settings.trust_localhost && loopback,
        })
    }

    /// Types of the recorded keys, so that they can be asked for first: a server that has the recorded
    /// key must not be able to show another one, which would count as unknown.
    pub(crate) fn recorded(&self) -> Vec<&str> {
        self.entries
            .iter()
            .filter(|entry| entry.marker == Marker::Key)
            .map(|entry| entry.algorithm.as_str())
            .collect()
    }

    /// Whether certificates can be checked at all: by an authority, or by a list that may revoke one.
    pub(crate) fn wants_certificates(&self) -> bool {
        self.settings.revoked_host_keys.is_some() || self.has_authority()
    }

    fn has_authority(&self) -> bool {
        self.entries
            .iter()
            .chain(&self.portless)
            .any(|entry| entry.marker == Marker::Authority)
    }

    /// Checks what the server showed. The error says what to do.
    pub(crate) async fn check(
        &self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<Trust, ConnectError> {
        let since = Instant::now();
        let key = shown.public_key();
        let blob = key
            .to_bytes()
            .map_err(|error| self.error(format!("its key cannot be read: {error}")))?;
        let algorithm = key.algorithm().to_string();
        let print = fingerprint(&blob);
        if let Some(why) = algorithms::too_short(&self.settings, &key) {
            return Err(self
                .error(format!("the server's key is too short: {why}"))
                .with_hint("give the machine a longer RSA key or one of another type (ssh-keygen -A), or lower RequiredRSASize for it"));
        }
        if let HostKeyPolicy::Pinned(pins) = &self.settings.host_key_policy {
            self.check_revoked_file(&blob, shown.certificate())?;
            return self.check_pins(pins, &algorithm, &blob, shown.certificate(), since);
        }
        if self.trusted {
            self.stages.reached(
                Stage::HostKey,
                since,
                format!("{algorithm} {print}, not checked"),
            );
            return Ok(Trust::Full);
        }
        self.check_revoked_file(&blob, shown.certificate())?;
        // A certificate that does not count leaves the plain key to be judged, as in OpenSSH.
        let mut fault = None;
        if let Some(certificate) = shown.certificate() {
            match self.check_certificate(certificate, &blob, since)? {
                CertificateVerdict::Trusted(trust) => return Ok(trust),
                CertificateVerdict::Plain(why) => fault = why,
            }
        }
        match judge_key(&self.entries, &blob) {
            Finding::Known(entry) => {
                if let Some(other) = self.other_at_address(&blob) {
                    return self.changed(&other, &algorithm, &print);
                }
                self.stages.reached(
                    Stage::HostKey,
                    since,
                    format!(
                        "{algorithm} {print}, {}:{}",
                        entry.file.display(),
                        entry.line
                    ),
                );
                Ok(Trust::Full)
            }
            Finding::Unknown => self.unknown(&algorithm, &blob, &print, fault, since).await,
            Finding::Changed(entry) => self.changed(&entry, &algorithm, &print),
            Finding::Revoked(entry) => self.revoked(&entry, &print),
        }
    }

    /// Another key that is recorded for the address (CheckHostIP), and none that is the server's.
    fn other_at_address(&self, blob: &[u8]) -> Option<Entry> {
        match judge_key(&self.by_address, blob) {
            Finding::Changed(entry) | Finding::Revoked(entry) => Some(entry),
            Finding::Known(_) | Finding::Unknown => None,
        }
    }

    /// Another key is recorded for the host.
    fn changed(&self, entry: &Entry, algorithm: &str, print: &str) -> Result<Trust, ConnectError> {
        let (message, hint) = self.changed_message(entry, algorithm, print);
        self.refused_key(message, Some(hint))
    }

    /// The key is recorded as one that is never accepted.
    fn revoked(&self, entry: &Entry, print: &str) -> Result<Trust, ConnectError> {
        self.refused_key(revoked_message(entry, print), None)
    }

    fn error(&self, message: impl Into<String>) -> ConnectError {
        self.stages.error(Stage::HostKey, message)
    }

    /// A wrong key ends the connection, unless checking is off.
    fn refused_key(&self, message: String, hint: Option<String>) -> Result<Trust, ConnectError> {
        if self.settings.host_key_policy == HostKeyPolicy::Off {
            self.stages.reached(
                Stage::HostKey,
                Instant::now(),
                format!("WARNING: {message}; going on because StrictHostKeyChecking is off, without passwords"),
            );
            return Ok(Trust::Unsafe);
        }
        let mut error = self.error(message);
        error.hint = hint;
        Err(error)
    }

    fn check_revoked_file(
        &self,
        blob: &[u8],
        certificate: Option<&Certificate>,
    ) -> Result<(), ConnectError> {
        let (Some(file), Some(list)) = (&self.settings.revoked_host_keys, &self.revoked) else {
            return Ok(());
        };
        let list = list.as_ref().map_err(|error| {
            self.error(format!("RevokedHostKeys {}: {error}", file.display()))
                .with_hint("a list of revoked keys that cannot be read refuses every host; fix the file or the setting")
        })?;
        if let Some(what) = list.finds(blob, certificate) {
            let message = format!(
                "{what} is revoked by {}: {}",
                file.display(),
                fingerprint(blob)
            );
            return Err(self.error(message));
        }
        Ok(())
    }

    /// One of the spec's fingerprints, or nothing (CS-30); a key that is recorded as revoked is refused all the same.
    fn check_pins(
        &self,
        pins: &[Fingerprint],
        algorithm: &str,
        blob: &[u8],
        certificate: Option<&Certificate>,
        since: Instant,
    ) -> Result<Trust, ConnectError> {
        let shown = Fingerprint(Sha256::digest(blob).into());
        let authority = certificate.and_then(|certificate| {
            let key = PublicKey::new(certificate.signature_key().clone(), "");
            key.to_bytes().ok()
        });
        let finding = match &authority {
            Some(authority) => judge_certificate(&self.entries, blob, authority),
            None => judge_key(&self.entries, blob),
        };
        if let Finding::Revoked(entry) = finding {
            return Err(self.error(revoked_message(&entry, &shown.to_string())));
        }
        if pins.contains(&shown) {
            let detail = format!("{algorithm} {shown}, as the spec says");
            self.stages.reached(Stage::HostKey, since, detail);
            return Ok(Trust::Full);
        }
        let message = format!(
            "the server shows {algorithm} {shown}, which is not a fingerprint that the spec names; somebody may be in between, or the spec names another of its keys"
        );
        let hint = "compare it with the machine's own (ssh-keygen -lf on each of its host keys), and name all of them in hostkey=, with commas between";
        Err(self.error(message).with_hint(hint))
    }

    fn changed_message(&self, entry: &Entry, algorithm: &str, print: &str) -> (String, String) {
        let place = format!("{}:{}", entry.file.display(), entry.line);
        let message = format!(
            "THE HOST KEY HAS CHANGED: the server shows {algorithm} {print}, but {place} records {} {} for {}; somebody may be in between, or the machine was set up again",
            entry.algorithm,
            fingerprint(&entry.blob),
            self.label
        );
        let hint = format!(
            "ask who runs the machine; if the new key is right, remove the old one with: ssh-keygen -R '{}' -f {}",
            self.label,
            entry.file.display()
        );
        (message, hint)
    }
}

fn revoked_message(entry: &Entry, print: &str) -> String {
    format!(
        "the server's key {print} is marked as revoked by {}:{}",
        entry.file.display(),
        entry.line
    )
}

/// The name that the host goes by in the files.
fn label_of(settings: &Settings) -> String {
    match &settings.host_key_alias {
        Some(alias) => alias.to_lowercase(),
        None => host_label(&settings.hostname, settings.port),
    }
}

fn all_files(settings: &Settings) -> Vec<PathBuf> {
    settings
        .user_known_hosts
        .iter()
        .chain(&settings.global_known_hosts)
        .cloned()
        .collect()
}

/// A key's fingerprint as `ssh-keygen -l` prints it.
pub(crate) fn fingerprint(blob: &[u8]) -> String {
    Fingerprint(Sha256::digest(blob).into()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::TransportOptions;
    use crate::transport::ssh::config::settings::{ConfigSource, SshTarget};

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const OTHER: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA6rWI3G2sz07DnfFlrouTcysQlj2P+jpNSOEWD9OJ3X";

    async fn checked(
        check_host_ip: &str,
        policy: &str,
        recorded: &str,
    ) -> Result<Trust, ConnectError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known");
        std::fs::write(&file, recorded).unwrap();
        let target = SshTarget {
            config: ConfigSource::None,
            ..SshTarget::new("box.example.com")
        }
        .with_option("UserKnownHostsFile", file.display().to_string())
        .with_option("GlobalKnownHostsFile", "none")
        .with_option("CheckHostIP", check_host_ip)
        .with_option("StrictHostKeyChecking", policy);
        let stages = Stages::new(&target.host, &TransportOptions::default());
        let settings = crate::transport::ssh::config::resolve(&stages, &target).await?;
        let address = "192.0.2.1".parse().unwrap();
        let check = HostKeyCheck::new(&stages, &settings, Some(address))?;
        let key = russh::keys::PublicKey::from_openssh(KEY).unwrap();
        check.check(&PublicKeyOrCertificate::from(key)).await
    }

    #[tokio::test]
    async fn an_address_with_another_key_refuses_where_the_configuration_asks_for_it() {
        let host = format!("box.example.com {KEY}\n");
        let other = format!("192.0.2.1 {OTHER}\n");
        let same = format!("192.0.2.1 {KEY}\n");
        for policy in ["yes", "accept-new"] {
            let both = host.clone() + &other;
            assert_eq!(checked("no", policy, &both).await.unwrap(), Trust::Full);
            let error = checked("yes", policy, &both).await.unwrap_err();
            assert!(error.message.contains("HAS CHANGED"), "{error}");
            let agree = host.clone() + &same;
            assert_eq!(checked("yes", policy, &agree).await.unwrap(), Trust::Full);
            assert_eq!(checked("yes", policy, &host).await.unwrap(), Trust::Full);
        }
        assert!(checked("yes", "accept-new", &other).await.is_err());
        assert_eq!(
            checked("no", "accept-new", &other).await.unwrap(),
            Trust::Full
        );
        let unsafe_one = checked("yes", "no", &(host + &other)).await.unwrap();
        assert_eq!(unsafe_one, Trust::Unsafe);
    }
}
