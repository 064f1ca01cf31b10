//! Routed frames: what the splitter makes of bytes does not depend on how they arrive; and what waits comes in order, from each in turn,
//! within its limits, with word of those that are not there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::Input;
use crate::routing::{Broken, Frame, Frames, HEADER, Queues, Rules};
use crate::wire::Segments;

const GONE: u8 = 5;
const RULES: Rules = Rules {
    most: 64,
    gone: [0, 0, 0, 0, 0, 0, 0, 0, 0, GONE, 0, 0, 0, 0, 0, 0],
};
const PROCESSES: u8 = 6;

fn frames(frames: &mut Frames, bytes: &[u8], found: &mut Vec<Frame>) -> Result<(), Broken> {
    frames.push(Segments::from(Bytes::copy_from_slice(bytes)));
    while let Some(frame) = frames.next()? {
        found.push(frame);
    }
    Ok(())
}

/// The same frames come of a process's bytes at once and byte by byte.
fn split(data: &[u8]) {
    let (mut whole, mut single) = (Vec::new(), Vec::new());
    let ended = frames(&mut Frames::new(1, RULES), data, &mut whole);
    let mut other = Frames::new(1, RULES);
    let ended_single = data
        .iter()
        .try_for_each(|byte| frames(&mut other, &[*byte], &mut single));
    assert_eq!(ended, ended_single);
    assert_eq!(whole, single);
    for frame in &whole {
        assert!(frame.bytes.len() <= HEADER + RULES.most as usize);
    }
}

/// What waits, by target and source: the numbers of frames.
type Waiting = BTreeMap<(u8, u8), VecDeque<u32>>;

fn number_of(frame: &[u8; HEADER]) -> (u8, u8, u8, u32) {
    let [_, source, _, target, n0, n1, n2, n3, _, kind, ..] = *frame;
    (source, target, kind, u32::from_be_bytes([n0, n1, n2, n3]))
}

/// Takes what waits for a process, and compares it with what was passed.
fn take(queues: &mut Queues, waiting: &mut Waiting, target: u8, most: usize) {
    let mut taken = queues.take(u16::from(target), most);
    while let Some(frame) = taken.take_array::<HEADER>() {
        let (source, told, kind, number) = number_of(&frame);
        assert_eq!(told, target);
        let line = waiting.entry((target, source)).or_default();
        let next = line.pop_front();
        let wanted = if kind == GONE { 0 } else { number };
        assert_eq!(next, Some(wanted), "from {source} for {target}");
    }
    assert!(taken.is_empty());
}

/// Any sequence of processes that come and go, send and take.
fn queue(data: &[u8]) {
    let mut input = Input(data);
    let mut queues = Queues::new(RULES);
    let mut there = BTreeSet::new();
    let mut waiting = Waiting::new();
    let mut count = 0;
    while !input.0.is_empty() {
        let (what, one, other) = (input.byte(), input.byte(), input.byte());
        let (one, other) = (one % PROCESSES, other % PROCESSES);
        match what % 5 {
            0 => assert_eq!(queues.enter(u16::from(one)), there.insert(one)),
            1 => {
                queues.leave(u16::from(one));
                if there.remove(&one) {
                    waiting.retain(|(target, _), _| *target != one);
                    for told in &there {
                        say_gone(&mut waiting, *told, one);
                    }
                }
            }
            2 => take(&mut queues, &mut waiting, one, usize::from(other) * HEADER),
            _ => {
                count += 1;
                let mut bytes = vec![0, one, 0, other];
                bytes.extend_from_slice(&u32::to_be_bytes(count));
                bytes.extend_from_slice(&[0; 8]);
                let frame = Frame {
                    target: u16::from(other),
                    bytes: Segments::from(bytes),
                };
                assert!(queues.has_room(u16::from(one), u16::from(other)));
                let told = queues.pass(u16::from(one), frame);
                if there.contains(&other) {
                    assert_eq!(told, Some(u16::from(other)));
                    waiting.entry((other, one)).or_default().push_back(count);
                } else if there.contains(&one) {
                    let said = say_gone(&mut waiting, one, other);
                    assert_eq!(told, said.then_some(u16::from(one)));
                } else {
                    assert_eq!(told, None);
                }
            }
        }
    }
    for target in there {
        take(&mut queues, &mut waiting, target, usize::MAX);
        assert_eq!(queues.waiting(u16::from(target)), 0);
    }
    assert!(waiting.values().all(VecDeque::is_empty));
}

/// Notes that a process is told that another is not there, which it is once; whether that is new.
fn say_gone(waiting: &mut Waiting, told: u8, process: u8) -> bool {
    let line = waiting.entry((told, process)).or_default();
    let new = line.back() != Some(&0);
    if new {
        line.push_back(0);
    }
    new
}

pub(super) fn run(data: &[u8]) {
    split(data);
    queue(data);
}
