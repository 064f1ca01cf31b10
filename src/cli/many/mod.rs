//! The same work on many hosts at once, as every subcommand does it: so many at a time, stopped by Ctrl-C, with what they
//! print and how each ended on the screen, and one exit code.

mod host;
mod live;
mod mask;
mod options;
mod outcome;
mod tally;

use std::future::Future;
use std::sync::Arc;

use crate::cli::terminal::failure::{self, Failure};
use crate::cli::terminal::hosts::Target;
use crate::cli::terminal::lines::Format;
use crate::cli::terminal::printer::{Lines, Printer, View};
use crate::cli::terminal::prompts::Terminal;
use crate::cli::terminal::screen::Screen;
use crate::cli::terminal::stop::{Stop, Stopper};
use crate::fan_out;

pub(crate) use host::Host;
use mask::Masked;
pub(crate) use mask::Secrets;
pub(crate) use options::{ManyOptions, ReportOptions};
pub(crate) use outcome::Outcome;

/// Does `work` on all `targets`, prints what they say, without the secrets, and how they end, and gives the program's exit code.
///
/// `work` is called for each host when its turn comes, and its future runs as a task of its own.
///
/// # Errors
///
/// Where this machine lacks what it takes to begin.
pub(crate) fn on_all<W, F>(
    targets: Vec<Target>,
    options: &ManyOptions,
    secrets: &Secrets,
    work: W,
) -> Result<i32, Failure>
where
    W: Fn(Host) -> F,
    F: Future<Output = Outcome> + Send + 'static,
{
    let labels = labels(&targets);
    let format = options.format(&labels);
    let screen = Screen::new();
    let lines = Lines::new(format, &labels, screen.clone());
    let shown = Shown {
        screen,
        lines: Box::new(lines),
        // The bytes of a host as they come may end within a line, where nothing can be drawn below them.
        progress: !matches!(format, Format::Stream | Format::Raw),
        summary: !options.json,
        secrets: secrets.clone(),
    };
    let finished = on_all_shown(targets, &options.report, shown, work)?;
    Ok(finished.code)
}

/// What a command shows of its hosts.
pub(crate) struct Shown {
    pub(crate) screen: Screen,
    /// Prints what hosts print, and how each ends.
    pub(crate) lines: Box<dyn View>,
    /// Whether progress may be shown while hosts are at work.
    pub(crate) progress: bool,
    /// Whether a summary is printed at the end.
    pub(crate) summary: bool,
    /// What must not be shown.
    pub(crate) secrets: Secrets,
}

/// How a command ended.
pub(crate) struct Finished {
    /// The exit code that tells how all of it went.
    pub(crate) code: i32,
    /// Whether it was ended early, or what it printed could not be written.
    pub(crate) stopped: bool,
}

/// The same as [`on_all`], for commands that show their hosts in a way of their own.
///
/// # Errors
///
/// Where this machine lacks what it takes to begin.
pub(crate) fn on_all_shown<W, F>(
    targets: Vec<Target>,
    options: &ReportOptions,
    shown: Shown,
    work: W,
) -> Result<Finished, Failure>
where
    W: Fn(Host) -> F,
    F: Future<Output = Outcome> + Send + 'static,
{
    let labels = labels(&targets);
    let progress = shown
        .progress
        .then(|| options.progress(&labels, &shown.screen))
        .flatten();
    let mut views = vec![shown.lines];
    views.extend(progress);
    let printer = Arc::new(Printer::start(Masked::all(&shown.secrets, views)));
    let terminal = Terminal::remember();
    let runtime = crate::cli::runtime()?;
    let (outcomes, stop) = runtime.block_on(everywhere(
        targets,
        options.jobs,
        &terminal,
        Arc::clone(&printer),
        work,
    ));
    // Ends what connections are left, and with them the last holders of the printer.
    crate::cli::end(runtime);
    if stop.is_some() {
        terminal.restore();
    }
    if let Some(error) = Arc::into_inner(printer).and_then(Printer::close) {
        return Ok(Finished {
            code: failure::unwritten(&error),
            stopped: true,
        });
    }
    if shown.summary {
        outcome::summarize(&labels, &outcomes);
    }
    Ok(Finished {
        code: outcome::exit_code(&outcomes, stop),
        stopped: stop.is_some(),
    })
}

/// What output calls the targets.
pub(crate) fn labels(targets: &[Target]) -> Vec<String> {
    targets.iter().map(|target| target.label.clone()).collect()
}

/// Does the work on all targets, and gives their outcomes in order; none for a host that was not come to.
async fn everywhere<W, F>(
    targets: Vec<Target>,
    jobs: usize,
    terminal: &Terminal,
    printer: Arc<Printer>,
    work: W,
) -> (Vec<Option<Outcome>>, Option<Stop>)
where
    W: Fn(Host) -> F,
    F: Future<Output = Outcome> + Send + 'static,
{
    let mut outcomes: Vec<Option<Outcome>> = targets.iter().map(|_| None).collect();
    let mut stopper = Stopper::new(printer.reader_gone());
    let stopped = stopper.subscribe();
    let prompter = terminal.prompter().map(|prompter| printer.asking(prompter));
    let work = targets.into_iter().enumerate().map(|(number, target)| {
        let host = Host {
            target,
            number,
            prompter: prompter.clone(),
            printer: Arc::clone(&printer),
            stopped: stopped.clone(),
        };
        host.clone().from_start_to_end(work(host))
    });
    let mut hosts = fan_out(work, jobs);
    loop {
        tokio::select! {
            // A task that panicked has printed so; its host counts as not done.
            ended = hosts.next() => match ended {
                Some((number, outcome)) => outcomes[number] = Some(outcome),
                None => break,
            },
            patience_over = stopper.wait() => if patience_over {
                hosts.stop().await;
                break;
            },
        }
    }
    (outcomes, stopper.reason())
}
