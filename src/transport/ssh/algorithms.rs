//! Which algorithms are offered: OpenSSH's lists with `+`, `-` and `^`, cut down to what russh has.

use std::borrow::Cow;

use russh::keys::{Algorithm, Certificate, PublicKey};
use russh::{Preferred, cipher, compression, kex, mac};

use crate::transport::ssh::config::settings::Settings;
use crate::transport::ssh::config::{Verdict, matches_list};

const CERTIFICATE_SUFFIX: &str = "-cert-v01@openssh.com";

const KEX: &[&str] = &[
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group14-sha256",
];
/// Offered only where the configuration names them.
const KEX_ON_DEMAND: &[&str] = &[
    "diffie-hellman-group15-sha512",
    "diffie-hellman-group17-sha512",
    "diffie-hellman-group14-sha1",
    "diffie-hellman-group-exchange-sha1",
    "diffie-hellman-group1-sha1",
];
/// These are not methods but say what we understand, and stand at the end whatever is configured.
const KEX_EXTENSIONS: &[kex::Name] = &[
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];
const CIPHERS: &[&str] = &[
    "aes256-gcm@openssh.com",
    "aes128-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
];
/// Those that authenticate what they encrypt, and use no MAC.
const AUTHENTICATED: &[&str] = &[
    "aes256-gcm@openssh.com",
    "aes128-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
];
const CIPHERS_ON_DEMAND: &[&str] = &["aes256-cbc", "aes192-cbc", "aes128-cbc"];
const MACS: &[&str] = &[
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
    "hmac-sha1-etm@openssh.com",
    "hmac-sha1",
];
const HOST_KEYS: &[&str] = &[
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];
const HOST_KEYS_ON_DEMAND: &[&str] = &["ssh-rsa-cert-v01@openssh.com", "ssh-rsa"];
const USER_KEYS: &[&str] = &[
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
];
const USER_KEYS_ON_DEMAND: &[&str] = &["ssh-rsa-cert-v01@openssh.com", "ssh-rsa"];
const CA_SIGNATURES: &[&str] = &[
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// Applies a configured list to the usual one. `more` holds what exists beside the usual ones.
fn apply<'a>(configured: Option<&str>, usual: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let Some(configured) = configured else {
        return usual.to_vec();
    };
    let all = || usual.iter().chain(more).copied();
    // Entries are patterns; each stands for what it matches, in our order.
    let expand = |list: &str| -> Vec<&'a str> {
        let mut found = Vec::new();
        for pattern in list.split(',') {
            for name in all() {
                if crate::transport::ssh::config::matches(name, pattern) && !found.contains(&name) {
                    found.push(name);
                }
            }
        }
        found
    };
    if let Some(added) = configured.strip_prefix('+') {
        let mut list = usual.to_vec();
        list.extend(
            expand(added)
                .into_iter()
                .filter(|name| !usual.contains(name)),
        );
        list
    } else if let Some(removed) = configured.strip_prefix('-') {
        usual
            .iter()
            .copied()
            .filter(|name| matches_list(name, removed) != Verdict::Match)
            .collect()
    } else if let Some(ahead) = configured.strip_prefix('^') {
        let mut list = expand(ahead);
        let rest: Vec<&str> = usual
            .iter()
            .copied()
            .filter(|name| !list.contains(name))
            .collect();
        list.extend(rest);
        list
    } else {
        expand(configured)
    }
}

/// What we offer to one server, in order: types of its recorded keys first, and certificates only where they
/// can be checked. The error names the keyword that leaves nothing.
pub(crate) fn preferred(
    settings: &Settings,
    recorded: &[&str],
    with_certificates: bool,
) -> Result<Preferred, String> {
    let none = |keyword: &str, configured: &Option<String>| {
        format!(
            "{keyword} '{}' leaves no algorithm that is supported here",
            configured.as_deref().unwrap_or_default()
        )
    };
    let mut kex: Vec<kex::Name> = apply(settings.kex_algorithms.as_deref(), KEX, KEX_ON_DEMAND)
        .into_iter()
        .filter_map(|name| kex::Name::try_from(name).ok())
        .collect();
    if kex.is_empty() {
        return Err(none("KexAlgorithms", &settings.kex_algorithms));
    }
    kex.extend_from_slice(KEX_EXTENSIONS);
    let mut cipher: Vec<cipher::Name> =
        apply(settings.ciphers.as_deref(), CIPHERS, CIPHERS_ON_DEMAND)
            .into_iter()
            .filter_map(|name| cipher::Name::try_from(name).ok())
            .collect();
    if cipher.is_empty() {
        return Err(none("Ciphers", &settings.ciphers));
    }
    let mac: Vec<mac::Name> = apply(settings.macs.as_deref(), MACS, &[])
        .into_iter()
        .filter_map(|name| mac::Name::try_from(name).ok())
        .collect();
    if mac.is_empty() {
        // A cipher that authenticates by itself needs none; no other is offered then.
        cipher.retain(|name| AUTHENTICATED.contains(&name.as_ref()));
        if cipher.is_empty() {
            return Err(none("MACs", &settings.macs));
        }
    }
    let (key, host_key_certificates) = host_keys(settings, recorded, with_certificates);
    if key.is_empty() && host_key_certificates.is_empty() {
        return Err(none("HostKeyAlgorithms", &settings.host_key_algorithms));
    }
    let compression: &[compression::Name] = if settings.compression {
        &[
            compression::ZLIB_LEGACY,
            compression::ZLIB,
            compression::NONE,
        ]
    } else {
        &[compression::NONE]
    };
    Ok(Preferred {
        kex: Cow::Owned(kex),
        key: Cow::Owned(key),
        host_key_certificates: Cow::Owned(host_key_certificates),
        cipher: Cow::Owned(cipher),
        mac: Cow::Owned(mac),
        compression: Cow::Owned(compression.to_vec()),
    })
}

/// Plain host key algorithms and those of certificates.
fn host_keys(
    settings: &Settings,
    recorded: &[&str],
    with_certificates: bool,
) -> (Vec<Algorithm>, Vec<Algorithm>) {
    let configured = settings.host_key_algorithms.as_deref();
    let names = apply(configured, HOST_KEYS, HOST_KEYS_ON_DEMAND);
    // A list that the user wrote out is used in the user's order.
    let reorder = configured.is_none_or(|list| list.starts_with(['+', '-']));
    let recorded = if reorder { recorded } else { &[] };
    let mut first = Vec::new();
    let mut last = Vec::new();
    let mut certificates = Vec::new();
    for name in names {
        if let Some(plain) = name.strip_suffix(CERTIFICATE_SUFFIX) {
            // Without an authority or a list to check it by, a certificate is worth no more than its plain key.
            if with_certificates && let Ok(algorithm) = Algorithm::new(plain) {
                certificates.push(algorithm);
            }
        } else if let Ok(algorithm) = Algorithm::new(name) {
            if recorded.contains(&key_type(name)) {
                first.push(algorithm);
            } else {
                last.push(algorithm);
            }
        }
    }
    first.extend(last);
    (first, certificates)
}

/// The type of the key that an algorithm's signatures are made with.
fn key_type(algorithm: &str) -> &str {
    match algorithm {
        "rsa-sha2-512" | "rsa-sha2-256" => "ssh-rsa",
        other => other,
    }
}

/// Whether an authority's signature is made by an algorithm that counts.
pub(crate) fn ca_signature_allowed(settings: &Settings, certificate: &Certificate) -> bool {
    let allowed = apply(
        settings.ca_signature_algorithms.as_deref(),
        CA_SIGNATURES,
        &["ssh-rsa"],
    );
    allowed.contains(&certificate.signature().algorithm().as_str())
}

/// Why an RSA key counts for nothing: it has fewer bits than RequiredRSASize asks for.
pub(crate) fn too_short(settings: &Settings, key: &PublicKey) -> Option<String> {
    let bits = key.key_data().rsa()?.key_size();
    let least = settings.required_rsa_size;
    (bits < least).then(|| format!("RSA of {bits} bits, RequiredRSASize is {least}"))
}

/// Whether an algorithm of any kind is one that we could use if the configuration named it.
pub(crate) fn is_supported(name: &str) -> bool {
    [
        KEX,
        KEX_ON_DEMAND,
        CIPHERS,
        CIPHERS_ON_DEMAND,
        MACS,
        HOST_KEYS,
        HOST_KEYS_ON_DEMAND,
    ]
    .iter()
    .any(|list| list.contains(&name))
}

/// Signature algorithms that may be used for user keys.
pub(crate) fn user_key_algorithms(settings: &Settings) -> Vec<&'static str> {
    apply(
        settings.pubkey_algorithms.as_deref(),
        USER_KEYS,
        USER_KEYS_ON_DEMAND,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_replaced_extended_cut_and_reordered() {
        let usual = &["a", "b", "c"];
        let more = &["d", "e1", "e2"];
        let cases: &[(Option<&str>, &[&str])] = &[
            (None, &["a", "b", "c"]),
            (Some("c,a"), &["c", "a"]),
            (Some("c,zz"), &["c"]),
            (Some("+d"), &["a", "b", "c", "d"]),
            (Some("+e*,b"), &["a", "b", "c", "e1", "e2"]),
            (Some("-b"), &["a", "c"]),
            (Some("-*"), &[]),
            (Some("^c"), &["c", "a", "b"]),
            (Some("^d"), &["d", "a", "b", "c"]),
        ];
        for (configured, expected) in cases {
            assert_eq!(apply(*configured, usual, more), *expected, "{configured:?}");
        }
    }

    #[test]
    fn every_name_is_known_to_russh() {
        for name in KEX.iter().chain(KEX_ON_DEMAND) {
            assert!(kex::Name::try_from(*name).is_ok(), "{name}");
        }
        for name in CIPHERS.iter().chain(CIPHERS_ON_DEMAND) {
            assert!(cipher::Name::try_from(*name).is_ok(), "{name}");
        }
        for name in MACS {
            assert!(mac::Name::try_from(*name).is_ok(), "{name}");
        }
    }
}
