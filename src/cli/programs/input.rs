//! Our standard input for the programs on the hosts: to one as it comes, or to each a copy.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::cli::terminal::failure::Failure;
use crate::command::CommandInput;
use crate::files::rest_at_most;

/// Who gets what we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Input {
    /// The only host of the command, as it comes
    One,
    /// Each host, a copy; all of it is read first
    All,
    /// Nobody: it is empty
    None,
}

/// How much is read at once, in bytes.
const READ: usize = 64 * 1024;

/// The longest input that is read as a whole, in bytes; what never ends would fill the memory.
const MOST: u64 = 1 << 30;

/// The input of a command's hosts.
#[derive(Clone)]
pub(crate) enum Source {
    Nothing,
    /// A copy for each.
    Copy(Bytes),
    /// For the one host, which takes it out.
    Live(Arc<Mutex<Option<mpsc::Receiver<io::Result<Bytes>>>>>),
}

impl Input {
    /// Refuses what makes no sense, and gives what so many hosts are to get: nobody waits for stdin where no host is left.
    ///
    /// # Errors
    ///
    /// Where `one` has several hosts to go to, or stdin holds something else already, whose name is `taken`.
    pub(crate) fn checked(self, hosts: usize, taken: Option<&str>) -> Result<Input, Failure> {
        if self == Input::None {
            return Ok(self);
        }
        if let Some(taken) = taken {
            return Err(Failure::usage(format!(
                "stdin cannot hold {taken} and the program's input"
            ))
            .with_hint(format!("put {taken} into a file, or leave out --stdin")));
        }
        if self == Input::One && hosts > 1 {
            return Err(Failure::usage(format!(
                "--stdin one with {hosts} hosts: whose would it be?"
            ))
            .with_hint("--stdin all gives each host a copy"));
        }
        Ok(if hosts == 0 { Input::None } else { self })
    }

    /// All of it, where there is any.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, or has no end within [`MOST`] bytes.
    pub(crate) fn read_all(self) -> Result<Bytes, Failure> {
        match self {
            Input::None => Ok(Bytes::new()),
            _ => whole(io::stdin().lock(), MOST),
        }
    }

    /// Where hosts take it from: the one host's is read while the program runs.
    ///
    /// # Errors
    ///
    /// As [`Self::read_all`].
    pub(crate) fn source(self) -> Result<Source, Failure> {
        Ok(match self {
            Input::None => Source::Nothing,
            Input::All => Source::Copy(self.read_all()?),
            Input::One => {
                let (sender, receiver) = mpsc::channel(1);
                // It ends with the process, as nothing else ends a read of a terminal.
                std::thread::spawn(move || {
                    let mut buffer = vec![0; READ];
                    loop {
                        let read = io::stdin().read(&mut buffer).map(|count| {
                            Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default())
                        });
                        let is_last = read.as_ref().is_ok_and(Bytes::is_empty);
                        if is_last || sender.blocking_send(read).is_err() {
                            break;
                        }
                    }
                });
                Source::Live(Arc::new(Mutex::new(Some(receiver))))
            }
        })
    }
}

/// All of an input, if it is not longer than `most` bytes.
fn whole(input: impl Read, most: u64) -> Result<Bytes, Failure> {
    let mut all = Vec::new();
    rest_at_most(input, most, &mut all).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => Failure::usage(format!(
            "stdin holds more than {} MiB, the most that is read to its end for hosts",
            most >> 20
        ))
        .with_hint(
            "`easycluster copy` takes files of any size there; `exec --stdin one` passes on to one host what comes, without a limit",
        ),
        _ => Failure::here(format!("cannot read stdin: {error}")),
    })?;
    Ok(all.into())
}

impl Source {
    /// Passes on what is read until the end, or until the command takes no more.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, which is no end: what came is not all that there was.
    pub(crate) async fn feed(&self, input: &CommandInput) -> io::Result<()> {
        let Source::Live(place) = self else {
            return Ok(());
        };
        let taken = place.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut pieces) = taken else {
            return Ok(());
        };
        while let Some(piece) = pieces.recv().await {
            if input.write(piece?).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use super::whole;

    #[test]
    fn an_input_is_read_to_its_end_within_a_limit() {
        let read = |input: &[u8]| whole(input, 1 << 20);
        let most = vec![b'y'; 1 << 20];
        assert_eq!(read(&most).ok().as_deref(), Some(&most[..]));
        let failure = read(&[&most[..], b"y"].concat()).expect_err("too long");
        assert!(failure.message.contains("more than 1 MiB"));
        assert!(whole(io::repeat(b'y'), 1 << 20).is_err());
        assert!(whole(io::repeat(b'y').take(3), 3).is_ok());
    }
}
