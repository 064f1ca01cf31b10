//! What `run` and `exec` share: the arguments about the program that is run on the hosts, its environment and input, and scripts.

pub(crate) mod habits;
pub(crate) mod input;
#[cfg(unix)]
pub(crate) mod packages;
pub(crate) mod script;
pub(crate) mod shell;

use std::ffi::OsString;
use std::time::Duration;

use crate::cli::many::{Host, Secrets};
use crate::cli::terminal::failure::Failure;
use crate::cli::terminal::hosts;
use input::Input;

/// A value of `--env` that is shorter than this is not masked: what hosts print would hardly be readable.
const SHORTEST_MASKED: usize = 4;

/// What the program on the hosts is given.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ProgramOptions {
    /// Stop the program on a host if it runs longer than this
    #[arg(long, value_name = "SECONDS", value_parser = hosts::seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Option<Duration>,
    /// Its standard input: `one` passes ours to the one host, `all` to each a copy
    #[arg(
        long,
        value_name = "WHO",
        default_value = "none",
        hide_default_value = true
    )]
    pub(crate) stdin: Input,
    /// Run it in this directory instead of the home directory
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<OsString>,
    /// Set an environment variable there, to our own value if none is given; sent inside the session and masked in what is printed
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// The same for our own variable NAME, masked however short it is
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Vec<String>,
}

/// Variables for the program on every host, by name.
pub(crate) type Environment = Vec<(String, Vec<u8>)>;

impl ProgramOptions {
    /// The variables that the user wants set, and what must not be printed.
    ///
    /// # Errors
    ///
    /// Where a name is none, or has no value.
    pub(crate) fn environment(&self) -> Result<(Environment, Secrets), Failure> {
        let (mut environment, mut secrets) = (Environment::new(), Vec::new());
        for text in &self.env {
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, value.as_bytes().to_vec()),
                None => (text.as_str(), own_value("--env", text)?),
            };
            if value.len() >= SHORTEST_MASKED {
                secrets.push(value.clone());
            }
            environment.push((checked("--env", name)?, value));
        }
        for name in &self.secret {
            if name.contains('=') {
                // Not repeated: it may be the secret.
                return Err(Failure::usage("--secret takes a name only").with_hint(
                    "a value on the command line is seen by every user of this machine; set the variable here and give its name",
                ));
            }
            let value = own_value("--secret", name)?;
            if value.is_empty() {
                return Err(Failure::usage(format!("the variable {name} is empty here"))
                    .with_hint(format!("set it before, as in {name}=... easycluster ...")));
            }
            secrets.push(value.clone());
            environment.push((checked("--secret", name)?, value));
        }
        Ok((environment, Secrets::new(secrets)))
    }
}

/// What every program on a host can know of the whole: the host as output calls it, its place from 0, and how many there are.
pub(crate) fn place_of(host: &Host, count: usize) -> [(&'static str, String); 3] {
    [
        ("EASYCLUSTER_HOST", host.target.label.clone()),
        ("EASYCLUSTER_NUMBER", host.number.to_string()),
        ("EASYCLUSTER_COUNT", count.to_string()),
    ]
}

/// The same in front of the variables that the user wants set.
pub(crate) fn variables_of(host: &Host, count: usize, environment: &Environment) -> Environment {
    let place = place_of(host, count).into_iter();
    let place = place.map(|(name, value)| (name.to_owned(), value.into_bytes()));
    place.chain(environment.iter().cloned()).collect()
}

fn own_value(option: &str, name: &str) -> Result<Vec<u8>, Failure> {
    let value = std::env::var_os(checked(option, name)?);
    let value = value.ok_or_else(|| {
        Failure::usage(format!("{option} {name}: there is no variable {name} here")).with_hint(
            match option {
                // A secret on the command line would be seen.
                "--secret" => format!("export {name} before"),
                _ => format!("export {name} before, or give --env {name}=VALUE"),
            },
        )
    })?;
    Ok(value.into_encoded_bytes())
}

fn checked(option: &str, name: &str) -> Result<String, Failure> {
    let letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let first = name.chars().next();
    if first.is_some_and(|first| !first.is_ascii_digit()) && name.chars().all(letter) {
        return Ok(name.to_owned());
    }
    Err(Failure::usage(format!(
        "{option} takes NAME or NAME=VALUE, and a name has letters, digits and _ only"
    )))
}
