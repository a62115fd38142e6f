//! All fetch jobs of a process: how many may be on their way, and what one answer means for everybody.
//! Pure; time is a duration since the process began, and dice are handed in.
//!
//! The invariants: a permit is never given before [`super::gate`] gives it; no more jobs are under way than may be; and those of `turns`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::api::contract::{PageQuery, Region};
use crate::plan::answer::Doubt;
use crate::plan::fact::PageAddress;
use crate::plan::planner::Task;

use super::gate::{Gate, Permit};
use super::job::{Asks, Dice, FetchJob, Fetched, Heard, JobId, Stands, Then, Work};
use super::reach::Reach;
use super::retry::{Patience, RetryToken};
use super::silence::Silence;
use super::throttle::{LearnedRate, Rate};
use lone::{LoneThrottling, Whose};
use turns::Turns;

mod lone;
mod turns;

/// How long everybody waits at least where a page came that lacks a known row: asked again too soon, it may lack it again.
const DOUBT_HOLD: Duration = Duration::from_secs(1);
/// After how long one request asks again whether a key is spent that an answer said to be so: one answer may be wrong.
const SPENT_AGAIN: Duration = Duration::from_millis(500);
/// A wait for a retry token that is worth a person's attention.
const NOTABLE_WAIT: Duration = Duration::from_secs(1);

/// A request that is to be sent now. Whoever sends it reports what it [heard](Pool::heard).
#[derive(Clone, Debug)]
pub struct Sending {
    /// The job.
    pub job: JobId,
    /// What to ask.
    pub work: Work,
    /// Whether the page was asked for before.
    pub asks: Asks,
}

/// A job that is over.
#[derive(Debug)]
pub struct Over {
    /// Its number.
    pub job: JobId,
    /// What it was for.
    pub work: Work,
    /// When it began.
    pub began: Duration,
    /// Whether an attempt of it failed.
    pub has_failed: bool,
    /// How it ended.
    pub how: Fetched,
}

/// What follows from one attempt.
#[derive(Debug)]
pub struct Heeded {
    /// For how long everybody is held, and why, where this answer began the hold.
    pub hold: Option<(Duration, String)>,
    /// Why the page that came is not kept: it seems to answer another question.
    pub astray: Option<String>,
    /// What follows for the job.
    pub then: JobOutcome,
}

/// What follows for a job from one attempt.
#[derive(Debug)]
pub enum JobOutcome {
    /// Its page is to be made durable, and then [kept](Pool::kept).
    Keep,
    /// It goes on by itself.
    GoesOn,
    /// It is over.
    Over(Over),
}

/// A page that is durable.
#[derive(Debug)]
pub struct Kept {
    /// What it was fetched for.
    pub task: Arc<Task>,
    /// When its job began.
    pub began: Duration,
    /// When it came.
    pub heard: Duration,
}

/// A region's failed attempts in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failures {
    /// How many.
    pub attempts: u32,
    /// When the first of them failed.
    pub since: Duration,
    /// The last one, for a person.
    pub why: String,
}

/// An answer said that the key is spent.
#[derive(Clone, Copy, Debug)]
struct Spent {
    /// The job that heard it first, and alone asks again.
    asking: JobId,
    /// Requests that were on their way then and did not say so yet.
    others: usize,
}

/// The jobs of a process.
#[derive(Debug)]
pub struct Pool {
    most_in_flight: usize,
    /// How far apart in time two answers must be to confirm each other.
    apart: Duration,
    gate: Gate,
    reach: Reach,
    turns: Turns,
    silence: Silence,
    /// When the last page came.
    last_page: Option<Duration>,
    /// The last answer, where it was a refusal in words of the rate.
    slowed: Option<(u16, String)>,
    /// Of each region, the failed attempts since its last page.
    failures: BTreeMap<Region, Failures>,
    /// And those that came too early, which may be the key's trouble.
    throttled: BTreeMap<Region, Failures>,
    lone: LoneThrottling,
    /// When a region may be asked again that alone is throttled.
    region_due: Option<Duration>,
    /// Whether nothing but what was refused is asked, as long as it may be the key that is refused, or until it is weighed whether it is spent.
    is_held: bool,
    /// Whether one request at a time shows if a key is spent that a region's answers said to be so.
    is_doubted: bool,
    /// What answers have said of a key that is spent, until that is settled.
    spent: Option<Spent>,
    /// Regions of which nothing is asked.
    stopped_regions: BTreeSet<Region>,
    is_stopped: bool,
}

impl Pool {
    /// A pool in which `most_in_flight` requests may be on their way, at the asked rate or at what was learned.
    pub fn new(rate: Rate, learned: LearnedRate, most_in_flight: usize) -> Self {
        Self {
            most_in_flight: most_in_flight.max(1),
            apart: Duration::ZERO,
            gate: Gate::new(rate, learned, most_in_flight),
            reach: Reach::default(),
            turns: Turns::default(),
            silence: Silence::default(),
            last_page: None,
            slowed: None,
            failures: BTreeMap::new(),
            throttled: BTreeMap::new(),
            lone: LoneThrottling::default(),
            region_due: None,
            is_held: false,
            is_doubted: false,
            spent: None,
            stopped_regions: BTreeSet::new(),
            is_stopped: false,
        }
    }

    /// The same, where answers confirm each other that are so far apart in time.
    pub fn confirming_after(self, apart: Duration) -> Self {
        Self { apart, ..self }
    }

    /// Begins to fetch a page.
    pub fn begin(&mut self, task: Task, how: (Asks, Patience), now: Duration) -> JobId {
        let rest = if let Asks::Confirming(rest) = how.0 { rest } else { Duration::ZERO };
        self.turns.add(FetchJob::new(Work::Page(Arc::new(task)), how, now), now + rest)
    }

    /// Begins to look, after a rest, whether a region or the service is well.
    pub fn probe(&mut self, query: PageQuery, rest: Duration, now: Duration) -> JobId {
        let query = Arc::new(query);
        if rest.is_zero() {
            return self.turns.add(FetchJob::new(Work::HealthProbe(query), (Asks::First, Patience::Short), now), now);
        }
        self.turns.add(FetchJob::probe(query, now), now + rest)
    }

    /// Asks for these pages, which have failed before, just often enough to know that it was no accident: the service is well.
    pub fn shorten(&mut self, is_at_fault: impl Fn(&PageAddress) -> bool) {
        let is_wanted = |job: &FetchJob| match &job.work {
            Work::Page(task) => job.asks == Asks::Again && is_at_fault(&task.address),
            Work::HealthProbe(_) => false,
        };
        for id in self.turns.ids(is_wanted) {
            if let Some(job) = self.turns.job_mut(id) {
                job.shorten();
            }
        }
    }

    /// Lets nobody send anything, but for what is asked again because it was refused; or lets everybody go on.
    pub fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    /// Lets one request at a time be on its way, as long as it may be that the key is spent and not one region refused for it.
    pub fn doubt(&mut self, is_doubted: bool) {
        self.is_doubted = is_doubted;
    }

    /// Asks nothing of these regions: their jobs of which nothing is under way are over. Health probes go on.
    pub fn stop_regions(&mut self, regions: BTreeSet<Region>) -> Vec<Over> {
        self.stopped_regions = regions;
        if self.stopped_regions.is_empty() {
            return Vec::new();
        }
        let (is_stopped, regions) = (self.is_stopped, &self.stopped_regions);
        let over = self.turns.end_idle(|job| is_stopped || is_of(&job.work, regions));
        self.forget_spent(&over);
        over
    }

    /// The failed attempts of a region since its last page; none where the last one came.
    pub fn failures(&self, region: &Region) -> Option<&Failures> {
        self.failures.get(region)
    }

    /// The attempts of a region since its last page that came too early.
    pub fn throttled(&self, region: &Region) -> Option<&Failures> {
        self.throttled.get(region)
    }

    fn is_stopped(&self, work: &Work) -> bool {
        self.is_stopped || is_of(work, &self.stopped_regions)
    }

    /// Gives rests their end, retry tokens and permits at `now`: the requests that go out, in this order.
    pub fn go_on(&mut self, now: Duration) -> Vec<Sending> {
        if self.is_stopped {
            return Vec::new();
        }
        self.region_due = self.lone.wake_at(now);
        self.turns.go_on(now);
        // Until the service has answered once, one request is on its way: what is wrong from the start is learned for one.
        let places = if self.reach.is_heard() && !self.is_doubted { self.most_in_flight } else { 1 };
        let (spent, is_held, lone) = (self.spent, self.is_held, &self.lone);
        // While it is to be confirmed that the key is spent, nobody is asked but that; while everybody is held, those whose refusal is.
        let may_have = |id: JobId, job: &FetchJob| match spent {
            Some(spent) => id == spent.asking,
            _ if lone.holds(&job.work.query().region, now) => false,
            None => !is_held || matches!(job.asks, Asks::Confirming(_)),
        };
        self.turns.give_permits((places, now), may_have, || self.gate.admit(now))
    }

    /// What came of an attempt. `None` where the job is not there any more.
    pub fn heard(&mut self, id: JobId, heard: Heard, dice: Dice, now: Duration) -> Option<Heeded> {
        let Stands::OnItsWay(permit) = self.turns.job(id)?.stands else { return None };
        let work = self.turns.job(id)?.work.clone();
        let heard = self.of_pace(id, heard, now);
        let heard = self.of_region_alone(heard, &work.query().region, now);
        let hold = self.heed(&heard, permit, dice.spread, now);
        let is_lost = matches!(heard, Heard::Unreached { what, .. } if self.reach.lasting(what, now));
        let then = match self.confirmed(id, &heard) {
            Some(then) => then,
            None => self.turns.job_mut(id)?.after(heard.clone(), dice.jitter, (now, self.apart)),
        };
        let astray = heard.doubt().filter(|_| !work.is_probe() && !matches!(then, Then::Keep)).map(ToString::to_string);
        let why = heard.why().or(astray.as_deref()).map(str::to_owned);
        self.count(&work, &heard, why.as_deref(), now);
        let then = match then {
            _ if is_lost => Then::End(Fetched::Unreachable { why: why.clone().unwrap_or_default() }),
            Then::AskAgain | Then::Rest(..) if self.is_stopped(&work) => Then::End(Fetched::Stopped),
            then => then,
        };
        self.is_held |= !work.is_probe() && matches!(then, Then::End(Fetched::Quota { .. }));
        let then = match then {
            Then::Keep => {
                self.turns.stand(id, Stands::Keeps { since: now });
                JobOutcome::Keep
            }
            Then::AskAgain => {
                self.turns.want_permit(id);
                JobOutcome::GoesOn
            }
            Then::Rest(rest, token) => {
                self.turns.rest(id, now + rest, token);
                JobOutcome::GoesOn
            }
            Then::End(how) => JobOutcome::Over(self.end(id, how)?),
        };
        Some(Heeded { hold: hold.zip(why), astray, then })
    }

    /// What a job does that is told that the key is spent: the first such job asks again after a while, and nobody else asks anything
    /// meanwhile. Whatever else that request brings, the key is not spent. Where all that were on their way are told the same, it is, or its
    /// region cannot be had for it, and nobody has to ask; which of the two is shown by [other regions](Pool::doubt).
    fn confirmed(&mut self, id: JobId, heard: &Heard) -> Option<Then> {
        let is_told = matches!(heard, Heard::Quota { .. });
        match &mut self.spent {
            Some(spent) if spent.asking == id => {
                self.spent = None;
                None
            }
            Some(spent) if is_told => {
                spent.others = spent.others.saturating_sub(1);
                (spent.others > 0).then_some(Then::AskAgain)
            }
            // It confirms what another region was told.
            None if is_told && self.is_doubted => None,
            None if is_told => {
                let on_way = self.turns.ids(|job| matches!(job.stands, Stands::OnItsWay(_))).len();
                self.spent = Some(Spent { asking: id, others: on_way.saturating_sub(1) });
                Some(Then::Rest(SPENT_AGAIN, RetryToken::Free))
            }
            _ => None,
        }
    }

    /// A refusal in words of the rate is one that comes too early, until a lower pace has not helped.
    fn of_pace(&mut self, id: JobId, heard: Heard, now: Duration) -> Heard {
        self.slowed = None;
        match heard {
            Heard::Slowed { code, message, why } => {
                let last_page = self.last_page;
                if self.turns.job_mut(id).is_some_and(|job| job.is_refused_for_good(last_page, now)) {
                    return Heard::Refused { code, message, wait: None };
                }
                self.slowed = Some((code, message));
                Heard::Throttled { why, wait: None }
            }
            heard => {
                self.last_page = if matches!(heard, Heard::Page { .. }) { Some(now) } else { self.last_page };
                heard
            }
        }
    }

    /// What comes back as 429 from one region alone is a failure of that region, and holds it as long as it asks for.
    fn of_region_alone(&mut self, heard: Heard, region: &Region, now: Duration) -> Heard {
        match heard {
            Heard::Throttled { why, wait } => match self.lone.throttled(region, wait, now) {
                Whose::Keys => Heard::Throttled { why, wait },
                whose => {
                    if whose == Whose::RegionsSinceNow {
                        self.gate.begin_again(now);
                    }
                    Heard::Failed { why: format!("{why}, while other regions are answered"), wait: None }
                }
            },
            Heard::Page { .. } => {
                self.lone.answered(region);
                heard
            }
            heard => heard,
        }
    }

    /// What an attempt says of its region, and whether it may be the key that was refused.
    fn count(&mut self, work: &Work, heard: &Heard, why: Option<&str>, now: Duration) {
        match why {
            Some(why) => self.silence.failed(why, matches!(heard, Heard::Throttled { .. } | Heard::Slowed { .. })),
            None if matches!(heard, Heard::Page { .. }) => self.silence.page(),
            None => {}
        }
        let region = &work.query().region;
        match (heard, why) {
            (Heard::Quota { .. } | Heard::OutOfCredits { .. }, _) => {}
            (Heard::Refused { .. }, _) => self.is_held |= !work.is_probe(),
            (_, None) => {
                self.failures.remove(region);
                self.throttled.remove(region);
            }
            (_, Some(why)) => {
                let is_throttled = matches!(heard, Heard::Throttled { .. } | Heard::Slowed { .. });
                let kind = if is_throttled { &mut self.throttled } else { &mut self.failures };
                let new = || Failures { attempts: 0, since: now, why: String::new() };
                let failures = kind.entry(region.clone()).or_insert_with(new);
                failures.attempts += 1;
                why.clone_into(&mut failures.why);
            }
        }
    }

    /// What an answer means for everybody; for how long everybody is held, where it began a hold.
    fn heed(&mut self, heard: &Heard, permit: Permit, spread: f64, now: Duration) -> Option<Duration> {
        match heard {
            Heard::OutOfCredits { .. } | Heard::Unreached { .. } => {}
            Heard::Unanswered { .. } => self.reach.passing(),
            _ => self.reach.heard(),
        }
        match heard {
            // It may be what comes of asking too fast.
            Heard::Page { doubt: Some(Doubt::KnownRowMissing(_)) } => {
                self.turns.answered(now);
                self.gate.throttled(now, permit, Some(DOUBT_HOLD), spread)
            }
            Heard::Page { .. } => {
                self.gate.answered(now, permit);
                self.turns.answered(now);
                None
            }
            Heard::Throttled { wait, .. } => self.gate.throttled(now, permit, *wait, spread),
            Heard::Slowed { .. } => self.gate.throttled(now, permit, None, spread),
            Heard::Refused { wait, .. } => {
                wait.and_then(|wait| self.gate.asked_to_wait(now, wait));
                None
            }
            Heard::Failed { wait, .. } => {
                let asked = wait.and_then(|wait| self.gate.asked_to_wait(now, wait));
                self.gate.failed(now, spread).max(asked)
            }
            Heard::Unanswered { .. } | Heard::Unreached { .. } => self.gate.failed(now, spread),
            Heard::Quota { .. } | Heard::OutOfCredits { .. } => None,
        }
    }

    /// The page of a job is durable, which took so long after it came: the job is over.
    pub fn kept(&mut self, id: JobId, took: Duration) -> Option<Kept> {
        self.gate.kept(took);
        let Stands::Keeps { since: heard } = self.turns.job(id)?.stands else { return None };
        match self.give_up(id)? {
            Over { work: Work::Page(task), began, .. } => Some(Kept { task, began, heard }),
            Over { .. } => None,
        }
    }

    /// Gives up a job that is under way.
    pub fn give_up(&mut self, id: JobId) -> Option<Over> {
        self.end(id, Fetched::Stopped)
    }

    /// Nothing more is sent: jobs of which nothing is under way are over.
    pub fn stop(&mut self) -> Vec<Over> {
        self.is_stopped = true;
        self.region_due = None;
        let over = self.turns.stop();
        self.forget_spent(&over);
        over
    }

    /// No health probe is sent any more: those of which nothing is under way are over.
    pub fn stop_probes(&mut self) -> Vec<Over> {
        let over = self.turns.end_idle(|job| job.work.is_probe());
        self.forget_spent(&over);
        over
    }

    /// Gives up what is under way and does not come.
    pub fn abandon(&mut self) -> Vec<Over> {
        self.turns.ids(|_| true).into_iter().filter_map(|id| self.end(id, Fetched::Stopped)).collect()
    }

    /// When something may go on that no answer brings about.
    pub fn wake_at(&self) -> Option<Duration> {
        [self.turns.wake_at(), self.region_due].into_iter().flatten().min()
    }

    /// Jobs that are not over.
    pub fn len(&self) -> usize {
        self.turns.len()
    }

    /// Whether there is no job.
    pub fn is_empty(&self) -> bool {
        self.turns.len() == 0
    }

    /// Jobs that were begun by this process.
    pub fn begun(&self) -> u64 {
        self.turns.begun()
    }

    /// Jobs that keep a worker busy: one that rests between attempts leaves its place to another, within bounds.
    pub fn busy(&self) -> usize {
        self.turns.len().saturating_sub(self.turns.resting().min(self.most_in_flight))
    }

    /// How many workers the rate can use.
    pub fn useful_workers(&self) -> usize {
        self.gate.useful_workers()
    }

    /// Requests a second, now.
    pub fn rate(&self) -> f64 {
        self.gate.rate()
    }

    /// How long an answer takes, seconds, in a mean that forgets; none before the first.
    pub fn latency(&self) -> Option<f64> {
        self.gate.latency()
    }

    /// What the next run should know of the rate.
    pub fn learned(&self) -> LearnedRate {
        self.gate.learned()
    }

    /// The last failure, for a person; throttling where that is a part of what fails.
    pub fn last_failure(&self) -> Option<&str> {
        self.silence.why()
    }

    /// The last answer, where it was a refusal in words of the rate: if nothing else comes at any pace, it is one for good.
    pub fn slowed(&self) -> Option<(u16, String)> {
        self.slowed.clone()
    }

    /// The longest that a failed page has waited for a retry token, where that is worth a person's attention.
    pub fn notable_wait(&self) -> Option<Duration> {
        Some(self.turns.longest_wait()).filter(|wait| *wait >= NOTABLE_WAIT)
    }

    /// What a job is for.
    pub fn work(&self, id: JobId) -> Option<&Work> {
        self.turns.job(id).map(|job| &job.work)
    }

    /// Whether a job's page is asked just often enough to know that it was no accident.
    #[cfg(test)]
    pub fn is_short(&self, id: JobId) -> bool {
        self.turns.job(id).is_some_and(FetchJob::is_short)
    }

    fn end(&mut self, id: JobId, how: Fetched) -> Option<Over> {
        let over = self.turns.end(id, how)?;
        self.forget_spent(std::slice::from_ref(&over));
        Some(over)
    }

    /// Whoever was to confirm that the key is spent does so no more.
    fn forget_spent(&mut self, over: &[Over]) {
        self.spent = self.spent.filter(|spent| !over.iter().any(|over| over.job == spent.asking));
    }
}

/// Whether it is a page of one of these regions.
fn is_of(work: &Work, regions: &BTreeSet<Region>) -> bool {
    !work.is_probe() && regions.contains(&work.query().region)
}

#[cfg(test)]
mod tests;
