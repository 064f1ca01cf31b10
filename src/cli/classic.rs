//! The command line of the manual, in short options instead of subcommands: `-g`, `-S`, `-i`, `-u`,
//! `--start`, `--stop`, `--query-installed`, and what goes with them.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::cli::commands::serve;
use crate::cli::commands::serve::arguments::{KeyArguments, ListenArguments};
use crate::cli::commands::service::{self, Install, Whose};
use crate::cli::terminal::failure::Failure;

/// One of these, or a subcommand.
#[derive(clap::Args, Debug)]
pub(crate) struct Classic {
    /// Write a new key to FILE; the same as `keygen FILE`
    #[arg(short = 'g', long, value_name = "FILE", help_heading = CLASSIC, hide_short_help = true, group = "classic")]
    generate: Option<PathBuf>,
    /// Run the standalone server; the same as `serve`, with the options of `serve --help`
    #[arg(short = 'S', long, help_heading = CLASSIC, hide_short_help = true, group = "classic")]
    serve: bool,
    /// Install the server as a service, with the same options; the same as `service install`
    #[arg(short = 'i', long, help_heading = CLASSIC, hide_short_help = true, group = "classic")]
    install: bool,
    /// Remove the service; the same as `service uninstall`
    #[arg(short = 'u', long, help_heading = CLASSIC, hide_short_help = true, group = "classic")]
    uninstall: bool,
    /// Start the service; can be combined with -i
    #[arg(long, help_heading = CLASSIC, hide_short_help = true)]
    start: bool,
    /// Stop the service
    #[arg(long, help_heading = CLASSIC, hide_short_help = true, group = "classic")]
    stop: bool,
    /// Exit code 0 if the service is installed, 1 if not
    #[arg(long, help_heading = CLASSIC, hide_short_help = true, group = "classic")]
    query_installed: bool,
    /// Let -g and -i replace a key file
    #[arg(short = 'O', long, help_heading = CLASSIC, hide_short_help = true)]
    overwrite: bool,
    #[command(flatten, next_help_heading = "Options of -S and -i")]
    key: KeyArguments,
    #[command(flatten, next_help_heading = "Options of -S and -i")]
    listen: ListenArguments,
}

const CLASSIC: &str = "Standalone server, for machines without SSH";

/// The subcommand whose help explains the options of a short option, and the words that ask for it.
const EXPLAINED_BY: [(&[&str], &[&str]); 6] = [
    (&["-S", "--serve"], &["serve"]),
    (&["-g", "--generate"], &["keygen"]),
    (&["-i", "--install"], &["service", "install"]),
    (&["-u", "--uninstall"], &["service", "uninstall"]),
    (&["--start"], &["service", "start"]),
    (&["--stop"], &["service", "stop"]),
];

/// The line that asks for the help of the subcommand which does what a short option does, if this asks for help on one.
pub(crate) fn help_of(args: &[OsString]) -> Option<Vec<&OsStr>> {
    let program = args.first()?;
    let one_of = |words: &[&str]| args.iter().find(|arg| words.iter().any(|word| arg == word));
    // Behind a subcommand they are its own.
    args.get(1)
        .filter(|first| first.as_encoded_bytes().starts_with(b"-"))?;
    let help = one_of(&["-h", "--help"])?;
    let (_, subcommand) = EXPLAINED_BY
        .iter()
        .find(|(options, _)| one_of(options).is_some())?;
    let words = std::iter::once(program.as_os_str()).chain(subcommand.iter().map(OsStr::new));
    Some(words.chain([help.as_os_str()]).collect())
}

impl Classic {
    /// Runs what the short options ask for; None if there are none.
    pub(crate) fn dispatch(self) -> Option<Result<i32, Failure>> {
        let whose = Whose::default();
        Some(if self.query_installed {
            Ok(service::query_installed(&whose))
        } else if self.install {
            service::install(&Install {
                whose,
                key: self.key,
                listen: self.listen,
                overwrite: self.overwrite,
                run_as: None,
                start: self.start,
            })
        } else if self.uninstall {
            service::uninstall(&whose)
        } else if self.start {
            service::start(&whose)
        } else if self.stop {
            service::stop(&whose)
        } else if let Some(file) = &self.generate {
            crate::cli::commands::keygen::generate(file, self.overwrite)
        } else if self.serve {
            serve::main(&serve::Arguments {
                key: self.key,
                listen: self.listen,
            })
        } else {
            return None;
        })
    }
}
