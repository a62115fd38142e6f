//! Renews the lease, and ships what the journal commits: one task on a thread of its own, so that nothing else in the process holds it up.
//!
//! The head is replaced by this task alone. What was taken from the journal is kept until the head names it, and put again until then; so
//! nothing is lost between the two, and an answer that was lost is no matter. Each head has a larger number than all before, so that what
//! became of each try is seen, and the lease counts from the beginning of the one that is there.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use object_store::UpdateVersion;

use super::head::{Added, GRACE, Head, SENDS_FOR};
use super::lease::{Taken, wall};
use super::place::{Place, Swap};
use super::segment::{Digest, Number, Segment, told};
use super::{Away, ReplicaError};
use crate::failpoint::{self, CrashStep};
use crate::journal::{Changes, Deadline, Extent, Journal, JournalError, Lapse, Lease, Shipping};
use crate::sink::store::StoreError;

/// Asks that wait.
const ASKS: usize = 4;
/// Tries to renew in one interval, where the store does not answer.
const TRIES: u32 = 5;
/// What part of an interval one try may take.
const PATIENCE: u32 = 2;
/// What is committed so soon after somebody wanted a shipment goes with it.
const GATHER: Duration = Duration::from_millis(10);
/// Heads that are put one after another, where the store refuses each although nobody else has replaced it.
const MOST_PUTS: u32 = 5;
/// Intervals without a renewal after which the run is given up.
const GIVES_UP_AFTER: u32 = 6;
/// How long the end of a process may take: it has 24 s from a signal on.
const FINISH_WITHIN: Duration = Duration::from_secs(12);

/// What the keeper is asked.
pub(super) enum Ask {
    /// Ship what this journal commits.
    Attach(Journal),
    /// Ship what is left, and let go of the state.
    Finish(oneshot::Sender<Result<(), ReplicaError>>),
}

/// Whether the head is to name a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    Kept,
    LetGo,
}

type Putting = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;
type Taking = Pin<Box<dyn Future<Output = Result<Changes, JournalError>> + Send>>;

/// What was taken from the journal and is on its way.
struct InHand {
    changes: Changes,
    segments: Arc<Vec<Segment>>,
    /// What the head will say of them; none before they are all put.
    added: Option<Added>,
    is_whole: bool,
}

/// See the module.
pub(super) struct Keeper {
    place: Place,
    shipping: Arc<Shipping>,
    asks: mpsc::Receiver<Ask>,
    interval: Duration,
    ship_every: Duration,
    journal: Option<Journal>,
    /// The head as this process put it last, and its version in the store.
    head: Head,
    version: UpdateVersion,
    /// Grows with each head that is put.
    renewals: u64,
    last_digest: Digest,
    held_until: Deadline,
    renew_at: Instant,
    ship_at: Instant,
    taking: Option<(Extent, Taking)>,
    in_hand: Option<InHand>,
    putting: Option<Putting>,
    /// Until when segments are put that the store does not take; none where it takes them.
    puts_until: Option<Deadline>,
    is_silent: bool,
    lapse: Option<Lapse>,
}

impl Keeper {
    pub(super) fn new(place: &Place, away: &Away, taken: Taken) -> (Self, Arc<Shipping>, mpsc::Sender<Ask>) {
        let shipping = Shipping::new(away.requests_at_risk, away.lease_interval / GRACE, Lease::Held(taken.until));
        let (sender, asks) = mpsc::channel(ASKS);
        let keeper = Self {
            place: place.clone(),
            shipping: Arc::clone(&shipping),
            asks,
            interval: away.lease_interval,
            ship_every: away.ship_every,
            journal: None,
            renewals: taken.head.renewals,
            last_digest: digest_of(&taken.head),
            head: taken.head,
            version: taken.version,
            held_until: taken.until,
            renew_at: Instant::now() + away.lease_interval,
            ship_at: Instant::now() + away.ship_every,
            taking: None,
            in_hand: None,
            putting: None,
            puts_until: None,
            is_silent: false,
            lapse: None,
        };
        (keeper, shipping, sender)
    }

    /// Begins its work, on a thread of its own.
    pub(super) fn start(self) -> Result<(), ReplicaError> {
        let state = self.place.told();
        let failed = |source| ReplicaError::Thread { state: state.clone(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let spawned = std::thread::Builder::new().name("lease".to_owned()).spawn(move || runtime.block_on(self.run()));
        spawned.map(drop).map_err(failed)
    }

    pub(super) async fn run(mut self) {
        let finish = loop {
            if self.lapse.is_some() {
                // Whoever asks is told so.
                match self.asks.recv().await {
                    Some(Ask::Finish(answer)) => break Some(answer),
                    Some(Ask::Attach(_)) => continue,
                    None => break None,
                }
            }
            let may_ship = self.journal.is_some() && self.is_idle();
            let shipping = Arc::clone(&self.shipping);
            tokio::select! {
                biased;
                () = sleep_until(self.renew_at) => self.renew(Hold::Kept).await,
                ask = self.asks.recv() => match ask {
                    Some(Ask::Attach(journal)) => self.journal = Some(journal),
                    Some(Ask::Finish(answer)) => break Some(answer),
                    None => break None,
                },
                taken = next_taken(&mut self.taking) => self.were_taken(taken),
                put = next(&mut self.putting) => self.were_put(put).await,
                () = shipping.wanted(), if may_ship => self.take(false),
                () = sleep_until(self.ship_at), if may_ship => self.take(false),
            }
        };
        let state = self.place.told();
        if let Some(answer) = finish {
            let finished = timeout(FINISH_WITHIN, self.finish()).await;
            let late = ReplicaError::Late { state: state.clone(), seconds: FINISH_WITHIN.as_secs() };
            // Who asked may have gone; then the lease was let go of all the same.
            let _ = answer.send(finished.unwrap_or(Err(late)));
        }
        self.shipping.lease(Lease::Over(Lapse::Released { state }));
    }

    fn is_idle(&self) -> bool {
        self.taking.is_none() && self.in_hand.is_none()
    }

    /// Begins to take what the journal has committed. The whole of it may take a while.
    fn take(&mut self, is_last: bool) {
        let Some(journal) = self.journal.clone() else { return };
        self.ship_at = Instant::now() + self.ship_every;
        let extent = if !is_last && self.head.has_grown() { Extent::Whole } else { Extent::Touched };
        self.taking = Some((
            extent,
            Box::pin(async move {
                if !is_last {
                    tokio::time::sleep(GATHER).await;
                }
                journal.changes(extent, is_last).await
            }),
        ));
    }

    /// Begins to put what was taken.
    fn were_taken(&mut self, (extent, taken): (Extent, Result<Changes, JournalError>)) {
        self.taking = None;
        let Ok(mut changes) = taken else {
            // What ails the journal is told by whoever writes into it.
            self.journal = None;
            return;
        };
        let is_whole = extent == Extent::Whole;
        if changes.pieces.is_empty() {
            changes.are_shipped(&self.shipping);
            return;
        }
        let first = self.head.next_number();
        let mut before = if is_whole { Digest::default() } else { self.last_digest };
        let seal = |(number, piece): (u64, &Vec<u8>)| {
            let segment = Segment::seal(Number { epoch: self.head.epoch, number }, &before, piece);
            before = segment.digest;
            segment
        };
        let pieces = std::mem::take(&mut changes.pieces);
        let segments = Arc::new((first..).zip(&pieces).map(seal).collect::<Vec<_>>());
        self.in_hand = Some(InHand { changes, segments: Arc::clone(&segments), added: None, is_whole });
        self.put(segments, Duration::ZERO);
    }

    fn put(&mut self, segments: Arc<Vec<Segment>>, wait: Duration) {
        let place = self.place.clone();
        self.putting = Some(Box::pin(async move {
            tokio::time::sleep(wait).await;
            for segment in segments.iter() {
                place.put_segment(segment).await?;
            }
            Ok(())
        }));
    }

    /// The segments are there, and the head is to name them; or they are put again.
    async fn were_put(&mut self, put: Result<(), StoreError>) {
        self.putting = None;
        let Some(in_hand) = &mut self.in_hand else { return };
        if let Err(error) = put {
            tracing::warn!(state = self.place.told(), error = %error, "the state could not be shipped; it is tried again");
            if self.puts_until.get_or_insert_with(|| Deadline::after(self.interval * GIVES_UP_AFTER)).is_over() {
                let (state, seconds) = (self.place.told(), (self.interval * GIVES_UP_AFTER).as_secs());
                return self.is_over(Lapse::Silent { state, seconds, why: error.to_string() });
            }
            let segments = Arc::clone(&in_hand.segments);
            return self.put(segments, self.interval / TRIES);
        }
        failpoint::pass(CrashStep::SegmentPut);
        self.puts_until = None;
        in_hand.added = in_hand.segments.first().zip(in_hand.segments.last()).map(|(first, last)| Added {
            first: first.number.number,
            last: last.number.number,
            sha256: told(&last.digest),
            bytes: in_hand.segments.iter().map(|segment| segment.bytes.len() as u64).sum(),
            is_whole: in_hand.is_whole,
        });
        self.renew(Hold::Kept).await;
    }

    /// Replaces the head: it names what was put, and shows that this process is alive. What fails is tried again soon.
    async fn renew(&mut self, hold: Hold) {
        for _ in 0..MOST_PUTS {
            let until = Deadline::after(self.interval * SENDS_FOR);
            let next = self.next_head(hold);
            let swapped = timeout(self.interval / PATIENCE, self.place.swap(&next, Some(&self.version))).await;
            match swapped {
                Ok(Ok(Swap::Done(version))) => return self.renewed(next, version, until).await,
                // A try of before has landed after all.
                Ok(Ok(Swap::Refused(Some((found, version))))) if found.is_of(&self.head) => self.version = version,
                // So has the one that lets go, which nobody else does for this epoch.
                Ok(Ok(Swap::Refused(Some((found, version)))))
                    if hold == Hold::LetGo && found.epoch == self.head.epoch && found.holder.is_none() =>
                {
                    return self.renewed(found, version, until).await;
                }
                Ok(Ok(Swap::Refused(found))) => {
                    let holder = found.and_then(|(head, _)| head.holder).map(|holder| holder.to_string());
                    let holder = holder.unwrap_or_else(|| "one that has ended since".to_owned());
                    return self.is_over(Lapse::Taken { state: self.place.told(), holder });
                }
                Ok(Err(error)) => return self.failed(&error.to_string()),
                Err(_) => return self.failed("it does not answer"),
            }
        }
        self.failed("it refuses each head, although nobody else has replaced it");
    }

    fn next_head(&mut self, hold: Hold) -> Head {
        self.renewals += 1;
        let added = self.in_hand.as_ref().and_then(|in_hand| in_hand.added.as_ref());
        let mut next = added.map_or_else(|| self.head.clone(), |added| self.head.with(added));
        next.renewals = self.renewals;
        if let Some(holder) = &mut next.holder {
            holder.renewed_at = wall();
        }
        if hold == Hold::LetGo {
            next.holder = None;
        }
        next
    }

    async fn renewed(&mut self, head: Head, version: UpdateVersion, until: Deadline) {
        if self.is_silent {
            tracing::info!(state = self.place.told(), "the lease of the state is renewed again");
        }
        (self.version, self.held_until, self.is_silent) = (version, until, false);
        let before = std::mem::replace(&mut self.head, head);
        self.renew_at = Instant::now() + self.interval;
        self.shipping.lease(Lease::Held(until));
        if self.in_hand.as_ref().is_some_and(|in_hand| in_hand.added.is_some())
            && let Some(in_hand) = self.in_hand.take()
        {
            failpoint::pass(CrashStep::SegmentShipped);
            if let Some(last) = in_hand.segments.last() {
                self.last_digest = last.digest;
            }
            in_hand.changes.are_shipped(&self.shipping);
            if in_hand.is_whole {
                let (place, kept) = (self.place.clone(), self.head.kept());
                tracing::debug!(
                    state = place.told(),
                    was = before.bytes,
                    is = self.head.bytes,
                    "the whole state was written"
                );
                tokio::spawn(async move { place.remove_segments_but(&kept).await });
            }
        }
    }

    fn failed(&mut self, why: &str) {
        self.renew_at = Instant::now() + self.interval / TRIES;
        if !self.is_silent {
            tracing::warn!(
                state = self.place.told(),
                why,
                "the lease of the state could not be renewed; it is tried again"
            );
        }
        self.is_silent = true;
        if self.held_until.later(self.interval * (GIVES_UP_AFTER - SENDS_FOR)).is_over() {
            let seconds = (self.interval * GIVES_UP_AFTER).as_secs();
            self.is_over(Lapse::Silent { state: self.place.told(), seconds, why: why.to_owned() });
        }
    }

    fn is_over(&mut self, lapse: Lapse) {
        (self.taking, self.putting, self.in_hand) = (None, None, None);
        self.shipping.lease(Lease::Over(lapse.clone()));
        self.lapse = Some(lapse);
    }

    /// Ships what is left, and lets go of the state.
    async fn finish(&mut self) -> Result<(), ReplicaError> {
        self.all_is_put().await?;
        self.take(true);
        self.all_is_put().await?;
        loop {
            self.renew(Hold::LetGo).await;
            if let Some(lapse) = self.lapse.take() {
                return Err(lapse.into());
            }
            if self.head.holder.is_none() {
                return Ok(());
            }
            sleep_until(self.renew_at).await;
        }
    }

    /// Waits until the head names everything that was taken.
    async fn all_is_put(&mut self) -> Result<(), ReplicaError> {
        loop {
            if let Some(lapse) = self.lapse.take() {
                return Err(lapse.into());
            }
            if self.is_idle() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = sleep_until(self.renew_at) => self.renew(Hold::Kept).await,
                taken = next_taken(&mut self.taking) => self.were_taken(taken),
                put = next(&mut self.putting) => self.were_put(put).await,
            }
        }
    }
}

/// The digest that a head tells of its last segment.
fn digest_of(head: &Head) -> Digest {
    let mut digest = Digest::default();
    for (at, byte) in digest.iter_mut().enumerate() {
        let told = head.sha256.get(2 * at..2 * at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        *byte = told.unwrap_or_default();
    }
    digest
}

async fn next_taken(taking: &mut Option<(Extent, Taking)>) -> (Extent, Result<Changes, JournalError>) {
    match taking {
        Some((extent, taking)) => (*extent, taking.await),
        None => std::future::pending().await,
    }
}

async fn next(putting: &mut Option<Putting>) -> Result<(), StoreError> {
    match putting {
        Some(putting) => putting.await,
        None => std::future::pending().await,
    }
}
