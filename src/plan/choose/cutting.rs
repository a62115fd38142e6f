//! How time is cut into windows, and a running window's time shared with a worker who has none.

use crate::api::contract::SOURCE;
use crate::plan::event::{PlanEvent, ScanReason};
use crate::plan::fact::WindowId;
use crate::plan::planner::{Decision, PlanContext, Planner};
use crate::plan::region::RegionPlan;
use crate::plan::window::Window;
use crate::units::{EpochSeconds, TimeRange};

/// The least estimated pages that a running window must have left to be shared.
const SHARED_PAGES: f64 = 24.0;

/// The least estimated pages of a new window: each costs about half a page more than its rows take, however many workers have nothing to do.
const LEAST_PAGES: f64 = 12.0;

/// Pages beyond its window after which a walk that has shown no order is not alone with them.
const PAGES_BEYOND: u32 = 2;

/// Windows of a region whose pages failed, while fewer than which others are cut to size.
const MOST_PARKED: usize = 16;

impl Planner {
    /// Where the lower bound is not kept to, each window would read what lies before it: those that have brought nothing are joined
    /// to the one before them.
    pub(super) fn stop_cutting(&self) -> Vec<PlanEvent> {
        let mut events = vec![PlanEvent::MinIsLoose];
        for plan in &self.regions {
            let mut reader: Option<(WindowId, Option<EpochSeconds>)> = None;
            for id in plan.windows.values() {
                let Some(window) = self.windows.get(id) else { continue };
                if let (Some((_, until)), true) = (&mut reader, window.brought_nothing()) {
                    *until = Some(window.range.end);
                    continue;
                }
                events.extend(joined(reader.take()));
                reader = (!window.bounded && !window.is_over()).then_some((*id, None));
            }
            events.extend(joined(reader));
        }
        events
    }

    /// Until rows have shown an order, a row beyond its window ends no walk, so that each of those whose windows hold nothing reads on, and all
    /// of them read the same rows. One reads on for all: the windows right after its own that stand likewise become part of that.
    pub(super) fn join_idle(&self, id: WindowId, window: &Window, plan: &RegionPlan) -> Option<PlanEvent> {
        let stands_beyond = |window: &Window| {
            let walk = window.walk().filter(|walk| !walk.has_ascended() && walk.scan_pages() >= PAGES_BEYOND)?;
            let is_first_read = !window.bounded && window.parked == 0 && !window.is_read_again();
            (is_first_read && walk.stands_beyond()).then_some(())
        };
        if self.profile.order_is_proven() || plan.neighbour().is_some() {
            return None;
        }
        stands_beyond(window)?;
        let mut until = window.range.end;
        while let Some(next) = plan.windows.get(&until).and_then(|id| self.windows.get(id))
            && stands_beyond(next).is_some()
        {
            until = next.range.end;
        }
        (until > window.range.end).then_some(PlanEvent::WindowsJoined { window: id, until })
    }

    /// Once it is known where rows are, the window that held the whole range gives up all but its first part.
    pub(super) fn first_cut(&self, context: &PlanContext) -> Option<Decision> {
        let may_cut = |plan: &&RegionPlan| {
            !plan.sizing.is_cut && plan.knows_its_extent() && !plan.is_done() && !self.profile.bounds.min_is_loose
        };
        let plan = self.asked_regions().find(may_cut)?;
        let (id, window) = plan.windows.values().find_map(|id| Some((*id, self.windows.get(id)?)))?;
        let from = window.walk()?.reached().max(plan.extent.oldest?);
        let rest = TimeRange::new(from, plan.last_second()?.shifted(1).min(window.range.end));
        let pages = self.density(plan) * rest.seconds() as f64 / f64::from(SOURCE.page_size);
        if pages < SHARED_PAGES || window.bounded || window.is_read_again() {
            return None;
        }
        // The walking window is one of the shares.
        let shares = context.idle_workers + 1;
        let at = from.shifted(self.length(plan, rest, shares, context)).max(from.shifted(1));
        let at = self.cut_at(plan, rest, at)?;
        (at < rest.end)
            .then(|| Decision::Record(vec![PlanEvent::WindowSplit { window: id, at, new: WindowId(self.next_window) }]))
    }

    /// Begins a waiting window, cut to size, with its first scan.
    pub(super) fn begin(&self, id: WindowId, window: &Window, context: &PlanContext) -> Decision {
        if let Some(until) = window.again.not_before.filter(|until| *until > context.now) {
            return Decision::Wait(until);
        }
        let first = self.scan((id, window), window.range.start, ScanReason::First, context);
        // What failed is not cut up, so that one bad page does not become many windows; nor is anything cut while many fail, since
        // nothing tells then whether the density is far too high.
        let parked = self.in_order().filter(|(_, other)| other.parked > 0 && other.region == window.region).count();
        let is_calm = !window.bounded && window.parked == 0 && parked < MOST_PARKED && !window.is_read_again();
        let may_cut = |plan: &&RegionPlan| plan.knows_its_extent() && is_calm && !self.profile.bounds.min_is_loose;
        let Some(plan) = self.region(&window.region).filter(may_cut) else {
            return Decision::Record(vec![first]);
        };
        let newest = plan.last_second().unwrap_or(window.range.end);
        let rest = TimeRange::new(window.range.start, window.range.end.min(newest.shifted(1)));
        // What is known to be empty at its beginning costs nothing, so it is no share of anybody's.
        let empty = plan.extent.empty;
        let from = if empty.contains(rest.start) { empty.end } else { rest.start };
        let filled = TimeRange::new(from.min(rest.end), rest.end);
        let at = filled.start.shifted(self.length(plan, filled, context.idle_workers, context).max(1));
        let Some(at) = self.cut_at(plan, filled, at).filter(|at| *at < rest.end) else {
            return Decision::Record(vec![first]);
        };
        Decision::Record(vec![PlanEvent::WindowSplit { window: id, at, new: WindowId(self.next_window) }, first])
    }

    /// The seconds of a new window: about `window_pages` pages, or an even share where less is left for each, but no less than is worth it.
    fn length(&self, plan: &RegionPlan, rest: TimeRange, shares: usize, context: &PlanContext) -> i64 {
        let density = self.density(plan).max(f64::MIN_POSITIVE);
        let pages_left = rest.seconds() as f64 * density / f64::from(SOURCE.page_size);
        // Even ones, so that no small rest is left for one more.
        let worth = (pages_left / LEAST_PAGES).min(shares as f64).max(1.0) as i64;
        let most = f64::from(context.tuning.window_pages) * f64::from(SOURCE.page_size) / density;
        (rest.seconds() / worth + 1).min(most.min(1e15) as i64)
    }

    /// Takes the later half of the unread time of the running window with the most work left.
    pub(super) fn share(&self, context: &PlanContext) -> Option<Decision> {
        if self.profile.bounds.min_is_loose {
            return None;
        }
        let first_read = self.in_order().filter(|(_, window)| !window.is_read_again());
        let candidates = first_read.filter_map(|(id, window)| {
            let (pages, unread) = self.work_left(window)?;
            let may_share = pages >= SHARED_PAGES && unread.seconds() >= 2;
            let half = unread.start.shifted(unread.seconds() / 2);
            let at = self.cut_at(self.region(&window.region)?, unread, half).filter(|_| may_share)?;
            Some((id, window, pages, at))
        });
        let (id, window, _, at) = candidates.max_by(|one, other| one.2.total_cmp(&other.2))?;
        let new = WindowId(self.next_window);
        let part = Window::new(window.region.clone(), TimeRange::new(at, window.range.end));
        let first = self.scan((new, &part), at, ScanReason::First, context);
        Some(Decision::Record(vec![PlanEvent::WindowSplit { window: id, at, new }, first]))
    }

    /// Estimated pages that a running window has left, and the time that they lie in.
    fn work_left(&self, window: &Window) -> Option<(f64, TimeRange)> {
        let walk = window.walk()?;
        let plan = self.region(&window.region)?;
        let frontier = walk.frontier()?;
        let unread = TimeRange::new(frontier.shifted(1), window.range.end.min(plan.last_second()?.shifted(1)));
        let seen = frontier.since(window.range.start) + 1;
        let own = walk.total_slots() as f64 / seen.max(1) as f64;
        let density = if walk.total_pages() >= 3 { own } else { self.density(plan) };
        Some((density * unread.seconds() as f64 / f64::from(SOURCE.page_size), unread))
    }

    pub(in crate::plan) fn density(&self, plan: &RegionPlan) -> f64 {
        let windows =
            plan.windows.values().filter_map(|id| self.windows.get(id)).filter(|window| !window.is_read_again());
        let walks = windows.filter_map(|window| {
            let walk = window.walk()?;
            let start = window.range.start.max(plan.extent.oldest?);
            Some((walk.total_slots(), walk.frontier()?.since(start).max(0)))
        });
        plan.density(walks.fold((0, 0), |sum, walk| (sum.0 + walk.0, sum.1 + walk.1)))
    }
}

fn joined(reader: Option<(WindowId, Option<EpochSeconds>)>) -> Option<PlanEvent> {
    let (window, until) = reader?;
    Some(PlanEvent::WindowsJoined { window, until: until? })
}

#[cfg(test)]
mod tests;
