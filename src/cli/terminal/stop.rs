//! What ends a command early: Ctrl-C, the signals of shutting down, and a reader of our output that goes away.

use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::cli::terminal::failure::{INTERRUPTED, READER_GONE};

/// How long the last words of a command that was stopped are waited for. Who reads our output may take none of it, as a pager that
/// waits for a key, or a process that is stopped itself.
const LAST_WORDS: Duration = Duration::from_secs(3);

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

/// Does on a thread of its own what may wait for whoever reads what we write, and gives it up a while after a signal, also one that
/// has `stopped` the command before, and at once after a second one. `signals` are those that were listened for until now, so that none
/// is lost in between.
///
/// # Errors
///
/// With the reason where it was given up. The thread stays, to end with this process.
pub(crate) fn unless_stopped<T: Send + 'static>(
    stopped: Option<Stop>,
    signals: &mut Signals,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Stop> {
    let Ok(runtime) = crate::cli::runtime() else {
        return Ok(work());
    };
    let (tell, told) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        let result = work();
        let _ = tell.send(());
        result
    });
    let given_up = runtime.block_on(given_up(stopped, signals, told));
    match given_up {
        Some(stop) => Err(stop),
        None => thread
            .join()
            .map_err(|panic| std::panic::resume_unwind(panic)),
    }
}

/// Why it was given up, unless it has `ended`, or panicked.
async fn given_up(
    stopped: Option<Stop>,
    signals: &mut Signals,
    mut ended: oneshot::Receiver<()>,
) -> Option<Stop> {
    let mut stop = stopped.filter(|stop| *stop != Stop::ReaderGone);
    loop {
        tokio::select! {
            biased;
            _ = &mut ended => return None,
            signal = signals.next() => match stop {
                Some(first) => return Some(first),
                None => stop = Some(signal),
            },
            stop = later(stop) => return Some(stop),
        }
    }
}

/// Says after a while that a command which was stopped is to end now.
async fn later(stop: Option<Stop>) -> Stop {
    match stop {
        Some(stop) => {
            tokio::time::sleep(LAST_WORDS).await;
            stop
        }
        None => std::future::pending().await,
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

    /// The signals, to be listened for by somebody else from here on.
    pub(crate) fn into_signals(self) -> Signals {
        self.signals
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

/// The signals that end a command, which have no effect of their own once this was there.
#[cfg(unix)]
pub(crate) struct Signals {
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
        // `nohup` has a hangup ignored, and listening would undo that.
        let heard = |kind: &SignalKind| {
            let number = kind.as_raw_value();
            *kind != SignalKind::hangup() || !crate::system::signals::is_ignored(number)
        };
        // A signal that cannot be listened for keeps its default effect, which also ends us.
        let signals = kinds
            .into_iter()
            .filter(heard)
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
pub(crate) struct Signals;

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
