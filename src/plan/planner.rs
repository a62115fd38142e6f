//! The plan of a whole run: regions, windows and who reads what next. Pure: facts and decisions in, decisions out.
//!
//! Windows tile each region's range, so every second has one owner at all times. A decision comes out as
//! [`Decision::Record`] first; only after it is journalled and applied does the request that follows from it come out.

use std::collections::BTreeMap;

use super::event::{Contradiction, Ending, PlanEvent, StretchReason};
use super::fact::{PageAddress, PageFact, Purpose, WindowId};
use super::region::{Emptiness, RegionPlan};
use super::walk::{Consistency, Lesson, Stretch, Walk, WalkContext, WalkStep};
use super::window::{State, Window};
use crate::api::contract::{Filters, PAGE_SIZE, PageQuery, Region, TimeOrder};
use crate::units::{EpochSeconds, LAST_PAGE, PageNumber, TimeRange};

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
    /// Whether more windows may be opened; else the running ones are shared.
    pub backlog: Backlog,
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
    /// Where its walk stands.
    pub position: EpochSeconds,
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
}

/// What the walks taught about the service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// The lower bound is inclusive.
    pub min_inclusive: bool,
    /// The upper bound is inclusive.
    pub max_inclusive: bool,
    /// The last page that the service serves, where it is lower than documented.
    pub cap: Option<u32>,
    /// Short pages that hid nothing, since the last that hid something.
    pub harmless_short_pages: u32,
    /// Short pages that hid rows.
    pub hiding_short_pages: u64,
    /// Pages that showed a row again.
    pub repeats: u64,
    /// Rows come in no order.
    pub sort_ignored: bool,
    cap_suspects: BTreeMap<u32, u32>,
}

/// Short pages that must have hidden nothing before they count as the service's habit.
const HABIT_AFTER: u32 = 20;
/// The least estimated pages that a running window must have left to be shared.
const SHARED_PAGES: f64 = 24.0;
/// How often a window is parked before it is narrowed down.
const PARKED_TIMES: u32 = 2;
/// Rows that the first cut around a page that cannot be read should hold.
const NARROW_ROWS: f64 = 20.0;

/// The plan.
#[derive(Clone, Debug)]
pub struct Planner {
    range: TimeRange,
    filters: Filters,
    regions: Vec<RegionPlan>,
    windows: BTreeMap<WindowId, Window>,
    next_window: u32,
    learned: Learned,
    gaps: Vec<Listed>,
    unproven: Vec<Listed>,
}

impl Planner {
    /// A plan of which nothing is decided.
    pub fn new(regions: &[Region], filters: Filters, range: TimeRange) -> Self {
        Self {
            range,
            filters,
            regions: regions.iter().map(|region| RegionPlan::new(region.clone(), range)).collect(),
            windows: BTreeMap::new(),
            next_window: 0,
            learned: Learned::default(),
            gaps: Vec::new(),
            unproven: Vec::new(),
        }
    }

    /// The decisions that open a run; none where it is open already.
    pub fn opening(&self) -> Vec<PlanEvent> {
        if self.next_window > 0 || self.range.is_empty() {
            return Vec::new();
        }
        let numbered = self.regions.iter().zip(0..);
        numbered
            .map(|(plan, number)| PlanEvent::WindowOpened {
                window: WindowId(number),
                region: plan.region.clone(),
                range: self.range,
            })
            .collect()
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
        self.range.is_empty() || self.regions.iter().all(RegionPlan::is_done)
    }

    /// Up to where (exclusive) a region's rows are all there, counted from the left without a hole.
    pub fn settled(&self, region: &Region) -> EpochSeconds {
        let Some(plan) = self.region(region) else { return self.range.start };
        let next = plan.windows.get(&plan.done_until).and_then(|id| self.windows.get(id));
        match next.map(|window| &window.state) {
            Some(State::Walking(walk)) => walk.settled().max(plan.done_until),
            _ => plan.done_until,
        }
    }

    /// A window's seconds, as it is cut now; none once it is over.
    pub fn window_range(&self, window: WindowId) -> Option<TimeRange> {
        self.windows.get(&window).map(|window| window.range)
    }

    /// Whether a window was parked and has had no page since.
    pub fn is_parked(&self, window: WindowId) -> bool {
        self.windows.get(&window).is_some_and(|window| window.parked > 0)
    }

    /// A window's region; none once it is over.
    pub fn window_region(&self, window: WindowId) -> Option<&Region> {
        self.windows.get(&window).map(|window| &window.region)
    }

    /// Windows that are begun and not over, with their region and the second up to which each is read.
    pub fn walks(&self) -> impl Iterator<Item = (&Region, TimeRange, EpochSeconds)> {
        self.windows.values().filter_map(|window| match &window.state {
            State::Walking(walk) => Some((&window.region, window.range, walk.settled())),
            _ => None,
        })
    }

    /// Marks a window as being read by a worker, or no longer.
    pub fn set_assigned(&mut self, window: WindowId, assigned: Assigned) {
        if let Some(window) = self.windows.get_mut(&window) {
            window.assigned = assigned == Assigned::ToAWorker;
        }
    }

    fn region(&self, region: &Region) -> Option<&RegionPlan> {
        self.regions.iter().find(|plan| plan.region == *region)
    }

    fn region_mut(&mut self, region: &Region) -> Option<&mut RegionPlan> {
        self.regions.iter_mut().find(|plan| plan.region == *region)
    }
}

/// Whether a worker has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// One does.
    ToAWorker,
    /// None does.
    ToNobody,
}

/// Folding facts and decisions in.
impl Planner {
    /// Folds one durable page in.
    pub fn apply_page(&mut self, page: &PageFact) {
        if let Some(plan) = self.region_mut(&page.address.region) {
            plan.apply(page);
        }
        let Purpose::Walk { window, stretch } = page.address.purpose else { return };
        let Some(window) = self.windows.get_mut(&window) else { return };
        window.parked = 0;
        if let State::Walking(walk) = &mut window.state
            && walk.stretch().number == stretch
        {
            let lessons = walk.apply(page);
            lessons.into_iter().for_each(|lesson| self.learn(lesson));
        }
    }

    fn learn(&mut self, lesson: Lesson) {
        let learned = &mut self.learned;
        match lesson {
            Lesson::MinIsInclusive => learned.min_inclusive = true,
            Lesson::MaxIsInclusive => learned.max_inclusive = true,
            Lesson::ShortPageHidNothing => learned.harmless_short_pages += 1,
            Lesson::ShortPageHidRows => {
                learned.hiding_short_pages += 1;
                learned.harmless_short_pages = 0;
            }
            Lesson::Repeat => learned.repeats += 1,
            Lesson::MoreAfter { pages } => {
                let times = learned.cap_suspects.entry(pages).or_insert(0);
                *times += 1;
                if *times >= 2 && pages > 0 {
                    learned.cap = Some(learned.cap.map_or(pages, |cap| cap.min(pages)));
                }
            }
        }
    }

    /// Folds one journalled decision in.
    pub fn apply_event(&mut self, event: &PlanEvent) {
        match event {
            PlanEvent::WindowOpened { window, region, range } => self.open(*window, region, *range),
            PlanEvent::WindowSplit { window, at, new } => self.split(*window, *at, *new),
            PlanEvent::StretchStarted { window, stretch, anchor, asked_min, asked_max, at, why } => {
                let stretch = Stretch {
                    number: *stretch,
                    anchor: *anchor,
                    asked_min: *asked_min,
                    asked_max: *asked_max,
                    started_at: *at,
                    why: *why,
                };
                if let Some(window) = self.windows.get_mut(window) {
                    window.begin(stretch);
                }
            }
            PlanEvent::WindowFinished { window, rows, .. } => self.finish(*window, *rows),
            PlanEvent::GapListed { window, why } => self.list_gap(*window, why),
            PlanEvent::UnprovenListed { region, range, why } => {
                self.unproven.push(Listed { region: region.clone(), range: *range, why: why.clone() });
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
            PlanEvent::WindowBounded { window } => {
                if let Some(window) = self.windows.get_mut(window) {
                    window.bounded = true;
                    window.state = State::Waiting;
                }
            }
            PlanEvent::WindowParked { window, times } => {
                if let Some(window) = self.windows.get_mut(window) {
                    window.parked = *times;
                }
            }
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
        self.gaps.push(Listed { region: region.clone(), range, why: why.to_owned() });
        self.merge_done(&region);
    }

    /// Windows that are over and touch what is done become part of it and are forgotten.
    fn merge_done(&mut self, region: &Region) {
        let Some(plan) = self.regions.iter_mut().find(|plan| plan.region == *region) else { return };
        while let Some(id) = plan.windows.get(&plan.done_until).copied() {
            let Some(window) = self.windows.get(&id).filter(|window| window.is_over()) else { return };
            plan.windows.remove(&window.range.start);
            plan.done_until = window.range.end;
            self.windows.remove(&id);
        }
    }
}

/// Deciding.
impl Planner {
    /// The next move of a worker: of the window that it reads, or of any if it has none or its window is over.
    pub fn next(&self, reads: Option<WindowId>, context: &PlanContext) -> Decision {
        let window = reads.and_then(|id| Some((id, self.windows.get(&id).filter(|window| !window.is_over())?)));
        match window {
            Some((id, window)) => self.next_of(id, window, context),
            None => self.next_free(context),
        }
    }

    fn next_of(&self, id: WindowId, window: &Window, context: &PlanContext) -> Decision {
        let State::Walking(walk) = &window.state else { return self.begin(id, window, context) };
        let Some(plan) = self.region(&window.region) else { return Decision::Idle };
        if plan.looks_empty() {
            return self.next_of_empty(id, plan, walk);
        }
        if self.wants_newest(plan) {
            return Decision::Ask(Box::new(self.probe(plan, Purpose::Newest)));
        }
        if walk_is_of_other_kind(window, walk) {
            return Decision::Record(vec![self.stretch(
                id,
                window,
                window.range.start,
                StretchReason::Restart,
                context,
            )]);
        }
        self.act((id, window), walk, walk.step(&self.walk_context(plan, context)), context)
    }

    /// The next move after the service refused a page beyond the first of a window; none where that is no doubt that the
    /// walk can settle.
    pub fn after_refusal(&self, id: WindowId, context: &PlanContext) -> Option<Decision> {
        let window = self.windows.get(&id)?;
        let State::Walking(walk) = &window.state else { return None };
        let plan = self.region(&window.region)?;
        let step = walk.refused_step(&self.walk_context(plan, context))?;
        Some(self.act((id, window), walk, step, context))
    }

    /// The decision to try a window again later, after its page could not be had.
    pub fn park(&self, id: WindowId) -> Vec<PlanEvent> {
        let times = self.windows.get(&id).map(|window| window.parked + 1);
        times.map(|times| PlanEvent::WindowParked { window: id, times }).into_iter().collect()
    }

    fn act(&self, (id, window): (WindowId, &Window), walk: &Walk, step: WalkStep, context: &PlanContext) -> Decision {
        let region = || window.region.clone();
        let listed = |unproven: Option<(TimeRange, String)>| {
            let range_and_why = unproven.into_iter();
            range_and_why
                .map(|(range, why)| PlanEvent::UnprovenListed { region: region(), range, why })
                .collect::<Vec<_>>()
        };
        match step {
            WalkStep::Ask(page) => Decision::Ask(Box::new(self.walk_task(id, window, walk, page))),
            WalkStep::Anchor { at, why, unproven } => {
                let mut events = listed(unproven);
                events.push(self.stretch(id, window, at, why, context));
                Decision::Record(events)
            }
            WalkStep::Finish { ending, unproven } => {
                let mut events = listed(unproven);
                events.push(finished(id, ending, Some(walk)));
                Decision::Record(events)
            }
            WalkStep::Bisect(at) => Decision::Record(vec![
                PlanEvent::WindowSplit { window: id, at, new: WindowId(self.next_window) },
                PlanEvent::WindowBounded { window: id },
            ]),
            WalkStep::SortIgnored => Decision::Record(vec![PlanEvent::SortIgnored]),
            WalkStep::PageNumberCountsRows => Decision::Stop(Contradiction::PageNumberCountsRows { region: region() }),
            WalkStep::RangeNotHonoured(seen) => {
                Decision::Stop(Contradiction::RangeNotHonoured { region: region(), range: self.range, seen })
            }
        }
    }

    fn next_of_empty(&self, id: WindowId, plan: &RegionPlan, walk: &Walk) -> Decision {
        match plan.emptiness(!self.filters.is_empty()) {
            Err(contradiction) => Decision::Stop(contradiction),
            Ok(Emptiness::Believed) => Decision::Record(vec![finished(id, Ending::NothingThere, Some(walk))]),
            Ok(Emptiness::Unproven) => Decision::Record(vec![
                PlanEvent::UnprovenListed {
                    region: plan.region.clone(),
                    range: self.range,
                    why: "the region answers no row at all, not even without a range, so its code may be wrong"
                        .to_owned(),
                },
                finished(id, Ending::NothingThere, Some(walk)),
            ]),
            Ok(Emptiness::Ask(purpose)) => Decision::Ask(Box::new(self.probe(plan, purpose))),
        }
    }

    fn next_free(&self, context: &PlanContext) -> Decision {
        let choices: [fn(&Self, &PlanContext) -> Option<Decision>; 5] =
            [Self::resume, Self::open_next, Self::share, Self::open_any, Self::retry_parked];
        choices.iter().find_map(|choice| choice(self, context)).unwrap_or(Decision::Idle)
    }

    /// Whether the region's newest page is still to be asked. No walk may end before it has come.
    fn wants_newest(&self, plan: &RegionPlan) -> bool {
        plan.has_rows() && !plan.newest_read && !self.learned.sort_ignored
    }

    /// A window that was begun and that nobody reads, the earliest first.
    fn resume(&self, context: &PlanContext) -> Option<Decision> {
        let free =
            |window: &Window| !window.assigned && window.parked == 0 && matches!(window.state, State::Walking(_));
        let (id, window) = self.in_order().find(|(_, window)| free(window))?;
        Some(self.next_of(id, window, context))
    }

    /// The next part of a region that nobody has begun, unless too much is unpublished already.
    fn open_next(&self, context: &PlanContext) -> Option<Decision> {
        (context.backlog == Backlog::Small).then(|| self.open_any(context)).flatten()
    }

    fn open_any(&self, context: &PlanContext) -> Option<Decision> {
        self.first_cut(context).or_else(|| {
            let (id, window) = self.in_order().find(|(_, window)| window.is_waiting())?;
            Some(self.begin(id, window, context))
        })
    }

    /// Once it is known where rows are, the window that held the whole range gives up all but its first part.
    fn first_cut(&self, context: &PlanContext) -> Option<Decision> {
        let plan = self.regions.iter().find(|plan| !plan.is_cut && plan.newest_read && !plan.is_done())?;
        let (id, window) = plan.windows.values().find_map(|id| Some((*id, self.windows.get(id)?)))?;
        let State::Walking(walk) = &window.state else { return None };
        let from = walk.frontier().or(plan.oldest)?;
        let rest = TimeRange::new(from, plan.newest?.shifted(1));
        let pages = self.density(plan) * rest.seconds() as f64 / f64::from(PAGE_SIZE);
        if pages < SHARED_PAGES || window.bounded {
            return None;
        }
        // The walking window is one of the shares.
        let shares = context.idle_workers + 1;
        let at = from.shifted(self.length(plan, rest, shares, context)).max(from.shifted(1));
        (at < rest.end)
            .then(|| Decision::Record(vec![PlanEvent::WindowSplit { window: id, at, new: WindowId(self.next_window) }]))
    }

    /// Begins a waiting window, cut to size, with its first stretch.
    fn begin(&self, id: WindowId, window: &Window, context: &PlanContext) -> Decision {
        let first = self.stretch(id, window, window.range.start, StretchReason::First, context);
        let Some(plan) = self.region(&window.region).filter(|plan| plan.newest_read && !window.bounded) else {
            return Decision::Record(vec![first]);
        };
        let newest = plan.newest.unwrap_or(window.range.end);
        let rest = TimeRange::new(window.range.start, window.range.end.min(newest.shifted(1)));
        let at = rest.start.shifted(self.length(plan, rest, context.idle_workers, context).max(1));
        if at >= rest.end {
            return Decision::Record(vec![first]);
        }
        Decision::Record(vec![PlanEvent::WindowSplit { window: id, at, new: WindowId(self.next_window) }, first])
    }

    /// The seconds of a new window: about `window_pages` pages, or an even share where less is left for each.
    fn length(&self, plan: &RegionPlan, rest: TimeRange, shares: usize, context: &PlanContext) -> i64 {
        let density = self.density(plan).max(f64::MIN_POSITIVE);
        let rows = f64::from(context.window_pages) * f64::from(PAGE_SIZE);
        let full = (rows / density).min(1e15) as i64;
        let even = rest.seconds() / i64::try_from(shares.max(1)).unwrap_or(i64::MAX) + 1;
        full.min(even)
    }

    /// Takes the later half of the unread time of the running window with the most work left.
    fn share(&self, context: &PlanContext) -> Option<Decision> {
        let candidates = self.in_order().filter_map(|(id, window)| {
            let (pages, unread) = self.work_left(window)?;
            (pages >= SHARED_PAGES && unread.seconds() >= 2).then_some((id, window, pages, unread))
        });
        let (id, window, _, unread) = candidates.max_by(|one, other| one.2.total_cmp(&other.2))?;
        let at = unread.start.shifted(unread.seconds() / 2);
        let new = WindowId(self.next_window);
        let part = Window::new(window.region.clone(), TimeRange::new(at, window.range.end));
        let first = self.stretch(new, &part, at, StretchReason::First, context);
        Some(Decision::Record(vec![PlanEvent::WindowSplit { window: id, at, new }, first]))
    }

    /// Estimated pages that a running window has left, and the time that they lie in.
    fn work_left(&self, window: &Window) -> Option<(f64, TimeRange)> {
        let State::Walking(walk) = &window.state else { return None };
        let plan = self.region(&window.region)?;
        let frontier = walk.frontier()?;
        let unread = TimeRange::new(frontier.shifted(1), window.range.end.min(plan.newest?.shifted(1)));
        let seen = frontier.since(window.range.start) + 1;
        let own = walk.total_slots() as f64 / seen.max(1) as f64;
        let density = if walk.total_pages() >= 3 { own } else { self.density(plan) };
        Some((density * unread.seconds() as f64 / f64::from(PAGE_SIZE), unread))
    }

    /// A last round for what could not be read; then it is narrowed down to the smallest range and listed.
    fn retry_parked(&self, context: &PlanContext) -> Option<Decision> {
        let parked = |window: &Window| !window.assigned && window.parked > 0 && !window.is_over();
        let (id, window) = self.in_order().find(|(_, window)| parked(window))?;
        Some(if window.parked < PARKED_TIMES { self.next_of(id, window, context) } else { self.narrow(id, window) })
    }

    fn narrow(&self, id: WindowId, window: &Window) -> Decision {
        let new = WindowId(self.next_window);
        let settled = match &window.state {
            State::Walking(walk) => walk.settled(),
            _ => window.range.start,
        };
        if settled > window.range.start && settled < window.range.end {
            let walk = if let State::Walking(walk) = &window.state { Some(walk.as_ref()) } else { None };
            return Decision::Record(vec![
                PlanEvent::WindowSplit { window: id, at: settled, new },
                finished(id, Ending::RowBeyond, walk),
                PlanEvent::WindowParked { window: new, times: PARKED_TIMES },
            ]);
        }
        let seconds = window.range.seconds();
        if seconds <= 1 {
            let why = "the service failed on every attempt to read it".to_owned();
            return Decision::Record(vec![PlanEvent::GapListed { window: id, why }]);
        }
        let density = self.region(&window.region).map_or(1.0, |plan| self.density(plan)).max(f64::MIN_POSITIVE);
        let near = (NARROW_ROWS / density).min(1e15) as i64;
        let at = window.range.start.shifted(near.clamp(1, seconds / 2));
        // The near part must be read within its own bounds: the page that reaches beyond it is the one that fails.
        Decision::Record(vec![
            PlanEvent::WindowSplit { window: id, at, new },
            PlanEvent::WindowBounded { window: id },
            PlanEvent::WindowParked { window: id, times: 1 },
            PlanEvent::WindowParked { window: new, times: 1 },
        ])
    }

    fn in_order(&self) -> impl Iterator<Item = (WindowId, &Window)> {
        let ids = self.regions.iter().flat_map(|plan| plan.windows.values());
        ids.filter_map(|id| Some((*id, self.windows.get(id)?)))
    }

    fn density(&self, plan: &RegionPlan) -> f64 {
        let walks = plan.windows.values().filter_map(|id| match &self.windows.get(id)?.state {
            State::Walking(walk) => {
                let start = self.windows.get(id)?.range.start.max(plan.oldest?);
                Some((walk.total_slots(), walk.frontier()?.since(start).max(0)))
            }
            _ => None,
        });
        plan.density(walks.fold((0, 0), |sum, walk| (sum.0 + walk.0, sum.1 + walk.1)))
    }

    fn walk_context(&self, plan: &RegionPlan, context: &PlanContext) -> WalkContext {
        WalkContext {
            now: context.now,
            anchor_pages: context.anchor_pages,
            stretch_age: context.stretch_age,
            consistency: context.consistency,
            cap: self.learned.cap.unwrap_or(LAST_PAGE),
            short_is_habit: self.learned.harmless_short_pages >= HABIT_AFTER,
            min_is_inclusive: self.learned.min_inclusive,
            known_newest: plan.newest,
            probed_newest: plan.probed_newest,
        }
    }

    fn stretch(
        &self,
        id: WindowId,
        window: &Window,
        anchor: EpochSeconds,
        why: StretchReason,
        context: &PlanContext,
    ) -> PlanEvent {
        let end = if window.bounded { window.range.end } else { self.range.end };
        PlanEvent::StretchStarted {
            window: id,
            stretch: window.next_stretch(),
            anchor,
            asked_min: if self.learned.min_inclusive { anchor } else { anchor.shifted(-1) },
            asked_max: if self.learned.max_inclusive { end.shifted(-1) } else { end },
            at: context.now,
            why,
        }
    }

    fn walk_task(&self, id: WindowId, window: &Window, walk: &Walk, page: PageNumber) -> Task {
        let stretch = walk.stretch();
        let purpose = Purpose::Walk { window: id, stretch: stretch.number };
        Task {
            address: PageAddress { region: window.region.clone(), purpose, page },
            query: PageQuery {
                region: window.region.clone(),
                filters: self.filters.clone(),
                min_create_time: Some(stretch.asked_min),
                max_create_time: Some(stretch.asked_max),
                order: TimeOrder::OldestFirst,
                page,
            },
            position: walk.position().max(window.range.start),
        }
    }

    fn probe(&self, plan: &RegionPlan, purpose: Purpose) -> Task {
        let known = plan.row_outside().unwrap_or(self.range.start);
        let range = match purpose {
            Purpose::WithoutRange => None,
            Purpose::KnownSecond => Some((known.shifted(-1), known.shifted(1))),
            _ => Some((self.range.start.shifted(-1), self.range.end)),
        };
        let keeps_filters = matches!(purpose, Purpose::Newest | Purpose::Walk { .. });
        Task {
            address: PageAddress { region: plan.region.clone(), purpose, page: PageNumber::FIRST },
            query: PageQuery {
                region: plan.region.clone(),
                filters: if keeps_filters { self.filters.clone() } else { Filters::default() },
                min_create_time: range.map(|(min, _)| min),
                max_create_time: range.map(|(_, max)| max),
                order: TimeOrder::NewestFirst,
                page: PageNumber::FIRST,
            },
            position: self.range.start,
        }
    }
}

fn walk_is_of_other_kind(window: &Window, walk: &Walk) -> bool {
    window.bounded != walk.is_bounded()
}

fn finished(id: WindowId, ending: Ending, walk: Option<&Walk>) -> PlanEvent {
    PlanEvent::WindowFinished {
        window: id,
        ending,
        rows: walk.map_or(0, Walk::total_slots),
        pages: walk.map_or(0, Walk::total_pages),
    }
}
