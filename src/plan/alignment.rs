//! From where the rows before an end fill their pages: what is asked so comes without a short page. Pure.
//!
//! The last page of a list is short by nature. Where short pages were found to leave rows out it proves nothing, however often it comes
//! again; a list that begins a whole number of pages before the end has none.

use super::planner::Planner;
use super::region::RegionPlan;
use crate::api::contract::{Region, SOURCE};
use crate::units::{EpochSeconds, TimeRange};

impl Planner {
    /// Seconds of a region that are to be read again, cut and widened so that no page of them is short by nature, where short pages are not
    /// believed and enough is known of the region's last rows. They come in order, apart from each other, and so they go. What lies between two that both need it becomes part of one.
    pub fn aligned(&self, region: &Region, ranges: Vec<TimeRange>) -> Vec<TimeRange> {
        let plan = self.region(region);
        let Some((plan, at)) = plan.and_then(|plan| Some((plan, self.fills_pages_from(plan)?))) else { return ranges };
        let tail = TimeRange::new(at, ranges.iter().map(|range| range.end).max().unwrap_or(at).max(at));
        let is_kept = |range: &TimeRange| plan.kept.iter().any(|kept| kept.overlaps(*range));
        if tail.is_empty() || tail.without(&ranges).iter().any(is_kept) {
            return ranges;
        }
        // A page that begins before that second is full in any case.
        let before = ranges.into_iter().map(|range| TimeRange::new(range.start.min(at), range.end.min(at)));
        before.filter(|range| !range.is_empty()).chain([tail]).collect()
    }

    /// Where time may be cut that would be cut at this second, without a part whose pages would come short by nature; none where there is
    /// no such second after its start.
    pub(super) fn cut_at(&self, plan: &RegionPlan, range: TimeRange, at: EpochSeconds) -> Option<EpochSeconds> {
        let last = self.fills_pages_from(plan).unwrap_or(at);
        Some(at.min(last)).filter(|at| *at > range.start)
    }

    /// Where short pages are not believed, the last second from which the rows that are known to a region's end fill their pages, as they
    /// are asked.
    fn fills_pages_from(&self, plan: &RegionPlan) -> Option<EpochSeconds> {
        let bounds = &self.profile.bounds;
        let is_asked = self.profile.short_pages_hide() && !bounds.min_is_loose && !self.profile.order.sort_ignored;
        let is_read = plan.ends.newest() >= plan.extent.newest;
        let margin = i64::from(!bounds.min_inclusive);
        let at = plan.ends.fills_pages_from(SOURCE.page_size as usize, margin).filter(|_| is_asked && is_read)?;
        (at >= plan.range.start).then_some(at)
    }
}

#[cfg(test)]
mod tests;
