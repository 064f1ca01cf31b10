//! The opening of a channel, which goes on when its caller has given up: what comes of it is closed then, so that it does not count against MaxSessions.

use std::future::Future;
use std::sync::Arc;

use russh::client::Msg;
use russh::{Channel, ChannelWriteHalf};
use tokio::runtime::Handle as Runtime;
use tokio::sync::oneshot;

use crate::transport::ssh::channel::queue::Outlet;
use crate::transport::ssh::handler::Shared;

/// A channel that the server has confirmed and that is not used yet. Dropping it closes nothing.
pub(crate) struct Confirmed {
    pub(crate) write: ChannelWriteHalf<Msg>,
    pub(crate) outlet: Outlet,
}

impl Confirmed {
    /// Closes it.
    pub(crate) async fn discard(self, shared: &Shared) {
        shared.forget(self.write.id());
        // An error says that the connection is over, and the channel with it.
        _ = self.write.close().await;
    }
}

/// The answer to a request for a channel, which may still be on its way.
pub(crate) struct Opening {
    answer: oneshot::Receiver<Result<Confirmed, russh::Error>>,
    runtime: Runtime,
    shared: Arc<Shared>,
}

impl Opening {
    /// Runs the request in a task of its own.
    pub(crate) fn spawn(
        runtime: &Runtime,
        shared: &Arc<Shared>,
        request: impl Future<Output = Result<Channel<Msg>, russh::Error>> + Send + 'static,
    ) -> Opening {
        let (sender, receiver) = oneshot::channel();
        let opening = Opening {
            answer: receiver,
            runtime: runtime.clone(),
            shared: Arc::clone(shared),
        };
        let shared = Arc::clone(shared);
        runtime.spawn(async move {
            let opened = request.await.map(|channel| {
                // Without the read half russh hands the data to the handler alone, and the queue is ours.
                let (_, write) = channel.split();
                let outlet = shared.claim(write.id());
                Confirmed { write, outlet }
            });
            if let Err(Ok(unwanted)) = sender.send(opened) {
                unwanted.discard(&shared).await;
            }
        });
        opening
    }

    /// Waits for the server's answer.
    pub(crate) async fn answer(mut self) -> Result<Confirmed, russh::Error> {
        let answer = (&mut self.answer).await;
        answer.unwrap_or(Err(russh::Error::Disconnect))
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.answer.close();
        // It was given up between the coming of the answer and the taking of it.
        if let Ok(Ok(unwanted)) = self.answer.try_recv() {
            let shared = Arc::clone(&self.shared);
            self.runtime
                .spawn(async move { unwanted.discard(&shared).await });
        }
    }
}
