//! What a forecast asks: a region's first questions, as any run begins, and then the pages by which its rows are counted. Pure.
//!
//! Nothing here is thrown away. A small region is simply read on by its walk; the pages that others are counted by are durable like
//! any page, their rows are delivered, and the walk that comes to one of them takes it in place of buying it again.

use super::choose::ask;
use super::event::PlanEvent;
use super::evidence::observation::Turn;
use super::fact::{PageAddress, PageFact, Purpose, WindowId};
use super::planner::{Decision, PlanContext, Planner, Task};
use super::region::RegionPlan;
use super::tally::{Count, Interval, Newest, Tally};
use super::walk::Walk;
use super::window::Window;
use crate::api::contract::{PageQuery, Region, SOURCE, TimeOrder};
use crate::units::{EpochSeconds, PageNumber, TimeRange};

/// Pages of a walk from a region's beginning that are counted by like others.
const WALKED_PAGES: u32 = 40;
/// A region of no more pages than this, as its first two answers show it, is read on instead of being counted.
const SMALL_PAGES: f64 = 12.0;
/// The pages up to which that goes on where there are more than it seemed.
const MOST_WALKED: u32 = 20;

/// What is known of a region's rows.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionForecast {
    /// The region.
    pub region: Region,
    /// The rows of all that the run reads of it.
    pub rows: Interval,
    /// Whether that is their number.
    pub is_exact: bool,
    /// Rows that are bought already.
    pub bought: u64,
    /// From the first row that is known to the last; none where none is.
    pub span: Option<TimeRange>,
    /// Rows of the last second of a page, in the mean: what a page that begins at it would bring again.
    pub shared_rows: f64,
    /// Whether nobody has asked for it yet.
    pub is_unknown: bool,
}

/// Deciding.
impl Planner {
    /// The next question of a forecast that may still spend so many credits; `seed`, 0 to 1, says where samples lie.
    pub fn next_probe(&self, credits: u32, seed: f64, context: &PlanContext) -> Decision {
        if credits == 0 {
            return Decision::Idle;
        }
        if let Some(stop @ Decision::Stop(_)) = self.leave_unplaced() {
            return stop;
        }
        let regions = || self.asked_regions();
        let begun = regions().find_map(|plan| self.begin_region(plan, context));
        let begun = begun.or_else(|| regions().find_map(|plan| self.read_on(plan, context)));
        begun.unwrap_or_else(|| self.count_on(credits, seed))
    }

    /// A region's first questions: its oldest page, its newest, and what an empty one needs.
    fn begin_region(&self, plan: &RegionPlan, context: &PlanContext) -> Option<Decision> {
        let is_begun = plan.newest_page.is_read && !plan.looks_empty();
        let (id, window) = self.leftmost(plan)?;
        if is_begun || plan.is_done() || window.is_assigned() || window.parked > 0 {
            return None;
        }
        let decision = self.next_of(id, window, context);
        (!matches!(decision, Decision::Idle | Decision::Wait(_))).then_some(decision)
    }

    /// A region of few pages is read, since nothing of that is bought for the forecast alone.
    fn read_on(&self, plan: &RegionPlan, context: &PlanContext) -> Option<Decision> {
        let (id, window) = self.leftmost(plan)?;
        let walk = window.walk().filter(|walk| walk.scan().number == 0 && !window.is_assigned())?;
        let is_small = self.pages_at_first(plan) <= SMALL_PAGES && walk.scan_pages() < MOST_WALKED;
        let is_open = plan.newest_page.is_read
            && !plan.looks_empty()
            && plan.counted.pages.values().all(|pages| pages.len() <= WALKED_PAGES as usize);
        let is_whole = window.range == plan.range && window.parked == 0 && !window.bounded;
        if !is_small || !is_open || !is_whole || self.counts(plan, 1, 0.0).iter().all(|count| count.is_exact) {
            return None;
        }
        let decision = self.next_of(id, window, context);
        (!matches!(decision, Decision::Idle | Decision::Wait(_))).then_some(decision)
    }

    /// The next page to count by, of the first region that has none on its way.
    fn count_on(&self, credits: u32, seed: f64) -> Decision {
        let open = |plan: &&RegionPlan| {
            let is_begun = plan.has_rows() && plan.newest_page.is_read && !plan.is_done();
            is_begun && !plan.counted.failed && !self.profile.order.sort_ignored && !self.is_left_alone(&plan.region)
        };
        let wanted: Vec<(&RegionPlan, (EpochSeconds, u32))> = self
            .regions
            .iter()
            .filter(open)
            .flat_map(|plan| self.counts(plan, 1, seed).into_iter().map(move |count| (plan, count)))
            .filter_map(|(plan, count)| Some((plan, count.ask?)))
            .collect();
        let share = (credits / u32::try_from(wanted.len()).unwrap_or(u32::MAX).max(1)).max(1);
        let regions: Vec<&RegionPlan> = wanted.into_iter().map(|(plan, _)| plan).collect();
        let free = regions.into_iter().find(|plan| !self.is_counting(plan));
        let next = free.and_then(|plan| {
            let (anchor, page) = self.counts(plan, share, seed).into_iter().find_map(|count| count.ask)?;
            self.count_task(plan, anchor, page)
        });
        next.map_or(Decision::Idle, ask)
    }

    /// Whether a page of it is on its way.
    fn is_counting(&self, plan: &RegionPlan) -> bool {
        let windows = plan.windows.values().filter_map(|id| self.windows.get(id));
        windows.flat_map(|window| &window.on_way).any(|address| matches!(address.purpose, Purpose::Count { .. }))
    }

    fn count_task(&self, plan: &RegionPlan, anchor: EpochSeconds, page: u32) -> Option<Task> {
        let (window, _) = self.leftmost(plan)?;
        let page = PageNumber::new(page).ok()?;
        Some(Task {
            address: PageAddress { region: plan.region.clone(), purpose: Purpose::Count { anchor }, page },
            query: PageQuery {
                region: plan.region.clone(),
                filters: self.filters.clone(),
                min_create_time: Some(anchor.shifted(-1)),
                max_create_time: Some(plan.range.end),
                order: TimeOrder::OldestFirst,
                page,
            },
            expected: self.expected(&plan.region, None),
            position: anchor,
            window,
        })
    }

    fn leftmost(&self, plan: &RegionPlan) -> Option<(WindowId, &Window)> {
        let id = *plan.windows.values().find(|id| self.windows.get(id).is_some_and(|window| !window.is_over()))?;
        Some((id, self.windows.get(&id)?))
    }

    /// Pages of the region, as the density of its oldest and its newest page makes them.
    fn pages_at_first(&self, plan: &RegionPlan) -> f64 {
        let (Some(oldest), Some(newest)) = (plan.extent.oldest, plan.last_second()) else { return 0.0 };
        self.density(plan) * (newest.since(oldest) + 1) as f64 / f64::from(SOURCE.page_size)
    }

    /// What each scan that is read of a region comes to.
    fn counts(&self, plan: &RegionPlan, credits: u32, seed: f64) -> Vec<Count> {
        plan.read().into_iter().map(|range| self.tally(plan, range, (credits, seed)).count()).collect()
    }

    fn tally<'a>(&self, plan: &'a RegionPlan, range: TimeRange, (credits, seed): (u32, f64)) -> Tally<'a> {
        let second = plan.last_second().filter(|second| *second < range.end);
        let of_second =
            plan.newest_page.rows.iter().filter(|row| Some(row.second) == plan.newest_page.last_second).count();
        let is_all = of_second < plan.newest_page.rows.len() || plan.newest_page.rows.len() < SOURCE.page_size as usize;
        let newest = second.map(|second| Newest {
            second,
            rows: (is_all && plan.newest_page.last_second == Some(second)).then_some(of_second),
            density: page_density(&plan.newest_page.rows.iter().map(|row| row.second).collect::<Vec<_>>()),
        });
        Tally {
            range,
            pages: &plan.counted.pages,
            refused: &plan.counted.refused,
            newest,
            newest_is_known: !plan.newest_page.is_unknown,
            cap: self.profile.last_page(),
            credits,
            seed,
        }
    }
}

/// Taking in.
impl Planner {
    /// Remembers a page that is counted by: one that was asked for it, or one of the walk that asks the same.
    pub(super) fn count_page(&mut self, page: &PageFact) {
        let number = page.address.page.get();
        let anchor = match page.address.purpose {
            Purpose::Count { anchor } => Some(anchor),
            Purpose::Walk { window, scan } if number <= WALKED_PAGES => {
                let walk = self.windows.get(&window).and_then(Window::walk);
                let asks_the_same = |walk: &&Walk| {
                    let asked = walk.scan();
                    asked.number == scan && asked.asked_min == asked.anchor.shifted(-1) && !walk.is_bounded()
                };
                walk.filter(asks_the_same).map(|walk| walk.scan().anchor)
            }
            _ => None,
        };
        let Some((anchor, plan)) = anchor.zip(self.region_mut(&page.address.region)) else { return };
        let is_walked = !matches!(page.address.purpose, Purpose::Count { .. });
        let is_counted_from = plan.read().iter().any(|range| range.start == anchor);
        if !page.check.is_astray() && (!is_walked || is_counted_from) {
            plan.counted.take(anchor, page);
        }
    }

    /// A page to count by is refused, like one beyond an end.
    pub fn count_refused(&mut self, address: &PageAddress) {
        let Purpose::Count { anchor } = address.purpose else { return };
        if let Some(plan) = self.region_mut(&address.region) {
            plan.counted.refused.insert((anchor, address.page.get()));
        }
    }

    /// A page to count by cannot be had: the region is not counted any further.
    pub fn count_failed(&mut self, region: &Region) {
        if let Some(plan) = self.region_mut(region) {
            plan.counted.failed = true;
        }
    }

    /// The page that a walk would buy next, where it was counted by and holds the same: asked from the same second, and of what lies
    /// within the range.
    pub(super) fn counted_already(&self, window: &Window, walk: &Walk, page: PageNumber) -> Option<&PageFact> {
        let scan = walk.scan();
        let plan = self.region(&window.region)?;
        let fact = plan.counted.pages.get(&scan.anchor)?.get(&page.get())?;
        let is_bought = matches!(fact.address.purpose, Purpose::Count { .. });
        let is_same = scan.asked_min == scan.anchor.shifted(-1) && scan.order() == TimeOrder::OldestFirst;
        let is_inside =
            fact.slots == SOURCE.page_size && fact.rows.iter().all(|row| row.second < plan.range.end.shifted(-1));
        (is_bought && is_same && is_inside && !walk.is_bounded()).then_some(fact)
    }

    /// The page of a walk that was counted by becomes a page of the walk.
    pub(super) fn take_counted(&mut self, id: WindowId, scan: u32, page: PageNumber) {
        let Some(window) = self.windows.get(&id) else { return };
        let Some(walk) = window.walk().filter(|walk| walk.scan().number == scan) else { return };
        let Some(fact) = self.counted_already(window, walk, page) else { return };
        let purpose = Purpose::Walk { window: id, scan };
        let fact = PageFact { address: PageAddress { purpose, ..fact.address.clone() }, ..fact.clone() };
        let watermark = self.watermark(&fact.address.region);
        self.apply_walked(&fact, id, scan, watermark);
        self.fold_evidence(&fact, Turn::Early);
    }
}

/// Telling.
impl Planner {
    /// The questions that each region begins with, and what each is for.
    pub fn first_queries(&self) -> Vec<(&'static str, PageQuery)> {
        let of = |plan: &RegionPlan| {
            let query = |order| PageQuery {
                region: plan.region.clone(),
                filters: self.filters.clone(),
                min_create_time: Some(plan.range.start.shifted(-1)),
                max_create_time: Some(plan.range.end),
                order,
                page: PageNumber::FIRST,
            };
            [
                ("the oldest page, with which its walk begins", query(TimeOrder::OldestFirst)),
                ("the newest page, by which windows are cut", query(TimeOrder::NewestFirst)),
            ]
        };
        self.regions.iter().flat_map(of).collect()
    }

    /// What is known of each region.
    pub fn forecast(&self) -> Vec<RegionForecast> {
        self.regions.iter().map(|plan| self.forecast_of(plan)).collect()
    }

    /// What is to be expected of seconds that are read again, by the density of the whole.
    pub fn forecast_again(&self, again: &[(Region, TimeRange)]) -> Vec<RegionForecast> {
        let of = |plan: &RegionPlan| {
            let seconds: i64 =
                again.iter().filter(|(region, _)| *region == plan.region).map(|(_, range)| range.seconds()).sum();
            let all: i64 = plan.read().iter().map(|range| range.seconds()).sum();
            let estimate = plan.finished_rows() as f64 * seconds as f64 / all.max(1) as f64;
            let rows = Interval { low: 0.0, estimate, high: (estimate * 5.0).max(f64::from(SOURCE.page_size)) };
            (seconds > 0).then(|| RegionForecast { rows, is_exact: false, bought: 0, ..self.forecast_of(plan) })
        };
        self.regions.iter().filter_map(of).collect()
    }

    fn forecast_of(&self, plan: &RegionPlan) -> RegionForecast {
        let bought = self.bought(plan);
        let is_unknown = !plan.has_rows() && !plan.looks_empty() && !plan.is_done() && bought == 0;
        let (rows, is_exact) = if plan.is_done() {
            (Interval::exactly(bought as f64), false)
        } else if plan.has_rows() {
            let counts = self.counts(plan, 0, 0.0);
            let rows = counts.iter().map(|count| count.rows).fold(Interval::default(), Interval::plus);
            (rows, counts.iter().all(|count| count.is_exact))
        } else {
            (Interval::default(), plan.looks_empty() && !plan.answers.failed)
        };
        let span = plan
            .extent
            .oldest
            .zip(plan.extent.newest)
            .map(|(oldest, newest)| TimeRange::new(oldest, newest.shifted(1)));
        let region = plan.region.clone();
        RegionForecast { region, rows, is_exact, bought, span, shared_rows: shared_rows(plan), is_unknown }
    }

    /// Row places on the pages of a region's walks, those beyond their windows' ends counted once.
    fn bought(&self, plan: &RegionPlan) -> u64 {
        let windows = plan.windows.values().filter_map(|id| self.windows.get(id));
        let walks = windows.filter(|window| !window.is_read_again()).filter_map(Window::walk);
        let walking: u64 = walks.map(|walk| walk.total_slots().saturating_sub(walk.rows_beyond())).sum();
        plan.finished_rows() + walking
    }
}

/// Rows a second on a page, from its first row to its last.
fn page_density(seconds: &[EpochSeconds]) -> f64 {
    let (first, last) = (seconds.iter().min(), seconds.iter().max());
    let Some((first, last)) = first.zip(last) else { return 0.0 };
    (seconds.len() as f64 - 1.0).max(0.5) / (last.since(*first) as f64 + 0.5)
}

fn shared_rows(plan: &RegionPlan) -> f64 {
    let full =
        plan.counted.pages.values().flat_map(|pages| pages.values()).filter(|page| page.slots >= SOURCE.page_size);
    let shared = full.filter_map(|page| {
        let last = page.rows.iter().map(|row| row.second).max()?;
        Some(page.rows.iter().filter(|row| row.second == last).count() as f64)
    });
    let (sum, many) = shared.fold((0.0, 0.0), |(sum, many), rows| (sum + rows, many + 1.0));
    if many > 0.0 { sum / many } else { 1.0 }
}

impl Decision {
    /// The decision that a walk takes a page which was counted by.
    pub(super) fn take_counted(window: WindowId, walk: &Walk, page: PageNumber) -> Self {
        Self::Record(vec![PlanEvent::CountTaken { window, scan: walk.scan().number, page }])
    }
}

#[cfg(test)]
mod tests;
