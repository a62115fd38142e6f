//! The coordinator's part around the real planner: hiring, a journal, slices, judging failures, dying and starting again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::errands::{Bought, Deal, Ended, Errands, Moment, Pace, Work};
use super::model::{Answer, Service, asked_rows};
use super::outcome::Outcome;
use crate::api::contract::{Filters, PageQuery, Region, TimeOrder};
use crate::export::blame::{Blame, Verdict};
use crate::fetch::retry::Patience;
use crate::fetch::throttle::Rate;
use crate::plan::event::PlanEvent;
use crate::plan::fact::{PageAddress, PageFact, Purpose, RowKey, WindowId};
use crate::plan::planner::{Backlog, Decision, PlanContext, Planner, Task};
use crate::plan::walk::Consistency;
use crate::units::{EpochSeconds, PageNumber, TimeRange};

/// Decisions in a row without a request, beyond which the planner is broken.
const MOST_DECISIONS: u32 = 1_000;
/// Restarts of one run: each replays all that the run has decided.
const MOST_RESTARTS: u32 = 60;
/// Starts of one run that may end because the service gives nothing.
const MOST_UNWELL: u32 = 20;
/// Starts in a row that bring nothing, however they end, where it is known that nothing will come.
const MOST_BARREN: u32 = 3;

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
    /// The share of steps at which a slice is cut of what is settled.
    pub(super) slices: f64,
    /// The share of decisions that find too much unpublished.
    pub(super) backlog: f64,
    /// More requests than this are a walk without end.
    pub(super) most_requests: u64,
}

#[derive(Clone, Debug)]
enum Entry {
    Event(PlanEvent),
    Page(PageFact),
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
    errands: Errands,
    start_began: Duration,
    last_durable: Duration,
    blame: Blame,
    /// Whether the start ends: nothing more is begun.
    is_ending: bool,
    restarts: u32,
    /// Starts in a row that brought nothing.
    barren: u32,
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
            errands: Errands::new(Pace { rate: drive.rate, workers: drive.workers, latency: drive.latency }, seed),
            start_began: Duration::ZERO,
            last_durable: Duration::ZERO,
            blame: Blame::default(),
            is_ending: false,
            restarts: 0,
            barren: 0,
            out: Outcome {
                planner: planner.clone(),
                service,
                stopped: None,
                requests: 0,
                pages: 0,
                alone: 0,
                splits: 0,
                parked: 0,
                stretches: BTreeMap::new(),
                unwell: 0,
                is_unwell: false,
                seconds: 0.0,
                watch: Default::default(),
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
        self.out.seconds = self.errands.now().as_secs_f64();
        self.out.planner = self.planner;
        self.out.watch = self.errands.watch;
        self.out
    }

    fn drive_on(&mut self) -> Result<(), Stopped> {
        self.hire()?;
        while !self.planner.is_done() && !self.out.is_unwell {
            if self.is_dry() {
                self.end_unwell()?;
                continue;
            }
            let staff = self.staff();
            let is_free = match self.errands.step(&mut self.out.service) {
                Moment::Still => panic!("nothing to do and not done, after {} requests", self.out.service.requests),
                Moment::Passed => self.maybe_die_between_answers(),
                Moment::Over(ended) => self.take_back(*ended)?,
            };
            if is_free || staff != self.staff() {
                self.hire()?;
            }
            // Rows that come while they are being read have to be read as well.
            let most = self.drive.most_requests + 2 * self.out.service.inserted;
            assert!(self.out.service.requests <= most, "more than {most} requests: {:?}", self.out.stretches);
        }
        Ok(())
    }

    /// What decides how many more errands may begin.
    fn staff(&self) -> (usize, usize) {
        (self.errands.busy(), self.errands.useful_workers())
    }

    /// An errand is over; so a worker may have nothing to do.
    fn take_back(&mut self, ended: Ended) -> Result<bool, Stopped> {
        let is_visit = matches!(ended.work, Work::Visit(_));
        self.land(ended)?;
        if is_visit {
            return Ok(true);
        }
        self.maybe_slice();
        if self.restarts < MOST_RESTARTS && self.chance(self.drive.restarts) {
            self.restart();
        }
        Ok(true)
    }

    /// The process may die between answers too, while requests are on their way or pages rest; whether it did.
    fn maybe_die_between_answers(&mut self) -> bool {
        let share = self.drive.restarts;
        let dies = share > 0.0 && self.restarts < MOST_RESTARTS && self.errands.dice() < share;
        if dies {
            self.restart();
        }
        dies
    }

    /// Whether no page will have come for too long before anything else happens.
    fn is_dry(&self) -> bool {
        let by = self.last_durable + self.drive.give_up_after;
        self.errands.next_due().is_some_and(|due| due > by)
    }

    /// The start ends, as the program does with exit 5; what is on its way is waited for, and the next start goes on.
    fn end_unwell(&mut self) -> Result<(), Stopped> {
        self.errands.wait_until(self.last_durable + self.drive.give_up_after);
        self.out.unwell += 1;
        self.is_ending = true;
        for ended in self.errands.drain(&mut self.out.service) {
            self.land(ended)?;
        }
        self.is_ending = false;
        self.restart();
        self.out.is_unwell |= self.out.unwell >= MOST_UNWELL && !self.planner.is_done();
        if self.out.is_unwell { Ok(()) } else { self.hire() }
    }

    fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.random.random::<f64>() < share
    }

    /// Gives every worker that the rate can use something to do.
    fn hire(&mut self) -> Result<(), Stopped> {
        while self.errands.busy() < self.errands.useful_workers() && self.employ(None)? {}
        Ok(())
    }

    fn context(&mut self) -> PlanContext {
        let large = self.chance(self.drive.backlog);
        PlanContext {
            now: EpochSeconds::new(1_790_000_000 + self.errands.now().as_secs() as i64),
            idle_workers: self.errands.useful_workers().saturating_sub(self.errands.busy()).max(1),
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
        self.planner.set_out(&task);
        let patience = if self.planner.is_parked(window) { Patience::Short } else { Patience::Full };
        let asks = self.blame.asks(window, &task.address);
        let deal = self.deal();
        self.errands.buy(task, (asks, patience), deal, &mut self.out.service);
        self.out.alone = if self.errands.count() == 1 { self.out.alone + 1 } else { 0 };
    }

    fn deal(&mut self) -> Deal {
        let is_early = self.random.random();
        let (least, most) = self.drive.latency;
        let slow = if self.random.random_range(0..50) == 0 { 10 } else { 1 };
        Deal { is_early, latency: Duration::from_millis(self.random.random_range(least..=most) * slow) }
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
            self.log.push(Entry::Event(event));
        }
        self.check_windows();
    }

    fn count(&mut self, event: &PlanEvent) {
        match event {
            PlanEvent::WindowFinished { window, .. }
            | PlanEvent::GapListed { window, .. }
            | PlanEvent::WindowGivenUp { window, .. } => {
                self.closed.insert(*window);
            }
            PlanEvent::WindowSplit { .. } => self.out.splits += 1,
            PlanEvent::WindowParked { .. } => self.out.parked += 1,
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

    fn land(&mut self, ended: Ended) -> Result<(), Stopped> {
        let task = match ended.work {
            Work::Page(task) => *task,
            Work::Visit(_) => {
                let is_well = matches!(ended.bought, Bought::Page(_));
                self.blame.visited(is_well.then(|| self.errands.now()));
                return Ok(());
            }
        };
        let window = task.window;
        self.planner.came_back(&task);
        match ended.bought {
            Bought::Refused | Bought::Failed if self.planner.give_up_ahead(&task) => {}
            Bought::Page(Answer::Page { rows, ids }) => return self.take_page(task, rows, &ids),
            Bought::Page(other) => panic!("{other:?} is no page"),
            Bought::Refused => self.take_refusal(window)?,
            Bought::Failed => self.take_failure(task, ended.began),
        }
        Ok(())
    }

    fn take_refusal(&mut self, window: WindowId) -> Result<(), Stopped> {
        let context = self.context();
        match self.planner.after_refusal(window, &context) {
            Some(Decision::Record(events)) => self.record(events),
            other => return Err(format!("refused: {other:?}")),
        }
        Ok(())
    }

    fn take_page(&mut self, task: Task, rows: Vec<RowKey>, ids: &[u64]) -> Result<(), Stopped> {
        let window = task.window;
        self.out.service.arrived(ids);
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
        self.blame.came(window, self.errands.now());
        self.log.push(Entry::Page(fact));
        self.out.pages += 1;
        self.last_durable = self.errands.now();
        let is_over_staffed = self.errands.busy() >= self.errands.useful_workers();
        if !self.is_ending && !is_over_staffed {
            self.employ(Some(window))?;
        }
        Ok(())
    }

    /// A row is delivered if no slice that should hold it has been cut yet; a row without a time of its own always is.
    fn deliver(&mut self, region: &Region, rows: &[RowKey], ids: &[u64]) {
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

    /// A window whose page cannot be had is parked, unless it is the service that is unwell and not the page.
    fn take_failure(&mut self, task: Task, began: Duration) {
        match self.blame.failed(task.window, task.address, (began, self.errands.now())) {
            Verdict::Wait => {}
            Verdict::Visit => self.visit(task.query.region),
            Verdict::Page => {
                let events = self.planner.park(task.window);
                self.record(events);
            }
        }
    }

    fn visit(&mut self, region: Region) {
        let query = PageQuery {
            region,
            filters: Filters::default(),
            min_create_time: None,
            max_create_time: None,
            order: TimeOrder::NewestFirst,
            page: PageNumber::FIRST,
        };
        self.errands.visit(query, &mut self.out.service);
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
        self.barren = if self.last_durable > self.start_began { 0 } else { self.barren + 1 };
        let is_hopeless = self.barren >= MOST_BARREN && self.out.service.is_poisoned_at_the_end();
        self.out.is_unwell = is_hopeless && !self.planner.is_done();
        self.errands.restart(Duration::from_millis(self.random.random_range(0..2_000_000)));
        (self.start_began, self.last_durable) = (self.errands.now(), self.errands.now());
        self.blame = Blame::default();
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
