//! `-d`: the server in the background. The program starts itself once more and waits until the new
//! one listens, because a process with a runtime cannot be forked without harm.

use std::path::Path;

use crate::cli::commands::serve::arguments::ListenArguments;
use crate::cli::terminal::failure::Failure;

/// Tells the new process what it is.
const MARK: &str = "EASYCLUSTER_DAEMON";

/// Whether this process is the one in the background.
pub(crate) fn is_child() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Starts the program again and returns when that one listens.
#[cfg(unix)]
pub(crate) fn start(
    arguments: &ListenArguments,
    key: &[u8],
    key_file: Option<&Path>,
) -> Result<i32, Failure> {
    use std::io::{BufRead, BufReader, Write};
    use std::process::Stdio;

    let cannot =
        |error: std::io::Error| Failure::here(format!("cannot start in the background: {error}"));
    let mut command = crate::cli::this_program::this_program()
        .map_err(cannot)?
        .into_iter();
    let program = command.next().unwrap_or_default();
    // A key that was not in a file goes over a pipe: on the command line everybody could see it.
    let file = key_file.map_or_else(|| "/dev/stdin".into(), crate::cli::this_program::absolute);
    // It shares our group and our standard error until it has left the terminal.
    let mut child = crate::process::program(program)
        .args(command)
        .arg("-S")
        .arg("-k")
        .arg(file)
        .arg("-d")
        .args(arguments.to_arguments())
        .env(MARK, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(cannot)?;
    if let Some(mut stdin) = child.stdin.take() {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        // One that reads its key from a file may have closed it already.
        let _ = stdin.write_all(hex.as_bytes());
    }
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout)
            .read_line(&mut line)
            .map_err(cannot)?;
    }
    if line.is_empty() {
        // It has said on stderr, which is this process's own, what is wrong.
        let code = child.wait().map_err(cannot)?.code();
        return Ok(code.unwrap_or(crate::cli::terminal::failure::CODE_FAILED));
    }
    // It runs, whether or not this can be read.
    let _ = std::io::stdout().write_all(line.as_bytes());
    Ok(crate::cli::terminal::failure::OK)
}

#[cfg(not(unix))]
pub(crate) fn start(_: &ListenArguments, _: &[u8], _: Option<&Path>) -> Result<i32, Failure> {
    Err(Failure::usage("-d is for Unix systems only"))
}

/// Leaves the terminal, in the process in the background; elsewhere it does nothing.
pub(crate) fn detach() -> std::io::Result<()> {
    #[cfg(unix)]
    if is_child() {
        // It fails only for the leader of a group, which a child just started is not.
        let _ = rustix::process::setsid();
        let null = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)?;
    }
    Ok(())
}
