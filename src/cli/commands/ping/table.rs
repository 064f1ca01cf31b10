//! What `ping` found out, as a table for people and as JSON for machines.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Value, json};

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

/// All rows as a table of at most `width` columns; without a width no line is broken.
pub(crate) fn as_table(rows: &[Row], width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "HOST",
        "STATUS",
        "PYTHON",
        "SYSTEM",
        "CORES",
        "CONNECT",
        "ROUND TRIP",
    ]);
    match width {
        Some(width) => table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    for row in rows {
        match &row.answer {
            Ok(machine) => table.add_row([
                Cell::new(cell(&row.host)),
                Cell::new("ok"),
                Cell::new(cell(&python(machine))),
                Cell::new(cell(&system(machine))),
                number(cores(machine)),
                number(milliseconds(machine.connect_ms)),
                number(milliseconds(machine.round_trip_ms)),
            ]),
            Err(silence) => table.add_row([
                Cell::new(cell(&row.host)),
                Cell::new(match &silence.stage {
                    Some(stage) => format!("failed: {stage}"),
                    None => "failed".to_owned(),
                }),
            ]),
        };
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
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

fn number(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
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
pub(crate) fn as_json(rows: &[Row]) -> Value {
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
    use super::{Machine, Row, Silence, as_json, as_table, milliseconds};

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

    #[test]
    fn the_table_lines_up() {
        assert_eq!(
            as_table(&rows(), None),
            "\
HOST       STATUS                  PYTHON         SYSTEM                                  CORES  CONNECT  ROUND TRIP
web1       ok                      3.11.7         Debian GNU/Linux 12 (bookworm), x86_64     16    76 ms     0.15 ms
database2  ok                      2.7.18 (PyPy)  Debian GNU/Linux 12 (bookworm), x86_64      ?    76 ms     0.15 ms
old        failed: authentication
"
        );
    }

    #[test]
    fn a_narrow_terminal_breaks_cells_and_not_lines() {
        let table = as_table(&rows(), Some(80));
        assert!(
            table.lines().all(|line| line.chars().count() <= 80),
            "{table}"
        );
        assert!(table.contains("web1"));
    }

    #[test]
    fn what_a_host_says_of_itself_cannot_move_the_cursor() {
        let mut rows = rows();
        if let Ok(machine) = &mut rows[0].answer {
            machine.system = "\x1b[2Jgone".to_owned();
        }
        assert!(!as_table(&rows, None).contains('\x1b'));
    }

    #[test]
    fn json_has_the_same_and_the_reasons() {
        let value = as_json(&rows());
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
