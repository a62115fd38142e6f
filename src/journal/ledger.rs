//! Admission of attempts: nothing is sent that a durable reservation does not hold.
//!
//! The arithmetic is in `book`; this file asks the writer for reservations and carries attempts to their ends.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::attempt::{Attempt, SharedBook};
use super::book::{Asking, Take};
pub use super::book::{AttemptEnd, Counts, Limits};
use super::error::{JournalError, LedgerError};
use super::job::{Job, Request};
use super::shipping::Shipping;

/// The credit ledger of one run. Cheap to clone; all clones share one reservation.
#[derive(Clone, Debug)]
pub struct Ledger {
    book: SharedBook,
    requests: mpsc::Sender<Request>,
    /// Where a copy of the journal is kept elsewhere.
    shipping: Option<Arc<Shipping>>,
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
                    return Ok(Attempt::new(self.book.clone(), asking));
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
