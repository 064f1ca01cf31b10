//! What is said at the end of a command: which hosts to look at and why, and how many ended in which way.

use std::time::Duration;

use super::tally::{Tally, hosts};
use crate::cli::terminal::failure::{print_error, print_line};
use crate::cli::terminal::printer::Report;
use crate::inventory::fold;

const INTERRUPTED: &str = "interrupted";

/// Prints it to stderr. One host alone needs none of it: its output and its exit status say it all, unless it was given up.
pub(super) fn print(labels: &[String], reports: &[Report], elapsed: Duration) {
    if labels.len() < 2 && !reports.iter().any(|report| report.status == INTERRUPTED) {
        return;
    }
    for (reason, labels) in by_reason(labels, reports) {
        let count = if labels.len() > 1 {
            format!(" ({})", hosts(labels.len()))
        } else {
            String::new()
        };
        print_error(&format!("{}: {reason}{count}", fold(&labels)), None);
    }
    if labels.len() > 1 {
        print_line(&line(reports, elapsed));
    }
}

/// `20 hosts: 18 ok, 1 failed, 1 unreachable, 3.2 s`.
pub(super) fn line(reports: &[Report], elapsed: Duration) -> String {
    let mut tally = Tally::default();
    for report in reports {
        tally.add(report.status);
    }
    format!(
        "{}: {}, {}",
        hosts(reports.len()),
        tally.text(),
        duration(elapsed)
    )
}

/// Seconds for people.
pub(super) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 100.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{seconds:.0} s")
    }
}

/// The hosts that did not end well, those with the same reason together, in the order in which each reason first occurs.
fn by_reason<'a>(labels: &'a [String], reports: &[Report]) -> Vec<(String, Vec<&'a str>)> {
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    for (label, report) in labels.iter().zip(reports) {
        let Some(reason) = report.reason() else {
            continue;
        };
        match found.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, labels)) => labels.push(label),
            None => found.push((reason, vec![label])),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{by_reason, duration, line};
    use crate::cli::terminal::printer::Report;

    fn report(status: &'static str, exit_status: Option<i32>) -> Report {
        Report {
            exit_status,
            ..Report::of_status(status)
        }
    }

    #[test]
    fn hosts_with_the_same_reason_stand_together() {
        let labels = ["web1", "web2", "db", "web3"].map(str::to_owned);
        let reports = [
            report("failed", Some(3)),
            report("ok", Some(0)),
            report("lost", None),
            report("failed", Some(3)),
        ];
        assert_eq!(
            by_reason(&labels, &reports),
            [
                ("exit status 3".to_owned(), vec!["web1", "web3"]),
                ("lost".to_owned(), vec!["db"])
            ]
        );
        assert_eq!(
            line(&reports, Duration::from_millis(3210)),
            "4 hosts: 1 ok, 2 failed, 1 lost, 3.2 s"
        );
        assert_eq!(duration(Duration::from_secs(611)), "611 s");
    }
}
