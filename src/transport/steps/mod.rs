//! Steps between the login and the interpreter: the command that goes through them, what they ask on the way, why they fail.
//!
//! A password is written only in answer to a prompt that was seen, at most once a step, and never when the first stage has
//! spoken: from then on the program behind the steps would read it.

mod command;
mod conversation;
mod dialogue;
mod explain;
mod terminal;
mod tokens;

use std::collections::VecDeque;

use bytes::Bytes;

use super::{ExitStatus, Process, ReadEvent, Reader, TransportOptions};
use crate::error::{ConnectError, Stage};
use crate::spec::Step;
use crate::stub::{Bootstrap, halves, new_marker};
pub(crate) use conversation::{Stopped, go_through};
use tokens::Tokens;

/// What a start through steps is recognized by, and what it must not repeat in an error.
pub(crate) struct Passage {
    /// What the other side prints when it is through; 16 hex digits, and maybe a newline.
    marker: String,
    /// What runs behind the steps.
    script: String,
}

impl Passage {
    /// That of a stub.
    pub(crate) fn of(bootstrap: &Bootstrap) -> Self {
        Passage {
            marker: bootstrap.marker().to_owned(),
            script: bootstrap.script().to_owned(),
        }
    }

    fn token(&self) -> &str {
        self.marker.trim_end()
    }

    /// What was printed, without the whole script, which a policy repeats, and with prompts in words.
    fn in_words(&self, printed: &[u8]) -> String {
        let text = String::from_utf8_lossy(printed).replace(&self.script, "\u{2026}");
        Tokens::new(self.token()).in_words(&text)
    }
}

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
    check(host, steps)?;
    let shell = ["/bin/sh", "-c", bootstrap.script()].map(str::to_owned);
    let command = command::through(steps, &Tokens::new(bootstrap.marker()), shell.into());
    Ok(bootstrap.by(command))
}

fn check(host: &str, steps: &[Step]) -> Result<(), ConnectError> {
    for (index, step) in steps.iter().enumerate() {
        if let Err(reason) = step.to_string().parse::<Step>() {
            return Err(ConnectError::new(host, Stage::Configure, reason));
        }
        let is_doas = matches!(step, Step::Doas { .. });
        if is_doas && step.password().is_some() && !command::has_terminal(steps, index) {
            let reason = "doas takes a password on a terminal alone";
            let error = ConnectError::new(host, Stage::Configure, reason);
            return Err(error.with_hint(format!("put the step tty in front: then=tty,{step}")));
        }
    }
    Ok(())
}

/// For sh: runs the script that is its `$0` in a process group of its own, so that all of it can be signalled. sudo and doas leave
/// it in theirs, and signalling that would be theirs to do. Where the shell leads its group already, setsid would only fork.
const OWN_GROUP: &str = "if [ -r /proc/$$/stat ]&&command -v setsid >/dev/null 2>&1;then read -r a b c d g r </proc/$$/stat;[ \"$g\" = $$ ]||exec setsid /bin/sh -c \"$0\";fi;exec /bin/sh -c \"$0\"";

/// A shell command behind steps, which says when it is reached: the line for the login shell, and what that is.
///
/// # Errors
/// As `behind`, and where the system has no randomness.
pub(crate) fn announced(
    host: &str,
    command: &str,
    steps: &[Step],
) -> Result<(String, Passage), ConnectError> {
    check(host, steps)?;
    let marker = new_marker()?;
    let (first, second) = halves(&marker);
    let script = format!("echo {first}\"\"{second};{command}");
    let shell = ["/bin/sh", "-c", OWN_GROUP, &script].map(str::to_owned);
    let line = command::through(steps, &Tokens::new(&marker), shell.into());
    let marker = marker + "\n";
    Ok((line, Passage { marker, script }))
}

/// Goes through the steps to a command of `announced`, and gives the process back as if it had been started without.
pub(crate) async fn reach(
    host: &str,
    steps: &[Step],
    passage: &Passage,
    mut process: Process,
    options: &TransportOptions,
) -> Result<Process, ConnectError> {
    let read = match go_through(host, steps, passage, &mut process, options).await {
        Ok(read) => read,
        Err(Stopped::Failed(error)) => return Err(error),
        Err(Stopped::Lost) => return Err(lost(host)),
    };
    let tokens = Tokens::new(passage.token());
    let without = |event| match event {
        ReadEvent::Stdout(data) => {
            let marker = passage.marker.as_bytes();
            let at = super::tail::find(&data, marker).unwrap_or_default();
            let before = data.slice(..at);
            let behind = data.slice((at + marker.len()).min(data.len())..);
            ReadEvent::Stdout(Bytes::from([before, behind].concat()))
        }
        ReadEvent::Stderr(data) => {
            ReadEvent::Stderr(tokens.without(&String::from_utf8_lossy(&data)).into())
        }
        end => end,
    };
    let is_some = |event: &ReadEvent| match event {
        ReadEvent::Stdout(data) | ReadEvent::Stderr(data) => !data.is_empty(),
        ReadEvent::OutputEnd | ReadEvent::Exit(_) => true,
    };
    let first: VecDeque<ReadEvent> = read.into_iter().map(without).filter(is_some).collect();
    if !first.is_empty() {
        process.reader = Reader::Ahead(first, Box::new(process.reader));
    }
    Ok(process)
}

/// The connection ended on the way.
pub(crate) fn lost(host: &str) -> ConnectError {
    ConnectError::new(
        host,
        Stage::Escalation,
        "the connection ended before the steps were through",
    )
    .with_hint("connect again")
}

/// Whether a step may ask for something that is typed, so that input is held back until the first stage has spoken.
pub(crate) fn may_ask(steps: &[Step]) -> bool {
    (0..steps.len()).any(|index| command::may_ask(steps, index))
}

/// Why the way through the steps ended before the first stage said a word, with what was printed. `None` without steps, and
/// where it was the connection that ended.
pub(crate) fn explain(
    host: &str,
    steps: &[Step],
    bootstrap: &Bootstrap,
    status: Option<&ExitStatus>,
    printed: &[u8],
) -> Option<ConnectError> {
    let printed = in_words(bootstrap, printed);
    explain::explain(host, steps, status, &printed)
        .map(|error| error.with_output(printed.as_bytes()))
}

/// What was printed, for people.
pub(crate) fn in_words(bootstrap: &Bootstrap, printed: &[u8]) -> String {
    Passage::of(bootstrap).in_words(printed)
}
