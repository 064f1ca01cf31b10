//! The state that handles and the two tasks of a connection share, and the rules for touching it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::sleep_until;

use crate::session::{
    ChannelEvent, ChannelId, Event, Outcome, RAW_STDERR, Request, RequestId, Session, SubmitError,
};
use crate::stub::functions::Helper;

use super::channel::Line;
use super::completion::{Completion, Failure, Sink};
use super::hello::Hello;
use super::options::ClassSink;
use super::output::{Output, OutputSink, Receipt};

/// How far the connection is.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    Booting,
    Running(Box<Hello>),
    /// Over. The reason is kept for later calls.
    Ended(Failure),
}

/// What is notified of events that do not belong to one call.
pub(super) struct Sinks {
    pub(super) output: OutputSink,
    pub(super) classes: Option<ClassSink>,
}

type LostCallback = Box<dyn FnOnce(Failure) + Send>;

struct State {
    session: Session,
    sinks: HashMap<RequestId, Sink>,
    channels: HashMap<ChannelId, Arc<Line>>,
    /// What ended the connection, from the moment on when that is known: every report of the end gives this reason.
    failure: Option<Failure>,
    /// Everyone was notified.
    ended: bool,
    on_lost: Vec<LostCallback>,
    pings: VecDeque<(Instant, oneshot::Sender<Duration>)>,
    closing: bool,
    /// The names of the helpers that were sent.
    helpers: HashSet<&'static str>,
}

pub(super) struct Shared {
    state: Mutex<State>,
    /// Wakes the task that writes: there may be something to send.
    pub(super) transmit: Notify,
    /// Wakes the task that reads: the next deadline may be nearer, or the connection shall end.
    pub(super) timer: Notify,
    phase: watch::Sender<Phase>,
    sinks: Sinks,
    /// Bytes of the transport's standard error that have not been read, and those dropped since.
    pub(super) raw_held: AtomicUsize,
    raw_dropped: AtomicU64,
    pub(super) host: Arc<str>,
    pub(super) peer: String,
}

/// What is to be delivered once the lock is free again: sinks may call back into the connection.
#[derive(Default)]
struct Deliveries {
    completions: Vec<(Sink, Completion)>,
    outputs: Vec<(bool, u32, Bytes)>,
    pongs: Vec<(Instant, oneshot::Sender<Duration>)>,
    classes: Vec<Bytes>,
    hello: Option<Hello>,
    wakers: Vec<Waker>,
}

impl Shared {
    pub(super) fn new(host: String, peer: String, session: Session, sinks: Sinks) -> Shared {
        Shared {
            state: Mutex::new(State {
                session,
                sinks: HashMap::new(),
                channels: HashMap::new(),
                failure: None,
                ended: false,
                on_lost: Vec::new(),
                pings: VecDeque::new(),
                closing: false,
                helpers: HashSet::new(),
            }),
            transmit: Notify::new(),
            timer: Notify::new(),
            phase: watch::Sender::new(Phase::Booting),
            sinks,
            raw_held: AtomicUsize::new(0),
            raw_dropped: AtomicU64::new(0),
            host: host.into(),
            peer,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of ours panics while it holds the lock; were it to happen, the session is still consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the session, then lets both tasks look at it again.
    pub(super) fn with_session<T>(&self, change: impl FnOnce(&mut Session) -> T) -> T {
        let (result, deliveries) = {
            let mut state = self.lock();
            let result = change(&mut state.session);
            (result, state.collect())
        };
        self.transmit.notify_one();
        self.timer.notify_one();
        self.deliver(deliveries);
        result
    }

    /// Sends functions, once.
    pub(super) fn send_helper(&self, helper: &'static Helper) {
        {
            let mut state = self.lock();
            if !state.helpers.insert(helper.name) {
                return;
            }
            state.session.send_part(helper.payload());
        }
        self.transmit.notify_one();
    }

    /// Opens a channel.
    pub(super) fn open_channel(&self, window: u32) -> Result<(ChannelId, Arc<Line>), Failure> {
        let opened = {
            let mut state = self.lock();
            if state.failure.is_some() || state.closing {
                return Err(state.reason());
            }
            let Ok(id) = state.session.open_channel(window) else {
                return Err(Failure::Lost("no more channels can be opened".to_owned()));
            };
            let line = Arc::new(Line::default());
            state.channels.insert(id, Arc::clone(&line));
            (id, line)
        };
        self.transmit.notify_one();
        Ok(opened)
    }

    pub(super) fn max_result(&self) -> u64 {
        self.lock().session.max_result()
    }

    /// Whether a channel takes more to be sent.
    pub(super) fn has_room(&self, id: ChannelId) -> bool {
        self.lock().session.channel_has_room(id)
    }

    /// Hands in a request. `sink` is called once, with the request's id if it was taken; then with the lock held, so that no
    /// other thread sees the request before.
    pub(super) fn submit(
        &self,
        request: Request,
        sink: impl FnOnce(Option<RequestId>) -> Sink,
        now: Instant,
    ) -> Option<RequestId> {
        let timed = request.deadline.is_some();
        let refused = {
            let mut state = self.lock();
            match state.failure.clone() {
                Some(failure) => Completion::Lost(failure),
                None if state.closing => Completion::Lost(Failure::closed()),
                None => match state.session.submit(request, now) {
                    Ok(id) => {
                        state.sinks.insert(id, sink(Some(id)));
                        drop(state);
                        self.transmit.notify_one();
                        if timed {
                            self.timer.notify_one();
                        }
                        return Some(id);
                    }
                    Err(SubmitError::Closed) => Completion::Lost(Failure::closed()),
                    Err(error) => Completion::Refused(error.to_string()),
                },
            }
        };
        sink(None).complete(refused);
        None
    }

    /// Hands what the transport read to the session and passes on what came of it.
    pub(super) fn receive(self: &Arc<Self>, data: Bytes) -> Result<(), Failure> {
        let (failure, mut deliveries) = {
            let mut state = self.lock();
            if let Err(error) = state.session.receive(data) {
                state.blame(Failure::Protocol(format!("{}: {error}", error.code())));
            }
            let deliveries = state.collect();
            (state.failure.clone(), deliveries)
        };
        for (stderr, request, data) in std::mem::take(&mut deliveries.outputs) {
            self.sinks.output.take(Output {
                host: Arc::clone(&self.host),
                stderr,
                request,
                receipt: Receipt::windowed(self, data.len()),
                data,
            });
        }
        if let Some(hello) = deliveries.hello.take() {
            self.phase.send_replace(Phase::Running(Box::new(hello)));
        }
        self.deliver(deliveries);
        self.transmit.notify_one();
        failure.map_or(Ok(()), Err)
    }

    /// The other side's output has ended; where that was inside a frame, says so.
    pub(super) fn receive_end(&self) -> Option<String> {
        // Pending calls get it by `fail`.
        let cut = self.lock().session.receive_end().err()?;
        Some(cut.to_string())
    }

    /// What the transport's own stderr carried, where no window holds it back: what has no room beside what has not been read yet
    /// is dropped, and that is said.
    pub(super) fn stderr(self: &Arc<Self>, data: Bytes) {
        let held = self.raw_held.load(Ordering::Relaxed);
        if held.saturating_add(data.len()) > RAW_STDERR {
            self.raw_dropped
                .fetch_add(data.len() as u64, Ordering::Relaxed);
            return;
        }
        let dropped = self.raw_dropped.swap(0, Ordering::Relaxed);
        let note = match dropped {
            0 => Bytes::new(),
            bytes => Bytes::from(format!(
                "\n[{bytes} bytes of standard error were dropped here, as they were not read]\n"
            )),
        };
        for data in [note, data] {
            if !data.is_empty() {
                self.raw_held.fetch_add(data.len(), Ordering::Relaxed);
                self.sinks.output.take(Output {
                    host: Arc::clone(&self.host),
                    stderr: true,
                    request: 0,
                    receipt: Receipt::raw(self, data.len()),
                    data,
                });
            }
        }
    }

    /// The next bytes to send, and whether the goodbye is among what has been sent.
    pub(super) fn transmit(&self, max: usize, out: &mut Vec<Bytes>) -> bool {
        let (closing, deliveries) = {
            let mut state = self.lock();
            state.session.poll_transmit(max, out);
            (state.closing, state.collect())
        };
        self.deliver(deliveries);
        closing
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.lock().session.next_deadline()
    }

    pub(super) fn handle_timeout(&self, now: Instant) {
        self.with_session(|session| session.handle_timeout(now));
    }

    /// Ends the connection for everyone: pending calls, waiters and callbacks hear the reason.
    /// Only the first reason counts.
    pub(super) fn fail(&self, failure: Failure) {
        let (deliveries, callbacks, failure) = {
            let mut state = self.lock();
            if state.ended {
                return;
            }
            state.ended = true;
            state.blame(failure);
            state.pings.clear();
            state.session.fail_all();
            let mut deliveries = state.collect();
            state.lose_channels(&mut deliveries);
            let callbacks = std::mem::take(&mut state.on_lost);
            (deliveries, callbacks, state.reason())
        };
        self.phase.send_replace(Phase::Ended(failure.clone()));
        self.deliver(deliveries);
        for callback in callbacks {
            callback(failure.clone());
        }
        self.transmit.notify_one();
        self.timer.notify_one();
    }

    /// Whether everyone was notified of the end.
    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        self.lock().failure.clone()
    }

    pub(super) fn on_lost(&self, callback: LostCallback) {
        let failure = {
            let mut state = self.lock();
            match state.failure.clone() {
                Some(failure) => failure,
                None => return state.on_lost.push(callback),
            }
        };
        callback(failure);
    }

    pub(super) fn start_close(&self) {
        let deliveries = {
            let mut state = self.lock();
            if state.closing || state.failure.is_some() {
                return;
            }
            state.closing = true;
            state.session.start_close();
            let mut deliveries = state.collect();
            state.lose_channels(&mut deliveries);
            deliveries
        };
        self.deliver(deliveries);
        self.transmit.notify_one();
        self.timer.notify_one();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// Waits until the connection is to be closed or was ended, and keeps the time of calls meanwhile.
    pub(super) async fn not_wanted(&self) {
        while !self.is_closing() && !self.has_ended() {
            let Some(deadline) = self.next_deadline() else {
                self.timer.notified().await;
                continue;
            };
            tokio::select! {
                () = self.timer.notified() => {}
                () = sleep_until(deadline.into()) => self.handle_timeout(Instant::now()),
            }
        }
    }

    pub(super) fn hello(&self) -> Option<Hello> {
        match &*self.phase.borrow() {
            Phase::Running(hello) => Some((**hello).clone()),
            _ => None,
        }
    }

    pub(super) async fn ready(&self) -> Result<Hello, Failure> {
        let mut phase = self.phase.subscribe();
        match phase
            .wait_for(|phase| !matches!(phase, Phase::Booting))
            .await
            .as_deref()
        {
            Ok(Phase::Running(hello)) => Ok((**hello).clone()),
            Ok(Phase::Ended(failure)) => Err(failure.clone()),
            _ => Err(self.lock().reason()),
        }
    }

    pub(super) async fn ended(&self) -> Failure {
        let mut phase = self.phase.subscribe();
        match phase
            .wait_for(|phase| matches!(phase, Phase::Ended(_)))
            .await
            .as_deref()
        {
            Ok(Phase::Ended(failure)) => failure.clone(),
            _ => self.lock().reason(),
        }
    }

    pub(super) async fn ping(&self) -> Result<Duration, Failure> {
        let receiver = {
            let mut state = self.lock();
            if let Some(failure) = state.failure.clone() {
                return Err(failure);
            }
            let (sender, receiver) = oneshot::channel();
            state.pings.push_back((Instant::now(), sender));
            state.session.ping(Bytes::new());
            receiver
        };
        self.transmit.notify_one();
        match receiver.await {
            Ok(elapsed) => Ok(elapsed),
            Err(_) => Err(self.lock().reason()),
        }
    }

    /// Notifies everyone of what happened. Never called with the lock held.
    fn deliver(&self, deliveries: Deliveries) {
        // Classes go first: an answer among the completions may name one.
        if let Some(classes) = &self.sinks.classes {
            deliveries
                .classes
                .into_iter()
                .for_each(|payload| classes(payload));
        }
        deliveries.wakers.into_iter().for_each(Waker::wake);
        for (sent, sender) in deliveries.pongs {
            // The caller may have stopped waiting.
            let _ = sender.send(sent.elapsed());
        }
        for (sink, completion) in deliveries.completions {
            sink.complete(completion);
        }
    }
}

impl State {
    /// Notes why the connection ends. Only the first reason counts.
    fn blame(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// Why the connection ends or has ended.
    fn reason(&self) -> Failure {
        self.failure.clone().unwrap_or_else(Failure::closed)
    }

    /// Takes the session's events out, with the sinks they are for.
    fn collect(&mut self) -> Deliveries {
        let mut deliveries = Deliveries::default();
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Connected(payload) => match Hello::decode(payload) {
                    Ok(hello) => deliveries.hello = Some(hello),
                    Err(text) => {
                        self.blame(Failure::Protocol(text));
                        self.session.fail_all();
                    }
                },
                Event::Completed { id, outcome } => self.complete(id, outcome, &mut deliveries),
                Event::Output {
                    stderr,
                    request,
                    data,
                } => deliveries.outputs.push((stderr, request, data)),
                Event::Class(payload) => deliveries.classes.push(payload),
                Event::Channel { id, event } => {
                    let closed = event == ChannelEvent::Closed;
                    if let Some(line) = self.channels.get(&id) {
                        deliveries.wakers.append(&mut line.take(event));
                    }
                    if closed {
                        self.channels.remove(&id);
                    }
                }
                Event::Pong(_) => deliveries.pongs.extend(self.pings.pop_front()),
                // In front of the calls that it ends.
                Event::Fatal { code, text } => {
                    self.blame(Failure::Protocol(format!("{code}: {text}")));
                }
            }
        }
        deliveries
    }

    /// Tells everyone on a channel that the connection ends.
    fn lose_channels(&mut self, deliveries: &mut Deliveries) {
        let reason = self.reason();
        for line in self.channels.drain().map(|(_, line)| line) {
            deliveries.wakers.append(&mut line.lose(&reason));
        }
    }

    fn complete(&mut self, id: RequestId, outcome: Outcome, deliveries: &mut Deliveries) {
        if let Some(sink) = self.sinks.remove(&id) {
            let completion = Completion::new(outcome, || self.reason());
            deliveries.completions.push((sink, completion));
        }
    }
}
