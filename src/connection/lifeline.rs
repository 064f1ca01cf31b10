//! Whether anybody is left at the other end of a pipe whose remote process has ended.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::driver::END_GRACE;
use super::shared::Shared;

/// A process that remote code has forked keeps the pipe open when the stub has ended, and would keep everybody waiting. A launcher
/// that has ended before the stub is no reason to end: the stub answers.
#[derive(Default)]
pub(super) struct Lifeline {
    asking: Option<JoinHandle<bool>>,
    /// Something has come since it was asked.
    heard: bool,
}

impl Lifeline {
    /// The process has ended: asks the stub whether it is there all the same.
    pub(super) fn ask(&mut self, shared: &Arc<Shared>) {
        self.heard = false;
        let shared = Arc::clone(shared);
        let asking = async move { timeout(END_GRACE, shared.ping()).await.is_ok() };
        self.asking = Some(tokio::spawn(asking));
    }

    /// Something came.
    pub(super) fn heard(&mut self) {
        self.heard = true;
    }

    /// Waits until nobody has answered, and nothing has come either. For ever if nothing was asked, or the stub has answered.
    pub(super) async fn cut(&mut self, shared: &Arc<Shared>) {
        loop {
            let Some(task) = &mut self.asking else {
                return std::future::pending().await;
            };
            let answered = task.await.unwrap_or(true);
            self.asking = None;
            if !answered {
                if !self.heard {
                    return;
                }
                // What was on its way when the process ended is still coming.
                self.ask(shared);
            }
        }
    }
}
