//! The program as a user runs it: arguments in; stdout, stderr and exit code out; nothing left behind.

mod at_scale;
mod ci_keys;
mod ci_page;
mod combined;
mod copy;
mod demo;
mod embedded_sshd;
mod examples;
mod exec;
mod failing;
mod first_hour;
mod hosts;
mod many;
mod misplaced;
mod ping;
mod reports;
mod run;
mod scene;
mod shown;
mod shown_ssh;
mod standalone;
mod stopping;
mod terminal;
mod usage;
