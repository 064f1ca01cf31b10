//! Processes as /proc shows them: whose children they are, which mark their environment has, and an end to them.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use super::until;

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
    pids().filter_map(read).collect()
}

/// Looks at those of `left` that run on unchanged, and where there are none of them any more, at what `look` finds: one after the
/// other, because a look at all processes costs far more than one at a few. `left` is empty at the end where nothing is left.
pub fn look_again(left: &mut Vec<Process>, look: impl FnOnce() -> Vec<Process>) {
    left.retain(|process| read(process.pid).as_ref() == Some(process));
    if left.is_empty() {
        *left = look();
    }
}

/// Waits until `look` finds none, and lets our own tasks run meanwhile.
pub async fn until_none(look: impl Fn() -> Vec<Process>) {
    let mut left = Vec::new();
    until(|| {
        look_again(&mut left, &look);
        if left.is_empty() {
            Ok(())
        } else {
            Err(left.clone())
        }
    })
    .await;
}

fn pids() -> impl Iterator<Item = i32> {
    let folders = fs::read_dir("/proc").expect("/proc is there");
    folders.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn read(pid: i32) -> Option<Process> {
    let parent = parent(pid)?;
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

/// The parent of a process that is no zombie.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in the second field may have blanks and brackets of its own.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(parent)
}

/// The children of a process, their children, and so on, without itself.
pub fn descendants(pid: i32) -> Vec<Process> {
    // The command lines of others are not read: they cost most.
    let all: Vec<(i32, i32)> = pids().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        let children = all.iter().filter(|(_, of)| *of == parent);
        let children = children.map(|(child, _)| *child);
        parents.extend(children.clone());
        found.extend(children.filter_map(read));
    }
    found
}

/// The processes that were started with `name=value` in their environment, whatever their parent is by now.
pub fn with_environment(name: &str, value: &str) -> Vec<Process> {
    let wanted = format!("{name}={value}").into_bytes();
    let has_mark = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == wanted)
    };
    pids().filter(has_mark).filter_map(read).collect()
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
