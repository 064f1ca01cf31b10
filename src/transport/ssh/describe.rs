//! russh's errors in words that say what happened to a connection.

use crate::error::printable;

/// A text for people, such as a banner, that is not UTF-8 (docs/upstream-russh.md).
pub(crate) const NOT_UTF8: &str = "a text of the server (a banner, a question or a reason) is not UTF-8, which cannot be read here";

fn is_text_error(error: &russh::keys::ssh_encoding::Error) -> bool {
    matches!(error, russh::keys::ssh_encoding::Error::CharacterEncoding)
}

/// russh's errors in words that say what happened to the connection.
pub(crate) fn describe(error: &russh::Error) -> String {
    match error {
        russh::Error::HUP => "the server closed the connection".to_owned(),
        russh::Error::Disconnect => "the connection was closed".to_owned(),
        russh::Error::KeepaliveTimeout => {
            "the server is silent: it left every keep-alive without an answer".to_owned()
        }
        russh::Error::IO(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the server closed the connection".to_owned()
        }
        russh::Error::IO(error) => format!("the connection broke: {error}"),
        russh::Error::SshEncoding(error) if is_text_error(error) => NOT_UTF8.to_owned(),
        russh::Error::Version => "the other side does not speak SSH 2".to_owned(),
        russh::Error::NoCommonAlgo { kind, ours, theirs } => {
            let kind = match kind {
                russh::AlgorithmKind::Kex => "key exchange method (KexAlgorithms)",
                russh::AlgorithmKind::Key => "host key algorithm (HostKeyAlgorithms)",
                russh::AlgorithmKind::Cipher => "cipher (Ciphers)",
                russh::AlgorithmKind::Compression => "compression",
                russh::AlgorithmKind::Mac => "MAC (MACs)",
            };
            format!(
                "no common {kind}: the server offers {}, we offer {}",
                printable(&theirs.join(",")),
                ours.join(",")
            )
        }
        other => printable(&other.to_string()),
    }
}

/// Why the server says that it ended the connection.
pub(crate) fn disconnect(message: &str) -> String {
    format!("the server ended the connection: {}", printable(message))
}

/// That we ended it, because of what the server did.
pub(crate) fn misbehaves(what: &str) -> String {
    format!("the connection was cut off: the server misbehaves, {what}")
}

/// The name of the signal that ended a process.
pub(crate) fn signal(signal: &russh::Sig) -> String {
    match signal {
        russh::Sig::Custom(name) => printable(name),
        known => format!("{known:?}"),
    }
}
