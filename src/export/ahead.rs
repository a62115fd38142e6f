//! The slice that comes next: its rows are read, and made a file of in memory, while the one before it is being published. Nothing is written
//! ahead, and what was read ahead is worth nothing once a page has come to its seconds or gone from them.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::journal::record::PartRecord;
use crate::journal::{HeldIn, Journal};
use crate::sink::layout::Slice;
use crate::sink::part::Parts;
use crate::sink::staging::Leave;

use super::ExportError;
use super::stager::{Half, Stager, StagerGone};

/// A part on its way.
#[derive(Debug)]
pub(super) struct Begun {
    slice: Slice,
    parts: Parts,
    /// The pages that held its rows when it began.
    of: HeldIn,
    leave: Wanted,
    read: oneshot::Receiver<Result<(), ExportError>>,
    written: oneshot::Receiver<Result<Option<PartRecord>, ExportError>>,
}

/// Leave that is refused once nobody wants the part any more.
#[derive(Debug)]
struct Wanted(Leave);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.refuse();
    }
}

impl Begun {
    /// Begins to read the slice's rows and to make a file of them, which is written once it may be. The threads that do so are busy until then, or
    /// until this is dropped.
    ///
    /// # Errors
    /// A thread broke down.
    pub(super) fn new(
        (slice, leave): (Slice, Leave),
        parts: &Parts,
        journal: &Journal,
        stager: &Stager,
    ) -> Result<Self, StagerGone> {
        let (send, pieces) = mpsc::sync_channel(0);
        let of = journal.held_in(&slice.region, slice.range);
        let (pages, decoded) = (journal.clone(), slice.clone());
        let may_write = leave.clone();
        stager.goes_ahead(leave.clone());
        let read = stager.begin(Half::Decoding, move || {
            let pages = pages.pages(&decoded.region, decoded.range)?;
            Parts::decode(&decoded, pages, send).map_err(ExportError::from)
        })?;
        let (encoding, encoded) = (parts.clone(), slice.clone());
        let written = stager
            .begin(Half::Encoding, move || encoding.encode(&encoded, &pieces, may_write).map_err(ExportError::from))?;
        Ok(Self { slice, parts: parts.clone(), of, leave: Wanted(leave), read, written })
    }

    fn is_of(&self, slice: &Slice, parts: &Parts, journal: &Journal) -> bool {
        let same = self.slice == *slice && self.parts.stage_alike(parts);
        same && self.of == journal.held_in(&slice.region, slice.range)
    }

    /// Waits until it is staged; nothing where it has no rows.
    ///
    /// # Errors
    /// Where its rows cannot be read or written, or a thread broke down.
    pub(super) async fn staged(self) -> Result<Option<PartRecord>, ExportError> {
        // Where the first half has failed, the second has no more to tell.
        self.read.await.map_err(|_| StagerGone)??;
        self.written.await.map_err(|_| StagerGone)?
    }
}

/// What is read ahead, if anything is; one for all handles.
#[derive(Clone, Debug, Default)]
pub(super) struct Ahead(Arc<Mutex<Option<Begun>>>);

impl Ahead {
    pub(super) fn put(&self, begun: Begun) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
    }

    /// What was begun of this slice, and is now being written. What was begun of another is given up: the threads are free afterwards.
    pub(super) fn take(&self, slice: &Slice, parts: &Parts, journal: &Journal) -> Option<Begun> {
        let ahead = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        ahead.filter(|ahead| ahead.is_of(slice, parts, journal) && ahead.leave.0.give())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::fill::tests::{Scene, range, us};
    use crate::units::TimeRange;

    fn slice(range: TimeRange) -> Slice {
        Slice { region: us(), range, run: "r1".to_owned() }
    }

    #[tokio::test]
    async fn rows_that_were_read_ahead_make_the_same_part() {
        let mut scene = Scene::begin().await;
        scene.buy(&[1, 2, 11, 12]).await;
        let publisher = &scene.publisher;
        publisher.stage(&slice(range(0, 10)), Some(slice(range(10, 20)))).await.unwrap();
        let is_ahead = |begun: &Begun| begun.is_of(&slice(range(10, 20)), &publisher.parts, &publisher.journal);
        assert!(publisher.ahead.0.lock().unwrap().as_ref().is_some_and(is_ahead), "what follows was begun");
        let staged = publisher.output.staging().file("a");
        assert_eq!(std::fs::read_dir(staged.parent().unwrap()).unwrap().count(), 1, "and nothing of it written");
        let read_ahead = publisher.stage(&slice(range(10, 20)), None).await.unwrap().unwrap();
        assert_eq!(read_ahead.rows.get(), 2);
        let read_now = publisher.stage(&slice(range(10, 20)), None).await.unwrap().unwrap();
        assert_eq!(read_ahead, read_now);
    }

    #[tokio::test]
    async fn a_page_that_comes_to_seconds_that_were_read_ahead_is_in_their_part() {
        let mut scene = Scene::begin().await;
        scene.buy(&[1, 2, 11, 12]).await;
        scene.publisher.stage(&slice(range(0, 10)), Some(slice(range(10, 20)))).await.unwrap();
        scene.buy(&[12, 13]).await;
        let part = scene.publisher.stage(&slice(range(10, 20)), None).await.unwrap().unwrap();
        assert_eq!((part.rows.get(), part.duplicates), (3, 1));
    }

    #[tokio::test]
    async fn what_was_read_ahead_for_nothing_keeps_nobody_waiting() {
        let mut scene = Scene::begin().await;
        scene.buy(&[1, 2, 11, 12, 21]).await;
        let publisher = &scene.publisher;
        for _ in 0..5 {
            publisher.stage(&slice(range(0, 10)), Some(slice(range(20, 30)))).await.unwrap();
            let part = publisher.stage(&slice(range(10, 20)), Some(slice(range(20, 30)))).await.unwrap().unwrap();
            assert_eq!(part.rows.get(), 2);
        }
    }
}
