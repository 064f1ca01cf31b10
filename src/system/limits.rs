//! How much of the machine this process may use by its own limits: memory. Windows sets none that a program can ask for this way.

/// The limits on this process's memory, in bytes, that are set.
#[cfg(unix)]
pub(crate) fn own_memory() -> impl Iterator<Item = u64> {
    use rustix::process::{Resource, getrlimit};
    [Resource::As, Resource::Data]
        .into_iter()
        .filter_map(|resource| getrlimit(resource).current)
}

#[cfg(not(unix))]
pub(crate) fn own_memory() -> impl Iterator<Item = u64> {
    std::iter::empty()
}

/// The machine's memory in bytes, where it can be found out.
#[cfg(target_os = "linux")]
pub(crate) fn machine_memory() -> Option<u64> {
    let info = rustix::system::sysinfo();
    Some((info.totalram as u64).saturating_mul(u64::from(info.mem_unit)))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn machine_memory() -> Option<u64> {
    None
}
