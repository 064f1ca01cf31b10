//! Runs a shell command on hosts by sshd alone: `cargo run --example commands -- user@host user@other 'uptime'`.

// An example prints, and ends where it cannot go on.
#![allow(clippy::indexing_slicing, clippy::print_stdout, clippy::print_stderr)]

use easycluster::{Command, Error, fan_out};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut hosts: Vec<String> = std::env::args().skip(1).collect();
    let line = hosts.pop().unwrap_or_else(|| "uptime".to_owned());
    let mut commands = Vec::new();
    for host in &hosts {
        commands.push(Command::on(&host.parse()?, line.as_str()).output());
    }
    let mut running = fan_out(commands, 32);
    while let Some((place, outcome)) = running.next().await {
        match outcome {
            Ok(output) => print!(
                "{} ({:?}): {}",
                output.host,
                output.status,
                output.stdout_text()
            ),
            Err(error) => eprintln!("{}: {error}", hosts[place]),
        }
    }
    Ok(())
}
