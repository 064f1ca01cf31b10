//! How much memory this process may use: the least of what its control group, its own limits and the machine allow.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use crate::system::limits;

/// What is taken for the machine's memory where it cannot be found out, in bytes.
const UNKNOWN: u64 = 8 << 30;

/// How many bytes this process may use in all.
pub(crate) fn allowed() -> u64 {
    // What groups and the machine allow stays as it is; a program may lower its own limits at any time.
    static OUTSIDE: OnceLock<u64> = OnceLock::new();
    let outside = *OUTSIDE.get_or_init(|| {
        let machine = limits::machine_memory().unwrap_or(UNKNOWN);
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        group(&groups, Path::new("/sys/fs/cgroup")).map_or(machine, |group| group.min(machine))
    });
    limits::own_memory().fold(outside, u64::min)
}

/// The least limit of the control group that `groups`, the text of `/proc/self/cgroup`, names, and of those above it.
fn group(groups: &str, root: &Path) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let (root, file) = match controllers {
            "" => (root.to_path_buf(), "memory.max"),
            list if list.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        // In a container the path may be that of the machine outside; the group's own files are then at the top.
        Path::new(path.trim_start_matches('/'))
            .ancestors()
            .filter_map(|group| fs::read_to_string(root.join(group).join(file)).ok())
            .filter_map(|limit| limit.trim().parse::<u64>().ok())
            .min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    }

    #[test]
    fn the_least_limit_of_all_groups_above_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        write(&root.join("a/memory.max"), "500\n");
        write(&root.join("a/b/memory.max"), "max\n");
        write(&root.join("memory/c/memory.limit_in_bytes"), "400\n");
        assert_eq!(group("0::/a/b\n", root), Some(500));
        assert_eq!(group("0::/\n", root), None);
        assert_eq!(group("4:cpu,memory:/c/d\n0::/a\n", root), Some(400));
        assert_eq!(group("0::/../../elsewhere\n", root), None);
        assert_eq!(group("no such line", root), None);
    }

    #[test]
    fn this_process_may_use_some_memory() {
        assert!(allowed() > 1 << 20, "{}", allowed());
    }
}
