//! The thread that prints what all hosts say. A slow terminal or pipe stops this thread and, by way
//! of the output windows, the remote printers; it never stops the connections.

use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::cli::terminal::failure::print_error;
use crate::cli::terminal::lines::{Format, LineCutter, Stream, write_out};
use crate::connection::{Output, OutputSink};

/// How one host's run ended, as the user sees it.
#[derive(Debug)]
pub(crate) struct Report {
    /// `ok`, `failed`, `timeout`, `unreachable`, `lost` or `interrupted`.
    pub(crate) status: &'static str,
    /// The program's exit status, if it came to one.
    pub(crate) exit_status: Option<i32>,
    /// From the start of connecting to the end.
    pub(crate) seconds: f64,
    /// What went wrong outside of the program, and what to do next.
    pub(crate) error: Option<(String, Option<String>)>,
    /// Where the remote code stood when it was stopped.
    pub(crate) stack: Vec<String>,
}

impl Report {
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

enum Item {
    Output(usize, Output),
    End(usize, Report),
    /// Nothing that matters follows, although a sink may still be around.
    Close,
}

/// Prints for all hosts of one command.
pub(crate) struct Printer {
    items: mpsc::Sender<Item>,
    thread: JoinHandle<Option<io::Error>>,
    gone: watch::Receiver<bool>,
}

impl Printer {
    /// Starts the thread.
    pub(crate) fn start(format: Format, labels: Vec<String>) -> Printer {
        let (items, queue) = mpsc::channel();
        let (gone_sender, gone) = watch::channel(false);
        let thread = std::thread::spawn(move || {
            let mut hosts = Hosts::new(format, &labels);
            let mut failed = None;
            for item in queue {
                if matches!(item, Item::Close) {
                    break;
                }
                // Later items are only taken off the queue, so that no sender waits for a window.
                if failed.is_none() {
                    failed = hosts.print(item).err();
                    let _ = gone_sender.send(failed.is_some());
                }
            }
            failed
        });
        Printer {
            items,
            thread,
            gone,
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

    /// Tells how a host's run ended; its begun lines come first.
    pub(crate) fn end(&self, host: usize, report: Report) {
        let _ = self.items.send(Item::End(host, report));
    }

    /// Turns true when our output cannot be written any more, most often because its reader has gone.
    pub(crate) fn reader_gone(&self) -> watch::Receiver<bool> {
        self.gone.clone()
    }

    /// Prints what was handed in until now, and ends; the error that printing ended with before, if there was one.
    pub(crate) fn close(self) -> Option<io::Error> {
        let _ = self.items.send(Item::Close);
        self.thread.join().ok().flatten()
    }
}

/// The cutters of all hosts, stdout and stderr each.
struct Hosts {
    format: Format,
    labels: Vec<String>,
    cutters: Vec<[LineCutter; 2]>,
}

impl Hosts {
    fn new(format: Format, labels: &[String]) -> Hosts {
        let colour = |choice: anstream::ColorChoice| choice != anstream::ColorChoice::Never;
        let colours = [
            colour(anstream::AutoStream::choice(&io::stdout())),
            colour(anstream::AutoStream::choice(&io::stderr())),
        ];
        let cutters = labels
            .iter()
            .map(|label| {
                [
                    LineCutter::new(format, label, Stream::Stdout, colours[0]),
                    LineCutter::new(format, label, Stream::Stderr, colours[1]),
                ]
            })
            .collect();
        Hosts {
            format,
            labels: labels.to_vec(),
            cutters,
        }
    }

    fn print(&mut self, item: Item) -> io::Result<()> {
        let mut shown = Vec::new();
        match item {
            Item::Output(host, output) => {
                let (index, stream) = if output.stderr {
                    (1, Stream::Stderr)
                } else {
                    (0, Stream::Stdout)
                };
                self.cutters[host][index].push(&output.data, &mut shown);
                write_out(self.format, stream, &shown)
            }
            Item::End(host, report) => {
                let [stdout, stderr] = &mut self.cutters[host];
                stdout.finish(&mut shown);
                write_out(self.format, Stream::Stdout, &shown)?;
                shown.clear();
                stderr.finish(&mut shown);
                if self.format != Format::Json {
                    for line in &report.stack {
                        stderr.push(line.as_bytes(), &mut shown);
                    }
                    stderr.finish(&mut shown);
                }
                write_out(self.format, Stream::Stderr, &shown)?;
                self.print_end(host, &report)
            }
            Item::Close => Ok(()),
        }
    }

    fn print_end(&self, host: usize, report: &Report) -> io::Result<()> {
        if self.format == Format::Json {
            let mut line = crate::visible::json(report.as_json(&self.labels[host]).to_string());
            line.push('\n');
            write_out(self.format, Stream::Stdout, line.as_bytes())?;
        } else if let Some((error, hint)) = &report.error {
            print_error(error, hint.as_deref());
        }
        Ok(())
    }
}
