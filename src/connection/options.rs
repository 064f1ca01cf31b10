//! How to connect: what the connection spec leaves open.

use std::sync::Arc;

use bytes::Bytes;

use crate::session::SessionConfig;
use crate::spec::ConnectionSpec;
use crate::stub;
use crate::transport::TransportOptions;

use super::output::OutputSink;

/// Who pickles on this side; the stub answers in kind (ME-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// serde-pickle: plain data, references as tagged tuples.
    Rust,
    /// CPython's pickle, which reads protocols up to this one.
    Python {
        /// The highest pickle protocol.
        pickle: u8,
    },
}

/// Options of a connection, with sensible defaults.
#[derive(Clone)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Time limits, the observer and the prompter.
    pub transport: TransportOptions,
    /// The module that calls are looked up in first.
    pub definitions: String,
    /// Who pickles on this side: serde-pickle, but for the Python package.
    #[doc(hidden)]
    pub peer: Peer,
    /// Who takes what remote code prints; by default it goes to this process's stdout and stderr.
    pub output: OutputSink,
    /// What is notified of classes that references will name (ME-7, Python peers); called on the
    /// runtime's thread, before the answer that names the class.
    #[doc(hidden)]
    pub classes: Option<ClassSink>,
    /// The longest result taken, in bytes, where the spec says nothing (`max_result=`); without both, half of the memory that
    /// this process may use. A longer one is that call's [`Error::TooLarge`](crate::Error::TooLarge).
    pub max_result: Option<u64>,
}

/// Takes the payload of a CLASS frame.
pub type ClassSink = Arc<dyn Fn(Bytes) + Send + Sync>;

/// The definitions module where nothing else is said.
pub(super) const DEFINITIONS: &str = "easycluster.remote_code";

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions {
            transport: TransportOptions::default(),
            definitions: DEFINITIONS.to_owned(),
            peer: Peer::Rust,
            output: OutputSink::inherit(),
            classes: None,
            max_result: None,
        }
    }
}

impl ConnectOptions {
    /// The same with other time limits, observer and prompter.
    #[must_use]
    pub fn with_transport(mut self, transport: TransportOptions) -> Self {
        self.transport = transport;
        self
    }

    /// The same with another module that calls are looked up in first.
    #[must_use]
    pub fn with_definitions(mut self, module: impl Into<String>) -> Self {
        self.definitions = module.into();
        self
    }

    /// The same with another taker of what remote code prints.
    #[must_use]
    pub fn with_output(mut self, output: OutputSink) -> Self {
        self.output = output;
        self
    }

    /// The same with another limit for results, in bytes.
    #[must_use]
    pub fn with_max_result(mut self, bytes: u64) -> Self {
        self.max_result = Some(bytes);
        self
    }

    pub(super) fn session_config(&self, spec: &ConnectionSpec) -> SessionConfig {
        SessionConfig {
            compress: spec.compress.unwrap_or(false),
            max_result: spec
                .max_result
                .or(self.max_result)
                .unwrap_or_else(|| super::memory::allowed() / 2),
            parts: stub::parts(),
            ..SessionConfig::default()
        }
    }
}
