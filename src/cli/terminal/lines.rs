//! Cuts what many hosts print into whole lines and puts the host before each, so that no line is torn.

use std::io::{self, Write};

use crate::cli::terminal::ci::{Ci, defused, defused_json_here};
use crate::cli::terminal::columns::padded;
use crate::visible::{Filter, json};

/// A line longer than this many bytes is passed on in pieces of this size, so that output without
/// a line end cannot fill the memory.
const LONGEST_LINE: usize = 64 * 1024;

/// Which of a host's two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }

    /// What stands between host and line. It tells the streams apart where both end in one file.
    fn mark(self) -> char {
        match self {
            Stream::Stdout => '|',
            Stream::Stderr => '!',
        }
    }
}

/// How lines are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `host | line`, the hosts padded to `width` columns.
    Prefixed { width: usize },
    /// The bare lines.
    Plain,
    /// What one host prints, as it comes.
    Stream,
    /// The bytes as they come, whatever they do to a terminal.
    Raw,
    /// One JSON object a line.
    Json,
}

/// Collects the bytes of one stream of one host, and gives them out as whole lines in their final form.
#[derive(Debug)]
pub(crate) struct LineCutter {
    format: Format,
    host: String,
    stream: Stream,
    colour: bool,
    /// The begun line, never with a line end in it.
    pending: Vec<u8>,
    /// Lets colours through and nothing else that acts on a terminal.
    filter: Filter,
    /// Whether the lines go to a log that takes commands out of them.
    log_obeys: bool,
}

impl LineCutter {
    pub(crate) fn new(format: Format, host: &str, stream: Stream, colour: bool) -> Self {
        LineCutter {
            format,
            host: host.to_owned(),
            stream,
            colour,
            pending: Vec::new(),
            filter: Filter::default(),
            log_obeys: Ci::of_environment().is_some(),
        }
    }

    /// The same for lines that go to a log that takes commands out of them, whatever the environment says.
    pub(crate) fn for_obeying_log(mut self) -> Self {
        self.log_obeys = true;
        self
    }

    /// Takes bytes as they arrive; appends every line they complete to `shown`.
    pub(crate) fn push(&mut self, bytes: &[u8], shown: &mut Vec<u8>) {
        match self.format {
            Format::Raw => return shown.extend_from_slice(bytes),
            Format::Stream => return self.filter.push(bytes, shown),
            Format::Prefixed { .. } | Format::Plain | Format::Json => {}
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (content, ended) = match piece.split_last() {
                Some((b'\n', content)) => (content, true),
                _ => (piece, false),
            };
            let mut rest = content;
            while !rest.is_empty() {
                if self.pending.len() >= LONGEST_LINE {
                    self.show_piece(shown);
                }
                let room = LONGEST_LINE.saturating_sub(self.pending.len());
                let (fits, over) = rest.split_at(room.min(rest.len()));
                self.pending.extend_from_slice(fits);
                rest = over;
            }
            if ended {
                self.show(false, shown);
            }
        }
    }

    /// Shows what is there of a line that goes on. A character that has not come in full stays for the next piece.
    fn show_piece(&mut self, shown: &mut Vec<u8>) {
        let whole = match std::str::from_utf8(&self.pending) {
            Err(cut) if cut.error_len().is_none() => cut.valid_up_to(),
            _ => self.pending.len(),
        };
        let begun = self.pending.split_off(whole);
        self.show(true, shown);
        self.pending = begun;
    }

    /// The stream has ended: a begun line becomes a whole one.
    pub(crate) fn finish(&mut self, shown: &mut Vec<u8>) {
        if self.format == Format::Stream {
            self.filter.finish_line(shown);
        } else if !self.pending.is_empty() {
            self.show(false, shown);
        }
    }

    /// Shows what is there as a line; `goes_on` says that it is a piece of one, which a program has to know.
    fn show(&mut self, goes_on: bool, shown: &mut Vec<u8>) {
        match self.format {
            Format::Prefixed { width } => {
                shown.extend_from_slice(self.prefix(width).as_bytes());
                self.show_pending(shown);
            }
            Format::Plain | Format::Stream | Format::Raw => self.show_pending(shown),
            Format::Json => {
                let mut event = serde_json::json!({
                    "event": "output",
                    "host": self.host,
                    "stream": self.stream.name(),
                    "line": String::from_utf8_lossy(&self.pending),
                });
                if goes_on {
                    event["goes_on"] = true.into();
                }
                let event = json(event.to_string());
                shown.extend_from_slice(defused_json_here(event).as_bytes());
            }
        }
        shown.push(b'\n');
        self.pending.clear();
    }

    fn show_pending(&mut self, shown: &mut Vec<u8>) {
        let from = shown.len();
        self.filter.push(&self.pending, shown);
        self.filter.finish_line(shown);
        if self.log_obeys {
            let line = shown.split_off(from);
            let safe = defused(&String::from_utf8_lossy(&line));
            shown.extend_from_slice(safe.as_bytes());
        }
    }

    fn prefix(&self, width: usize) -> String {
        let plain = format!("{} {}", padded(&self.host, width), self.stream.mark());
        if self.colour {
            let style = match self.stream {
                Stream::Stdout => anstyle::AnsiColor::Cyan.on_default(),
                Stream::Stderr => anstyle::AnsiColor::Red.on_default(),
            };
            format!("{style}{plain}{style:#} ")
        } else {
            format!("{plain} ")
        }
    }
}

/// Where the two streams go: stdout to stdout, stderr to stderr, JSON always to stdout.
///
/// # Errors
///
/// As writing says it; `BrokenPipe` where the reader has gone.
pub(crate) fn write_out(format: Format, stream: Stream, shown: &[u8]) -> io::Result<()> {
    if shown.is_empty() {
        return Ok(());
    }
    // One write for all of it: lines of different hosts cannot mix within a line.
    if stream == Stream::Stderr && format != Format::Json {
        io::stderr().lock().write_all(shown)
    } else {
        let mut stdout = io::stdout().lock();
        stdout.write_all(shown)?;
        stdout.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::{Format, LONGEST_LINE, LineCutter, Stream};

    fn shown(format: Format, stream: Stream, pieces: &[&[u8]]) -> String {
        let mut cutter = LineCutter::new(format, "web1", stream, false);
        let mut out = Vec::new();
        for piece in pieces {
            cutter.push(piece, &mut out);
        }
        cutter.finish(&mut out);
        String::from_utf8(out).expect("text")
    }

    const PREFIXED: Format = Format::Prefixed { width: 6 };

    #[test]
    fn a_line_comes_out_whole_however_it_arrives() {
        let text = b"first\n\nthird without end";
        let whole = shown(PREFIXED, Stream::Stdout, &[text]);
        assert_eq!(
            whole,
            "web1   | first\nweb1   | \nweb1   | third without end\n"
        );
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(shown(PREFIXED, Stream::Stdout, &bytes), whole);
    }

    #[test]
    fn nothing_comes_out_before_the_line_ends() {
        let mut cutter = LineCutter::new(PREFIXED, "web1", Stream::Stdout, false);
        let mut out = Vec::new();
        cutter.push(b"half", &mut out);
        assert!(out.is_empty());
        cutter.push(b" done\nnext", &mut out);
        assert_eq!(out, b"web1   | half done\n");
    }

    #[test]
    fn the_streams_are_told_apart() {
        assert_eq!(shown(PREFIXED, Stream::Stderr, &[b"x\n"]), "web1   ! x\n");
        let mut cutter = LineCutter::new(PREFIXED, "web1", Stream::Stderr, true);
        let mut out = Vec::new();
        cutter.push(b"x\n", &mut out);
        assert_eq!(out, b"\x1b[31mweb1   !\x1b[0m x\n");
    }

    #[test]
    fn plain_shows_the_line_and_raw_the_bytes() {
        assert_eq!(shown(Format::Plain, Stream::Stdout, &[b"a\nb"]), "a\nb\n");
        assert_eq!(shown(Format::Raw, Stream::Stdout, &[b"a\nb"]), "a\nb");
    }

    #[test]
    fn json_survives_what_is_not_text() {
        assert_eq!(
            shown(Format::Json, Stream::Stderr, &[b"a\"\xff\n"]),
            "{\"event\":\"output\",\"host\":\"web1\",\"line\":\"a\\\"\u{fffd}\",\"stream\":\"stderr\"}\n"
        );
    }

    #[test]
    fn an_endless_line_is_cut_and_not_kept() {
        let mut cutter = LineCutter::new(Format::Plain, "web1", Stream::Stdout, false);
        let mut out = Vec::new();
        cutter.push(&vec![b'x'; 3 * LONGEST_LINE + 5], &mut out);
        assert_eq!(out.len(), 3 * (LONGEST_LINE + 1));
        assert_eq!(cutter.pending.len(), 5);
    }

    #[test]
    fn a_cut_is_between_characters_and_a_line_of_the_longest_length_stays_whole() {
        let mut cutter = LineCutter::new(Format::Json, "web1", Stream::Stdout, false);
        let mut out = Vec::new();
        let line = format!("x{}", "\u{20ac}".repeat(LONGEST_LINE / 2));
        cutter.push(line.as_bytes(), &mut out);
        cutter.finish(&mut out);
        let text = String::from_utf8(out).expect("text");
        assert!(!text.contains('\u{fffd}') && text.lines().count() == 2);
        let told: Vec<bool> = text
            .lines()
            .map(|line| line.contains("\"goes_on\":true"))
            .collect();
        assert_eq!(told, [true, false]);
        let mut cutter = LineCutter::new(Format::Plain, "web1", Stream::Stdout, false);
        let mut out = Vec::new();
        cutter.push(&vec![b'x'; LONGEST_LINE], &mut out);
        cutter.push(b"\n", &mut out);
        assert_eq!(out.len(), LONGEST_LINE + 1);
    }

    #[test]
    fn output_without_a_line_end_takes_time_by_its_length() {
        let started = std::time::Instant::now();
        let mut cutter = LineCutter::new(Format::Plain, "web1", Stream::Stdout, false);
        let piece = vec![b'x'; 1 << 20];
        let mut length = 0;
        for _ in 0..32 {
            let mut out = Vec::new();
            cutter.push(&piece, &mut out);
            length += out.len();
        }
        assert!(length > 31 << 20);
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }
}
