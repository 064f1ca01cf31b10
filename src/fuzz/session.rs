//! A session against a stub of the input's making: each call that was submitted completes once, and little is held.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Input;
use crate::session::{
    CancelReason, Event, Request, RequestId, RequestKind, Session, SessionConfig, ThreadTarget,
};

/// The most that answers may take, in bytes.
const MAX_RESULT: u64 = 4096;

struct Run {
    session: Session,
    now: Instant,
    /// Submitted and not completed.
    open: BTreeSet<u64>,
    ids: Vec<RequestId>,
    output: u32,
    ended: bool,
}

impl Run {
    fn events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Completed { id, .. } => {
                    assert!(
                        self.open.remove(&u64::from(id.number())),
                        "{id:?} completed twice"
                    );
                }
                Event::Output { data, .. } => {
                    self.output += u32::try_from(data.len()).unwrap_or(u32::MAX);
                }
                _ => {}
            }
        }
        assert!(self.session.held_of_answers() <= MAX_RESULT);
    }

    fn receive(&mut self, bytes: Vec<u8>) {
        if self.ended {
            return;
        }
        if self.session.receive(Bytes::from(bytes)).is_err() {
            self.end();
        }
    }

    /// As the connection does it where it ends.
    fn end(&mut self) {
        self.ended = true;
        let _ = self.session.receive_end();
        self.session.fail_all();
        self.events();
        assert!(self.open.is_empty(), "{:?} are left", self.open);
    }

    fn submit(&mut self, options: u8, size: u8) {
        let thread = match options & 3 {
            0 => ThreadTarget::OneShot,
            number => ThreadTarget::Id(i32::from(number)),
        };
        let place = usize::from(options >> 2) % RequestKind::ALL.len();
        let kind = RequestKind::ALL.get(place).copied();
        let kind = kind.unwrap_or(RequestKind::Call);
        let payload = Bytes::from(vec![b'N'; usize::from(size) * 64]);
        let mut request = Request::new(kind, thread, payload);
        request.barrier = options & 64 != 0;
        request.no_reply = options & 128 != 0;
        if let Ok(id) = self.session.submit(request, self.now) {
            assert!(self.open.insert(u64::from(id.number())));
            self.ids.push(id);
        }
    }

    fn some_id(&self, choice: u8) -> Option<RequestId> {
        let count = self.ids.len().max(1);
        self.ids.get(usize::from(choice) % count).copied()
    }
}

pub(super) fn run(data: &[u8]) {
    let mut input = Input(data);
    let compress = input.byte() & 1 == 1;
    let config = SessionConfig {
        compress,
        max_result: MAX_RESULT,
        output_window: 8192,
        max_class_bytes: 4096,
        ..SessionConfig::default()
    };
    let mut run = Run {
        session: Session::new(config, Bytes::from_static(b"hello")),
        now: Instant::now(),
        open: BTreeSet::new(),
        ids: Vec::new(),
        output: 0,
        ended: false,
    };
    let mut out = Vec::new();
    let mut turns = 0;
    while !input.0.is_empty() && turns < 256 {
        turns += 1;
        match input.byte() % 10 {
            0 => {
                let (options, size) = (input.byte(), input.byte());
                run.submit(options, size);
            }
            // A frame with a good header: its kind, flags, whose request it is, its payload.
            1..=4 => {
                let (kind, flags) = (input.byte(), input.byte());
                let request = match input.byte() {
                    0 => 0,
                    choice => run
                        .some_id(choice)
                        .map_or(u32::from(choice), RequestId::number),
                };
                let length = usize::from(input.byte());
                let payload = input.bytes(length);
                let mut frame = vec![0x45, 0x43, kind, flags];
                frame.extend((payload.len() as u32).to_be_bytes());
                frame.extend(request.to_be_bytes());
                frame.extend(0i32.to_be_bytes());
                frame.extend(payload);
                run.receive(frame);
            }
            5 => {
                let length = usize::from(input.byte());
                let bytes = input.bytes(length).to_vec();
                run.receive(bytes);
            }
            6 => {
                let most = usize::from(input.byte()) * 256;
                run.session.poll_transmit(most, &mut out);
                out.clear();
            }
            7 => {
                let reason = if input.byte() & 1 == 0 {
                    CancelReason::Cancelled
                } else {
                    CancelReason::Abandoned
                };
                if let Some(id) = run.some_id(input.byte()) {
                    run.session.cancel(id, reason, run.now);
                }
            }
            8 => {
                run.now += Duration::from_millis(u64::from(input.byte()) * 10);
                run.session.handle_timeout(run.now);
            }
            _ => match input.byte() % 5 {
                0 => run.session.ping(Bytes::from_static(b"p")),
                1 => run.session.release(u64::from(input.byte()), 1),
                2 => run.session.stop_thread(i32::from(input.byte() & 3)),
                3 => {
                    let printed = std::mem::take(&mut run.output);
                    run.session.output_consumed(printed);
                }
                _ => run.session.start_close(),
            },
        }
        run.events();
    }
    run.end();
}
