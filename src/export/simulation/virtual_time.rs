//! Drives the program's own machine in virtual time: a model of the service answers, a model of the journal keeps, slices are
//! cut, and the process dies, or is stopped, and starts again.
//!
//! Held at every start's end: what was paid for is durable, and the plan is the one that the journal gives.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::checker::Checker;
use super::journal::Journal;
use super::model::{Answer, Service};
use super::outcome::Outcome;
use super::watch::Watch;
use crate::api::contract::{Filters, Region};
use crate::export::machine::{Conclusion, Event, Machine, Moment, Settings};
use crate::export::regions::Regions;
use crate::export::{Ending, Interrupt, PlanOrder};
use crate::fetch::job::{JobId, Work};
use crate::fetch::retry::Patience;
use crate::fetch::throttle::{LearnedRate, Rate};
use crate::journal::record::Upkeep;
use crate::plan::answer::Tied;
use crate::plan::event::PlanEvent;
use crate::plan::evidence::observation::Turn;
use crate::plan::fact::{PageFact, RowKey};
use crate::plan::learned::Verified;
use crate::plan::planner::Planner;
use crate::plan::walk::Consistency;
use crate::units::{EpochSeconds, TimeRange};

mod effects;

/// How often the program looks around while nothing else happens; no divisor of the seconds of its clock.
const TICK: Duration = Duration::from_millis(700);

/// Restarts of one run: each replays all that the run has decided.
const MOST_RESTARTS: u32 = 60;
/// Starts of one run that may end because the service gives nothing.
const MOST_UNWELL: u32 = 20;
/// Starts in a row that bring nothing, however they end, where it is known that nothing will come.
const MOST_BARREN: u32 = 3;
/// The wall clock when a run begins.
const BEGAN: i64 = 1_790_000_000;

/// How the run is driven.
#[derive(Clone, Debug)]
pub(super) struct Drive {
    pub(super) range: TimeRange,
    pub(super) workers: usize,
    pub(super) window_pages: u32,
    pub(super) anchor_pages: u32,
    pub(super) stretch_age: i64,
    pub(super) consistency: Consistency,
    /// How far apart two answers must be to be two witnesses, seconds.
    pub(super) confirm_after: u64,
    pub(super) has_filters: bool,
    /// How fast requests are to go.
    pub(super) rate: Rate,
    /// How long to go on without a durable page.
    pub(super) give_up_after: Duration,
    /// Milliseconds that an answer takes at least, and at most.
    pub(super) latency: (u64, u64),
    /// The share of moments at which the process dies and starts again.
    pub(super) restarts: f64,
    /// The share of steps at which slices are cut of what is settled.
    pub(super) slices: f64,
    /// The share of moments that find too much unpublished.
    pub(super) backlog: f64,
    /// What else ends a start.
    pub(super) stops: Stops,
    /// Milliseconds that the journal takes at least, and at most, to make something durable.
    pub(super) commit: (u64, u64),
    /// More requests than this are a walk without end.
    pub(super) most_requests: u64,
}

/// What ends a start before it is done, as a share of moments, requests or attempts; the next start goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stops {
    Never,
    Signals(f64),
    Credits(f64),
    Quota(f64),
    Time(Duration),
}

impl Drive {
    fn filters(&self) -> Filters {
        Filters { sales_flag: self.has_filters.then_some(1), ..Filters::default() }
    }

    fn regions(&self) -> Regions {
        Regions::new(self.give_up_after, BTreeSet::new())
    }

    fn settings(&self, stops: Stops) -> Settings {
        Settings {
            filters: self.filters(),
            plan: PlanOrder {
                window_pages: self.window_pages,
                anchor_pages: self.anchor_pages,
                stretch_age: Duration::from_secs(self.stretch_age.unsigned_abs()),
                consistency: self.consistency,
                confirm_after: Duration::from_secs(self.confirm_after),
                verified: Verified::default(),
            },
            rate: self.rate,
            max_in_flight: self.workers,
            give_up_after: self.give_up_after,
            time: if let Stops::Time(time) = stops { Some(time) } else { None },
            probing: None,
        }
    }
}

/// How an attempt is answered.
#[derive(Clone, Copy, Debug)]
struct Deal {
    /// Whether the service makes up its mind when it is asked, and not when the answer arrives.
    is_early: bool,
    latency: Duration,
}

/// What comes of an attempt.
#[derive(Clone, Debug)]
enum Comes {
    Answer(Answer),
    OutOfCredits,
    Quota,
}

/// What is on its way into the journal.
#[derive(Debug)]
enum Commit {
    Page { job: JobId, fact: PageFact, rows: Vec<RowKey>, ids: Vec<u64>, turn: Turn },
    Decision { events: Vec<PlanEvent>, upkeep: Upkeep },
    Slice(PlanEvent),
}

/// A page that came.
#[derive(Debug)]
struct Came {
    /// Its usable rows.
    rows: Vec<RowKey>,
    /// All its ids.
    ids: Vec<u64>,
    tied: Tied,
}

/// A job, as the service and the watch see it.
#[derive(Debug)]
struct Flight {
    work: Work,
    patience: Patience,
    /// What its first attempt is dealt: drawn when it begins, so that the run's sequence of numbers does not depend on waits.
    deal: Option<Deal>,
    sent_at: Duration,
    /// Whether the page before it was durable then.
    turn: Turn,
    /// None where the service makes up its mind when the answer arrives.
    comes: Option<Comes>,
    /// The page that came and is not kept yet.
    page: Option<Came>,
    failures: u32,
    throttled: u32,
    was_throttled: bool,
}

/// A start that begins to stop.
#[derive(Clone, Copy, Debug)]
struct Stop {
    /// Requests of the run until then.
    requests: u64,
    /// How long no page had become durable.
    quiet: Duration,
}

/// A run in virtual time.
pub(super) struct VirtualTime {
    drive: Drive,
    /// Whether every decision and page is printed: `PLAN_TRACE`.
    traces: bool,
    /// The run's own sequence, and two that it knows nothing of.
    random: StdRng,
    dice: StdRng,
    stopper: StdRng,
    now: Duration,
    process_began: Duration,
    machine: Machine,
    journal: Journal,
    checker: Checker,
    flights: BTreeMap<JobId, Flight>,
    arrivals: BinaryHeap<Reverse<(Duration, u64, JobId)>>,
    /// When each becomes durable, and since when it waits for that.
    commits: VecDeque<(Duration, Duration, Commit)>,
    sent: u64,
    jobs_seen: u64,
    /// Whether what is offered is published.
    cuts: bool,
    last_durable: Duration,
    restarts: u32,
    /// Starts in a row that brought nothing.
    barren: u32,
    /// How it stood when this start began to stop: what is on its way then is waited for.
    stop: Option<Stop>,
    watch: Watch,
    out: Outcome,
}

impl VirtualTime {
    pub(super) fn new(drive: Drive, service: Service, seed: u64) -> Self {
        let regions: Vec<Region> = service.regions.iter().map(|(region, _)| region.clone()).collect();
        let mut journal = Journal::new(regions, drive.filters(), drive.range);
        journal.record(&journal.replay().opening(), &Upkeep::default());
        let planner = journal.replay();
        Self {
            traces: std::env::var_os("PLAN_TRACE").is_some(),
            random: StdRng::seed_from_u64(seed ^ 0xd1ce),
            dice: StdRng::seed_from_u64(seed ^ 0xface),
            stopper: StdRng::seed_from_u64(seed ^ 0x5709),
            now: Duration::ZERO,
            process_began: Duration::ZERO,
            machine: Machine::new(
                drive.settings(drive.stops),
                drive.regions(),
                planner.clone(),
                LearnedRate::default(),
            ),
            journal,
            checker: Checker::new(drive.range, i64::try_from(drive.confirm_after).unwrap_or(i64::MAX)),
            flights: BTreeMap::new(),
            arrivals: BinaryHeap::new(),
            commits: VecDeque::new(),
            sent: 0,
            jobs_seen: 0,
            cuts: false,
            last_durable: Duration::ZERO,
            restarts: 0,
            barren: 0,
            stop: None,
            watch: Watch::default(),
            out: Outcome::new(planner, service),
            drive,
        }
    }

    /// Runs to the end.
    pub(super) fn run(mut self) -> Outcome {
        self.set_going();
        while !self.out.is_unwell {
            let Some(conclusion) = self.machine.conclusion() else {
                self.step();
                continue;
            };
            self.check_end(&conclusion);
            match conclusion {
                Conclusion::Ended(Ending::Complete) => break,
                Conclusion::Ended(ending @ (Ending::Contradicted(_) | Ending::Refused { .. })) => {
                    self.out.stopped = Some(words(&ending));
                    break;
                }
                Conclusion::Ended(ending) => self.start_again(&ending),
                Conclusion::Stuck(open) => panic!("nothing to do and not done: {open}"),
                Conclusion::Broken => panic!("nothing of this breaks"),
            }
        }
        self.out.requests = self.stop.map_or(self.out.service.requests, |stop| stop.requests);
        self.out.seconds = self.now.as_secs_f64();
        self.out.planner = self.machine.into_planner();
        self.out.watch = self.watch;
        self.out.delivered = self.journal.into_delivered();
        self.out.checker = Some(self.checker);
        self.out
    }

    /// A start is over: what was paid for is durable, and the plan is what the journal says.
    fn check_end(&self, conclusion: &Conclusion) {
        // Where there are others, a region's silence is weighed against their answers.
        let is_unwell = matches!(conclusion, Conclusion::Ended(Ending::Unwell { .. }));
        let is_quiet = self.stop.is_some_and(|stop| stop.quiet >= self.drive.give_up_after);
        assert!(!is_unwell || is_quiet || self.out.service.regions.len() > 1, "it stops for silence, and pages came");
        assert!(self.arrivals.is_empty() && self.commits.is_empty(), "something is on its way at the end of a start");
        assert!(self.flights.values().all(|flight| flight.page.is_none()), "a page that came is lost");
        self.compare(&self.journal.replay());
    }

    /// Goes on to the next moment at which something happens: a commit, an answer, or time that passes.
    fn step(&mut self) {
        let wake = self.machine.wake_at(&self.moment_at(0)).map(|at| self.process_began + at);
        let arrival = self.arrivals.peek().map(|Reverse((at, ..))| *at);
        let commit = self.commits.front().map(|(at, ..)| *at);
        let next = [commit, arrival, wake].into_iter().flatten().min();
        let next = next.unwrap_or_else(|| panic!("nothing to do and not done, after {} requests", self.sent));
        if commit.is_none() && arrival.is_none() && next > self.now + TICK {
            // The program looks around meanwhile.
            self.now += TICK;
            self.tell(Event::Look);
            return self.set_going();
        }
        self.now = self.now.max(next);
        if commit == Some(next) {
            self.end_commit();
        } else if arrival == Some(next) {
            let arrived = self.arrivals.pop();
            arrived.into_iter().for_each(|Reverse((_, _, job))| self.hear(job));
        } else {
            self.tell(Event::Woke);
            self.maybe_die_between_answers();
        }
        self.maybe_signal();
        if self.out.service.regions.len() > 1 {
            self.tell(Event::Look);
        }
        self.set_going();
        if self.machine.is_ending() {
            let quiet = self.now.saturating_sub(self.last_durable);
            self.stop.get_or_insert(Stop { requests: self.out.service.requests, quiet });
        }
        // Rows that come while they are being read have to be read as well.
        let most = self.drive.most_requests + 2 * self.out.service.inserted;
        assert!(self.out.service.requests <= most, "more than {most} requests: {:?}", self.out.stretches);
    }

    fn end_commit(&mut self) {
        let Some((_, since, commit)) = self.commits.pop_front() else { return };
        let is_page = matches!(commit, Commit::Page { .. });
        self.commit_is_heard_of(commit, self.now.saturating_sub(since));
        self.carry_out();
        if is_page {
            self.maybe_slice_or_die();
        }
    }

    /// What ends starts, until there were enough of them.
    fn stops(&self) -> Stops {
        if self.restarts < MOST_RESTARTS { self.drive.stops } else { Stops::Never }
    }

    fn maybe_signal(&mut self) {
        if let Stops::Signals(share) = self.stops()
            && !self.machine.is_ending()
            && self.stopper.random::<f64>() < share
        {
            self.tell(Event::Interrupted(Interrupt::Terminate));
        }
    }

    fn set_going(&mut self) {
        let moment = self.moment();
        self.machine.hire(&moment);
        self.note_jobs();
        self.carry_out();
        if self.machine.is_ending() || self.machine.planner().is_done() {
            self.offer();
        }
    }

    fn offer(&mut self) {
        let moment = self.moment_at(0);
        self.machine.offer(&moment);
        self.carry_out();
    }

    fn tell(&mut self, event: Event) {
        let moment = self.moment();
        self.machine.handle(event, &moment);
        self.note_jobs();
        self.carry_out();
    }

    fn moment(&mut self) -> Moment {
        let is_large = self.chance(self.drive.backlog);
        self.moment_at(if is_large { u64::MAX } else { 0 })
    }

    fn moment_at(&self, held_pages: u64) -> Moment {
        let now = self.now.saturating_sub(self.process_began);
        Moment { now, awake: now, wall: EpochSeconds::new(BEGAN + self.now.as_secs() as i64), held_pages }
    }

    fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.random.random::<f64>() < share
    }

    /// A job is over: of what is settled slices may be cut, and the process may die.
    fn maybe_slice_or_die(&mut self) {
        if self.machine.is_ending() {
            return;
        }
        self.cuts = self.chance(self.drive.slices);
        if self.cuts {
            self.offer();
        }
        self.cuts = false;
        if self.restarts < MOST_RESTARTS && self.chance(self.drive.restarts) {
            self.restart();
        }
    }

    /// The process may die between answers too, while requests are on their way or pages rest.
    fn maybe_die_between_answers(&mut self) {
        let share = self.drive.restarts;
        let may_die = share > 0.0 && self.restarts < MOST_RESTARTS && !self.machine.is_ending();
        if may_die && self.dice.random::<f64>() < share {
            self.restart();
        }
    }

    /// The start ended by itself, or was ended, and the next one goes on.
    fn start_again(&mut self, ending: &Ending) {
        self.out.stops += 1;
        self.out.unwell += u32::from(matches!(ending, Ending::Unwell { .. }));
        self.restart();
        self.out.is_unwell |= self.out.unwell >= MOST_UNWELL && !self.machine.planner().is_done();
        self.set_going();
    }

    /// The process is gone: what was on its way is lost, and the plan is what the journal says. Of what it had been handed
    /// the journal may have kept some, from the first on.
    fn restart(&mut self) {
        self.restarts += 1;
        self.barren = if self.last_durable > self.process_began { 0 } else { self.barren + 1 };
        let is_hopeless = self.barren >= MOST_BARREN && self.out.service.is_poisoned_at_the_end();
        self.out.is_unwell = is_hopeless && !self.machine.planner().is_done();
        self.lose_commits();
        self.now += Duration::from_millis(self.random.random_range(0..2_000_000));
        (self.process_began, self.last_durable) = (self.now, self.now);
        self.flights.clear();
        self.arrivals.clear();
        self.jobs_seen = 0;
        self.stop = None;
        self.watch.restart(self.now);
        let planner = self.journal.replay();
        if self.drive.commit == (0, 0) {
            self.compare(&planner);
        }
        let learned = self.machine.pool().learned();
        self.machine = Machine::new(self.drive.settings(self.stops()), self.drive.regions(), planner, learned);
    }

    fn lose_commits(&mut self) {
        let handed = std::mem::take(&mut self.commits);
        if !handed.is_empty() {
            let kept = self.stopper.random_range(0..=handed.len());
            handed.iter().take(kept).for_each(|(.., commit)| self.make_durable(commit));
        }
    }

    /// A replay gives the plan that the dead process had.
    fn compare(&self, replayed: &Planner) {
        let view = |planner: &Planner| {
            let windows = planner.regions().iter().map(|plan| (plan.done_until, plan.windows.clone()));
            windows.collect::<Vec<_>>()
        };
        let walks = |planner: &Planner| {
            planner.walks().map(|(region, range, settled)| (region.clone(), range, settled)).collect::<Vec<_>>()
        };
        let lived = self.machine.planner();
        assert_eq!(view(lived), view(replayed), "a replay gives another plan");
        let settled =
            |planner: &Planner| planner.regions().iter().map(|plan| planner.settled(&plan.region)).collect::<Vec<_>>();
        assert_eq!(settled(lived), settled(replayed), "a replay settles otherwise");
        // A page may be durable before a decision that it was folded in after. How far a walk is then may wait for its next page.
        if self.drive.commit == (0, 0) {
            assert_eq!(walks(lived), walks(replayed), "a replay reads otherwise");
        }
    }
}

fn words(ending: &Ending) -> String {
    match ending {
        Ending::Contradicted(why) => why.to_string(),
        other => format!("{other:?}"),
    }
}

impl Flight {
    fn new(work: Work, patience: Patience, deal: Deal) -> Self {
        Self {
            work,
            patience,
            deal: Some(deal),
            sent_at: Duration::ZERO,
            turn: Turn::Early,
            comes: None,
            page: None,
            failures: 0,
            throttled: 0,
            was_throttled: false,
        }
    }

    /// Whether what is sent next should have had leave, if its page failed before: not after a 429, which cost it nothing, and
    /// not for the one retry of a page of a parked window.
    fn needs_leave(&self) -> bool {
        !(self.was_throttled || (self.failures > 0 && self.patience == Patience::Short))
    }
}
