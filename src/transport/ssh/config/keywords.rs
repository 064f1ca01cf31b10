//! Which `ssh_config` keywords there are, what each means for us, and the values collected for one host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How a keyword's lines add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The first line that applies wins.
    First,
    /// As `First`, and the value is the rest of the line as it stands, quotes included.
    FirstRaw,
    /// Every line that applies adds its values.
    Every,
    /// Known, and without effect on what we do.
    Ignored,
}

/// Keywords with an effect here.
const KNOWN: &[(&str, Kind)] = &[
    ("addressfamily", Kind::First),
    ("batchmode", Kind::First),
    ("bindaddress", Kind::First),
    ("casignaturealgorithms", Kind::First),
    ("certificatefile", Kind::Every),
    ("ciphers", Kind::First),
    ("compression", Kind::First),
    ("connectionattempts", Kind::First),
    ("connecttimeout", Kind::First),
    ("globalknownhostsfile", Kind::First),
    ("hashknownhosts", Kind::First),
    ("hostkeyalgorithms", Kind::First),
    ("hostkeyalias", Kind::First),
    ("hostname", Kind::First),
    ("identitiesonly", Kind::First),
    ("identityagent", Kind::First),
    ("identityfile", Kind::Every),
    ("ignoreunknown", Kind::First),
    ("kbdinteractiveauthentication", Kind::First),
    ("kexalgorithms", Kind::First),
    ("macs", Kind::First),
    ("nohostauthenticationforlocalhost", Kind::First),
    ("numberofpasswordprompts", Kind::First),
    ("passwordauthentication", Kind::First),
    ("port", Kind::First),
    ("preferredauthentications", Kind::First),
    ("proxycommand", Kind::FirstRaw),
    ("proxyjump", Kind::FirstRaw),
    ("pubkeyacceptedalgorithms", Kind::First),
    ("pubkeyauthentication", Kind::First),
    ("revokedhostkeys", Kind::First),
    ("sendenv", Kind::Every),
    ("serveralivecountmax", Kind::First),
    ("serveraliveinterval", Kind::First),
    ("setenv", Kind::First),
    ("stricthostkeychecking", Kind::First),
    ("user", Kind::First),
    ("userknownhostsfile", Kind::First),
];

/// Keywords that OpenSSH knows and that change nothing about whether and how a command runs over one connection.
const IGNORED: &[&str] = &[
    "addkeystoagent",
    "canonicaldomains",
    "canonicalizefallbacklocal",
    "canonicalizemaxdots",
    "canonicalizepermittedcnames",
    "channeltimeout",
    "checkhostip",
    "clearallforwardings",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "dynamicforward",
    "enableescapecommandline",
    "enablesshkeysign",
    "escapechar",
    "exitonforwardfailure",
    "fingerprinthash",
    "forkafterauthentication",
    "forwardagent",
    "forwardx11",
    "forwardx11timeout",
    "forwardx11trusted",
    "gatewayports",
    "gssapidelegatecredentials",
    "gssapitrustdns",
    "gssapirenewalforcesrekey",
    "gssapiserveridentity",
    "gssapiclientidentity",
    "gssapikexalgorithms",
    "hostbasedacceptedalgorithms",
    "hostbasedkeytypes",
    "ipqos",
    "kbdinteractivedevices",
    "localcommand",
    "localforward",
    "logverbose",
    "loglevel",
    "obscurekeystroketiming",
    "permitlocalcommand",
    "permitremoteopen",
    "rekeylimit",
    "remotecommand",
    "remoteforward",
    "requesttty",
    "requiredrsasize",
    "securitykeyprovider",
    "sessiontype",
    "stdinnull",
    "streamlocalbindmask",
    "streamlocalbindunlink",
    "syslogfacility",
    "tag",
    "tcpkeepalive",
    "tunnel",
    "tunneldevice",
    "updatehostkeys",
    "versionaddendum",
    "visualhostkey",
    "warnweakcrypto",
    "xauthlocation",
    // Obsolete or moved, and read without effect by today's OpenSSH too.
    "afstokenpassing",
    "cipher",
    "compressionlevel",
    "debianbanner",
    "fallbacktorsh",
    "globalknownhostsfile2",
    "kerberosauthentication",
    "kerberostgtpassing",
    "protocol",
    "rhostsauthentication",
    "rhostsrsaauthentication",
    "rsaauthentication",
    "skeyauthentication",
    "smartcarddevice",
    "useblacklistedkeys",
    "useprivilegedport",
    "useroaming",
    "userknownhostsfile2",
    "usersh",
];

/// Keywords of OpenSSH that may decide whether one gets in, and that we do not have: they are warned about where they are on.
const LACKING: &[&str] = &[
    "gssapiauthentication",
    "gssapikeyexchange",
    "hostbasedauthentication",
    "knownhostscommand",
    "pkcs11provider",
    "proxyusefdpass",
    "verifyhostkeydns",
];

/// Whether a keyword is one that we lack, with a value that turns it on.
pub(crate) fn lacks(keyword: &str, value: &str) -> bool {
    LACKING.contains(&keyword) && !matches!(value.to_lowercase().as_str(), "no" | "none" | "false")
}

/// What an old spelling is called today.
fn current_name(keyword: &str) -> &str {
    match keyword {
        "challengeresponseauthentication" | "tisauthentication" | "skeyauthentication" => {
            "kbdinteractiveauthentication"
        }
        "dsaauthentication" => "pubkeyauthentication",
        "hostkeykeytypes" => "hostkeyalgorithms",
        "identityfile2" => "identityfile",
        "keepalive" => "tcpkeepalive",
        "pubkeyacceptedkeytypes" => "pubkeyacceptedalgorithms",
        other => other,
    }
}

/// Looks a keyword up by its lower-case name; `None` is one that we do not know.
pub(crate) fn lookup(keyword: &str) -> Option<(&str, Kind)> {
    let name = current_name(keyword);
    if let Some((name, kind)) = KNOWN.iter().find(|(known, _)| *known == name) {
        return Some((name, *kind));
    }
    IGNORED
        .iter()
        .chain(LACKING)
        .find(|known| **known == name)
        .map(|known| (*known, Kind::Ignored))
}

/// The values that apply to one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Collected {
    values: BTreeMap<String, Vec<Vec<String>>>,
    /// File names that are taken as they are; they stand before those of `values`.
    paths: BTreeMap<String, Vec<PathBuf>>,
}

/// A file name among the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum File<'a> {
    /// Nothing in it is expanded.
    AsItIs(&'a Path),
    /// Tokens, variables and `~` in it are expanded.
    Text(&'a str),
}

impl Collected {
    /// Adds a line that applies.
    pub(crate) fn add(&mut self, name: &str, kind: Kind, values: Vec<String>) {
        match kind {
            Kind::First | Kind::FirstRaw if self.paths.contains_key(name) => {}
            Kind::First | Kind::FirstRaw => {
                self.values
                    .entry(name.to_owned())
                    .or_insert_with(|| vec![values]);
            }
            Kind::Every => {
                let lines = self.values.entry(name.to_owned()).or_default();
                // A file named twice is one identity, as in OpenSSH.
                if name == "sendenv" || !lines.contains(&values) {
                    lines.push(values);
                }
            }
            Kind::Ignored => {}
        }
    }

    /// Adds a file name that is taken as it is.
    pub(crate) fn add_path(&mut self, name: &str, kind: Kind, path: PathBuf) {
        if kind == Kind::Every || !self.has(name) {
            self.paths.entry(name.to_owned()).or_default().push(path);
        }
    }

    /// Whether ProxyJump or ProxyCommand comes too late, because the other one stood first.
    /// A `ProxyJump none` does not keep a ProxyCommand away, as OpenSSH has it.
    pub(crate) fn is_late(&self, name: &str) -> bool {
        match name {
            "proxyjump" => self.has("proxycommand"),
            "proxycommand" => self.first("proxyjump").is_some_and(|jump| jump != "none"),
            _ => false,
        }
    }

    /// Whether a keyword has a value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name) || self.paths.contains_key(name)
    }

    /// The first word of a keyword's winning line.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All words of a keyword, in order.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.values
            .get(name)
            .into_iter()
            .flatten()
            .flatten()
            .map(String::as_str)
    }

    /// All file names of a keyword, in order.
    pub(crate) fn files<'a>(&'a self, name: &str) -> impl Iterator<Item = File<'a>> + use<'a> {
        let paths = self.paths.get(name).into_iter().flatten();
        paths
            .map(|path| File::AsItIs(path))
            .chain(self.all(name).map(File::Text))
    }

    /// Forgets the winning value, where a later stage of OpenSSH's own rules overrides it.
    pub(crate) fn remove(&mut self, name: &str) {
        self.values.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_lack_stands_in_the_documentation() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ssh.md");
        let page = std::fs::read_to_string(page).unwrap().to_lowercase();
        for keyword in LACKING {
            assert!(
                page.contains(keyword),
                "docs/ssh.md does not name {keyword}"
            );
            let known = lookup(keyword).map(|(_, kind)| kind);
            assert_eq!(known, Some(Kind::Ignored), "{keyword}");
        }
    }
}
