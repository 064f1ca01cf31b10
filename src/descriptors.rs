//! File descriptors, of which a process has few: the limit is raised at start, new connections wait while they are short,
//! those of connections are not left to forked children, and none of ours is a standard stream.

use std::os::fd::{AsFd, AsRawFd};
#[cfg(feature = "cli")]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::fstat;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What one connection needs while it is established: its socket, a look-up's, an agent's, pipes of a command, a file.
const EACH: u64 = 8;
/// Kept free for everything else: files of the caller, Python's modules, children's pipes.
const RESERVE: u64 = 8;
/// The time between two looks while they are short.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How long a connection waits for others to end, where nothing else is set.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// Raises the number of files that this process may open, up to what it may allow itself and to `most`. Children inherit it.
pub(crate) fn raise_limit(most: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // No limit at all is said by `None`.
    let wanted = maximum.map_or(most, |maximum| maximum.min(most));
    if current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            maximum,
        };
        // Where the system says no, the limit stays as it was, and connections wait for each other.
        _ = setrlimit(Resource::Nofile, raised);
    }
}

/// Connections that are coming about, and what was seen last.
struct Seen {
    coming: u64,
    /// When the last of them came about or failed.
    idle_since: Option<Instant>,
    /// How many descriptors were open, and when.
    open: Option<(u64, Instant)>,
    /// Connections that were admitted since.
    admitted: u64,
}

static SEEN: Mutex<Seen> = Mutex::new(Seen {
    coming: 0,
    idle_since: None,
    open: None,
    admitted: 0,
});

/// Told in a forked child: what is coming about is the parent's, and does not come to an end here.
#[cfg(feature = "python")]
pub(crate) fn leave_coming() {
    // Where another thread of the parent's held it at the fork, nobody gives it back.
    if let Ok(mut seen) = SEEN.try_lock() {
        seen.coming = 0;
        seen.open = None;
    }
}

/// Who waits for descriptors looks for them; the others wait behind, because a look takes time for each open one.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn seen() -> MutexGuard<'static, Seen> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leave to connect; what a connection needs only while it is established is free again when it is dropped.
pub(crate) struct Admission(());

impl Drop for Admission {
    fn drop(&mut self) {
        let mut seen = seen();
        seen.coming -= 1;
        seen.idle_since = Some(Instant::now());
    }
}

/// Waits until there are descriptors for one connection more, at most until `deadline`. Connections that are coming
/// about end by limits of their own, or wait for a person; so time counts only while there are none.
///
/// # Errors
/// A sentence, when none became free.
pub(crate) async fn admit(deadline: Option<Instant>) -> Result<Admission, String> {
    let begun = Instant::now();
    // Not for ever: in a forked child it may be a turn of the parent's.
    let patience = deadline.unwrap_or(begun + WAIT_LIMIT);
    let _turn = tokio::time::timeout_at(patience.into(), TURN.lock()).await;
    loop {
        let message = match seen().admit() {
            Ok(admission) => return Ok(admission),
            Err(message) => message,
        };
        let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if late || seen().idle(begun) >= WAIT_LIMIT {
            return Err(message);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

impl Seen {
    /// How long there has been none that is coming, for one who waits since `begun`.
    fn idle(&self, begun: Instant) -> Duration {
        match self.idle_since {
            _ if self.coming > 0 => Duration::ZERO,
            Some(since) => begun.max(since).elapsed(),
            None => begun.elapsed(),
        }
    }

    fn admit(&mut self) -> Result<Admission, String> {
        if let Some(limit) = getrlimit(Resource::Nofile).current {
            // The first of all is let in with little left: waiting would change nothing.
            let needed = if self.coming == 0 {
                EACH
            } else {
                (self.coming + 1) * EACH + RESERVE
            };
            if !self.is_enough(needed, limit) {
                let open = open_now();
                self.open = open.map(|open| (open, Instant::now()));
                self.admitted = 0;
                if open.is_none_or(|open| open + needed > limit) {
                    let count = open.map_or_else(|| "all".to_owned(), |open| open.to_string());
                    return Err(format!(
                        "file descriptors are short: {count} of {limit} are open, and none became free in time"
                    ));
                }
            }
        }
        self.coming += 1;
        self.admitted += 1;
        Ok(Admission(()))
    }

    /// Whether there are enough by what was seen a moment ago, whatever was admitted since.
    fn is_enough(&self, needed: u64, limit: u64) -> bool {
        self.open.is_some_and(|(open, when)| {
            when.elapsed() < LOOK_INTERVAL && open + self.admitted * EACH + needed <= limit
        })
    }
}

/// How many are open; `None` where there are too few to look, or no way to.
fn open_now() -> Option<u64> {
    match std::fs::read_dir("/dev/fd") {
        Ok(entries) => Some(entries.count() as u64),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(0),
        Err(_) => None,
    }
}

/// How many numbers are looked after; the limits of most systems are lower.
const NUMBERS: usize = 65_536;
/// The inode behind each number that belongs to a connection; 0: none. Entries of what was closed stay, and the inode tells
/// that another file has the number now. Without a lock, because a forked child reads it while other threads may have held one.
static OF_CONNECTIONS: [AtomicU64; NUMBERS] = [const { AtomicU64::new(0) }; NUMBERS];
/// All numbers of connections are below.
static BELOW: AtomicUsize = AtomicUsize::new(0);

/// The socket or pipe belongs to a connection, which ends at the other side when this process ends: no forked child is to
/// keep it. Where the system gives sockets no inode, they are not looked after.
pub(crate) fn of_connection(descriptor: impl AsFd) {
    let number = usize::try_from(descriptor.as_fd().as_raw_fd()).unwrap_or(usize::MAX);
    if let (Ok(stat), Some(entry)) = (fstat(&descriptor), OF_CONNECTIONS.get(number)) {
        entry.store(stat.st_ino, Ordering::SeqCst);
        BELOW.fetch_max(number + 1, Ordering::SeqCst);
    }
}

/// The descriptors that belong to connections, with their inodes, as far as they were not closed meanwhile. Forgets them.
#[cfg(feature = "python")]
pub(crate) fn take_of_connections() -> impl Iterator<Item = (i32, u64)> {
    let entries = OF_CONNECTIONS
        .iter()
        .take(BELOW.swap(0, Ordering::SeqCst))
        .zip(0..);
    entries
        .map(|(entry, number)| (number, entry.swap(0, Ordering::SeqCst)))
        .filter(|(_, inode)| *inode != 0)
}

/// Opens `/dev/null` for each standard stream that this process was started without, so that no file, pipe or socket gets its
/// number and with it what others print. Rust's own start does the same for programs, not for libraries.
#[cfg(feature = "python")]
pub(crate) fn fill_standard_streams() {
    let all = [
        is_closed(rustix::stdio::stdin()),
        is_closed(rustix::stdio::stdout()),
        is_closed(rustix::stdio::stderr()),
    ];
    for _ in all.into_iter().filter(|closed| *closed) {
        // The lowest free number is one of the three. It stays open for good.
        open_as_lowest("/dev/null");
    }
}

/// Whether standard output was closed when this process started.
#[cfg(feature = "cli")]
static OUTPUT_IS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Notes whether standard output is closed, which nobody can tell once Rust has started: then `/dev/null` is in its place, and
/// what is written would be lost without a word. In place of it comes a file that refuses to be written, where there is one.
#[cfg(feature = "cli")]
pub fn note_closed_output() {
    if !is_closed(rustix::stdio::stdout()) {
        return;
    }
    OUTPUT_IS_CLOSED.store(true, Ordering::SeqCst);
    if is_closed(rustix::stdio::stdin()) {
        open_as_lowest("/dev/null");
    }
    open_as_lowest("/dev/full");
}

/// Whether [`note_closed_output`] found it closed.
#[cfg(feature = "cli")]
pub(crate) fn output_is_closed() -> bool {
    OUTPUT_IS_CLOSED.load(Ordering::SeqCst)
}

#[cfg(feature = "cli")]
fn is_closed(stream: impl AsFd) -> bool {
    rustix::io::fcntl_getfd(stream) == Err(rustix::io::Errno::BADF)
}

#[cfg(feature = "cli")]
fn open_as_lowest(path: &str) {
    if let Ok(file) = std::fs::File::options().read(true).write(true).open(path) {
        _ = std::os::fd::IntoRawFd::into_raw_fd(file);
    }
}

/// Our stdout or stderr, where the path leads to the same file, as `/dev/stdout` does.
#[cfg(feature = "cli")]
pub(crate) fn standard_output_at(path: &std::path::Path) -> Option<std::fs::File> {
    use std::os::unix::fs::MetadataExt;
    let wanted = path.metadata().ok()?;
    let ours = [rustix::stdio::stdout(), rustix::stdio::stderr()];
    let mut ours = ours
        .into_iter()
        .filter_map(|stream| stream.try_clone_to_owned().ok())
        .map(std::fs::File::from);
    ours.find(|stream| {
        let there = stream.metadata();
        there.is_ok_and(|there| (there.dev(), there.ino()) == (wanted.dev(), wanted.ino()))
    })
}
