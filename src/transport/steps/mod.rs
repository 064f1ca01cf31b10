//! Steps between the login and the interpreter: the command that goes through them, what they ask on the way, why they fail.
//!
//! A password is written only in answer to a prompt that was seen, at most once a step, and never when the first stage has
//! spoken: from then on the program behind the steps would read it.

mod command;
mod conversation;
mod dialogue;
mod explain;
mod tokens;

use crate::error::{ConnectError, Stage};
use crate::spec::Step;
use crate::stub::Bootstrap;
pub(crate) use conversation::{Stopped, go_through};
use tokens::Tokens;

/// The start of a stub behind steps, if there are any.
///
/// # Errors
/// At stage configure, for a step that a program made of what no step may hold.
pub(crate) fn behind(
    host: &str,
    bootstrap: Bootstrap,
    steps: &[Step],
) -> Result<Bootstrap, ConnectError> {
    if steps.is_empty() {
        return Ok(bootstrap);
    }
    for step in steps {
        if let Err(reason) = step.to_string().parse::<Step>() {
            return Err(ConnectError::new(host, Stage::Configure, reason));
        }
    }
    let shell = ["/bin/sh", "-c", bootstrap.script()].map(str::to_owned);
    let command = command::through(steps, &Tokens::new(&bootstrap), shell.into());
    Ok(bootstrap.by(command))
}

/// Whether a step may ask for something that is typed, so that input is held back until the first stage has spoken.
pub(crate) fn may_ask(steps: &[Step]) -> bool {
    steps.iter().any(command::may_ask)
}

/// Why the way through the steps ended before the first stage said a word, with what was printed. `None` without steps, and
/// where it was the connection that ended.
pub(crate) fn explain(
    host: &str,
    steps: &[Step],
    bootstrap: &Bootstrap,
    status: Option<&super::ExitStatus>,
    printed: &[u8],
) -> Option<ConnectError> {
    let printed = in_words(bootstrap, printed);
    explain::explain(host, steps, status, &printed)
        .map(|error| error.with_output(printed.as_bytes()))
}

/// What was printed, without the whole script, which a policy repeats, and with prompts in words.
pub(crate) fn in_words(bootstrap: &Bootstrap, printed: &[u8]) -> String {
    let text = String::from_utf8_lossy(printed).replace(bootstrap.script(), "\u{2026}");
    Tokens::new(bootstrap).in_words(&text)
}
