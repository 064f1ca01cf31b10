//! The options of a standalone server: where its key comes from, how it listens, what it logs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::cli::terminal::failure::{self, Failure};
use crate::cli::this_program::absolute;
use crate::keys::LoadedKey;
use crate::server::{self, ServerOptions, parse_network};

/// Where the key comes from.
#[derive(clap::Args, Debug, Clone, PartialEq)]
pub(crate) struct KeyArguments {
    /// The file with the key; it is read again at SIGHUP
    #[arg(short = 'k', long, value_name = "FILE", conflicts_with = "key")]
    pub(crate) key_file: Option<PathBuf>,
    /// The key itself; other users of this machine can see it in the list of processes
    #[arg(short = 'K', long, value_name = "KEY")]
    pub(crate) key: Option<String>,
}

/// How to listen and what to log.
#[derive(clap::Args, Debug, Clone, PartialEq)]
pub(crate) struct ListenArguments {
    /// TCP port to listen on; with 0 the system picks one
    #[arg(short = 'p', long, default_value_t = server::DEFAULT_PORT)]
    pub(crate) port: u16,
    /// Listen on this address only
    #[arg(short = 'b', long, value_name = "ADDRESS")]
    pub(crate) bind: Option<String>,
    /// Do not listen on IPv6
    #[arg(short = 'N', long)]
    pub(crate) no_ipv6: bool,
    /// Let in only this address or network; may be given several times
    #[arg(short = 'a', long, value_name = "NETWORK", value_parser = parse_network)]
    pub(crate) allow: Vec<ipnet::IpNet>,
    /// Log connections; twice: requests too
    #[arg(short = 'v', long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Run in the background
    #[arg(short = 'd', long)]
    pub(crate) daemonize: bool,
    /// Write the process id to this file while running
    #[arg(short = 'P', long, value_name = "FILE")]
    pub(crate) pidfile: Option<PathBuf>,
    /// Profile remote Python threads into files of this name; %d counts them from 0, %p is the process id
    #[arg(long, value_name = "PATTERN")]
    pub(crate) profile: Option<String>,
    /// `QuietServer` logs warnings only
    #[arg(short = 'c', long, value_name = "CLASS", value_parser = ["Server", "QuietServer"], hide_possible_values = true)]
    pub(crate) class: Option<String>,
    /// Connections at once
    #[arg(long, value_name = "NUMBER", default_value_t = server::CONNECTIONS_MAX, value_parser = crate::cli::terminal::hosts::at_least_one)]
    pub(crate) max_connections: usize,
    /// Pass this environment variable on to remote code; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) pass_env: Vec<String>,
    /// Accept a key that can be guessed
    #[arg(long)]
    pub(crate) allow_short_key: bool,
    /// The format of log lines
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) log_format: LogFormat,
    /// Append log lines to this file instead of writing them to stderr
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
}

/// The format of log lines.
#[derive(clap::ValueEnum, Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl Default for ListenArguments {
    fn default() -> Self {
        ListenArguments {
            port: server::DEFAULT_PORT,
            bind: None,
            no_ipv6: false,
            allow: Vec::new(),
            verbose: 0,
            daemonize: false,
            pidfile: None,
            profile: None,
            class: None,
            max_connections: server::CONNECTIONS_MAX,
            pass_env: Vec::new(),
            allow_short_key: false,
            log_format: LogFormat::Text,
            log_file: None,
        }
    }
}

impl ListenArguments {
    /// The command line that stands for these: what a daemon or a service is started with.
    pub(crate) fn to_arguments(&self) -> Vec<OsString> {
        let mut list: Vec<OsString> = vec!["-p".into(), self.port.to_string().into()];
        let mut option = |name: &str, value: OsString| {
            list.push(name.into());
            list.push(value);
        };
        if let Some(bind) = &self.bind {
            option("-b", bind.into());
        }
        for network in &self.allow {
            option("-a", network.to_string().into());
        }
        if let Some(file) = &self.pidfile {
            option("-P", absolute(file).into());
        }
        if let Some(pattern) = &self.profile {
            option("--profile", pattern.into());
        }
        if let Some(class) = &self.class {
            option("-c", class.into());
        }
        if self.max_connections != server::CONNECTIONS_MAX {
            option("--max-connections", self.max_connections.to_string().into());
        }
        for name in &self.pass_env {
            option("--pass-env", name.into());
        }
        if self.log_format == LogFormat::Json {
            option("--log-format", "json".into());
        }
        if let Some(file) = &self.log_file {
            option("--log-file", absolute(file).into());
        }
        for _ in 0..self.verbose {
            list.push("-v".into());
        }
        for (set, name) in [
            (self.no_ipv6, "-N"),
            (self.allow_short_key, "--allow-short-key"),
        ] {
            if set {
                list.push(name.into());
            }
        }
        list
    }

    pub(crate) fn options(&self, key_file: Option<&Path>) -> ServerOptions {
        ServerOptions {
            port: self.port,
            bind: self.bind.clone(),
            ipv6: !self.no_ipv6,
            allow: self.allow.clone(),
            connections_max: self.max_connections,
            pass_environment: self.pass_env.clone(),
            profile: self.profile.clone(),
            key_file: key_file.map(absolute),
            allow_short_key: self.allow_short_key,
            ..ServerOptions::default()
        }
    }
}

impl KeyArguments {
    /// Reads the key; says on stderr what its owner ought to know.
    pub(crate) fn load(&self, allow_short: bool) -> Result<LoadedKey, Failure> {
        let loaded = match (&self.key_file, &self.key) {
            (Some(file), _) => server::key::from_file(file, allow_short),
            (None, Some(text)) => {
                failure::print_warning(
                    "other users of this machine can see -K KEY in the list of processes; \
                     better keep the key in a file and use -k FILE",
                );
                server::key::from_text(text, allow_short)
            }
            (None, None) => {
                return Err(Failure::usage("the server needs a key").with_hint(
                    "make one with `easycluster -g secret.key`, then start with -k secret.key",
                ));
            }
        };
        let loaded = loaded.map_err(|error| Failure::here(error.to_string()))?;
        for warning in &loaded.warnings {
            failure::print_warning(&warning.to_string());
        }
        Ok(loaded)
    }
}
