//! What `ping` found out, as a table for people and as JSON for machines.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::Error;
use crate::cli::commands::ping::story::Told;
use crate::cli::terminal::columns::{padded, widest};
use crate::cli::terminal::failure::hint;
use crate::cli::terminal::lines::{Format, Stream};
use crate::cli::terminal::printer::{Report, View};
use crate::cli::terminal::screen::Screen;
use crate::error::one_line;

/// One host's answer.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) host: String,
    pub(crate) answer: Result<Machine, Silence>,
}

/// A host that answered.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) python: String,
    pub(crate) implementation: String,
    pub(crate) executable: String,
    pub(crate) system: String,
    pub(crate) architecture: String,
    pub(crate) cores: i64,
    /// From the start until the remote Python answered.
    pub(crate) connect_ms: f64,
    /// The shortest of a few round trips over the open connection.
    pub(crate) round_trip_ms: f64,
}

/// A host that did not, and why.
#[derive(Debug, Clone)]
pub(crate) struct Silence {
    /// The stage it failed at, where it was a stage of connecting.
    pub(crate) stage: Option<String>,
    /// What happened; names the host.
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// The rows of all hosts by number, filled in as they answer.
pub(crate) type Rows = Arc<Mutex<Vec<Option<Row>>>>;

/// The rows, also after a task that had them has panicked.
pub(crate) fn lock(rows: &Rows) -> MutexGuard<'_, Vec<Option<Row>>> {
    rows.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is printed of hosts while they answer.
#[derive(Clone)]
pub(crate) enum Style {
    /// A row each, and what to do about those that did not answer.
    Table,
    /// What is told of each.
    Story(Told),
    /// Nothing.
    None,
}

/// Prints the row of each host when it has answered.
pub(crate) struct Table {
    style: Style,
    width: usize,
    rows: Rows,
    screen: Screen,
    begun: bool,
}

impl Table {
    pub(crate) fn new(style: Style, labels: &[String], rows: Rows, screen: Screen) -> Table {
        let cells: Vec<String> = labels.iter().map(|label| cell(label)).collect();
        Table {
            style,
            width: widest(cells.iter().map(String::as_str).chain(["HOST"])),
            rows,
            screen,
            begun: false,
        }
    }

    fn print(&self, text: &str) -> io::Result<()> {
        self.screen
            .write(Format::Plain, Stream::Stdout, text.as_bytes())
    }
}

impl View for Table {
    fn question(&mut self, _asked: bool) {
        self.tick();
    }

    fn tick(&mut self) {
        if let Style::Story(told) = &self.style {
            told.print();
        }
    }

    fn close(&mut self) -> io::Result<()> {
        self.tick();
        Ok(())
    }

    fn end(&mut self, host: usize, report: &Report) -> io::Result<()> {
        if !matches!(self.style, Style::Table) {
            return Ok(());
        }
        let row = lock(&self.rows).get(host).cloned().flatten();
        // A host that was interrupted has none.
        if let Some(row) = row {
            if !self.begun {
                self.begun = true;
                self.print(&heading(self.width))?;
            }
            self.print(&line(&row, self.width))?;
        }
        if let Some((error, hint)) = &report.error {
            self.screen.error(error, hint.as_deref());
        }
        Ok(())
    }
}

/// What the columns are. What can be of any length stands last, so that rows line up although they are printed one by one.
fn heading(width: usize) -> String {
    cells(
        width,
        [
            "HOST",
            "STATUS",
            "CONNECT",
            "ROUND TRIP",
            "CORES",
            "PYTHON",
            "SYSTEM",
        ],
    )
}

fn cells(
    width: usize,
    [host, status, connect, round_trip, cores, python, system]: [&str; 7],
) -> String {
    let (host, python) = (padded(host, width), padded(python, 14));
    let text = format!(
        "{host}  {status:6}  {connect:>8}  {round_trip:>10}  {cores:>5}  {python}  {system}"
    );
    format!("{}\n", text.trim_end())
}

fn line(row: &Row, width: usize) -> String {
    let host = cell(&row.host);
    match &row.answer {
        Ok(machine) => cells(
            width,
            [
                &host,
                "ok",
                &milliseconds(machine.connect_ms),
                &milliseconds(machine.round_trip_ms),
                &cores(machine),
                &cell(&python(machine)),
                &cell(&system(machine)),
            ],
        ),
        Err(silence) => {
            let status = match &silence.stage {
                Some(stage) => format!("failed: {stage}"),
                None => "failed".to_owned(),
            };
            cells(width, [&host, &status, "", "", "", "", ""])
        }
    }
}

/// The longest text in a cell, in characters: a server names its system, and must not widen the table without end.
const LONGEST_CELL: usize = 80;

/// Text that a server may have chosen, as one line.
fn cell(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST_CELL).collect();
    if shown.len() < text.len() {
        shown.push('\u{2026}');
    }
    one_line(&shown)
}

/// What an error says of a host that did not answer.
pub(crate) fn silence(error: &Error) -> Silence {
    Silence {
        stage: match error {
            Error::Connect(error) => Some(error.stage.to_string()),
            _ => None,
        },
        message: error.to_string(),
        hint: hint(error),
    }
}

/// The version; other implementations than CPython are named.
fn python(machine: &Machine) -> String {
    match machine.implementation.as_str() {
        "" | "CPython" => machine.python.clone(),
        other => format!("{} ({other})", machine.python),
    }
}

fn system(machine: &Machine) -> String {
    format!("{}, {}", machine.system, machine.architecture)
}

fn cores(machine: &Machine) -> String {
    if machine.cores > 0 {
        machine.cores.to_string()
    } else {
        "?".to_owned()
    }
}

/// Milliseconds with as many decimals as mean something.
pub(crate) fn milliseconds(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.2} ms")
    } else {
        format!("{value:.0} ms")
    }
}

/// All rows as one JSON array.
pub(crate) fn as_json(rows: &[&Row]) -> Value {
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    rows.iter()
        .map(|row| match &row.answer {
            Ok(machine) => json!({
                "host": row.host,
                "reachable": true,
                "python": machine.python,
                "implementation": machine.implementation,
                "executable": machine.executable,
                "system": machine.system,
                "architecture": machine.architecture,
                "cores": machine.cores,
                "connect_ms": round(machine.connect_ms),
                "round_trip_ms": round(machine.round_trip_ms),
            }),
            Err(silence) => json!({
                "host": row.host,
                "reachable": false,
                "stage": silence.stage,
                "error": silence.message,
                "hint": silence.hint,
            }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Machine, Row, Silence, as_json, heading, line, milliseconds};

    fn rows() -> Vec<Row> {
        let machine = Machine {
            python: "3.11.7".to_owned(),
            implementation: "CPython".to_owned(),
            executable: "/usr/bin/python3".to_owned(),
            system: "Debian GNU/Linux 12 (bookworm)".to_owned(),
            architecture: "x86_64".to_owned(),
            cores: 16,
            connect_ms: 76.21,
            round_trip_ms: 0.15,
        };
        let other = Machine {
            python: "2.7.18".to_owned(),
            implementation: "PyPy".to_owned(),
            cores: 0,
            ..machine.clone()
        };
        let silence = Silence {
            stage: Some("authentication".to_owned()),
            message: "no key was accepted".to_owned(),
            hint: Some("add the key".to_owned()),
        };
        vec![
            Row {
                host: "web1".to_owned(),
                answer: Ok(machine),
            },
            Row {
                host: "database2".to_owned(),
                answer: Ok(other),
            },
            Row {
                host: "old".to_owned(),
                answer: Err(silence),
            },
        ]
    }

    fn table(rows: &[Row]) -> String {
        let rows: String = rows.iter().map(|row| line(row, 9)).collect();
        format!("{}{rows}", heading(9))
    }

    #[test]
    fn the_table_lines_up() {
        assert_eq!(
            table(&rows()),
            "\
HOST       STATUS   CONNECT  ROUND TRIP  CORES  PYTHON          SYSTEM
web1       ok         76 ms     0.15 ms     16  3.11.7          Debian GNU/Linux 12 (bookworm), x86_64
database2  ok         76 ms     0.15 ms      ?  2.7.18 (PyPy)   Debian GNU/Linux 12 (bookworm), x86_64
old        failed: authentication
"
        );
    }

    #[test]
    fn what_a_host_says_of_itself_cannot_move_the_cursor() {
        let mut rows = rows();
        if let Ok(machine) = &mut rows[0].answer {
            machine.system = "\x1b[2Jgone\nweb2".to_owned();
        }
        let table = table(&rows);
        assert!(!table.contains('\x1b'), "{table}");
        assert_eq!(table.lines().count(), 4, "{table}");
    }

    #[test]
    fn json_has_the_same_and_the_reasons() {
        let rows = rows();
        let value = as_json(&rows.iter().collect::<Vec<_>>());
        assert_eq!(value[0]["reachable"], true);
        assert_eq!(value[0]["cores"], 16);
        assert_eq!(value[0]["connect_ms"], 76.21);
        assert_eq!(value[2]["reachable"], false);
        assert_eq!(value[2]["stage"], "authentication");
        assert_eq!(value[2]["error"], "no key was accepted");
        assert_eq!(value[2]["hint"], "add the key");
    }

    #[test]
    fn small_times_keep_their_decimals() {
        assert_eq!(milliseconds(0.153), "0.15 ms");
        assert_eq!(milliseconds(76.2), "76 ms");
    }
}
