//! Processes as /proc shows them: whose children they are, which mark their environment has, and an end to them.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// One process, and what it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub command: String,
}

impl Process {
    /// Sends SIGKILL; a process that is gone already is fine.
    pub fn kill(&self) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    pub fn is_alive(&self) -> bool {
        read(self.pid).is_some()
    }
}

/// Every process but zombies, which have ended and only wait for their parent.
pub fn all() -> Vec<Process> {
    let folders = fs::read_dir("/proc").expect("/proc is there");
    let pids = folders.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(read).collect()
}

fn read(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in the second field may have blanks and brackets of its own.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command)
        .replace('\0', " ")
        .trim()
        .to_string();
    Some(Process {
        pid,
        parent,
        command,
    })
}

/// The children of a process, their children, and so on, without itself.
pub fn descendants(pid: i32) -> Vec<Process> {
    let all = all();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        let children: Vec<_> = all
            .iter()
            .filter(|process| process.parent == parent)
            .cloned()
            .collect();
        parents.extend(children.iter().map(|process| process.pid));
        found.extend(children);
    }
    found
}

/// The processes that were started with `name=value` in their environment, whatever their parent is by now.
pub fn with_environment(name: &str, value: &str) -> Vec<Process> {
    let wanted = format!("{name}={value}").into_bytes();
    let has_mark = |process: &Process| {
        let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == wanted)
    };
    all().into_iter().filter(has_mark).collect()
}

/// The most memory that a process has had at once, in bytes.
pub fn peak_memory(pid: u32) -> u64 {
    status_kib(pid, "VmHWM:") * 1024
}

/// The memory that this process has now, in bytes.
pub fn own_memory() -> u64 {
    status_kib(std::process::id(), "VmRSS:") * 1024
}

/// How many descriptors a process has open.
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("the process lives")
        .count()
}

/// How many threads a process has.
pub fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task"))
        .expect("the process lives")
        .count()
}

fn status_kib(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .expect("the field is there");
    line.trim()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .expect("a number")
}
