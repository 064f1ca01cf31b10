//! Time limits of the stages: russh has none of its own, so each step that waits for a peer goes through here.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::error::{ConnectError, Stage};
use crate::transport::TransportOptions;
use crate::transport::asker::Asker;

/// How long a person's second factor may take where the user has set no limit: longer than servers wait
/// (LoginGraceTime), so that it is they who give up.
const PERSON_LIMIT: Duration = Duration::from_secs(600);

/// The stages of one connection: whose name stands in errors, what limits hold, who is notified.
#[derive(Clone)]
pub(crate) struct Stages {
    /// The host as the user named it.
    pub(crate) host: String,
    /// Limits, observer and prompter.
    pub(crate) options: TransportOptions,
    /// Who asks the user.
    pub(crate) asker: Asker,
}

impl Stages {
    pub(crate) fn new(host: &str, options: &TransportOptions) -> Self {
        Stages {
            host: host.to_owned(),
            options: options.clone(),
            asker: Asker::new(host, options.prompter.clone()),
        }
    }

    /// The same stages without a way to ask.
    pub(crate) fn without_questions(&self) -> Self {
        Stages {
            asker: Asker::new(&self.host, None),
            ..self.clone()
        }
    }

    /// A failure at `stage`.
    pub(crate) fn error(&self, stage: Stage, message: impl Into<String>) -> ConnectError {
        // Much of what stands in messages was sent by a server.
        ConnectError::new(&self.host, stage, crate::error::printable(&message.into()))
    }

    /// Tells the observer that `stage` came to its end.
    pub(crate) fn reached(&self, stage: Stage, since: Instant, detail: impl Into<String>) {
        self.options.reached(
            stage,
            since.elapsed(),
            crate::error::printable(&detail.into()),
        );
    }

    /// Runs one step with the limit of its stage.
    pub(crate) async fn timed<T>(
        &self,
        stage: Stage,
        step: impl Future<Output = T>,
    ) -> Result<T, ConnectError> {
        self.timed_for(stage, self.options.limits.of(stage), step)
            .await
    }

    /// Reads files, without keeping other connections waiting: a pipe, or a drive whose server is gone, may never give anything.
    pub(crate) async fn reading<T: Send + 'static>(
        &self,
        stage: Stage,
        files: &[PathBuf],
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ConnectError> {
        let limit = self.options.limits.of(stage);
        match tokio::time::timeout(limit, aside(read)).await {
            Ok(done) => done.map_err(|error| self.error(stage, error.to_string())),
            Err(_) => {
                let mut error = ConnectError::timeout(&self.host, stage, limit);
                if files.is_empty() {
                    return Err(error);
                }
                let files: Vec<_> = files
                    .iter()
                    .map(|file| file.display().to_string())
                    .collect();
                error.message = format!("{} reading {}", error.message, files.join(", "));
                Err(error.with_hint("one of these files is a pipe that nobody writes to, or on a network drive that does not answer; name another one, or none"))
            }
        }
    }

    /// Waits for the answer to what a person typed, or to a second factor somewhere else, such as a push on a
    /// phone: as long as the server waits, or the user's own limit allows.
    pub(crate) async fn timed_person<T>(
        &self,
        step: impl Future<Output = T>,
    ) -> Result<T, ConnectError> {
        let usual = self.options.limits.of(Stage::Authentication);
        let limit = match self.options.limits.deadline {
            Some(_) => self.options.limits.within(PERSON_LIMIT, Instant::now()),
            None => PERSON_LIMIT,
        };
        let limit = if self.asker.available() {
            limit.max(usual)
        } else {
            usual
        };
        self.timed_for(Stage::Authentication, limit, step).await
    }

    /// Runs one step with a limit. The limit starts again when a person was asked meanwhile,
    /// because typing a passphrase takes as long as it takes.
    pub(crate) async fn timed_for<T>(
        &self,
        stage: Stage,
        limit: Duration,
        step: impl Future<Output = T>,
    ) -> Result<T, ConnectError> {
        let questions = self.asker.questions();
        let mut seen = questions.load(Ordering::Relaxed);
        tokio::pin!(step);
        loop {
            match tokio::time::timeout(limit, &mut step).await {
                Ok(done) => return Ok(done),
                Err(_) => {
                    let now = questions.load(Ordering::Relaxed);
                    // Odd: a question is open right now.
                    if now == seen && now.is_multiple_of(2) {
                        let error = ConnectError::timeout(&self.host, stage, limit);
                        return Err(match stage {
                            Stage::Authentication => error.with_hint("a server that needs longer, as for a second factor, gets it by timeout=SECONDS in the spec"),
                            _ => error,
                        });
                    }
                    seen = now;
                }
            }
        }
    }
}

/// Does what may block for ever in a thread of its own: for those of a runtime its end waits.
///
/// # Errors
/// Where no thread can be started, or the work panics.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<T> {
    let (done, waiting) = tokio::sync::oneshot::channel();
    // Nobody waits any more where the receiver is gone.
    std::thread::Builder::new().spawn(move || done.send(work()).ok())?;
    waiting.await.map_err(std::io::Error::other)
}
