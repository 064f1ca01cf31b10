//! The stages of a connection as they pass: how long each may take, and who watches.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Stage;

/// Time limits of the stages, each for one attempt.
#[derive(Debug, Clone)]
pub struct StageLimits {
    /// Name look-up.
    pub resolve: Duration,
    /// TCP connection to one address.
    pub connect: Duration,
    /// SSH versions and key exchange, or the TCP handshake.
    pub key_exchange: Duration,
    /// Authentication, without the time a person takes to answer a question.
    pub authentication: Duration,
    /// Channel open and exec.
    pub channel: Duration,
    /// From exec to the interpreter's first sign.
    pub interpreter: Duration,
    /// From there until the stub runs.
    pub stub: Duration,
}

impl Default for StageLimits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        StageLimits {
            resolve: seconds(15),
            connect: seconds(15),
            key_exchange: seconds(20),
            authentication: seconds(30),
            channel: seconds(20),
            interpreter: seconds(60),
            stub: seconds(30),
        }
    }
}

impl StageLimits {
    /// The limit of one stage.
    pub fn of(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Configure | Stage::Resolve => self.resolve,
            Stage::Connect => self.connect,
            Stage::KeyExchange | Stage::HostKey => self.key_exchange,
            Stage::Authentication => self.authentication,
            Stage::Channel => self.channel,
            Stage::Interpreter => self.interpreter,
            Stage::Stub => self.stub,
        }
    }

    /// The same limits, none longer than this.
    #[must_use]
    pub fn capped(&self, limit: Duration) -> Self {
        StageLimits {
            resolve: self.resolve.min(limit),
            connect: self.connect.min(limit),
            key_exchange: self.key_exchange.min(limit),
            authentication: self.authentication.min(limit),
            channel: self.channel.min(limit),
            interpreter: self.interpreter.min(limit),
            stub: self.stub.min(limit),
        }
    }

    /// The same limit for every stage.
    pub fn all(limit: Duration) -> Self {
        StageLimits {
            resolve: limit,
            connect: limit,
            key_exchange: limit,
            authentication: limit,
            channel: limit,
            interpreter: limit,
            stub: limit,
        }
    }
}

/// One stage reached its end, for those who want to see how a connection is established.
#[derive(Debug, Clone)]
pub struct StageEvent {
    /// Which stage.
    pub stage: Stage,
    /// How long it took.
    pub elapsed: Duration,
    /// What came of it, such as an address, a key's fingerprint or an authentication method; safe to print.
    pub detail: String,
}

/// Receives stage events; called on the runtime's thread, so it must not block.
pub type StageObserver = Arc<dyn Fn(StageEvent) + Send + Sync>;

/// Notifies the observer, if there is one, that a stage came to its end.
pub(crate) fn reached(
    observer: Option<&StageObserver>,
    stage: Stage,
    elapsed: Duration,
    detail: impl Into<String>,
) {
    if let Some(observer) = observer {
        observer(StageEvent {
            stage,
            elapsed,
            detail: detail.into(),
        });
    }
}
