//! Going through a generator on another machine: its items come as they are made, and it is never far ahead.

use std::collections::VecDeque;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::Poll;

use serde::de::DeserializeOwned;

use super::Client;
use super::channel::Receiver;
use crate::error::Error;
use crate::pickle::Arguments;

/// How far a generator may be ahead of who reads, in bytes.
const WINDOW: u32 = 262_144;

type Pending = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// The items of a remote generator; see [`Client::stream`]. Dropped, it ends the generator.
pub struct RemoteStream<R> {
    receiver: Receiver<Vec<R>>,
    items: VecDeque<R>,
    /// None once it has ended.
    call: Option<Pending>,
    failure: Option<Error>,
    /// No more items come.
    ended: bool,
}

impl Client {
    /// Calls a function that gives a generator, or anything else that can be gone through, on a server thread of its own, and
    /// brings its items as they come. It begins with the first [`next`](RemoteStream::next), and is at most about 256 KiB of
    /// items ahead; a reader that stops stops it there.
    ///
    /// ```no_run
    /// # async fn f(client: easycluster::Client) -> Result<(), easycluster::Error> {
    /// client.define("def numbers():\n    for number in range(10**9):\n        yield number\n").await?;
    /// let mut numbers = client.stream::<u64>("numbers", ())?;
    /// while let Some(number) = numbers.next().await? {
    ///     if number > 100_000 {
    ///         break;
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Lost`] where the connection has ended.
    pub fn stream<R: DeserializeOwned + Send + 'static>(
        &self,
        name: &str,
        args: impl Arguments,
    ) -> Result<RemoteStream<R>, Error> {
        self.send_helper(&crate::stub::functions::STREAMS);
        let channel = self.channel::<(), Vec<R>>(Some(WINDOW))?;
        let call = self.call::<()>("helpers/streams.pour", (&channel, name, args.into_tuple()));
        let (_, receiver) = channel.split();
        Ok(RemoteStream {
            receiver,
            items: VecDeque::new(),
            call: Some(call.one_shot().into_future()),
            failure: None,
            ended: false,
        })
    }
}

impl<R: DeserializeOwned + Send + 'static> RemoteStream<R> {
    /// The next item; `None` at the end. May be dropped while it waits.
    ///
    /// # Errors
    /// [`Error::Remote`] with what the function or the generator raised, behind the items before it; else as of a call.
    pub async fn next(&mut self) -> Result<Option<R>, Error> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Ok(Some(item));
            }
            if self.ended {
                return self.failure.take().map_or(Ok(None), Err);
            }
            match self.batch().await {
                Ok(Some(items)) => self.items = items.into(),
                Ok(None) => {
                    self.ended = true;
                    self.settle().await;
                }
                Err(error) => {
                    self.ended = true;
                    self.settle().await;
                    self.failure.get_or_insert(error);
                }
            }
        }
    }

    /// What the channel brings next, while the call goes on.
    async fn batch(&mut self) -> Result<Option<Vec<R>>, Error> {
        let RemoteStream {
            receiver,
            call,
            failure,
            ..
        } = self;
        let mut next = std::pin::pin!(receiver.next());
        std::future::poll_fn(|context| {
            poll_call(call, failure, context);
            next.as_mut().poll(context)
        })
        .await
    }

    /// Waits for the end of the call, which says what was raised.
    async fn settle(&mut self) {
        std::future::poll_fn(|context| {
            poll_call(&mut self.call, &mut self.failure, context);
            match self.call {
                Some(_) => Poll::Pending,
                None => Poll::Ready(()),
            }
        })
        .await;
    }
}

fn poll_call(
    call: &mut Option<Pending>,
    failure: &mut Option<Error>,
    context: &mut std::task::Context<'_>,
) {
    if let Some(pending) = call
        && let Poll::Ready(outcome) = pending.as_mut().poll(context)
    {
        *call = None;
        *failure = outcome.err();
    }
}

impl<R> std::fmt::Debug for RemoteStream<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteStream")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
