//! The decoder of frames: what it makes of bytes does not depend on how they arrive.

use bytes::Bytes;

use super::Input;
use crate::wire::{Decoder, Frame, ProtocolError, Sender};

/// The most pieces that one input is cut into.
const PIECES: usize = 16;

fn frames(decoder: &mut Decoder, bytes: &[u8], found: &mut Vec<Frame>) -> Option<ProtocolError> {
    decoder.feed(Bytes::copy_from_slice(bytes));
    loop {
        match decoder.next_frame() {
            Ok(Some(frame)) => found.push(frame),
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

/// The first byte says whose frames these are, the next ones where the rest is cut.
pub(super) fn run(data: &[u8]) {
    let mut input = Input(data);
    let options = input.byte();
    let sender = if options & 1 == 0 {
        Sender::Stub
    } else {
        Sender::Client
    };
    let compress = options & 2 != 0;
    let cuts: Vec<usize> = (0..usize::from(options >> 4).min(PIECES))
        .map(|_| usize::from(input.byte()))
        .collect();
    let mut whole = Vec::new();
    let mut decoder = Decoder::new(sender, compress);
    let failed = frames(&mut decoder, input.0, &mut whole);
    let mut cut = Vec::new();
    let mut other = Decoder::new(sender, compress);
    let mut failed_cut = None;
    let mut rest = input.0;
    for piece in cuts.into_iter().chain([usize::MAX]) {
        let (piece, after) = rest.split_at(piece.min(rest.len()));
        rest = after;
        if failed_cut.is_none() {
            failed_cut = frames(&mut other, piece, &mut cut);
        }
    }
    assert_eq!(whole, cut);
    assert_eq!(failed, failed_cut);
    if failed.is_none() {
        assert_eq!(decoder.finish().is_ok(), other.finish().is_ok());
    }
}
