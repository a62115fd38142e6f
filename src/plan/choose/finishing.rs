//! What the end of a window says: of its own time, and of the time after it.

use super::listing::unproven_short;
use crate::plan::event::{Ending, PlanEvent};
use crate::plan::fact::WindowId;
use crate::plan::planner::Planner;
use crate::plan::region::RegionPlan;
use crate::plan::walk::Walk;
use crate::plan::window::Window;
use crate::units::{EpochSeconds, TimeRange};

impl Planner {
    /// The end of a window that leaves nothing to its neighbours.
    pub(in crate::plan) fn finished(&self, id: WindowId, ending: Ending, walk: &Walk) -> PlanEvent {
        let (rows, pages, excess) = (walk.total_slots(), walk.total_pages(), walk.rows_beyond());
        let (beyond, opening, edges) = (Vec::new(), Vec::new(), self.edges(id));
        PlanEvent::WindowFinished { window: id, ending, rows, pages, excess, beyond, opening, edges }
    }

    /// What a finishing walk believes to be gone.
    pub(super) fn gone(&self, window: &Window, walk: &Walk, ending: Ending) -> Option<PlanEvent> {
        let newest = self.region(&window.region)?.extent.newest?;
        let range = TimeRange::new(walk.position().min(newest), newest.shifted(1));
        let believes = ending == Ending::EmptyPage && walk.believes_a_row_gone();
        believes.then(|| PlanEvent::RowGone { region: window.region.clone(), range })
    }

    /// What a walk says of the time after its window that ends with an empty page, where others were to read that.
    pub(super) fn nothing_follows(&self, window: &Window, walk: &Walk, ending: Ending) -> Option<PlanEvent> {
        let plan = self.region(&window.region)?;
        let from = walk.frontier().unwrap_or(window.range.start).max(window.range.start);
        let range = TimeRange::new(from.min(window.range.end), window.range.end);
        let says_so = ending == Ending::EmptyPage && !walk.is_bounded();
        let is_to_tell = says_so && range.end < plan.range.end && !range.is_empty();
        // Where a row after them is known that is believed to be gone, it may come back.
        let follows = || PlanEvent::NothingFollows { region: window.region.clone(), range };
        is_to_tell.then(|| if walk.believes_a_row_gone() { Some(follows()) } else { nothing_in(plan, range) }).flatten()
    }

    /// What a finishing walk believed of its short pages.
    pub(in crate::plan) fn settle_believed(&self, window: &Window, walk: &Walk) -> Vec<PlanEvent> {
        let (region, within) = (&window.region, self.range_of(&window.region));
        let refuted = self.region(region).map_or(&[][..], |plan| plan.again.recheck.refuted());
        let known = self.believed.iter().filter(|(of, _)| of == region).map(|(_, range)| *range);
        let is_known =
            |range| known.clone().any(|known| known == range) || refuted.iter().any(|refuted| refuted.covers(range));
        let believed = walk.believed().into_iter().map(|one| (one.range.intersection(within), one.least));
        let believed = believed.filter(|(range, _)| !range.is_empty());
        let new = believed.filter(|(range, _)| self.profile.short_pages_hide() || !is_known(*range));
        let mut leap = walk.leap();
        new.map(|(range, mut others)| match self.profile.short_pages_hide() {
            true => unproven_short(region, range),
            false => {
                others.extend(leap.take().cloned());
                let least = (!others.is_empty()).then(|| others.remove(0));
                PlanEvent::ShortPagesBelieved { region: region.clone(), range, least, others }
            }
        })
        .collect()
    }

    /// A walk asks to the end of the run as it was then, so its end is that of every window up to there that nobody has begun. But a row that
    /// is known there, and not believed to be gone, speaks against it: what lies before that is read.
    pub(super) fn nothing_beyond(&self, window: &Window, walk: &Walk) -> Vec<PlanEvent> {
        let Some(plan) = self.region(&window.region) else { return Vec::new() };
        let later = plan.windows.range(window.range.end..).filter_map(|(_, id)| Some((*id, self.windows.get(id)?)));
        let asked_end = self.asked_end(walk.scan());
        let newest = newest_of(plan).filter(|_| !walk.believes_a_row_gone());
        let is_empty = |later: &Window| newest.is_none_or(|newest| newest < later.range.start);
        let is_asked = |later: &Window| later.is_waiting() && !later.bounded && later.range.end <= asked_end;
        let waiting = later.filter(|(_, later)| is_asked(later) && is_empty(later));
        waiting.flat_map(|(id, later)| nothing_in(plan, later.range).into_iter().chain([finished_unread(id)])).collect()
    }
}

/// The last second of which a row is known.
fn newest_of(plan: &RegionPlan) -> Option<EpochSeconds> {
    plan.extent.newest.max(plan.ends.newest())
}

/// That an empty page said of these seconds that they are behind all rows; none where a row is known after them.
fn nothing_in(plan: &RegionPlan, range: TimeRange) -> Option<PlanEvent> {
    let is_known_better = newest_of(plan).is_some_and(|newest| newest >= range.end);
    (!is_known_better).then(|| PlanEvent::NothingFollows { region: plan.region.clone(), range })
}

/// The end of a window of which no page was needed.
fn finished_unread(window: WindowId) -> PlanEvent {
    let (ending, rows, pages, excess) = (Ending::EmptyPage, 0, 0, 0);
    let (beyond, opening, edges) = (Vec::new(), Vec::new(), Vec::new());
    PlanEvent::WindowFinished { window, ending, rows, pages, excess, beyond, opening, edges }
}

#[cfg(test)]
mod tests;
