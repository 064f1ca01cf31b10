//! `--junit FILE`: a report that continuous integration reads, a test case a host.

use std::io;
use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::failed_hosts::FileAtEnd;
use super::record::{Reader, Record};
use crate::cli::terminal::lines::Stream;
use crate::cli::terminal::printer::Report;
use crate::error::printable;

/// How much of a stream is shown: the beginning, where it says what it does, and the end, where it says what went wrong.
const SHOWN: [usize; 2] = [16 * 1024, 48 * 1024];

/// Stands for a tab until the report is made: a code point that Unicode sets aside for a program's own use.
const TAB: char = '\u{fdd0}';

pub(super) struct JUnit {
    /// `run`, or another subcommand.
    pub(super) command: &'static str,
    pub(super) file: Option<FileAtEnd>,
    pub(super) started: std::time::Instant,
}

impl Reader for JUnit {
    fn finished(&mut self, all: &mut Record) -> io::Result<()> {
        let Some(file) = self.file.take() else {
            return Ok(());
        };
        let name = format!("easycluster {}", self.command);
        let mut suite = TestSuite::new(name.clone());
        suite.set_time(self.started.elapsed());
        for host in 0..all.labels().len() {
            suite.add_test_case(self.case(host, all)?);
        }
        let mut report = quick_junit::Report::new(name);
        report.set_time(self.started.elapsed());
        report.add_test_suite(suite);
        let text = report.to_string().map_err(io::Error::other)?;
        file.write(text.replace(TAB, "\t").as_bytes())
    }
}

impl JUnit {
    fn case(&self, host: usize, all: &mut Record) -> io::Result<TestCase> {
        let report = all.report(host).cloned();
        let report = report.unwrap_or_else(|| Report::of_status("interrupted"));
        let label = printable(&all.labels()[host]);
        let mut case = TestCase::new(label, status(&report));
        case.set_classname(format!("easycluster.{}", self.command));
        case.set_time(Duration::try_from_secs_f64(report.seconds).unwrap_or_default());
        if all.length(host, Stream::Stdout) > 0 {
            case.set_system_out(shown(host, Stream::Stdout, all)?);
        }
        if all.length(host, Stream::Stderr) > 0 {
            case.set_system_err(shown(host, Stream::Stderr, all)?);
        }
        Ok(case)
    }
}

/// How the host's case ended: a failure is the program's, an error is of the way to it.
fn status(report: &Report) -> TestCaseStatus {
    let mut status = match report.status {
        "ok" => return TestCaseStatus::success(),
        "skipped" => TestCaseStatus::skipped(),
        "failed" | "timeout" => TestCaseStatus::non_success(NonSuccessKind::Failure),
        _ => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    status.set_type(report.status);
    let reason = report.reason().unwrap_or_default();
    match &report.error {
        None => status.set_message(reason),
        Some((error, hint)) => {
            status.set_message(safe(error));
            match hint {
                Some(hint) => status.set_description(format!("hint: {}", safe(hint))),
                None => status.set_description(reason),
            }
        }
    };
    status
}

/// What the host printed on the stream, safe to show.
fn shown(host: usize, stream: Stream, all: &mut Record) -> io::Result<String> {
    let (beginning, between, end) = all.ends(host, stream, SHOWN)?;
    let mut text = String::from_utf8_lossy(&beginning).into_owned();
    if between > 0 {
        text.push_str(&format!("\n[... {between} bytes are left out here ...]\n"));
    }
    text.push_str(&String::from_utf8_lossy(&end));
    Ok(safe(&text))
}

/// Text for the report, safe to show. `quick_junit` would leave tabs out, so that columns ran together, and pass on the two code points
/// that XML has no place for, so that nobody could read the report.
fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '\t' => safe.push(TAB),
            TAB | '\u{fffe}' | '\u{ffff}' => safe.extend(c.escape_unicode()),
            c => safe.push(c),
        }
    }
    safe
}
