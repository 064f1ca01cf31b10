//! The logs of GitHub Actions and GitLab: a part that folds for each host, marks for those that failed, and a table of all.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::record::{Reader, Record};
use super::summary;
use crate::cli::terminal::ci::{Ci, defused};
use crate::cli::terminal::colours;
use crate::cli::terminal::failure::Failure;
use crate::cli::terminal::lines::{Format, LineCutter, Stream, write_out};
use crate::cli::terminal::printer::Report;
use crate::error::{one_line, printable};

/// The most rows of the table; a summary of more than 1 MiB is refused as a whole.
const MOST_ROWS: usize = 1000;

/// The longest reason in the table, in characters.
const LONGEST_REASON: usize = 300;

pub(super) struct CiLog {
    pub(super) ci: Ci,
    /// Whether each host's output is shown here when it has ended, because nothing else shows it.
    pub(super) shows_output: bool,
    /// `run`, or another subcommand.
    pub(super) command: &'static str,
    pub(super) started: std::time::Instant,
    /// Where the table goes.
    pub(super) summary: Option<StepSummary>,
}

/// The file that GitHub shows as the summary of a job's step.
pub(super) struct StepSummary {
    path: PathBuf,
    file: File,
}

impl StepSummary {
    /// Opens it, where there is one.
    ///
    /// # Errors
    ///
    /// Where it cannot be written, so that this is known before anything runs.
    pub(super) fn prepare(ci: Ci) -> Result<Option<StepSummary>, Failure> {
        let path = std::env::var_os("GITHUB_STEP_SUMMARY").map(PathBuf::from);
        let Some(path) = path.filter(|path| ci == Ci::GitHub && !path.as_os_str().is_empty())
        else {
            return Ok(None);
        };
        match File::options().append(true).create(true).open(&path) {
            Ok(file) => Ok(Some(StepSummary { path, file })),
            Err(error) => Err(Failure::usage(format!(
                "cannot write the summary of the job's step, {}: {error}",
                path.display()
            ))
            .with_hint(
                "GITHUB_STEP_SUMMARY names it; unset that where the file is not to be had, as in a container, or give --ci off",
            )),
        }
    }

    fn append(&mut self, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes()).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        })
    }
}

impl Reader for CiLog {
    fn ended(&mut self, host: usize, all: &mut Record) -> io::Result<()> {
        let Some(report) = all.report(host).cloned() else {
            return Ok(());
        };
        let label = one_line(&all.labels()[host]);
        if self.shows_output && report.status != "skipped" {
            self.show(host, &label, &report, all)?;
        }
        match report.reason() {
            Some(reason) if report.status != "skipped" => self.mark(&label, &reason, &report),
            _ => Ok(()),
        }
    }

    fn finished(&mut self, all: &mut Record) -> io::Result<()> {
        let Some(mut summary) = self.summary.take() else {
            return Ok(());
        };
        let reports: Vec<Report> = (0..all.labels().len())
            .map(|host| match all.report(host) {
                Some(report) => report.clone(),
                None => Report::of_status("interrupted"),
            })
            .collect();
        let text = table(self.command, all.labels(), &reports, self.started.elapsed());
        summary.append(&text)
    }
}

impl CiLog {
    /// The host's part of the log. Both streams go to stdout: the runner reads stdout and stderr by two pipes, so that what goes to
    /// the other one may come to stand in another host's part.
    fn show(&self, host: usize, label: &str, report: &Report, all: &mut Record) -> io::Result<()> {
        let how = report.reason().unwrap_or_else(|| "ok".to_owned());
        let time =
            summary::duration(Duration::try_from_secs_f64(report.seconds).unwrap_or_default());
        let heading = defused(&format!("{label}: {how}, {time}"));
        let section = format!("easycluster_{}_{host}", self.command);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let mut out = io::stdout().lock();
        match self.ci {
            Ci::GitHub => writeln!(out, "::group::{}", data(&heading))?,
            Ci::GitLab => {
                // What went wrong is to be seen at once.
                let collapsed = if report.status == "ok" {
                    "[collapsed=true]"
                } else {
                    ""
                };
                let begun = now.saturating_sub(report.seconds as u64);
                writeln!(
                    out,
                    "\x1b[0Ksection_start:{begun}:{section}{collapsed}\r\x1b[0K{heading}"
                )?;
            }
        }
        let format = Format::Prefixed { width: 0 };
        let cutter = |stream| LineCutter::new(format, label, stream, false).for_obeying_log();
        let mut cutters = [cutter(Stream::Stdout), cutter(Stream::Stderr)];
        let mut shown = Vec::new();
        all.read(host, |stream, piece| {
            shown.clear();
            cutters[stream as usize].push(piece, &mut shown);
            out.write_all(&shown)
        })?;
        for cutter in &mut cutters {
            shown.clear();
            cutter.finish(&mut shown);
            out.write_all(&shown)?;
        }
        match self.ci {
            Ci::GitHub => writeln!(out, "::endgroup::")?,
            Ci::GitLab => writeln!(out, "\x1b[0Ksection_end:{now}:{section}\r\x1b[0K")?,
        }
        out.flush()
    }

    /// Says outside of the part that folds that the host did not end well.
    fn mark(&self, label: &str, reason: &str, report: &Report) -> io::Result<()> {
        let (message, hint) = match &report.error {
            Some((error, hint)) => (printable(error), hint.as_deref().map(printable)),
            None => (format!("{label}: {reason}"), None),
        };
        let message = match hint {
            Some(hint) => format!("{message}\nhint: {hint}"),
            None => message,
        };
        let text = match self.ci {
            Ci::GitHub => format!(
                "::error title={}::{}\n",
                property(&defused(label)),
                data(&each_defused(&message))
            ),
            Ci::GitLab => {
                let text = each_defused(&message).replace('\n', "\n       ");
                let (red, over) = if colours::in_log() {
                    ("\x1b[31m", "\x1b[0m")
                } else {
                    ("", "")
                };
                format!("{red}error:{over} {text}\n")
            }
        };
        // The runner reads both. Where stdout is not the log, it may be used for something else.
        let stream = if self.shows_output {
            Stream::Stdout
        } else {
            Stream::Stderr
        };
        write_out(Format::Plain, stream, text.as_bytes())
    }
}

fn each_defused(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(defused).collect();
    lines.join("\n")
}

/// Text behind a command of GitHub's.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A value within a command of GitHub's.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// The table in Markdown, those first that did not end well.
fn table(command: &str, labels: &[String], reports: &[Report], elapsed: Duration) -> String {
    let mut text = format!(
        "### easycluster {command}\n\n{}\n\n| host | | seconds |\n|---|---|---:|\n",
        summary::line(reports, elapsed)
    );
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by_key(|host| reports[*host].status == "ok");
    for host in order.iter().take(MOST_ROWS) {
        let report = &reports[*host];
        let reason = match (&report.error, report.reason()) {
            (Some((error, _)), _) => error.clone(),
            (None, Some(reason)) => reason,
            (None, None) => "ok".to_owned(),
        };
        let short: String = reason.chars().take(LONGEST_REASON).collect();
        text.push_str(&format!(
            "| {} | {} | {:.1} |\n",
            markdown(&labels[*host]),
            markdown(&short),
            report.seconds
        ));
    }
    if let Some(more) = order.len().checked_sub(MOST_ROWS).filter(|more| *more > 0) {
        text.push_str(&format!("\n{more} more hosts are not in this table.\n"));
    }
    text.push('\n');
    text
}

/// Text that Markdown and HTML show as it is: what could mean something to them is written as a number.
fn markdown(text: &str) -> String {
    let mut safe = String::new();
    for c in one_line(text).chars() {
        if c.is_ascii_punctuation() && !".-".contains(c) {
            safe.push_str(&format!("&#{};", u32::from(c)));
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{data, markdown, property, table};
    use crate::cli::terminal::printer::Report;

    #[test]
    fn what_stands_in_a_command_ends_none() {
        assert_eq!(data("50%\r\n::x"), "50%25%0D%0A::x");
        assert_eq!(property("a:22,b"), "a%3A22%2Cb");
    }

    #[test]
    fn a_table_cannot_be_broken_by_what_is_in_it() {
        let failed = Report {
            error: Some(("<b>|x|</b>\n[y](z) `q`".to_owned(), None)),
            ..Report::of_status("lost")
        };
        let labels = ["web1", "we|b2"].map(str::to_owned);
        let reports = [Report::of_status("ok"), failed];
        let text = table("run", &labels, &reports, Duration::from_secs(1));
        let rows: Vec<&str> = text.lines().skip(6).collect();
        assert_eq!(rows.len(), 3, "{text}");
        assert!(
            rows[0].starts_with("| we&#124;b2 | &#60;b&#62;&#124;x"),
            "{text}"
        );
        assert!(
            rows.iter()
                .all(|row| row.is_empty() || row.matches('|').count() == 4)
        );
        assert_eq!(markdown("a_b*"), "a&#95;b&#42;");
    }
}
