//! What the other side asks of this one: calls of functions that it was handed (ME-39 to ME-41), so many at once and no more.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::Notify;

use super::{Channel, Connection, Failure};
use crate::session::{CHANNEL_WINDOW, MAX_ASK, MAX_ASKS};
use crate::wire::Segments;

/// The number of the ask and of the function, in front of the arguments.
const HEAD: usize = 8;
/// What stands behind them. An ask that was interrupted while it was sent ends otherwise.
const WHOLE: u8 = 1;

/// How an ask ended, as the other side is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With a value.
    Value,
    /// With an exception.
    Raised,
}

/// The channel of one connection that asks come through.
#[derive(Debug)]
pub struct Asks {
    channel: Channel,
    in_hand: Mutex<InHand>,
    numbers: AtomicU32,
    /// Something was answered.
    freed: Notify,
}

#[derive(Debug, Default)]
struct InHand {
    count: usize,
    bytes: u64,
}

impl Asks {
    /// Opens the channel, and has what the other side needs of code sent. Takes no round trip.
    ///
    /// # Errors
    /// Why the connection has ended.
    pub fn open(connection: &Connection) -> Result<Arc<Asks>, Failure> {
        connection.send_helper(&crate::stub::functions::ASKS);
        Ok(Arc::new(Asks {
            channel: connection.open_channel(CHANNEL_WINDOW)?,
            in_hand: Mutex::default(),
            numbers: AtomicU32::new(1),
            freed: Notify::new(),
        }))
    }

    /// The channel, which requests name that hand a function over.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// A number for a function that is to be handed over; each is given once.
    pub fn number(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes no more. The other side's next ask fails there.
    pub fn stop(&self) {
        self.channel.end(None);
        self.channel.stop();
        self.freed.notify_one();
    }

    /// The next ask, as soon as there is room for it; none at the end. For one caller at a time.
    pub async fn next(self: &Arc<Self>) -> Option<Ask> {
        loop {
            while self.is_full() {
                self.freed.notified().await;
            }
            let item = poll_fn(|context| self.channel.poll_item(context, MAX_ASK)).await;
            let mut item = item?.ok()?;
            let size = item.len() as u64;
            let Some(rest) = item.len().checked_sub(HEAD + 1) else {
                continue;
            };
            if let (Some(number), Some(function)) = (item.take_array::<4>(), item.take_array::<4>())
                && let content = item.split_to(rest)
                && item.take_array::<1>() == Some([WHOLE])
            {
                let mut in_hand = self.lock();
                in_hand.count += 1;
                in_hand.bytes += size;
                return Some(Ask {
                    number: u32::from_be_bytes(number),
                    function: u32::from_be_bytes(function),
                    content,
                    held: Held {
                        asks: Arc::clone(self),
                        size,
                    },
                });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, InHand> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self) -> bool {
        let in_hand = self.lock();
        in_hand.count >= MAX_ASKS || in_hand.bytes > MAX_ASK
    }
}

/// One call of a function of this side. It is in hand until it is dropped.
#[derive(Debug)]
pub struct Ask {
    number: u32,
    function: u32,
    content: Segments,
    held: Held,
}

impl Ask {
    /// Whether the other side waits for an answer.
    pub fn is_waited_for(&self) -> bool {
        self.number != 0
    }

    /// The number of the function; 0 with functions that are given up.
    pub fn function(&self) -> u32 {
        self.function
    }

    /// The pickled arguments, or the numbers of the functions that are given up.
    pub fn content(&self) -> &Segments {
        &self.content
    }

    /// Takes the pickled arguments out.
    pub fn take_content(&mut self) -> Bytes {
        std::mem::take(&mut self.content).into_bytes()
    }

    /// Answers it, if it is waited for.
    pub async fn answer(self, outcome: Outcome, pickle: Segments) {
        if !self.is_waited_for() {
            return;
        }
        let mut head = BytesMut::with_capacity(5);
        head.put_u32(self.number);
        head.put_u8(u8::from(outcome == Outcome::Raised));
        let mut answer = Segments::from(head.freeze());
        answer.append(pickle);
        let channel = &self.held.asks.channel;
        // Where there is nobody any more to be told, there is nothing to be done.
        if channel.room().await.is_ok() {
            let _ = channel.send(answer);
        }
    }
}

/// What an ask takes of the room for asks.
#[derive(Debug)]
struct Held {
    asks: Arc<Asks>,
    size: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        {
            let mut in_hand = self.asks.lock();
            in_hand.count = in_hand.count.saturating_sub(1);
            in_hand.bytes = in_hand.bytes.saturating_sub(self.size);
        }
        self.asks.freed.notify_one();
    }
}
