//! The program as a user runs it: arguments in; stdout, stderr and exit code out; nothing left behind.

mod demo;
mod embedded_sshd;
mod examples;
mod exec;
mod failing;
mod ping;
mod run;
mod scene;
mod standalone;
mod stopping;
mod terminal;
mod usage;
