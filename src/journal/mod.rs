//! What was paid for: the durable record of a run.
//!
//! The journal answers after the commit is synced, so whoever waits for an answer may rely on it after any crash. One thread
//! writes (`writer`); what arrives together shares a transaction. Everything else only reads. The journal knows pages, parts
//! and credits; what the planner decides is text to it. The tables are drawn in `schema`.
//!
//! Invariants: a page is bought once; nothing is sent that a durable reservation does not hold; pages and events have one
//! order; after the first failure of the disk nothing is believed any more; damage is named with its place, never guessed.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::{mpsc, oneshot};

mod attempt;
mod ballast;
mod book;
mod bought;
mod changes;
mod codec;
mod error;
mod held;
mod job;
pub mod kept;
mod ledger;
mod lock;
mod mark;
mod pages;
mod reader;
pub mod record;
mod recovery;
mod schema;
mod shared;
mod shipping;
mod tables;
#[cfg(test)]
mod tests;
mod unplaced;
mod view;
mod writer;

pub use attempt::Attempt;
pub use changes::Extent;
pub use error::{JournalError, Lapse, LedgerError, NoPiece};
pub use held::HeldIn;
pub use ledger::{AttemptEnd, Counts, Ledger, Limits};
pub use pages::{PageReader, RejectedReader};
pub use recovery::restore;
pub use schema::{MORE_PAGES, VERSION};
pub use shipping::{Changes, Deadline, Lease, Shipping};
pub use unplaced::{Shown, ShownSince};
pub use view::JournalView;

use crate::api::contract::Region;
use crate::units::{EpochSeconds, RowCount, TimeRange};
use job::{Forerunner, Job, PartStep, Request};
use reader::Reader;
use record::{Change, NewPage, NewRun, PartRecord, PartState, Replayed, RunOutcome, RunRecord, StoredQuestion, Upkeep};
use shared::Shared;
use writer::Writer;

/// A handle to the open journal of one state folder. Cheap to clone; all clones share one writer.
///
/// Functions that wait are durable when they return. They are cancel safe in this sense: a call that is dropped while it waits
/// may still be carried out. Functions that do not wait read the database and block for as long as that takes.
///
/// Every call may fail with [`JournalError::Stopped`] or [`JournalError::DiskFull`] after trouble with the disk, and with
/// [`JournalError::Closed`] after [`Journal::close`].
#[derive(Clone, Debug)]
pub struct Journal {
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
    reader: Arc<Mutex<Reader>>,
}

impl Journal {
    /// Opens the journal of a state folder and holds the folder until the journal is closed. Makes what is missing, and
    /// checks what is there. Blocking; a large journal takes seconds to check.
    ///
    /// # Errors
    /// [`JournalError::Locked`] when another run holds the folder; another version, a foreign or damaged database by name;
    /// whatever the operating system refuses.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        Self::open_as(folder, None)
    }

    /// The same of a journal of which a copy is kept elsewhere: what it commits is noted, for [`Journal::changes`], and nothing is
    /// reserved before the copy knows of it.
    ///
    /// # Errors
    /// Those of [`Journal::open`].
    pub fn open_shipped(folder: &Path, shipping: Arc<Shipping>) -> Result<Self, JournalError> {
        Self::open_as(folder, Some(shipping))
    }

    /// Refuses a folder that another process holds, and takes nothing.
    ///
    /// # Errors
    /// [`JournalError::Locked`].
    pub fn refuse_held(folder: &Path) -> Result<(), JournalError> {
        match lock::is_held(folder) {
            Some(true) => Err(JournalError::Locked { folder: folder.to_owned() }),
            _ => Ok(()),
        }
    }

    fn open_as(folder: &Path, shipping: Option<Arc<Shipping>>) -> Result<Self, JournalError> {
        let mut opened = recovery::open(folder)?;
        let shared = Arc::new(Shared::new(&mut opened, shipping));
        let reader = Arc::new(Mutex::new(recovery::open_reader(&shared.file)?));
        let (requests, queue) = mpsc::channel(writer::QUEUE);
        let writer = Writer::new(opened, shared.clone(), queue)?;
        let spawned = thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run());
        spawned.map_err(JournalError::file("starting the writer of", &shared.file))?;
        Ok(Self { requests, shared, reader })
    }

    /// The question that the state was made for.
    ///
    /// # Errors
    /// A failed read, or damage.
    pub fn question(&self) -> Result<Option<StoredQuestion>, JournalError> {
        self.reader().question()
    }

    /// Keeps the question; the same one again changes nothing.
    ///
    /// # Errors
    /// [`JournalError::OtherQuestion`] when the state was made for another.
    pub async fn remember_question(&self, question: StoredQuestion) -> Result<(), JournalError> {
        self.ask(Job::Question(question)).await.map(drop)
    }

    /// Keeps the question in place of the one that is there: the output that the state belongs to is laid out anew.
    ///
    /// # Errors
    /// Only those that every call may have.
    pub async fn replace_question(&self, question: StoredQuestion) -> Result<(), JournalError> {
        self.ask(Job::QuestionAnew(question)).await.map(drop)
    }

    /// The run that began last.
    ///
    /// # Errors
    /// A failed read, or damage.
    pub fn latest_run(&self) -> Result<Option<RunRecord>, JournalError> {
        self.reader().latest_run()
    }

    /// Begins a run, and forgets pages, events and rejected rows of the one before. Parts and what was learned stay.
    ///
    /// # Errors
    /// [`JournalError::RunUnfinished`] while the latest run has no outcome; [`JournalError::RunExists`].
    pub async fn begin_run(&self, run: NewRun) -> Result<RunRecord, JournalError> {
        self.begin(run, Forerunner::HasEnded).await
    }

    /// The same, but a latest run that is unfinished is given up in the same transaction: there is no moment at which it has
    /// ended and its successor has not begun.
    ///
    /// # Errors
    /// [`JournalError::RunExists`].
    pub async fn begin_run_anew(&self, run: NewRun) -> Result<RunRecord, JournalError> {
        self.begin(run, Forerunner::IsGivenUp).await
    }

    async fn begin(&self, run: NewRun, forerunner: Forerunner) -> Result<RunRecord, JournalError> {
        self.ask(Job::BeginRun { run: run.clone(), forerunner }).await?;
        Ok(RunRecord { begun: run, outcome: None, spent_at: None })
    }

    /// Records how the latest run ended, and gives back what its ledger reserved and did not send. May be called again, with
    /// another outcome, after an incomplete run went on.
    ///
    /// # Errors
    /// [`JournalError::UnknownRun`] when `run` is not the latest.
    pub async fn finish_run(&self, run: &str, outcome: RunOutcome) -> Result<(), JournalError> {
        self.ask(Job::FinishRun { run: run.to_owned(), outcome }).await.map(drop)
    }

    /// Keeps a page of the current run and, in the same transaction, the end of the attempt that brought it. Returns the
    /// page's sequence. Its rejected rows are kept once a run and region.
    ///
    /// # Errors
    /// [`JournalError::BoughtTwice`] when the run holds a page of that address; [`JournalError::NoRun`].
    pub async fn commit_page(&self, page: NewPage, attempt: Attempt) -> Result<i64, JournalError> {
        self.ask(Job::Page { page: Box::new(page), attempt: Some(attempt) }).await
    }

    /// Forgets rejected rows, by their numbers: they came in their own place too, and are delivered.
    ///
    /// # Errors
    /// Only those that every call may have.
    pub async fn forget_rejected(&self, numbers: Vec<i64>) -> Result<(), JournalError> {
        self.ask(Job::ForgetRejected(numbers)).await.map(|_| ())
    }

    /// Keeps decisions in their order, and closes windows, whose pages are replayed no more; all in one transaction. Returns
    /// the sequence of the last entry of the journal.
    ///
    /// # Errors
    /// [`JournalError::NoRun`].
    pub async fn commit_events(&self, events: Vec<String>, upkeep: Upkeep) -> Result<i64, JournalError> {
        self.ask(Job::Events { events, upkeep }).await
    }

    /// The current run's decisions and pages in the order in which they became durable; pages of closed windows are left out.
    ///
    /// # Errors
    /// A failed read, or damage.
    pub fn replay(&self) -> Result<Vec<Replayed>, JournalError> {
        self.reader().replay()
    }

    /// Reads the held pages of a region whose span meets `range`, on a connection of its own: see [`PageReader`].
    ///
    /// # Errors
    /// A connection that cannot be opened.
    pub fn pages(&self, region: &Region, range: TimeRange) -> Result<PageReader, JournalError> {
        PageReader::new(recovery::open_reader(&self.shared.file)?, self.shared.clone(), (region.clone(), range))
    }

    /// The same of late pages alone: those that came of time whose rows had been taken.
    ///
    /// # Errors
    /// A connection that cannot be opened.
    pub fn late_pages(&self, region: &Region, range: TimeRange) -> Result<PageReader, JournalError> {
        self.pages(region, range).map(PageReader::of_late_pages)
    }

    /// What holds the rows of a region's seconds by now: see [`HeldIn`].
    pub fn held_in(&self, region: &Region, range: TimeRange) -> HeldIn {
        self.shared.held().of(region, range)
    }

    /// The rows of a region are about to be read back up to a moment. Pages of that time that are held by now are released once they are not wanted
    /// any more; what comes from here on is late, and stays until [`Journal::take_late`].
    pub fn take_up_to(&self, region: &Region, until: EpochSeconds) {
        self.shared.held().take_up_to(region, until);
    }

    /// The pages of these seconds that are held are late too: nobody has read them back.
    pub fn owe(&self, region: &Region, range: TimeRange) {
        self.shared.held().owe(region, range);
    }

    /// Late pages that lie within these seconds are about to be read back.
    pub fn take_late(&self, region: &Region, range: TimeRange) {
        self.shared.held().take_late(region, range);
    }

    /// Row slots on the held pages of a region whose span begins in `range`: about the rows of that range. A page counts in one
    /// range only, however far it reaches: else pages that repeat each other would fill any range, were it a second long.
    ///
    /// # Errors
    /// A failed read.
    pub fn count_rows(&self, region: &Region, range: TimeRange) -> Result<RowCount, JournalError> {
        Ok(RowCount::new(self.shared.held().rows(region, range)))
    }

    /// The first second of `range` that a held page of the region stands for; none where no page does, so that the range is
    /// known to hold no row that was read.
    ///
    /// # Errors
    /// A failed read.
    pub fn first_held(&self, region: &Region, range: TimeRange) -> Result<Option<EpochSeconds>, JournalError> {
        Ok(self.shared.held().first(region, range))
    }

    /// Drops the bodies of the region's pages whose span ends at or before `below`, but for late ones, and returns how many. Their facts stay.
    /// Done in pieces, so that pages in flight do not wait for long; a piece that was done stays done.
    ///
    /// # Errors
    /// Only those that every call may have.
    pub async fn release_bodies(&self, region: &Region, below: EpochSeconds) -> Result<u64, JournalError> {
        let mut released = 0;
        loop {
            let piece = self.ask(Job::Release { region: region.clone(), below }).await?;
            released += u64::try_from(piece).unwrap_or(0);
            if piece < tables::RELEASE_AT_ONCE as i64 && !self.shared.held().is_ripe() {
                return Ok(released);
            }
        }
    }

    /// Reads every held answer of a region and compares it with its checksum, so that damage is found before anything more
    /// is bought. Blocking; a journal that holds many answers takes seconds.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] at the first answer that is not what was written.
    pub fn check_pages(&self, region: &Region) -> Result<(), JournalError> {
        let whole = TimeRange::new(EpochSeconds::new(i64::MIN), EpochSeconds::new(i64::MAX));
        self.pages(region, whole)?.try_for_each(|page| page.map(drop))
    }

    /// How many pages hold a body.
    pub fn held_pages(&self) -> u64 {
        self.shared.held().pages()
    }

    /// Records a part that lies, written and synced, under its staging name. Again for the same path replaces the record.
    ///
    /// # Errors
    /// [`JournalError::PartState`] when a part of that path is published.
    pub async fn prepare_part(&self, part: PartRecord) -> Result<(), JournalError> {
        self.part(PartStep::Prepare(Box::new(part))).await
    }

    /// The same, where a part of the same path may be published already: this one takes its place once it is revealed.
    ///
    /// # Errors
    /// Only those that every call may have.
    pub async fn replace_part(&self, part: PartRecord) -> Result<(), JournalError> {
        self.part(PartStep::Replace(Box::new(part))).await
    }

    /// Makes several things durable together.
    ///
    /// # Errors
    /// [`JournalError::PartState`], [`JournalError::UnknownRun`] or [`JournalError::NoRun`]; nothing is changed then.
    pub async fn commit_change(&self, change: Change) -> Result<(), JournalError> {
        self.ask(Job::Change(change)).await.map(drop)
    }

    /// Records a part that lies, written and synced, under its staging name, and stays there until its run ends.
    ///
    /// # Errors
    /// [`JournalError::PartState`] when a part of that path is published.
    pub async fn hold_part(&self, part: PartRecord) -> Result<(), JournalError> {
        self.part(PartStep::Hold(Box::new(part))).await
    }

    /// The same, where a part of the same path may be published already: this one takes its place when the run ends.
    ///
    /// # Errors
    /// Only those that every call may have.
    pub async fn hold_part_again(&self, part: PartRecord) -> Result<(), JournalError> {
        self.part(PartStep::HoldAgain(Box::new(part))).await
    }

    /// Tells when the start began that used the latest run's credits up, or that none did.
    ///
    /// # Errors
    /// Only those that every call may have.
    pub async fn tell_spent(&self, run: &str, at: Option<EpochSeconds>) -> Result<(), JournalError> {
        self.ask(Job::Spent { run: run.to_owned(), at }).await.map(drop)
    }

    /// Forgets a part that never came to be, or one that was superseded and is gone; one that is unknown is forgotten already.
    ///
    /// # Errors
    /// [`JournalError::PartState`] when it is published.
    pub async fn forget_part(&self, path: &str) -> Result<(), JournalError> {
        self.part(PartStep::Forget(path.to_owned())).await
    }

    /// Forgets a part, whatever it was: its output is gone.
    ///
    /// # Errors
    /// Only those that every call may have.
    pub async fn give_part_up(&self, path: &str) -> Result<(), JournalError> {
        self.part(PartStep::GiveUp(path.to_owned())).await
    }

    /// Records that a prepared part lies under its final name; again changes nothing.
    ///
    /// # Errors
    /// [`JournalError::PartState`] when it is unknown or superseded.
    pub async fn publish_part(&self, path: &str) -> Result<(), JournalError> {
        self.part(PartStep::Publish(path.to_owned())).await
    }

    /// Records that a published part was replaced; again changes nothing.
    ///
    /// # Errors
    /// [`JournalError::PartState`] when it is unknown or only prepared.
    #[cfg(test)]
    pub async fn supersede_part(&self, path: &str) -> Result<(), JournalError> {
        self.part(PartStep::Supersede(path.to_owned())).await
    }

    /// Every part that the state knows, of all runs, ordered by path.
    ///
    /// # Errors
    /// A failed read, or damage.
    pub fn parts(&self) -> Result<Vec<(PartRecord, PartState)>, JournalError> {
        self.reader().parts()
    }

    /// Rows of the current run's pages that lie outside what was asked, and those that name another region as their own. Blocking.
    ///
    /// # Errors
    /// A failed read.
    pub fn rows_astray(&self) -> Result<(u64, u64), JournalError> {
        self.reader().rows_astray()
    }

    /// Reads the rejected rows of a run, which must be the current one to have any.
    ///
    /// # Errors
    /// A connection that cannot be opened.
    pub fn rejected(&self, run: &str) -> Result<RejectedReader, JournalError> {
        Ok(RejectedReader::new(recovery::open_reader(&self.shared.file)?, run))
    }

    /// The current run's pages of which rows could not be placed and whose seconds another page has shown since. Blocking.
    ///
    /// # Errors
    /// A failed read.
    pub fn shown_since(&self) -> Result<Shown, JournalError> {
        self.reader().shown_since()
    }

    /// Keeps something learned of the service under a name, in place of what it held.
    ///
    /// # Errors
    /// Only those that every call may have.
    pub async fn learn(&self, name: &str, json: &str) -> Result<(), JournalError> {
        self.ask(Job::Learn { name: name.to_owned(), json: json.to_owned() }).await.map(drop)
    }

    /// What was learned under a name, by any run.
    ///
    /// # Errors
    /// A failed read.
    pub fn learned(&self, name: &str) -> Result<Option<String>, JournalError> {
        self.reader().learned(name)
    }

    /// The credit ledger of the current run, under these limits from now on.
    ///
    /// # Errors
    /// [`JournalError::NoRun`].
    pub fn ledger(&self, limits: Limits) -> Result<Ledger, JournalError> {
        let book = self.shared.book().ok_or(JournalError::NoRun)?;
        book.lock().limit(limits);
        Ok(Ledger::new(book, self.requests.clone(), self.shared.shipping.clone()))
    }

    /// Waits until the copy that is kept elsewhere knows everything that is durable at this moment; at once where there is none.
    ///
    /// # Errors
    /// [`JournalError::Lapsed`] where it never will.
    pub async fn shipped(&self) -> Result<(), JournalError> {
        match &self.shared.shipping {
            Some(shipping) => shipping.all_is_shipped().await,
            None => Ok(()),
        }
    }

    /// Waits until something may be sent that no ledger admits; at once where no copy is kept elsewhere.
    ///
    /// # Errors
    /// [`JournalError::Lapsed`] where nothing ever may.
    pub async fn leave_to_send(&self) -> Result<(), JournalError> {
        match &self.shared.shipping {
            Some(shipping) => shipping.leave_to_send().await,
            None => Ok(()),
        }
    }

    /// Like [`Ledger::runs_out`].
    pub async fn runs_out(&self) {
        match &self.shared.shipping {
            Some(shipping) => shipping.runs_out().await,
            None => std::future::pending().await,
        }
    }

    /// Lets the copy that is kept elsewhere know of more, without waiting for it.
    pub fn ship(&self) {
        if let Some(shipping) = &self.shared.shipping {
            shipping.want();
        }
    }

    /// Takes what was committed since this was asked last: the caller must keep it. With `last`, what is reserved and unsent is
    /// given back before. Of a journal without a copy there is nothing.
    ///
    /// # Errors
    /// Only those that every call may have.
    pub async fn changes(&self, extent: Extent, last: bool) -> Result<Changes, JournalError> {
        let (answer, answered) = oneshot::channel();
        let (unused, _nobody_waits) = oneshot::channel();
        let request = Request { job: Job::Changes { extent, last, answer }, answer: unused };
        self.requests.send(request).await.map_err(|_| JournalError::Closed)?;
        answered.await.map_err(|_| JournalError::Closed)?
    }

    /// Writes what is known, gives back the credits that are reserved and unsent, leaves everything in the one database file,
    /// and lets the folder go. Other handles fail with [`JournalError::Closed`] from now on.
    ///
    /// # Errors
    /// [`JournalError::Stopped`] or [`JournalError::DiskFull`] when the disk had failed before, or fails now.
    pub async fn close(self) -> Result<(), JournalError> {
        self.ask(Job::Close).await.map(drop)
    }

    async fn part(&self, step: PartStep) -> Result<(), JournalError> {
        self.ask(Job::Part(step)).await.map(drop)
    }

    async fn ask(&self, job: Job) -> Result<i64, JournalError> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request { job, answer }).await.map_err(|_| JournalError::Closed)?;
        answered.await.map_err(|_| JournalError::Closed)?
    }

    /// Reads leave nothing half done, so a panic elsewhere does not spoil the connection.
    fn reader(&self) -> MutexGuard<'_, Reader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
