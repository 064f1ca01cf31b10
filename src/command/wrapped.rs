//! The remote command line of a command, and what follows it on the control stream: its words, folder and environment as shell text.

use bytes::Bytes;

use super::CommandLine;
use crate::stub::FirstStage;
use crate::stub::program::PythonProgram;

/// The script around every command; one line without what a login shell would change.
const WRAPPER: &str = include_str!("wrapper.sh");

/// The function by which the shell becomes the command.
const EXEC: &str = "x() { exec \"$@\"; };";

/// The longest text of a program that is an environment variable for its Python, in bytes; systems allow 128 KiB in one. A longer
/// one comes through a pipe, beside which the shell has to wait.
const LONGEST_VARIABLE: usize = 64 * 1024;

/// A command line longer than this is sent inside the session: some servers and shells cut long ones off.
const LONGEST_LINE: usize = 8 * 1024;

/// A command as it is sent.
pub(super) struct Wrapped {
    /// For the login shell.
    pub(super) command: String,
    /// What follows it on standard input, before the command's own; in pieces, of which hosts share the long ones.
    pub(super) control: Vec<Bytes>,
}

/// What a command is.
pub(super) struct Content<'a> {
    pub(super) line: &'a CommandLine,
    /// What prints the sign of its start, if there is one.
    pub(super) announcing: &'a str,
    pub(super) script: Option<&'a Bytes>,
    pub(super) cwd: Option<&'a [u8]>,
    /// Variables that a command line may show.
    pub(super) open_environment: &'a [(String, Vec<u8>)],
    pub(super) environment: &'a [(String, Vec<u8>)],
    pub(super) has_input: bool,
}

impl Wrapped {
    /// Puts a command into words for the other side. Where nothing speaks against it, all of them are in the command line, as input
    /// arrives a round trip later.
    ///
    /// # Errors
    /// Why no system takes it.
    pub(super) fn of(content: &Content<'_>) -> Result<Wrapped, String> {
        let mut text = Vec::new();
        if content.has_input {
            text.extend_from_slice(b"ec_i=1;");
        }
        if let Some(directory) = content.cwd {
            text.extend_from_slice(b"cd -- ");
            quote(directory, &mut text)?;
            text.extend_from_slice(b" || exit 125;");
        }
        for (name, value) in content.open_environment {
            export(name, value, &mut text)?;
        }
        text.extend_from_slice(b"set --");
        match content.line {
            CommandLine::Shell(line) => {
                text.extend_from_slice(b" \"${SHELL:-/bin/sh}\" -c ");
                quote(line, &mut text)?;
            }
            CommandLine::Words(words) => {
                if words.first().is_none_or(Vec::is_empty) {
                    return Err("the command has no words".to_owned());
                }
                for word in words {
                    text.push(b' ');
                    quote(word, &mut text)?;
                }
            }
        }
        let open = content.environment.is_empty() && content.script.is_none();
        if open
            && text.len() <= LONGEST_LINE
            && let Some(line) = passing(&text)
        {
            return Ok(Wrapped {
                command: for_login_shell(content.announcing, &format!("ec_h=1;{line};{EXEC}")),
                control: Vec::new(),
            });
        }
        Ok(Wrapped {
            command: for_login_shell(content.announcing, EXEC),
            control: control(content, &text)?,
        })
    }

    /// Puts a program into words for the other side: the command finds its Python, the control stream has its text.
    ///
    /// # Errors
    /// Where its source is no text.
    pub(super) fn of_program(
        start: &FirstStage,
        program: &PythonProgram,
        has_input: bool,
    ) -> Result<Wrapped, String> {
        let mut control = program.text();
        if program.source.contains(&0) {
            return Err("the program holds a zero byte; it is not text".to_owned());
        }
        let length = control.iter().map(Bytes::len).sum();
        let (name, export) = match length > LONGEST_VARIABLE {
            true => ("ec_s", ""),
            false => ("ec_w", "export ec_w;"),
        };
        let head = read_into(name, length) + "\n";
        let input = if has_input { "ec_i=1;" } else { "" };
        let tail = format!("{export}ec_z=INT;{input}set --;ec_h=1\n");
        control.insert(0, head.into());
        control.push(tail.into());
        let function = format!("x() {{ {}; }};", start.script);
        Ok(Wrapped {
            command: for_login_shell("", &function),
            control,
        })
    }
}

/// The lines that the wrapper reads before it starts the command.
fn control(content: &Content<'_>, text: &[u8]) -> Result<Vec<Bytes>, String> {
    let mut pieces = Vec::new();
    // What stands for a newline, as each line is read by itself.
    let mut lines = b"ec_n=$(printf '\\nx');ec_n=${ec_n%x}\n".to_vec();
    for (name, value) in content.environment {
        export(name, value, &mut lines)?;
        lines.push(b'\n');
    }
    if let Some(script) = content.script {
        if script.contains(&0) {
            return Err("the script holds a zero byte; it is not text".to_owned());
        }
        lines.extend_from_slice(read_into("ec_s", script.len()).as_bytes());
        lines.push(b'\n');
        pieces.push(std::mem::take(&mut lines).into());
        pieces.push(script.clone());
        lines.extend_from_slice(b"[ \"$ec_s\" ] || ec_s=:\n");
    }
    lines.extend_from_slice(text);
    lines.extend_from_slice(b"\nec_h=1\n");
    pieces.push(lines.into());
    Ok(pieces)
}

/// Shell text that reads so many bytes of the control stream into a variable, newlines at the end as well.
fn read_into(name: &str, length: usize) -> String {
    // A dd that knows no iflag ends before it has read anything.
    let all = format!("dd bs={length} count=1 iflag=fullblock <&3 2>/dev/null");
    let each = format!("dd bs=1 count={length} <&3 2>/dev/null");
    format!("{name}=$({all} || {each}; echo x);{name}=${{{name}%x}}")
}

fn export(name: &str, value: &[u8], text: &mut Vec<u8>) -> Result<(), String> {
    let mut letters = name.bytes();
    let begins = letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
    if name.starts_with("ec_") {
        return Err(format!(
            "{name}: names that begin with ec_ are those of the shell around the command; set it within the command"
        ));
    }
    if !begins || !letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_') {
        return Err(format!(
            "{name:?} is not the name of an environment variable: it has letters, digits and _ only"
        ));
    }
    text.extend_from_slice(format!("export {name}=").as_bytes());
    quote(value, text)?;
    text.push(b';');
    Ok(())
}

/// Appends a word as sh reads it, on one line.
fn quote(word: &[u8], text: &mut Vec<u8>) -> Result<(), String> {
    text.push(b'\'');
    for byte in word {
        match byte {
            0 => return Err("a zero byte cannot be part of a command".to_owned()),
            b'\'' => text.extend_from_slice(b"'\"'\"'"),
            b'\n' => text.extend_from_slice(b"'\"$ec_n\"'"),
            byte => text.push(*byte),
        }
    }
    text.push(b'\'');
    Ok(())
}

/// The text where every login shell passes it on as it is.
fn passing(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    let changed = text.contains(['\\', '!', '\n']) || text.contains("\"$ec_n\"");
    (!changed).then_some(text)
}

fn for_login_shell(announcing: &str, begin: &str) -> String {
    let lines = WRAPPER
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let script = lines.collect::<Vec<_>>().join(" ");
    let begin = begin.replace('\'', r"'\''");
    // The environment of the account may have them.
    format!(
        "exec /bin/sh -c 'unset ec_h ec_i ec_s ec_w ec_k ec_d ec_z;{announcing}{begin}{script}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;

    fn wrapped(command: &Command) -> Wrapped {
        command.wrapped("").unwrap()
    }

    fn on_this(line: impl Into<CommandLine>) -> Command {
        Command::on(&":local".parse().unwrap(), line)
    }

    #[test]
    fn the_wrapper_passes_every_login_shell() {
        let command = for_login_shell("printf %s%s 01234567 89abcdef;", "");
        let script = command.strip_prefix("exec /bin/sh -c '").unwrap();
        let script = script.strip_suffix('\'').unwrap();
        assert!(!script.contains(['\'', '\\', '!', '\n']), "{script}");
        assert!(command.len() < 1600, "{} bytes", command.len());
    }

    #[test]
    fn what_is_plain_takes_no_round_trip_and_what_is_secret_no_command_line() {
        let plain = wrapped(&on_this("ps aux | awk '{print $1}'").cwd("/tmp"));
        assert!(plain.control.is_empty());
        assert!(plain.command.contains("awk"));
        for special in ["echo a!", "printf 'a\\n'", "echo a\necho b"] {
            let special = wrapped(&on_this(special));
            assert!(!special.command.contains("echo a") && !special.control.is_empty());
        }
        let secret = wrapped(&on_this("true").env("TOKEN", "s3cret"));
        assert!(!secret.command.contains("s3cret") && !secret.command.contains("TOKEN"));
        let long = wrapped(&on_this("x".repeat(LONGEST_LINE)));
        assert!(long.command.len() < 2000);
    }

    #[test]
    fn what_no_system_takes_is_refused() {
        let refused = |command: &Command| command.wrapped("").err().unwrap();
        assert!(refused(&on_this("a\0b")).contains("zero byte"));
        assert!(refused(&on_this("true").env("A=B", "c")).contains("A=B"));
        assert!(refused(&on_this("true").env("1A", "c")).contains("1A"));
        assert!(refused(&on_this("true").env("ec_h", "1")).contains("ec_h"));
        assert!(refused(&on_this([""; 0])).contains("no words"));
        assert!(refused(&on_this("true").script(&b"a\0"[..])).contains("not text"));
    }
}
