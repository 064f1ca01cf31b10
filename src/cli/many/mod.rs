//! The same work on many hosts at once, as every subcommand does it: so many at a time, stopped by Ctrl-C, with what they
//! print and how each ended on the screen, and one exit code.

mod ci_log;
mod failed_hosts;
mod gather;
mod host;
mod junit;
mod limits;
mod live;
mod mask;
mod options;
mod out_files;
mod outcome;
mod record;
mod summary;
mod tally;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::cli::terminal::ci::Ci;
use crate::cli::terminal::failure::{self, Failure};
use crate::cli::terminal::hosts::Target;
use crate::cli::terminal::lines::Format;
use crate::cli::terminal::printer::{Errors, Lines, Printer, Report, View};
use crate::cli::terminal::prompts::Terminal;
use crate::cli::terminal::screen::Screen;
use crate::cli::terminal::stop::{self, Signals, Stop, Stopper};
use crate::{Retry, fan_out};
use ci_log::{CiLog, StepSummary};
use failed_hosts::FileAtEnd;
use gather::Gather;
use host::Rules;
use junit::JUnit;
use out_files::OutFiles;
use record::{Reader, Recorder};

pub(crate) use host::Host;
use mask::Masked;
pub(crate) use mask::Secrets;
pub(crate) use options::{ManyOptions, ReportOptions};
pub(crate) use outcome::Outcome;

/// Does `work` on all `targets`, prints what they say, without the secrets, and how they end, and gives the program's exit code.
///
/// `work` is called for each host when its turn comes, and its future runs as a task of its own. Where connecting failed for a
/// reason that may pass, it is called again if the user wants that. `command` is the subcommand's name.
///
/// # Errors
///
/// Where this machine lacks what it takes to begin.
pub(crate) fn on_all<W, F>(
    command: &'static str,
    targets: Vec<Target>,
    options: &ManyOptions,
    secrets: &Secrets,
    work: W,
) -> Result<i32, Failure>
where
    W: Fn(Host) -> F + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let labels = labels(&targets);
    let format = options.format(&labels);
    let screen = Screen::new();
    let ci = options.report.ci_log().filter(|_| !options.json);
    // The log of a job has the output of each host in a part of its own.
    let in_parts = ci.is_some() && !options.gather && matches!(format, Format::Prefixed { .. });
    let lines: Box<dyn View> = if in_parts || options.gather {
        Box::new(Errors::new(ci.is_none(), screen.clone()))
    } else {
        Box::new(Lines::new(format, &labels, ci.is_none(), screen.clone()))
    };
    let mut shown = Shown::new(command, screen.clone(), lines);
    if let Some(folder) = &options.out {
        shown
            .views
            .push(Box::new(OutFiles::prepare(folder, &labels)?));
    }
    if options.gather {
        let format = Format::Plain;
        shown.readers.push(Box::new(Gather { screen, format }));
    }
    // The bytes of a host as they come may end within a line, where nothing can be drawn below them.
    shown.progress = options.gather || !matches!(format, Format::Stream | Format::Raw);
    shown.output = true;
    shown.summary = !options.json;
    shown.secrets = secrets.clone();
    shown.ci = ci;
    shown.in_parts = in_parts;
    let limits = Limits {
        batch: options.serial.map(|share| share.of(targets.len()).max(1)),
        most_failures: match (options.fail_fast, options.max_fail) {
            (true, _) => Some(0),
            (false, share) => share.map(|share| share.of(targets.len())),
        },
    };
    Ok(on_all_shown(targets, &options.report, limits, shown, work)?.code)
}

/// What a command shows of its hosts.
pub(crate) struct Shown {
    /// The subcommand's name.
    command: &'static str,
    screen: Screen,
    /// What prints what hosts print and how each ends, and others that hear of it.
    views: Vec<Box<dyn View>>,
    /// What wants all that a host has printed at once.
    readers: Vec<Box<dyn Reader>>,
    /// Whether hosts print anything.
    output: bool,
    /// Whether progress may be shown while hosts are at work.
    pub(crate) progress: bool,
    /// Whether a summary is printed at the end.
    pub(crate) summary: bool,
    /// What must not be shown.
    pub(crate) secrets: Secrets,
    /// The log that commands are written for.
    pub(crate) ci: Option<Ci>,
    /// Whether that log shows what hosts print.
    in_parts: bool,
}

impl Shown {
    /// `lines` prints what hosts print and how each ends.
    pub(crate) fn new(command: &'static str, screen: Screen, lines: Box<dyn View>) -> Shown {
        Shown {
            command,
            screen,
            views: vec![lines],
            readers: Vec::new(),
            output: false,
            progress: true,
            summary: true,
            secrets: Secrets::default(),
            ci: None,
            in_parts: false,
        }
    }

    /// All that hear of what hosts do, in the order in which they do.
    fn views(
        self,
        options: &ReportOptions,
        labels: &[String],
    ) -> Result<Vec<Box<dyn View>>, Failure> {
        let started = Instant::now();
        let Shown {
            command,
            mut views,
            mut readers,
            ci,
            ..
        } = self;
        if self.progress {
            views.extend(options.progress(labels, &self.screen));
        }
        // Last, so that the live view is gone when they print.
        if let Some(ci) = ci {
            readers.push(Box::new(CiLog {
                ci,
                shows_output: self.in_parts,
                command,
                started,
                summary: StepSummary::prepare(ci)?,
            }));
        }
        if let Some(path) = &options.junit {
            let file = Some(FileAtEnd::prepare("--junit", path)?);
            readers.push(Box::new(JUnit {
                command,
                file,
                started,
            }));
        }
        if !readers.is_empty() {
            views.push(Box::new(Recorder::new(labels, readers, self.output)?));
        }
        Ok(Masked::all(&self.secrets, views))
    }
}

/// How a command ended.
pub(crate) struct Finished {
    /// The exit code that tells how all of it went.
    pub(crate) code: i32,
    /// Whether it was ended early, or what it printed could not be written.
    pub(crate) stopped: bool,
    /// What else may end it.
    pub(crate) signals: Signals,
}

/// How many hosts at a time, and how many failures are too many.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    /// So many are worked on until all of them have ended, before the next are begun.
    batch: Option<usize>,
    /// Behind more failures than these no host is begun.
    most_failures: Option<usize>,
}

/// The same as [`on_all`], for commands that show their hosts in a way of their own.
///
/// # Errors
///
/// Where this machine lacks what it takes to begin.
pub(crate) fn on_all_shown<W, F>(
    targets: Vec<Target>,
    options: &ReportOptions,
    limits: Limits,
    shown: Shown,
    work: W,
) -> Result<Finished, Failure>
where
    W: Fn(Host) -> F + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let labels = labels(&targets);
    let started = Instant::now();
    let failed_to = match &options.failed_to {
        Some(path) => Some(FileAtEnd::prepare("--failed-to", path)?),
        None => None,
    };
    let summary = shown.summary && !options.quiet;
    let printer = Arc::new(Printer::start(shown.views(options, &labels)?));
    let terminal = Terminal::remember();
    let runtime = crate::cli::runtime()?;
    let (outcomes, stop, mut signals) = runtime.block_on(everywhere(
        targets,
        (options.jobs, limits, options.retry()),
        &terminal,
        Arc::clone(&printer),
        work,
    ));
    // Ends what connections are left, and with them the last holders of the printer.
    crate::cli::end(runtime);
    if stop.is_some() {
        terminal.restore();
    }
    let code = outcome::exit_code(&outcomes, stop);
    let last_words = move || {
        let unwritten = Arc::into_inner(printer).and_then(Printer::close);
        let summary_since = summary.then_some(started);
        told_last(&labels, &outcomes, unwritten, failed_to, summary_since)
            .map(|error| failure::unwritten(&error))
    };
    let (code, stopped) = match stop::unless_stopped(stop, &mut signals, last_words) {
        Ok(Some(code)) => (code, true),
        Ok(None) => (code, stop.is_some()),
        Err(stop) => (stop.exit_code(), true),
    };
    Ok(Finished {
        code,
        stopped,
        signals,
    })
}

/// Writes the names of the hosts that did not end well, and prints the summary, with the time from its start; the error that writing
/// anything ended with, if there was one.
fn told_last(
    labels: &[String],
    outcomes: &[Option<Outcome>],
    unwritten: Option<std::io::Error>,
    failed_to: Option<FileAtEnd>,
    summary_since: Option<Instant>,
) -> Option<std::io::Error> {
    let reports: Vec<Report> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Some(outcome) => outcome::report(outcome, Duration::ZERO),
            None => Report::of_status("interrupted"),
        })
        .collect();
    let failed = labels.iter().zip(&reports);
    let failed = failed.filter(|(_, report)| report.status != "ok");
    let failed = failed_hosts::content(failed.map(|(label, _)| label.as_str()));
    let unwritten = match failed_to {
        Some(file) => unwritten.or(file.write(failed.as_bytes()).err()),
        None => unwritten,
    };
    // A reader that has gone wants to hear no more. Where it was a disk that is full, how hosts ended is all the more wanted; of one
    // host alone, the error says all of it.
    let wanted = unwritten
        .as_ref()
        .is_none_or(|error| labels.len() > 1 && error.kind() != std::io::ErrorKind::BrokenPipe);
    if let (Some(started), true) = (summary_since, wanted) {
        summary::print(labels, &reports, started.elapsed());
    }
    unwritten
}

/// What output calls the targets.
pub(crate) fn labels(targets: &[Target]) -> Vec<String> {
    targets.iter().map(|target| target.label.clone()).collect()
}

/// Does the work on all targets, and gives their outcomes in order; none for a host that was not come to.
async fn everywhere<W, F>(
    mut targets: Vec<Target>,
    (jobs, limits, retry): (usize, Limits, Retry),
    terminal: &Terminal,
    printer: Arc<Printer>,
    work: W,
) -> (Vec<Option<Outcome>>, Option<Stop>, Signals)
where
    W: Fn(Host) -> F + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let mut outcomes: Vec<Option<Outcome>> = targets.iter().map(|_| None).collect();
    let mut stopper = Stopper::new(printer.reader_gone());
    let stopped = stopper.subscribe();
    let prompter = terminal.prompter().map(|prompter| printer.asking(prompter));
    let rules = Rules {
        retry,
        begin_no_more: Arc::default(),
    };
    let work = Arc::new(work);
    let mut failures = 0;
    let mut first = 0;
    let batch = limits.batch.unwrap_or(targets.len());
    while !targets.is_empty() {
        let rest = targets.split_off(batch.min(targets.len()));
        let count = targets.len();
        let tasks = targets.into_iter().zip(first..).map(|(target, number)| {
            let host = Host {
                target,
                number,
                prompter: prompter.clone(),
                printer: Arc::clone(&printer),
                stopped: stopped.clone(),
            };
            host.worked_on(Arc::clone(&work), rules.clone())
        });
        let mut hosts = fan_out(tasks, jobs);
        loop {
            tokio::select! {
                // A task that panicked has printed so; its host counts as not done.
                ended = hosts.next() => match ended {
                    Some((place, outcome)) => {
                        failures += usize::from(!matches!(outcome, Outcome::Ended(0)));
                        let too_many = limits.most_failures.is_some_and(|most| failures > most);
                        rules.begin_no_more.store(too_many, Ordering::Relaxed);
                        outcomes[first + place] = Some(outcome);
                    }
                    None => break,
                },
                patience_over = stopper.wait() => if patience_over {
                    hosts.stop().await;
                    return (outcomes, stopper.reason(), stopper.into_signals());
                },
            }
        }
        first += count;
        targets = rest;
    }
    (outcomes, stopper.reason(), stopper.into_signals())
}
