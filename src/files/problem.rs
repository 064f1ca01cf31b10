//! What could not be done with a file, and why.

/// What could not be done with something, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Its path, made safe to show.
    pub path: String,
    /// Why, in the words of the system it is on.
    pub reason: String,
}

impl Problem {
    pub(crate) fn new(path: &[u8], reason: impl AsRef<str>) -> Problem {
        Problem {
            path: crate::visible::one_line(&String::from_utf8_lossy(path)),
            reason: crate::visible::one_line(reason.as_ref()),
        }
    }
}
