//! Questions on the terminal, without an echo for secrets; `askpass` says whether they are asked there.

pub(crate) mod askpass;

use std::sync::Arc;

use crate::transport::{Prompter, Question};

/// Asks on the terminal: without echo for secrets. `None` where there is no terminal or the input ends.
pub fn terminal_prompter() -> Prompter {
    Arc::new(|question: &Question| {
        if question.echo {
            let (mut input, mut output) = open_terminal()?;
            use std::io::{BufRead, Write};
            write!(output, "{}", question.text).ok()?;
            output.flush().ok()?;
            let mut line = String::new();
            let read = std::io::BufReader::new(&mut input)
                .read_line(&mut line)
                .ok()?;
            (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
        } else {
            hidden_answer(&question.text).ok()
        }
    })
}

/// Asks for a secret. rpassword edits the line; but it would turn echo off only behind the prompt,
/// and what is typed at once would be shown, so the terminal is in our hands.
#[cfg(unix)]
fn hidden_answer(text: &str) -> std::io::Result<String> {
    use std::io::Write;
    let (input, mut output) = open_terminal().ok_or(std::io::ErrorKind::NotFound)?;
    let _quiet = Quiet::new(input.try_clone()?)?;
    let config = rpassword::ConfigBuilder::new()
        .input_reader(Keys(input))
        .output_writer(output.try_clone()?)
        .build();
    let answer = rpassword::prompt_password_with_config(text, config);
    output.write_all(b"\n")?;
    answer
}

#[cfg(not(unix))]
fn hidden_answer(text: &str) -> std::io::Result<String> {
    rpassword::prompt_password(text)
}

/// What is typed, character by character.
#[cfg(unix)]
struct Keys(std::fs::File);

#[cfg(unix)]
impl std::io::Read for Keys {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            // A terminal that is gone has given no answer, not an empty one.
            0 => Err(std::io::ErrorKind::BrokenPipe.into()),
            count => Ok(count),
        }
    }
}

/// While it lives, the terminal shows nothing of what is typed and hands it over character by character.
#[cfg(unix)]
struct Quiet {
    terminal: std::fs::File,
    before: rustix::termios::Termios,
}

#[cfg(unix)]
impl Quiet {
    fn new(terminal: std::fs::File) -> std::io::Result<Self> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        // Ctrl-C comes as a character too: rpassword makes the signal of it.
        quiet
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(&terminal, OptionalActions::Now, &quiet)?;
        Ok(Quiet { terminal, before })
    }
}

#[cfg(unix)]
impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let now = rustix::termios::OptionalActions::Now;
        _ = rustix::termios::tcsetattr(&self.terminal, now, &self.before);
    }
}

/// The terminal itself and not standard input, which may carry a program's data.
fn open_terminal() -> Option<(std::fs::File, std::fs::File)> {
    let input = std::fs::File::open("/dev/tty").ok()?;
    let output = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/tty")
        .ok()?;
    Some((input, output))
}
