//! Who answers questions: the terminal, or the program that SSH_ASKPASS names, as OpenSSH chooses between them.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use crate::process;
use crate::transport::ssh::prompt::terminal_prompter;
use crate::transport::{Prompter, Question};

/// The program that OpenSSH takes where SSH_ASKPASS names none.
const USUAL_PROGRAM: &str = "/usr/bin/ssh-askpass";

/// Who answers, by the environment. `at_terminal`: there is a terminal to ask on. `None`: there is no way to ask.
pub(crate) fn prompter(at_terminal: bool) -> Option<Prompter> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    match program(at_terminal, variable) {
        Some(program) => Some(Arc::new(move |question: &Question| ask(&program, question))),
        None => at_terminal.then(terminal_prompter),
    }
}

/// The program to ask by, where one is to be.
fn program(at_terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<OsString> {
    let display = variable("DISPLAY").is_some() || variable("WAYLAND_DISPLAY").is_some();
    let required = variable("SSH_ASKPASS_REQUIRE").unwrap_or_default();
    let (wanted, allowed) = match required.to_ascii_lowercase().to_str() {
        Some("force") => (true, true),
        Some("prefer") => (display, display),
        Some("never") => (false, false),
        _ => (false, display),
    };
    if !allowed || at_terminal && !wanted {
        return None;
    }
    match variable("SSH_ASKPASS") {
        Some(program) => Some(program),
        // Where that one is missing too, OpenSSH gets no answer; to say that there is no terminal is clearer.
        None => (cfg!(unix) && Path::new(USUAL_PROGRAM).exists()).then(|| USUAL_PROGRAM.into()),
    }
}

/// The first line that the program prints; nothing where it fails, as when Cancel was pressed.
fn ask(program: &OsString, question: &Question) -> Option<String> {
    let mut command = process::program(program);
    command.arg(&question.text);
    if question.echo {
        // What is asked is shown, but it is not a yes-or-no question, so `confirm` is not said.
        command.env_remove("SSH_ASKPASS_PROMPT");
    }
    let output = process::run(command).ok()?;
    if !output.status.success() {
        return None;
    }
    let said = String::from_utf8(output.stdout).ok()?;
    Some(said.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_chosen_as_openssh_does() {
        let chosen = |at_terminal, set: &[(&str, &str)]| {
            let variable = |name: &str| {
                let found = set.iter().find(|(known, _)| *known == name)?;
                Some(OsString::from(found.1))
            };
            program(at_terminal, variable).is_some()
        };
        let (ask, display) = (("SSH_ASKPASS", "/x"), ("DISPLAY", ":0"));
        let require = |how| ("SSH_ASKPASS_REQUIRE", how);
        for (at_terminal, set, expected) in [
            (true, vec![ask, display], false),
            (false, vec![ask, display], true),
            (false, vec![ask], false),
            (true, vec![ask, require("force")], true),
            (false, vec![ask, require("FORCE")], true),
            (true, vec![ask, require("prefer")], false),
            (true, vec![ask, display, require("prefer")], true),
            (false, vec![ask, display, require("never")], false),
            (false, vec![ask, ("WAYLAND_DISPLAY", "w")], true),
        ] {
            assert_eq!(chosen(at_terminal, &set), expected, "{at_terminal} {set:?}");
        }
    }
}
