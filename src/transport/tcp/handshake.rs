//! The handshake on a live socket: reads exactly what each step announces, within a time limit.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::transport::tcp::link::LinkError;
use crate::wire::authentication::{
    AuthenticationError, Client, Fresh, HELLO, Opener, PROOF, REFUSAL, Refusal, Sealer, Server,
    Step,
};

/// How long a refused side may take to stop sending.
const REFUSAL_GRACE: Duration = Duration::from_millis(500);

/// Randomness from the operating system.
fn fresh() -> Result<Fresh, LinkError> {
    let mut fresh = Fresh {
        nonce: [0; 32],
        secret: [0; 32],
    };
    getrandom::fill(&mut fresh.nonce)
        .and_then(|()| getrandom::fill(&mut fresh.secret))
        .map_err(|error| {
            io::Error::other(format!(
                "the operating system provides no random numbers: {error}"
            ))
        })?;
    Ok(fresh)
}

/// Reads the tag of the next step; a refusal ends the handshake.
async fn expect(stream: &mut TcpStream, wanted: Step) -> Result<(), LinkError> {
    let mut tag = [0; 4];
    stream.read_exact(&mut tag).await.map_err(cut)?;
    match Step::from_tag(tag)? {
        step if step == wanted => Ok(()),
        Step::Refusal => {
            let mut bytes = [0; REFUSAL];
            let (head, rest) = bytes.split_at_mut(4);
            head.copy_from_slice(&tag);
            stream.read_exact(rest).await.map_err(cut)?;
            Err(AuthenticationError::Refused(Refusal::decode(&bytes)?).into())
        }
        _ => Err(AuthenticationError::NotOurs.into()),
    }
}

fn cut(error: io::Error) -> LinkError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => LinkError::Truncated,
        _ => LinkError::Io(error),
    }
}

async fn hello(stream: &mut TcpStream) -> Result<[u8; HELLO], LinkError> {
    expect(stream, Step::Hello).await?;
    let mut bytes = [0; HELLO];
    let (head, rest) = bytes.split_at_mut(4);
    head.copy_from_slice(&crate::wire::authentication::HELLO_TAG);
    stream.read_exact(rest).await.map_err(cut)?;
    Ok(bytes)
}

async fn proof(stream: &mut TcpStream) -> Result<[u8; PROOF], LinkError> {
    expect(stream, Step::Proof).await?;
    let mut bytes = [0; PROOF];
    let (head, rest) = bytes.split_at_mut(4);
    head.copy_from_slice(&crate::wire::authentication::PROOF_TAG);
    stream.read_exact(rest).await.map_err(cut)?;
    Ok(bytes)
}

/// The client's first half: both hellos. Gives what `prove` needs.
pub(crate) async fn greet(
    stream: &mut TcpStream,
    key: &[u8],
) -> Result<(Client, [u8; HELLO]), LinkError> {
    let (client, bytes) = Client::start(key, fresh()?);
    stream.write_all(&bytes).await?;
    Ok((client, hello(stream).await?))
}

/// The client's second half: both proofs. `first` are contents to seal and send right behind the
/// proof, because nothing is gained by waiting.
pub(crate) async fn prove(
    stream: &mut TcpStream,
    client: Client,
    server_hello: &[u8; HELLO],
    first: &[Vec<u8>],
) -> Result<(Sealer, Opener), LinkError> {
    let (proved, bytes, mut sealer) = client.server_hello(server_hello)?;
    let mut out = bytes.to_vec();
    for content in first {
        sealer.seal(&[content], &mut out)?;
    }
    stream.write_all(&out).await?;
    let opener = proved.server_proof(&proof(stream).await?)?;
    Ok((sealer, opener))
}

/// The server's side. On an error that the client should know of, it is sent to the client before it is
/// returned.
pub(crate) async fn accept(
    stream: &mut TcpStream,
    key: &[u8],
) -> Result<(Sealer, Opener), LinkError> {
    let result = answer(stream, key).await;
    let refusal = match &result {
        Err(LinkError::Authentication(AuthenticationError::Version { .. })) => Refusal::Version,
        Err(LinkError::Authentication(AuthenticationError::Proof)) => Refusal::Proof,
        _ => return result,
    };
    refuse(stream, refusal).await;
    result
}

async fn answer(stream: &mut TcpStream, key: &[u8]) -> Result<(Sealer, Opener), LinkError> {
    let client_hello = hello(stream).await?;
    let (server, bytes) = Server::answer(key, fresh()?, &client_hello)?;
    stream.write_all(&bytes).await?;
    let (bytes, sealer, opener) = server.client_proof(&proof(stream).await?)?;
    stream.write_all(&bytes).await?;
    Ok((sealer, opener))
}

/// Tells a stranger why, as far as that works at once, and ends the connection. Six bytes fit any
/// socket's buffer, so nothing is waited for; what the stranger goes on sending is read for a
/// moment, because a socket closed over unread bytes takes the refusal back.
pub(crate) async fn refuse(stream: &mut TcpStream, refusal: Refusal) {
    let _ = stream.try_write(&refusal.encode());
    let _ = stream.shutdown().await;
    let _ = tokio::time::timeout(REFUSAL_GRACE, async {
        let mut rest = [0; 4096];
        for _ in 0..64 {
            if !matches!(stream.read(&mut rest).await, Ok(1..)) {
                break;
            }
        }
    })
    .await;
}
