//! A state that is kept in a bucket: a copy of the journal, as segments that are only ever added, under a lease.
//!
//! A run works on a journal in a folder of this machine, as ever. What it commits is shipped from there: after so many requests, after so long,
//! and before anything is published that rests on it. A start elsewhere makes the journal anew from the segments, and goes on.
//!
//! ```text
//! STATE/state.json                        the head: who holds the state, and which segments it is made of; replaced on a condition
//! STATE/segments/00000003-00000041.seg    what the journal had committed: by the third holder, the 42nd since the first
//! STATE/held/data,query_region=US,….parquet   a part that waits for the end of its run, of an output in a bucket; beyond 8 MiB it goes on in …,1
//! ```
//!
//! The head is the one thing that is ever replaced, and only by who has read it as it stands. So a segment counts once the head
//! names it, and what a holder of before still puts counts for nothing.
//!
//! *The lease.* The holder replaces the head at least once in an interval; each time says a number that is larger. It sends nothing from
//! two intervals after it began the last replacement that succeeded. Whoever wants the state reads the head, and takes it
//! over once it has not changed for three intervals; by its own monotonic clock, so that no two clocks are compared. The last replacement was
//! begun before it could be read, so between the last request of the one and the first of the other there is an interval. A
//! request's connection is opened within half of one.
//!
//! *What may be lost* is bounded by the ledger: the copy reserves `requests_at_risk` more than it knows of, and nothing is sent beyond. So
//! `max_credits` holds, and no more pages are bought again.

mod head;
mod keeper;
mod lease;
mod place;
mod segment;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::journal::record::{PartRecord, PartState};
use crate::journal::{Journal, JournalError, JournalView, Lapse, Shipping};
use crate::sink::address::{Address, BucketAddress};
use crate::sink::staging::{Names, Staging, StagingError};
use crate::sink::store::StoreError;

pub use head::{GRACE, Head, Holder};
use keeper::{Ask, Keeper};
use place::Place;

/// Where a state is kept, and on what terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Away {
    /// The bucket, and what the names of its objects begin with.
    pub address: BucketAddress,
    /// Requests that may be sent beyond what the bucket knows of, at least 1: no more pages are bought again once this machine's disk is lost.
    pub requests_at_risk: u64,
    /// How long something that was committed may wait before it is shipped.
    pub ship_every: Duration,
    /// How often the lease is renewed.
    pub lease_interval: Duration,
}

impl Away {
    /// The state's address, for a person.
    pub fn told(&self) -> String {
        Address::Bucket(self.address.clone()).to_string()
    }
}

/// Why a state in a bucket could not be worked on.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The bucket.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal that is made of the segments.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The folder in which the run works.
    #[error(transparent)]
    Disk(#[from] StagingError),
    /// Another run holds the state, or was faster.
    #[error("the state {state} is held by another run: {holder}")]
    Held {
        /// The state's address.
        state: String,
        /// Who holds it.
        holder: String,
        /// How long a lease lasts that is not renewed.
        lasts: Duration,
    },
    /// The head is none that this program writes.
    #[error("reading {file}: {why}")]
    Head {
        /// The head's address.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A segment is not what was written.
    #[error("reading {file}: {why}")]
    Segment {
        /// The segment's address.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The lease is over.
    #[error(transparent)]
    Lapsed(#[from] Lapse),
    /// What was committed last could not be shipped.
    #[error(
        "the state {state} could not be put away within {seconds} s; what it does not know is read again by the next start"
    )]
    Late {
        /// The state's address.
        state: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The system gives no thread.
    #[error("starting the thread that renews the lease of {state}: {source}")]
    Thread {
        /// The state's address.
        state: String,
        /// Why.
        source: std::io::Error,
    },
}

impl ReplicaError {
    /// Whether nothing can be gone on from what is kept there.
    pub const fn is_about_a_bad_state(&self) -> bool {
        match self {
            Self::Head { .. } | Self::Segment { .. } => true,
            Self::Journal(error) => error.is_about_a_bad_state(),
            _ => false,
        }
    }
}

/// A state in a bucket, held by this process. Dropped without [`Replica::finish`], its lease runs out by itself.
#[derive(Debug)]
pub struct Replica {
    place: Place,
    folder: PathBuf,
    shipping: Arc<Shipping>,
    asks: tokio::sync::mpsc::Sender<Ask>,
}

/// What becomes of the state that is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// It is gone on with.
    AsFound,
    /// It is left aside, and one that is empty begins.
    Empty,
}

impl Replica {
    /// Takes the lease, and makes the journal anew in a folder of this machine, whose files give way.
    ///
    /// # Errors
    /// [`ReplicaError::Held`] where another process renews its lease; a state that is damaged; a store that keeps no condition, or fails.
    pub async fn open(away: &Away, folder: &Path, beginning: Beginning) -> Result<Self, ReplicaError> {
        Self::open_at(Place::open(&away.address)?, away, folder, beginning).await
    }

    async fn open_at(place: Place, away: &Away, folder: &Path, beginning: Beginning) -> Result<Self, ReplicaError> {
        place.require_conditions().await?;
        let taken = lease::take(&place, away.lease_interval, beginning).await?;
        let head = taken.head.clone();
        // From here on the lease is renewed, however long it takes to restore.
        let (keeper, shipping, asks) = Keeper::new(&place, away, taken);
        keeper.start()?;
        let replica = Self { place, folder: folder.to_owned(), shipping, asks };
        match replica.restore(&head).await {
            Ok(()) => {
                replica.place.remove_segments_but(&head.kept()).await;
                Ok(replica)
            }
            Err(error) => {
                // Nobody need wait for a lease of a process that has ended.
                let _it_runs_out_by_itself = replica.finish().await;
                Err(error)
            }
        }
    }

    async fn restore(&self, head: &Head) -> Result<(), ReplicaError> {
        self.place.restore(head, &self.folder).await?;
        let staging = Staging::at(&self.folder).naming(Names::ByContent);
        staging.make()?;
        staging.discard_but(&[])?;
        for part in held_parts(&self.folder)? {
            self.place.fetch_held(&part.path, part.bytes, &staging.file(&part.path)).await?;
        }
        Ok(())
    }

    /// What the journal in the folder is opened with.
    pub fn shipping(&self) -> Arc<Shipping> {
        Arc::clone(&self.shipping)
    }

    /// Ships what this journal commits from now on.
    pub async fn attach(&self, journal: &Journal) {
        // A keeper that has ended has said so to the journal.
        let _gone = self.asks.send(Ask::Attach(journal.clone())).await;
    }

    /// Keeps a copy of a part that waits for the end of its run, and is on this machine's disk alone.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn keep(&self, path: &str, file: &Path) -> Result<(), ReplicaError> {
        self.place.keep_held(path, file).await
    }

    /// Ships what is left, and lets others hold the state.
    ///
    /// # Errors
    /// Where that could not be done: what is not there is read again, and others wait until the lease has run out.
    pub async fn finish(&self) -> Result<(), ReplicaError> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let state = self.place.told();
        let is_asked = self.asks.send(Ask::Finish(answer)).await.is_ok();
        let finished = if is_asked { answered.await.ok() } else { None };
        finished.unwrap_or(Err(Lapse::Released { state }.into()))
    }

    /// Removes copies of parts that wait no more, and the folder of this machine, once the journal is put away. What stays is removed by the next
    /// start.
    pub async fn tidy(&self) {
        if let Ok(held) = held_parts(&self.folder) {
            self.place.remove_held_but(&held).await;
        }
        let _left_over = std::fs::remove_dir_all(&self.folder);
    }
}

/// Parts that wait in a state for the end of their run, and that cannot be made again from its pages.
fn held_parts(folder: &Path) -> Result<Vec<PartRecord>, JournalError> {
    let Some(view) = JournalView::open(folder)? else { return Ok(Vec::new()) };
    let held = view.parts()?.into_iter().filter(|(part, state)| *state == PartState::Held && !part.carried);
    Ok(held.map(|(part, _)| part).collect())
}

/// Makes the journal of a state in a folder of this machine, to be looked at, whoever holds the state; gives who that is. None where there
/// is no state.
///
/// # Errors
/// A state that is damaged; a store that fails.
pub async fn look(address: &BucketAddress, folder: &Path) -> Result<Option<Head>, ReplicaError> {
    look_at(&Place::open(address)?, folder).await
}

async fn look_at(place: &Place, folder: &Path) -> Result<Option<Head>, ReplicaError> {
    // What is read may be replaced meanwhile by the whole of it.
    for look in 1.. {
        let Some((head, _)) = place.head().await? else { return Ok(None) };
        match place.restore(&head, folder).await {
            Err(_) if look < 3 && place.head().await?.is_some_and(|(now, _)| now.spans != head.spans) => {}
            restored => return restored.map(|()| Some(head)),
        }
    }
    Ok(None)
}
