//! `ping -v`: one connection's story, printed while it happens.

use std::sync::Arc;
use std::time::Instant;

use crate::Error;
use crate::cli::commands::ping::table::{Machine, milliseconds};
use crate::cli::terminal::failure::{hint, print_error, tell};
use crate::error::one_line;
use crate::transport::{StageEvent, StageObserver};

/// The width of the longest stage's name.
const NAME_WIDTH: usize = 14;

/// Prints each stage as it is reached.
pub(crate) struct Story {
    started: Instant,
}

impl Story {
    /// Prints the heading.
    pub(crate) fn begin(host: &str) -> Story {
        let bold = anstyle::Style::new().bold();
        tell(&format!("{bold}{}{bold:#}\n", one_line(host)));
        Story {
            started: Instant::now(),
        }
    }

    /// What a connection tells its stages to.
    pub(crate) fn observer(&self) -> StageObserver {
        Arc::new(|event: StageEvent| {
            let time = milliseconds(event.elapsed.as_secs_f64() * 1000.0);
            tell(&entry(&event.stage.to_string(), &time, &event.detail));
        })
    }

    /// Prints how it ended.
    pub(crate) fn end(&self, answer: &Result<Machine, Error>) {
        match answer {
            Ok(machine) => {
                let python = format!(
                    "{} {} at {}",
                    machine.implementation, machine.python, machine.executable
                );
                let system = format!(
                    "{}, {}, {} cores",
                    machine.system, machine.architecture, machine.cores
                );
                tell(&format!(
                    "{}{}{}{}\n",
                    entry("python", "", &python),
                    entry("machine", "", &system),
                    entry("round trip", &milliseconds(machine.round_trip_ms), ""),
                    entry(
                        "in all",
                        &milliseconds(machine.connect_ms),
                        "from the start to the first answer"
                    ),
                ));
            }
            Err(error) => {
                if let Error::Connect(error) = error {
                    let time = milliseconds(self.started.elapsed().as_secs_f64() * 1000.0);
                    tell(&entry(&error.stage.to_string(), &time, "FAILED"));
                }
                print_error(&error.to_string(), hint(error).as_deref());
                tell("\n");
            }
        }
    }
}

/// One line of the story: what, how long, what came of it.
fn entry(name: &str, time: &str, detail: &str) -> String {
    let text = format!("  {name:NAME_WIDTH$}  {time:>9}  {}", one_line(detail));
    format!("{}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::entry;

    #[test]
    fn a_stage_is_one_line() {
        assert_eq!(
            entry("host key", "1.53 ms", "ED25519 SHA256:abc"),
            "  host key          1.53 ms  ED25519 SHA256:abc\n"
        );
        assert_eq!(entry("python", "", "x"), "  python                     x\n");
    }
}
