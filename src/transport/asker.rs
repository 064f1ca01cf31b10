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
        let turn = ONE_AT_A_TIME.lock().await;
        let question = Question {
            host: self.host.clone(),
            text: printable(text),
            echo,
            stage: self.stage,
        };
        let asking = tokio::task::spawn_blocking(move || {
            // The turn lasts until the answer, also where nobody waits for that any more: the terminal is still being read.
            let _turn = turn;
            prompter(&question)
        });
        let answer = asking.await.ok().flatten();
        self.questions.fetch_add(1, Ordering::Relaxed);
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::{Receiver, channel};
    use std::task::{Context, Waker};

    use super::*;

    /// What one question waits for, and how many are asked at the same time.
    struct Person {
        answers: Mutex<Receiver<String>>,
        now: AtomicUsize,
        most: AtomicUsize,
        asked: AtomicUsize,
    }

    #[tokio::test]
    async fn a_question_that_is_given_up_is_answered_before_another_is_asked() {
        let (answer, answers) = channel();
        let person = Arc::new(Person {
            answers: Mutex::new(answers),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
        });
        let of_prompter = Arc::clone(&person);
        let prompter: Prompter = Arc::new(move |_| {
            let now = of_prompter.now.fetch_add(1, Ordering::SeqCst) + 1;
            of_prompter.most.fetch_max(now, Ordering::SeqCst);
            of_prompter.asked.fetch_add(1, Ordering::SeqCst);
            let given = of_prompter.answers.lock().unwrap().recv().ok();
            of_prompter.now.fetch_sub(1, Ordering::SeqCst);
            given
        });
        let (first, second) = (
            Asker::new("first", Some(Arc::clone(&prompter))),
            Asker::new("second", Some(prompter)),
        );
        let asking = tokio::spawn(async move { first.ask("password: ", false).await });
        while person.asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        // As where the time for connecting is over.
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());
        let mut next = Box::pin(second.ask("password: ", false));
        let mut context = Context::from_waker(Waker::noop());
        assert!(next.as_mut().poll(&mut context).is_pending());
        answer.send("of the first".to_owned()).unwrap();
        answer.send("of the second".to_owned()).unwrap();
        assert_eq!(next.await.as_deref(), Some("of the second"));
        assert_eq!(person.most.load(Ordering::SeqCst), 1);
    }
}
