//! The thread that prints what all hosts say, and tells other views of it. A slow terminal or pipe stops this thread and, by way
//! of the output windows, the remote printers; it never stops the connections.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::cli::terminal::ci::defused_json_here;
use crate::cli::terminal::colours;
use crate::cli::terminal::lines::{Format, LineCutter, Stream};
use crate::cli::terminal::screen::Screen;
use crate::connection::{Output, OutputSink};
use crate::error::Stage;
use crate::progress::{StageEvent, StageObserver};
use crate::transport::Prompter;

/// How one host's run ended, as the user sees it.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// `ok`, `failed`, `timeout`, `unreachable`, `lost`, `interrupted` or `skipped`.
    pub(crate) status: &'static str,
    /// The program's exit status, if it came to one.
    pub(crate) exit_status: Option<i32>,
    /// The stage of the connection that failed.
    pub(crate) stage: Option<Stage>,
    /// From the start of connecting to the end.
    pub(crate) seconds: f64,
    /// What went wrong outside of the program, and what to do next.
    pub(crate) error: Option<(String, Option<String>)>,
    /// Where the remote code stood when it was stopped.
    pub(crate) stack: Vec<String>,
}

impl Report {
    /// The report of a host of which nothing but its status is known.
    pub(crate) fn of_status(status: &'static str) -> Report {
        Report {
            status,
            exit_status: None,
            stage: None,
            seconds: 0.0,
            error: None,
            stack: Vec::new(),
        }
    }

    /// Why it did not end well, in a few words that are the same for all hosts of which it is true.
    pub(crate) fn reason(&self) -> Option<String> {
        match (self.status, self.exit_status, self.stage) {
            ("ok", ..) => None,
            ("failed", Some(status), _) => Some(format!("exit status {status}")),
            ("unreachable", _, Some(stage)) => Some(format!("unreachable ({stage})")),
            ("timeout", ..) => Some("timed out".to_owned()),
            ("skipped", ..) => Some("skipped, because others had failed".to_owned()),
            (status, ..) => Some(status.to_owned()),
        }
    }

    fn as_json(&self, host: &str) -> Value {
        let (error, hint) = match &self.error {
            Some((error, hint)) => (Some(error.as_str()), hint.as_deref()),
            None => (None, None),
        };
        json!({
            "event": "end",
            "host": host,
            "status": self.status,
            "exit_status": self.exit_status,
            "seconds": (self.seconds * 1000.0).round() / 1000.0,
            "error": error,
            "hint": hint,
            "stack": self.stack,
        })
    }
}

/// What happens on one host after the other, as the printer hears of it. All of it is called on the printer's thread.
pub(crate) trait View: Send {
    /// Work on the host begins.
    fn begin(&mut self, _host: usize) {}
    /// Connecting to the host has failed, and is tried again after so long.
    fn again(&mut self, _host: usize, _error: &str, _wait: Duration) {}
    /// The connection to the host has come to the end of this stage.
    fn reached(&mut self, _host: usize, _stage: Stage) {}
    /// The work on the host is so far, in words.
    fn progress(&mut self, _host: usize, _text: &str) {}
    /// The host has printed this.
    fn output(&mut self, _host: usize, _stream: Stream, _data: &[u8]) -> io::Result<()> {
        Ok(())
    }
    /// Work on the host has ended.
    fn end(&mut self, host: usize, report: &Report) -> io::Result<()>;
    /// A question is on the terminal, or has been answered.
    fn question(&mut self, _asked: bool) {}
    /// Time has passed; called at least every [`TICK`].
    fn tick(&mut self) {}
    /// The hosts that it names while they run, and of which it therefore shows how far they are. They change where work begins or ends.
    fn named(&self) -> Vec<usize> {
        Vec::new()
    }
    /// Nothing follows.
    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How long a view that changes with time waits at most.
const TICK: Duration = Duration::from_millis(100);

enum Item {
    Begin(usize),
    Again(usize, String, Duration),
    Reached(usize, Stage),
    Progress(usize, String),
    Output(usize, Output),
    End(usize, Report),
    /// A question begins or ends; what is sent back says that no view is in its way.
    Question(bool, mpsc::Sender<()>),
    /// Nothing that matters follows, although a sink may still be around.
    Close,
}

/// Prints for all hosts of one command.
pub(crate) struct Printer {
    items: mpsc::Sender<Item>,
    thread: JoinHandle<Option<io::Error>>,
    gone: watch::Receiver<bool>,
    named: watch::Receiver<Vec<usize>>,
}

impl Printer {
    /// Starts the thread, which tells all views of everything, in their order.
    pub(crate) fn start(mut views: Vec<Box<dyn View>>) -> Printer {
        let (items, queue) = mpsc::channel();
        let (gone_sender, gone) = watch::channel(false);
        let (named_sender, named) = watch::channel(Vec::new());
        let thread = std::thread::spawn(move || {
            let mut failed = None;
            loop {
                let item = match queue.recv_timeout(TICK) {
                    Ok(Item::Close) | Err(RecvTimeoutError::Disconnected) => break,
                    Ok(item) => Some(item),
                    Err(RecvTimeoutError::Timeout) => None,
                };
                // Later items are only taken off the queue, so that no sender waits for a window.
                if failed.is_none() {
                    let changes_hosts = matches!(item, Some(Item::Begin(_) | Item::End(..)));
                    let told = item.map_or(Ok(()), |item| tell(&mut views, item));
                    views.iter_mut().for_each(|view| view.tick());
                    if changes_hosts {
                        named_sender
                            .send_replace(views.iter().flat_map(|view| view.named()).collect());
                    }
                    failed = told.err();
                    let _ = gone_sender.send(failed.is_some());
                }
            }
            for view in &mut views {
                failed = failed.or(view.close().err());
            }
            failed
        });
        Printer {
            items,
            thread,
            gone,
            named,
        }
    }

    /// Takes the output of the host with this number.
    pub(crate) fn sink(&self, host: usize) -> OutputSink {
        let items = self.items.clone();
        OutputSink::new(move |output| {
            // Fails only when the printer is closed, and then no output is wanted any more.
            let _ = items.send(Item::Output(host, output));
        })
    }

    /// Tells that work on a host begins.
    pub(crate) fn begin(&self, host: usize) {
        let _ = self.items.send(Item::Begin(host));
    }

    /// Tells that connecting to a host has failed, and is tried again after so long.
    pub(crate) fn again(&self, host: usize, error: String, wait: Duration) {
        let _ = self.items.send(Item::Again(host, error, wait));
    }

    /// Tells that the connection to a host has come to the end of a stage.
    pub(crate) fn reached(&self, host: usize, stage: Stage) {
        let _ = self.items.send(Item::Reached(host, stage));
    }

    /// Tells how far the work on a host is, in words.
    pub(crate) fn progress(&self, host: usize) -> impl Fn(String) + Send + Sync + 'static {
        let items = self.items.clone();
        move |text| {
            let _ = items.send(Item::Progress(host, text));
        }
    }

    /// Hears of the stages of the connection to a host.
    pub(crate) fn observer(&self, host: usize) -> StageObserver {
        let items = self.items.clone();
        Arc::new(move |event: StageEvent| {
            let _ = items.send(Item::Reached(host, event.stage));
        })
    }

    /// A prompter that keeps the views out of the way while it asks.
    pub(crate) fn asking(&self, prompter: Prompter) -> Prompter {
        let items = self.items.clone();
        let question = move |asked| {
            let (ready, wait) = mpsc::channel();
            let _ = items.send(Item::Question(asked, ready));
            // Ends also where the printer has ended, which shows nothing then.
            let _ = wait.recv();
        };
        Arc::new(move |asked| {
            question(true);
            let answer = prompter(asked);
            question(false);
            answer
        })
    }

    /// Tells how a host's run ended; its begun lines come first.
    pub(crate) fn end(&self, host: usize, report: Report) {
        let _ = self.items.send(Item::End(host, report));
    }

    /// Turns true when our output cannot be written any more, most often because its reader has gone.
    pub(crate) fn reader_gone(&self) -> watch::Receiver<bool> {
        self.gone.clone()
    }

    /// Whether a view names this host now.
    pub(crate) fn is_named(&self, host: usize) -> bool {
        self.named.borrow().contains(&host)
    }

    /// Returns when a view names this host; false if none ever will.
    pub(crate) async fn until_named(&self, host: usize) -> bool {
        let mut named = self.named.clone();
        let is_named = named.wait_for(|named| named.contains(&host));
        is_named.await.is_ok()
    }

    /// Prints what was handed in until now, and ends; the error that printing ended with before, if there was one.
    pub(crate) fn close(self) -> Option<io::Error> {
        let _ = self.items.send(Item::Close);
        self.thread.join().ok().flatten()
    }
}

fn tell(views: &mut [Box<dyn View>], item: Item) -> io::Result<()> {
    for view in &mut *views {
        match &item {
            Item::Begin(host) => view.begin(*host),
            Item::Again(host, error, wait) => view.again(*host, error, *wait),
            Item::Reached(host, stage) => view.reached(*host, *stage),
            Item::Progress(host, text) => view.progress(*host, text),
            Item::Output(host, output) => {
                let stream = if output.stderr {
                    Stream::Stderr
                } else {
                    Stream::Stdout
                };
                view.output(*host, stream, &output.data)?;
            }
            Item::End(host, report) => view.end(*host, report)?,
            Item::Question(asked, _) => view.question(*asked),
            Item::Close => {}
        }
    }
    if let Item::Question(_, ready) = item {
        // The caller may have been stopped meanwhile.
        let _ = ready.send(());
    }
    Ok(())
}

/// Prints the lines of all hosts as they come. Has the cutters of each, one for stdout and one for stderr.
pub(crate) struct Lines {
    format: Format,
    labels: Vec<String>,
    cutters: Vec<[LineCutter; 2]>,
    errors: Errors,
    screen: Screen,
}

/// Prints of every host why it could not be worked on.
pub(crate) struct Errors {
    shown: bool,
    screen: Screen,
}

impl Errors {
    /// Not shown where something else shows them.
    pub(crate) fn new(shown: bool, screen: Screen) -> Errors {
        Errors { shown, screen }
    }
}

impl View for Errors {
    fn again(&mut self, _host: usize, error: &str, wait: Duration) {
        let seconds = wait.as_secs_f64();
        self.screen
            .warning(&format!("{error}; trying again in {seconds:.1} s"));
    }

    fn end(&mut self, _host: usize, report: &Report) -> io::Result<()> {
        if let (true, Some((error, hint))) = (self.shown, &report.error) {
            self.screen.error(error, hint.as_deref());
        }
        Ok(())
    }
}

impl Lines {
    /// `errors`: whether to print why a host could not be worked on.
    pub(crate) fn new(format: Format, labels: &[String], errors: bool, screen: Screen) -> Lines {
        let colours = colours::at_streams();
        let cutters = labels
            .iter()
            .map(|label| {
                [
                    LineCutter::new(format, label, Stream::Stdout, colours[0]),
                    LineCutter::new(format, label, Stream::Stderr, colours[1]),
                ]
            })
            .collect();
        Lines {
            format,
            labels: labels.to_vec(),
            cutters,
            errors: Errors::new(errors, screen.clone()),
            screen,
        }
    }

    fn print_end(&mut self, host: usize, report: &Report) -> io::Result<()> {
        if self.format == Format::Json {
            let line = crate::visible::json(report.as_json(&self.labels[host]).to_string());
            let mut line = defused_json_here(line);
            line.push('\n');
            self.screen
                .write(self.format, Stream::Stdout, line.as_bytes())?;
        } else {
            self.errors.end(host, report)?;
        }
        Ok(())
    }
}

impl View for Lines {
    fn again(&mut self, host: usize, error: &str, wait: Duration) {
        if self.format != Format::Json {
            self.errors.again(host, error, wait);
        }
    }

    fn output(&mut self, host: usize, stream: Stream, data: &[u8]) -> io::Result<()> {
        let mut shown = Vec::new();
        self.cutters[host][stream as usize].push(data, &mut shown);
        self.screen.write(self.format, stream, &shown)
    }

    fn end(&mut self, host: usize, report: &Report) -> io::Result<()> {
        let mut shown = Vec::new();
        let [stdout, stderr] = &mut self.cutters[host];
        stdout.finish(&mut shown);
        self.screen.write(self.format, Stream::Stdout, &shown)?;
        shown.clear();
        stderr.finish(&mut shown);
        if self.format != Format::Json {
            for line in &report.stack {
                stderr.push(line.as_bytes(), &mut shown);
            }
            stderr.finish(&mut shown);
        }
        self.screen.write(self.format, Stream::Stderr, &shown)?;
        self.print_end(host, report)
    }
}
