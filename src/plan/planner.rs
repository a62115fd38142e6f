//! The plan of a whole run: regions, windows and who reads what. Pure: durable facts and decisions in.
//!
//! Windows tile each region's range, so every second has one owner at all times. `choose` decides: a decision comes out as
//! [`Decision::Record`] first; only after it is journalled and applied does the request that follows from it come out.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::{Expected, RegionHabit};
use super::event::{Contradiction, Ending, PlanEvent, RegionFault, StretchReason};
use super::fact::{PageAddress, PageFact, Purpose, WindowId};
use super::reads::Reads;
use super::region::RegionPlan;
use super::walk::{Consistency, Shown, Stretch, Walk};
use super::window::{State, Window};
use crate::api::contract::{Filters, PageQuery, Region};
use crate::units::{EpochSeconds, TimeRange};

pub use super::learned::{Learned, Verified};

/// What the plan may look at when it decides; may change at any time, also between two starts of a run.
#[derive(Clone, Copy, Debug)]
pub struct PlanContext {
    /// The moment of the decision.
    pub now: EpochSeconds,
    /// Workers without work, the asking one among them; at least 1.
    pub idle_workers: usize,
    /// Pages that a window should hold.
    pub window_pages: u32,
    /// The least pages of a stretch before a scheduled anchor.
    pub anchor_pages: u32,
    /// The age at which a stretch is left, seconds.
    pub stretch_age: i64,
    /// How credits are traded for immunity to drift.
    pub consistency: Consistency,
    /// How far apart two answers must be to be two witnesses, seconds; with 0 nothing is confirmed.
    pub confirm_after: i64,
    /// Whether more windows may be opened; else the running ones are shared.
    pub backlog: Backlog,
    /// Whether something is being published: meanwhile nothing is opened again, since publishing releases pages.
    pub is_publishing: bool,
}

#[cfg(test)]
impl PlanContext {
    /// The settings' defaults, for a worker among four idle ones.
    pub fn usual() -> Self {
        Self {
            now: EpochSeconds::new(1_000),
            idle_workers: 4,
            window_pages: 2_000,
            anchor_pages: 300,
            stretch_age: 600,
            consistency: Consistency::Anchored,
            confirm_after: 0,
            backlog: Backlog::Small,
            is_publishing: false,
        }
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
    /// Where it is unproven: whether it may be the service's trouble of a while.
    pub may_pass: bool,
}

/// The plan.
#[derive(Clone, Debug)]
pub struct Planner {
    pub(super) range: TimeRange,
    pub(super) filters: Filters,
    pub(super) regions: Vec<RegionPlan>,
    pub(super) windows: BTreeMap<WindowId, Window>,
    pub(super) next_window: u32,
    pub(super) learned: Learned,
    /// Rows whose date lies where everything has been settled already: region and second.
    pub(super) late: Vec<(Region, EpochSeconds)>,
    /// Seconds of finished windows whose short pages were believed.
    pub(super) believed: Vec<(Region, TimeRange)>,
    pub(super) gaps: Vec<Listed>,
    pub(super) unproven: Vec<Listed>,
    /// What was left unread when the run was closed.
    pub(super) left: Vec<(Region, TimeRange)>,
    /// What is read again and is in no published part yet.
    pub(super) reopened: Vec<Listed>,
    /// Regions of which nothing is asked for now; not journalled, since it is a process that holds them back.
    pub(super) set_aside: BTreeSet<Region>,
}

/// How often the newest page, or what would confirm an empty answer, may fail before the run goes on without it.
const NEWEST_FAILURES: u32 = 2;

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
            learned: Learned::default(),
            late: Vec::new(),
            believed: Vec::new(),
            gaps: Vec::new(),
            unproven: Vec::new(),
            left: Vec::new(),
            reopened: Vec::new(),
            set_aside: BTreeSet::new(),
        }
    }

    /// The same, with what was found out about the service before.
    pub fn verified(mut self, verified: Verified) -> Self {
        self.learned.take_verified(verified);
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
    pub fn learned(&self) -> &Learned {
        &self.learned
    }

    /// Whether every second of every region is covered or listed.
    pub fn is_done(&self) -> bool {
        !self.has_late_doubts() && self.regions.iter().all(|plan| plan.is_done() && self.unseen(plan).is_none())
    }

    /// Whether something is to be listed that seemed to be settled.
    pub(super) fn has_late_doubts(&self) -> bool {
        !self.late.is_empty() || (self.learned.short_pages_hide() && !self.believed.is_empty())
    }

    /// Up to where (exclusive) a region's rows are all there, counted from the left without a hole.
    pub fn settled(&self, region: &Region) -> EpochSeconds {
        let Some(plan) = self.region(region) else { return self.range.start };
        let next = plan.windows.get(&plan.done_until).and_then(|id| self.windows.get(id));
        next.and_then(Window::walk).map_or(plan.done_until, |walk| walk.settled().max(plan.done_until))
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
        self.windows.values().filter_map(|window| Some((&window.region, window.range, window.walk()?.settled())))
    }

    /// The first second of a window that its walk has not settled; none before the walk begins.
    pub fn walk_settled(&self, window: WindowId) -> Option<EpochSeconds> {
        Some(self.windows.get(&window)?.walk()?.settled())
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

/// Folding pages in.
impl Planner {
    /// Folds one durable page in.
    pub fn apply_page(&mut self, page: &PageFact) {
        let region = page.address.region.clone();
        let is_first = self.is_first_page(&page.address);
        let settled = self.settled(&region);
        if page.slots > 0 || page.address.page.get() > 1 {
            self.learned.take_answer(page);
        }
        let opens = is_first && self.asks_from_the_start(&page.address);
        if let Some(plan) = self.region_mut(&region) {
            plan.apply(page, is_first);
            if opens {
                plan.learn_opening(page);
            }
        }
        self.count_page(page);
        match page.address.purpose {
            Purpose::Walk { window, stretch } => self.apply_walked(page, window, stretch, settled),
            Purpose::Newest => self.learned.take_newest(page),
            Purpose::Bounds => {
                let known = self.region(&region).and_then(|plan| plan.probed_newest);
                self.learned.answer_bounds(page, known);
            }
            _ => {}
        }
    }

    /// Whether it is page 1 of the region's first seconds, before anything else is done.
    fn is_first_page(&self, address: &PageAddress) -> bool {
        let Purpose::Walk { window, .. } = address.purpose else { return false };
        let range = self.range_of(&address.region);
        let asks_all =
            |window: &Window| window.range.start == range.start && (!window.bounded || window.range.end == range.end);
        address.page.get() == 1 && self.windows.get(&window).is_some_and(asks_all)
    }

    /// Whether it is of a stretch that begins with its region's first second.
    fn asks_from_the_start(&self, address: &PageAddress) -> bool {
        let Purpose::Walk { window, .. } = address.purpose else { return false };
        let walk = self.windows.get(&window).and_then(Window::walk);
        walk.is_some_and(|walk| walk.stretch().anchor == self.range_of(&address.region).start)
    }

    pub(super) fn apply_walked(&mut self, page: &PageFact, id: WindowId, stretch: u32, settled: EpochSeconds) {
        let Some(window) = self.windows.get_mut(&id) else { return };
        window.parked = 0;
        let State::Walking(walk) = &mut window.state else { return };
        if walk.stretch().number != stretch {
            return;
        }
        let shown = walk.apply(page);
        window.keep_opening();
        self.take_shown(&page.address.region, shown, settled);
    }

    /// A page that came before its turn, and waited, is folded in.
    fn take_waiting(&mut self, id: WindowId, stretch: u32, page: u32, has_more: bool) {
        let Some(region) = self.window_region(id).cloned() else { return };
        let settled = self.settled(&region);
        let Some(window) = self.windows.get_mut(&id) else { return };
        let State::Walking(walk) = &mut window.state else { return };
        if walk.stretch().number == stretch {
            let shown = walk.take_waiting(page, has_more);
            self.take_shown(&region, shown, settled);
        }
    }

    fn take_shown(&mut self, region: &Region, shown: Shown, settled: EpochSeconds) {
        shown.lessons.into_iter().for_each(|lesson| self.learned.take(lesson));
        let late = shown.strays.into_iter().map(|row| row.second).filter(|second| *second < settled);
        let range = self.range_of(region);
        let late = late.filter(|second| range.contains(*second));
        self.late.extend(late.map(|second| (region.clone(), second)));
    }
}

/// Folding decisions in.
impl Planner {
    /// Folds one journalled decision in.
    pub fn apply_event(&mut self, event: &PlanEvent) {
        match event {
            PlanEvent::WindowOpened { window, region, range } => self.open(*window, region, *range),
            PlanEvent::WindowSplit { window, at, new } => self.split(*window, *at, *new),
            PlanEvent::StretchStarted { window, stretch, anchor, asked_min, asked_max, at, why } => {
                let (number, anchor, started_at, why) = (*stretch, *anchor, *at, *why);
                let (asked_min, asked_max) = (*asked_min, *asked_max);
                let stretch = Stretch { number, anchor, asked_min, asked_max, started_at, why };
                self.count_seam(*window, why);
                if why == StretchReason::Confirm {
                    self.read_ends_again(*window);
                }
                self.with_window(*window, |window| window.begin(stretch));
            }
            PlanEvent::WindowFinished { window, rows, excess, ending, beyond, opening, edges, .. } => {
                self.learned.take_ending(*ending);
                self.learn_edges(*window, *rows, edges);
                self.remember_empty(*window, *ending);
                self.keep_seams((*window, *ending), beyond, opening);
                self.finish(*window, rows.saturating_sub(*excess));
            }
            PlanEvent::GapListed { window, why } => self.list_gap(*window, why),
            PlanEvent::WindowGivenUp { window, fault } => self.give_window_up(*window, fault),
            PlanEvent::RegionKnown { region } => {
                if let Some(plan) = self.region_mut(region) {
                    plan.is_known = true;
                }
            }
            PlanEvent::UnprovenListed { region, range, why, may_pass } => {
                self.list_unproven(region, *range, (why, *may_pass));
            }
            PlanEvent::SlicePublished { region, until } => {
                if let Some(plan) = self.region_mut(region) {
                    plan.published_until = plan.published_until.max(*until);
                }
            }
            PlanEvent::SortIgnored => {
                self.learned.sort_ignored = true;
                self.windows.values_mut().filter(|window| !window.is_over()).for_each(|window| window.bounded = true);
            }
            PlanEvent::WindowBounded { window } => self.with_window(*window, Window::bound),
            PlanEvent::RangeReopened { window, rest, region, range, why } => {
                self.reopen((*window, *rest), region, *range, why);
            }
            PlanEvent::RangeExtended { window, region, range } => self.extend(*window, region, *range),
            PlanEvent::WindowLeft { window } => self.leave(*window),
            PlanEvent::RangeFilled { region, range } => {
                self.reopened.retain(|open| open.region != *region || !range.covers(open.range));
            }
            PlanEvent::MinIsLoose => self.learned.min_is_loose = true,
            PlanEvent::WindowsJoined { window, until } => self.join(*window, *until),
            PlanEvent::AskedAnew { window } => self.ask_anew(*window),
            PlanEvent::FalseEndSeen { last_page } => self.learned.take_end(*last_page),
            PlanEvent::EndSettled { region, end } => {
                if let Some(plan) = self.region_mut(region) {
                    plan.ends.settle(*end);
                }
            }
            PlanEvent::NothingFollows { region, range } => {
                if let Some(plan) = self.region_mut(region) {
                    plan.ends.nothing_follows(*range);
                }
            }
            PlanEvent::RowGone { region, range } => {
                if let Some(plan) = self.region_mut(region) {
                    plan.row_gone(*range);
                }
            }
            PlanEvent::PageRefused { window } => self.with_window(*window, Window::refused),
            PlanEvent::WindowParked { window, times } => self.park_window(*window, *times),
            PlanEvent::PageTaken { window, stretch, page, has_more } => {
                self.take_waiting(*window, *stretch, page.get(), *has_more);
            }
            PlanEvent::CountTaken { window, stretch, page } => self.take_counted(*window, *stretch, *page),
            PlanEvent::ShortPagesBelieved { region, range } => self.believed.push((region.clone(), *range)),
            PlanEvent::ShortPagesHide => {
                self.learned.short_pages_hide = true;
                self.believed.clear();
            }
        }
    }

    fn with_window(&mut self, id: WindowId, change: impl FnOnce(&mut Window)) {
        if let Some(window) = self.windows.get_mut(&id) {
            change(window);
        }
    }

    fn open(&mut self, id: WindowId, region: &Region, range: TimeRange) {
        self.next_window = self.next_window.max(id.0 + 1);
        self.windows.insert(id, Window::new(region.clone(), range));
        if let Some(plan) = self.region_mut(region) {
            plan.windows.insert(range.start, id);
        }
    }

    fn split(&mut self, id: WindowId, at: EpochSeconds, new: WindowId) {
        self.next_window = self.next_window.max(new.0 + 1);
        let Some(window) = self.windows.get_mut(&id) else { return };
        let part = window.split_off(at);
        let (region, start) = (part.region.clone(), part.range.start);
        self.windows.insert(new, part);
        if let Some(plan) = self.region_mut(&region) {
            plan.is_cut = true;
            plan.windows.insert(start, new);
        }
    }

    fn join(&mut self, id: WindowId, until: EpochSeconds) {
        let Some(window) = self.windows.get_mut(&id) else { return };
        let (region, end) = (window.region.clone(), window.range.end);
        window.extend(until);
        let Some(plan) = self.regions.iter_mut().find(|plan| plan.region == region) else { return };
        let joined: Vec<EpochSeconds> = plan.windows.range(end..until).map(|(start, _)| *start).collect();
        for start in joined {
            let joined = plan.windows.remove(&start);
            joined.and_then(|id| self.windows.remove(&id));
        }
    }

    fn ask_anew(&mut self, id: WindowId) {
        self.learned.ask_anew();
        let Some(window) = self.windows.get_mut(&id) else { return };
        window.ask_anew();
        let region = window.region.clone();
        if let Some(plan) = self.region_mut(&region) {
            plan.ask_anew();
        }
    }

    /// A walk that ends at a row far beyond its window has shown that nothing lies between.
    fn remember_empty(&mut self, id: WindowId, ending: Ending) {
        let Some(window) = self.windows.get(&id).filter(|_| ending == Ending::RowBeyond) else { return };
        let (region, empty) = (window.region.clone(), window.walk().and_then(Walk::empty_beyond));
        if let (Some(plan), Some(empty)) = (self.region_mut(&region), empty) {
            plan.empty = empty;
        }
    }

    fn finish(&mut self, id: WindowId, rows: u64) {
        let Some(window) = self.windows.get_mut(&id) else { return };
        window.state = State::Over;
        let (region, range) = (window.region.clone(), window.range);
        if let Some(plan) = self.region_mut(&region) {
            plan.count_finished(range, rows);
        }
        self.merge_done(&region);
    }

    fn list_gap(&mut self, id: WindowId, why: &str) {
        let Some(window) = self.windows.get_mut(&id) else { return };
        window.state = State::Over;
        let (region, range) = (window.region.clone(), window.range);
        self.gaps.push(Listed { region: region.clone(), range, why: why.to_owned(), fault: None, may_pass: false });
        self.merge_done(&region);
    }

    fn list_unproven(&mut self, region: &Region, range: TimeRange, (why, may_pass): (&str, bool)) {
        self.unproven.push(Listed { region: region.clone(), range, why: why.to_owned(), fault: None, may_pass });
        self.late.retain(|(of, second)| of != region || !range.contains(*second));
        if let Some(plan) = self.region_mut(region) {
            plan.of_another_region.retain(|page| !range.covers(*page));
            plan.probes_of_another_region.retain(|page| !range.covers(*page));
        }
        for window in self.windows.values_mut().filter(|window| window.region == *region) {
            if let State::Walking(walk) = &mut window.state {
                walk.is_listed(range);
            }
        }
    }

    /// Where the newest page itself cannot be had, the run goes on without it.
    fn park_window(&mut self, id: WindowId, times: u32) {
        let Some(window) = self.windows.get_mut(&id) else { return };
        window.parked = times;
        let region = window.region.clone();
        if let Some(plan) = self.region_mut(&region).filter(|plan| plan.has_rows() && !plan.newest_read)
            && times >= NEWEST_FAILURES
        {
            plan.newest_read = true;
            plan.newest_is_unknown = true;
        }
        if let Some(plan) = self.region_mut(&region).filter(|plan| plan.looks_empty()) {
            plan.evidence_failed |= times >= NEWEST_FAILURES;
        }
    }

    /// Windows that are over and touch what is done become part of it and are forgotten.
    pub(super) fn merge_done(&mut self, region: &Region) {
        let Some(plan) = self.regions.iter_mut().find(|plan| plan.region == *region) else { return };
        loop {
            plan.done_until = plan.past_kept(plan.done_until);
            let Some(id) = plan.windows.get(&plan.done_until).copied() else { return };
            let Some(window) = self.windows.get(&id).filter(|window| window.is_over()) else { return };
            plan.windows.remove(&window.range.start);
            plan.done_until = window.range.end;
            self.windows.remove(&id);
        }
    }
}
