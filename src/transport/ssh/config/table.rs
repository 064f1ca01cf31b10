//! The whole list of `ssh_config` keywords, and what each means for us. docs/ssh.md says the same for people.

use crate::spec::nearest;

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

/// Every keyword by its name of today, as ssh_config(5) writes it, which is how messages name it.
const KEYWORDS: &[(&str, Kind)] = &[
    ("AddKeysToAgent", Kind::Ignored),
    ("AddressFamily", Kind::First),
    ("BatchMode", Kind::First),
    ("BindAddress", Kind::First),
    // Naming an interface takes a privilege on some systems, and going another way is not what was asked for.
    ("BindInterface", Kind::Refused),
    ("CanonicalDomains", Kind::OpenSsh),
    ("CanonicalizeFallbackLocal", Kind::OpenSsh),
    ("CanonicalizeHostname", Kind::OpenSsh),
    ("CanonicalizeMaxDots", Kind::OpenSsh),
    ("CanonicalizePermittedCNAMEs", Kind::OpenSsh),
    ("CASignatureAlgorithms", Kind::First),
    ("CertificateFile", Kind::Every),
    ("ChannelTimeout", Kind::Lacking),
    ("CheckHostIP", Kind::First),
    ("Ciphers", Kind::First),
    ("ClearAllForwardings", Kind::Ignored),
    ("Compression", Kind::First),
    ("ConnectionAttempts", Kind::First),
    ("ConnectTimeout", Kind::First),
    ("ControlMaster", Kind::Ignored),
    ("ControlPath", Kind::Ignored),
    ("ControlPersist", Kind::Ignored),
    ("DynamicForward", Kind::Ignored),
    ("EnableEscapeCommandline", Kind::Ignored),
    ("EnableSSHKeysign", Kind::Ignored),
    ("EscapeChar", Kind::Ignored),
    ("ExitOnForwardFailure", Kind::Ignored),
    ("FingerprintHash", Kind::Ignored),
    ("ForkAfterAuthentication", Kind::Ignored),
    ("ForwardAgent", Kind::Ignored),
    ("ForwardX11", Kind::Ignored),
    ("ForwardX11Timeout", Kind::Ignored),
    ("ForwardX11Trusted", Kind::Ignored),
    ("GatewayPorts", Kind::Ignored),
    ("GlobalKnownHostsFile", Kind::First),
    ("GSSAPIAuthentication", Kind::LackingMethod),
    ("GSSAPIClientIdentity", Kind::Ignored),
    ("GSSAPIDelegateCredentials", Kind::Ignored),
    ("GSSAPIKexAlgorithms", Kind::Ignored),
    ("GSSAPIKeyExchange", Kind::LackingMethod),
    ("GSSAPIRenewalForcesRekey", Kind::Ignored),
    ("GSSAPIServerIdentity", Kind::Ignored),
    ("GSSAPITrustDns", Kind::Ignored),
    ("HashKnownHosts", Kind::First),
    ("HostbasedAcceptedAlgorithms", Kind::Ignored),
    ("HostbasedAuthentication", Kind::LackingMethod),
    ("HostbasedKeyTypes", Kind::Ignored),
    ("HostKeyAlgorithms", Kind::First),
    ("HostKeyAlias", Kind::First),
    ("HostName", Kind::First),
    ("IdentitiesOnly", Kind::First),
    ("IdentityAgent", Kind::First),
    ("IdentityFile", Kind::Every),
    ("IgnoreUnknown", Kind::First),
    ("IPQoS", Kind::Ignored),
    ("KbdInteractiveAuthentication", Kind::First),
    ("KbdInteractiveDevices", Kind::Ignored),
    ("KexAlgorithms", Kind::First),
    ("KnownHostsCommand", Kind::Refused),
    ("LocalCommand", Kind::Ignored),
    ("LocalForward", Kind::Ignored),
    ("LogLevel", Kind::Ignored),
    ("LogVerbose", Kind::Ignored),
    ("MACs", Kind::First),
    ("NoHostAuthenticationForLocalhost", Kind::First),
    ("NumberOfPasswordPrompts", Kind::First),
    ("ObscureKeystrokeTiming", Kind::Ignored),
    ("PasswordAuthentication", Kind::First),
    ("PermitLocalCommand", Kind::Ignored),
    ("PermitRemoteOpen", Kind::Ignored),
    ("PKCS11Provider", Kind::LackingMethod),
    ("Port", Kind::First),
    ("PreferredAuthentications", Kind::First),
    ("ProxyCommand", Kind::FirstRaw),
    ("ProxyJump", Kind::FirstRaw),
    ("ProxyUseFdpass", Kind::Lacking),
    ("PubkeyAcceptedAlgorithms", Kind::First),
    ("PubkeyAuthentication", Kind::First),
    ("RefuseConnection", Kind::First),
    ("RekeyLimit", Kind::First),
    ("RemoteCommand", Kind::Ignored),
    ("RemoteForward", Kind::Ignored),
    ("RequestTTY", Kind::Ignored),
    ("RequiredRSASize", Kind::First),
    ("RevokedHostKeys", Kind::First),
    ("SecurityKeyProvider", Kind::Ignored),
    ("SendEnv", Kind::Every),
    ("ServerAliveCountMax", Kind::First),
    ("ServerAliveInterval", Kind::First),
    ("SessionType", Kind::Ignored),
    ("SetEnv", Kind::First),
    ("StdinNull", Kind::Ignored),
    ("StreamLocalBindMask", Kind::Ignored),
    ("StreamLocalBindUnlink", Kind::Ignored),
    ("StrictHostKeyChecking", Kind::First),
    ("SyslogFacility", Kind::Ignored),
    ("Tag", Kind::Ignored),
    ("TCPKeepAlive", Kind::Ignored),
    ("Tunnel", Kind::Ignored),
    ("TunnelDevice", Kind::Ignored),
    ("UpdateHostKeys", Kind::Ignored),
    ("User", Kind::First),
    ("UserKnownHostsFile", Kind::First),
    ("VerifyHostKeyDNS", Kind::Lacking),
    ("VersionAddendum", Kind::Ignored),
    ("VisualHostKey", Kind::Ignored),
    ("WarnWeakCrypto", Kind::Ignored),
    ("XAuthLocation", Kind::Ignored),
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
    match keyword.to_lowercase().as_str() {
        "challengeresponseauthentication" | "tisauthentication" | "skeyauthentication" => {
            "KbdInteractiveAuthentication"
        }
        "dsaauthentication" => "PubkeyAuthentication",
        "hostkeykeytypes" => "HostKeyAlgorithms",
        "identityfile2" => "IdentityFile",
        "keepalive" => "TCPKeepAlive",
        "pubkeyacceptedkeytypes" => "PubkeyAcceptedAlgorithms",
        _ => keyword,
    }
}

/// Looks a keyword up, whatever the case of its letters; `None` is one that we do not know.
pub(crate) fn lookup(keyword: &str) -> Option<(&'static str, Kind)> {
    let name = current_name(keyword);
    let is_it = |known: &str| known.eq_ignore_ascii_case(name);
    if let Some((name, kind)) = KEYWORDS.iter().find(|(known, _)| is_it(known)) {
        return Some((name, *kind));
    }
    let obsolete = OBSOLETE.iter().find(|known| is_it(known));
    obsolete.map(|known| (*known, Kind::Ignored))
}

/// Whether a keyword is known; else the one that is probably meant.
pub(crate) fn check_keyword(keyword: &str) -> Result<(), Option<&'static str>> {
    if lookup(keyword).is_some() {
        return Ok(());
    }
    let lower: Vec<String> = KEYWORDS
        .iter()
        .map(|(known, _)| known.to_lowercase())
        .collect();
    let near = nearest(&keyword.to_lowercase(), lower.iter().map(String::as_str));
    Err(near.and_then(lookup).map(|(known, _)| known))
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
                let again = found.insert(name.to_owned(), said.to_owned());
                assert_eq!(again, None, "{name} stands there twice");
            }
        }
        found
    }

    #[test]
    fn the_documentation_says_of_every_keyword_what_the_code_does() {
        let mut said = documented();
        said.remove("keyword");
        for name in ["Host", "Match", "Include"] {
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
