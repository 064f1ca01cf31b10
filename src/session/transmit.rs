//! What goes out next: control frames first, then the threads in turn, each within its window (ME-10, ME-17).

use std::collections::hash_map::Entry;

use bytes::{Bytes, BytesMut};

use crate::wire::{Frame, HEADER, Header, Kind};

use super::Session;
use super::call::{Call, Stage};
use super::event::{Event, Outcome};
use super::parts::Need;
use super::request::RequestId;
use super::threads::{Item, Threads};

/// How much one thread sends before the next has its turn, in bytes; a chunk that is larger goes out whole.
const TURN: usize = 32_768;
/// Pieces this long are handed out as they are; shorter ones are copied behind their header.
const WHOLE_PIECE: usize = 4096;
/// How much room for small frames is taken at a time, in bytes: little first, then twice as much each time up to the most,
/// because every connection keeps its own and most never send much.
const FIRST_ROOM: usize = 512;
const MOST_ROOM: usize = 16_384;

/// Where small frames are put together for sending.
#[derive(Default)]
pub(super) struct Scratch {
    bytes: BytesMut,
    room: usize,
}

impl Scratch {
    fn put(&mut self, piece: &[u8]) {
        if self.bytes.capacity() - self.bytes.len() < piece.len() {
            self.room = (2 * self.room).clamp(FIRST_ROOM, MOST_ROOM);
            self.bytes.reserve(piece.len().max(self.room));
        }
        self.bytes.extend_from_slice(piece);
    }

    fn take(&mut self) -> Option<Bytes> {
        if self.bytes.is_empty() {
            return None;
        }
        let taken = self.bytes.split().freeze();
        if self.room < MOST_ROOM {
            // What is left of it would hold on to all of it.
            self.bytes = BytesMut::new();
        }
        Some(taken)
    }
}

struct Sink<'a> {
    out: &'a mut Vec<Bytes>,
    scratch: &'a mut Scratch,
    sent: usize,
}

impl Sink<'_> {
    fn frame(&mut self, frame: Frame) {
        self.scratch.put(&frame.header().encode());
        self.sent += HEADER + frame.payload.len();
        for piece in frame.payload {
            if piece.len() < WHOLE_PIECE {
                self.scratch.put(&piece);
            } else {
                self.flush();
                self.out.push(piece);
            }
        }
    }

    fn flush(&mut self) {
        self.out.extend(self.scratch.take());
    }
}

impl Session {
    /// Appends what is to be sent next to `out` and returns how many bytes that is; 0 means that there is nothing
    /// now. It stops at the first frame that reaches `max_bytes`. What was taken counts as sent.
    pub fn poll_transmit(&mut self, max_bytes: usize, out: &mut Vec<Bytes>) -> usize {
        if self.dead || max_bytes == 0 {
            return 0;
        }
        if self.output_returned > 0 {
            self.return_output();
        }
        if self.releases.is_due() {
            self.shipment.put(Need::Control, &mut self.control);
            self.releases.encode(&mut self.control);
        }
        self.channels.return_windows(&mut self.control);
        self.tell_of_channels();
        let first = self.control.len().min(max_bytes);
        if first > 0 {
            out.push(self.control.split_to(first).freeze());
        }
        self.sent += first as u64;
        if self.closed || !self.control.is_empty() {
            return first;
        }
        self.start_one_shots();
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut sink = Sink {
            out,
            scratch: &mut scratch,
            sent: first,
        };
        while sink.sent < max_bytes {
            self.channels_first = !self.channels_first && self.channels.is_ready();
            if self.channels_first
                && let Some(frame) = self.channels.next_frame(self.config.compress)
            {
                sink.frame(frame);
                continue;
            }
            let Some(number) = self.threads.next_ready() else {
                if self.channels.is_ready() {
                    continue;
                }
                break;
            };
            let until = max_bytes.min(sink.sent.saturating_add(TURN));
            if self.send_from(number, until, &mut sink) {
                self.threads.list(number);
            } else {
                self.threads.sweep(number);
            }
        }
        self.tell_of_channels();
        if self.shipment.due {
            for payload in self.shipment.take(Need::Calls) {
                sink.frame(Frame::control(Kind::Part, payload));
            }
        }
        sink.flush();
        let sent = sink.sent;
        self.scratch = scratch;
        self.sent += (sent - first) as u64;
        sent
    }

    fn start_one_shots(&mut self) {
        let calls = &mut self.calls;
        while let Some((id, number)) = self
            .threads
            .start_one_shot(|id| is_queued(calls.get(&id.number()), id))
        {
            if let Some(call) = calls.get_mut(&id.number()) {
                call.thread = number;
                if let Stage::Queued(message) = &mut call.stage {
                    message.set_thread(number);
                }
            }
        }
    }

    /// Sends from one thread's queue until that many bytes are out. Returns whether it could go on at once.
    fn send_from(&mut self, number: i32, until: usize, sink: &mut Sink<'_>) -> bool {
        let Threads {
            by_number,
            barriers,
            ..
        } = &mut self.threads;
        let Some(thread) = by_number.get_mut(&number) else {
            return false;
        };
        while sink.sent < until {
            let id = match thread.queue.front() {
                None => return false,
                Some(Item::Stop) => {
                    thread.queue.pop();
                    for payload in self.shipment.take(Need::Control) {
                        sink.frame(Frame::control(Kind::Part, payload));
                    }
                    let mut frame = Frame::control(Kind::StopThread, Bytes::new());
                    frame.thread = number;
                    sink.frame(frame);
                    continue;
                }
                Some(Item::Call(id)) => id,
            };
            let entry = self.calls.entry(id.number());
            let Entry::Occupied(mut entry) = entry else {
                thread.queue.pop_dead();
                continue;
            };
            let Call {
                id: holder,
                stage: Stage::Queued(message),
                after,
                plain,
                ..
            } = entry.get_mut()
            else {
                thread.queue.pop_dead();
                continue;
            };
            if *holder != id {
                thread.queue.pop_dead();
                continue;
            }
            if !thread.takes((HEADER + message.next_length()) as u64) {
                return false;
            }
            if !message.started() && barriers.hold(number, *after) {
                thread.blocked = true;
                barriers.behind.push(number);
                return false;
            }
            let lacking = !self.shipment.has_sent(Need::Control);
            if let Some(frame) = message.next_frame(self.config.compress) {
                if lacking {
                    let need = Need::of_request(frame.header());
                    for payload in need.into_iter().flat_map(|need| self.shipment.take(need)) {
                        sink.frame(Frame::control(Kind::Part, payload));
                    }
                    self.shipment.due |= !*plain && !self.shipment.has_sent(Need::Calls);
                }
                thread.outstanding += (HEADER + frame.payload.len()) as u64;
                thread.busy = number < 0;
                sink.frame(frame);
            }
            if !message.is_done() {
                continue;
            }
            thread.queue.pop();
            let call = entry.get_mut();
            let silent = call.silent;
            call.stage = if silent {
                Stage::GivenUp
            } else {
                Stage::Waiting
            };
            if call.no_reply {
                self.shipment.silent = true;
                entry.remove();
            }
            if silent {
                // Nothing will tell how it ends.
                self.channels.note(id, Vec::new());
                self.events.push_back(Event::Completed {
                    id,
                    outcome: Outcome::Sent,
                });
            }
        }
        true
    }

    pub(super) fn send_cancel(&mut self, request: u32, thread: i32) {
        self.shipment.put(Need::Control, &mut self.control);
        let mut frame = Frame::control(Kind::Cancel, Bytes::new());
        frame.request = request;
        frame.thread = thread;
        frame.encode(&mut self.control);
    }

    pub(super) fn send_control(&mut self, header: Header) {
        self.control.extend_from_slice(&header.encode());
    }
}

/// Whether this call is the one with that id and has not been sent in full.
pub(super) fn is_queued(call: Option<&Call>, id: RequestId) -> bool {
    call.is_some_and(|call| call.id == id && matches!(call.stage, Stage::Queued(_)))
}
