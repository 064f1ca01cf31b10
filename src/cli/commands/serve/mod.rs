//! `easycluster serve`, and `-S` of the manual: the standalone server, in the foreground or as a
//! daemon.

pub(crate) mod arguments;
mod daemon;
mod log;
mod log_queue;

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::cli::terminal::failure::{self, Failure};
use crate::cli::this_program::absolute;
use crate::files;
use crate::server::{self, Server};
use arguments::{KeyArguments, ListenArguments};

/// Serve Python calls to anyone who holds the key, on a machine without SSH
///
/// Anyone who holds the key can run anything here as the user who starts this. All traffic is
/// authenticated and encrypted; that two machines talk, when and how much, is not hidden.
#[derive(clap::Args, Debug, Clone, PartialEq)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) key: KeyArguments,
    #[command(flatten)]
    pub(crate) listen: ListenArguments,
}

pub(crate) fn main(arguments: &Arguments) -> Result<i32, Failure> {
    let loaded = arguments.key.load(arguments.listen.allow_short_key)?;
    let key_file = arguments.key.key_file.as_deref();
    run(&arguments.listen, loaded.key.as_bytes(), key_file)
}

/// Runs a server until it is asked to end. `key_file` is where the key came from, to be read again.
pub(crate) fn run(
    arguments: &ListenArguments,
    key: &[u8],
    key_file: Option<&Path>,
) -> Result<i32, Failure> {
    if arguments.daemonize && !daemon::is_child() {
        return daemon::start(arguments, key, key_file);
    }
    let here = |error: &dyn std::fmt::Display| Failure::here(error.to_string());
    let log = log::start(arguments)?;
    let options = arguments.options(key_file);
    crate::cli::runtime()?.block_on(async {
        let server = Server::bind(key, options).map_err(|error| here(&error))?;
        let pidfile = arguments.pidfile.as_deref().map(PidFile::write).transpose();
        let _pidfile = pidfile.map_err(|error| here(&error))?;
        // For a program that started this and waits for it; with port 0 it also says which.
        let _ = writeln!(
            std::io::stdout(),
            "Listening on port {port}",
            port = server.port()
        );
        let _ = std::io::stdout().flush();
        // What was logged so far is for whoever has started this.
        log.0.flush();
        daemon::detach().map_err(|error| here(&error))?;
        serve(server).await.map_err(|error| here(&error))
    })?;
    Ok(failure::OK)
}

#[cfg(unix)]
async fn serve(server: Server) -> std::io::Result<()> {
    server::serve_until_signal(server).await
}

#[cfg(not(unix))]
async fn serve(_: Server) -> std::io::Result<()> {
    Ok(())
}

/// A file with this process's id, removed in the end.
struct PidFile {
    path: PathBuf,
    text: String,
    /// Says by its lock that the process runs: its number alone may be that of any other by now.
    _lock: Option<File>,
}

impl PidFile {
    fn write(path: &Path) -> std::io::Result<Self> {
        let text = format!("{}\n", std::process::id());
        let there = File::open(path).ok();
        if let Some(Err(TryLockError::WouldBlock)) = there.as_ref().map(File::try_lock) {
            return Err(std::io::Error::other(format!(
                "{} is the pid file of a server that runs; end that one first, or name another file",
                path.display()
            )));
        }
        drop(there);
        // Often root's, and in a folder where others may write.
        files::replace_no_link(path, text.as_bytes(), 0o644).map_err(|error| {
            std::io::Error::new(
                error.kind(),
                format!("cannot write {}: {error}", path.display()),
            )
        })?;
        let lock = File::open(path).ok();
        // Where the file system has no locks, it goes without.
        let _ = lock.as_ref().map(File::try_lock);
        Ok(PidFile {
            path: absolute(path),
            text,
            _lock: lock,
        })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another server may have put its own there.
        if std::fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::arguments::*;
    use crate::server::parse_network;
    use clap::Parser;

    #[derive(Parser)]
    struct Whole {
        #[command(flatten)]
        listen: ListenArguments,
    }

    #[test]
    fn the_command_line_of_a_daemon_says_the_same() {
        let arguments = ListenArguments {
            port: 4711,
            bind: Some("::1".into()),
            no_ipv6: true,
            allow: vec![parse_network("10.0.0.0/8").unwrap()],
            verbose: 2,
            daemonize: false,
            pidfile: Some("/run/x.pid".into()),
            profile: Some("/tmp/p%d".into()),
            class: Some("QuietServer".into()),
            max_connections: 7,
            pass_env: vec!["A".into(), "B".into()],
            allow_short_key: true,
            log_format: LogFormat::Json,
            log_file: Some("/var/log/x".into()),
        };
        for arguments in [arguments, ListenArguments::default()] {
            let line = std::iter::once("x".into()).chain(arguments.to_arguments());
            let read = Whole::try_parse_from(line).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(read.listen, arguments);
        }
    }
}
