//! The arguments of every command that works on many hosts: how many at a time, and what is said of them.

use std::io::IsTerminal;
use std::time::Duration;

use super::live::{Live, Log};
use crate::cli::terminal::hosts;
use crate::cli::terminal::lines::Format;
use crate::cli::terminal::printer::View;
use crate::cli::terminal::screen::Screen;

/// How to work on many hosts, for commands whose hosts print.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ManyOptions {
    #[command(flatten)]
    pub(crate) report: ReportOptions,
    /// Print the bare lines, without the host before them
    #[arg(long, conflicts_with = "json")]
    pub(crate) no_prefix: bool,
    /// Print the bytes as they come, escape codes for the terminal included
    #[arg(long, conflicts_with_all = ["json", "no_prefix"])]
    pub(crate) raw: bool,
    /// Print one JSON object per line: each line of output, and how each host ended
    #[arg(long)]
    pub(crate) json: bool,
}

/// How many hosts at a time, and what is said of them, for every command.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ReportOptions {
    /// Work on at most this many hosts at the same time
    #[arg(short, long, value_name = "N", default_value_t = 32, value_parser = hosts::at_least_one)]
    pub(crate) jobs: usize,
    /// Print neither progress nor the summary; errors are still shown
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Show no progress while hosts are at work
    #[arg(long)]
    pub(crate) no_progress: bool,
    /// Where stderr is no terminal, print a line of progress this often
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = hosts::seconds, allow_negative_numbers = true)]
    pub(crate) progress_every: Duration,
}

impl ManyOptions {
    /// How lines are shown.
    pub(super) fn format(&self, labels: &[String]) -> Format {
        let width = labels.iter().map(|label| label.chars().count()).max();
        if self.json {
            Format::Json
        } else if self.raw {
            Format::Raw
        } else if !self.no_prefix {
            Format::Prefixed {
                width: width.unwrap_or(0),
            }
        } else if labels.len() == 1 {
            Format::Stream
        } else {
            Format::Plain
        }
    }
}

impl ReportOptions {
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
