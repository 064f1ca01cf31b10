//! Tells the requests of a connection apart from the outside: reads the headers of the frames that
//! pass to the stub, and of calls the name, for the log. It only ever looks; what it does not
//! understand passes all the same.

use tracing::trace;

use crate::pickle::first_text;
use crate::wire::{Flags, HEADER, Header, Kind, Sender};

/// Bytes of a payload that are looked at for a name.
const LOOK: usize = 256;
/// The stub that goes before the frames is far smaller; where no frame was seen by then, none
/// will be.
const SEARCH_LIMIT: u64 = 1_048_576;

enum Place {
    /// Before the first frame: the stub's source passes.
    Before { seen: u64 },
    /// In a header.
    Header,
    /// In a payload: what is kept of it is in `kept`, this much is still to pass.
    Payload { header: Header, left: u32 },
    /// Not understood, or not logged: the rest is not read.
    Off,
}

/// The requests of one connection.
pub(super) struct RequestLog {
    peer: String,
    place: Place,
    kept: Vec<u8>,
    count: u64,
}

impl RequestLog {
    /// A log for one connection. It does nothing unless requests are logged.
    pub(super) fn new(peer: &str) -> Self {
        let wanted = tracing::enabled!(target: "easycluster::requests", tracing::Level::TRACE);
        RequestLog {
            peer: peer.to_owned(),
            place: if wanted {
                Place::Before { seen: 0 }
            } else {
                Place::Off
            },
            kept: Vec::new(),
            count: 0,
        }
    }

    /// How many requests were seen; 0 where they are not logged.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Looks at bytes on their way to the stub.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.place {
                Place::Off => return,
                Place::Before { seen } => bytes = self.search(bytes, seen),
                Place::Header => bytes = self.header(bytes),
                Place::Payload { header, left } => bytes = self.payload(bytes, header, left),
            }
        }
    }

    /// Looks for the client's HELLO byte by byte behind the stub's source.
    fn search<'a>(&mut self, bytes: &'a [u8], seen: u64) -> &'a [u8] {
        for (at, byte) in bytes.iter().enumerate() {
            if self.kept.len() == HEADER {
                self.kept.remove(0);
            }
            self.kept.push(*byte);
            if let Some(header) = self.parse()
                && header.kind == Kind::Hello
                && header.request == 0
                && header.thread == 0
            {
                self.enter(header);
                return bytes.get(at + 1..).unwrap_or_default();
            }
        }
        let seen = seen + bytes.len() as u64;
        self.place = if seen > SEARCH_LIMIT {
            Place::Off
        } else {
            Place::Before { seen }
        };
        &[]
    }

    fn parse(&self) -> Option<Header> {
        let bytes = self.kept.as_slice().try_into().ok()?;
        Header::decode(bytes, Sender::Client).ok()
    }

    fn enter(&mut self, header: Header) {
        self.kept.clear();
        self.place = Place::Payload {
            header,
            left: header.length,
        };
        if header.length == 0 {
            self.report(header);
        }
    }

    fn header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(bytes.len().min(HEADER - self.kept.len()));
        self.kept.extend_from_slice(taken);
        if self.kept.len() == HEADER {
            match self.parse() {
                Some(header) => self.enter(header),
                None => self.place = Place::Off,
            }
        }
        rest
    }

    fn payload<'a>(&mut self, bytes: &'a [u8], header: Header, left: u32) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(bytes.len().min(left as usize));
        let room = LOOK.saturating_sub(self.kept.len());
        self.kept
            .extend_from_slice(taken.get(..taken.len().min(room)).unwrap_or_default());
        let left = left.saturating_sub(u32::try_from(taken.len()).unwrap_or(u32::MAX));
        self.place = Place::Payload { header, left };
        if left == 0 {
            self.report(header);
        }
        rest
    }

    fn report(&mut self, header: Header) {
        if header.kind.is_request() {
            self.count += 1;
            // Deflated payloads and those in parts with buffers do not begin with the pickle.
            let begins_with_pickle =
                !header.flags.contains(Flags::DEFLATED) && !header.flags.contains(Flags::BUFFERS);
            let named = matches!(header.kind, Kind::Call | Kind::Method | Kind::Define);
            let name = if begins_with_pickle && named {
                first_text(&self.kept)
            } else {
                None
            };
            trace!(
                target: "easycluster::requests",
                peer = %self.peer,
                request = header.request,
                thread = header.thread,
                kind = header.kind.name().to_ascii_lowercase(),
                name = name.as_deref().map(crate::error::one_line),
                bytes = header.length,
                "request"
            );
        }
        self.kept.clear();
        self.place = Place::Header;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, request: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0x43, kind, 0];
        bytes.extend((payload.len() as u32).to_be_bytes());
        bytes.extend(request.to_be_bytes());
        bytes.extend(0i32.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn log() -> RequestLog {
        let mut log = RequestLog::new("test");
        log.place = Place::Before { seen: 0 };
        log
    }

    #[test]
    fn requests_are_counted_however_the_bytes_come() {
        let mut stream = b"stub source EC\x01\0 with letters in it".to_vec();
        stream.extend(frame(0x01, 0, b"hello"));
        stream.extend(frame(0x02, 1, b"\x80\x04\x8c\x09os.getpid)}\x87."));
        stream.extend(frame(0x15, 0, b""));
        stream.extend(frame(0x04, 2, &vec![7; 5000]));
        stream.extend(frame(0x16, 0, b""));
        for size in [1, 3, 16, 100, stream.len()] {
            let mut log = log();
            for part in stream.chunks(size) {
                log.feed(part);
            }
            assert_eq!(log.count(), 2, "in parts of {size}");
        }
    }

    #[test]
    fn what_is_not_understood_turns_it_off() {
        let mut log = log();
        log.feed(&frame(0x01, 0, b""));
        log.feed(b"something else entirely");
        assert!(matches!(log.place, Place::Off));
        let mut log = self::log();
        log.feed(&vec![0; SEARCH_LIMIT as usize + 1]);
        assert!(matches!(log.place, Place::Off));
    }
}
