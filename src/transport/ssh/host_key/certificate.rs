//! Host certificates: whether an authority that we know signed one, and whether it is for this host and for now.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use russh::keys::Certificate;
use russh::keys::ssh_key::certificate::CertType;

use crate::error::{ConnectError, Stage};
use crate::transport::ssh::algorithms;
use crate::transport::ssh::host_key::known_hosts::{Finding, judge_certificate};
use crate::transport::ssh::host_key::{HostKeyCheck, Trust, fingerprint, revoked_message};

/// What a certificate is worth.
pub(crate) enum CertificateVerdict {
    /// It decides.
    Trusted(Trust),
    /// It says nothing, perhaps for this reason, so the plain key decides.
    Plain(Option<String>),
}

impl HostKeyCheck {
    /// Judges a certificate by its authority and by what it says itself.
    pub(crate) fn check_certificate(
        &self,
        certificate: &Certificate,
        key: &[u8],
        since: Instant,
    ) -> Result<CertificateVerdict, ConnectError> {
        let authority = russh::keys::PublicKey::new(certificate.signature_key().clone(), "");
        let Ok(authority_blob) = authority.to_bytes() else {
            return Ok(CertificateVerdict::Plain(None));
        };
        let finding = match judge_certificate(&self.entries, key, &authority_blob) {
            Finding::Unknown => judge_certificate(&self.portless, key, &authority_blob),
            found => found,
        };
        match finding {
            Finding::Revoked(entry) => self
                .refused_key(revoked_message(&entry, &fingerprint(&entry.blob)), None)
                .map(CertificateVerdict::Trusted),
            Finding::Known(entry) => match self.certificate_fault(certificate) {
                None => {
                    self.stages.reached(
                        Stage::HostKey,
                        since,
                        format!(
                            "certificate '{}' by {}, {}:{}",
                            certificate.key_id(),
                            fingerprint(&authority_blob),
                            entry.file.display(),
                            entry.line
                        ),
                    );
                    Ok(CertificateVerdict::Trusted(Trust::Full))
                }
                fault => Ok(CertificateVerdict::Plain(fault)),
            },
            _ => Ok(CertificateVerdict::Plain(None)),
        }
    }

    /// What is wrong with a certificate whose authority we know.
    fn certificate_fault(&self, certificate: &Certificate) -> Option<String> {
        if certificate.cert_type() != CertType::Host {
            return Some("it is a user certificate".to_owned());
        }
        if !algorithms::ca_signature_allowed(&self.settings, certificate) {
            return Some(format!(
                "its signature algorithm {} is not allowed (CASignatureAlgorithms)",
                certificate.signature().algorithm()
            ));
        }
        if certificate.verify_signature().is_err() {
            return Some("its signature is wrong".to_owned());
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        if now < certificate.valid_after() {
            return Some("it is not valid yet".to_owned());
        }
        if now >= certificate.valid_before() {
            return Some("it has expired".to_owned());
        }
        if certificate.critical_options().iter().next().is_some() {
            return Some("it has critical options".to_owned());
        }
        let name = self
            .settings
            .host_key_alias
            .as_deref()
            .unwrap_or(&self.settings.hostname)
            .to_lowercase();
        let principals = certificate.valid_principals();
        if !principals.is_empty() && !principals.contains(&name) {
            return Some(format!(
                "it is for {} and not for {name}",
                principals.join(", ")
            ));
        }
        None
    }
}
