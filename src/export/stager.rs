//! The two threads that write parts, one for each half of the work. Writing a part takes a row group's memory, and the system's allocator keeps
//! such memory for the thread that asked for it: on threads that come and go, or side by side, the same work would hold several times as much.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use crate::sink::staging::Leave;

type Job = Box<dyn FnOnce() + Send>;

/// Jobs that wait for a thread: of one slice and of the next, behind some that nobody waits for any more.
const QUEUE: usize = 4;

/// Which thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// The one that reads pages and makes columns of their rows.
    Decoding,
    /// The one that writes files, and whatever else takes a file's time.
    Encoding,
}

/// A handle to the threads; they end with its last handle.
#[derive(Clone, Debug)]
pub(super) struct Stager {
    decoding: mpsc::SyncSender<Job>,
    encoding: mpsc::SyncSender<Job>,
    /// What the last job that was begun ahead waits for.
    ahead: Arc<Mutex<Leave>>,
}

/// A thread is gone: a job of its own must have broken down.
#[derive(Debug, thiserror::Error)]
#[error("the thread that writes parts broke down")]
pub struct StagerGone;

impl Stager {
    /// Starts the threads.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(super) fn start() -> std::io::Result<Self> {
        Ok(Self { decoding: start("rows")?, encoding: start("parts")?, ahead: Arc::default() })
    }

    /// Notes what the next job of a part waits for. One part is made ahead at a time, so the one before it is not wanted any more, unless it
    /// may be written already.
    pub(super) fn goes_ahead(&self, leave: Leave) {
        std::mem::replace(&mut *self.ahead.lock().unwrap_or_else(PoisonError::into_inner), leave).refuse();
    }

    /// Does blocking work on the thread that writes and waits for its result. A caller that goes away does not end the work; what was begun
    /// ahead gives way.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StagerGone> {
        self.goes_ahead(Leave::default());
        self.begin(Half::Encoding, work)?.await.map_err(|_| StagerGone)
    }

    /// The same without waiting: the result comes by the channel, which fails where the work broke down.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        half: Half,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, StagerGone> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move || {
            // Whoever asked may have gone away; what was staged is then written again.
            let _ = answer.send(work());
        });
        let jobs = if half == Half::Decoding { &self.decoding } else { &self.encoding };
        jobs.try_send(job).map_err(|_| StagerGone)?;
        Ok(answered)
    }
}

fn start(name: &str) -> std::io::Result<mpsc::SyncSender<Job>> {
    let (jobs, waiting) = mpsc::sync_channel::<Job>(QUEUE);
    thread::Builder::new().name(name.to_owned()).spawn(move || waiting.into_iter().for_each(|job| job()))?;
    Ok(jobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_work_of_each_half_is_done_on_one_thread_in_order() {
        let stager = Stager::start().unwrap();
        let first = stager.run(|| thread::current().id()).await.unwrap();
        let second = stager.clone().run(|| thread::current().id()).await.unwrap();
        assert_eq!(first, second);
        assert_ne!(first, thread::current().id());
        let other = stager.begin(Half::Decoding, || thread::current().id()).unwrap().await.unwrap();
        assert!(other != first && other != thread::current().id());
    }

    #[tokio::test]
    async fn two_halves_run_side_by_side() {
        let stager = Stager::start().unwrap();
        let (here, there) = (mpsc::sync_channel::<()>(0), mpsc::sync_channel::<()>(0));
        // Each waits for the other: one after the other neither would end.
        let first = stager.begin(Half::Decoding, move || (here.0.send(()), there.1.recv())).unwrap();
        let second = stager.begin(Half::Encoding, move || (here.1.recv(), there.0.send(()))).unwrap();
        assert!(matches!(first.await.unwrap(), (Ok(()), Ok(()))));
        assert!(matches!(second.await.unwrap(), (Ok(()), Ok(()))));
    }

    #[tokio::test]
    async fn what_was_begun_ahead_gives_way_to_what_is_to_be_done() {
        let stager = Stager::start().unwrap();
        let begun = || {
            let leave = Leave::default();
            stager.goes_ahead(leave.clone());
            leave
        };
        let ahead = begun();
        assert_eq!(stager.run(|| 7).await.unwrap(), 7);
        assert!(ahead.is_refused(), "it would hold the thread");
        let (former, next, last) = (begun(), begun(), begun());
        assert!(former.is_refused() && next.is_refused());
        assert!(last.give());
        stager.run(|| ()).await.unwrap();
        assert!(!last.is_refused());
    }

    #[tokio::test]
    async fn work_that_breaks_down_is_told() {
        let stager = Stager::start().unwrap();
        let broken = stager.run(|| panic!("on purpose")).await;
        assert!(broken.is_err());
    }
}
