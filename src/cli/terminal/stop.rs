//! What ends a command early: Ctrl-C, the signals of shutting down, and a reader of our output that goes away.

use tokio::sync::watch;

use crate::cli::terminal::failure::{INTERRUPTED, READER_GONE};

/// Why a command was ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// SIGINT, the keyboard.
    Interrupt,
    /// SIGTERM or SIGHUP, by number.
    Signal(i32),
    /// Our stdout or stderr is no longer read.
    ReaderGone,
}

impl Stop {
    /// As shells say it: 128 and the signal.
    pub(crate) fn exit_code(self) -> i32 {
        match self {
            Stop::Interrupt => INTERRUPTED,
            Stop::Signal(number) => 128 + number,
            Stop::ReaderGone => READER_GONE,
        }
    }
}

/// Listens for reasons to stop, and tells everybody.
pub(crate) struct Stopper {
    signals: Signals,
    reader_gone: watch::Receiver<bool>,
    stopping: watch::Sender<bool>,
    reason: Option<Stop>,
}

impl Stopper {
    /// `reader_gone` turns true when our output is no longer read.
    pub(crate) fn new(reader_gone: watch::Receiver<bool>) -> Stopper {
        Stopper {
            signals: Signals::new(),
            reader_gone,
            stopping: watch::Sender::new(false),
            reason: None,
        }
    }

    /// Turns true when it is time to stop.
    pub(crate) fn subscribe(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Why, if there was a reason.
    pub(crate) fn reason(&self) -> Option<Stop> {
        self.reason
    }

    /// Waits for the next reason and notifies all subscribers. Whether it was the second one, which means at once.
    ///
    /// Losing the wait to something else loses no reason.
    pub(crate) async fn wait(&mut self) -> bool {
        let stop = tokio::select! {
            signal = self.signals.next() => signal,
            // A channel that ends without the value only means that the printer has ended.
            stop = gone(&mut self.reader_gone, self.reason) => stop,
        };
        let second = self.reason.is_some();
        self.reason.get_or_insert(stop);
        let _ = self.stopping.send(true);
        second
    }
}

async fn gone(reader: &mut watch::Receiver<bool>, reason: Option<Stop>) -> Stop {
    if reason.is_none() && reader.wait_for(|gone| *gone).await.is_ok() {
        return Stop::ReaderGone;
    }
    std::future::pending().await
}

#[cfg(unix)]
struct Signals {
    signals: Vec<(tokio::signal::unix::Signal, Stop)>,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Signals {
        use tokio::signal::unix::{SignalKind, signal};
        let stop = |kind: SignalKind| match kind.as_raw_value() {
            number if kind == SignalKind::interrupt() => (number, Stop::Interrupt).1,
            number => Stop::Signal(number),
        };
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        // A signal that cannot be listened for keeps its default effect, which also ends us.
        let signals = kinds
            .into_iter()
            .filter_map(|kind| Some((signal(kind).ok()?, stop(kind))))
            .collect();
        Signals { signals }
    }

    async fn next(&mut self) -> Stop {
        std::future::poll_fn(|context| {
            for (signal, stop) in &mut self.signals {
                if let std::task::Poll::Ready(Some(())) = signal.poll_recv(context) {
                    return std::task::Poll::Ready(*stop);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Signals {
        Signals
    }

    async fn next(&mut self) -> Stop {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Stop::Interrupt,
            Err(_) => std::future::pending().await,
        }
    }
}
