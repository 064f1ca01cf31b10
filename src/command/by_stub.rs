//! A command started by a client's Python: the same shell line as anywhere, over calls of functions that are sent when first needed.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::running::Pipe;
use crate::client::{Call, Client, Pending, Value};
use crate::error::Error;
use crate::process::{ExitStatus, ReadEvent};

/// Numbers of server threads from here on are those of commands, two each: one reads, one writes. No program counts so far by itself.
const THREADS: u32 = 1 << 30;
/// Commands that one process starts before numbers are used again.
const NUMBERS: u32 = 1 << 28;

/// Starts a shell line, which reads `control` first; nothing is waited for.
pub(super) fn start(client: &Client, line: &str, control: &[u8]) -> Pipe {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed) % NUMBERS;
    let command = Running {
        client: client.clone(),
        number,
    };
    client.send_helper(&crate::stub::functions::COMMANDS);
    let control = Value::Bytes(control.to_vec());
    let starting = command
        .call::<()>("start", 0, (number, line, control))
        .submitted();
    let reads = [command.read(), command.read()].into();
    let (client, number) = (client.clone(), number);
    Pipe::Client {
        writer: Writer(Running { client, number }),
        reader: Box::new(Reader {
            command,
            starting: Some(starting),
            reads,
            second: None,
            ended: false,
        }),
    }
}

/// A command by its number.
#[derive(Clone)]
struct Running {
    client: Client,
    number: u32,
}

/// What the stub says of a command: standard output, standard error, and how it ended; `None` where it is gone.
type Told = Option<(Value, Value, Option<i64>)>;

impl Running {
    fn thread(&self, which: u32) -> i32 {
        i32::try_from(THREADS + 2 * self.number + which).unwrap_or(i32::MAX)
    }

    fn call<R: serde::de::DeserializeOwned + Send + 'static>(
        &self,
        function: &str,
        which: u32,
        arguments: impl crate::pickle::Arguments,
    ) -> Call<R> {
        self.client
            .call(&format!("helpers/commands.{function}"), arguments)
            .thread(self.thread(which))
    }

    /// Submits one more read now, so that its answer needs no round trip when it is wanted.
    fn read(&self) -> Pending<Told> {
        self.call::<Told>("read", 0, (self.number,)).submitted()
    }
}

/// The input of a command.
pub(super) struct Writer(Running);

impl Writer {
    /// Writes all of it.
    pub(super) async fn write(&self, pieces: Vec<Bytes>) -> Result<(), Error> {
        for piece in pieces {
            let data = Value::Bytes(piece.to_vec());
            self.0.call::<()>("write", 1, (self.0.number, data)).await?;
        }
        Ok(())
    }
}

/// The output of a command; when it is dropped, the command's input ends, and with it the command.
pub(super) struct Reader {
    command: Running,
    starting: Option<Pending<()>>,
    reads: std::collections::VecDeque<Pending<Told>>,
    /// Standard error that came with standard output.
    second: Option<Bytes>,
    ended: bool,
}

impl Reader {
    /// The next event; `None` when nothing more will come. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Result<Option<ReadEvent>, Error> {
        if let Some(starting) = &mut self.starting {
            starting.as_mut().await?;
            self.starting = None;
        }
        if let Some(data) = self.second.take() {
            return Ok(Some(ReadEvent::Stderr(data)));
        }
        if self.ended {
            return Ok(None);
        }
        let Some(read) = self.reads.front_mut() else {
            return Ok(None);
        };
        let told = read.as_mut().await?;
        self.reads.pop_front();
        let Some((stdout, stderr, status)) = told else {
            self.ended = true;
            return Ok(None);
        };
        if let Some(status) = status {
            self.ended = true;
            return Ok(Some(ReadEvent::Exit(status_of(status))));
        }
        self.reads.push_back(self.command.read());
        let (stdout, stderr) = (bytes(stdout), bytes(stderr));
        if stdout.is_empty() {
            return Ok(Some(ReadEvent::Stderr(stderr)));
        }
        self.second = Some(stderr).filter(|stderr| !stderr.is_empty());
        Ok(Some(ReadEvent::Stdout(stdout)))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let command = self.command.clone();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // Then the connection's own end is what ends it.
            return;
        };
        runtime.spawn(async move {
            let ended = command
                .client
                .call::<()>("helpers/commands.end", (command.number,))
                .one_shot()
                .timeout(Duration::from_secs(10));
            // Where the connection is gone, so is the command.
            _ = ended.await;
            for which in 0..2 {
                command.client.stop_thread(command.thread(which));
            }
        });
    }
}

/// As Python's subprocess gives it: a signal is a negative number.
fn status_of(code: i64) -> ExitStatus {
    match i32::try_from(code) {
        Ok(code) if code < 0 => ExitStatus::of_signal(code.saturating_neg()),
        Ok(code) => ExitStatus::Code(code),
        Err(_) => ExitStatus::Unknown(format!("an exit status of {code}")),
    }
}

/// Bytes, which Python 2 sends as text where they are text.
fn bytes(value: Value) -> Bytes {
    match value {
        Value::Bytes(bytes) => bytes.into(),
        Value::Str(text) => text.into_bytes().into(),
        _ => Bytes::new(),
    }
}
