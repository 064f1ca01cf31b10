//! The router of Dask's messages: moves frames between the master and the workers of a cluster, by the queues of `routing`.
//!
//! Each process has one stream to it. What is on its way to a process waits in a queue, which the credit of the streams
//! (`dask/comm.py`) bounds; so one that stands still holds up nobody else. Who ignores credit is read no further once very much of it
//! waits. Who is sent very much and takes nothing of it for long ends, so that it holds up nobody for ever.

use std::collections::HashMap;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream as Socket;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::connection::Channel as Core;
use crate::routing::{Frames, HEADER, Queues, Rules};
use crate::wire::Segments;

use super::channel::Channel;
use super::runtime;

/// Bytes that are written at once, where more frames wait.
const TOGETHER: usize = 1 << 18;

/// What is told to the task of a process, and to those that send to it.
#[derive(Default)]
struct Process {
    /// Something waits for it.
    woken: Notify,
    /// It has taken some of it.
    room: Notify,
    detached: Notify,
    /// How long it may take nothing while others wait for room. Nothing is said of this process itself, which cannot be started anew.
    patience: Option<Duration>,
}

struct State {
    queues: Queues,
    processes: HashMap<u16, Arc<Process>>,
}

/// The processes by their numbers, and what waits for them.
struct Routes {
    rules: Rules,
    state: Mutex<State>,
}

impl Routes {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, number: u16, patience: Option<Duration>) -> PyResult<Arc<Process>> {
        let mut state = self.lock();
        if !state.queues.enter(number) {
            return Err(PyValueError::new_err(format!(
                "process {number} is attached already"
            )));
        }
        let process = Arc::new(Process {
            patience,
            ..Process::default()
        });
        state.processes.insert(number, Arc::clone(&process));
        Ok(process)
    }

    /// Forgets a process, and tells the others.
    fn leave(&self, number: u16) {
        let mut state = self.lock();
        let left = state.processes.remove(&number);
        state.queues.leave(number);
        for process in state.processes.values() {
            process.woken.notify_one();
        }
        if let Some(process) = left {
            process.room.notify_waiters();
        }
    }

    /// Moves what one process sends and is sent, until one of the two ends, it breaks the rules, or it is detached.
    async fn serve(&self, number: u16, process: &Process, from: Source, to: Sink) {
        tokio::select! {
            () = process.detached.notified() => {}
            () = self.carry(number, from) => {}
            () = self.deliver(number, process, to) => {}
        }
    }

    /// Carries what a process sends.
    async fn carry(&self, number: u16, mut from: Source) {
        let mut frames = Frames::new(number, self.rules);
        while let Some(bytes) = from.next().await {
            frames.push(bytes);
            loop {
                match frames.next() {
                    Ok(Some(frame)) => {
                        self.room(number, frame.target).await;
                        let mut state = self.lock();
                        let told = state.queues.pass(number, frame);
                        if let Some(process) = told.and_then(|told| state.processes.get(&told)) {
                            process.woken.notify_one();
                        }
                    }
                    Ok(None) => break,
                    // Nobody speaks for another, or fills the memory here.
                    Err(_) => return,
                }
            }
        }
    }

    /// Waits until there is room for one frame more of a process for another.
    async fn room(&self, source: u16, target: u16) {
        loop {
            let process = {
                let state = self.lock();
                if state.queues.has_room(source, target) {
                    return;
                }
                match state.processes.get(&target) {
                    Some(process) => Arc::clone(process),
                    None => return,
                }
            };
            let mut room = pin!(process.room.notified());
            // Noted first and looked for second, because it may come in between.
            room.as_mut().enable();
            if self.lock().queues.has_room(source, target) {
                return;
            }
            match process.patience {
                None => room.await,
                Some(patience) => {
                    if timeout(patience, room).await.is_err() {
                        process.detached.notify_one();
                    }
                }
            }
        }
    }

    /// Sends a process what waits for it, as it comes.
    async fn deliver(&self, number: u16, process: &Process, mut to: Sink) {
        loop {
            let bytes = self.lock().queues.take(number, TOGETHER);
            if bytes.is_empty() {
                process.woken.notified().await;
                continue;
            }
            process.room.notify_waiters();
            if to.send(bytes).await.is_err() {
                return;
            }
        }
    }
}

/// Where the bytes of a process come from.
enum Source {
    Channel(Arc<Core>),
    Socket(OwnedReadHalf, BytesMut),
}

impl Source {
    /// The next bytes; none at the end, however it came.
    async fn next(&mut self) -> Option<Segments> {
        match self {
            Source::Channel(channel) => std::future::poll_fn(|context| channel.poll_bytes(context))
                .await?
                .ok(),
            Source::Socket(socket, room) => {
                room.reserve(TOGETHER);
                let count = socket.read_buf(room).await.ok()?;
                (count > 0).then(|| Segments::from(room.split().freeze()))
            }
        }
    }
}

/// Where the bytes for a process go.
enum Sink {
    Channel(Arc<Core>),
    Socket(OwnedWriteHalf),
}

impl Sink {
    /// Sends, or says that nothing goes any more.
    async fn send(&mut self, bytes: Segments) -> Result<(), ()> {
        match self {
            Sink::Channel(channel) => {
                channel.room().await.map_err(drop)?;
                channel.send(bytes).map_err(drop)
            }
            Sink::Socket(socket) => socket.write_all(&bytes.into_bytes()).await.map_err(drop),
        }
    }
}

/// Carries frames between processes by their numbers.
#[pyclass(frozen, module = "easycluster._native")]
pub(super) struct Router {
    routes: Arc<Routes>,
    patience: Duration,
    process: u64,
}

#[pymethods]
impl Router {
    /// `most` is how long a payload may be, `gone` the header of a frame that tells that its source is not there, and `patience` how
    /// many seconds a process may take nothing of very much.
    #[new]
    fn new(most: u32, gone: &[u8], patience: f64) -> PyResult<Router> {
        let gone = gone
            .try_into()
            .map_err(|_| PyValueError::new_err(format!("a header has {HEADER} bytes")))?;
        let rules = Rules { most, gone };
        Ok(Router {
            routes: Arc::new(Routes {
                rules,
                state: Mutex::new(State {
                    queues: Queues::new(rules),
                    processes: HashMap::new(),
                }),
            }),
            patience: Duration::try_from_secs_f64(patience)
                .map_err(|error| PyValueError::new_err(error.to_string()))?,
            process: runtime::process(),
        })
    }

    /// Takes in a process at the other end of a channel of bytes, which ends with it.
    fn attach(&self, number: u16, channel: &Channel) -> PyResult<()> {
        let core = channel.core();
        let (source, sink) = (
            Source::Channel(Arc::clone(&core)),
            Sink::Channel(Arc::clone(&core)),
        );
        self.begin(number, Some(self.patience), source, sink, move || {
            core.end(None);
            core.stop();
        })
    }

    /// Takes in what is in this process, and gives the descriptor of a socket that is its stream. It may take nothing for as long as it
    /// likes, unless it is said otherwise.
    #[pyo3(signature = (number, patient=true))]
    fn attach_here(&self, number: u16, patient: bool) -> PyResult<i32> {
        let (ours, theirs) = Socket::pair()?;
        ours.set_nonblocking(true)?;
        let engine = runtime::engine()?;
        let (reading, writing) = {
            let _within = engine.enter();
            UnixStream::from_std(ours)?.into_split()
        };
        let source = Source::Socket(reading, BytesMut::new());
        let patience = (!patient).then_some(self.patience);
        self.begin(number, patience, source, Sink::Socket(writing), || ())?;
        Ok(theirs.into_raw_fd())
    }

    /// Ends the stream of a process.
    fn detach(&self, number: u16) {
        if self.process == runtime::process()
            && let Some(process) = self.routes.lock().processes.get(&number)
        {
            process.detached.notify_one();
        }
    }

    /// Ends all streams.
    fn close(&self) {
        if self.process == runtime::process() {
            for process in self.routes.lock().processes.values() {
                process.detached.notify_one();
            }
        }
    }

    /// How many processes are attached.
    fn __len__(&self) -> usize {
        self.routes.lock().processes.len()
    }
}

impl Router {
    fn begin(
        &self,
        number: u16,
        patience: Option<Duration>,
        source: Source,
        sink: Sink,
        end: impl FnOnce() + Send + 'static,
    ) -> PyResult<()> {
        runtime::check(self.process)?;
        let engine = runtime::engine()?;
        let process = self.routes.enter(number, patience)?;
        let routes = Arc::clone(&self.routes);
        engine.spawn(async move {
            routes.serve(number, &process, source, sink).await;
            routes.leave(number);
            end();
        });
        Ok(())
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.close();
    }
}
