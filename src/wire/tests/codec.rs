//! Named cases of the codec that no vector can show: what a sender does, and what is not copied.

use bytes::{Bytes, BytesMut};

use crate::wire::{
    CHUNK, COMPRESS_MIN, Decoder, Flags, Frame, HEADER, Incoming, Kind, MAX_PAYLOAD, Outgoing,
    Progress, Segments, Sender, buffer_table, deflate, inflate, split_buffers,
};

fn outgoing(payload: Segments) -> Outgoing {
    Outgoing::new(
        Kind::Call,
        Flags::NO_REPLY | Flags::REFERENCES,
        7,
        3,
        payload,
    )
}

fn frames(mut message: Outgoing, compress: bool) -> Vec<Frame> {
    std::iter::from_fn(|| message.next_frame(compress)).collect()
}

#[test]
fn a_long_message_is_cut_into_chunks() {
    let payload: Vec<u8> = (0..CHUNK * 2 + 1).map(|i| (i % 251) as u8).collect();
    let frames = frames(outgoing(payload.clone().into()), false);
    let lengths: Vec<usize> = frames.iter().map(|f| f.payload.len()).collect();
    assert_eq!(lengths, [CHUNK, CHUNK, 1]);
    assert_eq!(frames[0].kind, Kind::Call);
    assert_eq!(
        frames[0].flags,
        Flags::NO_REPLY | Flags::REFERENCES | Flags::MORE
    );
    assert_eq!((frames[1].kind, frames[1].flags), (Kind::Data, Flags::MORE));
    assert_eq!((frames[2].kind, frames[2].flags), (Kind::Data, Flags::NONE));
    assert!(frames.iter().all(|f| f.request == 7 && f.thread == 3));
    let whole: Vec<u8> = frames.iter().flat_map(|f| f.payload.to_vec()).collect();
    assert_eq!(whole, payload);
}

#[test]
fn a_message_of_one_chunk_is_one_frame() {
    assert_eq!(frames(outgoing(vec![1; CHUNK].into()), false).len(), 1);
    let empty = frames(outgoing(Segments::new()), false);
    assert_eq!(empty.len(), 1);
    assert!(empty[0].payload.is_empty());
}

#[test]
fn chunks_are_slices_of_the_payload() {
    let payload = Bytes::from(vec![5; CHUNK * 2]);
    let range = payload.as_ptr_range();
    for frame in frames(outgoing(payload.clone().into()), false) {
        for piece in frame.payload.pieces() {
            assert!(range.contains(&piece.as_ptr()));
        }
    }
}

#[test]
fn a_large_payload_is_not_copied_on_the_way_in() {
    let mut bytes = BytesMut::new();
    let frame = Frame::control(Kind::Class, vec![9; 100_000]);
    frame.encode(&mut bytes);
    let bytes = bytes.freeze();
    let range = bytes.as_ptr_range();
    let mut decoder = Decoder::new(Sender::Stub, false);
    // As a transport delivers it: in pieces of one buffer.
    for start in (0..bytes.len()).step_by(32_768) {
        decoder.feed(bytes.slice(start..bytes.len().min(start + 32_768)));
    }
    let read = decoder.next_frame().unwrap().unwrap();
    assert_eq!(read, frame);
    let kept = read
        .payload
        .pieces()
        .filter(|p| range.contains(&p.as_ptr()));
    // Only the short rest behind the last full piece is.
    assert!(kept.map(Bytes::len).sum::<usize>() > 98_000);
}

#[test]
fn only_what_gets_shorter_is_deflated() {
    assert!(deflate(&vec![0; COMPRESS_MIN - 1].into()).is_none());
    let deflated = deflate(&vec![0; COMPRESS_MIN].into()).unwrap();
    assert!(deflated.len() < COMPRESS_MIN);
    assert_eq!(inflate(deflated.into()).unwrap(), vec![0; COMPRESS_MIN]);
    let mut noise = vec![0; 4096];
    getrandom::fill(&mut noise).unwrap();
    assert!(deflate(&noise.into()).is_none());
}

#[test]
fn a_deflated_message_comes_back_whole() {
    let payload: Vec<u8> = (0..CHUNK * 3).map(|i| (i / 1000) as u8).collect();
    let frames = frames(outgoing(payload.clone().into()), true);
    assert!(frames.iter().all(|f| f.flags.contains(Flags::DEFLATED)));
    let mut frames = frames.into_iter();
    let mut progress = Incoming::begin(frames.next().unwrap(), u64::MAX, true).unwrap();
    for frame in frames {
        let Progress::Under(message) = progress else {
            panic!("done too early")
        };
        progress = message.push(frame).unwrap();
    }
    let Progress::Done(message) = progress else {
        panic!("not done")
    };
    assert_eq!(message.flags, Flags::NO_REPLY | Flags::REFERENCES);
    assert_eq!(message.payload.to_vec(), payload);
}

#[test]
fn buffers_come_back_in_order() {
    let buffers = [vec![1; 5], vec![], vec![2; 70_000]];
    let mut message = Segments::from(buffer_table(3, buffers.iter().map(Vec::len)));
    message.push(Bytes::from_static(b"abc"));
    for buffer in &buffers {
        message.push(buffer.clone().into());
    }
    let (pickle, read) = split_buffers(message).unwrap();
    assert_eq!(pickle.to_vec(), b"abc");
    let read: Vec<Vec<u8>> = read.iter().map(Segments::to_vec).collect();
    assert_eq!(read, buffers);
}

#[test]
fn an_oversized_header_is_refused_without_its_payload() {
    let mut header = Frame::control(Kind::Class, Bytes::new()).header().encode();
    header[4..8].copy_from_slice(&(MAX_PAYLOAD as u32 + 1).to_be_bytes());
    let mut decoder = Decoder::new(Sender::Stub, false);
    decoder.feed(Bytes::copy_from_slice(&header[..HEADER - 1]));
    assert!(decoder.next_frame().unwrap().is_none());
    decoder.feed(Bytes::copy_from_slice(&header[HEADER - 1..]));
    assert_eq!(decoder.next_frame().unwrap_err().code(), "too-large");
}

#[test]
fn single_bytes_are_gathered_without_a_piece_for_each() {
    let mut bytes = BytesMut::new();
    Frame::control(Kind::Class, vec![3; 200_000]).encode(&mut bytes);
    let bytes = bytes.freeze();
    let mut decoder = Decoder::new(Sender::Stub, false);
    for at in 0..bytes.len() {
        assert!(decoder.next_frame().unwrap().is_none());
        decoder.feed(bytes.slice(at..at + 1));
    }
    let frame = decoder.next_frame().unwrap().unwrap();
    assert_eq!(frame.payload.len(), 200_000);
    assert!(frame.payload.pieces().count() < 20);
}
