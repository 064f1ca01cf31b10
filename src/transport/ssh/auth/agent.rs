//! What keys an agent holds. russh asks too, but one entry that it cannot read costs it the whole list.

use std::io;
use std::path::Path;

use russh::keys::agent::AgentIdentity;
use russh::keys::key::parse_public_key;
use russh::keys::{Certificate, ssh_key};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::error::printable;

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
/// The longest answer that is read, in bytes, and the most keys in it; both as in OpenSSH.
const ANSWER: usize = 256 * 1024;
const IDENTITIES: u32 = 2048;

/// What an agent holds, and what of it cannot be used.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) identities: Vec<AgentIdentity>,
    /// What was skipped, and why.
    pub(crate) notes: Vec<String>,
}

/// The way to an agent: a socket in the file system, on Windows a pipe with a name.
#[cfg(unix)]
pub(crate) type Stream = tokio::net::UnixStream;
#[cfg(not(unix))]
pub(crate) type Stream = tokio::net::windows::named_pipe::NamedPipeClient;

/// Connects to the agent of this path.
///
/// # Errors
/// As the system says it: nothing is there, or nobody listens.
#[cfg(unix)]
pub(crate) async fn connect(path: &Path) -> io::Result<Stream> {
    Stream::connect(path).await
}

#[cfg(not(unix))]
pub(crate) async fn connect(path: &Path) -> io::Result<Stream> {
    tokio::net::windows::named_pipe::ClientOptions::new().open(path)
}

/// Asks the agent at the other end of `stream`.
///
/// # Errors
/// The stream is broken, or what answers is not an agent.
pub(crate) async fn identities(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> io::Result<Held> {
    stream.write_all(&[0, 0, 0, 1, REQUEST_IDENTITIES]).await?;
    let length = stream.read_u32().await? as usize;
    if length > ANSWER {
        return Err(io::Error::other("its answer is too long"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    read(&answer).ok_or_else(|| io::Error::other("its answer is broken"))
}

fn read(answer: &[u8]) -> Option<Held> {
    let (kind, rest) = answer.split_first()?;
    let mut held = Held::default();
    if *kind != IDENTITIES_ANSWER {
        // It refuses, which is as good as holding none.
        held.notes.push("it refuses to list its keys".to_owned());
        return Some(held);
    }
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    for _ in 0..u32::from_be_bytes(*count).min(IDENTITIES) {
        let (key, comment);
        (key, rest) = string(rest)?;
        (comment, rest) = string(rest)?;
        let comment = String::from_utf8_lossy(comment).into_owned();
        match identity(key, comment) {
            Ok(identity) => held.identities.push(identity),
            Err(note) => held.notes.push(note),
        }
    }
    Some(held)
}

fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn identity(blob: &[u8], comment: String) -> Result<AgentIdentity, String> {
    let unusable = |error: &dyn std::fmt::Display| {
        format!("its key '{}' cannot be used: {error}", printable(&comment))
    };
    // It looks at how deep certificates are nested before it reads any.
    let key = parse_public_key(blob).map_err(|error| unusable(&error))?;
    let name = string(blob).map(|(name, _)| name).unwrap_or_default();
    if name.ends_with(b"-cert-v01@openssh.com") {
        let read: Result<Certificate, ssh_key::Error> = Certificate::from_bytes(blob);
        let certificate = read.map_err(|error| unusable(&error))?;
        return Ok(AgentIdentity::Certificate {
            certificate,
            comment,
        });
    }
    Ok(AgentIdentity::PublicKey { key, comment })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_answer_is_none() {
        assert!(read(&[]).is_none());
        assert!(read(&[IDENTITIES_ANSWER, 0, 0, 0]).is_none());
        assert!(read(&[IDENTITIES_ANSWER, 0, 0, 0, 1, 0, 0, 0, 9]).is_none());
        let none = read(&[IDENTITIES_ANSWER, 0, 0, 0, 0]).unwrap();
        assert!(none.identities.is_empty() && none.notes.is_empty());
        assert_eq!(read(&[5]).unwrap().notes.len(), 1);
        let odd = [
            IDENTITIES_ANSWER,
            0,
            0,
            0,
            1,
            0,
            0,
            0,
            1,
            0,
            0,
            0,
            0,
            1,
            0xff,
        ];
        assert_eq!(read(&odd).unwrap().notes.len(), 1);
    }
}
