//! From a [`ConnectionSpec`] back to text: the same options in one fixed order.

use std::fmt;

use crate::spec::items::escape;
use crate::spec::options;
use crate::spec::{ConfigChoice, ConnectionSpec, Host, JumpHost, KeySource, SshChoice};

impl ConnectionSpec {
    /// The canonical spec, key and all: it parses back to an equal value. Keep it from logs; to show a spec, use `Display`.
    ///
    /// A key that the program gave ([`KeySource::Given`]) is no part of it.
    pub fn to_canonical(&self) -> String {
        self.write(false)
    }

    fn write(&self, hide_key: bool) -> String {
        let mut out = match &self.host {
            Host::Local => Host::Local.to_string(),
            host => JumpHost {
                user: self.user.clone(),
                host: host.clone(),
                port: self.port,
            }
            .to_string(),
        };
        let options = self.options(hide_key);
        let count = options.len();
        for (position, (name, value)) in options.into_iter().enumerate() {
            out.push(':');
            out.push_str(&escape(&format!("{name}={value}"), position + 1 == count));
        }
        out
    }

    fn options(&self, hide_key: bool) -> Vec<(String, String)> {
        let mut list: Vec<(&str, String)> = Vec::new();
        match &self.ssh {
            Some(SshChoice::Yes) => list.push(("ssh", "yes".into())),
            Some(SshChoice::No) => list.push(("ssh", "no".into())),
            Some(SshChoice::Program(path)) => list.push(("ssh", path.display().to_string())),
            None => {}
        }
        match &self.key {
            Some(KeySource::File(path)) => list.push(("kf", path.display().to_string())),
            Some(KeySource::Text(_)) if hide_key => list.push(("key", options::HIDDEN_KEY.into())),
            Some(KeySource::Text(text)) => list.push(("key", text.clone())),
            Some(KeySource::Given(_)) | None => {}
        }
        let switch = |value: bool| if value { "yes" } else { "no" }.to_string();
        let path = |path: &std::path::PathBuf| path.display().to_string();
        list.extend(self.compress.map(|value| ("compress", switch(value))));
        if !self.extra.is_empty() {
            // Joining fails only on a NUL, which no spec holds.
            let words = shlex::try_join(self.extra.iter().map(String::as_str));
            list.extend(words.ok().map(|words| ("extra", words)));
        }
        list.extend(self.rpython.clone().map(|value| ("rpython", value)));
        list.extend(self.timeout.map(|time| ("timeout", seconds(time))));
        list.extend(
            self.identity
                .as_ref()
                .map(|value| ("identity", path(value))),
        );
        list.extend(
            self.known_hosts
                .as_ref()
                .map(|value| ("known_hosts", path(value))),
        );
        list.extend(self.config.as_ref().map(|value| match value {
            ConfigChoice::None => ("config", "none".to_string()),
            ConfigChoice::File(file) => ("config", path(file)),
        }));
        list.extend(
            self.hostkey
                .map(|value| ("hostkey", value.as_str().to_string())),
        );
        list.extend(self.batch.map(|value| ("batch", switch(value))));
        list.extend(self.jump.as_ref().map(|hosts| ("jump", jump(hosts))));
        if !self.allow.is_empty() {
            list.push(("allow", self.allow.join(",")));
        }
        list.extend(self.name.clone().map(|value| ("name", value)));
        list.extend(self.ahead.map(|count| ("ahead", count.to_string())));
        let own = list
            .into_iter()
            .map(|(name, value)| (name.to_string(), value));
        own.chain(self.custom.clone()).collect()
    }
}

/// The canonical spec with the key left out (`key=(hidden)`, which parsing refuses).
impl fmt::Display for ConnectionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.write(true))
    }
}

fn seconds(time: std::time::Duration) -> String {
    let text = format!("{}.{:09}", time.as_secs(), time.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

fn jump(hosts: &[JumpHost]) -> String {
    if hosts.is_empty() {
        return "none".to_string();
    }
    hosts
        .iter()
        .map(JumpHost::to_string)
        .collect::<Vec<_>>()
        .join(",")
}
