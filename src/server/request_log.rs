//! Tells the requests of a connection apart from the outside: reads the headers of the frames that
//! pass to the stub, and of calls the name, for the log. It only ever looks; what it does not
//! understand passes all the same.

use tracing::trace;

/// Bytes of a frame header (FR-2).
const HEADER: usize = 16;
/// The client's first frame: magic, kind HELLO, no flags. Request and thread are 0.
const HELLO_START: [u8; 4] = [0x45, 0x43, 0x01, 0x00];
/// The largest payload of a frame (FR-4).
const MAX_PAYLOAD: u32 = 1_048_576;
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
    /// Not understood, or nobody listens: nothing is looked at any more.
    Off,
}

#[derive(Clone, Copy)]
struct Header {
    kind: u8,
    flags: u8,
    length: u32,
    request: u32,
    thread: i32,
}

/// The requests of one connection.
pub struct RequestLog {
    peer: String,
    place: Place,
    kept: Vec<u8>,
    count: u64,
}

impl RequestLog {
    /// A log for one connection. It does nothing unless requests are logged.
    pub fn new(peer: &str) -> Self {
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
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Looks at bytes on their way to the stub.
    pub fn feed(&mut self, mut bytes: &[u8]) {
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
                && self.kept.starts_with(&HELLO_START)
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
        let [0x45, 0x43, kind, flags, rest @ ..] = self.kept.as_slice() else {
            return None;
        };
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (request, rest) = rest.split_first_chunk::<4>()?;
        let thread = rest.first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length);
        (length <= MAX_PAYLOAD).then_some(Header {
            kind: *kind,
            flags: *flags,
            length,
            request: u32::from_be_bytes(*request),
            thread: i32::from_be_bytes(*thread),
        })
    }

    fn enter(&mut self, header: Header) {
        self.kept.clear();
        self.place = Place::Payload {
            header,
            left: header.length,
        };
        if header.length == 0 {
            self.tell(header);
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
            self.tell(header);
        }
        rest
    }

    fn tell(&mut self, header: Header) {
        let kind = match header.kind {
            0x02 => "call",
            0x03 => "method",
            0x04 => "eval",
            0x05 => "exec",
            0x06 => "define",
            0x07 => "run",
            _ => "",
        };
        if !kind.is_empty() {
            self.count += 1;
            // Deflated payloads and those in parts with buffers do not begin with the pickle.
            let readable = header.flags & 0x06 == 0 && matches!(header.kind, 0x02 | 0x03 | 0x06);
            let name = if readable {
                first_text(&self.kept)
            } else {
                None
            };
            trace!(
                target: "easycluster::requests",
                peer = %self.peer,
                request = header.request,
                thread = header.thread,
                kind,
                name = name.map(crate::error::printable),
                bytes = header.length,
                "request"
            );
        }
        self.kept.clear();
        self.place = Place::Header;
    }
}

/// The first text of a pickled tuple whose elements before it are numbers: the name of a call, the
/// method of an object, the module of a definition. None where it is anything else.
fn first_text(mut pickle: &[u8]) -> Option<&str> {
    loop {
        let (code, rest) = pickle.split_first()?;
        let skip = match code {
            0x80 | b'K' | b'h' | b'q' => 1, // PROTO, BININT1, BINGET, BINPUT
            b'M' => 2,                      // BININT2
            b'J' | b'r' => 4,               // BININT, LONG_BINPUT
            0x95 => 8,                      // FRAME
            0x8a => 1 + usize::from(*rest.first()?), // LONG1
            b'(' | 0x94 => 0,               // MARK, MEMOIZE
            0x8c => {
                let (length, text) = rest.split_first()?;
                return std::str::from_utf8(text.get(..usize::from(*length))?).ok();
            }
            b'X' => {
                let (length, text) = rest.split_first_chunk::<4>()?;
                return std::str::from_utf8(text.get(..u32::from_le_bytes(*length) as usize)?).ok();
            }
            b'U' => {
                let (length, text) = rest.split_first()?;
                return std::str::from_utf8(text.get(..usize::from(*length))?).ok();
            }
            _ => return None,
        };
        pickle = rest.get(skip..)?;
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
    fn names_are_found_in_pickles_of_every_protocol() {
        // pickle.dumps(("os.getpid", (), {}), 2), 4 and (7, "read", (), {}), 4; 300 as first.
        for (pickle, name) in [
            (
                b"\x80\x02X\x09\0\0\0os.getpidq\0)}q\x01\x87q\x02.".as_slice(),
                "os.getpid",
            ),
            (
                b"\x80\x04\x95\x12\0\0\0\0\0\0\0\x8c\x09os.getpid\x94)}\x94\x87\x94.",
                "os.getpid",
            ),
            (
                b"\x80\x04\x95\x10\0\0\0\0\0\0\0(K\x07\x8c\x04read\x94)}\x94t\x94.",
                "read",
            ),
            (b"\x80\x02(M\x2c\x01X\x04\0\0\0read", "read"),
        ] {
            assert_eq!(first_text(pickle), Some(name));
        }
        assert_eq!(first_text(b""), None);
        assert_eq!(first_text(b"\x80\x04c__main__\n"), None);
        assert_eq!(first_text(b"\x80\x02X\xff\xff\xff\xffx"), None);
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
