//! The text of a private key: of a file, or of an environment variable that a CI job has it in.

use std::io;
use std::path::Path;

use data_encoding::BASE64;

use crate::files::read_at_most;
use crate::spec::key_variable;

/// A file with a key or a certificate holds no more than this, in OpenSSH as well.
pub(crate) const MAX_KEY_FILE: u64 = 1 << 20;

/// The text of the key at `path`. A variable (`env:NAME`) may have it as it is, in one line, or in base64 once more; it is never
/// written to a file.
///
/// # Errors
/// What the system says of a file; a variable that is not set, or holds no key.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let Some(name) = key_variable(path) else {
        return of_file(path);
    };
    let value = std::env::var_os(name).filter(|value| !value.is_empty());
    let value = value.ok_or_else(|| {
        let text = format!("the environment variable {name} is not set");
        io::Error::new(io::ErrorKind::NotFound, text)
    })?;
    value.to_str().and_then(in_lines).ok_or_else(|| {
        let text = format!("the environment variable {name} holds no private key");
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

/// The text of a file with a key or a certificate.
pub(super) fn of_file(path: &Path) -> io::Result<String> {
    let bytes = read_at_most(path, MAX_KEY_FILE)?;
    String::from_utf8(bytes).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "it holds no text, and so no key",
        )
    })
}

/// A key in the lines that its format has, whatever a secret store has made of them. None: this is no private key.
fn in_lines(value: &str) -> Option<String> {
    let value = value.trim().trim_matches(['"', '\'']);
    let decoded = if value.contains("-----BEGIN ") {
        value.to_owned()
    } else {
        let digits: String = value.split_whitespace().collect();
        String::from_utf8(BASE64.decode(digits.as_bytes()).ok()?).ok()?
    };
    let text = decoded.replace("\\r", "").replace("\\n", "\n");
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (kind, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once(&format!("-----END {kind}-----"))?;
    // Header lines of the old format, which say how it is encrypted, end at an empty line.
    let body = body.replace('\r', "");
    let (headers, body) = match body.split_once("\n\n") {
        Some((headers, body)) if headers.contains(':') => (format!("{}\n\n", headers.trim()), body),
        _ => (String::new(), body.as_str()),
    };
    let digits: Vec<char> = body
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .collect();
    let width = if kind.contains("OPENSSH") { 70 } else { 64 };
    let lines: Vec<String> = digits
        .chunks(width)
        .map(|line| line.iter().collect())
        .collect();
    Some(format!(
        "-----BEGIN {kind}-----\n{headers}{}\n-----END {kind}-----\n",
        lines.join("\n")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_however_a_secret_store_keeps_it() {
        let body: String = "b3BlbnNzaC1rZXkt".repeat(12);
        let lines: Vec<&str> = [0..70, 70..140, 140..192].map(|part| &body[part]).to_vec();
        let key = format!(
            "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
            lines.join("\n")
        );
        let twice = BASE64.encode(key.as_bytes());
        let wrapped: Vec<String> = twice
            .as_bytes()
            .chunks(60)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        for kept in [
            key.clone(),
            key.trim().to_owned(),
            key.replace('\n', "\r\n"),
            key.replace('\n', "\\n"),
            key.replace('\n', " "),
            key.replace('\n', ""),
            format!("\"{key}\""),
            twice.clone(),
            wrapped.join("\n"),
        ] {
            assert_eq!(in_lines(&kept).as_deref(), Some(key.as_str()), "{kept}");
        }
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nQUJD\n-----END RSA PRIVATE KEY-----\n";
        assert_eq!(in_lines(old).as_deref(), Some(old));
        for wrong in ["", "s3cret", "QUJD", "-----BEGIN X-----\nQUJD"] {
            assert_eq!(in_lines(wrong), None, "{wrong}");
        }
    }
}
