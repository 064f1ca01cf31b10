//! Properties of the codec: pieces do not matter, and no bytes make it panic or hoard.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::wire::{
    Decoder, Flags, Frame, Gather, HEADER, Incoming, Kind, MAX_PAYLOAD, Progress, Segments, Sender,
    inflate, split_buffers,
};

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![
        Kind::Result,
        Kind::Error,
        Kind::Output,
        Kind::Class,
        Kind::Data,
        Kind::StubHello,
        Kind::Fatal,
    ])
}

fn frame() -> impl Strategy<Value = Frame> {
    let payload = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (0usize..9000, any::<u8>()).prop_map(|(n, b)| vec![b; n]),
    ];
    (kind(), any::<u8>(), any::<u32>(), any::<i32>(), payload).prop_map(
        |(kind, bits, request, thread, payload)| Frame {
            kind,
            flags: Flags::from_bits(bits & kind.allowed_flags().bits()),
            request,
            thread,
            payload: payload.into(),
        },
    )
}

fn all(decoder: &mut Decoder) -> Result<Vec<Frame>, crate::wire::ProtocolError> {
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next_frame()? {
        frames.push(frame);
    }
    Ok(frames)
}

proptest! {
    #[test]
    fn any_split_gives_the_same_frames(
        frames in prop::collection::vec(frame(), 0..12),
        cuts in prop::collection::vec(1usize..4000, 1..40),
    ) {
        let mut bytes = BytesMut::new();
        for frame in &frames {
            frame.encode(&mut bytes);
        }
        let mut bytes = bytes.freeze();
        let mut decoder = Decoder::new(Sender::Stub, true);
        let mut read = Vec::new();
        for cut in cuts.iter().cycle() {
            if bytes.is_empty() {
                break;
            }
            decoder.feed(bytes.split_to((*cut).min(bytes.len())));
            read.extend(all(&mut decoder).unwrap());
        }
        decoder.finish().unwrap();
        prop_assert_eq!(read, frames);
    }

    #[test]
    fn garbage_neither_panics_nor_is_hoarded(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
        valid_start in any::<bool>(),
        sender in prop::sample::select(vec![Sender::Client, Sender::Stub]),
    ) {
        let mut decoder = Decoder::new(sender, true);
        if valid_start {
            decoder.feed(Bytes::from_static(b"EC"));
        }
        for piece in pieces {
            decoder.feed(piece.into());
            match all(&mut decoder) {
                // Whatever is left is less than one frame.
                Ok(frames) => for frame in frames {
                    prop_assert!(frame.payload.len() <= MAX_PAYLOAD);
                    if frame.flags.contains(Flags::DEFLATED) {
                        let _ = inflate(frame.payload).map(|whole| assert!(whole.len() <= MAX_PAYLOAD));
                    }
                },
                Err(_) => break,
            }
        }
    }

    #[test]
    fn a_table_of_buffers_of_any_bytes_is_split_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        count in 0u32..6,
    ) {
        let mut message = count.to_be_bytes().to_vec();
        message.extend(bytes);
        let length = message.len();
        if let Ok((pickle, buffers)) = split_buffers(message.into()) {
            let sum = pickle.len() + buffers.iter().map(Segments::len).sum::<usize>();
            prop_assert_eq!(sum + 12 + 8 * buffers.len(), length);
        }
    }

    #[test]
    fn segments_split_where_they_are_told(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9),
        cuts in prop::collection::vec(0usize..12, 0..9),
    ) {
        let whole: Vec<u8> = pieces.concat();
        let mut segments = Segments::new();
        for piece in pieces {
            segments.push(piece.into());
        }
        prop_assert_eq!(segments.len(), whole.len());
        let mut read = Vec::new();
        for cut in cuts {
            let left = segments.len();
            let part = segments.split_to(cut);
            prop_assert_eq!(part.len(), cut.min(left));
            read.extend(part.to_vec());
        }
        read.extend(segments.into_bytes());
        prop_assert_eq!(read, whole);
    }

    #[test]
    fn what_is_gathered_comes_out_in_order(
        steps in prop::collection::vec((0usize..3, prop_oneof![0usize..40, 2000usize..5000]), 0..40),
    ) {
        let mut gather = Gather::new();
        let mut model: VecDeque<u8> = VecDeque::new();
        let mut counter = 0u8;
        for (what, size) in steps {
            match what {
                0 => {
                    let piece: Vec<u8> = (0..size).map(|_| { counter = counter.wrapping_add(1); counter }).collect();
                    model.extend(&piece);
                    gather.push(piece.into());
                }
                1 => match gather.take_array::<16>() {
                    Some(bytes) => prop_assert_eq!(bytes.to_vec(), model.drain(..16).collect::<Vec<_>>()),
                    None => prop_assert!(model.len() < 16),
                },
                _ => match gather.take(size) {
                    Some(bytes) => prop_assert_eq!(bytes.to_vec(), model.drain(..size).collect::<Vec<_>>()),
                    None => prop_assert!(model.len() < size),
                },
            }
            prop_assert_eq!(gather.len(), model.len());
        }
        prop_assert_eq!(gather.finish().to_vec(), Vec::from(model));
    }

    #[test]
    fn a_message_in_any_chunks_is_put_together(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 1..9),
    ) {
        let last = chunks.len() - 1;
        let mut progress = None;
        for (at, chunk) in chunks.iter().enumerate() {
            let frame = Frame {
                kind: if at == 0 { Kind::Result } else { Kind::Data },
                flags: Flags::NONE.with_if(Flags::MORE, at < last),
                request: 1,
                thread: 0,
                payload: chunk.clone().into(),
            };
            progress = Some(match progress {
                None => Incoming::begin(frame, u64::MAX, true).unwrap(),
                Some(Progress::Under(message)) => Incoming::push(message, frame).unwrap(),
                Some(Progress::Done(_)) => panic!("done before its last chunk"),
            });
        }
        let Some(Progress::Done(message)) = progress else { panic!("not done") };
        prop_assert_eq!(message.payload.to_vec(), chunks.concat());
    }
}

#[test]
fn a_header_is_sixteen_bytes() {
    assert_eq!(
        Frame::control(Kind::Close, Bytes::new())
            .header()
            .encode()
            .len(),
        HEADER
    );
}
