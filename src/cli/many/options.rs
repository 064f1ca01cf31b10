//! The arguments of every command that works on many hosts: how many at a time, and how their output is shown.

use crate::cli::terminal::hosts;
use crate::cli::terminal::lines::Format;

/// How to work on many hosts.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ManyOptions {
    /// Work on at most this many hosts at the same time
    #[arg(short, long, value_name = "N", default_value_t = 32, value_parser = hosts::at_least_one)]
    pub(crate) jobs: usize,
    /// Print the bare lines, without the host before them
    #[arg(long, conflicts_with = "json")]
    pub(crate) no_prefix: bool,
    /// Print one JSON object per line: each line of output, and how each host ended
    #[arg(long)]
    pub(crate) json: bool,
}

impl ManyOptions {
    /// How lines are shown.
    pub(super) fn format(&self, labels: &[String]) -> Format {
        let width = labels.iter().map(|label| label.chars().count()).max();
        if self.json {
            Format::Json
        } else if !self.no_prefix {
            Format::Prefixed {
                width: width.unwrap_or(0),
            }
        } else if labels.len() == 1 {
            Format::Raw
        } else {
            Format::Plain
        }
    }
}
