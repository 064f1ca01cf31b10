//! Runs the vectors of frames, and the frames of the vectors of messages, through decoder and assembly.

use std::collections::HashMap;

use flate2::Crc;

use super::vector::{Vector, load};
use crate::wire::{
    Decoder, Flags, Frame, Incoming, Kind, MAX_MESSAGE, Message, Progress, ProtocolError, Sender,
    split_buffers,
};

/// What a receiver made of a body.
#[derive(Debug, Default, PartialEq)]
struct Reading {
    frames: Vec<String>,
    messages: Vec<String>,
    fault: Option<&'static str>,
}

fn read(vector: &Vector, size: usize) -> Reading {
    let mut reading = Reading::default();
    reading.fault = run(vector, size, &mut reading)
        .err()
        .map(|error| error.code());
    reading
}

fn run(vector: &Vector, size: usize, reading: &mut Reading) -> Result<(), ProtocolError> {
    let compress = vector.get("compress") == "yes";
    let limit = match vector.get("limit") {
        "" => MAX_MESSAGE,
        limit => limit.parse().unwrap(),
    };
    let mut decoder = Decoder::new(vector.sender(), compress);
    let mut under_way: HashMap<u32, Incoming> = HashMap::new();
    for piece in vector.pieces(size) {
        decoder.feed(piece);
        while let Some(frame) = decoder.next_frame()? {
            reading.frames.push(frame_summary(&frame));
            if let Some((number, message)) = assemble(frame, &mut under_way, limit)? {
                reading.messages.push(message_summary(number, message)?);
            }
        }
    }
    if vector.get("expect") != "incomplete" {
        decoder.finish()?;
    }
    Ok(())
}

fn assemble(
    frame: Frame,
    under_way: &mut HashMap<u32, Incoming>,
    limit: u64,
) -> Result<Option<(u32, Message)>, ProtocolError> {
    let number = frame.request;
    let progress = match frame.kind {
        Kind::Data => under_way
            .remove(&number)
            .ok_or(ProtocolError::Malformed("no message"))?
            .push(frame)?,
        Kind::Cancel => {
            under_way.remove(&number);
            return Ok(None);
        }
        kind if kind.is_request() || matches!(kind, Kind::Result | Kind::Error) => {
            if under_way.contains_key(&number) {
                return Err(ProtocolError::Malformed("a message inside a message"));
            }
            Incoming::begin(frame, limit, true)?
        }
        _ => return Ok(None),
    };
    Ok(match progress {
        Progress::Under(message) => {
            under_way.insert(number, message);
            None
        }
        Progress::Done(message) => Some((number, message)),
    })
}

fn frame_summary(frame: &Frame) -> String {
    format!(
        "{} flags=0x{:02x} request={} thread={} length={}",
        frame.kind.name(),
        frame.flags.bits(),
        frame.request,
        frame.thread,
        frame.payload.len()
    )
}

fn message_summary(number: u32, message: Message) -> Result<String, ProtocolError> {
    let mut crc = Crc::new();
    crc.update(&message.payload.to_vec());
    let mut text = format!(
        "{} flags=0x{:02x} request={number} length={} crc={:08x}",
        message.kind.name(),
        message.flags.bits(),
        message.payload.len(),
        crc.sum()
    );
    if message.flags.contains(Flags::BUFFERS) {
        let (pickle, buffers) = split_buffers(message.payload)?;
        let lengths: Vec<String> = buffers.iter().map(|b| b.len().to_string()).collect();
        let lengths = match lengths.first() {
            Some(first) if lengths.len() > 100 && lengths.iter().all(|l| l == first) => {
                format!("{first}*{}", lengths.len())
            }
            _ => lengths.join(","),
        };
        text += &format!(" pickle={} buffers={lengths}", pickle.len());
    }
    Ok(text)
}

const KEYS: [&str; 10] = [
    "rule",
    "direction",
    "expect",
    "compress",
    "limit",
    "frames",
    "messages",
    "given",
    "events",
    "answers",
];

fn check(vector: &Vector, exact_fault: bool) {
    vector.allow_keys(&KEYS);
    for size in [1, 3, 17, usize::MAX] {
        let reading = read(vector, size);
        let name = vector.path.display();
        assert_eq!(reading.frames, vector.list("frames"), "{name}: frames");
        let messages = vector.list("messages");
        if exact_fault || reading.fault.is_some() || vector.fault().is_none() {
            assert_eq!(reading.messages, messages, "{name}: messages");
            assert_eq!(reading.fault, vector.fault(), "{name}");
        } else {
            assert_eq!(
                reading.messages[..messages.len()],
                messages,
                "{name}: messages"
            );
        }
    }
}

#[test]
fn framing_vectors_read_as_they_say() {
    for vector in load("framing") {
        check(&vector, true);
    }
}

#[test]
fn the_frames_of_message_vectors_read_as_they_say() {
    // Much of what is wrong in these is wrong only if one knows which requests are under way.
    for vector in load("messages") {
        check(&vector, false);
        if vector.sender() == Sender::Client {
            let fatal = vector
                .list("answers")
                .iter()
                .find_map(|answer| answer.strip_prefix("FATAL "));
            assert_eq!(fatal, vector.fault(), "{}: answers", vector.path.display());
        }
    }
}
