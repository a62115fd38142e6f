//! What ties an open journal to the copy of it that is kept elsewhere: how far the copy is, how many requests may be sent before it knows
//! more, and whether this process may still send at all.
//!
//! Invariants, where a journal is shipped: no attempt is taken beyond the reservation that the copy holds; and none while the lease is not
//! held, by the monotonic clock and by the wall clock, since the former may stand still while a machine sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, watch};

use super::attempt::SharedBook;
use super::error::{JournalError, Lapse};

/// A moment after which nothing may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    at: Instant,
    wall: Option<SystemTime>,
}

impl Deadline {
    /// So long after this moment.
    pub fn after(length: Duration) -> Self {
        Self { at: Instant::now() + length, wall: SystemTime::now().checked_add(length) }
    }

    /// So much later.
    #[must_use]
    pub fn later(self, length: Duration) -> Self {
        Self { at: self.at + length, wall: self.wall.and_then(|wall| wall.checked_add(length)) }
    }

    /// Whether it has passed, by either clock.
    pub fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// How long it is until then, by the clock that says less.
    pub fn left(&self) -> Duration {
        let by_wall =
            self.wall.map_or(Duration::ZERO, |wall| wall.duration_since(SystemTime::now()).unwrap_or_default());
        self.at.saturating_duration_since(Instant::now()).min(by_wall)
    }
}

/// Whether this process may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// Until then; it may be renewed before and after.
    Held(Deadline),
    /// Never again.
    Over(Lapse),
}

/// How a journal is shipped. Shared by the journal and whoever ships it.
#[derive(Debug)]
pub struct Shipping {
    requests_at_risk: u64,
    /// How long a request may be on its way after the lease has run out.
    grace: Duration,
    committed: AtomicU64,
    shipped: watch::Sender<u64>,
    wanted: Notify,
    lease: watch::Sender<Lease>,
}

impl Shipping {
    /// Of a journal whose copy lets so many requests be sent that it does not know of, at least 1; `grace` after the lease has run out none of
    /// them may be on its way any more.
    pub fn new(requests_at_risk: u64, grace: Duration, lease: Lease) -> Arc<Self> {
        Arc::new(Self {
            requests_at_risk: requests_at_risk.max(1),
            grace,
            committed: AtomicU64::new(0),
            shipped: watch::Sender::new(0),
            wanted: Notify::new(),
            lease: watch::Sender::new(lease),
        })
    }

    /// How many requests may be sent beyond what the copy knows of.
    pub(super) const fn requests_at_risk(&self) -> u64 {
        self.requests_at_risk
    }

    /// The lease was renewed, or is over.
    pub fn lease(&self, lease: Lease) {
        self.lease.send_if_modified(|now| {
            // What is over stays so.
            let changes = matches!(now, Lease::Held(_));
            if changes {
                *now = lease;
            }
            changes
        });
    }

    /// Waits until somebody wants the changes to be shipped.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    pub(super) fn want(&self) {
        self.wanted.notify_one();
    }

    /// A transaction is durable here.
    pub(super) fn committed(&self) {
        self.committed.fetch_add(1, Ordering::Release);
    }

    pub(super) fn position(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    fn may_send(&self) -> Result<bool, JournalError> {
        match &*self.lease.borrow() {
            Lease::Held(until) => Ok(!until.is_over()),
            Lease::Over(lapse) => Err(JournalError::Lapsed(lapse.clone())),
        }
    }

    /// Waits until something may be sent.
    ///
    /// # Errors
    /// Where nothing ever may again.
    pub(super) async fn leave_to_send(&self) -> Result<(), JournalError> {
        let mut lease = self.lease.subscribe();
        loop {
            lease.borrow_and_update();
            if self.may_send()? {
                return Ok(());
            }
            let _the_sender_is_ours = lease.changed().await;
        }
    }

    /// What tells of each time that the copy knows more. To be taken before one looks at what it knows.
    pub(super) fn shipments(&self) -> Shipments<'_> {
        Shipments { shipping: self, shipped: self.shipped.subscribe(), lease: self.lease.subscribe() }
    }

    /// Waits until the copy knows everything that is durable here at this moment.
    ///
    /// # Errors
    /// Where it never will.
    pub(super) async fn all_is_shipped(&self) -> Result<(), JournalError> {
        let position = self.position();
        loop {
            let mut shipments = self.shipments();
            if *self.shipped.borrow() >= position {
                return Ok(());
            }
            shipments.next().await?;
        }
    }

    /// Waits until a request that was sent before may not be on its way any more.
    pub(super) async fn runs_out(&self) {
        let mut lease = self.lease.subscribe();
        loop {
            let left = match &*lease.borrow_and_update() {
                Lease::Held(until) => until.later(self.grace).left(),
                Lease::Over(_) => return,
            };
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                _ = lease.changed() => {}
            }
        }
    }
}

/// See [`Shipping::shipments`].
pub(super) struct Shipments<'a> {
    shipping: &'a Shipping,
    shipped: watch::Receiver<u64>,
    lease: watch::Receiver<Lease>,
}

impl Shipments<'_> {
    /// Wants a shipment, and waits for the next.
    pub(super) async fn next(&mut self) -> Result<(), JournalError> {
        loop {
            self.lease.borrow_and_update();
            self.shipping.may_send()?;
            self.shipping.want();
            tokio::select! {
                _ = self.shipped.changed() => return Ok(()),
                _ = self.lease.changed() => {}
            }
        }
    }
}

/// What a journal has committed since its changes were taken last.
#[derive(Debug)]
pub struct Changes {
    /// Pieces, to be applied in their order; none where nothing was committed.
    pub pieces: Vec<Vec<u8>>,
    pub(super) position: u64,
    /// The current run's book, and up to where the copy lets it go.
    pub(super) ceiling: Option<(SharedBook, u64)>,
}

impl Changes {
    /// Tells the journal that the copy holds them, with all that were taken before.
    pub fn are_shipped(&self, shipping: &Shipping) {
        if let Some((book, ceiling)) = &self.ceiling {
            book.lock().let_go_up_to(*ceiling);
        }
        shipping.shipped.send_replace(self.position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lapsed() -> Lease {
        Lease::Over(Lapse::Released { state: "s3://lake/state".to_owned() })
    }

    #[tokio::test]
    async fn nothing_is_sent_once_the_lease_has_run_out_until_it_is_renewed() {
        let shipping = Shipping::new(10, Duration::ZERO, Lease::Held(Deadline::after(Duration::ZERO)));
        assert!(!shipping.may_send().unwrap());
        let waits = {
            let shipping = Arc::clone(&shipping);
            tokio::spawn(async move { shipping.leave_to_send().await })
        };
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        shipping.lease(Lease::Held(Deadline::after(Duration::from_secs(60))));
        waits.await.unwrap().unwrap();
        shipping.lease(lapsed());
        assert!(matches!(shipping.leave_to_send().await, Err(JournalError::Lapsed(_))));
        shipping.lease(Lease::Held(Deadline::after(Duration::from_secs(60))));
        assert!(shipping.may_send().is_err(), "what is over stays so");
    }

    #[tokio::test]
    async fn who_waits_for_the_copy_hears_also_that_there_is_none_any_more() {
        let shipping = Shipping::new(10, Duration::ZERO, Lease::Held(Deadline::after(Duration::from_secs(60))));
        shipping.all_is_shipped().await.unwrap();
        shipping.committed();
        let waits = {
            let shipping = Arc::clone(&shipping);
            tokio::spawn(async move { shipping.all_is_shipped().await })
        };
        shipping.wanted().await;
        Changes { pieces: Vec::new(), position: 1, ceiling: None }.are_shipped(&shipping);
        waits.await.unwrap().unwrap();
        shipping.committed();
        let waits = {
            let shipping = Arc::clone(&shipping);
            tokio::spawn(async move { shipping.all_is_shipped().await })
        };
        shipping.wanted().await;
        shipping.lease(lapsed());
        assert!(waits.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn what_is_on_its_way_when_the_lease_runs_out_has_its_grace() {
        let ran_out = Lease::Held(Deadline::after(Duration::ZERO));
        Shipping::new(10, Duration::ZERO, ran_out.clone()).runs_out().await;
        let shipping = Shipping::new(10, Duration::from_secs(600), ran_out);
        let soon = tokio::time::timeout(Duration::from_millis(20), shipping.runs_out());
        assert!(soon.await.is_err());
        shipping.lease(lapsed());
        shipping.runs_out().await;
    }

    #[test]
    fn a_deadline_is_over_by_the_clock_that_says_so_first() {
        let hour = Duration::from_secs(3_600);
        let deadline = Deadline::after(hour);
        assert!(!deadline.is_over() && deadline.later(hour).left() > hour);
        let slept = Deadline { wall: Some(SystemTime::now() - hour), ..deadline };
        assert!(slept.is_over());
        let set_back = Deadline { at: Instant::now(), wall: Some(SystemTime::now() + hour) };
        assert!(set_back.is_over());
    }
}
