//! A host that no file knows: refuse, ask the user, or accept, and write the key down.

use std::time::Instant;

use crate::error::{ConnectError, Stage};
use crate::spec::HostKeyPolicy;
use crate::transport::ssh::host_key::known_hosts::{Finding, judge_key};
use crate::transport::ssh::host_key::known_hosts_file::{Recording, add_key};
use crate::transport::ssh::host_key::{HostKeyCheck, Trust};

impl HostKeyCheck {
    /// Nothing is recorded for the host: what the policy says, or the user.
    pub(super) async fn unknown(
        &self,
        algorithm: &str,
        blob: &[u8],
        print: &str,
        certificate_fault: Option<String>,
        since: Instant,
    ) -> Result<Trust, ConnectError> {
        if let Some(other) = self.other_at_address(blob) {
            return self.changed(&other, algorithm, print);
        }
        if let Finding::Known(entry) = judge_key(&self.portless, blob) {
            self.stages.reached(
                Stage::HostKey,
                since,
                format!(
                    "{algorithm} {print}, {}:{} without its port",
                    entry.file.display(),
                    entry.line
                ),
            );
            return Ok(Trust::Full);
        }
        let host = &self.settings.host;
        let file = self.settings.user_known_hosts.first().map_or_else(
            || "known_hosts".to_owned(),
            |file| file.display().to_string(),
        );
        let mut unknown = format!(
            "no key is recorded for {}, and it shows {algorithm} {print}",
            self.label
        );
        if let Some(fault) = certificate_fault {
            unknown.push_str(&format!("; its certificate does not count: {fault}"));
        }
        let hint = format!(
            "compare the fingerprint with the machine's own (ssh-keygen -lf on it); then say hostkey={print} in the spec, or hostkey=accept-new, which records the key in {file}, or known_hosts=FILE that has it; `ssh {host}` once records it as well"
        );
        match self.settings.host_key_policy {
            HostKeyPolicy::Refuse => Err(self.error(unknown).with_hint(hint)),
            HostKeyPolicy::Ask => {
                if self.settings.batch_mode || !self.stages.asker.available() {
                    return Err(self
                        .error(format!("{unknown}, and there is no terminal to ask on"))
                        .with_hint(hint));
                }
                self.ask(algorithm, print).await?;
                self.record(algorithm, blob, print, since).await
            }
            // Pins have been compared before anything recorded is looked at.
            HostKeyPolicy::Pinned(_) => Err(self.error(unknown)),
            HostKeyPolicy::AcceptNew | HostKeyPolicy::Off => {
                self.record(algorithm, blob, print, since).await
            }
        }
    }

    /// Yes, no, or the fingerprint itself, as OpenSSH asks.
    async fn ask(&self, algorithm: &str, print: &str) -> Result<(), ConnectError> {
        let mut text = format!(
            "The authenticity of host '{}' cannot be established: no key is recorded.\n{algorithm} key fingerprint is {print}.\nContinue connecting (yes/no/fingerprint)? ",
            self.label
        );
        loop {
            let Some(answer) = self
                .stages
                .asker
                .clone()
                .at(Stage::HostKey)
                .ask(&text, true)
                .await
            else {
                return Err(self.error(format!(
                    "no key is recorded for {}, it shows {algorithm} {print}, and the question was not answered",
                    self.label
                )));
            };
            let answer = answer.trim();
            if answer.eq_ignore_ascii_case("yes") || answer == print {
                return Ok(());
            }
            if answer.eq_ignore_ascii_case("no") {
                return Err(self.error(format!("the key {algorithm} {print} was not accepted")));
            }
            "Please type 'yes', 'no' or the fingerprint: ".clone_into(&mut text);
        }
    }

    /// Writes the key down. A file that cannot be written is a warning, as in OpenSSH; but a key that another
    /// connection has recorded meanwhile speaks against this one.
    async fn record(
        &self,
        algorithm: &str,
        blob: &[u8],
        print: &str,
        since: Instant,
    ) -> Result<Trust, ConnectError> {
        let detail = match self.settings.user_known_hosts.first().cloned() {
            None => format!("{algorithm} {print}, new, not recorded"),
            Some(file) => {
                let (label, name, key) = (self.label.clone(), algorithm.to_owned(), blob.to_vec());
                let hashed = self.settings.hash_known_hosts;
                let shown = file.display().to_string();
                let written = tokio::task::spawn_blocking(move || {
                    add_key(&file, &label, &name, &key, hashed)
                })
                .await
                .unwrap_or_else(|error| Err(error.to_string()));
                match written {
                    Ok(Recording::Changed(entry)) => return self.changed(&entry, algorithm, print),
                    Ok(Recording::Revoked(entry)) => return self.revoked(&entry, print),
                    Ok(Recording::Known) => {
                        format!("{algorithm} {print}, recorded in {shown} a moment ago")
                    }
                    Ok(Recording::Added) => {
                        format!("{algorithm} {print}, new, recorded in {shown}")
                    }
                    Err(error) => {
                        format!("{algorithm} {print}, new; WARNING: not recorded: {error}")
                    }
                }
            }
        };
        self.stages.reached(Stage::HostKey, since, detail);
        Ok(Trust::Full)
    }
}
