//! From noise to frames: finds the marker in what the remote side prints first, and says how far the bootstrap came.

use bytes::{Bytes, BytesMut};

use crate::transport::tail::{NOISE_KEPT, Tail, find};

/// What a marker said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// No interpreter: what was tried.
    NoInterpreter(String),
    /// None of the interpreters fits: the versions found.
    Unfit(String),
    /// The first stage runs.
    FirstStage,
    /// The stub runs; frames begin with these bytes.
    Running(Bytes),
    /// Nothing runs: the other side sends back what it is sent.
    Echo,
}

/// Reads the output before the stub runs.
#[derive(Debug)]
pub(crate) struct Boot {
    marker: Vec<u8>,
    /// How what is sent to Python begins.
    sent: Bytes,
    pending: BytesMut,
    noise: Tail,
}

impl Boot {
    pub(crate) fn new(marker: &str, sent: &Bytes) -> Boot {
        Boot {
            marker: marker.as_bytes().to_vec(),
            // As long as the marker, so that as much of what may be its beginning is kept.
            sent: sent.slice(..marker.len()),
            pending: BytesMut::new(),
            noise: Tail::default(),
        }
    }

    /// Takes output and gives the next sign in it, if there is one; call again with nothing until `None`.
    pub(crate) fn feed(&mut self, data: &[u8]) -> Option<Sign> {
        self.pending.extend_from_slice(data);
        loop {
            let Some(at) = find(&self.pending, &self.marker) else {
                if let Some(at) = find(&self.pending, &self.sent) {
                    let noise = self.pending.split_to(at);
                    self.noise.extend(&noise);
                    self.pending.clear();
                    return Some(Sign::Echo);
                }
                // A marker may have begun at the end; all before that is noise.
                let keep = self.pending.len().min(self.marker.len().saturating_sub(1));
                let noise = self.pending.split_to(self.pending.len() - keep);
                self.noise.extend(&noise);
                return None;
            };
            let rest = self
                .pending
                .get(at + self.marker.len()..)
                .unwrap_or_default();
            let letter = *rest.first()?;
            if !matches!(letter, b'n' | b'v' | b'l' | b'r') {
                // The marker is repeated by something else; it is noise like the rest.
                let noise = self.pending.split_to(at + self.marker.len());
                self.noise.extend(&noise);
                continue;
            }
            let Some(end) = rest.iter().position(|b| *b == b'\n') else {
                if rest.len() > NOISE_KEPT {
                    let noise = self.pending.split_to(at + self.marker.len());
                    self.noise.extend(&noise);
                    continue;
                }
                return None;
            };
            let text = String::from_utf8_lossy(rest.get(1..end).unwrap_or_default())
                .trim()
                .to_owned();
            let noise = self.pending.split_to(at);
            self.noise.extend(&noise);
            let _ = self.pending.split_to(self.marker.len() + end + 1);
            return Some(match letter {
                b'n' => Sign::NoInterpreter(text),
                b'v' => Sign::Unfit(text),
                b'l' => Sign::FirstStage,
                _ => Sign::Running(self.pending.split().freeze()),
            });
        }
    }

    /// The end of what was printed and is not ours.
    pub(crate) fn noise(&self) -> Vec<u8> {
        let mut noise = self.noise.clone();
        noise.extend(&self.pending);
        noise.bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub;

    const MARKER: &str = "0123456789abcdef";

    fn signs(pieces: &[&[u8]]) -> (Vec<Sign>, Boot) {
        let mut boot = Boot::new(MARKER, &stub::first_part());
        let mut signs = Vec::new();
        for piece in pieces {
            let mut sign = boot.feed(piece);
            while let Some(found) = sign {
                let last = matches!(found, Sign::Running(_));
                signs.push(found);
                if last {
                    break;
                }
                sign = boot.feed(b"");
            }
        }
        (signs, boot)
    }

    #[test]
    fn noise_in_front_is_kept_and_frames_follow() {
        let (found, boot) =
            signs(&[b"Welcome!\n0123456789abcdefl\nwarn\n0123456789abcdefr\nEC\x01"]);
        assert_eq!(
            found,
            [
                Sign::FirstStage,
                Sign::Running(Bytes::from_static(b"EC\x01"))
            ]
        );
        assert_eq!(boot.noise(), b"Welcome!\nwarn\n");
    }

    #[test]
    fn any_split_gives_the_same() {
        let whole = b"x0123456789abcde0123456789abcdefl\ny0123456789abcdefr\nrest";
        for cut in 0..whole.len() {
            let (found, _) = signs(&[&whole[..cut], &whole[cut..]]);
            assert_eq!(found.len(), 2, "cut at {cut}");
        }
    }

    #[test]
    fn a_missing_interpreter_says_what_was_tried() {
        let (found, _) = signs(&[b"0123456789abcdefn python3 python\n"]);
        assert_eq!(found, [Sign::NoInterpreter("python3 python".to_owned())]);
    }

    #[test]
    fn an_echo_of_what_is_sent_is_told() {
        let stub = stub::first_part();
        for cut in [1, 9, 16, 100] {
            let (found, boot) = signs(&[b"Welcome!\n", &stub[..cut], &stub[cut..]]);
            assert_eq!(found, [Sign::Echo], "cut at {cut}");
            assert!(boot.noise().starts_with(b"Welcome!\n"));
        }
    }

    #[test]
    fn endless_noise_is_bounded() {
        let mut boot = Boot::new(MARKER, &stub::first_part());
        for _ in 0..1000 {
            assert_eq!(boot.feed(&[b'z'; 1000]), None);
        }
        assert!(boot.noise().len() <= NOISE_KEPT);
        let page = include_str!("../../spec/bootstrap.md");
        assert!(page.contains(&format!("| NOISE_KEPT | {NOISE_KEPT} |")));
    }
}
