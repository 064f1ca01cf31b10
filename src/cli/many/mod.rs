//! The same work on many hosts at once, as every subcommand does it: so many at a time, stopped by Ctrl-C, with what they
//! print and how each ended on the screen, and one exit code.

mod host;
mod options;
mod outcome;

use std::future::Future;
use std::sync::Arc;

use crate::cli::terminal::failure::{self, Failure};
use crate::cli::terminal::hosts::Target;
use crate::cli::terminal::printer::Printer;
use crate::cli::terminal::prompts::Terminal;
use crate::cli::terminal::stop::{Stop, Stopper};
use crate::fan_out;

pub(crate) use host::Host;
pub(crate) use options::ManyOptions;
pub(crate) use outcome::Outcome;

/// Does `work` on all `targets`, prints what they say and how they end, and gives the program's exit code.
///
/// `work` is called for each host when its turn comes, and its future runs as a task of its own.
///
/// # Errors
///
/// Where this machine lacks what it takes to begin.
pub(crate) fn on_all<W, F>(
    targets: Vec<Target>,
    options: &ManyOptions,
    work: W,
) -> Result<i32, Failure>
where
    W: Fn(Host) -> F,
    F: Future<Output = Outcome> + Send + 'static,
{
    let labels: Vec<String> = targets.iter().map(|target| target.label.clone()).collect();
    let printer = Arc::new(Printer::start(options.format(&labels), labels.clone()));
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
        return Ok(failure::unwritten(&error));
    }
    if !options.json {
        outcome::summarize(&labels, &outcomes);
    }
    Ok(outcome::exit_code(&outcomes, stop))
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
    let count = targets.len();
    let mut outcomes: Vec<Option<Outcome>> = targets.iter().map(|_| None).collect();
    let mut stopper = Stopper::new(printer.reader_gone());
    let stopped = stopper.subscribe();
    let prompter = terminal.prompter();
    let work = targets.into_iter().enumerate().map(|(number, target)| {
        let host = Host {
            target,
            number,
            count,
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
