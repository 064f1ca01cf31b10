//! What a session channel on which nothing runs costs the SSH server.

use std::fs;
use std::time::Duration;

use super::Floor;
use crate::support::{Sshd, processes};

const CHANNELS: u32 = 64;

/// The processor time and the KiB of memory that sshd takes for one.
pub async fn channel(server: &Sshd) -> (Duration, f64) {
    let key = &server.key.private;
    let bare = Floor::connect("127.0.0.1", server.port(), server.user(), key).await;
    let sessions = processes::descendants(server.pid() as i32);
    let before: Vec<_> = sessions.iter().map(spent).collect();
    let mut channels = Vec::new();
    for _ in 0..CHANNELS {
        channels.push(bare.open_idle().await);
    }
    let (mut time, mut memory) = (Duration::ZERO, 0.0);
    for (process, before) in sessions.iter().zip(before) {
        let after = spent(process);
        // What an earlier connection has left may end meanwhile.
        if after.0 >= before.0 {
            time += after.0 - before.0;
            memory += after.1 - before.1;
        }
    }
    drop(channels);
    bare.close().await;
    (time / CHANNELS, memory / f64::from(CHANNELS))
}

/// The processor time that a process of one thread has used, and the KiB of memory that it has; nothing where it has ended.
fn spent(of: &processes::Process) -> (Duration, f64) {
    (
        Duration::from_nanos(field(of.pid, "schedstat", 0)),
        field(of.pid, "statm", 1) as f64 * 4.0,
    )
}

/// A number in a file of /proc; 0 for a process that has ended.
fn field(pid: i32, file: &str, place: usize) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let word = text.split_whitespace().nth(place);
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}
