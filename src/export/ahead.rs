//! The slice that comes next: its rows are read and made columns of while the one before it is being published. Nothing is written ahead,
//! and what was read ahead is worth nothing once a page has come to its seconds or gone from them.

use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::journal::{HeldIn, Journal};
use crate::sink::layout::Slice;
use crate::sink::part::{Parts, Piece};

use super::ExportError;
use super::stager::{Half, Stager, StagerGone};

/// A slice whose rows are on their way to the half that writes a file of them.
#[derive(Debug)]
pub(super) struct Decoding {
    slice: Slice,
    /// The pages that held its rows when it began.
    of: HeldIn,
    pub(super) pieces: Receiver<Piece>,
    pub(super) done: oneshot::Receiver<Result<(), ExportError>>,
}

impl Decoding {
    /// Begins to read the slice's rows. The thread that reads them is busy until they are taken, or this is dropped.
    ///
    /// # Errors
    /// The thread broke down.
    pub(super) fn begin(slice: Slice, journal: &Journal, stager: &Stager) -> Result<Self, StagerGone> {
        let (send, pieces) = mpsc::sync_channel(0);
        let of = journal.held_in(&slice.region, slice.range);
        let (journal, read) = (journal.clone(), slice.clone());
        let done = stager.begin(Half::Decoding, move || {
            let pages = journal.pages(&read.region, read.range)?;
            Parts::decode(&read, pages, send).map_err(ExportError::from)
        })?;
        Ok(Self { slice, of, pieces, done })
    }

    fn is_of(&self, slice: &Slice, journal: &Journal) -> bool {
        self.slice == *slice && self.of == journal.held_in(&slice.region, slice.range)
    }
}

/// What is read ahead, if anything is; one for all handles.
#[derive(Clone, Debug, Default)]
pub(super) struct Ahead(Arc<Mutex<Option<Decoding>>>);

impl Ahead {
    pub(super) fn put(&self, decoding: Decoding) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(decoding);
    }

    /// What was read ahead of this slice. What was read of another is given up: the thread that reads is free afterwards.
    pub(super) fn take(&self, slice: &Slice, journal: &Journal) -> Option<Decoding> {
        let ahead = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        ahead.filter(|ahead| ahead.is_of(slice, journal))
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
        let ahead = publisher.ahead.take(&slice(range(10, 20)), &publisher.journal);
        publisher.ahead.put(ahead.expect("what follows was read ahead"));
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
