//! The plan of a whole run: regions, windows and who reads what. Pure: durable facts and decisions in.
//!
//! Windows tile each region's range, so every second has one owner at all times. `choose` decides: a decision comes out as
//! [`Decision::Record`] first; only after it is journalled and applied does the request that follows from it come out.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::{Expected, RegionHabit};
use super::event::Lacks;
use super::event::{Contradiction, PlanEvent, RegionFault};
use super::evidence::run::WindowEvidence;
use super::fact::{PageAddress, WindowId};
use super::reads::Reads;
use super::region::RegionPlan;
use super::walk::step::Tuning;
use super::window::Window;
use crate::api::contract::{Filters, PageQuery, Region};
use crate::units::{EpochSeconds, TimeRange};

pub use super::profile::{ServiceProfile, Verified};

mod events;
mod pages;

/// What the plan may look at when it decides; may change at any time, also between two starts of a run.
#[derive(Clone, Copy, Debug)]
pub struct PlanContext {
    /// The moment of the decision.
    pub now: EpochSeconds,
    /// Workers without work, the asking one among them; at least 1.
    pub idle_workers: usize,
    /// What a person may set of it.
    pub tuning: Tuning,
    /// Whether more windows may be opened; else the running ones are shared.
    pub backlog: Backlog,
    /// Whether something is being published: meanwhile nothing is opened again, since publishing releases pages.
    pub is_publishing: bool,
}

#[cfg(test)]
impl PlanContext {
    /// The settings' defaults but that nothing is confirmed, for a worker among four idle ones.
    pub fn usual() -> Self {
        Self {
            now: EpochSeconds::new(1_000),
            idle_workers: 4,
            tuning: Tuning { confirm_after: 0, ..Tuning::default() },
            backlog: Backlog::Small,
            is_publishing: false,
        }
    }

    /// The same, but that what is to be confirmed is confirmed so many seconds later.
    pub fn confirming(mut self, after: i64) -> Self {
        self.tuning.confirm_after = after;
        self
    }
}

/// Whether the journal holds more unpublished pages than it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// New windows may be opened.
    Small,
    /// The oldest window should be finished first.
    Large,
}

/// One request that the plan wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its place in the plan.
    pub address: PageAddress,
    /// What to ask.
    pub query: PageQuery,
    /// What is known that the answer is measured by.
    pub expected: Expected,
    /// Where its walk stands.
    pub position: EpochSeconds,
    /// The window on whose behalf it is asked: its worker is busy with it until the answer is there.
    pub window: WindowId,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Journal and apply these, in one transaction, and ask again.
    Record(Vec<PlanEvent>),
    /// Send this request.
    Ask(Box<Task>),
    /// Nothing for this worker now.
    Idle,
    /// Nothing for this worker before this second, unless something comes.
    Wait(EpochSeconds),
    /// The service contradicts its contract: stop.
    Stop(Contradiction),
}

/// Why a page of a walk does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPage {
    /// It is refused as a page beyond the last one is, which says of the list what an empty page does.
    BeyondTheEnd,
    /// It could not be had, which says nothing of the list.
    NotHad,
}

/// A listed stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its region.
    pub region: Region,
    /// The seconds.
    pub range: TimeRange,
    /// Why, for a person.
    pub why: String,
    /// Where it is a gap because of its whole region: what is the matter with that.
    pub fault: Option<RegionFault>,
    /// Where it is unproven: whether it may be the service's trouble of a while, so that the next start reads it again.
    pub may_pass: bool,
    /// Where its pages do not prove it: what is missing.
    pub lacks: Option<Lacks>,
}

/// The plan.
#[derive(Clone, Debug)]
pub struct Planner {
    pub(super) range: TimeRange,
    pub(super) filters: Filters,
    pub(super) regions: Vec<RegionPlan>,
    pub(super) windows: BTreeMap<WindowId, Window>,
    pub(super) next_window: u32,
    pub(super) profile: ServiceProfile,
    /// Rows whose date lies where everything has been settled already: region and second.
    pub(super) late: Vec<(Region, EpochSeconds)>,
    /// Seconds of finished windows whose short pages were believed.
    pub(super) believed: Vec<(Region, TimeRange)>,
    pub(super) gaps: Vec<Listed>,
    pub(super) unproven: Vec<Listed>,
    /// What was unproven and was read again since.
    pub(super) read_twice: Vec<(Region, TimeRange)>,
    /// What was left unread when the run was closed.
    pub(super) left: Vec<(Region, TimeRange)>,
    /// What is read again and is in no published part yet.
    pub(super) reopened: Vec<Listed>,
    /// Regions of which nothing is asked for now; not journalled, since it is a process that holds them back.
    pub(super) set_aside: BTreeSet<Region>,
    /// The evidence of the window that was finished last, for what of it is read again.
    pub(super) last_evidence: WindowEvidence,
}

impl Planner {
    /// A plan of which nothing is decided, that reads the range whole of each region.
    pub fn new(regions: &[Region], filters: Filters, range: TimeRange) -> Self {
        let whole: Vec<Reads> = regions.iter().map(|region| Reads::whole(region.clone(), range)).collect();
        Self::reading(&whole, filters, range)
    }

    /// A plan of which nothing is decided, that reads these seconds of the range.
    pub fn reading(reads: &[Reads], filters: Filters, range: TimeRange) -> Self {
        Self {
            range,
            filters,
            regions: reads.iter().map(|reads| RegionPlan::reading(reads, range)).collect(),
            windows: BTreeMap::new(),
            next_window: 0,
            profile: ServiceProfile::default(),
            late: Vec::new(),
            believed: Vec::new(),
            gaps: Vec::new(),
            unproven: Vec::new(),
            read_twice: Vec::new(),
            left: Vec::new(),
            reopened: Vec::new(),
            set_aside: BTreeSet::new(),
            last_evidence: WindowEvidence::new(range.start),
        }
    }

    /// The same, with what was found out about the service before.
    pub fn verified(mut self, verified: Verified) -> Self {
        self.profile.take_verified(verified);
        self
    }

    /// The decisions that open a run; none where it is open already.
    pub fn opening(&self) -> Vec<PlanEvent> {
        if self.next_window > 0 {
            return Vec::new();
        }
        let read =
            self.regions.iter().flat_map(|plan| plan.read().into_iter().map(|range| (plan.region.clone(), range)));
        let opened = |((region, range), number)| PlanEvent::WindowOpened { window: WindowId(number), region, range };
        read.zip(0..).map(opened).collect()
    }

    /// The regions and how far each is.
    pub fn regions(&self) -> &[RegionPlan] {
        &self.regions
    }

    /// What could not be read.
    pub fn gaps(&self) -> &[Listed] {
        &self.gaps
    }

    /// What could not be proven.
    pub fn unproven(&self) -> &[Listed] {
        &self.unproven
    }

    /// What the walks taught about the service.
    pub fn profile(&self) -> &ServiceProfile {
        &self.profile
    }

    /// Whether every second of every region is covered or listed.
    pub fn is_done(&self) -> bool {
        !self.has_late_doubts()
            && self
                .regions
                .iter()
                .all(|plan| plan.is_done() && plan.again.recheck.refuted().is_empty() && self.unseen(plan).is_none())
            && self.regions.iter().all(|plan| self.missed(plan).is_empty())
    }

    /// Whether something is to be listed that seemed to be settled.
    pub(super) fn has_late_doubts(&self) -> bool {
        !self.late.is_empty()
            || (self.profile.short_pages_hide() && !self.believed.is_empty())
            || self.is_untold_that_ties_move()
    }

    /// A region's low watermark: up to where (exclusive) its rows are all there, counted from the left without a hole.
    pub fn watermark(&self, region: &Region) -> EpochSeconds {
        let Some(plan) = self.region(region) else { return self.range.start };
        let next = plan.windows.get(&plan.done_until).and_then(|id| self.windows.get(id));
        let watermark = next.and_then(Window::watermark);
        watermark.map_or(plan.done_until, |watermark| watermark.max(plan.done_until))
    }

    /// A window's seconds, as it is cut now; none once it is over.
    pub fn window_range(&self, window: WindowId) -> Option<TimeRange> {
        self.windows.get(&window).map(|window| window.range)
    }

    /// Whether a window was parked and has had no page since.
    pub fn is_parked(&self, window: WindowId) -> bool {
        self.windows.get(&window).is_some_and(|window| window.parked > 0)
    }

    pub(super) fn is_over(&self, window: WindowId) -> bool {
        self.windows.get(&window).is_none_or(Window::is_over)
    }

    /// A window's region; none once it is over.
    pub fn window_region(&self, window: WindowId) -> Option<&Region> {
        self.windows.get(&window).map(|window| &window.region)
    }

    /// Windows that are begun and not over, with their region and the second up to which each is read.
    pub fn walks(&self) -> impl Iterator<Item = (&Region, TimeRange, EpochSeconds)> {
        self.windows.values().filter_map(|window| Some((&window.region, window.range, window.walk()?.watermark())))
    }

    /// The first second of a window that its walk has not settled; none before the walk begins.
    pub fn walk_watermark(&self, window: WindowId) -> Option<EpochSeconds> {
        Some(self.windows.get(&window)?.walk()?.watermark())
    }

    /// A worker sets out with a task: nobody else is given it meanwhile.
    pub fn set_out(&mut self, task: &Task) {
        self.with_window(task.window, |window| {
            window.on_way.insert(task.address.clone());
        });
    }

    /// A worker is back, with or without its page; before the page is folded in.
    pub fn came_back(&mut self, task: &Task) {
        self.with_window(task.window, |window| {
            window.on_way.remove(&task.address);
        });
    }

    /// What the region's earlier pages have shown of its rows' own region.
    pub(super) fn habit(&self, region: &Region) -> RegionHabit {
        self.region(region).map_or(RegionHabit::Unknown, RegionPlan::habit)
    }

    /// From the first second that is read of a region to the last.
    pub(super) fn range_of(&self, region: &Region) -> TimeRange {
        self.region(region).map_or(self.range, |plan| plan.range)
    }

    /// What is known of a region of the run.
    pub fn region(&self, region: &Region) -> Option<&RegionPlan> {
        self.regions.iter().find(|plan| plan.region == *region)
    }

    pub(super) fn region_mut(&mut self, region: &Region) -> Option<&mut RegionPlan> {
        self.regions.iter_mut().find(|plan| plan.region == *region)
    }
}
