//! Drives the program's own machine in virtual time: a model of the service answers, a model of the journal keeps, slices are
//! cut, and the process dies and starts again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::journal::Journal;
use super::model::{Answer, Service, asked_rows};
use super::outcome::Outcome;
use super::watch::Watch;
use crate::api::contract::{Filters, Region};
use crate::export::machine::{Conclusion, Due, Effect, Event, Machine, Moment, Settings};
use crate::export::{Ending, PlanOrder};
use crate::fetch::job::{Dice, Heard, JobId, Work};
use crate::fetch::pool::Sending;
use crate::fetch::retry::Patience;
use crate::fetch::throttle::{LearnedRate, Rate};
use crate::plan::event::PlanEvent;
use crate::plan::fact::{PageFact, RowKey, WindowId};
use crate::plan::planner::Planner;
use crate::plan::walk::Consistency;
use crate::units::{EpochSeconds, TimeRange};

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
    /// More requests than this are a walk without end.
    pub(super) most_requests: u64,
}

impl Drive {
    fn filters(&self) -> Filters {
        Filters { sales_flag: self.has_filters.then_some(1), ..Filters::default() }
    }

    fn settings(&self) -> Settings {
        Settings {
            filters: self.filters(),
            plan: PlanOrder {
                window_pages: self.window_pages,
                anchor_pages: self.anchor_pages,
                stretch_age: Duration::from_secs(self.stretch_age.unsigned_abs()),
                consistency: self.consistency,
            },
            rate: self.rate,
            max_in_flight: self.workers,
            give_up_after: self.give_up_after,
            time: None,
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

/// A job, as the service and the watch see it.
#[derive(Debug)]
struct Flight {
    work: Work,
    patience: Patience,
    /// What its first attempt is dealt: drawn when it begins, so that the run's sequence of numbers does not depend on waits.
    deal: Option<Deal>,
    sent_at: Duration,
    /// None where the service makes up its mind when the answer arrives.
    answer: Option<Answer>,
    /// The page that came: rows that are usable, and all ids.
    page: Option<(Vec<RowKey>, Vec<u64>)>,
    failures: u32,
    throttled: u32,
    was_throttled: bool,
}

/// A run in virtual time.
pub(super) struct VirtualTime {
    drive: Drive,
    /// Whether every decision and page is printed: `PLAN_TRACE`.
    traces: bool,
    /// The run's own sequence, and one that it knows nothing of.
    random: StdRng,
    dice: StdRng,
    now: Duration,
    process_began: Duration,
    machine: Machine,
    journal: Journal,
    flights: BTreeMap<JobId, Flight>,
    arrivals: BinaryHeap<Reverse<(Duration, u64, JobId)>>,
    sent: u64,
    jobs_seen: u64,
    /// Whether what is offered is published.
    cuts: bool,
    last_durable: Duration,
    restarts: u32,
    /// Starts in a row that brought nothing.
    barren: u32,
    watch: Watch,
    out: Outcome,
}

impl VirtualTime {
    pub(super) fn new(drive: Drive, service: Service, seed: u64) -> Self {
        let regions: Vec<Region> = service.regions.iter().map(|(region, _)| region.clone()).collect();
        let mut journal = Journal::new(regions, drive.filters(), drive.range);
        journal.record(&journal.replay().opening(), &[]);
        let planner = journal.replay();
        Self {
            traces: std::env::var_os("PLAN_TRACE").is_some(),
            random: StdRng::seed_from_u64(seed ^ 0xd1ce),
            dice: StdRng::seed_from_u64(seed ^ 0xface),
            now: Duration::ZERO,
            process_began: Duration::ZERO,
            machine: Machine::new(drive.settings(), planner.clone(), LearnedRate::default()),
            journal,
            flights: BTreeMap::new(),
            arrivals: BinaryHeap::new(),
            sent: 0,
            jobs_seen: 0,
            cuts: false,
            last_durable: Duration::ZERO,
            restarts: 0,
            barren: 0,
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
            match conclusion {
                Conclusion::Ended(Ending::Complete) => break,
                Conclusion::Ended(Ending::Unwell { .. }) => self.end_unwell(),
                Conclusion::Ended(ending) => {
                    self.out.stopped = Some(words(&ending));
                    break;
                }
                Conclusion::Stuck(open) => panic!("nothing to do and not done: {open}"),
                Conclusion::Broken => panic!("nothing of this breaks"),
            }
        }
        self.out.requests = self.out.service.requests;
        self.out.seconds = self.now.as_secs_f64();
        self.out.planner = self.machine.into_planner();
        self.out.watch = self.watch;
        self.out.delivered = self.journal.into_delivered();
        self.out
    }

    /// Goes on to the next moment at which something happens.
    fn step(&mut self) {
        let wake_at = self.machine.wake_at(&self.moment_at(0)).map(|at| self.process_began + at);
        match self.arrivals.peek().copied() {
            Some(Reverse((at, _, job))) if wake_at.is_none_or(|wake| at <= wake) => {
                self.arrivals.pop();
                self.now = self.now.max(at);
                self.hear(job);
            }
            _ => {
                let wake =
                    wake_at.unwrap_or_else(|| panic!("nothing to do and not done, after {} requests", self.sent));
                self.now = self.now.max(wake);
                self.tell(Event::Woke);
                self.maybe_die_between_answers();
            }
        }
        self.set_going();
        // Rows that come while they are being read have to be read as well.
        let most = self.drive.most_requests + 2 * self.out.service.inserted;
        assert!(self.out.service.requests <= most, "more than {most} requests: {:?}", self.out.stretches);
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
        self.machine.offer();
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

    /// Jobs that began: each is dealt how its first attempt is answered.
    fn note_jobs(&mut self) {
        let begun = self.machine.pool().begun();
        for number in self.jobs_seen..begun {
            let Some(work) = self.machine.pool().work(JobId(number)).cloned() else { continue };
            let (deal, patience) = match &work {
                Work::Page(task) => {
                    self.watch.begins(&task.address);
                    let others = self.machine.pool().len() as u64 - (begun - number);
                    self.out.alone = if others == 0 { self.out.alone + 1 } else { 0 };
                    let is_parked = self.machine.planner().is_parked(task.window);
                    (self.deal(), if is_parked { Patience::Short } else { Patience::Full })
                }
                Work::HealthProbe(_) => (self.draw(), Patience::Short),
            };
            self.flights.insert(JobId(number), Flight::new(work, patience, deal));
        }
        self.jobs_seen = begun;
    }

    fn deal(&mut self) -> Deal {
        let is_early = self.random.random();
        let (least, most) = self.drive.latency;
        let slow = if self.random.random_range(0..50) == 0 { 10 } else { 1 };
        Deal { is_early, latency: Duration::from_millis(self.random.random_range(least..=most) * slow) }
    }

    fn draw(&mut self) -> Deal {
        let (least, most) = self.drive.latency;
        let latency = Duration::from_millis(self.dice.random_range(least..=most));
        Deal { is_early: self.dice.random(), latency }
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.machine.next_effect() {
            match effect {
                Effect::Send(sending) => self.send(sending),
                Effect::Keep(job) => self.keep(job),
                Effect::Record(events, closed) => self.record(events, &closed),
                Effect::Publish(due) => self.publish(due),
                Effect::Abandon(_) => self.arrivals.clear(),
                Effect::Learn(_) | Effect::Tell(_) | Effect::Note(_) => {}
            }
        }
    }

    fn send(&mut self, Sending { job, work, .. }: Sending) {
        let fresh = self.draw();
        let Some(flight) = self.flights.get_mut(&job) else { panic!("{job:?} never began") };
        let deal = flight.deal.take().unwrap_or(fresh);
        flight.sent_at = self.now;
        let address = match &work {
            Work::Page(task) => Some(&task.address),
            Work::HealthProbe(_) => None,
        };
        let is_decided = address.is_none_or(|address| self.journal.holds_what_leads_to(address));
        assert!(is_decided, "{address:?} is asked for, and no decision that is durable leads to it");
        self.watch.sends(self.now, address, flight.needs_leave());
        let service = &mut self.out.service;
        flight.answer = match service.admits(self.now) {
            Err(retry_after) => Some(Answer::Throttled(retry_after)),
            Ok(()) => deal.is_early.then(|| service.answer(work.query())),
        };
        self.sent += 1;
        self.arrivals.push(Reverse((self.now + deal.latency, self.sent, job)));
    }

    /// An answer arrives.
    fn hear(&mut self, job: JobId) {
        let spread = self.dice.random();
        let Some(flight) = self.flights.get_mut(&job) else { panic!("{job:?} never began") };
        let answer = flight.answer.take().unwrap_or_else(|| self.out.service.answer(flight.work.query()));
        let heard = match answer {
            Answer::Page { rows, ids } => {
                self.watch.answered();
                flight.page = Some((rows, ids));
                Heard::Page
            }
            Answer::Refused => Heard::Refused { code: 400, message: "refused".to_owned() },
            Answer::Throttled(retry_after) => {
                flight.throttled += 1;
                flight.was_throttled = true;
                self.watch.throttled(self.now, flight.sent_at, retry_after, flight.throttled);
                Heard::Throttled { retry_after }
            }
            Answer::Broken => {
                flight.failures += 1;
                flight.was_throttled = false;
                self.watch.failed(flight.failures, flight.patience, &flight.work);
                Heard::Failed { why: "broken".to_owned() }
            }
        };
        let is_trouble = matches!(heard, Heard::Throttled { .. } | Heard::Failed { .. });
        let is_probe = flight.work.is_probe();
        let jitter = if is_trouble && !is_probe { self.dice.random() } else { 0.0 };
        let moment = self.moment();
        self.machine.handle(Event::Heard { job, heard, dice: Dice { spread, jitter } }, &moment);
        self.note_end(job);
        self.note_jobs();
        self.carry_out();
        if !is_probe && !self.flights.contains_key(&job) {
            self.maybe_slice_or_die();
        }
    }

    fn note_end(&mut self, job: JobId) {
        if self.machine.pool().work(job).is_none()
            && let Some(flight) = self.flights.remove(&job)
            && let Work::Page(task) = &flight.work
        {
            self.watch.ends(&task.address);
        }
    }

    /// A page becomes durable.
    fn keep(&mut self, job: JobId) {
        let Some(flight) = self.flights.get_mut(&job) else { panic!("{job:?} never began") };
        let (Some((rows, ids)), Work::Page(task)) = (flight.page.take(), &flight.work) else { panic!("nothing came") };
        let fact = PageFact {
            fetched_at: EpochSeconds::new(BEGAN + self.now.as_secs() as i64),
            slots: ids.len() as u32,
            rows: asked_rows(&task.query, rows.clone()),
            address: task.address.clone(),
        };
        if self.traces {
            let ends = (fact.rows.first(), fact.rows.last());
            let ends =
                (ends.0.map(|row| (row.second.get(), row.video.0)), ends.1.map(|row| (row.second.get(), row.video.0)));
            println!("{:?} page {} slots {} {ends:?}", fact.address.purpose, fact.address.page.get(), fact.slots);
        }
        self.out.service.arrived(&ids);
        self.journal.keep(fact.clone(), (&rows, &ids));
        self.out.pages += 1;
        self.last_durable = self.now;
        let moment = self.moment();
        self.machine.handle(Event::Kept { job, fact: Arc::new(fact), took: Duration::ZERO }, &moment);
        self.note_end(job);
        self.note_jobs();
    }

    /// Decisions become durable.
    fn record(&mut self, events: Vec<PlanEvent>, closed: &[WindowId]) {
        assert!(!events.is_empty(), "a decision of nothing");
        self.journal.record(&events, closed);
        for event in &events {
            self.count(event);
        }
        let moment = self.moment();
        self.machine.handle(Event::Recorded(events), &moment);
        self.note_jobs();
        self.check_windows();
    }

    fn count(&mut self, event: &PlanEvent) {
        if self.traces {
            println!("{event:?}");
        }
        match event {
            PlanEvent::WindowSplit { .. } => self.out.splits += 1,
            PlanEvent::WindowParked { .. } => self.out.parked += 1,
            PlanEvent::StretchStarted { why, .. } => *self.out.stretches.entry(format!("{why:?}")).or_default() += 1,
            _ => {}
        }
    }

    /// Windows tile what is not done, and nothing settled is unsettled again.
    fn check_windows(&self) {
        let planner = self.machine.planner();
        for plan in planner.regions() {
            let mut at = plan.done_until;
            for (start, window) in &plan.windows {
                assert_eq!(*start, at, "windows of {} do not tile", plan.region);
                at = planner.window_range(*window).unwrap().end;
            }
            assert!(plan.is_done() || at == plan.range.end, "windows of {} end at {at}", plan.region);
            let cut = self.journal.cut(&plan.region);
            let settled = if plan.is_done() { plan.range.end } else { planner.settled(&plan.region) };
            assert!(settled >= cut, "{}: settled went from {cut} back to {settled}", plan.region);
        }
    }

    /// Publishes what is offered, at once.
    fn publish(&mut self, due: Vec<Due>) {
        let is_due = self.cuts || self.machine.planner().is_done();
        let event = match due.into_iter().next().filter(|_| is_due) {
            Some(Due::Slice { region, range, .. }) => PlanEvent::SlicePublished { region, until: range.end },
            Some(Due::Fill { region, range, .. }) => PlanEvent::RangeFilled { region, range },
            None => {
                let moment = self.moment_at(0);
                self.machine.handle(Event::NothingDue, &moment);
                return;
            }
        };
        self.journal.record(std::slice::from_ref(&event), &[]);
        self.count(&event);
        let moment = self.moment_at(0);
        self.machine.handle(Event::Published { event, parts: vec![] }, &moment);
        self.check_windows();
        self.machine.offer();
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

    /// The start ended, as the program does with exit 5, and the next one goes on.
    fn end_unwell(&mut self) {
        self.out.unwell += 1;
        self.restart();
        self.out.is_unwell |= self.out.unwell >= MOST_UNWELL && !self.machine.planner().is_done();
        self.set_going();
    }

    /// The process is gone: what was on its way is lost, and the plan is what the journal says.
    fn restart(&mut self) {
        self.restarts += 1;
        self.barren = if self.last_durable > self.process_began { 0 } else { self.barren + 1 };
        let is_hopeless = self.barren >= MOST_BARREN && self.out.service.is_poisoned_at_the_end();
        self.out.is_unwell = is_hopeless && !self.machine.planner().is_done();
        self.now += Duration::from_millis(self.random.random_range(0..2_000_000));
        (self.process_began, self.last_durable) = (self.now, self.now);
        self.flights.clear();
        self.arrivals.clear();
        self.jobs_seen = 0;
        self.watch.restart(self.now);
        let planner = self.journal.replay();
        self.compare(&planner);
        let learned = self.machine.pool().learned();
        self.machine = Machine::new(self.drive.settings(), planner, learned);
    }

    /// A replay gives the plan that the dead process had.
    fn compare(&self, replayed: &Planner) {
        let view = |planner: &Planner| {
            let windows = planner.regions().iter().map(|plan| (plan.done_until, plan.windows.clone()));
            windows.collect::<Vec<_>>()
        };
        let lived = self.machine.planner();
        assert_eq!(view(lived), view(replayed), "a replay gives another plan");
        let settled =
            |planner: &Planner| planner.regions().iter().map(|plan| planner.settled(&plan.region)).collect::<Vec<_>>();
        assert_eq!(settled(lived), settled(replayed), "a replay settles otherwise");
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
            answer: None,
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
