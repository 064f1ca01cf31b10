//! `src/descriptors.rs` of Windows, where handles are not short and no child is forked: nothing is raised, waited for or noted.

use std::time::Instant;

/// There is no limit to raise.
pub(crate) fn raise_limit(_most: u64) {}

/// Leave to connect.
pub(crate) struct Admission(());

/// Everybody is let in.
///
/// # Errors
/// None; elsewhere a sentence, where no descriptor becomes free.
pub(crate) async fn admit(_deadline: Option<Instant>) -> Result<Admission, String> {
    Ok(Admission(()))
}

/// No child gets it.
pub(crate) fn of_connection<T>(_handle: T) {}

/// No handle has the number of a standard stream.
#[cfg(feature = "python")]
pub(crate) fn fill_standard_streams() {}

/// A closed standard output refuses by itself to be written.
#[cfg(feature = "cli")]
pub fn note_closed_output() {}

/// It was not looked at.
#[cfg(feature = "cli")]
pub(crate) fn output_is_closed() -> bool {
    false
}

/// No path leads to a standard stream.
#[cfg(feature = "cli")]
pub(crate) fn standard_output_at(_path: &std::path::Path) -> Option<std::fs::File> {
    None
}
