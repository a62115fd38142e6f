//! Admission of attempts: nothing is sent that a durable reservation does not hold.
//!
//! The arithmetic is in `book`; this file asks the writer for reservations and carries attempts to their ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::book::{Asking, Book, Take};
pub use super::book::{AttemptEnd, Counts, Limits};
use super::error::{JournalError, LedgerError};
use super::job::{Job, Request};
use super::shipping::Shipping;

/// A run's book, shared by its attempts and the writer.
#[derive(Clone, Debug)]
pub(super) struct SharedBook(Arc<Mutex<Book>>);

impl SharedBook {
    pub(super) fn new(book: Book) -> Self {
        Self(Arc::new(Mutex::new(book)))
    }

    /// Whether both are the book of the same run.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The book; each of its operations leaves it sound, so a panic elsewhere does not spoil it.
    pub(super) fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The credit ledger of one run. Cheap to clone; all clones share one reservation.
#[derive(Clone, Debug)]
pub struct Ledger {
    book: SharedBook,
    requests: mpsc::Sender<Request>,
    /// Where a copy of the journal is kept elsewhere.
    shipping: Option<Arc<Shipping>>,
}

/// The right to send one request, taken from a durable reservation.
///
/// Hand it to [`super::Journal::commit_page`] with the page that it brought, or say how else it [ended](Attempt::ended).
/// Dropped without either, it counts as possibly charged.
#[derive(Debug)]
pub struct Attempt {
    book: SharedBook,
    asking: Asking,
    open: bool,
}

impl Ledger {
    pub(super) fn new(book: SharedBook, requests: mpsc::Sender<Request>, shipping: Option<Arc<Shipping>>) -> Self {
        Self { book, requests, shipping }
    }

    /// Takes one attempt for a page that is asked for the first time. Mostly it does not wait: commits refill the reservation
    /// along the way. Cancel safe: a reservation that nobody waits for any more serves the next one who asks.
    ///
    /// # Errors
    /// [`LedgerError::Exhausted`] when the run has used what it may cost; a journal that is full, stopped or closed.
    pub async fn admit(&self) -> Result<Attempt, LedgerError> {
        self.take(Asking::First).await
    }

    /// Takes one attempt for a page whose earlier attempt brought none; otherwise like [`Ledger::admit`].
    ///
    /// # Errors
    /// Like [`Ledger::admit`].
    pub async fn admit_again(&self) -> Result<Attempt, LedgerError> {
        self.take(Asking::Again).await
    }

    /// The run's numbers, over all its starts.
    pub fn counts(&self) -> Counts {
        self.book.lock().counts()
    }

    /// Reads [`Ledger::counts`] for whoever watches, also once the journal is closed.
    pub fn meter(&self) -> impl Fn() -> Counts + Send + Sync + 'static {
        let book = self.book.clone();
        move || book.lock().counts()
    }

    async fn take(&self, asking: Asking) -> Result<Attempt, LedgerError> {
        loop {
            if let Some(shipping) = &self.shipping {
                shipping.leave_to_send().await?;
            }
            let mut shipments = self.shipping.as_ref().map(|shipping| shipping.shipments());
            let taken = self.book.lock().take();
            match (taken, &mut shipments) {
                (Take::Taken, _) => {
                    self.ship_in_time();
                    return Ok(Attempt { book: self.book.clone(), asking, open: true });
                }
                (Take::Exhausted { spent, max }, _) => return Err(LedgerError::Exhausted { spent, max }),
                (Take::BeyondCopy, Some(shipments)) => shipments.next().await?,
                (Take::NeedsReservation | Take::BeyondCopy, _) => self.reserve().await?,
            }
        }
    }

    /// Lets the copy know of more before anybody has to wait for it.
    fn ship_in_time(&self) {
        if let Some(shipping) = &self.shipping
            && self.book.lock().nears_its_ceiling(shipping.requests_at_risk())
        {
            shipping.want();
        }
    }

    /// Waits until no request may be on its way any more that was admitted before, since the lease of the journal's copy has run out; for ever
    /// where there is none.
    pub async fn runs_out(&self) {
        match &self.shipping {
            Some(shipping) => shipping.runs_out().await,
            None => std::future::pending().await,
        }
    }

    async fn reserve(&self) -> Result<(), JournalError> {
        let (answer, answered) = oneshot::channel();
        let request = Request { job: Job::Reserve(self.book.clone()), answer };
        self.requests.send(request).await.map_err(|_| JournalError::Closed)?;
        answered.await.map_err(|_| JournalError::Closed)?.map(|_| ())
    }
}

impl Attempt {
    /// Records how the attempt ended; durable with the next commit of anything.
    pub fn ended(mut self, how: AttemptEnd) {
        self.open = false;
        self.book.lock().settle(self.asking, how);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.open {
            self.book.lock().lose();
        }
    }
}
