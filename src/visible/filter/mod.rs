//! Lets output through to a terminal with its colours and nothing else that acts: a machine over bytes.

use super::acts;
use super::style::{LONGEST_SEQUENCE, Style};

const ESCAPE: u8 = 0x1b;

/// Passes on one stream of output. Text, newlines, tabs and colours (SGR sequences) stay; every other sequence, control character,
/// direction mark or hidden character becomes visible. Bytes that are no UTF-8 stay where they are letters in other encodings; those
/// that are control characters there become visible. A carriage return stays only before a newline. Colours end with each line and begin again with the next, so that they never reach what others print.
///
/// How the bytes are cut into pushes makes no difference.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// Bytes that cannot be judged without those that follow: at most `LONGEST_SEQUENCE`.
    held: Vec<u8>,
    /// What the output before has set.
    style: Style,
    /// Whether the line so far shows it.
    applied: bool,
}

/// What is to be done with the bytes held.
enum Verdict {
    /// It takes more of them.
    Wait,
    /// They stay what they are.
    Pass,
    /// They set a colour.
    Colour,
    /// The first so many become visible, and the rest is judged again.
    Show(usize),
}

impl Filter {
    /// Takes bytes as they arrive, and appends what is safe to show.
    pub(crate) fn push(&mut self, bytes: &[u8], shown: &mut Vec<u8>) {
        let mut rest = bytes;
        while let Some((&first, after)) = rest.split_first() {
            if self.held.is_empty() {
                let plain = rest.iter().take_while(|byte| is_plain(**byte)).count();
                if plain > 0 {
                    let (text, after) = rest.split_at(plain);
                    self.pass(text, shown);
                    rest = after;
                    continue;
                }
            }
            rest = after;
            self.take(first, shown);
        }
    }

    /// The line ends here, or the stream: what is held is shown, and colours end.
    pub(crate) fn finish_line(&mut self, shown: &mut Vec<u8>) {
        // Before the newline that follows, a carriage return is none that matters.
        let ends_in_return = self.held == b"\r";
        if ends_in_return {
            self.held.clear();
        }
        while !self.held.is_empty() {
            let count = match self.judge() {
                Verdict::Show(count) => count,
                _ => 1,
            };
            self.show(count, shown);
        }
        self.end_colours(shown);
        if ends_in_return {
            shown.push(b'\r');
        }
    }

    fn take(&mut self, byte: u8, shown: &mut Vec<u8>) {
        self.held.push(byte);
        // Each turn but the last takes a byte away, and there are few.
        let mut later = Vec::new();
        while !self.held.is_empty() {
            match self.judge() {
                Verdict::Wait => {
                    if later.is_empty() {
                        return;
                    }
                }
                Verdict::Pass => {
                    let held = std::mem::take(&mut self.held);
                    self.pass(&held, shown);
                }
                Verdict::Colour => {
                    let held = std::mem::take(&mut self.held);
                    self.colour(&held, shown);
                }
                Verdict::Show(count) => {
                    // Behind what is shown, the rest is read like new bytes.
                    let mut rest = self.held.split_off(count.min(self.held.len()));
                    let first = std::mem::take(&mut self.held);
                    self.escape(&first, shown);
                    rest.append(&mut later);
                    later = rest;
                }
            }
            if later.is_empty() {
                continue;
            }
            self.held.push(later.remove(0));
        }
    }

    fn judge(&self) -> Verdict {
        let (Some(&first), Some(&last)) = (self.held.first(), self.held.last()) else {
            return Verdict::Wait;
        };
        let length = self.held.len();
        match (first, length) {
            (ESCAPE | b'\r', 1) => Verdict::Wait,
            (b'\r', _) if last == b'\n' => Verdict::Pass,
            (ESCAPE, 2) if last == b'[' => Verdict::Wait,
            (ESCAPE, 3..) if last == b'm' => Verdict::Colour,
            (ESCAPE, 3..LONGEST_SEQUENCE) if matches!(last, b'0'..=b'9' | b';' | b':') => {
                Verdict::Wait
            }
            (0x80.., _) => match std::str::from_utf8(&self.held) {
                Ok(text) if text.chars().any(acts) => Verdict::Show(length),
                Ok(_) => Verdict::Pass,
                Err(cut) => match cut.error_len() {
                    None => Verdict::Wait,
                    Some(bad) => Verdict::Show(bad),
                },
            },
            _ if length == 1 && is_plain(first) => Verdict::Pass,
            _ => Verdict::Show(1),
        }
    }

    /// Shows the first `count` bytes held as escapes.
    fn show(&mut self, count: usize, shown: &mut Vec<u8>) {
        let rest = self.held.split_off(count.min(self.held.len()));
        let first = std::mem::replace(&mut self.held, rest);
        if let [byte] = first.as_slice()
            && is_plain(*byte)
        {
            self.pass(&first, shown);
        } else {
            self.escape(&first, shown);
        }
    }

    fn escape(&mut self, bytes: &[u8], shown: &mut Vec<u8>) {
        self.begin_colours(shown);
        match std::str::from_utf8(bytes) {
            Ok(text) => shown.extend_from_slice(super::one_line(text).as_bytes()),
            Err(_) => {
                for byte in bytes {
                    if *byte < 0xa0 {
                        shown.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
                    } else {
                        shown.push(*byte);
                    }
                }
            }
        }
    }

    /// Passes on text that shows itself and may have newlines.
    fn pass(&mut self, text: &[u8], shown: &mut Vec<u8>) {
        if self.style.is_usual() {
            shown.extend_from_slice(text);
            return;
        }
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(content) => {
                    // The carriage return belongs to the newline.
                    let (content, end) = match content.strip_suffix(b"\r") {
                        Some(content) => (content, b"\r\n".as_slice()),
                        None => (content, b"\n".as_slice()),
                    };
                    if !content.is_empty() {
                        self.begin_colours(shown);
                        shown.extend_from_slice(content);
                    }
                    self.end_colours(shown);
                    shown.extend_from_slice(end);
                }
                None => {
                    self.begin_colours(shown);
                    shown.extend_from_slice(line);
                }
            }
        }
    }

    fn colour(&mut self, sequence: &[u8], shown: &mut Vec<u8>) {
        let parameters = String::from_utf8_lossy(sequence);
        let parameters = parameters.trim_start_matches("\x1b[").trim_end_matches('m');
        let mut style = self.style.clone();
        style.apply(parameters);
        if style.hides() {
            // Text that is there and is not seen is no colour.
            self.escape(sequence, shown);
            return;
        }
        // What this line does not show yet begins with it, or not at all.
        let verbatim = self.applied || self.style.is_usual();
        self.style = style;
        if verbatim {
            shown.extend_from_slice(sequence);
            self.applied = !self.style.is_usual();
        } else {
            self.begin_colours(shown);
        }
    }

    fn begin_colours(&mut self, shown: &mut Vec<u8>) {
        if !self.applied && !self.style.is_usual() {
            shown.extend_from_slice(self.style.sequence().as_bytes());
            self.applied = true;
        }
    }

    fn end_colours(&mut self, shown: &mut Vec<u8>) {
        if self.applied {
            shown.extend_from_slice(b"\x1b[0m");
            self.applied = false;
        }
    }
}

/// A byte that shows itself whatever follows.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\n' | b'\t')
}

#[cfg(test)]
mod tests;
