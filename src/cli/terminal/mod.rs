//! What the subcommands share at the terminal: naming hosts, printing lines, questions, interrupts, failures.

pub(crate) mod ci;
pub(crate) mod colours;
pub(crate) mod columns;
pub(crate) mod failure;
pub(crate) mod hosts;
mod hosts_file;
pub(crate) mod lines;
pub(crate) mod printer;
pub(crate) mod prompts;
pub(crate) mod screen;
pub(crate) mod ssh_options;
pub(crate) mod steps;
pub(crate) mod stop;
