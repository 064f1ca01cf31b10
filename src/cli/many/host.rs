//! One host of many: what its work is given, and the way from connecting to closing that most work shares.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::outcome::{Outcome, report};
use crate::cli::terminal::hosts::Target;
use crate::cli::terminal::printer::Printer;
#[cfg(unix)]
use crate::connection::Output;
use crate::connection::{ConnectOptions, OutputSink};
use crate::transport::Prompter;
use crate::{Client, Error, Retry, Stage};

/// How long interrupted work may take to clean up.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// How long a host is named until it is asked how far it is: asking takes each host some milliseconds of its own, and where many end
/// one after the other, most are named for less.
const MOMENT: Duration = Duration::from_secs(1);

/// One host, as its work sees it.
#[derive(Clone)]
pub(crate) struct Host {
    /// Where it is, and what output calls it.
    pub(crate) target: Target,
    /// Its place among the hosts of the command, from 0.
    pub(crate) number: usize,
    pub(super) prompter: Option<Prompter>,
    pub(super) printer: Arc<Printer>,
    pub(super) stopped: watch::Receiver<bool>,
}

impl Host {
    /// Takes what is to be printed as this host's stdout and stderr.
    pub(crate) fn output(&self) -> OutputSink {
        self.printer.sink(self.number)
    }

    /// Prints a line as the host's.
    #[cfg(unix)]
    pub(crate) fn say(&self, text: &str) {
        let (label, line) = (self.target.label.as_str().into(), format!("{text}\n"));
        self.output()
            .take(Output::held(label, false, line.into(), None));
    }

    /// How to connect to it: what it prints is printed as its output, its questions are asked on the terminal, and progress
    /// shows its stages.
    pub(crate) fn connect_options(&self) -> ConnectOptions {
        let mut options = ConnectOptions {
            output: self.output(),
            ..ConnectOptions::default()
        };
        options.transport.prompter = self.target.prompter(self.prompter.clone());
        options.transport.observer = Some(self.printer.observer(self.number));
        options
    }

    /// Tells whoever watches that what is run there has begun, where no connection of a client says so.
    pub(crate) fn at_work(&self) {
        self.printer.reached(self.number, Stage::Stub);
    }

    /// Takes words about how far its work is, for whoever watches.
    pub(crate) fn progress(&self) -> impl Fn(String) + Send + Sync + 'static {
        self.printer.progress(self.number)
    }

    /// Returns when a view names this host for longer than a moment, as one that runs longer than the others; never where none does.
    pub(crate) async fn watched(&self) {
        while self.printer.until_named(self.number).await {
            tokio::time::sleep(MOMENT).await;
            if self.is_named() {
                return;
            }
        }
        std::future::pending().await
    }

    /// Whether a view names this host now.
    pub(crate) fn is_named(&self) -> bool {
        self.printer.is_named(self.number)
    }

    /// Returns when the command is to stop, and at once where it already is.
    pub(crate) async fn stopping(&mut self) {
        // What could say so has gone with the command itself.
        if self.stopped.wait_for(|stopped| *stopped).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Connects, does `work` with the client, and closes the connection when everything has been printed.
    ///
    /// When the command is stopped, the work is dropped, which interrupts its calls; what they clean up gets its time.
    pub(crate) async fn with_client<W, F>(mut self, options: ConnectOptions, work: W) -> Outcome
    where
        W: FnOnce(Client) -> F,
        F: Future<Output = Result<i32, Error>>,
    {
        let spec = self.target.spec.clone();
        let client = tokio::select! {
            client = Client::begin(&spec, options) => client,
            () = self.stopping() => return Outcome::Interrupted,
        };
        let client = match client {
            Ok(client) => client,
            Err(error) => return Outcome::Failed(error),
        };
        let outcome = tokio::select! {
            outcome = work(client.clone()) => match outcome {
                Ok(status) => Outcome::Ended(status),
                Err(error) => Outcome::Failed(error),
            },
            () = self.stopping() => Outcome::Interrupted,
        };
        if matches!(outcome, Outcome::Interrupted) {
            // Giving up the call has interrupted the program; its `finally` blocks get their time.
            let deadline = Instant::now() + STOP_GRACE;
            while client.connection().in_flight() > 0 && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        // Only then has everything been printed, what child processes left behind included.
        client.close().await;
        outcome
    }

    /// Does the work unless the command is being stopped, again where connecting failed for a reason that may pass, and tells the
    /// printer how it ended.
    pub(super) async fn worked_on<W, F>(mut self, work: Arc<W>, rules: Rules) -> Outcome
    where
        W: Fn(Host) -> F,
        F: Future<Output = Outcome>,
    {
        let started = Instant::now();
        let outcome = if *self.stopped.borrow() {
            Outcome::Interrupted
        } else if rules.begin_no_more.load(Ordering::Relaxed) {
            Outcome::Skipped
        } else {
            self.printer.begin(self.number);
            self.tried(&*work, &rules.retry).await
        };
        self.printer
            .end(self.number, report(&outcome, started.elapsed()));
        outcome
    }

    async fn tried<W, F>(&mut self, work: &W, retry: &Retry) -> Outcome
    where
        W: Fn(Host) -> F,
        F: Future<Output = Outcome>,
    {
        let mut attempt = 1;
        loop {
            let outcome = work(self.clone()).await;
            let error = match &outcome {
                Outcome::Failed(Error::Connect(error))
                    if error.is_temporary() && retry.allows_another(attempt) =>
                {
                    error
                }
                _ => return outcome,
            };
            let wait = retry.wait_after(attempt);
            self.printer.again(self.number, error.to_string(), wait);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stopping() => return Outcome::Interrupted,
            }
            attempt += 1;
        }
    }
}

/// What holds for every host of a command.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) retry: Retry,
    /// Turns true when too many hosts have failed.
    pub(super) begin_no_more: Arc<AtomicBool>,
}
