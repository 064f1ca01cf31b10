//! From a [`ConnectionSpec`] back to text: the same options in one fixed order.

use std::fmt;

use crate::spec::items::escape;
use crate::spec::options::{HIDDEN_KEY, OPTIONS, Sets};
use crate::spec::{ConnectionSpec, Host, JumpHost};

impl ConnectionSpec {
    /// The canonical spec, key and all: it parses back to an equal value. Keep it from logs; to show a spec, use `Display`.
    ///
    /// A key that the program gave ([`crate::spec::KeySource::Given`]) is not part of it.
    pub fn to_canonical(&self) -> String {
        self.write(false)
    }

    fn write(&self, hide_secrets: bool) -> String {
        let mut out = match &self.host {
            Host::Local => Host::Local.to_string(),
            host => JumpHost {
                user: self.user.clone(),
                host: host.clone(),
                port: self.port,
            }
            .to_string(),
        };
        let options: Vec<_> = self.options(hide_secrets).collect();
        let count = options.len();
        for (position, (name, value)) in options.into_iter().enumerate() {
            out.push(':');
            out.push_str(&escape(&format!("{name}={value}"), position + 1 == count));
        }
        out
    }

    fn options(&self, hide_secrets: bool) -> impl Iterator<Item = (String, String)> {
        let own = OPTIONS.iter().filter_map(move |option| {
            // The user stands in front of the host.
            let value = (option.sets != Sets::User)
                .then(|| (option.show)(self))
                .flatten()?;
            let text = if option.secret && hide_secrets {
                HIDDEN_KEY.to_string()
            } else {
                value.to_string()
            };
            Some((option.name.to_string(), text))
        });
        own.chain(self.custom.clone())
    }
}

/// The canonical spec with the key left out (`key=(hidden)`, which parsing refuses).
impl fmt::Display for ConnectionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.write(true))
    }
}
