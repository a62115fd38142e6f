//! The one thread that writes parts. Writing a part takes a row group's memory, and the system's allocator keeps such memory
//! for the thread that asked for it: on threads that come and go the same work would hold several times as much.

use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// A handle to the thread; it ends with its last handle.
#[derive(Clone, Debug)]
pub(super) struct Stager {
    jobs: mpsc::SyncSender<Job>,
}

/// The thread is gone: a job of its own must have broken down.
#[derive(Debug, thiserror::Error)]
#[error("the thread that writes parts broke down")]
pub struct StagerGone;

impl Stager {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(super) fn start() -> std::io::Result<Self> {
        // Parts are written one at a time, so there is nothing to queue.
        let (jobs, waiting) = mpsc::sync_channel::<Job>(1);
        thread::Builder::new().name("parts".to_owned()).spawn(move || waiting.into_iter().for_each(|job| job()))?;
        Ok(Self { jobs })
    }

    /// Does blocking work on the thread and waits for its result. A caller that goes away does not end the work.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StagerGone> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move || {
            // Whoever asked may have gone away; what was staged is then written again.
            let _ = answer.send(work());
        });
        self.jobs.try_send(job).map_err(|_| StagerGone)?;
        answered.await.map_err(|_| StagerGone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_on_one_thread_in_order() {
        let stager = Stager::start().unwrap();
        let first = stager.run(|| thread::current().id()).await.unwrap();
        let second = stager.clone().run(|| thread::current().id()).await.unwrap();
        assert_eq!(first, second);
        assert_ne!(first, thread::current().id());
    }

    #[tokio::test]
    async fn work_that_breaks_down_is_told() {
        let stager = Stager::start().unwrap();
        let broken = stager.run(|| panic!("on purpose")).await;
        assert!(broken.is_err());
    }
}
