//! What came in: each frame becomes an answer, an event, or a protocol error.

use std::collections::hash_map::Entry;

use bytes::Bytes;

use crate::wire::{
    Flags, Frame, Incoming, Kind, MAX_MESSAGE, Message, Progress, ProtocolError, Segments, inflate,
};

use super::Session;
use super::call::{Call, Stage};
use super::event::{Answer, Event, Outcome};
use super::parts::Need;
use super::request::RequestId;
use super::{MAX_CLASSES, MAX_ERROR, MAX_FATAL, MAX_HELLO, SMALL_ANSWER};

impl Session {
    /// Takes what the transport delivered, in any pieces.
    ///
    /// # Errors
    /// The stub broke the protocol. Every pending call has then completed as lost, and the session takes and sends
    /// nothing more.
    pub fn receive(&mut self, bytes: Bytes) -> Result<(), ProtocolError> {
        if self.dead {
            return Ok(());
        }
        self.decoder.feed(bytes);
        let done = self.read_frames();
        if done.is_err() {
            self.fail_all();
        }
        done
    }

    /// Says that the stub's output has ended; every pending call completes as lost.
    ///
    /// # Errors
    /// [`ProtocolError::Truncated`] where that was inside a frame.
    pub fn receive_end(&mut self) -> Result<(), ProtocolError> {
        let done = if self.dead {
            Ok(())
        } else {
            self.decoder.finish()
        };
        self.fail_all();
        done
    }

    fn read_frames(&mut self) -> Result<(), ProtocolError> {
        while !self.dead
            && let Some(frame) = self.decoder.next_frame()?
        {
            self.take(frame)?;
        }
        Ok(())
    }

    fn take(&mut self, frame: Frame) -> Result<(), ProtocolError> {
        // A stub that cannot start may still say why.
        if !self.greeted && !matches!(frame.kind, Kind::StubHello | Kind::Fatal) {
            return Err(ProtocolError::Malformed("the first frame is not HELLO"));
        }
        match frame.kind {
            Kind::StubHello => {
                if self.greeted {
                    return Err(ProtocolError::Malformed("HELLO came twice"));
                }
                if frame.payload.len() > MAX_HELLO {
                    return Err(ProtocolError::TooLarge {
                        what: "HELLO",
                        size: frame.payload.len() as u64,
                        limit: MAX_HELLO as u64,
                    });
                }
                self.greeted = true;
                self.shipment.due = !self.shipment.has_sent(Need::Calls);
                self.events
                    .push_back(Event::Connected(frame.payload.into_bytes()));
            }
            Kind::Result | Kind::Error => self.begin_answer(frame)?,
            Kind::Data => self.continue_answer(frame)?,
            Kind::Credit => {
                let mut payload = frame.payload;
                let bytes = payload.take_array().map(u32::from_be_bytes).unwrap_or(0);
                // After CLOSE nothing is sent any more, and what was in use is forgotten.
                if !self.closed {
                    self.threads.credit(frame.thread, bytes)?;
                }
            }
            Kind::Output => self.take_output(frame)?,
            Kind::Channel => self.take_channel(frame)?,
            Kind::ChannelCredit => self.take_channel_credit(frame)?,
            Kind::Class => {
                let payload = whole_payload(frame)?;
                self.classes += 1;
                self.class_bytes += payload.len() as u64;
                if self.classes > MAX_CLASSES || self.class_bytes > self.config.max_class_bytes {
                    return Err(ProtocolError::Malformed(
                        "the server describes more classes than may be kept",
                    ));
                }
                self.events.push_back(Event::Class(payload));
            }
            Kind::Pong => {
                let payload = frame.payload.into_bytes();
                if self.pings.pop_front().as_ref() != Some(&payload) {
                    return Err(ProtocolError::Malformed(
                        "PONG does not answer the next PING",
                    ));
                }
                self.events.push_back(Event::Pong(payload));
            }
            Kind::Fatal => {
                let mut payload = frame.payload.into_bytes();
                payload.truncate(MAX_FATAL);
                let text = String::from_utf8_lossy(&payload);
                let (code, text) = text.split_once(':').unwrap_or(("", &text));
                self.events.push_back(Event::Fatal {
                    code: code.trim().to_owned(),
                    text: text.trim().to_owned(),
                });
                self.fail_all();
            }
            // The decoder lets nothing pass that only a client sends.
            _ => return Err(ProtocolError::UnknownKind(frame.kind.code())),
        }
        Ok(())
    }

    fn begin_answer(&mut self, frame: Frame) -> Result<(), ProtocolError> {
        let number = frame.request;
        let unknown = ProtocolError::UnknownRequest(number);
        let Entry::Occupied(mut entry) = self.calls.entry(number) else {
            return Err(unknown);
        };
        let call = entry.get_mut();
        if call.answer.is_some() {
            return Err(ProtocolError::Malformed(
                "an answer begins while the same request's answer is under way",
            ));
        }
        let keep = match call.stage {
            // A message that ends with its CANCEL is given up, not queued.
            Stage::Queued(_) => return Err(unknown),
            Stage::Waiting | Stage::Ending(_) => true,
            Stage::GivenUp => false,
        };
        let progress = Incoming::begin(frame, MAX_MESSAGE, keep)?;
        self.go_on(number, progress)
    }

    fn continue_answer(&mut self, frame: Frame) -> Result<(), ProtocolError> {
        const NONE: ProtocolError =
            ProtocolError::Malformed("DATA came for a request without an answer under way");
        let number = frame.request;
        let call = self.calls.get_mut(&number).ok_or(NONE)?;
        let answer = call.answer.take().ok_or(NONE)?;
        self.answers_held = self.answers_held.saturating_sub(answer.held() as u64);
        let progress = answer.push(frame)?;
        self.go_on(number, progress)
    }

    /// Keeps what came of an answer, or hands it on where that was all; within the limits (ME-26).
    fn go_on(&mut self, number: u32, progress: Progress) -> Result<(), ProtocolError> {
        let Entry::Occupied(mut entry) = self.calls.entry(number) else {
            return Ok(());
        };
        let (kind, size) = match &progress {
            Progress::Under(answer) => (answer.kind(), answer.held()),
            Progress::Done(message) => (message.kind, message.payload.len()),
        };
        let limit = match kind {
            Kind::Error => self.config.max_result.min(MAX_ERROR),
            _ => self.config.max_result,
        };
        let size = size as u64;
        // What others hold counts too, but what is under way not against what has come in full: that takes no more.
        let others = match &progress {
            Progress::Under(_) => self.answers_held.saturating_add(self.untaken.bytes()),
            Progress::Done(_) if size <= SMALL_ANSWER => 0,
            Progress::Done(_) => self.untaken.bytes(),
        };
        let over = size > limit || size.saturating_add(others) > self.config.max_result;
        match progress {
            Progress::Done(_) if over => {
                let call = entry.remove();
                let id = call.id;
                let stage = self.settle(call);
                self.too_large(id, stage, limit);
            }
            Progress::Done(message) => {
                let call = entry.remove();
                self.finish(call, message)?;
            }
            Progress::Under(mut answer) if over => {
                answer.discard();
                let call = entry.get_mut();
                call.answer = Some(Box::new(answer));
                let id = call.id;
                let stage = std::mem::replace(&mut call.stage, Stage::GivenUp);
                self.drop_deadline(number);
                self.too_large(id, stage, limit);
            }
            Progress::Under(answer) => {
                self.answers_held += size;
                entry.get_mut().answer = Some(Box::new(answer));
            }
        }
        Ok(())
    }

    fn too_large(&mut self, id: RequestId, stage: Stage, limit: u64) {
        let outcome = match stage {
            Stage::Ending(ending) => ending.outcome(None),
            Stage::GivenUp => return,
            _ => Outcome::TooLarge { limit },
        };
        self.complete(id, outcome);
    }

    fn finish(&mut self, call: Call, message: Message) -> Result<(), ProtocolError> {
        let id = call.id;
        let stage = self.settle(call);
        let kind = message.kind;
        if matches!(stage, Stage::GivenUp) {
            return Ok(());
        }
        let held = self.untaken.hold(message.payload.len() as u64);
        let answer = match Answer::from_message(message, held) {
            Ok(answer) => answer,
            Err(error) => {
                self.complete(id, Outcome::Lost { sent: true });
                return Err(error);
            }
        };
        let outcome = match stage {
            // The call beat its interruption: its value is not thrown away.
            _ if kind == Kind::Result => Outcome::Result(answer),
            Stage::Ending(ending) => ending.outcome(Some(answer)),
            _ => Outcome::Error(answer),
        };
        self.complete(id, outcome);
        Ok(())
    }

    fn take_output(&mut self, frame: Frame) -> Result<(), ProtocolError> {
        let (stderr, request) = (frame.flags.contains(Flags::STDERR), frame.request);
        let data = whole_payload(frame)?;
        let window = u64::from(self.config.output_window);
        let held = u64::from(self.output_held) + data.len() as u64;
        self.output_held =
            u32::try_from(held)
                .ok()
                .filter(|_| held <= window)
                .ok_or(ProtocolError::Window {
                    excess: held.saturating_sub(window),
                    window,
                })?;
        if !data.is_empty() {
            self.events.push_back(Event::Output {
                stderr,
                request,
                data,
            });
        }
        Ok(())
    }
}

pub(super) fn whole_payload(frame: Frame) -> Result<Bytes, ProtocolError> {
    if frame.flags.contains(Flags::DEFLATED) {
        inflate(frame.payload)
    } else {
        Ok(Segments::into_bytes(frame.payload))
    }
}
