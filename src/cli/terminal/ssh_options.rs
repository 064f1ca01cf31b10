//! The options that `ssh` has too: defaults of all hosts of a command, which what a host says itself goes before.

use std::path::{Path, PathBuf};

use crate::cli::terminal::failure::Failure;
use crate::files::read_at_most;
use crate::keys::begins_another_key;
use crate::spec::{ConnectionSpec, Transport, expand_home, key_variable};
use crate::transport::ssh::{MAX_KEY_FILE, check_keyword, check_option};

/// How to connect to hosts that do not say it themselves.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct SshOptions {
    /// The user to log in as
    #[arg(short = 'l', long = "user", value_name = "USER", value_parser = user)]
    login_user: Option<String>,
    /// The port
    #[arg(short, long, value_name = "PORT", value_parser = port)]
    port: Option<u16>,
    /// A private key file to log in with, before others
    ///
    /// `env:NAME` takes the key from the environment variable NAME, as it is or in base64, and writes it to no file.
    #[arg(short, long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    /// The hosts to go through: [user@]host[:port], with commas between
    #[arg(short = 'J', long, value_name = "HOST", value_parser = jump_hosts)]
    jump: Option<String>,
    /// A keyword of ssh_config and its value
    ///
    /// As in every option of ssh here, what a host's own spec or the inventory says goes before it.
    #[arg(short, long = "option", value_name = "KEY=VALUE", value_parser = keyword)]
    option: Vec<String>,
}

fn user(text: &str) -> Result<String, String> {
    let spec = ConnectionSpec::default().with_option("user", text);
    spec.map(|_| text.to_owned())
        .map_err(|error| error.reason().to_owned())
}

fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| "a port is a number from 1 to 65535".to_owned())
}

fn jump_hosts(text: &str) -> Result<String, String> {
    let spec = format!("u@h:jump={}", text.replace(':', "\\:"));
    let spec = ConnectionSpec::parse(&spec);
    spec.map(|_| text.to_owned())
        .map_err(|error| error.reason().to_owned())
}

fn keyword(text: &str) -> Result<String, String> {
    let (keyword, value) = text
        .split_once(['=', ' '])
        .map(|(keyword, value)| (keyword.trim(), value.trim()))
        .filter(|(keyword, value)| !keyword.is_empty() && !value.is_empty())
        .ok_or("it takes KEY=VALUE, such as ConnectTimeout=10")?;
    match check_keyword(keyword) {
        Ok(()) => check_option(keyword, value).map(|()| format!("{keyword}={value}")),
        Err(Some(near)) => Err(format!(
            "ssh_config has no keyword {keyword:?}; did you mean {near}?"
        )),
        Err(None) => Err(format!(
            "ssh_config has no keyword {keyword:?}; docs/ssh.md lists those that are known"
        )),
    }
}

impl SshOptions {
    /// Checks what the parser of arguments cannot.
    ///
    /// # Errors
    ///
    /// A key file that is none.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.identity.iter().try_for_each(|path| check_key(path))
    }

    /// Sets what the spec does not say.
    pub(crate) fn apply(&self, spec: &mut ConnectionSpec) {
        match spec.transport() {
            Transport::Ssh | Transport::OpenSsh(_) => {}
            Transport::Tcp => {
                spec.port = spec.port.or(self.port);
                return;
            }
            _ => return,
        }
        // What stands in arguments of its own counts before what follows them here.
        let own = spec.extra.clone();
        let says = |flag: &str| own.iter().any(|word| word.starts_with(flag));
        if !says("-l") {
            spec.user = spec.user.take().or_else(|| self.login_user.clone());
        }
        if !says("-p") {
            spec.port = spec.port.or(self.port);
        }
        if spec.identity.is_none() && !says("-i") {
            for path in &self.identity {
                let path = expand_home(path).to_string_lossy().into_owned();
                spec.extra.extend(["-i".to_owned(), path]);
            }
        }
        if let Some(jump) = self.jump.as_ref().filter(|_| spec.jump.is_none()) {
            spec.extra.extend(["-J".to_owned(), jump.clone()]);
        }
        for option in &self.option {
            spec.extra.extend(["-o".to_owned(), option.clone()]);
        }
    }
}

/// The files behind `-i`, by the name that the parser of arguments has for them.
pub(crate) const KEYS: &str = "identity";

/// Whether there is a key behind `-i`.
pub(crate) fn is_key(path: &Path) -> bool {
    check_key(path).is_ok()
}

/// Refuses a file that cannot be read or is no key, before a hundred hosts do.
///
/// # Errors
///
/// With what was taken for a key.
pub(crate) fn check_key(path: &Path) -> Result<(), Failure> {
    if path == Path::new("none") {
        return Ok(());
    }
    if let Some(name) = key_variable(path) {
        return match std::env::var_os(name) {
            Some(_) => Ok(()),
            None => Err(Failure::usage(format!("-i: the environment variable {name} is not set"))
                .with_hint("-i env:NAME takes a private key from the variable NAME, as it is or in base64")),
        };
    }
    let shown = path.display();
    let bytes = read_at_most(&expand_home(path), MAX_KEY_FILE).map_err(|error| {
        Failure::usage(format!("-i: cannot read the key file {shown}: {error}"))
            .with_hint("-i takes a private key file of this machine, as ssh does")
    })?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_start();
    if begins_another_key(text) || text.contains("\n-----BEGIN ") {
        return Ok(());
    }
    Err(
        Failure::usage(format!("-i: {shown} is not a key file")).with_hint(format!(
            "-i takes a private key, as ssh does; an inventory is given with -I {shown}"
        )),
    )
}
