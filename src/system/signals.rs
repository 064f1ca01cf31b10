//! What this process was started with as for signals, as the kernel tells it. Linux alone says so without a handler being set.

/// Whether this process ignores the signal of this number: `nohup`, and shells for what runs in the background, start programs so.
#[cfg(target_os = "linux")]
pub(crate) fn is_ignored(number: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal 1 is the first bit.
    mask.unwrap_or_default()
        .checked_shr(number.unsigned_abs().saturating_sub(1))
        .is_some_and(|bits| bits & 1 == 1)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn is_ignored(_: i32) -> bool {
    false
}
