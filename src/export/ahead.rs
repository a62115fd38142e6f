//! Slices are staged by two threads, one for each half of the work; and what comes next is begun while the slice before it is written and published, so
//! that neither half waits for the other. One file is written at a time, which bounds the memory.
//!
//! The invariant: what was staged ahead is taken only for the same slice with the same pages, so that it is what staging now would write. Whatever
//! is not taken is waited for and thrown away before anything else is staged: two threads never write one file. Once the disk has failed nothing
//! is written any more, since nothing that a later sync says of the same folder can be believed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use tokio::sync::{Mutex, oneshot};

use crate::journal::Journal;
use crate::journal::record::PartRecord;
use crate::sink::layout::Slice;
use crate::sink::part::{PartError, Parts};

use super::ExportError;
use super::stager::{Half, Stager, StagerGone};

/// What staging a slice gave: none where it holds no row.
type Staged = Result<Option<PartRecord>, ExportError>;

/// A slice on its way into the staging folder.
#[derive(Debug)]
struct Staging {
    slice: Slice,
    /// The pages that it was made of, by their sequence.
    pages: Vec<i64>,
    decoded: oneshot::Receiver<Result<(), ExportError>>,
    staged: oneshot::Receiver<Staged>,
}

impl Staging {
    /// Waits for both halves. Where the first has failed, the second has no more to tell.
    async fn end(self) -> Staged {
        self.decoded.await.map_err(|_| StagerGone)??;
        self.staged.await.map_err(|_| StagerGone)?
    }
}

/// Stages slices, one of them ahead of its turn. Cheap to clone; all clones share what is ahead.
#[derive(Clone, Debug)]
pub(super) struct Ahead {
    journal: Journal,
    parts: Parts,
    stager: Stager,
    next: Arc<Mutex<Option<Staging>>>,
    /// Whether a part could not be written. Files are written one after the other, on one thread.
    has_failed: Arc<AtomicBool>,
}

impl Ahead {
    pub(super) fn new(journal: Journal, parts: Parts, stager: Stager) -> Self {
        Self { journal, parts, stager, next: Arc::default(), has_failed: Arc::default() }
    }

    /// Stages a slice, and meanwhile the one that will be asked for next, if it is known.
    pub(super) async fn stage(&self, slice: &Slice, next: Option<Slice>) -> Staged {
        let current = match self.take(slice).await? {
            Some(ahead) => ahead,
            None => self.begin(slice)?,
        };
        if let Some(next) = next {
            *self.next.lock().await = Some(self.begin(&next)?);
        }
        current.end().await
    }

    fn begin(&self, slice: &Slice) -> Result<Staging, StagerGone> {
        let pages = self.journal.sequences_in(&slice.region, slice.range);
        let (send, receive) = mpsc::sync_channel(0);
        let (journal, of) = (self.journal.clone(), slice.clone());
        let decoded = self.stager.begin(Half::Decoding, move || {
            let pages = journal.pages(&of.region, of.range)?;
            Parts::decode(&of, pages, send).map_err(ExportError::from)
        })?;
        let (parts, of) = (self.parts.clone(), slice.clone());
        let has_failed = self.has_failed.clone();
        let encode = move || {
            if has_failed.load(Ordering::Relaxed) {
                return Err(ExportError::from(StagerGone));
            }
            let staged = parts.encode(&of, &receive);
            has_failed.fetch_or(staged.as_ref().is_err_and(is_of_the_disk), Ordering::Relaxed);
            staged.map_err(ExportError::from)
        };
        let staged = self.stager.begin(Half::Encoding, encode)?;
        Ok(Staging { slice: slice.clone(), pages, decoded, staged })
    }

    /// What was staged ahead, if it is this slice as it stands now.
    async fn take(&self, slice: &Slice) -> Result<Option<Staging>, ExportError> {
        let Some(ahead) = self.next.lock().await.take() else { return Ok(None) };
        if ahead.slice == *slice && ahead.pages == self.journal.sequences_in(&slice.region, slice.range) {
            return Ok(Some(ahead));
        }
        self.discard(ahead).await.map(|()| None)
    }

    /// Throws away what was staged ahead and never asked for.
    pub(super) async fn give_up(&self) -> Result<(), ExportError> {
        let ahead = self.next.lock().await.take();
        match ahead {
            Some(ahead) => self.discard(ahead).await,
            None => Ok(()),
        }
    }

    /// That its pages could not be read is no matter: whoever needs it stages it anew. What the disk failed at ends the run.
    async fn discard(&self, ahead: Staging) -> Result<(), ExportError> {
        let Staging { decoded, staged, .. } = ahead;
        // Both, since either may still be at work on the file.
        let (_decoded, staged) = (decoded.await, staged.await);
        match staged.map_err(|_| StagerGone)? {
            Ok(Some(part)) => Ok(self.parts.discard(&part).map_err(PartError::from)?),
            Err(error) if !matches!(error, ExportError::Part(PartError::Unfinished(_))) => Err(error),
            Ok(None) | Err(_) => Ok(()),
        }
    }
}

/// Whether writing failed, and not reading what was to be written.
fn is_of_the_disk(error: &PartError) -> bool {
    !matches!(error, PartError::Unfinished(_))
}
