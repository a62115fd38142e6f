//! The journal for onlookers: reads what is durable, whoever holds the state folder, and changes nothing.

use std::path::Path;

use super::error::JournalError;
use super::ledger::Counts;
use super::lock;
use super::reader::Reader;
use super::record::{FormerRun, PartRecord, PartState, Replayed, RunRecord, StoredQuestion};
use super::recovery;

/// A read-only view of a state folder's journal. Blocking. Each call sees what is durable when it is made.
///
/// Every call may fail with a read that the operating system refuses, and names damage with its place.
#[derive(Debug)]
pub struct JournalView {
    reader: Reader,
}

impl JournalView {
    /// Opens the journal of a state folder without holding the folder; none where there is no journal.
    ///
    /// # Errors
    /// Another version, or a database that is foreign or damaged, by name.
    pub fn open(folder: &Path) -> Result<Option<Self>, JournalError> {
        Ok(recovery::open_view(folder)?.map(|reader| Self { reader }))
    }

    /// The question that the state was made for.
    ///
    /// # Errors
    /// See [`JournalView`].
    pub fn question(&self) -> Result<Option<StoredQuestion>, JournalError> {
        self.reader.question()
    }

    /// The run that began last.
    ///
    /// # Errors
    /// See [`JournalView`].
    pub fn latest_run(&self) -> Result<Option<RunRecord>, JournalError> {
        self.reader.latest_run()
    }

    /// The latest run's credits. While a run is under way, what it has reserved and not yet seen the end of counts as
    /// possibly charged.
    ///
    /// # Errors
    /// See [`JournalView`].
    pub fn counts(&self) -> Result<Counts, JournalError> {
        Ok(self.reader.account()?.map(|(_, account)| account.counts()).unwrap_or_default())
    }

    /// Every part that the state knows, of all runs, ordered by path.
    ///
    /// # Errors
    /// See [`JournalView`].
    pub fn parts(&self) -> Result<Vec<(PartRecord, PartState)>, JournalError> {
        self.reader.parts()
    }

    /// The runs that began last, the latest first, at most so many.
    ///
    /// # Errors
    /// See [`JournalView`].
    pub fn runs(&self, most: usize) -> Result<Vec<FormerRun>, JournalError> {
        self.reader.runs(most)
    }

    /// Whether a process holds the state folder; none where the system does not tell.
    pub fn is_held(&self) -> Option<bool> {
        self.reader.file().parent().and_then(lock::is_held)
    }

    /// Like [`super::Journal::replay`].
    ///
    /// # Errors
    /// See [`JournalView`].
    pub fn replay(&self) -> Result<Vec<Replayed>, JournalError> {
        self.reader.replay()
    }

    /// What was learned under a name, by any run.
    ///
    /// # Errors
    /// See [`JournalView`].
    pub fn learned(&self, name: &str) -> Result<Option<String>, JournalError> {
        self.reader.learned(name)
    }

    /// How many pages hold a body.
    ///
    /// # Errors
    /// See [`JournalView`].
    pub fn held_pages(&self) -> Result<u64, JournalError> {
        self.reader.held_pages()
    }
}
