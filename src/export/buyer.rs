//! One worker's errand: get one page, whatever it takes within bounds, and make it durable.
//!
//! The order is the promise: permit, credit from a durable reservation, request, commit. Only then does the page count.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::Instant;

use crate::api::client::{Client, Reply};
use crate::api::contract::{PageQuery, Region};
use crate::api::reply::{PageAnswer, Row, envelope, readable};
use crate::failpoint::{self, Step};
use crate::fetch::attempt::{Outcome, attempt};
use crate::fetch::pace::{Pacer, Permit};
use crate::fetch::retry::{Leave, Next, Patience, Retry, Trouble};
use crate::journal::record::{NewPage, RejectedRow};
use crate::journal::{Attempt, Ended, Journal, JournalError, Ledger, LedgerError};
use crate::plan::answer::{ANSWERS_ASKED, Tied, tie};
use crate::plan::event::RegionFault;
use crate::plan::fact::PageFact;
use crate::plan::planner::Task;
use crate::progress::{AttemptOutcome, Event, Progress};
use crate::units::{Credits, EpochSeconds};

use super::Ending;
use super::clock::{ClockCheck, Skew, WrongClock};

/// A wait for leave to ask again that is worth a person's attention.
const NOTABLE_WAIT: Duration = Duration::from_secs(1);

/// Whether an errand's page was asked for before, by an errand that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// It was not.
    First,
    /// It was.
    Again,
    /// It was refused, and is asked again after this rest; nobody else may send anything meanwhile.
    Confirming(Duration),
}

/// What every errand needs.
#[derive(Clone, Debug)]
pub(super) struct Buyer {
    pub(super) client: Client,
    pub(super) pacer: Pacer,
    pub(super) ledger: Ledger,
    pub(super) journal: Journal,
    pub(super) progress: Progress,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) floor: Arc<Floor>,
}

/// Where errands meet: how many may be on their way, how many rest between attempts, and what failed last.
#[derive(Debug)]
pub(super) struct Floor {
    in_flight: Semaphore,
    /// Until the service has answered once, one request is on its way: the clocks are compared before more is spent.
    first: Semaphore,
    resting: AtomicUsize,
    last_failure: Mutex<Option<String>>,
    /// Of each region, the failed attempts since its last page.
    failures: Mutex<BTreeMap<Region, Failures>>,
    /// Whether nothing but what was refused is asked: known here at once, as long as it may be the key that is refused.
    is_held: watch::Sender<bool>,
    /// Whether the key is spent: known here at once, so that nobody sends another request to learn the same.
    is_closed: AtomicBool,
    /// Whether it was told that asking again waits for the budget: once a start is enough.
    told_of_budget: AtomicBool,
    clock: ClockCheck,
    wrong_clock: OnceLock<WrongClock>,
}

impl Floor {
    /// A floor on which `most_in_flight` requests may be on their way, once the first answer has shown what `clock` asks.
    pub(super) fn new(most_in_flight: usize, clock: ClockCheck) -> Self {
        Self {
            in_flight: Semaphore::new(most_in_flight.max(1)),
            first: Semaphore::new(1),
            resting: AtomicUsize::new(0),
            last_failure: Mutex::default(),
            failures: Mutex::default(),
            is_held: watch::Sender::new(false),
            is_closed: AtomicBool::new(false),
            told_of_budget: AtomicBool::new(false),
            clock,
            wrong_clock: OnceLock::new(),
        }
    }

    /// The clocks, where they show that the range cannot be the one that was meant.
    pub(super) fn wrong_clock(&self) -> Option<WrongClock> {
        self.wrong_clock.get().copied()
    }

    /// The turn of a request that nothing came before; none once an answer has come.
    async fn first(&self, client: &Client) -> Option<SemaphorePermit<'_>> {
        if client.has_answered() {
            return None;
        }
        // Never closed, so there is always a turn in the end.
        self.first.acquire().await.ok().filter(|_| !client.has_answered())
    }

    /// Looks at the clocks that the first answer showed; closes the floor where nothing more may be asked by ours.
    fn check_clock(&self, client: &Client) {
        match client.clocks().map_or(Skew::Small, |clocks| self.clock.compare(clocks)) {
            Skew::Small => {}
            Skew::Harmless(wrong) => tracing::warn!(
                clock.here = %wrong.clocks.ours,
                clock.service = %wrong.clocks.service,
                "this machine's clock and the service's differ; the range does not depend on it"
            ),
            Skew::Harmful(wrong) => {
                self.wrong_clock.get_or_init(|| wrong);
                self.close();
            }
        }
    }

    /// Errands that wait between two attempts: their places are free for others meanwhile.
    pub(super) fn resting(&self) -> usize {
        self.resting.load(Ordering::Relaxed)
    }

    /// The last failure, for a person.
    pub(super) fn last_failure(&self) -> Option<String> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The failed attempts of a region since its last page; none where the last one came.
    pub(super) fn failures(&self, region: &Region) -> Option<Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).get(region).cloned()
    }

    /// Lets nobody send anything, but for what is asked again because it was refused; or lets everybody go on.
    pub(super) fn hold(&self, is_held: bool) {
        self.is_held.send_if_modified(|before| std::mem::replace(before, is_held) != is_held);
    }

    fn came(&self, region: &Region) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(region);
    }

    fn failed(&self, region: &Region, why: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Failures { attempts: 0, since: Instant::now(), why: String::new() };
        let failing = failures.entry(region.clone()).or_insert_with(new);
        failing.attempts += 1;
        why.clone_into(&mut failing.why);
        drop(failures);
        self.told(why);
    }

    /// Why the last attempt brought nothing, whoever is at fault.
    fn told(&self, why: &str) {
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    fn waited_for_leave(&self, waited: Duration) {
        if waited >= NOTABLE_WAIT && !self.told_of_budget.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                duration_ms = waited.as_millis(),
                "more than a third of all requests fail: failed pages wait until answers have earned another attempt"
            );
        }
    }
}

/// A region's failed attempts in a row.
#[derive(Clone, Debug)]
pub(super) struct Failures {
    pub(super) attempts: u32,
    pub(super) since: Instant,
    pub(super) why: String,
}

/// What one request needs: a place, the first request's turn where nothing has come yet, and a permit.
type Turn<'floor> = (SemaphorePermit<'floor>, Option<SemaphorePermit<'floor>>, Permit);

/// What a harmless page came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Visited {
    /// It came.
    Page,
    /// It did not.
    Met(RegionFault),
    /// There is nothing left to spend.
    Spent(Ending),
    /// It was not asked, or it came too early.
    Nothing,
}

/// Counts a rest from its beginning to its end, however it ends.
struct Rest<'a>(&'a AtomicUsize);

impl<'a> Rest<'a> {
    fn begin(resting: &'a AtomicUsize) -> Self {
        resting.fetch_add(1, Ordering::Relaxed);
        Self(resting)
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How an errand ended.
#[derive(Debug)]
pub(super) enum Bought {
    /// The page is in the journal.
    Durable(Arc<PageFact>),
    /// The service will not answer this question.
    Refused { code: u16, message: String },
    /// The key has nothing left to spend.
    Quota { message: String },
    /// Every attempt failed; the last one like this.
    Failed { why: String },
    /// Nothing was ever heard from the service, and as it is addressed nothing will be.
    Unreachable { why: String },
    /// The run may spend no more.
    OutOfCredits { spent: Credits, max: Credits },
    /// The run ends; nothing is on its way.
    Stopped,
}

impl Buyer {
    /// Runs the errand. Once a request is on its way it is waited for, also while the run stops.
    pub(super) async fn buy(mut self, task: &Task, mut asks: Asks, patience: Patience) -> Result<Bought, JournalError> {
        let mut retry = Retry::new(patience);
        // Answers that belonged to another question.
        let mut others = 0;
        let floor = Arc::clone(&self.floor);
        let waits = match asks {
            Asks::First => false,
            Asks::Again => true,
            Asks::Confirming(rest) if self.rest(rest).await => true,
            Asks::Confirming(_) => return Ok(Bought::Stopped),
        };
        if waits && !self.wait_for_leave().await {
            return Ok(Bought::Stopped);
        }
        loop {
            let Some((place, first, permit)) = self.turn(&floor, asks).await else { return Ok(Bought::Stopped) };
            let admitted = match asks {
                Asks::First => self.ledger.admit().await,
                Asks::Again | Asks::Confirming(_) => self.ledger.admit_again().await,
            };
            let paid = match admitted {
                Ok(paid) => paid,
                Err(LedgerError::Exhausted { spent, max }) => return Ok(Bought::OutOfCredits { spent, max }),
                Err(LedgerError::Journal(error)) => return Err(error),
            };
            if asks == Asks::First {
                asks = Asks::Again;
            }
            let outcome = attempt(&self.client, &self.pacer, permit, &task.query).await;
            if first.is_some() {
                floor.check_clock(&self.client);
            }
            drop(first);
            let (trouble, why) = match outcome {
                Outcome::Page { answer, reply } => {
                    let tied = tie(&task.query, task.habit, &answer);
                    others += u32::from(tied.doubt.is_some());
                    let Some(why) = tied.doubt.clone().filter(|_| others < ANSWERS_ASKED && retry.is_left()) else {
                        return self.keep(task, answer, (tied, reply), paid).await;
                    };
                    paid.ended(Ended::Astray);
                    self.note_failure(task, &why);
                    (Trouble::Failed, why)
                }
                Outcome::Quota { message } => {
                    floor.close();
                    return Ok(ended(paid, Ended::Quota, Bought::Quota { message }));
                }
                Outcome::Refused { code, message } => {
                    // It may be the key's, and then nobody has to learn it too.
                    floor.hold(true);
                    return Ok(ended(paid, Ended::Refused, Bought::Refused { code, message }));
                }
                Outcome::Unreachable { why } => {
                    floor.close();
                    return Ok(ended(paid, Ended::Failed, Bought::Unreachable { why }));
                }
                Outcome::Throttled { why, hold } => {
                    paid.ended(Ended::Throttled);
                    let why = format!("too many requests ({why})");
                    self.tell_hold(hold, &why);
                    self.progress.send(Event::Attempt(AttemptOutcome::Throttled));
                    floor.told(&why);
                    (Trouble::Throttled, why)
                }
                Outcome::Failed { why, pause } => {
                    paid.ended(Ended::Failed);
                    self.tell_hold(pause, &why);
                    self.note_failure(task, &why);
                    (Trouble::Failed, why)
                }
            };
            drop(place);
            let goes_on = match retry.after(trouble, rand::random()) {
                Next::Permit => true,
                Next::Rest(rest, Leave::Wanted) => self.rest(rest).await && self.wait_for_leave().await,
                Next::Rest(rest, Leave::Free) => self.rest(rest).await,
                Next::Never => return Ok(Bought::Failed { why }),
            };
            if !goes_on {
                return Ok(Bought::Stopped);
            }
        }
    }

    /// Asks one page that is known to be harmless, once, after a rest: to tell a page that cannot be had from a region or a service
    /// that is unwell. It costs a credit and its rows are not kept.
    pub(super) async fn visit(mut self, query: &PageQuery, rest: Duration) -> Result<Visited, JournalError> {
        let floor = Arc::clone(&self.floor);
        if !rest.is_zero() && !self.rest(rest).await {
            return Ok(Visited::Nothing);
        }
        let Some((_place, _first, permit)) = self.turn(&floor, Asks::First).await else { return Ok(Visited::Nothing) };
        let paid = match self.ledger.admit().await {
            Ok(paid) => paid,
            Err(LedgerError::Exhausted { spent, max }) => {
                return Ok(Visited::Spent(Ending::CreditsSpent { spent, max }));
            }
            Err(LedgerError::Journal(error)) => return Err(error),
        };
        let (how, visited) = match attempt(&self.client, &self.pacer, permit, query).await {
            Outcome::Page { answer, .. } => {
                floor.came(&query.region);
                let how = if answer.rows.is_empty() { Ended::EmptyPage } else { Ended::PageWithRows };
                (how, Visited::Page)
            }
            Outcome::Throttled { .. } => (Ended::Throttled, Visited::Nothing),
            Outcome::Quota { message } => (Ended::Quota, Visited::Spent(Ending::QuotaSpent { message })),
            Outcome::Refused { code, message } => {
                (Ended::Refused, Visited::Met(RegionFault::Refused { code, message }))
            }
            Outcome::Failed { why, .. } | Outcome::Unreachable { why } => {
                floor.failed(&query.region, &why);
                (Ended::Failed, Visited::Met(RegionFault::Unwell { why }))
            }
        };
        paid.ended(how);
        Ok(visited)
    }

    /// A place and a permit, once nobody is held or this is what everybody waits for; none where the run ends. Who is held keeps no
    /// place, since the one that everybody waits for needs one.
    async fn turn<'floor>(&mut self, floor: &'floor Floor, asks: Asks) -> Option<Turn<'floor>> {
        let is_free = matches!(asks, Asks::Confirming(_));
        let mut held = floor.is_held.subscribe();
        let (stop, pacer, client) = (&mut self.stop, &self.pacer, &self.client);
        let turn = async {
            loop {
                // Never closed: the floor keeps its sender, and its places.
                drop(held.wait_for(|is_held| is_free || !is_held).await);
                let place = floor.in_flight.acquire().await.ok()?;
                let first = floor.first(client).await;
                let admitted = async {
                    let permit = pacer.admit().await;
                    (is_free || !*floor.is_held.borrow()).then_some(permit)
                };
                let permit = tokio::select! {
                    permit = admitted => permit,
                    _ = held.wait_for(|is_held| *is_held && !is_free) => None,
                };
                if let Some(permit) = permit {
                    return Some((place, first, permit));
                }
            }
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => None,
            turn = turn => turn.filter(|_| !floor.is_closed()),
        }
    }

    /// Waits for a failed page's backoff, and says whether the run goes on.
    async fn rest(&mut self, backoff: Duration) -> bool {
        let floor = Arc::clone(&self.floor);
        let _rest = Rest::begin(&floor.resting);
        tokio::time::timeout(backoff, self.stop.wait_for(|stop| *stop)).await.is_err()
    }

    /// Waits until the budget of all retries lets this page be asked again, and says whether the run goes on.
    async fn wait_for_leave(&mut self) -> bool {
        let floor = Arc::clone(&self.floor);
        let _rest = Rest::begin(&floor.resting);
        tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => false,
            waited = self.pacer.leave_to_ask_again() => {
                floor.waited_for_leave(waited);
                true
            }
        }
    }

    fn note_failure(&self, task: &Task, why: &str) {
        self.progress.send(Event::Attempt(AttemptOutcome::Failed));
        self.floor.failed(&task.address.region, why);
        tracing::debug!(page.region = %task.address.region, page.number = task.address.page.get(), why, "attempt failed");
    }

    fn tell_hold(&self, hold: Option<Duration>, why: &str) {
        if let Some(wait) = hold {
            self.progress.send(Event::Held { wait, why: why.to_owned() });
            self.progress.send(Event::RateChanged { per_second: self.pacer.rate() });
        }
    }

    async fn keep(
        &self,
        task: &Task,
        answer: PageAnswer,
        (tied, reply): (Tied, Reply),
        paid: Attempt,
    ) -> Result<Bought, JournalError> {
        let began = Instant::now();
        self.floor.came(&task.address.region);
        self.progress.send(Event::Attempt(AttemptOutcome::Answered));
        failpoint::pass(Step::PageAnswered);
        let page = new_page(task, answer, tied, reply);
        let fact = Arc::new(page.fact.clone());
        self.journal.commit_page(page, paid).await?;
        self.pacer.kept(began.elapsed());
        tracing::debug!(
            page.region = %fact.address.region,
            page.number = fact.address.page.get(),
            page.rows = fact.rows.len(),
            commit.duration_ms = began.elapsed().as_millis(),
            "page is durable"
        );
        Ok(Bought::Durable(fact))
    }
}

fn ended(paid: Attempt, how: Ended, bought: Bought) -> Bought {
    paid.ended(how);
    bought
}

fn new_page(task: &Task, answer: PageAnswer, tied: Tied, reply: Reply) -> NewPage {
    let slots = u32::try_from(answer.rows.len()).unwrap_or(u32::MAX);
    let mut rejected: Vec<RejectedRow> = answer
        .rows
        .into_iter()
        .zip(0..)
        .filter_map(|(row, index)| match row {
            Row::Usable(_) => None,
            Row::Unusable { why, text } => Some(RejectedRow { index, why, text }),
        })
        .collect();
    rejected.extend(set_aside(&reply.body, tied.set_aside));
    let fact = PageFact {
        address: task.address.clone(),
        fetched_at: EpochSeconds::new(reply.received_at_ms.div_euclid(1_000)),
        slots,
        rows: tied.rows,
        check: tied.check,
    };
    NewPage {
        fact,
        fetched_at_ms: reply.received_at_ms,
        request_id: answer.request_id,
        body: reply.body,
        delivered: tied.delivered,
        rejected,
        position: task.position,
    }
}

/// The text of each usable row that is kept apart.
fn set_aside(body: &[u8], rows: Vec<(u32, String)>) -> Vec<RejectedRow> {
    if rows.is_empty() {
        return Vec::new();
    }
    let text = readable(body);
    let Ok(read) = envelope(&text) else { return Vec::new() };
    let kept = rows.into_iter().filter_map(|(index, why)| {
        let text = read.data.get(usize::try_from(index).ok()?)?.get().to_owned();
        Some(RejectedRow { index, why, text })
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::contract::{Filters, TimeOrder};
    use crate::api::reply::{Verdict, judge};
    use crate::api::signals::Signals;
    use crate::plan::answer::RegionHabit;
    use crate::plan::fact::{PageAddress, Purpose, WindowId};
    use crate::units::PageNumber;

    fn page_of(create_times: &[i64]) -> NewPage {
        let query = PageQuery {
            region: "US".parse().unwrap(),
            filters: Filters::default(),
            min_create_time: Some(EpochSeconds::new(100)),
            max_create_time: Some(EpochSeconds::new(200)),
            order: TimeOrder::OldestFirst,
            page: PageNumber::FIRST,
        };
        let address = PageAddress { region: query.region.clone(), purpose: Purpose::Newest, page: query.page };
        let habit = RegionHabit::Unknown;
        let task = Task { address, query, habit, window: WindowId(0), position: EpochSeconds::new(100) };
        let rows: Vec<String> = create_times
            .iter()
            .zip(1..)
            .map(|(time, id)| format!(r#"{{"create_time":{time},"video_id":{id}}}"#))
            .collect();
        let body = format!(r#"{{"code":0,"data":[{}]}}"#, rows.join(",")).into_bytes();
        let reply = Reply { status: 200, signals: Signals::default(), body, broken: None, received_at_ms: 5_000 };
        let Verdict::Page(answer) = judge(reply.heard()) else { panic!("no page") };
        let tied = tie(&task.query, habit, &answer);
        new_page(&task, answer, tied, reply)
    }

    #[test]
    fn a_row_that_was_not_asked_for_is_kept_apart_and_proves_nothing() {
        let page = page_of(&[100, 7, 200]);
        assert_eq!(page.fact.rows.len(), 2);
        assert_eq!((page.fact.slots, page.delivered), (3, vec![0, 2]));
        assert_eq!(page.rejected[0].text, r#"{"create_time":7,"video_id":2}"#);
        assert_eq!(page.rejected[0].index, 1);
    }
}
