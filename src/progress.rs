//! The stages of a connection as they pass: how long each may take, and who watches.
//!
//! Every duration in this crate is named by what it means:
//!
//! * `*_LIMIT`: what takes longer is given up, and that is an error;
//! * `*_GRACE`: how long something that was asked to end may take before it is cut off;
//! * `*_INTERVAL`: the time between two of a kind;
//! * `*_LIFETIME`: how long something that is known counts before it is looked up again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Stage;

/// How long a last word to the other side may take to go out, before the stream under it is cut off.
pub(crate) const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// Time limits of the stages, each for one attempt.
#[derive(Debug, Clone)]
#[non_exhaustive]
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
    /// The steps of `then` and `become` that may ask for something, without the time a person takes to answer.
    pub escalation: Duration,
    /// From exec to the interpreter's first sign.
    pub interpreter: Duration,
    /// From there until the stub runs.
    pub stub: Duration,
    /// When all of connecting must be done, whatever the stages are allowed.
    pub deadline: Option<Deadline>,
}

/// The end of a limit for all of connecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// When it is.
    pub at: Instant,
    /// How long all of connecting may take.
    pub limit: Duration,
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
            escalation: seconds(60),
            interpreter: seconds(60),
            stub: seconds(30),
            deadline: None,
        }
    }
}

impl StageLimits {
    /// The same with another limit for this stage.
    #[must_use]
    pub fn with_resolve(mut self, limit: Duration) -> Self {
        self.resolve = limit;
        self
    }

    /// The same with another limit for this stage.
    #[must_use]
    pub fn with_connect(mut self, limit: Duration) -> Self {
        self.connect = limit;
        self
    }

    /// The same with another limit for this stage.
    #[must_use]
    pub fn with_key_exchange(mut self, limit: Duration) -> Self {
        self.key_exchange = limit;
        self
    }

    /// The same with another limit for this stage.
    #[must_use]
    pub fn with_authentication(mut self, limit: Duration) -> Self {
        self.authentication = limit;
        self
    }

    /// The same with another limit for this stage.
    #[must_use]
    pub fn with_channel(mut self, limit: Duration) -> Self {
        self.channel = limit;
        self
    }

    /// The same with another limit for this stage.
    #[must_use]
    pub fn with_escalation(mut self, limit: Duration) -> Self {
        self.escalation = limit;
        self
    }

    /// The same with another limit for this stage.
    #[must_use]
    pub fn with_interpreter(mut self, limit: Duration) -> Self {
        self.interpreter = limit;
        self
    }

    /// The same with another limit for this stage.
    #[must_use]
    pub fn with_stub(mut self, limit: Duration) -> Self {
        self.stub = limit;
        self
    }

    /// The limit of a stage that begins now.
    pub fn of(&self, stage: Stage) -> Duration {
        self.since(stage, Instant::now())
    }

    /// The limit of a stage that began at `start`.
    pub fn since(&self, stage: Stage, start: Instant) -> Duration {
        self.within(self.whole(stage), start)
    }

    /// The limit of a stage where the deadline is far.
    pub(crate) fn whole(&self, stage: Stage) -> Duration {
        let own = match stage {
            Stage::Configure | Stage::Resolve => self.resolve,
            Stage::Connect => self.connect,
            Stage::KeyExchange | Stage::HostKey => self.key_exchange,
            Stage::Authentication => self.authentication,
            Stage::Channel => self.channel,
            Stage::Escalation => self.escalation,
            Stage::Interpreter => self.interpreter,
            Stage::Stub => self.stub,
        };
        // Who allows more for the whole allows it for each part.
        self.deadline
            .map_or(own, |deadline| own.max(deadline.limit))
    }

    /// What the deadline leaves of a limit that counts from `start`.
    pub fn within(&self, limit: Duration, start: Instant) -> Duration {
        match self.deadline {
            Some(deadline) => limit.min(deadline.at.saturating_duration_since(start)),
            None => limit,
        }
    }

    /// The same limits, and all of connecting, which began at `start`, done within `limit`.
    #[must_use]
    pub fn in_all(mut self, start: Instant, limit: Duration) -> Self {
        let at = start + limit;
        self.deadline = Some(Deadline { at, limit });
        self
    }

    /// The limit for all of connecting, if that is used up.
    pub fn used_up(&self) -> Option<Duration> {
        let deadline = self.deadline.filter(|it| Instant::now() >= it.at)?;
        Some(deadline.limit)
    }

    /// The same limit for every stage.
    pub fn all(limit: Duration) -> Self {
        StageLimits {
            resolve: limit,
            connect: limit,
            key_exchange: limit,
            authentication: limit,
            channel: limit,
            escalation: limit,
            interpreter: limit,
            stub: limit,
            deadline: None,
        }
    }
}

/// One stage reached its end, for those who want to see how a connection is established.
#[derive(Debug, Clone)]
#[non_exhaustive]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_cuts_every_stage_short() {
        let (now, limits) = (Instant::now(), StageLimits::default());
        assert_eq!(limits.since(Stage::Stub, now), Duration::from_secs(30));
        let limits = limits.in_all(now, Duration::from_secs(20));
        assert_eq!(limits.since(Stage::Stub, now), Duration::from_secs(20));
        // A stage that would be given up sooner gets all of it.
        assert_eq!(limits.since(Stage::Connect, now), Duration::from_secs(20));
        let late = now + Duration::from_secs(18);
        assert_eq!(limits.since(Stage::Connect, late), Duration::from_secs(2));
        let too_late = now + Duration::from_secs(21);
        assert_eq!(limits.since(Stage::Connect, too_late), Duration::ZERO);
    }
}
