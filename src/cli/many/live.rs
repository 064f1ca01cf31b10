//! How far a command is, while it runs: a few lines at the bottom of a terminal, or now and then a line in a log.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::time::{Duration, Instant};

use super::tally::{Tally, hosts};
use crate::cli::terminal::columns::{cut, padded, widest};
use crate::cli::terminal::printer::{Report, View};
use crate::cli::terminal::prompts;
use crate::cli::terminal::screen::Screen;
use crate::error::{Stage, printable};

/// Commands that end sooner show no live view, so that nothing flickers.
const QUICK: Duration = Duration::from_millis(500);

/// How often the live view changes at most.
const CHANGE: Duration = Duration::from_millis(100);

/// The most hosts that are named at a time, however high the terminal is.
const MOST_ROWS: usize = 10;

/// The hosts that a line in a log names.
const IN_LOG: usize = 3;

/// The columns of the bar.
const BAR: usize = 20;

/// Terminals with fewer columns have no room for a bar.
const NARROW: usize = 60;

/// Who is at work, since when, and at what.
struct AtWork {
    labels: Vec<String>,
    tally: Tally,
    /// The longest-running first.
    order: BTreeSet<(Instant, usize)>,
    begun: HashMap<usize, (Instant, Doing)>,
}

/// What a host does.
#[derive(Default)]
struct Doing {
    /// The end of which stage its connection has come to.
    reached: Option<Stage>,
    /// How far its work is.
    progress: Option<String>,
}

impl AtWork {
    fn new(labels: &[String]) -> AtWork {
        AtWork {
            labels: labels.to_vec(),
            tally: Tally::default(),
            order: BTreeSet::new(),
            begun: HashMap::new(),
        }
    }

    fn begin(&mut self, host: usize, now: Instant) {
        self.order.insert((now, host));
        self.begun.insert(host, (now, Doing::default()));
    }

    fn reached(&mut self, host: usize, stage: Stage) {
        if let Some((_, doing)) = self.begun.get_mut(&host) {
            doing.reached = Some(stage);
        }
    }

    fn progress(&mut self, host: usize, text: &str) {
        if let Some((_, doing)) = self.begun.get_mut(&host) {
            doing.progress = Some(text.to_owned());
        }
    }

    /// The hosts that `longest` names.
    fn named(&self, most: usize) -> Vec<usize> {
        let hosts = self.order.iter().take(most);
        hosts.map(|(_, host)| *host).collect()
    }

    fn end(&mut self, host: usize, status: &str) {
        if let Some((since, _)) = self.begun.remove(&host) {
            self.order.remove(&(since, host));
        }
        self.tally.add(status);
    }

    /// `12 of 20 hosts done: 11 ok, 1 failed; 5 running, 3 waiting`.
    fn sum(&self) -> String {
        let total = self.labels.len();
        let (ended, running) = (self.tally.ended(), self.order.len());
        let mut text = format!("{ended} of {} done", hosts(total));
        if ended > 0 {
            text.push_str(&format!(": {}", self.tally.text()));
        }
        let waiting = total.saturating_sub(ended + running);
        for (number, what) in [(running, "running"), (waiting, "waiting")] {
            if number > 0 {
                let comma = if text.contains(';') { "," } else { ";" };
                text.push_str(&format!("{comma} {number} {what}"));
            }
        }
        text
    }

    /// The longest-running hosts, at most so many: name, seconds, what it does.
    fn longest(&self, most: usize, now: Instant) -> Vec<(String, u64, String)> {
        self.order
            .iter()
            .take(most)
            .map(|(since, host)| {
                let host_does = self.begun.get(host).map(|(_, doing)| doing);
                let progress = host_does.and_then(|host_does| host_does.progress.clone());
                let stage = host_does.and_then(|host_does| host_does.reached);
                let seconds = now.saturating_duration_since(*since).as_secs();
                let does = progress.unwrap_or_else(|| doing(stage));
                (printable(&self.labels[*host]), seconds, does)
            })
            .collect()
    }
}

/// What a connection that has come to the end of `stage` does now.
fn doing(stage: Option<Stage>) -> String {
    const ORDER: [Stage; 9] = [
        Stage::Configure,
        Stage::Resolve,
        Stage::Connect,
        Stage::KeyExchange,
        Stage::HostKey,
        Stage::Authentication,
        Stage::Channel,
        Stage::Interpreter,
        Stage::Stub,
    ];
    let Some(stage) = stage else {
        return "connecting".to_owned();
    };
    let place = ORDER.iter().position(|known| *known == stage);
    match place.and_then(|place| ORDER.get(place + 1)) {
        Some(next) => next.to_string(),
        None => "running".to_owned(),
    }
}

/// The live view at the bottom of a terminal: a line that counts, and the longest-running hosts by name.
pub(crate) struct Live {
    screen: Screen,
    started: Instant,
    changed: Instant,
    asking: bool,
    at_work: AtWork,
}

impl Live {
    pub(crate) fn new(labels: &[String], screen: Screen) -> Live {
        Live {
            screen,
            started: Instant::now(),
            changed: Instant::now(),
            asking: false,
            at_work: AtWork::new(labels),
        }
    }

    /// The lines, for a terminal of this size: at most a third of its height, and none longer than its width.
    fn lines(&self, (columns, rows): (usize, usize), now: Instant) -> Vec<String> {
        let seconds = now.saturating_duration_since(self.started).as_secs();
        let sum = format!("{}, {seconds} s", self.at_work.sum());
        let mut lines = if columns < NARROW {
            vec![sum]
        } else {
            vec![format!("{} {sum}", bar(&self.at_work))]
        };
        let room = (rows / 3).saturating_sub(1).clamp(1, MOST_ROWS);
        let longest = self.at_work.longest(room, now);
        let width = widest(longest.iter().map(|(name, ..)| name.as_ref())).min(40);
        for (name, seconds, doing) in &longest {
            let name = padded(name, width);
            lines.push(format!("  {name}  {seconds:>4} s  {doing}"));
        }
        let room = columns.saturating_sub(1);
        lines.iter().map(|line| cut(line, room)).collect()
    }
}

/// `[=====>     ]`: how many of all have ended.
fn bar(at_work: &AtWork) -> String {
    let done = BAR * at_work.tally.ended() / at_work.labels.len().max(1);
    let head = if done < BAR { ">" } else { "" };
    let rest = BAR.saturating_sub(done + head.len());
    format!("[{}{head}{}]", "=".repeat(done), " ".repeat(rest))
}

impl View for Live {
    fn begin(&mut self, host: usize) {
        self.at_work.begin(host, Instant::now());
    }

    fn reached(&mut self, host: usize, stage: Stage) {
        self.at_work.reached(host, stage);
    }

    fn progress(&mut self, host: usize, text: &str) {
        self.at_work.progress(host, text);
    }

    fn end(&mut self, host: usize, report: &Report) -> io::Result<()> {
        self.at_work.end(host, report.status);
        Ok(())
    }

    fn question(&mut self, asked: bool) {
        self.asking = asked;
        if asked {
            self.screen.hide_view();
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if self.asking || now < self.started + QUICK || now < self.changed + CHANGE {
            return;
        }
        self.changed = now;
        let size = prompts::size().unwrap_or((80, 24));
        self.screen.show_view(&self.lines(size, now));
    }

    fn named(&self) -> Vec<usize> {
        self.at_work.named(MOST_ROWS)
    }

    fn close(&mut self) -> io::Result<()> {
        self.screen.hide_view();
        Ok(())
    }
}

/// A line now and then, where there is no terminal to draw on.
pub(crate) struct Log {
    screen: Screen,
    every: Duration,
    said: Instant,
    started: Instant,
    at_work: AtWork,
}

impl Log {
    pub(crate) fn new(labels: &[String], screen: Screen, every: Duration) -> Log {
        Log {
            screen,
            every,
            said: Instant::now(),
            started: Instant::now(),
            at_work: AtWork::new(labels),
        }
    }
}

impl View for Log {
    fn begin(&mut self, host: usize) {
        self.at_work.begin(host, Instant::now());
    }

    fn reached(&mut self, host: usize, stage: Stage) {
        self.at_work.reached(host, stage);
    }

    fn progress(&mut self, host: usize, text: &str) {
        self.at_work.progress(host, text);
    }

    fn end(&mut self, host: usize, report: &Report) -> io::Result<()> {
        self.at_work.end(host, report.status);
        Ok(())
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if now < self.said + self.every {
            return;
        }
        self.said = now;
        let longest: Vec<String> = self
            .at_work
            .longest(IN_LOG, now)
            .into_iter()
            .map(|(name, seconds, doing)| format!("{name} ({doing}, {seconds} s)"))
            .collect();
        let mut line = format!(
            "{}, {} s",
            self.at_work.sum(),
            now.saturating_duration_since(self.started).as_secs()
        );
        if !longest.is_empty() {
            line.push_str(&format!("; longest: {}", longest.join(", ")));
        }
        self.screen.note(&line);
    }

    fn named(&self) -> Vec<usize> {
        self.at_work.named(IN_LOG)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{AtWork, Live, Screen, Tally, View, doing};
    use crate::error::Stage;

    #[test]
    fn the_sum_says_what_is_done_and_what_is_not() {
        let labels = ["a", "b", "c", "d"].map(str::to_owned);
        let mut at_work = AtWork::new(&labels);
        assert_eq!(at_work.sum(), "0 of 4 hosts done; 4 waiting");
        let now = Instant::now();
        for host in 0..3 {
            at_work.begin(host, now + Duration::from_secs(host as u64));
        }
        at_work.reached(1, Stage::Connect);
        at_work.end(2, "ok");
        assert_eq!(
            at_work.sum(),
            "1 of 4 hosts done: 1 ok; 2 running, 1 waiting"
        );
        let longest = at_work.longest(1, now + Duration::from_secs(9));
        assert_eq!(longest, [("a".to_owned(), 9, "connecting".to_owned())]);
        // No more hosts are named, and so asked how far they are, than there are lines for.
        assert_eq!((at_work.named(1), at_work.named(9)), (vec![0], vec![0, 1]));
        at_work.end(0, "unreachable");
        let longest = at_work.longest(5, now + Duration::from_secs(9));
        assert_eq!(longest, [("b".to_owned(), 8, "key exchange".to_owned())]);
        at_work.end(1, "ok");
        at_work.end(3, "failed");
        assert_eq!(
            at_work.sum(),
            "4 of 4 hosts done: 2 ok, 1 failed, 1 unreachable"
        );
    }

    #[test]
    fn the_view_fits_the_terminal() {
        let labels: Vec<String> = (0..40).map(|n| format!("host{n}.\u{4e2d}")).collect();
        let mut live = Live::new(&labels, Screen::new());
        for host in 0..40 {
            live.begin(host);
        }
        for host in 0..10 {
            live.at_work.end(host, "ok");
        }
        let lines = live.lines((80, 24), Instant::now());
        assert_eq!(lines.len(), 8);
        assert_eq!(
            lines[0],
            "[=====>              ] 10 of 40 hosts done: 10 ok; 30 running, 0 s"
        );
        assert_eq!(lines[1], "  host10.\u{4e2d}     0 s  connecting");
        for size in [(30, 6), (1, 1), (200, 200)] {
            let lines = live.lines(size, Instant::now());
            assert!(
                lines.len() <= (size.1 / 3).max(2) && lines.len() <= 11,
                "{lines:?}"
            );
            assert!(
                lines
                    .iter()
                    .all(|line| line.chars().count() < size.0.max(1)),
                "{lines:?}"
            );
        }
        live.at_work.tally = Tally::default();
        for _ in 0..40 {
            live.at_work.tally.add("ok");
        }
        assert_eq!(super::bar(&live.at_work), "[====================]");
    }

    #[test]
    fn a_host_is_at_the_stage_after_the_one_that_has_ended() {
        assert_eq!(doing(Some(Stage::Resolve)), "connect");
        assert_eq!(doing(Some(Stage::Stub)), "running");
    }
}
