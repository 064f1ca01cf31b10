//! Serves what one connection asks: runs its functions, so many at once, and answers.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};

use super::callback::{Entry, Functions};
use super::callback_error::CallbackError;
use super::running::Running;
use crate::connection::{Ask, AskOutcome, Asks};
use crate::session::MAX_ASKS;

/// How many functions that are waited for run at once; the last place is for telling that all of them wait for each other.
const MAX_RUNNING: usize = MAX_ASKS - 1;

/// Serves until the connection asks no more.
pub(super) async fn serve(asks: Arc<Asks>, functions: Arc<Functions>) {
    let mut serving = Serving {
        asks: Arc::clone(&asks),
        called: Arc::new(Notify::new()),
        tasks: JoinSet::new(),
        answers: JoinSet::new(),
        running: HashMap::new(),
        waiting: VecDeque::new(),
    };
    loop {
        tokio::select! {
            ask = asks.next() => {
                let Some(ask) = ask else { break };
                serving.arrived(ask, &functions);
            }
            Some(ended) = serving.tasks.join_next_with_id() => serving.ended(ended),
            Some(_) = serving.answers.join_next() => {}
            () = serving.called.notified() => {}
        }
        serving.relieve();
    }
}

struct Serving {
    asks: Arc<Asks>,
    /// A function has made its first call.
    called: Arc<Notify>,
    tasks: JoinSet<Result<Vec<u8>, CallbackError>>,
    answers: JoinSet<()>,
    running: HashMap<Id, (Ask, Arc<Running>)>,
    waiting: VecDeque<(Ask, Arc<Entry>)>,
}

impl Serving {
    fn arrived(&mut self, ask: Ask, functions: &Functions) {
        if ask.function() == 0 {
            // Functions that are given up there may be handed over again, so they stay as long as their handles.
            return;
        }
        match functions.find(ask.function(), ask.is_waited_for()) {
            Some(entry) if ask.is_waited_for() => self.waiting.push_back((ask, entry)),
            Some(entry) => self.start(ask, &entry),
            None => {
                let host = self.asks.channel().connection().host();
                let text = format!("{host} was not given this function");
                self.refuse(ask, &CallbackError::new("LookupError", text));
            }
        }
    }

    fn start(&mut self, mut ask: Ask, entry: &Entry) {
        let connection = self.asks.channel().connection();
        let running = Running::new(connection, ask.is_waited_for(), &self.called);
        let running = Arc::new(running);
        let work = entry.call(connection.clone(), ask.take_content().into());
        let task = self.tasks.spawn(Arc::clone(&running).within(work));
        self.running.insert(task.id(), (ask, running));
    }

    /// Starts what waits for a place, or refuses it where all that run may be waiting for it in turn.
    fn relieve(&mut self) {
        while let Some((ask, entry)) = self.waiting.pop_front() {
            let mut waited_for = self.running.values().filter(|(ask, _)| ask.is_waited_for());
            if waited_for.clone().count() < MAX_RUNNING {
                self.start(ask, &entry);
            } else if waited_for.all(|(_, running)| running.has_called()) {
                let host = self.asks.channel().connection().host();
                let text = format!("{MAX_RUNNING} callbacks of {host} wait for each other");
                self.refuse(ask, &CallbackError::new("RecursionError", text));
            } else {
                self.waiting.push_front((ask, entry));
                break;
            }
        }
    }

    fn ended(&mut self, ended: Result<(Id, Result<Vec<u8>, CallbackError>), JoinError>) {
        let (id, result) = ended.unwrap_or_else(|error| {
            let told = CallbackError::new("RuntimeError", "the callback panicked");
            (error.id(), Err(told))
        });
        let Some((ask, _)) = self.running.remove(&id) else {
            return;
        };
        match result {
            Ok(value) => {
                let answer = ask.answer(AskOutcome::Value, value.into());
                self.answers.spawn(answer);
            }
            Err(error) => self.refuse(ask, &error),
        }
    }

    fn refuse(&mut self, ask: Ask, error: &CallbackError) {
        let hello = self.asks.channel().connection().hello();
        let told = error.told(hello.map_or(2, |hello| hello.pickle));
        self.answers
            .spawn(ask.answer(AskOutcome::Raised, told.into()));
    }
}
