//! The reading half of a link: frames to messages, within the windows, and the watch over silence.

use super::*;
use crate::progress::CLOSE_GRACE;

pub(super) struct Reading {
    pub read: OwnedReadHalf,
    pub opener: Opener,
    pub side: Side,
    pub liveness: Liveness,
    pub buffer: BytesMut,
    /// A bit for each kind of message that came and comes once.
    pub came: u8,
    pub shared: Arc<Shared>,
    pub received: mpsc::UnboundedSender<Result<Incoming, LinkError>>,
}

impl Reading {
    pub(super) async fn run(mut self) {
        let shared = self.shared.clone();
        let result = tokio::select! {
            result = self.receive() => result,
            // The owner is gone and has said CLOSE.
            () = shared.stop.notified() => Ok(()),
        };
        if let Err(error) = result {
            // Nothing more can be sent to any purpose, unless this side found fault: then the
            // other side learns why.
            if let LinkError::Authentication(AuthenticationError::Malformed(_)) = &error {
                let sentence = error.to_string();
                let mut content = Message::Error(&sentence).head();
                content.extend_from_slice(sentence.as_bytes());
                shared.queue(Outgoing::Plain(content));
            }
            shared.end();
            let _ = self.received.send(Err(error));
        }
        // The reader is notified of the end now, whatever is still to be sent.
        drop(self.received);
        // The other side may have stopped reading, and then the rest is lost.
        let _ = timeout(CLOSE_GRACE, shared.written()).await;
        shared.broken.notify_one();
    }

    /// Reads until the orderly end.
    async fn receive(&mut self) -> Result<(), LinkError> {
        let mut heard = Instant::now();
        let mut asked = false;
        loop {
            while let Some(content) = self.frame()? {
                if self.message(content)? {
                    return Ok(());
                }
            }
            if self.buffer.is_empty() {
                // An idle link holds no buffer.
                self.buffer = BytesMut::new();
            }
            let deadline = heard
                + if asked {
                    self.liveness.silence
                } else {
                    self.liveness.ping
                };
            match timeout_at(deadline, self.read.readable()).await {
                Ok(ready) => ready?,
                Err(_) if asked => return Err(LinkError::Silent(self.liveness.silence)),
                Err(_) => {
                    asked = true;
                    self.shared.state().ping = true;
                    self.shared.work.notify_one();
                    continue;
                }
            }
            self.buffer.reserve(self.wanted());
            match self.read.try_read_buf(&mut self.buffer) {
                Ok(0) => return Err(LinkError::Truncated),
                Ok(_) => {
                    heard = Instant::now();
                    asked = false;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Room to make before a read: what the frame under way lacks, or enough for many small ones.
    fn wanted(&self) -> usize {
        match self.buffer.first_chunk::<SEALED_HEADER>() {
            Some(header) => Opener::announced(*header)
                .unwrap_or(0)
                .saturating_add(SEALED_HEADER + SEALED_TAG)
                .saturating_sub(self.buffer.len())
                .max(READ_SIZE),
            None => READ_SIZE,
        }
    }

    /// Takes one whole frame off the buffer and opens it where it lies.
    fn frame(&mut self) -> Result<Option<BytesMut>, LinkError> {
        let Some(header) = self.buffer.first_chunk::<SEALED_HEADER>() else {
            return Ok(None);
        };
        let length = Opener::announced(*header)?;
        if self.buffer.len() < SEALED_HEADER + length + SEALED_TAG {
            return Ok(None);
        }
        self.buffer.advance(SEALED_HEADER);
        let mut body = self.buffer.split_to(length + SEALED_TAG);
        self.opener.open(&mut body)?;
        body.truncate(length);
        Ok(Some(body))
    }

    /// Acts on one message; true at the orderly end.
    fn message(&mut self, mut content: BytesMut) -> Result<bool, LinkError> {
        let wrong = || LinkError::from(AuthenticationError::Malformed("a message of its receiver"));
        let from_server = self.side == Side::Client;
        let incoming = match Message::decode(&content)? {
            Message::Open(open) if !from_server => Incoming::Open(open),
            Message::Opened(opened) if from_server => Incoming::Opened(opened),
            Message::Data(bytes) => {
                self.holds(bytes.len())?;
                content.advance(1);
                Incoming::Data(content.freeze())
            }
            Message::Stderr(bytes) if from_server => {
                self.holds(bytes.len())?;
                content.advance(1);
                Incoming::Stderr(content.freeze())
            }
            Message::End => Incoming::End,
            Message::Exit(exit) if from_server => Incoming::Exit(exit),
            Message::Credit(bytes) => {
                let room = self.shared.window.available_permits();
                let bytes = bytes as usize;
                if room.saturating_add(bytes) > WINDOW as usize {
                    return Err(AuthenticationError::Malformed("more credit than sent").into());
                }
                self.shared.window.add_permits(bytes);
                return Ok(false);
            }
            Message::Ping => {
                self.shared.state().pong = true;
                self.shared.work.notify_one();
                return Ok(false);
            }
            Message::Pong => return Ok(false),
            Message::Error(sentence) => {
                return Err(LinkError::Peer(crate::error::printable(sentence)));
            }
            Message::Close => Incoming::Close,
            _ => return Err(wrong()),
        };
        self.comes_once(&incoming)?;
        let close = matches!(incoming, Incoming::Close);
        // The receiver may be gone; then the other side is talking to itself.
        let _ = self.received.send(Ok(incoming));
        Ok(close)
    }

    /// What the window does not count would fill the memory of a side that is slow to take it.
    fn comes_once(&mut self, incoming: &Incoming) -> Result<(), LinkError> {
        let bit = match incoming {
            Incoming::Open(_) => 1,
            Incoming::Opened(_) => 2,
            Incoming::End => 4,
            Incoming::Exit(_) => 8,
            Incoming::Data(_) | Incoming::Stderr(_) | Incoming::Close => 0,
        };
        if self.came & bit != 0 {
            return Err(AuthenticationError::Malformed("a message that comes once").into());
        }
        self.came |= bit;
        Ok(())
    }

    fn holds(&mut self, bytes: usize) -> Result<(), LinkError> {
        if bytes == 0 {
            return Err(AuthenticationError::Malformed("data without bytes").into());
        }
        let mut state = self.shared.state();
        state.held = state
            .held
            .saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        // What is taken but not yet returned is still the other side's debt.
        if state.held.saturating_add(state.credit) > WINDOW {
            return Err(AuthenticationError::Malformed("more than the window").into());
        }
        Ok(())
    }
}
