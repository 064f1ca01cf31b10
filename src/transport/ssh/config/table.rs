//! The whole list of `ssh_config` keywords, and what each means for us. docs/ssh.md says the same for people.

/// How a keyword's lines add up, and whether they count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The first line that applies wins.
    First,
    /// As `First`, and the value is the rest of the line as it stands, quotes included.
    FirstRaw,
    /// Every line that applies adds its values.
    Every,
    /// What it asks for is done by `ssh -G` alone.
    OpenSsh,
    /// A way of proving who the user is that we do not have: it is named where nothing else lets us in.
    LackingMethod,
    /// What we do not have, and go on without: it is warned about where it is on.
    Lacking,
    /// It restricts whom one connects to in a way that we do not have, so the connection is refused where it is on.
    Refused,
    /// Known, and without effect on what we do.
    Ignored,
}

impl Kind {
    /// Whether a line is kept for what comes later.
    pub(crate) fn counts(self) -> bool {
        !matches!(self, Kind::Ignored | Kind::OpenSsh)
    }

    /// Whether the value is the rest of the line as it stands.
    pub(crate) fn is_raw(self) -> bool {
        self == Kind::FirstRaw
    }
}

/// Every keyword by its name of today, in lower case.
const KEYWORDS: &[(&str, Kind)] = &[
    ("addkeystoagent", Kind::Ignored),
    ("addressfamily", Kind::First),
    ("batchmode", Kind::First),
    ("bindaddress", Kind::First),
    // Naming an interface takes a privilege on some systems, and going another way is not what was asked for.
    ("bindinterface", Kind::Refused),
    ("canonicaldomains", Kind::OpenSsh),
    ("canonicalizefallbacklocal", Kind::OpenSsh),
    ("canonicalizehostname", Kind::OpenSsh),
    ("canonicalizemaxdots", Kind::OpenSsh),
    ("canonicalizepermittedcnames", Kind::OpenSsh),
    ("casignaturealgorithms", Kind::First),
    ("certificatefile", Kind::Every),
    ("channeltimeout", Kind::Lacking),
    ("checkhostip", Kind::First),
    ("ciphers", Kind::First),
    ("clearallforwardings", Kind::Ignored),
    ("compression", Kind::First),
    ("connectionattempts", Kind::First),
    ("connecttimeout", Kind::First),
    ("controlmaster", Kind::Ignored),
    ("controlpath", Kind::Ignored),
    ("controlpersist", Kind::Ignored),
    ("dynamicforward", Kind::Ignored),
    ("enableescapecommandline", Kind::Ignored),
    ("enablesshkeysign", Kind::Ignored),
    ("escapechar", Kind::Ignored),
    ("exitonforwardfailure", Kind::Ignored),
    ("fingerprinthash", Kind::Ignored),
    ("forkafterauthentication", Kind::Ignored),
    ("forwardagent", Kind::Ignored),
    ("forwardx11", Kind::Ignored),
    ("forwardx11timeout", Kind::Ignored),
    ("forwardx11trusted", Kind::Ignored),
    ("gatewayports", Kind::Ignored),
    ("globalknownhostsfile", Kind::First),
    ("gssapiauthentication", Kind::LackingMethod),
    ("gssapiclientidentity", Kind::Ignored),
    ("gssapidelegatecredentials", Kind::Ignored),
    ("gssapikexalgorithms", Kind::Ignored),
    ("gssapikeyexchange", Kind::LackingMethod),
    ("gssapirenewalforcesrekey", Kind::Ignored),
    ("gssapiserveridentity", Kind::Ignored),
    ("gssapitrustdns", Kind::Ignored),
    ("hashknownhosts", Kind::First),
    ("hostbasedacceptedalgorithms", Kind::Ignored),
    ("hostbasedauthentication", Kind::LackingMethod),
    ("hostbasedkeytypes", Kind::Ignored),
    ("hostkeyalgorithms", Kind::First),
    ("hostkeyalias", Kind::First),
    ("hostname", Kind::First),
    ("identitiesonly", Kind::First),
    ("identityagent", Kind::First),
    ("identityfile", Kind::Every),
    ("ignoreunknown", Kind::First),
    ("ipqos", Kind::Ignored),
    ("kbdinteractiveauthentication", Kind::First),
    ("kbdinteractivedevices", Kind::Ignored),
    ("kexalgorithms", Kind::First),
    ("knownhostscommand", Kind::Refused),
    ("localcommand", Kind::Ignored),
    ("localforward", Kind::Ignored),
    ("loglevel", Kind::Ignored),
    ("logverbose", Kind::Ignored),
    ("macs", Kind::First),
    ("nohostauthenticationforlocalhost", Kind::First),
    ("numberofpasswordprompts", Kind::First),
    ("obscurekeystroketiming", Kind::Ignored),
    ("passwordauthentication", Kind::First),
    ("permitlocalcommand", Kind::Ignored),
    ("permitremoteopen", Kind::Ignored),
    ("pkcs11provider", Kind::LackingMethod),
    ("port", Kind::First),
    ("preferredauthentications", Kind::First),
    ("proxycommand", Kind::FirstRaw),
    ("proxyjump", Kind::FirstRaw),
    ("proxyusefdpass", Kind::Lacking),
    ("pubkeyacceptedalgorithms", Kind::First),
    ("pubkeyauthentication", Kind::First),
    ("refuseconnection", Kind::First),
    ("rekeylimit", Kind::First),
    ("remotecommand", Kind::Ignored),
    ("remoteforward", Kind::Ignored),
    ("requesttty", Kind::Ignored),
    ("requiredrsasize", Kind::First),
    ("revokedhostkeys", Kind::First),
    ("securitykeyprovider", Kind::Ignored),
    ("sendenv", Kind::Every),
    ("serveralivecountmax", Kind::First),
    ("serveraliveinterval", Kind::First),
    ("sessiontype", Kind::Ignored),
    ("setenv", Kind::First),
    ("stdinnull", Kind::Ignored),
    ("streamlocalbindmask", Kind::Ignored),
    ("streamlocalbindunlink", Kind::Ignored),
    ("stricthostkeychecking", Kind::First),
    ("syslogfacility", Kind::Ignored),
    ("tag", Kind::Ignored),
    ("tcpkeepalive", Kind::Ignored),
    ("tunnel", Kind::Ignored),
    ("tunneldevice", Kind::Ignored),
    ("updatehostkeys", Kind::Ignored),
    ("user", Kind::First),
    ("userknownhostsfile", Kind::First),
    ("verifyhostkeydns", Kind::Lacking),
    ("versionaddendum", Kind::Ignored),
    ("visualhostkey", Kind::Ignored),
    ("warnweakcrypto", Kind::Ignored),
    ("xauthlocation", Kind::Ignored),
];

/// Obsolete or moved; today's OpenSSH reads them without effect too.
const OBSOLETE: &[&str] = &[
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
    "smartcarddevice",
    "useblacklistedkeys",
    "useprivilegedport",
    "useroaming",
    "userknownhostsfile2",
    "usersh",
];

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
pub(crate) fn lookup(keyword: &str) -> Option<(&'static str, Kind)> {
    let name = current_name(keyword);
    if let Some((name, kind)) = KEYWORDS.iter().find(|(known, _)| *known == name) {
        return Some((name, *kind));
    }
    let obsolete = OBSOLETE.iter().find(|known| **known == name);
    obsolete.map(|known| (*known, Kind::Ignored))
}

/// Whether a keyword is known, however its letters are written; else the one that is probably meant.
pub(crate) fn check_keyword(keyword: &str) -> Result<(), Option<&'static str>> {
    let name = keyword.to_lowercase();
    match lookup(&name) {
        Some(_) => Ok(()),
        None => Err(crate::spec::nearest(
            &name,
            KEYWORDS.iter().map(|(known, _)| *known),
        )),
    }
}

/// The keywords of a kind.
pub(crate) fn of_kind(kind: Kind) -> impl Iterator<Item = &'static str> {
    let found = KEYWORDS.iter().filter(move |(_, it)| *it == kind);
    found.map(|(name, _)| *name)
}

/// Whether a value turns a switch on.
pub(crate) fn is_on(value: &str) -> bool {
    !matches!(value.to_lowercase().as_str(), "no" | "none" | "false")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// What the table of the documentation says of each keyword.
    fn documented() -> BTreeMap<String, String> {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ssh.md");
        let page = std::fs::read_to_string(page).unwrap();
        let (_, section) = page.split_once("## Every keyword").unwrap();
        let section = section.split("\n## ").next().unwrap();
        let mut found = BTreeMap::new();
        for line in section.lines().filter(|line| line.starts_with("| ")) {
            let mut cells = line.split('|').map(str::trim);
            let (names, said) = (cells.nth(1).unwrap(), cells.next().unwrap());
            for name in names.split(", ") {
                let again = found.insert(name.to_lowercase(), said.to_owned());
                assert_eq!(again, None, "{name} stands there twice");
            }
        }
        found
    }

    #[test]
    fn the_documentation_says_of_every_keyword_what_the_code_does() {
        let mut said = documented();
        said.remove("keyword");
        for name in ["host", "match", "include"] {
            assert_eq!(said.remove(name).as_deref(), Some("kept"), "{name}");
        }
        let obsolete = OBSOLETE.iter().map(|name| (*name, Kind::Ignored));
        for (name, kind) in KEYWORDS.iter().copied().chain(obsolete) {
            let expected = match kind {
                Kind::First | Kind::FirstRaw | Kind::Every => "kept",
                Kind::OpenSsh => "kept by `ssh -G`",
                Kind::LackingMethod => "named where we do not get in",
                Kind::Lacking => "warned about",
                Kind::Refused => "refused",
                Kind::Ignored => "no effect",
            };
            assert_eq!(said.remove(name).as_deref(), Some(expected), "{name}");
        }
        said.retain(|name, _| lookup(name).is_none());
        assert!(said.is_empty(), "unknown to the code: {said:?}");
    }
}
