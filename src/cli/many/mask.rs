//! Keeps secrets out of what is printed: each stands as `***`, also where it came in pieces.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::terminal::lines::Stream;
use crate::cli::terminal::printer::{Report, View};
use crate::error::Stage;

/// What stands for a secret.
const MASK: &[u8] = b"***";

/// A line of a secret with several lines is masked by itself too if it is as long as this.
const LINE: usize = 8;

/// What must not be printed.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Arc<[Vec<u8>]>);

impl Secrets {
    /// These values, and the lines of those that have several.
    pub(crate) fn new(values: Vec<Vec<u8>>) -> Secrets {
        let mut all: Vec<Vec<u8>> = Vec::new();
        for value in values {
            let lines = value.split(|byte| matches!(byte, b'\n' | b'\r'));
            all.extend(lines.filter(|line| line.len() >= LINE).map(<[u8]>::to_vec));
            all.push(value);
        }
        all.retain(|value| !value.is_empty());
        // Of two that begin alike the longer one is looked for first.
        all.sort_by_key(|value| std::cmp::Reverse(value.len()));
        all.dedup();
        Secrets(all.into())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text without secrets.
    pub(crate) fn masked(&self, text: &str) -> String {
        if self.is_empty() {
            return text.to_owned();
        }
        let mut masker = Masker::default();
        let mut shown = Vec::new();
        masker.push(self, text.as_bytes(), &mut shown);
        masker.finish(self, &mut shown);
        String::from_utf8_lossy(&shown).into_owned()
    }
}

/// Masks one stream.
#[derive(Default)]
struct Masker {
    /// What may be the beginning of a secret.
    held: Vec<u8>,
}

impl Masker {
    /// Appends what cannot be part of a secret any more, and masks what was one.
    fn push(&mut self, secrets: &Secrets, data: &[u8], shown: &mut Vec<u8>) {
        self.held.extend_from_slice(data);
        self.pass(secrets, false, shown);
    }

    /// Nothing follows.
    fn finish(&mut self, secrets: &Secrets, shown: &mut Vec<u8>) {
        self.pass(secrets, true, shown);
    }

    fn pass(&mut self, secrets: &Secrets, ended: bool, shown: &mut Vec<u8>) {
        let mut rest = self.held.as_slice();
        while !rest.is_empty() {
            // One that may still become a longer secret waits, also where a shorter one is complete.
            let begun = |secret: &Vec<u8>| secret.len() > rest.len() && secret.starts_with(rest);
            if !ended && secrets.0.iter().any(begun) {
                break;
            }
            let found = secrets.0.iter().find(|secret| rest.starts_with(secret));
            let skipped = match found {
                Some(secret) => {
                    shown.extend_from_slice(MASK);
                    secret.len()
                }
                None => {
                    let next = rest.iter().skip(1).position(|byte| {
                        secrets.0.iter().any(|secret| secret.first() == Some(byte))
                    });
                    let plain = next.map_or(rest.len(), |place| place + 1);
                    shown.extend_from_slice(&rest[..plain]);
                    plain
                }
            };
            rest = &rest[skipped..];
        }
        let kept = rest.len();
        self.held.drain(..self.held.len() - kept);
    }
}

/// Hides secrets from the views behind it.
pub(crate) struct Masked {
    secrets: Secrets,
    views: Vec<Box<dyn View>>,
    streams: HashMap<(usize, Stream), Masker>,
}

impl Masked {
    /// The same views, which see no secret; themselves where there is none.
    pub(crate) fn all(secrets: &Secrets, views: Vec<Box<dyn View>>) -> Vec<Box<dyn View>> {
        if secrets.is_empty() {
            return views;
        }
        vec![Box::new(Masked {
            secrets: secrets.clone(),
            views,
            streams: HashMap::new(),
        })]
    }

    fn tell(&mut self, host: usize, stream: Stream, shown: &[u8]) -> io::Result<()> {
        if shown.is_empty() {
            return Ok(());
        }
        let mut views = self.views.iter_mut();
        views.try_for_each(|view| view.output(host, stream, shown))
    }
}

impl View for Masked {
    fn begin(&mut self, host: usize) {
        self.views.iter_mut().for_each(|view| view.begin(host));
    }

    fn again(&mut self, host: usize, error: &str, wait: Duration) {
        let error = self.secrets.masked(error);
        self.views
            .iter_mut()
            .for_each(|view| view.again(host, &error, wait));
    }

    fn reached(&mut self, host: usize, stage: Stage) {
        self.views
            .iter_mut()
            .for_each(|view| view.reached(host, stage));
    }

    fn progress(&mut self, host: usize, text: &str) {
        let text = self.secrets.masked(text);
        self.views
            .iter_mut()
            .for_each(|view| view.progress(host, &text));
    }

    fn output(&mut self, host: usize, stream: Stream, data: &[u8]) -> io::Result<()> {
        let mut shown = Vec::new();
        let masker = self.streams.entry((host, stream)).or_default();
        masker.push(&self.secrets, data, &mut shown);
        self.tell(host, stream, &shown)
    }

    fn end(&mut self, host: usize, report: &Report) -> io::Result<()> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mut shown = Vec::new();
            if let Some(mut masker) = self.streams.remove(&(host, stream)) {
                masker.finish(&self.secrets, &mut shown);
            }
            self.tell(host, stream, &shown)?;
        }
        let masked = |text: &String| self.secrets.masked(text);
        let error = report.error.as_ref();
        let stack = self.secrets.masked(&report.stack.concat());
        let report = Report {
            error: error.map(|(error, hint)| (masked(error), hint.as_ref().map(masked))),
            stack: stack.split_inclusive('\n').map(str::to_owned).collect(),
            ..report.clone()
        };
        self.views
            .iter_mut()
            .try_for_each(|view| view.end(host, &report))
    }

    fn question(&mut self, asked: bool) {
        self.views.iter_mut().for_each(|view| view.question(asked));
    }

    fn tick(&mut self) {
        self.views.iter_mut().for_each(|view| view.tick());
    }

    fn named(&self) -> Vec<usize> {
        self.views.iter().flat_map(|view| view.named()).collect()
    }

    fn close(&mut self) -> io::Result<()> {
        // All of them, whichever fails.
        let closed: Vec<io::Result<()>> = self.views.iter_mut().map(|view| view.close()).collect();
        closed.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Masker, Secrets};

    fn secrets(values: &[&str]) -> Secrets {
        Secrets::new(
            values
                .iter()
                .map(|value| value.as_bytes().to_vec())
                .collect(),
        )
    }

    fn shown(secrets: &Secrets, text: &str, size: usize) -> String {
        let (mut masker, mut shown) = (Masker::default(), Vec::new());
        for piece in text.as_bytes().chunks(size) {
            masker.push(secrets, piece, &mut shown);
        }
        masker.finish(secrets, &mut shown);
        String::from_utf8(shown).expect("text")
    }

    #[test]
    fn a_secret_is_found_however_it_arrives() {
        let secrets = secrets(&["hunter2", "aab", "hunter2-long", "x"]);
        let text = "hunter2 hunter hunter2-lonhunter2-long aaab.aaax\nhunter2";
        for size in 1..text.len() {
            assert_eq!(
                shown(&secrets, text, size),
                "*** hunter ***-lon*** a***.aaa***\n***",
                "in pieces of {size}"
            );
        }
    }

    #[test]
    fn what_is_no_secret_waits_for_nothing_longer_than_it_must() {
        let secrets = secrets(&["hunter2"]);
        let (mut masker, mut shown) = (Masker::default(), Vec::new());
        masker.push(&secrets, b"login: ", &mut shown);
        assert_eq!(shown, b"login: ");
        masker.push(&secrets, b"hunt", &mut shown);
        assert_eq!(shown, b"login: ");
        masker.push(&secrets, b"ing\n", &mut shown);
        assert_eq!(shown, b"login: hunting\n");
    }

    #[test]
    fn the_lines_of_a_key_are_masked_one_by_one_too() {
        let secrets = secrets(&["-----BEGIN KEY-----\nabcdefghijkl\nxy\n"]);
        assert_eq!(shown(&secrets, " abcdefghijkl xy\n", 3), " *** xy\n");
        assert_eq!(
            secrets.masked("-----BEGIN KEY-----\nabcdefghijkl\nxy\n"),
            "***"
        );
    }
}
