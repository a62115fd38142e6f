//! Asking for pages that no plan needs: through the run's own gate, pool and retries, within a number of credits.
//!
//! Nothing of it is journalled but what it may cost, before the first request. Every attempt counts, as with a run.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::api::client::Client;
use crate::api::contract::PageQuery;
use crate::api::reply::PageAnswer;
use crate::fetch::attempt::{Came, attempt};
use crate::fetch::job::{Asks, Dice, Fetched, Heard, JobId, Work};
use crate::fetch::pool::{JobOutcome, Over, Pool, Sending};
use crate::fetch::retry::Patience;
use crate::journal::{Journal, JournalError};
use crate::plan::answer::{Expected, RegionHabit, tie};
use crate::plan::fact::{PageAddress, Purpose, WindowId};
use crate::plan::planner::Task;
use crate::units::{Credits, EpochSeconds};

/// Refusals in a row after which nothing more is asked: it is the key or the question that is refused.
const MOST_REFUSALS: u32 = 4;

/// Why the service gave no more pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The key has nothing left to spend.
    Quota(String),
    /// It refuses.
    Refused(u16, String),
    /// Nothing was ever heard from it, and as it is addressed nothing will be.
    Unreachable(String),
    /// No page came for too long.
    Unwell(String),
    /// Of so many pages, too many held fewer rows than the output has there, also when they were asked once more.
    Poor(u64, u64),
}

/// A question, and what the region's rows are known to name as their region.
pub(super) type Question = (PageQuery, RegionHabit);

/// A question about a scope.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The scope's number.
    pub(super) scope: usize,
    pub(super) question: Question,
    /// A second of the output's rows that its page shows or goes beyond, if it has free places; none where the output has no row there.
    pub(super) shows: Option<EpochSeconds>,
}

/// Asks within a number of credits.
pub(super) struct Asker {
    client: Client,
    /// What must hold the state while something is sent.
    journal: Journal,
    pool: Pool,
    credits: Credits,
    spent: Credits,
    give_up_after: Duration,
    began: Instant,
    last_page: Instant,
    refusals: u32,
    stopped: Option<Stopped>,
}

enum Step {
    Heard(JobId, Heard, Option<PageAnswer>),
    Woke,
}

impl Asker {
    pub(super) fn new(
        (client, journal): (Client, Journal),
        pool: Pool,
        credits: Credits,
        give_up_after: Duration,
    ) -> Self {
        let now = Instant::now();
        Self {
            client,
            journal,
            pool,
            credits,
            spent: Credits::ZERO,
            give_up_after,
            began: now,
            last_page: now,
            refusals: 0,
            stopped: None,
        }
    }

    /// Attempts that were sent.
    pub(super) fn spent(&self) -> Credits {
        self.spent
    }

    /// Why the service gave no more pages; none where it did.
    pub(super) fn stopped(&self) -> Option<&Stopped> {
        self.stopped.as_ref()
    }

    /// Asks these questions, as far as the credits go; gives the answers by the questions' places. At most as many are begun as there are
    /// credits left. Cancelling it gives up what is on its way.
    ///
    /// # Errors
    /// [`JournalError::Lapsed`] once the state is not held any more.
    pub(super) async fn ask(&mut self, questions: &[Question]) -> Result<BTreeMap<usize, PageAnswer>, JournalError> {
        let left = usize::try_from(self.credits.minus(self.spent).get()).unwrap_or(usize::MAX);
        let mut jobs = BTreeMap::new();
        for (place, question) in questions.iter().enumerate().take(left) {
            let now = self.began.elapsed();
            jobs.insert(self.pool.begin(task(question), (Asks::First, Patience::Full), now), place);
        }
        let mut answers = BTreeMap::new();
        let mut tasks = JoinSet::new();
        while self.stopped.is_none() && !self.pool.is_empty() {
            self.send(&mut tasks);
            if self.pool.is_empty() {
                break;
            }
            if let Step::Heard(job, heard, page) = self.next(&mut tasks).await {
                self.take(job, heard, |pool| {
                    pool.kept(job, Duration::ZERO);
                    answers.extend(jobs.get(&job).copied().zip(page));
                });
            }
            if let Some(Err(lapsed)) = self.journal.leave_to_send().now_or_never() {
                self.pool.abandon();
                return Err(lapsed);
            }
            if self.last_page.elapsed() > self.give_up_after {
                let why = self.pool.last_failure().unwrap_or("no page came").to_owned();
                self.stopped = Some(Stopped::Unwell(why));
            }
        }
        self.pool.abandon();
        Ok(answers)
    }

    fn send(&mut self, tasks: &mut JoinSet<(JobId, Heard, Option<PageAnswer>)>) {
        for Sending { job, work, .. } in self.pool.go_on(self.began.elapsed()) {
            if self.spent >= self.credits {
                let heard = Heard::OutOfCredits { spent: self.spent, max: self.credits };
                self.take(job, heard, |_| {});
                continue;
            }
            self.spent = self.spent.plus(Credits::new(1));
            let (client, journal) = (self.client.clone(), self.journal.clone());
            tasks.spawn(async move {
                let lapsed = |why: String| (job, Heard::Unanswered { why }, None);
                if let Err(error) = journal.leave_to_send().await {
                    return lapsed(error.to_string());
                }
                tokio::select! {
                    asked = asked(&client, job, &work) => asked,
                    () = journal.runs_out() => lapsed("the lease of the state ran out".to_owned()),
                }
            });
        }
    }

    async fn next(&self, tasks: &mut JoinSet<(JobId, Heard, Option<PageAnswer>)>) -> Step {
        let deadline = self.last_page + self.give_up_after + Duration::from_millis(1);
        let wake = self.pool.wake_at().map_or(deadline, |at| (self.began + at).min(deadline));
        tokio::select! {
            Some(Ok((job, heard, page))) = tasks.join_next() => Step::Heard(job, heard, page),
            () = sleep_until(wake) => Step::Woke,
        }
    }

    /// What follows from an attempt; `keep` takes its page in.
    fn take(&mut self, job: JobId, heard: Heard, keep: impl FnOnce(&mut Pool)) {
        let now = self.began.elapsed();
        let dice = Dice { spread: rand::random(), jitter: rand::random() };
        let heeded = self.pool.heard(job, heard, dice, now);
        match heeded.map(|heeded| heeded.then) {
            Some(JobOutcome::Keep) => {
                (self.last_page, self.refusals) = (Instant::now(), 0);
                keep(&mut self.pool);
            }
            Some(JobOutcome::Over(Over { how, .. })) => self.end(how),
            Some(JobOutcome::GoesOn) | None => {}
        }
    }

    fn end(&mut self, how: Fetched) {
        match how {
            Fetched::Quota { message } => self.stopped = Some(Stopped::Quota(message)),
            Fetched::Unreachable { why } => self.stopped = Some(Stopped::Unreachable(why)),
            Fetched::Refused { code, message } => {
                self.refusals += 1;
                // One page that is refused keeps nobody else from asking.
                self.pool.hold(false);
                if self.refusals >= MOST_REFUSALS {
                    self.stopped = Some(Stopped::Refused(code, message));
                }
            }
            _ => {}
        }
    }
}

/// A question as the pool takes it. Its address is a name within this process alone.
fn task((query, habit): &Question) -> Task {
    let second = query.min_create_time.unwrap_or_default();
    Task {
        address: PageAddress { region: query.region.clone(), purpose: Purpose::Bounds, page: query.page },
        query: query.clone(),
        expected: Expected { habit: *habit, ..Expected::default() },
        position: second,
        window: WindowId(0),
    }
}

async fn asked(client: &Client, job: JobId, work: &Work) -> (JobId, Heard, Option<PageAnswer>) {
    match (attempt(client, work.query()).await, work) {
        (Ok(Came { answer, .. }), Work::Page(task)) => {
            let tied = tie(&task.query, task.expected, &answer);
            let PageAnswer { request_id, rows, .. } = answer;
            let is_delivered = |place: usize| u32::try_from(place).is_ok_and(|place| tied.delivered.contains(&place));
            let rows = rows.into_iter().enumerate().filter(|(place, _)| is_delivered(*place)).map(|(_, row)| row);
            // Who the rows are is all that counts; their values are let go.
            let page = PageAnswer { request_id, rows: rows.collect(), packed: Default::default() };
            (job, Heard::Page { doubt: tied.doubt }, Some(page))
        }
        (Ok(_), Work::HealthProbe(_)) => (job, Heard::Page { doubt: None }, None),
        (Err(heard), _) => (job, heard, None),
    }
}
