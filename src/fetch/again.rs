//! Waiting for leave to ask again: one queue for the failed pages of all workers, served as far as the budget goes.
//!
//! The invariant: leave is given in the order of asking, and never beyond the budget.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::retry::RetryBudget;

/// The one gate of all retries of a process.
#[derive(Debug, Default)]
pub(super) struct RetryGate {
    budget: Mutex<RetryBudget>,
    queue: tokio::sync::Mutex<()>,
    earned: Notify,
}

impl RetryGate {
    /// A page was answered.
    pub(super) fn answered(&self, now: Duration) {
        self.budget().answered(now);
        self.earned.notify_one();
    }

    /// Waits for leave, and says for how long it waited. `now` tells the time. Dropping the future gives its place up and
    /// nothing of the budget away.
    pub(super) async fn leave(&self, now: impl Fn() -> Duration) -> Duration {
        let began = now();
        let _turn = self.queue.lock().await;
        loop {
            let taken = self.budget().take(now());
            match taken {
                Ok(()) => return now().saturating_sub(began),
                Err(wait) => {
                    // Either ends the wait: the budget is asked again all the same.
                    let _earned_or_over = tokio::time::timeout(wait, self.earned.notified()).await;
                }
            }
        }
    }

    fn budget(&self) -> MutexGuard<'_, RetryBudget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
