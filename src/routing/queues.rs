//! What waits for each process: in turn from all that send to it, within limits, and with word of those that are not there.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use crate::wire::Segments;

use super::{Frame, Rules, gone};

/// What a frame that waits costs besides its bytes, at the most: so that many small ones fill no more memory than few large ones.
const BESIDES: usize = 256;
/// What may wait from one process for another. More than credit (`dask/comm.py`) allows to many streams.
const MOST_OF_ONE: usize = 256 << 20;
/// What may wait for one process from all others, but for those of which only so much waits.
const MOST: usize = 1 << 30;
const LITTLE: usize = 1 << 20;
/// What is taken from one process before it is the turn of the next.
const TURN: usize = 1 << 16;

/// What waits from one process for another, in order.
#[derive(Debug, Default)]
struct Line {
    frames: VecDeque<Segments>,
    cost: usize,
    /// Whether the last of it says that the process is not there.
    gone: bool,
}

/// What waits for one process.
#[derive(Debug, Default)]
struct Queue {
    /// By source; none of them is empty.
    lines: HashMap<u16, Line>,
    /// The same sources, in the order of their turns.
    turns: VecDeque<u16>,
    cost: usize,
}

impl Queue {
    fn put(&mut self, source: u16, frame: Segments, gone: bool) {
        let line = match self.lines.entry(source) {
            Entry::Occupied(line) => line.into_mut(),
            Entry::Vacant(place) => {
                self.turns.push_back(source);
                place.insert(Line::default())
            }
        };
        let cost = BESIDES + frame.len();
        line.cost += cost;
        self.cost += cost;
        line.gone = gone;
        line.frames.push_back(frame);
    }

    /// Whether somebody is being told already that a process is not there.
    fn tells_of(&self, process: u16) -> bool {
        self.lines.get(&process).is_some_and(|line| line.gone)
    }

    /// Takes what one process sent, until that is a turn.
    fn take_turn(&mut self, source: u16, taken: &mut Segments) {
        let Some(line) = self.lines.get_mut(&source) else {
            return;
        };
        let end = taken.len() + TURN;
        while taken.len() < end
            && let Some(frame) = line.frames.pop_front()
        {
            let cost = BESIDES + frame.len();
            line.cost -= cost;
            self.cost -= cost;
            taken.append(frame);
        }
        if line.frames.is_empty() {
            self.lines.remove(&source);
        } else {
            self.turns.push_back(source);
        }
    }
}

/// All processes by their numbers, and what waits for them.
#[derive(Debug)]
pub(crate) struct Queues {
    rules: Rules,
    processes: HashMap<u16, Queue>,
}

impl Queues {
    /// Without any process.
    pub(crate) fn new(rules: Rules) -> Queues {
        Queues {
            rules,
            processes: HashMap::new(),
        }
    }

    /// Takes a process in; false where its number is taken.
    pub(crate) fn enter(&mut self, number: u16) -> bool {
        match self.processes.entry(number) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(Queue::default());
                true
            }
        }
    }

    /// Forgets a process, and tells all others, for whom something waits now.
    pub(crate) fn leave(&mut self, number: u16) {
        if self.processes.remove(&number).is_none() {
            return;
        }
        for (other, queue) in &mut self.processes {
            if !queue.tells_of(number) {
                queue.put(number, gone(self.rules, number, *other), true);
            }
        }
    }

    /// Whether there is room for a frame more. There is where the target is none of the processes: of those somebody is told once.
    pub(crate) fn has_room(&self, source: u16, target: u16) -> bool {
        let Some(queue) = self.processes.get(&target) else {
            return true;
        };
        let own = queue.lines.get(&source).map_or(0, |line| line.cost);
        own < LITTLE || own < MOST_OF_ONE && queue.cost < MOST
    }

    /// Puts a frame of a process where it waits, or tells that process that there is nobody whom it is for; for whom something waits
    /// now, if for anybody.
    pub(crate) fn pass(&mut self, source: u16, frame: Frame) -> Option<u16> {
        if let Some(queue) = self.processes.get_mut(&frame.target) {
            queue.put(source, frame.bytes, false);
            return Some(frame.target);
        }
        let queue = self.processes.get_mut(&source)?;
        if queue.tells_of(frame.target) {
            return None;
        }
        queue.put(frame.target, gone(self.rules, frame.target, source), true);
        Some(source)
    }

    /// Takes what waits for a process: about as many bytes, in whole frames, from all that send to it in turn.
    pub(crate) fn take(&mut self, number: u16, most: usize) -> Segments {
        let mut taken = Segments::new();
        if let Some(queue) = self.processes.get_mut(&number) {
            while taken.len() < most
                && let Some(source) = queue.turns.pop_front()
            {
                queue.take_turn(source, &mut taken);
            }
        }
        taken
    }

    /// What waits for a process, as it is counted.
    pub(crate) fn waiting(&self, number: u16) -> usize {
        self.processes.get(&number).map_or(0, |queue| queue.cost)
    }
}
