//! Whether colours are shown: at a terminal, and in a log that shows them without being one.

use std::io;

/// Whether stdout shows colours, and whether stderr does: by what they are, and by what the environment asks for.
pub(crate) fn at_streams() -> [bool; 2] {
    let shows = |choice| choice != anstream::ColorChoice::Never;
    [
        shows(anstream::AutoStream::choice(&io::stdout())),
        shows(anstream::AutoStream::choice(&io::stderr())),
    ]
}

/// Whether a log shows them in which escape sequences are colours: unless the environment asks for none.
pub(crate) fn in_log() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
