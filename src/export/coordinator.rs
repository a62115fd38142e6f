//! The one loop of a run: asks the planner, starts errands, folds durable pages in, publishes what is settled, and stops.
//!
//! The planner lives here alone and sees only what is durable. A decision is journalled before the request that follows from
//! it. When the loop ends, nothing is on its way.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::api::contract::Region;
use crate::fetch::retry::Patience;
use crate::fetch::throttle::LearnedRate;
use crate::journal::JournalError;
use crate::plan::event::PlanEvent;
use crate::plan::fact::{PageFact, Purpose, WindowId};
use crate::plan::planner::{Backlog, Decision, PlanContext, Planner, Task};
use crate::progress::{Event, Progress};
use crate::units::{PageNumber, RowCount};

use super::blame::{Blame, Verdict};
use super::buyer::{Asks, Bought, Buyer, Visited};
use super::clock::{Drought, RunClock};
use super::publisher::{Cutting, Published, Publisher};
use super::regions::{Regions, may_lie_beyond_the_end};
use super::session::{LEARNED_RATE, UNWELL_REGIONS};
use super::{Ending, ExportError, Order, Tools};

mod due;
mod minding;

use minding::{Reason, Stops};

/// How often the loop looks up when nothing happens.
const TICK: Duration = Duration::from_millis(250);
/// How long requests on their way are waited for after a stop; SIGTERM's grace is often 30 s.
const DRAIN: Duration = Duration::from_secs(20);
/// Decisions in a row without a request, beyond which the planner is broken.
const MOST_DECISIONS: usize = 1_000;

/// The parts of the loop.
pub(super) struct Coordinator<'a> {
    pub(super) order: &'a Order,
    pub(super) tools: &'a Tools,
    pub(super) buyer: Buyer,
    pub(super) publisher: Publisher,
    pub(super) cutting: Cutting,
    pub(super) stop: watch::Sender<bool>,
    pub(super) regions: Regions,
}

/// An errand that came back.
enum Returned {
    /// With a page, or without.
    Errand { task: Box<Task>, began: Duration, bought: Result<Bought, JournalError> },
    /// From asking a harmless page of a region.
    Visit { region: Region, reason: Reason, began: Duration, visited: Result<Visited, JournalError> },
}

type Publishing = Pin<Box<dyn Future<Output = Result<Published, ExportError>> + Send>>;

/// What changes while the loop runs.
struct Loop<'a> {
    parts: Coordinator<'a>,
    planner: Planner,
    errands: JoinSet<Returned>,
    publishing: Option<Publishing>,
    ending: Option<Ending>,
    /// What broke of our own; the answers in flight are waited for all the same, since they are paid for.
    broken: Option<ExportError>,
    /// Whether a signal came: nothing more is begun, and what is on its way is waited for no longer than a grace.
    hurried: bool,
    began: Instant,
    clock: RunClock,
    drought: Drought,
    blame: Blame,
    regions: Regions,
    stops: Stops,
    pages: u64,
    rate_told: f64,
    rate_learned: LearnedRate,
}

impl<'a> Coordinator<'a> {
    /// Runs until the plan is done or something ends it. Gives the plan back as it stands then.
    pub(super) async fn run(mut self, planner: Planner, began: Instant) -> Result<(Planner, Ending), ExportError> {
        let regions = std::mem::take(&mut self.regions);
        let unwell_before = regions.unwell().clone();
        let stops = Stops::new(&self.order.regions);
        let mut state = Loop {
            parts: self,
            planner,
            errands: JoinSet::new(),
            publishing: None,
            ending: None,
            broken: None,
            hurried: false,
            began,
            clock: RunClock::start(),
            drought: Drought::none(),
            blame: Blame::default(),
            regions,
            stops,
            pages: 0,
            rate_told: 0.0,
            rate_learned: LearnedRate::default(),
        };
        let ending = state.drive().await?;
        state.remember_rate().await?;
        if *state.regions.unwell() != unwell_before {
            let text = serde_json::to_string(state.regions.unwell())?;
            state.parts.publisher.journal.learn(UNWELL_REGIONS, &text).await?;
        }
        Ok((state.planner, ending))
    }
}

impl Loop<'_> {
    async fn drive(&mut self) -> Result<Ending, ExportError> {
        let mut interrupt = self.parts.tools.interrupt.clone();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut drained_by: Option<Instant> = None;
        loop {
            if let Err(error) = self.set_going().await {
                self.broken.get_or_insert(error);
            }
            if self.errands.is_empty() && (self.publishing.is_none() || self.broken.is_some()) {
                return self.result();
            }
            if self.ending.is_some() || self.broken.is_some() {
                self.parts.stop.send_replace(true);
                self.stops.all();
                drained_by.get_or_insert(Instant::now() + DRAIN);
            }
            let step = tokio::select! {
                Some(returned) = self.errands.join_next() => self.take_back(returned).await,
                published = next_published(&mut self.publishing) => self.take_published(published),
                _ = tick.tick() => self.look_up().await,
                Ok(signal) = interrupt.wait_for(Option::is_some), if !self.hurried => {
                    self.hurried = true;
                    self.ending = self.ending.take().or(signal.map(Ending::Interrupted));
                    drained_by = Some(Instant::now() + DRAIN);
                    Ok(())
                }
                () = until(drained_by), if self.hurried || !self.errands.is_empty() => {
                    self.stop_waiting().await;
                    Ok(())
                }
            };
            if let Err(error) = step {
                self.broken.get_or_insert(error);
            }
        }
    }

    /// Gives up the answers that do not come: their credits stay reserved, so they count as possibly charged. What is being
    /// published is waited for, however long it takes, unless a signal came: its rows are safe in the journal.
    async fn stop_waiting(&mut self) {
        self.errands.shutdown().await;
        if self.hurried {
            self.publishing = None;
        }
    }

    /// Starts what can be started: errands, while nothing ends the run, and publishing.
    async fn set_going(&mut self) -> Result<(), ExportError> {
        if self.broken.is_some() {
            return Ok(());
        }
        if self.ending.is_none() {
            self.hire().await?;
        }
        self.begin_publishing()
    }

    /// Nothing is on its way any more: how did it end?
    fn result(&mut self) -> Result<Ending, ExportError> {
        match (self.broken.take(), self.ending.take()) {
            (Some(error), _) => Err(error),
            (None, Some(ending)) => Ok(ending),
            (None, None) if self.planner.is_done() => Ok(Ending::Complete),
            (None, None) => Err(ExportError::Stuck(self.what_is_open())),
        }
    }

    /// Gives every worker that the rate can use something to do.
    async fn hire(&mut self) -> Result<(), ExportError> {
        while self.ending.is_none() && !self.regions.holds() && self.busy() < self.parts.buyer.pacer.useful_workers() {
            if !self.employ(None).await? {
                break;
            }
        }
        Ok(())
    }

    /// Errands that keep a worker busy: one that rests between attempts leaves its place to another, within bounds.
    fn busy(&self) -> usize {
        let resting = self.parts.buyer.floor.resting().min(self.parts.order.max_in_flight);
        self.errands.len().saturating_sub(resting)
    }

    /// Finds the next errand of a worker, and starts it; whether there was one.
    async fn employ(&mut self, reads: Option<WindowId>) -> Result<bool, ExportError> {
        for _ in 0..MOST_DECISIONS {
            match self.planner.next(reads, &self.context()) {
                Decision::Record(events) => self.record(events).await?,
                Decision::Ask(task) => {
                    self.start(task);
                    return Ok(true);
                }
                Decision::Idle => return Ok(false),
                Decision::Stop(contradiction) => {
                    self.ending = Some(Ending::Contradicted(contradiction));
                    return Ok(false);
                }
            }
        }
        Err(ExportError::Stuck(self.what_is_open()))
    }

    fn start(&mut self, task: Box<Task>) {
        let asks = self.blame.asks(task.window, &task.address);
        self.send(task, asks);
    }

    fn send(&mut self, task: Box<Task>, asks: Asks) {
        let window = task.window;
        self.planner.set_out(&task);
        let patience = if self.planner.is_parked(window) { Patience::Short } else { Patience::Full };
        let mut buyer = self.parts.buyer.clone();
        buyer.stop = self.stops.of(&task.address.region).unwrap_or(buyer.stop);
        let began = self.began.elapsed();
        self.errands.spawn(async move {
            let bought = buyer.buy(&task, asks, patience).await;
            Returned::Errand { task, began, bought }
        });
    }

    fn context(&self) -> PlanContext {
        let plan = &self.parts.order.plan;
        let useful = self.parts.buyer.pacer.useful_workers();
        let held = self.parts.publisher.journal.held_pages();
        let room = u64::from(plan.window_pages) * self.parts.order.max_in_flight as u64;
        PlanContext {
            now: self.clock.now(),
            idle_workers: useful.saturating_sub(self.busy()).max(1),
            window_pages: plan.window_pages,
            anchor_pages: plan.anchor_pages,
            stretch_age: i64::try_from(plan.stretch_age.as_secs()).unwrap_or(i64::MAX),
            consistency: plan.consistency,
            backlog: if held > room { Backlog::Large } else { Backlog::Small },
        }
    }

    async fn record(&mut self, events: Vec<PlanEvent>) -> Result<(), ExportError> {
        let texts = events.iter().map(super::event_json).collect::<Result<_, _>>()?;
        let closed = events.iter().filter_map(closes).collect();
        self.parts.publisher.journal.commit_events(texts, closed).await?;
        for event in &events {
            self.tell(event);
            self.planner.apply_event(event);
        }
        Ok(())
    }

    async fn take_back(&mut self, returned: Result<Returned, JoinError>) -> Result<(), ExportError> {
        let (task, began, bought) = match returned? {
            Returned::Errand { task, began, bought } => (task, began, bought?),
            Returned::Visit { region, reason, began, visited } => {
                self.take_visit(&region, reason, began, visited?);
                return self.mind_regions().await;
            }
        };
        if let Some(wrong) = self.parts.buyer.floor.wrong_clock() {
            return Err(wrong.into());
        }
        let window = task.window;
        self.planner.came_back(&task);
        match bought {
            Bought::Durable(fact) => self.take_page(window, began, &fact).await?,
            Bought::Refused { .. } | Bought::Failed { .. } if self.planner.give_up_ahead(&task) => {}
            Bought::Refused { code, message } => self.take_refusal(*task, code, message).await?,
            Bought::Quota { message } => self.end(Ending::QuotaSpent { message }),
            Bought::Unreachable { why } => self.end(Ending::Unreachable { why }),
            Bought::OutOfCredits { spent, max } => self.end(Ending::CreditsSpent { spent, max }),
            Bought::Failed { why } => self.take_failure(*task, began, why).await?,
            Bought::Stopped => {}
        }
        self.mind_regions().await
    }

    async fn take_page(&mut self, window: WindowId, began: Duration, fact: &Arc<PageFact>) -> Result<(), ExportError> {
        self.planner.apply_page(fact);
        self.blame.came(window, self.began.elapsed());
        self.regions.came(&fact.address.region, Some(window), (began, self.began.elapsed()));
        self.sync_regions();
        self.drought = Drought::none();
        self.pages += 1;
        self.tell_page(window, fact);
        let is_over_staffed = self.busy() >= self.parts.buyer.pacer.useful_workers();
        let is_ending = self.ending.is_some() || self.broken.is_some();
        if !is_ending && !is_over_staffed {
            self.employ(Some(window)).await?;
        }
        Ok(())
    }

    /// A refused page beyond the first may lie beyond the end: the walk settles the doubt by reading from its last second again.
    /// What is refused otherwise is asked again before it is believed.
    async fn take_refusal(&mut self, task: Task, code: u16, message: String) -> Result<(), ExportError> {
        self.drought = Drought::none();
        let is_walk = matches!(task.address.purpose, Purpose::Walk { .. });
        if is_walk
            && task.address.page > PageNumber::FIRST
            && may_lie_beyond_the_end(code)
            && let Some(Decision::Record(events)) = self.planner.after_refusal(task.window, &self.context())
        {
            return self.record(events).await;
        }
        self.weigh_refusal(task, !is_walk, (code, message)).await
    }

    /// A window whose page cannot be had is parked, unless it is the service that is unwell and not the page.
    async fn take_failure(&mut self, task: Task, began: Duration, why: String) -> Result<(), ExportError> {
        self.regions.failed(&task.address.region, task.window);
        match self.blame.failed(task.window, task.address, (began, self.began.elapsed())) {
            Verdict::Wait => Ok(()),
            Verdict::Visit => {
                self.visit(task.query.region, Reason::Blame, Duration::ZERO);
                Ok(())
            }
            Verdict::Page => {
                tracing::warn!(why, "a page could not be had; its window is tried again after the others");
                let events = self.planner.park(task.window);
                self.record(events).await
            }
        }
    }

    fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }

    /// What has to be looked at whether or not anything comes back.
    async fn look_up(&mut self) -> Result<(), ExportError> {
        let order = self.parts.order;
        if order.budget.time.is_some_and(|budget| self.began.elapsed() >= budget) {
            self.end(Ending::TimeSpent);
        }
        self.look_at_regions().await?;
        let is_dry = self.drought.look() >= order.give_up_after && !self.errands.is_empty();
        if is_dry && !self.silence_is_explained() {
            let why = self.parts.buyer.floor.last_failure();
            self.end(Ending::Unwell { why: why.unwrap_or_else(|| "no answer came".to_owned()) });
        }
        let rate = self.parts.buyer.pacer.rate();
        if (rate - self.rate_told).abs() > f64::EPSILON {
            self.rate_told = rate;
            self.progress().send(Event::RateChanged { per_second: rate });
        }
        self.remember_rate().await
    }

    async fn remember_rate(&mut self) -> Result<(), ExportError> {
        let learned = self.parts.buyer.pacer.learned();
        let before = self.rate_learned;
        if has_moved(before.limit, learned.limit) || has_moved(before.used, learned.used) {
            self.rate_learned = learned;
            let text = serde_json::to_string(&learned)?;
            self.parts.publisher.journal.learn(LEARNED_RATE, &text).await?;
        }
        Ok(())
    }

    fn take_published(&mut self, published: Result<Published, ExportError>) -> Result<(), ExportError> {
        self.publishing = None;
        let published = published?;
        self.planner.apply_event(&published.event);
        for part in published.parts {
            self.progress().send(Event::PartPublished { path: part.path, rows: part.rows, bytes: part.bytes });
        }
        Ok(())
    }

    fn progress(&self) -> &Progress {
        &self.parts.tools.progress
    }

    fn tell(&self, event: &PlanEvent) {
        let progress = self.progress();
        let of_window = |id: &WindowId| {
            let range = self.planner.window_range(*id)?;
            Some((self.planner.window_region(*id)?.clone(), range))
        };
        match event {
            PlanEvent::WindowFinished { window, .. } => {
                if let Some((region, window)) = of_window(window) {
                    progress.send(Event::WindowFinished { region, window });
                }
            }
            PlanEvent::GapListed { window, why } => {
                if let Some((region, range)) = of_window(window) {
                    progress.send(Event::GapListed { region, range, why: why.clone() });
                }
            }
            PlanEvent::WindowGivenUp { window, fault } => {
                if let Some((region, range)) = of_window(window) {
                    progress.send(Event::GapListed { region, range, why: fault.to_string() });
                }
            }
            PlanEvent::UnprovenListed { region, range, why } => {
                let (region, range, why) = (region.clone(), *range, why.clone());
                progress.send(Event::UnprovenListed { region, range, why });
            }
            _ => {}
        }
    }

    fn tell_page(&self, window: WindowId, fact: &PageFact) {
        let Some(range) = self.planner.window_range(window) else { return };
        self.progress().send(Event::PageDurable {
            region: fact.address.region.clone(),
            rows: RowCount::new(u64::from(fact.slots)),
            window: range,
            position: self.planner.walk_settled(window),
        });
    }

    fn what_is_open(&self) -> String {
        let open = self.planner.regions().iter().filter(|plan| !plan.is_done());
        open.map(|plan| format!("{} from {}", plan.region, plan.done_until)).collect::<Vec<_>>().join(", ")
    }
}

/// Whether a rate differs enough to be worth a write.
fn has_moved(before: Option<f64>, now: Option<f64>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => (now - before).abs() > before * 0.05,
        (before, now) => before.is_some() != now.is_some(),
    }
}

/// The window that a decision is the last of.
pub(super) fn closes(event: &PlanEvent) -> Option<WindowId> {
    match event {
        PlanEvent::WindowFinished { window, .. }
        | PlanEvent::GapListed { window, .. }
        | PlanEvent::WindowGivenUp { window, .. } => Some(*window),
        _ => None,
    }
}

async fn next_published(publishing: &mut Option<Publishing>) -> Result<Published, ExportError> {
    match publishing {
        Some(running) => running.await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
