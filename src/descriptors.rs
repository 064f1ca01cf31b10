//! File descriptors, of which a process has few: the limit is raised at start, and new connections wait while they are short.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

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

/// Connections that are coming about.
static COMING: Mutex<u64> = Mutex::new(0);

/// Leave to connect; what a connection needs only while it is established is free again when it is dropped.
pub(crate) struct Admission(());

impl Drop for Admission {
    fn drop(&mut self) {
        *COMING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}

/// Waits until there are descriptors for one connection more, at most until `deadline`. Connections that are coming
/// about end by limits of their own, or wait for a person; so time counts only while there are none.
///
/// # Errors
/// A sentence, when none became free.
pub(crate) async fn admit(deadline: Option<Instant>) -> Result<Admission, String> {
    let mut idle_since = Instant::now();
    loop {
        let message = match admit_now() {
            Ok(admission) => return Ok(admission),
            Err(message) => message,
        };
        if *COMING.lock().unwrap_or_else(PoisonError::into_inner) > 0 {
            idle_since = Instant::now();
        }
        let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if late || idle_since.elapsed() >= WAIT_LIMIT {
            return Err(message);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn admit_now() -> Result<Admission, String> {
    let mut coming = COMING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        let open = open_now();
        // The first of all is let in with little left: waiting would change nothing.
        let needed = if *coming == 0 {
            EACH
        } else {
            (*coming + 1) * EACH + RESERVE
        };
        if open.is_none_or(|open| open + needed > limit) {
            let count = open.map_or_else(|| "all".to_owned(), |open| open.to_string());
            return Err(format!(
                "file descriptors are short: {count} of {limit} are open, and none became free in time"
            ));
        }
    }
    *coming += 1;
    Ok(Admission(()))
}

/// How many are open; `None` where there are too few to look, or no way to.
fn open_now() -> Option<u64> {
    match std::fs::read_dir("/dev/fd") {
        Ok(entries) => Some(entries.count() as u64),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(0),
        Err(_) => None,
    }
}
