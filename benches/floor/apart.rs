//! Keeps client and server on processors of their own, as two machines are: where the kernel puts them decides more than either does.

use std::fs;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::support::{Sshd, processes};

/// This thread and the server's processes on processors apart; as before when dropped. Nothing where there is only one.
pub struct Apart {
    before: Option<CpuSet>,
}

impl Apart {
    pub fn new(server: &Sshd) -> Apart {
        let allowed = sched_getaffinity(None).expect("the kernel tells");
        let mut usable = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        let (Some(first), Some(last)) = (usable.next(), usable.next_back()) else {
            return Apart { before: None };
        };
        let only = |cpu| {
            let mut set = CpuSet::new();
            set.set(cpu);
            set
        };
        for process in processes::descendants(server.pid() as i32) {
            for thread in threads(process.pid) {
                // A thread that has ended meanwhile needs no place.
                let _ = sched_setaffinity(Some(thread), &only(last));
            }
        }
        sched_setaffinity(None, &only(first)).expect("a thread may place itself");
        Apart {
            before: Some(allowed),
        }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            sched_setaffinity(None, before).expect("a thread may place itself");
        }
    }
}

fn threads(pid: i32) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .collect()
}
