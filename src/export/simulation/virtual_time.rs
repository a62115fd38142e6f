//! Drives the program's own machine in virtual time: a model of the service answers, a model of the journal keeps, slices are
//! cut, and the process dies, or is stopped, and starts again.
//!
//! Held at every start's end: what was paid for is durable, and the plan is the one that the journal gives.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::checker::Checker;
use super::drive::{Drive, Stops};
use super::journal::Journal;
use super::model::{Answer, Service};
use super::outcome::SimulationOutcome;
use super::watch::Watch;
use crate::api::contract::Region;
use crate::export::machine::{Conclusion, Event, Machine, Moment};
use crate::export::{Ending, Interrupt};
use crate::fetch::job::{JobId, Work};
use crate::fetch::retry::Patience;
use crate::fetch::throttle::LearnedRate;
use crate::journal::record::Upkeep;
use crate::plan::answer::Tied;
use crate::plan::event::PlanEvent;
use crate::plan::evidence::observation::Turn;
use crate::plan::fact::{PageFact, RowKey};
use crate::units::EpochSeconds;

mod effects;
mod restarts;

/// How often the program looks around while nothing else happens; no divisor of the seconds of its clock.
const TICK: Duration = Duration::from_millis(700);

/// Restarts of one run: each replays all that the run has decided.
const MOST_RESTARTS: u32 = 60;
/// The wall clock when a run begins.
const BEGAN: i64 = 1_790_000_000;

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
    /// Whether what it believes is held against its evidence: not with `PLAN_CHECKER=0`, which measures what that costs.
    checks: bool,
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
    /// Whether the key of this start is spent.
    is_spent: bool,
    /// Starts in a row that brought nothing.
    barren: u32,
    /// How it stood when this start began to stop: what is on its way then is waited for.
    stop: Option<Stop>,
    watch: Watch,
    out: SimulationOutcome,
}

impl VirtualTime {
    pub(super) fn new(drive: Drive, service: Service, seed: u64) -> Self {
        let regions: Vec<Region> = service.regions.iter().map(|(region, _)| region.clone()).collect();
        let mut journal = Journal::new(regions, drive.filters(), drive.range);
        journal.record(&journal.replay().opening(), &Upkeep::default());
        let planner = journal.replay();
        Self {
            traces: std::env::var_os("PLAN_TRACE").is_some(),
            checks: std::env::var("PLAN_CHECKER").as_deref() != Ok("0"),
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
            checker: Checker::new(drive.range, drive.tuning.confirm_after),
            flights: BTreeMap::new(),
            arrivals: BinaryHeap::new(),
            commits: VecDeque::new(),
            sent: 0,
            jobs_seen: 0,
            cuts: false,
            last_durable: Duration::ZERO,
            restarts: 0,
            is_spent: false,
            barren: 0,
            stop: None,
            watch: Watch::default(),
            out: SimulationOutcome::new(planner, service),
            drive,
        }
    }

    /// Runs to the end.
    pub(super) fn run(mut self) -> SimulationOutcome {
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
        self.out.checker = self.checks.then_some(self.checker);
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
        assert!(self.out.service.requests <= most, "more than {most} requests: {:?}", self.out.scans);
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

    /// Whether what is sent next should have had a retry token, if its page failed before: not after a 429, which cost it nothing, and
    /// not for the one retry of a page of a parked window.
    fn needs_token(&self) -> bool {
        !(self.was_throttled || (self.failures > 0 && self.patience == Patience::Short))
    }
}
