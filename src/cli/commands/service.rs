//! `easycluster service ...`, and `-i`, `-u`, `--start`, `--stop`, `--query-installed` of the
//! manual: the standalone server as a service that starts at boot.

use clap::Subcommand;

use crate::cli::commands::serve::arguments::{KeyArguments, ListenArguments};
use crate::cli::terminal::failure::{self, Failure};
use crate::cli::this_program::this_program;
use crate::service::{Installation, NAME, Service, ServiceError};

/// Start the standalone server at every boot
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Install the service; the key file is made if there is none
    Install(Box<Install>),
    /// Stop the service and remove it, its key file too
    Uninstall(Whose),
    /// Start the service now
    Start(Whose),
    /// Stop the service until the next boot
    Stop(Whose),
    /// Say whether the service is installed and runs; exit code 0 if it is installed, else 1
    Status(Whose),
}

/// Whose service it is.
#[derive(clap::Args, Debug, Clone, Default)]
pub(crate) struct Whose {
    /// A service of your own instead of the machine's; needs systemd, and no root
    #[arg(long)]
    user: bool,
}

/// What a service is installed with.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct Install {
    #[command(flatten)]
    pub(crate) whose: Whose,
    #[command(flatten)]
    pub(crate) key: KeyArguments,
    #[command(flatten)]
    pub(crate) listen: ListenArguments,
    /// Make a new key even if the service has one
    #[arg(short = 'O', long)]
    pub(crate) overwrite: bool,
    /// The account that remote code runs as, instead of root
    #[arg(long, value_name = "USER", conflicts_with = "user")]
    pub(crate) run_as: Option<String>,
    /// Start it now, too
    #[arg(long)]
    pub(crate) start: bool,
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Failure::here(error.to_string())
    }
}

pub(crate) fn main(arguments: &Arguments) -> Result<i32, Failure> {
    match &arguments.verb {
        Verb::Install(arguments) => install(arguments),
        Verb::Uninstall(whose) => uninstall(whose),
        Verb::Start(whose) => start(whose),
        Verb::Stop(whose) => stop(whose),
        Verb::Status(whose) => status(whose),
    }
}

pub(crate) fn install(arguments: &Install) -> Result<i32, Failure> {
    let service = Service::new(arguments.whose.user)?;
    let key = match arguments.key {
        KeyArguments {
            key_file: None,
            key: None,
        } => None,
        ref given => Some(given.load(arguments.listen.allow_short_key)?.key),
    };
    let program = this_program().map_err(|error| {
        Failure::here(format!("this program cannot find its own file: {error}"))
    })?;
    service.install(&Installation {
        program,
        arguments: arguments.listen.to_arguments(),
        run_as: arguments.run_as.clone(),
        key,
        replace_key: arguments.overwrite,
    })?;
    let here = service.is_started_here();
    let at_boot = if here { " and starts at boot" } else { "" };
    let code = said(&format!(
        "The service {NAME} is installed{at_boot}.\nIts key is {}; clients need a copy of it.",
        service.key_path().display()
    ));
    if !here && !arguments.start {
        failure::print_warning(&not_here(&service));
    }
    if arguments.start {
        service.start().map_err(|error| refused(&service, error))?;
        return Ok(said("It runs."));
    }
    Ok(code)
}

pub(crate) fn uninstall(whose: &Whose) -> Result<i32, Failure> {
    let service = Service::new(whose.user)?;
    service.uninstall()?;
    Ok(said(&format!(
        "The service {NAME} and its key file are removed."
    )))
}

pub(crate) fn start(whose: &Whose) -> Result<i32, Failure> {
    let service = Service::new(whose.user)?;
    service.start().map_err(|error| refused(&service, error))?;
    Ok(said(&format!("The service {NAME} runs.")))
}

pub(crate) fn stop(whose: &Whose) -> Result<i32, Failure> {
    let service = Service::new(whose.user)?;
    service.stop().map_err(|error| refused(&service, error))?;
    Ok(said(&format!("The service {NAME} is stopped.")))
}

fn status(whose: &Whose) -> Result<i32, Failure> {
    let service = Service::new(whose.user)?;
    if !service.installed() {
        said(&format!("The service {NAME} is not installed."));
        return Ok(1);
    }
    let rest = match service.running() {
        Ok(true) => " and runs.".to_owned(),
        Ok(false) => " and does not run.".to_owned(),
        Err(error) => format!("; {error}"),
    };
    Ok(said(&format!("The service {NAME} is installed{rest}")))
}

/// Why nothing starts the service here, and what serves until something does.
fn not_here(service: &Service) -> String {
    format!(
        "nothing starts the service until this machine is started by systemd; what serves until then: easycluster serve -d -k {}",
        service.key_path().display()
    )
}

/// What the service manager refused, and where it cannot do anything here, that.
fn refused(service: &Service, error: ServiceError) -> Failure {
    let by_manager = matches!(error, ServiceError::Manager { .. });
    let failure = Failure::from(error);
    if by_manager && !service.is_started_here() {
        return failure.with_hint(not_here(service));
    }
    failure
}

/// Prints a line; gives the exit code.
fn said(line: &str) -> i32 {
    failure::printed(format!("{line}\n"))
}

/// `--query-installed`: 0 or 1, without output.
pub(crate) fn query_installed(whose: &Whose) -> i32 {
    match Service::new(whose.user) {
        Ok(service) if service.installed() => 0,
        _ => 1,
    }
}
