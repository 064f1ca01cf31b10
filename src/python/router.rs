//! The router of Dask's messages: carries frames between the master and the workers of a cluster, by two numbers in their headers.
//!
//! Each process has one stream to it. What is on its way to a process waits in a queue, which the credit of the streams
//! (`dask/comm.py`) bounds; so one that stands still holds up nobody else. A process that ignores credit is read no further once
//! `MOST_WAITING` of its bytes wait.

use std::collections::HashMap;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream as Socket;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::connection::Channel as Core;
use crate::wire::{Gather, Segments};

use super::channel::Channel;
use super::runtime;

/// Bytes of a header, whose layout is that of `dask/comm.py`. Read here are the numbers of source and target, which are its first
/// four bytes, and the length of the payload, its last four.
const HEADER: usize = 16;
/// Bytes that are written at once, where more frames wait.
const TOGETHER: usize = 1 << 18;
/// Bytes of one process that may wait for others. More than credit allows to many streams.
const MOST_WAITING: usize = 256 << 20;

/// A frame on its way, and its share of what may wait.
struct Waiting {
    frame: Segments,
    share: Option<OwnedSemaphorePermit>,
}

struct Process {
    waiting: UnboundedSender<Waiting>,
    detached: Arc<Notify>,
}

/// The processes by their numbers, and what frames may be.
struct Routes {
    processes: Mutex<HashMap<u16, Process>>,
    most: u32,
    /// The header of a frame that tells that its source is not there.
    gone: [u8; HEADER],
}

impl Routes {
    fn lock(&self) -> MutexGuard<'_, HashMap<u16, Process>> {
        self.processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a process in; gives what will be for it, and what is told when it is detached.
    fn enter(&self, number: u16) -> PyResult<(UnboundedReceiver<Waiting>, Arc<Notify>)> {
        let (waiting, frames) = unbounded_channel();
        let detached = Arc::new(Notify::new());
        let process = Process {
            waiting,
            detached: Arc::clone(&detached),
        };
        match self.lock().entry(number) {
            std::collections::hash_map::Entry::Occupied(_) => Err(PyValueError::new_err(format!(
                "process {number} is attached already"
            ))),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(process);
                Ok((frames, detached))
            }
        }
    }

    /// Forgets a process, and tells the others.
    fn leave(&self, number: u16) {
        let mut processes = self.lock();
        processes.remove(&number);
        for (other, process) in processes.iter() {
            _ = process.waiting.send(Waiting {
                frame: self.gone(number, *other),
                share: None,
            });
        }
    }

    /// What tells a process that another is not there.
    fn gone(&self, process: u16, told: u16) -> Segments {
        let [_, _, _, _, rest @ ..] = self.gone;
        let mut header = BytesMut::with_capacity(HEADER);
        header.extend_from_slice(&process.to_be_bytes());
        header.extend_from_slice(&told.to_be_bytes());
        header.extend_from_slice(&rest);
        Segments::from(header.freeze())
    }

    /// Puts a frame of a process into the queue of another, or into its own that the other is not there.
    fn pass(&self, source: u16, target: u16, frame: Segments, share: OwnedSemaphorePermit) {
        let processes = self.lock();
        let (queue, frame) = match processes.get(&target) {
            Some(process) => (process, frame),
            None => match processes.get(&source) {
                Some(own) => (own, self.gone(target, source)),
                None => return,
            },
        };
        // Where its writer has ended, its reader tells of it.
        _ = queue.waiting.send(Waiting {
            frame,
            share: Some(share),
        });
    }

    /// Carries what a process sends, until its stream ends or it breaks the rules.
    async fn carry(&self, number: u16, mut from: Source) {
        let shares = Arc::new(Semaphore::new(MOST_WAITING));
        let mut came = Gather::new();
        let mut header = None;
        while let Some(pieces) = from.next().await {
            pieces.into_iter().for_each(|piece| came.push(piece));
            while let Some(head) = header.take().or_else(|| came.take_array::<HEADER>()) {
                let [s0, s1, t0, t1, _, _, _, _, _, _, _, _, l0, l1, l2, l3] = head;
                let length = u32::from_be_bytes([l0, l1, l2, l3]);
                if u16::from_be_bytes([s0, s1]) != number || length > self.most {
                    // Nobody speaks for another, or fills the memory here.
                    return;
                }
                let Some(payload) = came.take(length as usize) else {
                    header = Some(head);
                    break;
                };
                let mut frame = Segments::from(Bytes::copy_from_slice(&head));
                frame.append(payload);
                let size = u32::try_from(frame.len()).unwrap_or(u32::MAX);
                let Ok(share) = Arc::clone(&shares).acquire_many_owned(size).await else {
                    return;
                };
                self.pass(number, u16::from_be_bytes([t0, t1]), frame, share);
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

    /// Sends what waits, as it comes.
    async fn deliver(mut self, mut waiting: UnboundedReceiver<Waiting>) {
        while let Some(first) = waiting.recv().await {
            let mut shares = vec![first.share];
            let mut together = first.frame;
            while together.len() < TOGETHER
                && let Ok(next) = waiting.try_recv()
            {
                together.append(next.frame);
                shares.push(next.share);
            }
            if self.send(together).await.is_err() {
                return;
            }
        }
    }
}

/// Carries frames between processes by their numbers.
#[pyclass(frozen, module = "easycluster._native")]
pub(super) struct Router {
    routes: Arc<Routes>,
    process: u64,
}

#[pymethods]
impl Router {
    /// `most` is how long a payload may be, and `gone` the header of a frame that tells that its source is not there.
    #[new]
    fn new(most: u32, gone: &[u8]) -> PyResult<Router> {
        let gone = gone
            .try_into()
            .map_err(|_| PyValueError::new_err(format!("a header has {HEADER} bytes")))?;
        Ok(Router {
            routes: Arc::new(Routes {
                processes: Mutex::default(),
                most,
                gone,
            }),
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
        self.begin(number, source, sink, move || {
            core.end(None);
            core.stop();
        })
    }

    /// Takes in a process of this one, and gives the descriptor of a socket that is its stream.
    fn attach_here(&self, number: u16) -> PyResult<i32> {
        let (ours, theirs) = Socket::pair()?;
        ours.set_nonblocking(true)?;
        let engine = runtime::engine()?;
        let (reading, writing) = {
            let _within = engine.enter();
            UnixStream::from_std(ours)?.into_split()
        };
        let source = Source::Socket(reading, BytesMut::new());
        self.begin(number, source, Sink::Socket(writing), || ())?;
        Ok(theirs.into_raw_fd())
    }

    /// Ends the stream of a process.
    fn detach(&self, number: u16) {
        if self.process == runtime::process()
            && let Some(process) = self.routes.lock().get(&number)
        {
            process.detached.notify_one();
        }
    }

    /// Ends all streams.
    fn close(&self) {
        if self.process == runtime::process() {
            for process in self.routes.lock().values() {
                process.detached.notify_one();
            }
        }
    }

    /// How many processes are attached.
    fn __len__(&self) -> usize {
        self.routes.lock().len()
    }
}

impl Router {
    fn begin(
        &self,
        number: u16,
        source: Source,
        sink: Sink,
        end: impl FnOnce() + Send + 'static,
    ) -> PyResult<()> {
        runtime::check(self.process)?;
        let engine = runtime::engine()?;
        let (frames, detached) = self.routes.enter(number)?;
        let writer = engine.spawn(sink.deliver(frames)).abort_handle();
        let routes = Arc::clone(&self.routes);
        engine.spawn(async move {
            tokio::select! {
                () = detached.notified() => {}
                () = routes.carry(number, source) => {}
            }
            routes.leave(number);
            writer.abort();
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
