//! Workers, a journal and slices around the real planner, in virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::model::{Answer, Service, Short, Shown, asked_rows};
use crate::api::contract::{Filters, Region};
use crate::plan::event::PlanEvent;
use crate::plan::fact::{PageAddress, PageFact, Purpose, WindowId};
use crate::plan::planner::{Assigned, Backlog, Decision, Listed, PlanContext, Planner, Task};
use crate::plan::walk::Consistency;
use crate::units::{EpochSeconds, TimeRange};

/// Attempts that one errand makes, as the buyer does.
const ATTEMPTS: u32 = 8;
/// The same for a window that has been parked.
const FEW_ATTEMPTS: u32 = 2;
/// Decisions in a row without a request, beyond which the planner is broken.
const MOST_DECISIONS: u32 = 1_000;
/// Restarts of one run: each replays all that the run has decided.
const MOST_RESTARTS: u32 = 60;
/// Rounds of failures of all work on its way before it is taken for poison.
const LONELY_ROUNDS: usize = 2;

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
    /// Milliseconds that an answer takes at least, and at most.
    pub(super) latency: (u64, u64),
    /// The share of steps at which the process dies and starts again.
    pub(super) restarts: f64,
    /// The share of steps at which a slice is cut of what is settled.
    pub(super) slices: f64,
    /// The share of decisions that find too much unpublished.
    pub(super) backlog: f64,
    /// More requests than this are a walk without end.
    pub(super) most_requests: u64,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) planner: Planner,
    pub(super) service: Service,
    pub(super) stopped: Option<String>,
    /// Attempts, retries among them.
    pub(super) requests: u64,
    /// Durable pages.
    pub(super) pages: u64,
    /// Requests at the end that one worker sent while no other had anything to do.
    pub(super) alone: u64,
    pub(super) splits: u64,
    pub(super) stretches: BTreeMap<String, u64>,
    delivered: Vec<bool>,
}

#[derive(Clone, Debug)]
enum Entry {
    Event(PlanEvent),
    Page(PageFact),
}

/// A request on its way.
#[derive(Debug)]
struct Flight {
    reads: Option<WindowId>,
    task: Task,
    began: u64,
    /// None where the service makes up its mind when the answer arrives.
    answer: Option<Answer>,
}

pub(super) struct Driver {
    drive: Drive,
    /// Whether every decision and page is printed: `PLAN_TRACE`.
    traces: bool,
    random: StdRng,
    planner: Planner,
    log: Vec<Entry>,
    closed: BTreeSet<WindowId>,
    bought: BTreeSet<PageAddress>,
    cut: BTreeMap<Region, EpochSeconds>,
    flights: BTreeMap<u64, Flight>,
    arrivals: BinaryHeap<Reverse<(u64, u64)>>,
    next_flight: u64,
    now_ms: u64,
    last_durable: u64,
    failures_in_a_row: usize,
    restarts: u32,
    out: Outcome,
}

/// Ends a run early: a contradiction that the planner found.
type Stopped = String;

impl Driver {
    pub(super) fn new(drive: Drive, service: Service, seed: u64) -> Self {
        let filters = Filters { sales_flag: drive.has_filters.then_some(1), ..Filters::default() };
        let regions: Vec<Region> = service.regions.iter().map(|(region, _)| region.clone()).collect();
        let planner = Planner::new(&regions, filters, drive.range);
        Self {
            traces: std::env::var_os("PLAN_TRACE").is_some(),
            random: StdRng::seed_from_u64(seed ^ 0xd1ce),
            cut: regions.into_iter().map(|region| (region, drive.range.start)).collect(),
            log: vec![],
            closed: BTreeSet::new(),
            bought: BTreeSet::new(),
            flights: BTreeMap::new(),
            arrivals: BinaryHeap::new(),
            next_flight: 0,
            now_ms: 0,
            last_durable: 0,
            failures_in_a_row: 0,
            restarts: 0,
            out: Outcome {
                planner: planner.clone(),
                service,
                stopped: None,
                requests: 0,
                pages: 0,
                alone: 0,
                splits: 0,
                stretches: BTreeMap::new(),
                delivered: vec![],
            },
            planner,
            drive,
        }
    }

    /// Runs to the end.
    pub(super) fn run(mut self) -> Outcome {
        let opening = self.planner.opening();
        self.record(opening);
        let stopped = self.drive_on().err();
        self.out.stopped = stopped;
        self.out.requests = self.out.service.requests;
        self.out.planner = self.planner;
        self.out
    }

    fn drive_on(&mut self) -> Result<(), Stopped> {
        while !self.planner.is_done() {
            self.hire()?;
            if self.planner.is_done() {
                return Ok(());
            }
            let Some(Reverse((arrives, number))) = self.arrivals.pop() else {
                panic!("nothing to do and not done, after {} requests", self.out.service.requests)
            };
            let Some(flight) = self.flights.remove(&number) else { continue };
            self.now_ms = self.now_ms.max(arrives);
            self.land(flight)?;
            self.maybe_slice();
            if self.restarts < MOST_RESTARTS && self.chance(self.drive.restarts) {
                self.restart();
            }
            let most = self.drive.most_requests;
            assert!(self.out.service.requests <= most, "more than {most} requests: {:?}", self.out.stretches);
        }
        Ok(())
    }

    fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.random.random::<f64>() < share
    }

    fn hire(&mut self) -> Result<(), Stopped> {
        while self.flights.len() < self.drive.workers && self.employ(None)? {}
        Ok(())
    }

    fn context(&mut self) -> PlanContext {
        let large = self.chance(self.drive.backlog);
        PlanContext {
            now: EpochSeconds::new(1_790_000_000 + (self.now_ms / 1_000) as i64),
            idle_workers: self.drive.workers.saturating_sub(self.flights.len()).max(1),
            window_pages: self.drive.window_pages,
            anchor_pages: self.drive.anchor_pages,
            stretch_age: self.drive.stretch_age,
            consistency: self.drive.consistency,
            backlog: if large { Backlog::Large } else { Backlog::Small },
        }
    }

    fn employ(&mut self, reads: Option<WindowId>) -> Result<bool, Stopped> {
        for _ in 0..MOST_DECISIONS {
            let context = self.context();
            match self.planner.next(reads, &context) {
                Decision::Record(events) => {
                    assert!(!events.is_empty(), "a decision of nothing");
                    self.record(events);
                }
                Decision::Idle => return Ok(false),
                Decision::Stop(why) => return Err(why.to_string()),
                Decision::Ask(task) => {
                    self.start(*task);
                    return Ok(true);
                }
            }
        }
        panic!("the planner decides without end: {:#?}", self.log.iter().rev().take(10).collect::<Vec<_>>());
    }

    fn start(&mut self, task: Task) {
        let window = task.window;
        self.planner.set_assigned(window, Assigned::ToAWorker);
        let reads = Some(window);
        let answer = self.random.random::<bool>().then(|| self.out.service.answer(&task.query));
        let (least, most) = self.drive.latency;
        let slow = if self.random.random_range(0..50) == 0 { 10 } else { 1 };
        let latency = self.random.random_range(least..=most) * slow;
        let number = self.next_flight;
        self.next_flight += 1;
        self.arrivals.push(Reverse((self.now_ms + latency, number)));
        self.flights.insert(number, Flight { reads, task, began: self.now_ms, answer });
        self.out.alone = if self.flights.len() == 1 { self.out.alone + 1 } else { 0 };
    }

    fn record(&mut self, events: Vec<PlanEvent>) {
        for event in events {
            let text = serde_json::to_string(&event).unwrap();
            let event: PlanEvent = serde_json::from_str(&text).unwrap();
            if self.traces {
                println!("{event:?}");
            }
            self.count(&event);
            self.planner.apply_event(&event);
            if self.drive.restarts > 0.0 {
                self.log.push(Entry::Event(event));
            }
        }
        self.check_windows();
    }

    fn count(&mut self, event: &PlanEvent) {
        match event {
            PlanEvent::WindowFinished { window, .. } | PlanEvent::GapListed { window, .. } => {
                self.closed.insert(*window);
            }
            PlanEvent::WindowSplit { .. } => self.out.splits += 1,
            PlanEvent::StretchStarted { why, .. } => *self.out.stretches.entry(format!("{why:?}")).or_default() += 1,
            _ => {}
        }
    }

    /// Windows tile what is not done, and nothing settled is unsettled again.
    fn check_windows(&self) {
        for plan in self.planner.regions() {
            let mut at = plan.done_until;
            for (start, window) in &plan.windows {
                assert_eq!(*start, at, "windows of {} do not tile", plan.region);
                at = self.planner.window_range(*window).unwrap().end;
            }
            assert!(plan.is_done() || at == plan.range.end, "windows of {} end at {at}", plan.region);
            let cut = self.cut[&plan.region];
            let settled = if plan.is_done() { plan.range.end } else { self.planner.settled(&plan.region) };
            assert!(settled >= cut, "{}: settled went from {cut} back to {settled}", plan.region);
        }
    }

    fn land(&mut self, flight: Flight) -> Result<(), Stopped> {
        let Flight { reads, task, began, answer } = flight;
        let mut answer = answer.unwrap_or_else(|| self.out.service.answer(&task.query));
        let attempts = if reads.is_some_and(|id| self.planner.is_parked(id)) { FEW_ATTEMPTS } else { ATTEMPTS };
        for _ in 1..attempts {
            if !matches!(answer, Answer::Broken) {
                break;
            }
            self.now_ms += 500;
            answer = self.out.service.answer(&task.query);
        }
        match answer {
            Answer::Page { rows, ids } => return self.take_page(reads, task, rows, &ids),
            Answer::Refused => {
                let context = self.context();
                match reads.and_then(|window| self.planner.after_refusal(window, &context)) {
                    Some(Decision::Record(events)) => self.record(events),
                    other => return Err(format!("refused: {other:?}")),
                }
            }
            Answer::Broken => self.take_failure(reads, began),
        }
        self.let_go(reads);
        Ok(())
    }

    fn take_page(
        &mut self,
        reads: Option<WindowId>,
        task: Task,
        rows: Vec<crate::plan::fact::RowKey>,
        ids: &[u64],
    ) -> Result<(), Stopped> {
        self.deliver(&task.address.region, &rows, ids);
        let fact = PageFact {
            fetched_at: self.context().now,
            slots: ids.len() as u32,
            rows: asked_rows(&task.query, rows),
            address: task.address,
        };
        if self.traces {
            let ends = (
                fact.rows.first().map(|row| (row.second.get(), row.video.0)),
                fact.rows.last().map(|row| (row.second.get(), row.video.0)),
            );
            println!("{:?} page {} slots {} {ends:?}", fact.address.purpose, fact.address.page.get(), fact.slots);
        }
        assert!(self.bought.insert(fact.address.clone()), "{:?} was bought twice", fact.address);
        self.planner.apply_page(&fact);
        if self.drive.restarts > 0.0 {
            self.log.push(Entry::Page(fact));
        }
        self.out.pages += 1;
        self.last_durable = self.now_ms;
        self.failures_in_a_row = 0;
        if self.flights.len() >= self.drive.workers || !self.employ(reads)? {
            self.let_go(reads);
        }
        Ok(())
    }

    /// A row is delivered if no slice that should hold it has been cut yet; a row without a time of its own always is.
    fn deliver(&mut self, region: &Region, rows: &[crate::plan::fact::RowKey], ids: &[u64]) {
        let cut = self.cut[region];
        let late: BTreeSet<u64> = rows.iter().filter(|row| row.second < cut).map(|row| row.video.0).collect();
        for id in ids.iter().filter(|id| !late.contains(id)) {
            let index = *id as usize;
            if self.out.delivered.len() <= index {
                self.out.delivered.resize(index + 1, false);
            }
            self.out.delivered[index] = true;
        }
    }

    fn take_failure(&mut self, reads: Option<WindowId>, began: u64) {
        let others_succeed = self.last_durable > began;
        self.failures_in_a_row += 1;
        if let Some(window) = reads
            && (others_succeed || self.failures_in_a_row >= LONELY_ROUNDS * (self.flights.len() + 1))
        {
            let events = self.planner.park(window);
            self.record(events);
        }
    }

    fn let_go(&mut self, reads: Option<WindowId>) {
        if let Some(window) = reads {
            self.planner.set_assigned(window, Assigned::ToNobody);
        }
    }

    fn maybe_slice(&mut self) {
        if !self.chance(self.drive.slices) {
            return;
        }
        let settled: Vec<(Region, EpochSeconds)> = self
            .planner
            .regions()
            .iter()
            .map(|plan| {
                (plan.region.clone(), if plan.is_done() { plan.range.end } else { self.planner.settled(&plan.region) })
            })
            .collect();
        for (region, until) in settled {
            if until > self.cut[&region] {
                self.cut.insert(region.clone(), until);
                self.record(vec![PlanEvent::SlicePublished { region, until }]);
            }
        }
    }

    /// The process dies: what was on its way is lost, and the plan is what the journal says.
    fn restart(&mut self) {
        self.restarts += 1;
        self.flights.clear();
        self.arrivals.clear();
        self.failures_in_a_row = 0;
        self.now_ms += self.random.random_range(0..2_000_000);
        let regions: Vec<Region> = self.planner.regions().iter().map(|plan| plan.region.clone()).collect();
        let filters = Filters { sales_flag: self.drive.has_filters.then_some(1), ..Filters::default() };
        let mut planner = Planner::new(&regions, filters, self.drive.range);
        for entry in &self.log {
            match entry {
                Entry::Event(event) => planner.apply_event(event),
                Entry::Page(page) if self.is_closed(page) => {}
                Entry::Page(page) => planner.apply_page(page),
            }
        }
        let view = |planner: &Planner| {
            let windows = planner.regions().iter().map(|plan| (plan.done_until, plan.windows.clone()));
            windows.collect::<Vec<_>>()
        };
        assert_eq!(view(&self.planner), view(&planner), "a replay gives another plan");
        let settled = |planner: &Planner| regions.iter().map(|region| planner.settled(region)).collect::<Vec<_>>();
        assert_eq!(settled(&self.planner), settled(&planner), "a replay settles otherwise");
        self.planner = planner;
    }

    fn is_closed(&self, page: &PageFact) -> bool {
        matches!(page.address.purpose, Purpose::Walk { window, .. } if self.closed.contains(&window))
    }
}

impl Outcome {
    /// What could not be read or proven.
    pub(super) fn listed(&self) -> impl Iterator<Item = &Listed> {
        self.planner.gaps().iter().chain(self.planner.unproven())
    }

    pub(super) fn listed_seconds(&self) -> i64 {
        self.listed().map(|listed| listed.range.seconds()).sum()
    }

    /// Rows of the truth that are neither delivered nor listed.
    pub(super) fn missing(&self, range: TimeRange) -> Vec<(Region, i64, u64)> {
        let mut ranges: BTreeMap<&Region, Vec<TimeRange>> = BTreeMap::new();
        for listed in self.listed() {
            ranges.entry(&listed.region).or_default().push(listed.range);
        }
        let is_listed = |region: &Region, second: i64| {
            ranges.get(region).is_some_and(|list| list.iter().any(|range| range.contains(EpochSeconds::new(second))))
        };
        let hides = matches!(self.service.behaviour.short, Short::AtTheEnd(_) | Short::Anywhere(_));
        self.service
            .unchanged()
            .filter(|(_, row)| range.contains(EpochSeconds::new(row.second)))
            // Rows without a second cannot be looked for where pages leave rows out.
            .filter(|(_, row)| row.shown != Shown::Garbage || !hides)
            // Of the last page nothing tells whether a row was left out.
            .filter(|(region, row)| !self.service.is_never_shown(region, row, range))
            // The truth holds no rows of a wrong date.
            .filter(|(_, row)| !matches!(row.shown, Shown::Wrong(_)))
            .filter(|(_, row)| !self.delivered.get(row.id as usize).is_some_and(|there| *there))
            .filter(|(region, row)| !is_listed(region, row.second))
            .map(|(region, row)| (region.clone(), row.second, row.id))
            .collect()
    }
}
