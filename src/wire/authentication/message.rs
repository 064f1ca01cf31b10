//! What sealed frames carry: one kind byte and its body (AU-14, AU-15).

use super::{AuthenticationError, SEALED_MAX};

/// Bytes of DATA and STDERR that may be under way in one direction without being returned by
/// CREDIT.
pub const WINDOW: u32 = 4_194_304;
/// The longest command line that OPEN may carry, in bytes. Linux takes one argument of this size
/// at most.
pub const COMMAND_MAX: usize = 131_071;

const OPEN: u8 = 0x01;
const OPENED: u8 = 0x02;
const DATA: u8 = 0x03;
const STDERR: u8 = 0x04;
const END: u8 = 0x05;
const EXIT: u8 = 0x06;
const CREDIT: u8 = 0x07;
const PING: u8 = 0x08;
const PONG: u8 = 0x09;
const ERROR: u8 = 0x0a;
const CLOSE: u8 = 0x0b;

const FIELD_COMMAND: u8 = 1;
const FIELD_VERSION: u8 = 2;
const FIELD_PROCESS: u8 = 3;

/// What the client wants run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// The command line, for `/bin/sh -c`.
    pub command: String,
    /// The client's release.
    pub version: String,
}

/// What the server started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The server's release.
    pub version: String,
    /// The process id of the command on the server's machine.
    pub process: u32,
}

/// How the command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Status(i32),
    /// By this signal, by name without `SIG`, because numbers differ between systems.
    Signal(String),
    /// How is not known.
    Unknown,
}

/// The content of one sealed frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Client: run this. Its first message, sent once.
    Open(Open),
    /// Server: it runs.
    Opened(Opened),
    /// Client: standard input. Server: standard output.
    Data(&'a [u8]),
    /// Server: standard error.
    Stderr(&'a [u8]),
    /// No more DATA in this direction.
    End,
    /// Server: the command has ended; nothing follows but CLOSE.
    Exit(Exit),
    /// So many bytes of the receiver's DATA and STDERR have been taken.
    Credit(u32),
    /// Asks for a sign of life.
    Ping,
    /// The answer to PING.
    Pong,
    /// A sentence that says why this is the end.
    Error(&'a str),
    /// The orderly end of this direction. Without it, or ERROR, the end of input is an error.
    Close,
}

fn field(kind: u8, value: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(value);
}

/// Takes `(kind, value)` fields off a body. Kinds that are not known are the caller's to skip.
fn fields(mut body: &[u8]) -> Result<Vec<(u8, &[u8])>, AuthenticationError> {
    let mut found = Vec::new();
    while let Some((kind, rest)) = body.split_first() {
        let (length, rest) = rest
            .split_first_chunk::<4>()
            .ok_or(AuthenticationError::Malformed("a field without a length"))?;
        let (value, rest) = rest
            .split_at_checked(u32::from_be_bytes(*length) as usize)
            .ok_or(AuthenticationError::Malformed("a field that is cut off"))?;
        found.push((*kind, value));
        body = rest;
    }
    Ok(found)
}

fn text(bytes: &[u8]) -> Result<&str, AuthenticationError> {
    std::str::from_utf8(bytes).map_err(|_| AuthenticationError::Malformed("text that is not UTF-8"))
}

fn number(bytes: &[u8]) -> Result<u32, AuthenticationError> {
    bytes
        .try_into()
        .map(u32::from_be_bytes)
        .map_err(|_| AuthenticationError::Malformed("a number that is not of four bytes"))
}

impl<'a> Message<'a> {
    /// The head of the message; DATA, STDERR and ERROR have their body behind it (see `body`), so
    /// that bulk data is copied once, into the sealed frame.
    pub fn head(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16);
        match self {
            Message::Open(open) => {
                out.push(OPEN);
                field(FIELD_COMMAND, open.command.as_bytes(), &mut out);
                field(FIELD_VERSION, open.version.as_bytes(), &mut out);
            }
            Message::Opened(opened) => {
                out.push(OPENED);
                field(FIELD_VERSION, opened.version.as_bytes(), &mut out);
                field(FIELD_PROCESS, &opened.process.to_be_bytes(), &mut out);
            }
            Message::Data(_) => out.push(DATA),
            Message::Stderr(_) => out.push(STDERR),
            Message::End => out.push(END),
            Message::Exit(exit) => {
                out.push(EXIT);
                match exit {
                    Exit::Status(status) => {
                        out.push(0);
                        out.extend_from_slice(&status.to_be_bytes());
                    }
                    Exit::Signal(name) => {
                        out.push(1);
                        out.extend_from_slice(name.as_bytes());
                    }
                    Exit::Unknown => out.push(2),
                }
            }
            Message::Credit(bytes) => {
                out.push(CREDIT);
                out.extend_from_slice(&bytes.to_be_bytes());
            }
            Message::Ping => out.push(PING),
            Message::Pong => out.push(PONG),
            Message::Error(_) => out.push(ERROR),
            Message::Close => out.push(CLOSE),
        }
        out
    }

    /// The bytes behind the head.
    pub fn body(&self) -> &'a [u8] {
        match self {
            Message::Data(bytes) | Message::Stderr(bytes) => bytes,
            Message::Error(sentence) => sentence.as_bytes(),
            _ => &[],
        }
    }

    /// The most bytes that one DATA or STDERR carries.
    pub const DATA_MAX: usize = SEALED_MAX - 1;

    /// Reads the content of a frame that has been authenticated.
    pub fn decode(content: &'a [u8]) -> Result<Self, AuthenticationError> {
        let (kind, body) = content
            .split_first()
            .ok_or(AuthenticationError::Malformed("an empty frame"))?;
        let bare = |message| match body {
            [] => Ok(message),
            _ => Err(AuthenticationError::Malformed(
                "bytes behind a bare message",
            )),
        };
        match *kind {
            OPEN => {
                let mut open = Open::default();
                for (kind, value) in fields(body)? {
                    match kind {
                        FIELD_COMMAND if value.len() > COMMAND_MAX => {
                            return Err(AuthenticationError::Malformed("a command too long"));
                        }
                        FIELD_COMMAND => open.command = text(value)?.to_owned(),
                        FIELD_VERSION => open.version = text(value)?.to_owned(),
                        _ => {}
                    }
                }
                if open.command.is_empty() || open.command.contains('\0') {
                    return Err(AuthenticationError::Malformed("no command to run"));
                }
                Ok(Message::Open(open))
            }
            OPENED => {
                let mut opened = Opened::default();
                for (kind, value) in fields(body)? {
                    match kind {
                        FIELD_VERSION => opened.version = text(value)?.to_owned(),
                        FIELD_PROCESS => opened.process = number(value)?,
                        _ => {}
                    }
                }
                Ok(Message::Opened(opened))
            }
            DATA => Ok(Message::Data(body)),
            STDERR => Ok(Message::Stderr(body)),
            END => bare(Message::End),
            EXIT => match body {
                [0, a, b, c, d] => Ok(Message::Exit(Exit::Status(i32::from_be_bytes([
                    *a, *b, *c, *d,
                ])))),
                [1, name @ ..] if name.len() <= 32 => {
                    Ok(Message::Exit(Exit::Signal(text(name)?.to_owned())))
                }
                [2] => Ok(Message::Exit(Exit::Unknown)),
                _ => Err(AuthenticationError::Malformed("an exit without a status")),
            },
            CREDIT => Ok(Message::Credit(number(body)?)),
            PING => bare(Message::Ping),
            PONG => bare(Message::Pong),
            ERROR => Ok(Message::Error(text(body)?)),
            CLOSE => bare(Message::Close),
            _ => Err(AuthenticationError::Malformed("an unknown kind")),
        }
    }
}
