//! Files that name hosts: how they are read, and what is said where reading one takes long.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use crate::cli::terminal::failure::{Failure, print_line};
use crate::inventory::text_within;

/// How long nobody wonders what the program does.
const SLOW: Duration = Duration::from_secs(3);

/// The name of a hosts file and its text; `-` is stdin.
///
/// # Errors
///
/// Where the file cannot be read.
pub(super) fn read(path: &Path) -> Result<(String, String), Failure> {
    let (name, text) = if path == Path::new("-") {
        let name = "stdin".to_owned();
        (
            name,
            said_when_slow("stdin, for hosts", || text_within(std::io::stdin())),
        )
    } else {
        let name = path.display().to_string();
        let read = || std::fs::File::open(path).and_then(text_within);
        let text = said_when_slow(&format!("the hosts file {name}"), read);
        (name, text)
    };
    let text = text.map_err(|error| {
        Failure::usage(format!("cannot read the hosts file {name}: {error}"))
            .with_hint("-f takes a text file with one connection spec per line; hosts themselves stand without -f")
    })?;
    Ok((name, text))
}

/// Does the work, and says on stderr what is waited for where it takes long: a pipe, a network drive or an inventory program may never
/// answer.
pub(super) fn said_when_slow<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (done, waiting) = mpsc::channel::<()>();
    std::thread::scope(|threads| {
        threads.spawn(move || {
            if waiting.recv_timeout(SLOW) == Err(mpsc::RecvTimeoutError::Timeout) {
                print_line(&format!("waiting for {what}; Ctrl-C gives up"));
            }
        });
        let result = work();
        drop(done);
        result
    })
}
