//! `ping -v`: one connection's story, told while it happens. It is printed by the view, on the printer's thread: who tells it serves
//! the connections, and does not wait for whoever reads it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::Error;
use crate::cli::commands::ping::table::{Machine, milliseconds};
use crate::cli::terminal::failure::{hint, print_error, tell};
use crate::error::one_line;
use crate::transport::{StageEvent, StageObserver};

/// The width of the longest stage's name.
const NAME_WIDTH: usize = 14;

/// What is told and not printed yet, of all hosts.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<Said>>>);

enum Said {
    Text(String),
    /// An error, and what to do next.
    Error(String, Option<String>),
}

impl Told {
    fn add(&self, said: Said) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(said);
    }

    fn tell(&self, text: impl Into<String>) {
        self.add(Said::Text(text.into()));
    }

    /// Prints what there is.
    pub(crate) fn print(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for said in all {
            match said {
                Said::Text(text) => tell(&text),
                Said::Error(error, hint) => print_error(&error, hint.as_deref()),
            }
        }
    }
}

/// Tells each stage as it is reached.
pub(crate) struct Story {
    told: Told,
    started: Instant,
}

impl Story {
    /// Tells the heading.
    pub(crate) fn begin(host: &str, told: Told) -> Story {
        let bold = anstyle::Style::new().bold();
        told.tell(format!("{bold}{}{bold:#}\n", one_line(host)));
        Story {
            told,
            started: Instant::now(),
        }
    }

    /// What a connection tells its stages to.
    pub(crate) fn observer(&self) -> StageObserver {
        let told = self.told.clone();
        Arc::new(move |event: StageEvent| {
            let time = milliseconds(event.elapsed.as_secs_f64() * 1000.0);
            told.tell(entry(&event.stage.to_string(), &time, &event.detail));
        })
    }

    /// Tells how it ended.
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
                self.told.tell(format!(
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
                    self.told
                        .tell(entry(&error.stage.to_string(), &time, "FAILED"));
                }
                self.told.add(Said::Error(error.to_string(), hint(error)));
                self.told.tell("\n");
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
