//! The arguments of every command that works on many hosts: how many at a time, and what is said of them.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::failed_hosts;
use super::limits::{self, Share};
use super::live::{Live, Log};
use crate::Retry;
use crate::cli::terminal::ci::Ci;
use crate::cli::terminal::columns::widest;
use crate::cli::terminal::failure::{Failure, print_line};
use crate::cli::terminal::hosts::{self, HostOptions, Target};
use crate::cli::terminal::lines::Format;
use crate::cli::terminal::printer::View;
use crate::cli::terminal::screen::Screen;

/// How to work on many hosts, for commands whose hosts print.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ManyOptions {
    #[command(flatten)]
    pub(crate) report: ReportOptions,
    /// Work on so many hosts, or such a part of them, until all of them have ended, and only then on the next
    #[arg(long, value_name = "N|N%", value_parser = limits::batch, allow_negative_numbers = true)]
    pub(crate) serial: Option<Share>,
    /// Begin no more hosts when one has failed
    #[arg(long, conflicts_with = "max_fail")]
    pub(crate) fail_fast: bool,
    /// Begin no more hosts when more than so many, or such a part of all, have failed
    #[arg(long, value_name = "N|N%", value_parser = limits::share, allow_negative_numbers = true)]
    pub(crate) max_fail: Option<Share>,
    /// Print the bare lines, without the host before them
    #[arg(long, conflicts_with = "json")]
    pub(crate) no_prefix: bool,
    /// Print the bytes as they come, escape codes for the terminal included
    #[arg(long, conflicts_with_all = ["json", "no_prefix"])]
    pub(crate) raw: bool,
    /// Print one JSON object per line: each line of output, and how each host ended
    #[arg(long)]
    pub(crate) json: bool,
    /// Print equal outputs once, at the end, with the hosts that they are from
    #[arg(long, conflicts_with_all = ["json", "raw"])]
    pub(crate) gather: bool,
    /// Write what each host prints to DIR/HOST.stdout and DIR/HOST.stderr too
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// How many hosts at a time, and what is said of them, for every command.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ReportOptions {
    /// Work on at most this many hosts at the same time
    #[arg(short, long, value_name = "N", default_value_t = 32, value_parser = hosts::at_least_one, allow_negative_numbers = true)]
    pub(crate) jobs: usize,
    /// Try again so often where connecting fails for a reason that may pass; never a refused key or password
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub(crate) retries: u32,
    /// Write the names of the hosts that did not end well to this file, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) failed_to: Option<PathBuf>,
    /// Of the hosts given, work on those only that --failed-to wrote to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) retry_from: Option<PathBuf>,
    /// Write a JUnit report to this file, with a test case for each host
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Whose log this is, for parts that fold and marks of failures
    #[arg(long, value_name = "WHOSE", default_value = "auto")]
    pub(crate) ci: CiChoice,
    /// Print neither progress nor the summary; errors are still shown
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Show no progress while hosts are at work
    #[arg(long)]
    pub(crate) no_progress: bool,
    /// Where stderr is not a terminal, print a line of progress this often
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = hosts::seconds, allow_negative_numbers = true)]
    pub(crate) progress_every: Duration,
}

/// Whose log the output goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CiChoice {
    /// As the environment says: GITHUB_ACTIONS or GITLAB_CI
    Auto,
    /// GitHub Actions
    #[value(name = "github")]
    GitHub,
    /// GitLab
    #[value(name = "gitlab")]
    GitLab,
    /// Nobody's: neither parts nor marks
    Off,
}

impl ManyOptions {
    /// How lines are shown.
    pub(super) fn format(&self, labels: &[String]) -> Format {
        if self.json {
            Format::Json
        } else if self.raw {
            Format::Raw
        } else if !self.no_prefix {
            Format::Prefixed {
                width: widest(labels.iter().map(String::as_str)),
            }
        } else if labels.len() == 1 && Ci::of_environment().is_none() {
            Format::Stream
        } else {
            Format::Plain
        }
    }
}

impl ReportOptions {
    /// The log that commands are written for.
    pub(crate) fn ci_log(&self) -> Option<Ci> {
        match self.ci {
            CiChoice::Auto => Ci::of_environment(),
            CiChoice::GitHub => Some(Ci::GitHub),
            CiChoice::GitLab => Some(Ci::GitLab),
            CiChoice::Off => None,
        }
    }

    /// Those of the targets that the command is to work on.
    ///
    /// # Errors
    ///
    /// Where the file of those cannot be read, or names others; or a file that is written is one that has named `hosts`, or another
    /// one that is written.
    pub(crate) fn wanted(
        &self,
        hosts: &HostOptions,
        targets: Vec<Target>,
    ) -> Result<Vec<Target>, Failure> {
        let written = [("--failed-to", &self.failed_to), ("--junit", &self.junit)];
        let written: Vec<(&str, &Path)> = written
            .iter()
            .filter_map(|(option, path)| Some((*option, path.as_deref()?)))
            .collect();
        failed_hosts::check_apart(&written, hosts.files.iter().chain(&hosts.inventory))?;
        match &self.retry_from {
            Some(path) => {
                let wanted = failed_hosts::only_those_of(path, targets)?;
                if wanted.is_empty() && !self.quiet {
                    print_line(&format!("{} names no host: nothing to do", path.display()));
                }
                Ok(wanted)
            }
            None => Ok(targets),
        }
    }

    /// How often connecting is tried.
    pub(super) fn retry(&self) -> Retry {
        Retry::default().with_attempts(self.retries.saturating_add(1))
    }

    /// What shows how far the command is, if anything is to.
    pub(super) fn progress(&self, labels: &[String], screen: &Screen) -> Option<Box<dyn View>> {
        if self.quiet || self.no_progress {
            return None;
        }
        let dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        if std::io::stderr().is_terminal() && !dumb {
            Some(Box::new(Live::new(labels, screen.clone())))
        } else {
            let log = Log::new(labels, screen.clone(), self.progress_every);
            Some(Box::new(log))
        }
    }
}
