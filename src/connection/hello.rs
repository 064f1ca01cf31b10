//! The two HELLOs: what this side says of itself, and what the stub does.

use bytes::Bytes;
use serde::Serialize;

use crate::error::{Error, one_line};
use crate::pickle::{self, Document, Plain};
use crate::session::{OUTPUT_WINDOW, PROTOCOL};
use crate::spec::ConnectionSpec;

use super::options::{ConnectOptions, Peer};

/// What the stub said of itself (ME-2). In its texts, what would act on a terminal is escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hello {
    /// Python's version: major, minor, micro.
    pub python: (u32, u32, u32),
    /// `cpython` or `pypy`.
    pub implementation: String,
    /// `sys.platform`.
    pub platform: String,
    /// The remote process's number.
    pub pid: i64,
    /// The highest pickle protocol it reads.
    pub pickle: u8,
    /// The path of the interpreter.
    pub executable: String,
}

impl Hello {
    /// The version as Python writes it, such as `3.11.7`.
    pub fn python_version(&self) -> String {
        let (major, minor, micro) = self.python;
        format!("{major}.{minor}.{micro}")
    }

    /// Reads the stub's HELLO.
    pub(super) fn decode(payload: Bytes) -> Result<Hello, String> {
        let payload = payload.into();
        let fields = Document::read(&payload).and_then(|hello| hello.decode_readable());
        let fields = fields.map_err(|error| error.to_string())?;
        let text = |key: &str| one_line(&fields.text(key));
        let number = |key: &str| fields.get(key).and_then(Plain::as_i64);
        let protocol = number("protocol");
        if protocol != Some(i64::from(PROTOCOL)) {
            return Err(format!(
                "version: the stub speaks protocol {protocol:?}, this side {PROTOCOL}"
            ));
        }
        let mut version = fields
            .get("python")
            .and_then(Plain::as_slice)
            .unwrap_or_default()
            .iter()
            .map(|part| {
                part.as_i64()
                    .and_then(|n| u32::try_from(n).ok())
                    .unwrap_or(0)
            });
        let mut part = || version.next().unwrap_or(0);
        Ok(Hello {
            python: (part(), part(), part()),
            implementation: text("implementation"),
            platform: text("platform"),
            pid: number("pid").unwrap_or(0),
            pickle: number("pickle")
                .and_then(|n| u8::try_from(n).ok())
                .unwrap_or(2),
            executable: text("executable"),
        })
    }
}

#[derive(Serialize)]
struct ClientHello<'a> {
    protocol: u32,
    peer: &'static str,
    pickle: u8,
    compress: bool,
    definitions: &'a str,
    window: u32,
    version: &'static str,
}

/// Makes this side's HELLO (ME-1).
pub(super) fn client_hello(
    spec: &ConnectionSpec,
    options: &ConnectOptions,
) -> Result<Vec<u8>, Error> {
    let (peer, pickle) = match options.peer {
        Peer::Rust => ("rust", 3),
        Peer::Python { pickle } => ("python", pickle),
    };
    let hello = ClientHello {
        protocol: PROTOCOL,
        peer,
        pickle,
        compress: spec.compress.unwrap_or(false),
        definitions: &options.definitions,
        window: OUTPUT_WINDOW,
        version: env!("CARGO_PKG_VERSION"),
    };
    pickle::encode(&hello, 2).map_err(|error| Error::Convert(error.to_string()))
}
