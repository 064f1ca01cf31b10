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
    let before = spent(&sessions);
    let mut channels = Vec::new();
    for _ in 0..CHANNELS {
        channels.push(bare.open_idle().await);
    }
    let after = spent(&sessions);
    drop(channels);
    bare.close().await;
    (
        (after.0 - before.0) / CHANNELS,
        (after.1 - before.1) / f64::from(CHANNELS),
    )
}

/// The processor time that some processes of one thread each have used, and the KiB of memory that they have.
fn spent(of: &[processes::Process]) -> (Duration, f64) {
    let mut time = Duration::ZERO;
    let mut memory = 0.0;
    for process in of {
        time += Duration::from_nanos(field(process.pid, "schedstat", 0));
        memory += field(process.pid, "statm", 1) as f64 * 4.0;
    }
    (time, memory)
}

/// A number in a file of /proc; 0 for a process that has ended.
fn field(pid: i32, file: &str, place: usize) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let word = text.split_whitespace().nth(place);
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}
