//! What a server says before its version: read here, as far as OpenSSH would read it, because russh gives up sooner.

use std::sync::{Arc, Mutex, PoisonError};

/// Lines before the version, as in OpenSSH.
const LINES: usize = 1024;
/// Bytes of one of them, as in OpenSSH.
const LINE: usize = 8192;
/// What is kept of them for people, in bytes.
const KEPT: usize = 4096;

/// What a server said before its version, shared with the code that reports what went wrong.
#[derive(Clone, Default)]
pub(crate) struct Greeting {
    said: Arc<Mutex<Said>>,
}

#[derive(Default)]
struct Said {
    text: Vec<u8>,
    fault: Option<String>,
}

impl Greeting {
    /// The lines that stood before the version, or instead of it; the beginning of them.
    pub(crate) fn text(&self) -> Vec<u8> {
        self.lock().text.clone()
    }

    /// Why this is not a server for us, if that is so.
    pub(crate) fn fault(&self) -> Option<String> {
        self.lock().fault.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the lines before the version out of a stream.
pub(crate) struct Filter {
    greeting: Greeting,
    line: Vec<u8>,
    lines: usize,
}

impl Filter {
    pub(crate) fn new(greeting: Greeting) -> Self {
        Filter {
            greeting,
            line: Vec::new(),
            lines: 0,
        }
    }

    /// Takes in what was read. The version and all behind it, once it is there; the error ends the connection.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            self.line.push(*byte);
            if *byte == b'\n' {
                if self.line.starts_with(b"SSH-") {
                    return self.version(rest).map(Some);
                }
                self.keep();
                self.line.clear();
                self.lines += 1;
                if self.lines > LINES {
                    return Err(self.fail(format!(
                        "it sent {LINES} lines and no SSH version: this is no SSH server"
                    )));
                }
            } else if self.line.len() > LINE {
                self.keep();
                return Err(self.fail(format!(
                    "it sent a line of more than {LINE} bytes and no SSH version: this is no SSH server"
                )));
            } else if self.line.len() == OLD.len() && self.line == OLD {
                // It may leave the line open.
                return Err(self.old());
            }
        }
        Ok(None)
    }

    /// The stream has ended: an open line is among what was said.
    pub(crate) fn end(&mut self) {
        self.keep();
        self.line.clear();
    }

    fn version(&mut self, rest: &[u8]) -> Result<Vec<u8>, String> {
        let mut line = std::mem::take(&mut self.line);
        if !line.starts_with(b"SSH-2.") && !line.starts_with(b"SSH-1.99-") {
            let shown = String::from_utf8_lossy(&line).trim_end().to_owned();
            return Err(self.fail(format!("it speaks another version of SSH than 2: {shown}")));
        }
        line.extend_from_slice(rest);
        Ok(line)
    }

    fn old(&self) -> String {
        self.fail("it speaks SSH 1 alone, which is insecure and not supported".to_owned())
    }

    fn keep(&self) {
        let mut said = self.greeting.lock();
        let room = KEPT.saturating_sub(said.text.len());
        let kept = self.line.get(..room.min(self.line.len()));
        said.text.extend_from_slice(kept.unwrap_or_default());
    }

    fn fail(&self, message: String) -> String {
        self.greeting.lock().fault = Some(message.clone());
        message
    }
}

/// What a server of the first generation begins with.
const OLD: &[u8] = b"SSH-1.5-";

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(pieces: &[&[u8]]) -> (Result<Option<Vec<u8>>, String>, Greeting) {
        let greeting = Greeting::default();
        let mut filter = Filter::new(greeting.clone());
        for piece in pieces {
            match filter.take(piece) {
                Ok(None) => {}
                other => return (other, greeting),
            }
        }
        filter.end();
        (Ok(None), greeting)
    }

    #[test]
    fn lines_before_the_version_are_taken_out_however_they_are_cut() {
        let all = b"Welcome\r\n\nto \xffus\nSSH-2.0-x y\r\nrest";
        for cut in 0..all.len() {
            let (before, after) = all.split_at(cut);
            let greeting = Greeting::default();
            let mut filter = Filter::new(greeting.clone());
            let first = filter.take(before).unwrap();
            let out = match first {
                Some(out) => [&out, after].concat(),
                None => filter.take(after).unwrap().unwrap(),
            };
            assert_eq!(out, b"SSH-2.0-x y\r\nrest", "{cut}");
            assert_eq!(greeting.text(), b"Welcome\r\n\nto \xffus\n");
        }
        let (out, _) = filtered(&[b"SSH-1.99-old\n"]);
        assert_eq!(out.unwrap().unwrap(), b"SSH-1.99-old\n");
    }

    #[test]
    fn what_is_no_server_for_us_is_told_at_once() {
        let (out, greeting) = filtered(&[b"SSH-1.", b"5-old"]);
        assert!(out.unwrap_err().contains("SSH 1"));
        assert!(greeting.fault().is_some());
        assert!(
            filtered(&[b"SSH-3.0-new\n"])
                .0
                .unwrap_err()
                .contains("SSH-3.0-new")
        );
        let many = b"x\n".repeat(LINES);
        assert!(filtered(&[&many, b"SSH-2.0-x\n"]).0.unwrap().is_some());
        assert!(
            filtered(&[&many, b"x\n"])
                .0
                .unwrap_err()
                .contains("1024 lines")
        );
        let long = vec![b'x'; LINE];
        assert!(
            filtered(&[&long[1..], b"\n", b"SSH-2.0-x\n"])
                .0
                .unwrap()
                .is_some()
        );
        assert!(filtered(&[&long, b"x"]).0.is_err());
        let (out, greeting) = filtered(&[b"Exceeded MaxStartups\r\n", b"bye"]);
        assert_eq!(out.unwrap(), None);
        assert_eq!(greeting.text(), b"Exceeded MaxStartups\r\nbye");
        assert_eq!(filtered(&[&long, b"x"]).1.text().len(), KEPT);
    }
}
