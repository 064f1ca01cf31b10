//! Log lines on their way to a file or stderr: written by a thread of their own, so that no client waits for whoever reads the log. Where
//! that one stops, lines are lost, which is said in the log once it goes on.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much waits to be written at most, in bytes.
const MOST: usize = 1 << 20;

/// How long the last lines are waited for.
const LAST_LINES: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// How many lines found no room.
    lost: u64,
    /// Whether a line is being written.
    writing: bool,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes lines. Its clones are the same queue.
#[derive(Clone)]
pub(super) struct LogQueue(Arc<Shared>);

impl LogQueue {
    /// Starts the thread, which writes to `to` as long as this process lives. `tell_lost` logs that so many lines were lost.
    ///
    /// # Errors
    ///
    /// Where there is no room for a thread.
    pub(super) fn start(
        mut to: impl Write + Send + 'static,
        tell_lost: impl Fn(u64) + Send + 'static,
    ) -> io::Result<LogQueue> {
        let shared = Arc::<Shared>::default();
        let queue = LogQueue(Arc::clone(&shared));
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                loop {
                    let (line, lost) = next(&shared);
                    // There is nowhere to say that this cannot be written.
                    let _ = to.write_all(&line).and_then(|()| to.flush());
                    if lost > 0 {
                        tell_lost(lost);
                    }
                }
            })?;
        Ok(queue)
    }

    /// Waits until all lines are written, but not for ever.
    pub(super) fn flush(&self) {
        let is_busy = |waiting: &mut Waiting| waiting.writing || !waiting.lines.is_empty();
        let changed = &self.0.changed;
        let _ = changed.wait_timeout_while(self.0.lock(), LAST_LINES, is_busy);
    }
}

/// The next line, and how many were lost behind those that are left.
fn next(shared: &Shared) -> (Vec<u8>, u64) {
    let mut waiting = shared.lock();
    waiting.writing = false;
    shared.changed.notify_all();
    loop {
        if let Some(line) = waiting.lines.pop_front() {
            waiting.bytes = waiting.bytes.saturating_sub(line.len());
            waiting.writing = true;
            let lost = match waiting.lines.is_empty() {
                true => std::mem::take(&mut waiting.lost),
                false => 0,
            };
            return (line, lost);
        }
        waiting = shared
            .changed
            .wait(waiting)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

impl Write for LogQueue {
    /// Takes a line, or loses it; it never waits.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.lock();
        if waiting.bytes + line.len() > MOST {
            waiting.lost += 1;
        } else {
            waiting.bytes += line.len();
            waiting.lines.push_back(line.to_vec());
            self.0.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits for the last lines when it goes.
pub(super) struct Flushed(pub(super) LogQueue);

impl Drop for Flushed {
    fn drop(&mut self) {
        self.0.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_reader_that_stops_keeps_nobody_and_hears_how_many_lines_it_lost() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let (tell, told) = std::sync::mpsc::channel();
        let lost = move |count| tell.send(count).unwrap_or_default();
        let mut queue = LogQueue::start(writer, lost).expect("a thread");
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        for _ in 0..2000 {
            queue.write_all(&line).expect("taken");
        }
        // Ends also while nobody reads.
        queue.flush();
        let (read, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut whole = vec![0; 1024];
            while reader.read_exact(&mut whole).is_ok() && read.send(whole.clone()).is_ok() {}
        });
        let patience = Duration::from_secs(60);
        let lost = told.recv_timeout(patience).expect("told");
        assert!(lost > 800 && lost < 1000, "{lost}");
        for _ in lost..2000 {
            assert_eq!(lines.recv_timeout(patience).as_ref(), Ok(&line));
        }
    }
}
