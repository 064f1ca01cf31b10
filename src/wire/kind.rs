//! The kinds of frames, who sends them, and which flags and lengths each may have.

use std::ops::BitOr;

/// The longest payload of PING and PONG, in bytes.
pub const MAX_PING: usize = 64;
/// Bytes of one (oid, times) pair in RELEASE.
pub const RELEASE_ENTRY: usize = 12;

/// Which end sends a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sender {
    /// The program that makes calls.
    Client,
    /// The remote Python that runs them.
    Stub,
}

/// A frame's kind. `Hello` is the client's, `StubHello` the stub's; `Data`, `Credit`,
/// `Channel` and `ChannelCredit` go both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The client's first frame.
    Hello = 0x01,
    /// Call a global by its dotted name.
    Call = 0x02,
    /// Call a method of an object that stays on the server.
    Method = 0x03,
    /// Evaluate an expression.
    Eval = 0x04,
    /// Run statements.
    Exec = 0x05,
    /// Run source in a definitions module.
    Define = 0x06,
    /// Define a function from its source and call it.
    Run = 0x07,
    /// The next chunk of a message.
    Data = 0x10,
    /// Window given back.
    Credit = 0x11,
    /// Drop or interrupt a request.
    Cancel = 0x12,
    /// Receipts of references given up.
    Release = 0x13,
    /// End a thread once its queue is done.
    StopThread = 0x14,
    /// Ask for a sign of life.
    Ping = 0x15,
    /// End in order.
    Close = 0x16,
    /// More files of the stub.
    Part = 0x17,
    /// What goes through a channel next, or the end of that direction.
    Channel = 0x18,
    /// A channel's window given back, or no reader any more.
    ChannelCredit = 0x19,
    /// A new channel.
    ChannelOpen = 0x1a,
    /// The stub's first frame.
    StubHello = 0x41,
    /// A request's value.
    Result = 0x42,
    /// A request's failure.
    Error = 0x43,
    /// What remote code printed.
    Output = 0x44,
    /// A class that references may name.
    Class = 0x45,
    /// The answer to PING.
    Pong = 0x46,
    /// Why the stub gives up.
    Fatal = 0x47,
}

impl Kind {
    /// The kind with this number, if `sender` may send it.
    pub fn from_code(code: u8, sender: Sender) -> Option<Kind> {
        use Kind::*;
        Some(match (code, sender) {
            (0x01, Sender::Client) => Hello,
            (0x02, Sender::Client) => Call,
            (0x03, Sender::Client) => Method,
            (0x04, Sender::Client) => Eval,
            (0x05, Sender::Client) => Exec,
            (0x06, Sender::Client) => Define,
            (0x07, Sender::Client) => Run,
            (0x10, _) => Data,
            (0x11, _) => Credit,
            (0x12, Sender::Client) => Cancel,
            (0x13, Sender::Client) => Release,
            (0x14, Sender::Client) => StopThread,
            (0x15, Sender::Client) => Ping,
            (0x16, Sender::Client) => Close,
            (0x17, Sender::Client) => Part,
            (0x18, _) => Channel,
            (0x19, _) => ChannelCredit,
            (0x1a, Sender::Client) => ChannelOpen,
            (0x41, Sender::Stub) => StubHello,
            (0x42, Sender::Stub) => Result,
            (0x43, Sender::Stub) => Error,
            (0x44, Sender::Stub) => Output,
            (0x45, Sender::Stub) => Class,
            (0x46, Sender::Stub) => Pong,
            (0x47, Sender::Stub) => Fatal,
            _ => return None,
        })
    }

    /// The number in the header.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The name in spec/messages.md.
    pub fn name(self) -> &'static str {
        use Kind::*;
        match self {
            Hello | StubHello => "HELLO",
            Call => "CALL",
            Method => "METHOD",
            Eval => "EVAL",
            Exec => "EXEC",
            Define => "DEFINE",
            Run => "RUN",
            Data => "DATA",
            Credit => "CREDIT",
            Cancel => "CANCEL",
            Release => "RELEASE",
            StopThread => "STOP_THREAD",
            Ping => "PING",
            Close => "CLOSE",
            Part => "PART",
            Channel => "CHANNEL",
            ChannelCredit => "CHANNEL_CREDIT",
            ChannelOpen => "CHANNEL_OPEN",
            Result => "RESULT",
            Error => "ERROR",
            Output => "OUTPUT",
            Class => "CLASS",
            Pong => "PONG",
            Fatal => "FATAL",
        }
    }

    /// Whether it is one of the requests that run on a server thread and are answered.
    pub fn is_request(self) -> bool {
        matches!(
            self,
            Kind::Call | Kind::Method | Kind::Eval | Kind::Exec | Kind::Define | Kind::Run
        )
    }

    /// The flags that a frame of this kind may carry (FR-5).
    pub fn allowed_flags(self) -> Flags {
        use Kind::*;
        let chunked = Flags::MORE | Flags::DEFLATED;
        match self {
            Call | Method | Eval | Exec | Define | Run => {
                chunked | Flags::BUFFERS | Flags::NO_REPLY | Flags::ONE_SHOT | Flags::REFERENCES
            }
            Result => chunked | Flags::BUFFERS | Flags::REFERENCES,
            Error | Data => chunked,
            Output => Flags::DEFLATED | Flags::STDERR,
            Class => Flags::DEFLATED,
            Channel => chunked | Flags::END,
            Hello | StubHello | Credit | Cancel | Release | StopThread | Ping | Close | Part
            | ChannelCredit | ChannelOpen | Pong | Fatal => Flags::NONE,
        }
    }

    /// Whether a payload of `length` bytes can be one of this kind; what depends on the kind alone.
    pub(crate) fn fits(self, length: usize) -> bool {
        match self {
            Kind::Credit | Kind::ChannelCredit | Kind::ChannelOpen => length == 4,
            Kind::Cancel | Kind::StopThread | Kind::Close => length == 0,
            Kind::Release => length.is_multiple_of(RELEASE_ENTRY),
            Kind::Ping | Kind::Pong => length <= MAX_PING,
            _ => true,
        }
    }
}

/// A set of a frame's flag bits (FR-7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);
    /// Another chunk of this message follows.
    pub const MORE: Flags = Flags(0x01);
    /// The payload is a zlib stream.
    pub const DEFLATED: Flags = Flags(0x02);
    /// The message carries out-of-band buffers.
    pub const BUFFERS: Flags = Flags(0x04);
    /// No answer is wanted.
    pub const NO_REPLY: Flags = Flags(0x08);
    /// The thread ends after this request.
    pub const ONE_SHOT: Flags = Flags(0x10);
    /// The output was printed to standard error.
    pub const STDERR: Flags = Flags(0x20);
    /// The message holds references to server objects as plain data.
    pub const REFERENCES: Flags = Flags(0x40);
    /// This direction of the channel is done.
    pub const END: Flags = Flags(0x80);

    /// The set with exactly these bits.
    pub fn from_bits(bits: u8) -> Flags {
        Flags(bits)
    }

    /// The bits.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `other` is in this set.
    pub fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// This set without `other`.
    pub fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    /// This set, with `other` added where `condition` holds.
    pub fn with_if(self, other: Flags, condition: bool) -> Flags {
        if condition { self | other } else { self }
    }
}

impl BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}
