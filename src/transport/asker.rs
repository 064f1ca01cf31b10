//! Questions to the user: asked one at a time a process, on a thread that may block, without using up a stage's time limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Stage, printable};
use crate::transport::{Prompter, Question};

/// One terminal answers one question at a time, however many connections are opened at once.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Asks the user on behalf of one connection.
#[derive(Clone)]
pub(crate) struct Asker {
    host: String,
    stage: Stage,
    prompter: Option<Prompter>,
    /// Counts beginnings and ends of questions, so that a time limit can tell waiting for a person from waiting for a server.
    questions: Arc<AtomicU64>,
}

impl Asker {
    pub(crate) fn new(host: &str, prompter: Option<Prompter>) -> Self {
        Asker {
            host: host.to_owned(),
            stage: Stage::Authentication,
            prompter,
            questions: Arc::new(AtomicU64::new(0)),
        }
    }

    /// The same for questions of another stage than logging in.
    pub(crate) fn at(mut self, stage: Stage) -> Self {
        self.stage = stage;
        self
    }

    /// Whether there is a way to ask.
    pub(crate) fn available(&self) -> bool {
        self.prompter.is_some()
    }

    /// The counter that `timed` watches.
    pub(crate) fn questions(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.questions)
    }

    /// Asks, and waits as long as the person takes. `None` if there is nobody or the answer is refused.
    pub(crate) async fn ask(&self, text: &str, echo: bool) -> Option<String> {
        let prompter = self.prompter.clone()?;
        self.questions.fetch_add(1, Ordering::Relaxed);
        let _turn = ONE_AT_A_TIME.lock().await;
        let question = Question {
            host: self.host.clone(),
            text: printable(text),
            echo,
            stage: self.stage,
        };
        let answer = tokio::task::spawn_blocking(move || prompter(&question))
            .await
            .ok()
            .flatten();
        self.questions.fetch_add(1, Ordering::Relaxed);
        answer
    }
}
