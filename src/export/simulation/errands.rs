//! Errands in virtual time: places, permits, attempts, rests and leave, as `buyer` and `pace` carry them out.
//!
//! What decides is the program's own: [`Gate`], [`Retry`] and [`RetryBudget`]. Here is only what waits, in the same queues.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::model::{Answer, Service};
use super::watch::Watch;
use crate::api::contract::PageQuery;
use crate::export::buyer::Asks;
use crate::fetch::gate::{Gate, Permit};
use crate::fetch::retry::{Leave, Next, Patience, Retry, RetryBudget, Trouble};
use crate::fetch::throttle::{LearnedRate, Rate};
use crate::plan::planner::Task;

/// How long answers on their way are waited for after a stop, as the coordinator does.
const DRAIN: Duration = Duration::from_secs(20);

/// What a worker, or the coordinator itself, was sent for.
#[derive(Debug)]
pub(super) enum Work {
    /// A page of the plan.
    Page(Box<Task>),
    /// A harmless page, to learn whether the service is well. Asked once.
    Visit(PageQuery),
}

/// What the first attempt was dealt: the driver draws it, so that a run's sequence of numbers does not depend on waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deal {
    /// Whether the service makes up its mind when it is asked, and not when the answer arrives.
    pub(super) is_early: bool,
    pub(super) latency: Duration,
}

/// An errand.
#[derive(Debug)]
struct Errand {
    work: Work,
    began: Duration,
    retry: Retry,
    patience: Patience,
    deal: Option<Deal>,
    is_resting: bool,
    permit: Option<Permit>,
    /// None where the service makes up its mind when the answer arrives.
    answer: Option<Answer>,
    sent_at: Duration,
    last: Option<Trouble>,
    failures: u32,
    throttled: u32,
}

/// How an errand ended.
#[derive(Debug)]
pub(super) enum Bought {
    Page(Answer),
    Refused,
    Failed,
}

/// An errand that is over.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) work: Work,
    pub(super) began: Duration,
    pub(super) bought: Bought,
}

/// What a moment brought.
#[derive(Debug)]
pub(super) enum Moment {
    /// An errand is over.
    Over(Box<Ended>),
    /// Something else went on.
    Passed,
    /// Nothing is left to wait for.
    Still,
}

/// What is due at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Answer(u64),
    /// A rest is over; leave is wanted.
    Rested(u64),
    /// A rest is over; no leave is needed.
    RestedFreely(u64),
    Permit,
    Leave,
}

/// How fast the process goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) rate: Rate,
    pub(super) workers: usize,
    /// Milliseconds that an answer takes at least, and at most.
    pub(super) latency: (u64, u64),
}

/// The errands of one process, and its clock.
pub(super) struct Errands {
    pace: Pace,
    now: Duration,
    process_began: Duration,
    gate: Gate,
    budget: RetryBudget,
    errands: BTreeMap<u64, Errand>,
    next: u64,
    wants_permit: VecDeque<u64>,
    wants_leave: VecDeque<u64>,
    in_flight: usize,
    resting: usize,
    due: BinaryHeap<Reverse<(Duration, u64, Due)>>,
    permit_due: Option<Duration>,
    leave_due: Option<Duration>,
    dice: StdRng,
    pub(super) watch: Watch,
}

impl Errands {
    pub(super) fn new(pace: Pace, seed: u64) -> Self {
        Self {
            now: Duration::ZERO,
            process_began: Duration::ZERO,
            gate: Gate::new(pace.rate, LearnedRate::default(), pace.workers),
            budget: RetryBudget::default(),
            errands: BTreeMap::new(),
            next: 0,
            wants_permit: VecDeque::new(),
            wants_leave: VecDeque::new(),
            in_flight: 0,
            resting: 0,
            due: BinaryHeap::new(),
            permit_due: None,
            leave_due: None,
            dice: StdRng::seed_from_u64(seed ^ 0xface),
            watch: Watch::default(),
            pace,
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// How many errands are under way.
    pub(super) fn count(&self) -> usize {
        self.errands.len()
    }

    /// Errands that keep a worker busy: one that rests leaves its place to another, within bounds.
    pub(super) fn busy(&self) -> usize {
        self.errands.len().saturating_sub(self.resting.min(self.pace.workers))
    }

    pub(super) fn useful_workers(&self) -> usize {
        self.gate.useful_workers()
    }

    /// A number that the run's own sequence knows nothing of.
    pub(super) fn dice(&mut self) -> f64 {
        self.dice.random()
    }

    /// The process died, or ended, and the next one began after `pause`. It knows the rate that was learned.
    pub(super) fn restart(&mut self, pause: Duration) {
        self.now += pause;
        self.process_began = self.now;
        self.gate = Gate::new(self.pace.rate, self.gate.learned(), self.pace.workers);
        self.budget = RetryBudget::default();
        self.errands.clear();
        self.wants_permit.clear();
        self.wants_leave.clear();
        (self.in_flight, self.resting) = (0, 0);
        self.due.clear();
        (self.permit_due, self.leave_due) = (None, None);
        self.watch.restart(self.now);
    }

    /// Begins to buy a page.
    pub(super) fn buy(&mut self, task: Task, how: (Asks, Patience), deal: Deal, service: &mut Service) {
        let (asks, patience) = how;
        self.watch.begins(&task.address);
        let number = self.add(Work::Page(Box::new(task)), patience, deal);
        match asks {
            Asks::First => self.wants_permit.push_back(number),
            Asks::Again => self.want_leave(number),
            Asks::Confirming(rest) => {
                self.rest(number);
                self.at(self.now + rest, Due::Rested(number));
            }
        }
        self.go_on(service);
    }

    /// Begins to look whether the service is well.
    pub(super) fn visit(&mut self, query: PageQuery, service: &mut Service) {
        let deal = self.draw();
        let number = self.add(Work::Visit(query), Patience::Short, deal);
        self.wants_permit.push_back(number);
        self.go_on(service);
    }

    fn add(&mut self, work: Work, patience: Patience, deal: Deal) -> u64 {
        let number = self.next;
        self.next += 1;
        let errand = Errand {
            work,
            began: self.now,
            retry: Retry::new(patience),
            patience,
            deal: Some(deal),
            is_resting: false,
            permit: None,
            answer: None,
            sent_at: self.now,
            last: None,
            failures: 0,
            throttled: 0,
        };
        self.errands.insert(number, errand);
        number
    }

    fn draw(&mut self) -> Deal {
        let (least, most) = self.pace.latency;
        let latency = Duration::from_millis(self.dice.random_range(least..=most));
        Deal { is_early: self.dice.random(), latency }
    }

    /// Goes on to the next moment at which something is due.
    pub(super) fn step(&mut self, service: &mut Service) -> Moment {
        let Some(Reverse((at, _, due))) = self.due.pop() else { return Moment::Still };
        self.now = self.now.max(at);
        let ended = match due {
            Due::Answer(number) => self.hear(number, service),
            Due::Rested(number) => {
                self.want_leave(number);
                None
            }
            Due::RestedFreely(number) => {
                self.want_permit(number);
                None
            }
            Due::Permit => {
                self.permit_due = None;
                None
            }
            Due::Leave => {
                self.leave_due = None;
                None
            }
        };
        self.go_on(service);
        ended.map_or(Moment::Passed, |ended| Moment::Over(Box::new(ended)))
    }

    /// When the next thing is due.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// Waits until something lasts so long, at most until then.
    pub(super) fn wait_until(&mut self, at: Duration) {
        self.now = self.now.max(at);
    }

    /// Stops: nothing more is sent, and the answers on their way are waited for, for a while.
    pub(super) fn drain(&mut self, service: &mut Service) -> Vec<Ended> {
        self.wants_permit.clear();
        self.wants_leave.clear();
        let by = self.now + DRAIN;
        let mut ended = Vec::new();
        while let Some(Reverse((at, _, due))) = self.due.pop() {
            if let Due::Answer(number) = due
                && at <= by
            {
                self.now = self.now.max(at);
                ended.extend(self.hear(number, service));
            }
        }
        ended
    }

    /// Whoever may go on goes on.
    fn go_on(&mut self, service: &mut Service) {
        self.give_leave();
        self.give_permits(service);
    }

    /// Time since the process began, as its own clock tells it.
    fn clock(&self) -> Duration {
        self.now.saturating_sub(self.process_began)
    }

    fn at(&mut self, at: Duration, due: Due) {
        self.next += 1;
        self.due.push(Reverse((at, self.next, due)));
    }

    fn want_leave(&mut self, number: u64) {
        self.rest(number);
        self.wants_leave.push_back(number);
    }

    fn want_permit(&mut self, number: u64) {
        self.wake(number);
        self.wants_permit.push_back(number);
    }

    /// It leaves its worker's place to another.
    fn rest(&mut self, number: u64) {
        if let Some(errand) = self.errands.get_mut(&number) {
            self.resting += usize::from(!errand.is_resting);
            errand.is_resting = true;
        }
    }

    fn wake(&mut self, number: u64) {
        if let Some(errand) = self.errands.get_mut(&number) {
            self.resting -= usize::from(errand.is_resting);
            errand.is_resting = false;
        }
    }

    /// Leave is given in the order of asking, as far as the budget goes.
    fn give_leave(&mut self) {
        while let Some(number) = self.wants_leave.front().copied() {
            match self.budget.take(self.clock()) {
                Ok(()) => {
                    self.wants_leave.pop_front();
                    self.want_permit(number);
                }
                Err(wait) => {
                    let at = self.now + wait;
                    if self.leave_due.is_none_or(|due| at < due) {
                        self.leave_due = Some(at);
                        self.at(at, Due::Leave);
                    }
                    return;
                }
            }
        }
    }

    /// Permits are given in the order of asking, as far as there are places and as fast as the gate lets them through.
    fn give_permits(&mut self, service: &mut Service) {
        while self.in_flight < self.pace.workers
            && let Some(number) = self.wants_permit.front().copied()
        {
            match self.gate.admit(self.clock()) {
                Ok(permit) => {
                    self.wants_permit.pop_front();
                    self.send(number, permit, service);
                }
                Err(until) => {
                    let at = self.process_began + until;
                    if self.permit_due.is_none_or(|due| at < due) {
                        self.permit_due = Some(at);
                        self.at(at, Due::Permit);
                    }
                    return;
                }
            }
        }
    }

    fn send(&mut self, number: u64, permit: Permit, service: &mut Service) {
        let fresh = self.draw();
        let Some(errand) = self.errands.get_mut(&number) else { return };
        let deal = errand.deal.take().unwrap_or(fresh);
        (errand.permit, errand.sent_at) = (Some(permit), self.now);
        let leave = errand.leave();
        let address = match &errand.work {
            Work::Page(task) => Some(&task.address),
            Work::Visit(_) => None,
        };
        self.watch.sends(self.now, address, leave);
        errand.answer = match service.admits(self.now) {
            Err(retry_after) => Some(Answer::Throttled(retry_after)),
            Ok(()) => deal.is_early.then(|| service.answer(errand.work.query())),
        };
        self.in_flight += 1;
        self.at(self.now + deal.latency, Due::Answer(number));
    }

    /// An answer came: what follows from it for everybody, and for its errand.
    fn hear(&mut self, number: u64, service: &mut Service) -> Option<Ended> {
        let clock = self.clock();
        let spread = self.dice();
        self.in_flight -= 1;
        let errand = self.errands.get_mut(&number)?;
        let answer = errand.answer.take().unwrap_or_else(|| service.answer(errand.work.query()));
        let permit = errand.permit.take()?;
        let trouble = match answer {
            Answer::Page { .. } => {
                self.gate.answered(clock, permit);
                self.budget.answered(clock);
                self.watch.answered();
                return self.end(number, Bought::Page(answer));
            }
            Answer::Refused => return self.end(number, Bought::Refused),
            Answer::Throttled(retry_after) => {
                errand.throttled += 1;
                self.watch.throttled(self.now, errand.sent_at, retry_after, errand.throttled);
                self.gate.throttled(clock, permit, retry_after, spread);
                Trouble::Throttled
            }
            Answer::Broken => {
                errand.failures += 1;
                self.watch.failed(errand.failures, errand.patience, &errand.work);
                self.gate.failed(clock, spread);
                Trouble::Failed
            }
        };
        if matches!(errand.work, Work::Visit(_)) {
            return self.end(number, Bought::Failed);
        }
        self.ask_again(number, trouble)
    }

    fn ask_again(&mut self, number: u64, trouble: Trouble) -> Option<Ended> {
        let jitter = self.dice();
        let errand = self.errands.get_mut(&number)?;
        errand.last = Some(trouble);
        let (rest, due) = match errand.retry.after(trouble, jitter) {
            Next::Permit => {
                self.want_permit(number);
                return None;
            }
            Next::Rest(rest, Leave::Wanted) => (rest, Due::Rested(number)),
            Next::Rest(rest, Leave::Free) => (rest, Due::RestedFreely(number)),
            Next::Never => return self.end(number, Bought::Failed),
        };
        self.rest(number);
        self.at(self.now + rest, due);
        None
    }

    fn end(&mut self, number: u64, bought: Bought) -> Option<Ended> {
        self.wake(number);
        let Errand { work, began, .. } = self.errands.remove(&number)?;
        if let Work::Page(task) = &work {
            self.watch.ends(&task.address);
        }
        Some(Ended { work, began, bought })
    }
}

impl Errand {
    /// Whether what is sent next should have had leave, if its page failed before: not after a 429, which cost it nothing, and
    /// not for the one retry of a page of a parked window.
    fn leave(&self) -> Leave {
        let is_free = self.last == Some(Trouble::Throttled) || (self.failures > 0 && self.patience == Patience::Short);
        if is_free { Leave::Free } else { Leave::Wanted }
    }
}

impl Work {
    pub(super) fn query(&self) -> &PageQuery {
        match self {
            Self::Page(task) => &task.query,
            Self::Visit(query) => query,
        }
    }
}
