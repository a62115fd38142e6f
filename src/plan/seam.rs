//! Where two windows meet: the rows that a walk saw beyond its end, against what their owner's first page showed. Pure.
//!
//! Both looks were paid for and both are delivered, so no row is lost by what they differ in. But an id that the owner's page
//! lacks, in a second that the page shows whole, says that one of the two answers left a row out, and then it may have left out
//! others, too. So these seconds are read again, and the later answer is believed.
//!
//! Whoever comes second compares. A walk that ends after its neighbour has begun reads the seconds itself, in a scan beyond
//! its end that changes nothing else of it. One that ends before leaves what it saw to the neighbour, which goes back to the
//! first row that its first page lacks.
//!
//! The other direction: a row of the owner that the walk's last page lacks is what a deletion looks like, and nothing is asked.
//! But where that page lies beyond the end whole and the owner shows rows before it, the page came too late: rows that went have
//! moved it up, and with the owner's rows it skipped the last ones of the walk's own. The walk goes back to where the page before
//! it ended. Until a walk is compared, what lies before such a page does not count as settled.
//!
//! Where the owner's first page lacks every row beyond the end that the walk's last page shows, their dates may be wrong, and nothing witnesses that
//! end: the walk goes on with its next page. Of an owner that begins later this is not asked any more.
//!
//! A window that is read within its own bounds, or again after it was done, takes no part.

use super::event::{Ending, PlanEvent, ScanReason};
use super::fact::{RowKey, WindowId};
use super::page::Finding;
use super::planner::Planner;
use super::region::RegionPlan;
use super::walk::step::anchor;
use super::walk::{Walk, WalkStep};
use super::window::Window;
use crate::units::{PageNumber, TimeRange};

/// How often a walk goes back within its own window for its neighbours' rows.
const MOST_BACK: u32 = 2;

impl Window {
    /// Keeps the rows of the first page, if that is what has come.
    pub(super) fn keep_opening(&mut self) {
        if let Some(opening) = self.walk().and_then(Walk::opening) {
            self.opening = opening;
        }
    }

    /// Whether its first page is still to come.
    fn has_no_page(&self) -> bool {
        let is_first = |walk: &Walk| walk.scan().number == 0 && walk.scan_pages() == 0;
        !self.is_over() && self.walk().is_none_or(is_first)
    }

    /// The seconds in which the first page, just read, lacks a row that the left neighbour saw.
    fn lacking_of_opening(&self, walk: &Walk) -> Option<TimeRange> {
        let is_just_read = walk.scan().number == 0 && walk.scan_pages() == 1;
        lacking(&self.opening, &self.expected, self.range).filter(|_| is_just_read)
    }
}

/// Deciding at seams, and keeping what it needs.
impl Planner {
    /// A walk's next move, with what its seams ask for before it.
    pub(super) fn at_seams(&self, window: &Window, walk: &Walk, step: WalkStep) -> WalkStep {
        if let Some(step) = walk.leave_seam().filter(|_| window.parked > 0) {
            return step;
        }
        if let Some(page) = self.unwitnessed(window, walk, &step) {
            return WalkStep::Ask(page);
        }
        let lacking = match &step {
            WalkStep::Finish { ending: Ending::RowBeyond, unproven } if unproven.is_empty() => window
                .lacking_of_opening(walk)
                .or_else(|| self.skipped_before_the_end(window, walk))
                .or_else(|| self.lacking_beyond(window, walk)),
            WalkStep::Anchor { why: ScanReason::Scheduled, unproven, .. } if unproven.is_empty() => {
                window.lacking_of_opening(walk)
            }
            WalkStep::Ask(_) => window.lacking_of_opening(walk),
            // Whatever else the walk wants, it reads these seconds again by itself, or leaves them listed.
            _ => None,
        };
        match lacking.filter(|_| self.compares(window)) {
            Some(seconds) if !self.is_listed(window, seconds) => {
                anchor(seconds.start, ScanReason::Seam { until: seconds.end })
            }
            _ => step,
        }
    }

    /// Whether what was read of a window can be compared: in order, and not long after its neighbours.
    fn compares(&self, window: &Window) -> bool {
        let is_here = |range: TimeRange| range.start <= window.range.end && window.range.start <= range.end;
        let plan = self.region(&window.region);
        let is_reopened = plan.is_some_and(|plan| plan.again.ranges.iter().any(|range| is_here(*range)));
        !window.bounded && !is_reopened && self.profile.order_is_proven()
    }

    fn is_listed(&self, window: &Window, seconds: TimeRange) -> bool {
        let mut listed = self.gaps.iter().chain(&self.unproven);
        listed.any(|one| one.region == window.region && one.range.covers(seconds))
    }

    /// The seconds in which the right neighbour's first page lacks a row that this walk's last page showed.
    fn lacking_beyond(&self, window: &Window, walk: &Walk) -> Option<TimeRange> {
        if walk.is_beyond_its_end() || walk.last_finding() != Finding::Rows {
            return None;
        }
        let owner = self.right_of(window).filter(|owner| !owner.bounded)?;
        lacking(&owner.opening, &walk.sure_rows(window.range.end), owner.range)
    }

    /// The next page of a walk that is about to end with rows beyond its window of which the right neighbour's first page, which shows their
    /// seconds whole, lacks every one: their dates may be wrong, and then its own rows go on.
    fn unwitnessed(&self, window: &Window, walk: &Walk, step: &WalkStep) -> Option<PageNumber> {
        let ends = matches!(step, WalkStep::Finish { ending: Ending::RowBeyond, unproven } if unproven.is_empty());
        if !ends || walk.is_beyond_its_end() || walk.last_finding() != Finding::Rows || !self.compares(window) {
            return None;
        }
        let owner = self.right_of(window).filter(|owner| !owner.bounded)?;
        let (beyond, lacks) = (walk.sure_rows(window.range.end), lacks(&owner.opening, owner.range)?);
        let is_refuted = !beyond.is_empty() && beyond.iter().all(lacks);
        walk.next_page().filter(|page| is_refuted && page.get() <= self.profile.last_page())
    }

    /// The seconds before the end that the last page may have skipped: it lies beyond the end whole, and the right neighbour's
    /// first page shows rows before it. Rows that went before it have moved it, and the walk's own last rows with it.
    fn skipped_before_the_end(&self, window: &Window, walk: &Walk) -> Option<TimeRange> {
        if walk.is_beyond_its_end() || walk.last_finding() != Finding::Rows || walk.went_back() >= MOST_BACK {
            return None;
        }
        let (before, first) = walk.junction()?;
        let missed = TimeRange::new(window.range.end, first);
        let owner = self.right_of(window).filter(|owner| !owner.bounded)?;
        let is_missed = owner.opening.iter().any(|row| owner.range.intersection(missed).contains(row.second));
        let seconds = TimeRange::new(before.max(walk.read_until()), window.range.end);
        (is_missed && !seconds.is_empty()).then_some(seconds)
    }

    fn right_of(&self, window: &Window) -> Option<&Window> {
        let id = self.region(&window.region)?.windows.get(&window.range.end)?;
        self.windows.get(id)
    }

    fn left_of(&self, window: &Window) -> Option<&Window> {
        let (_, id) = self.region(&window.region)?.windows.range(..window.range.start).next_back()?;
        self.windows.get(id).filter(|left| left.range.end == window.range.start)
    }

    /// A window's finish, with what its neighbours have not compared yet: its pages are not replayed after it.
    pub(super) fn finished_at_seams(&self, id: WindowId, window: &Window, walk: &Walk, ending: Ending) -> PlanEvent {
        let compares = self.compares(window);
        let waits = |right: &&Window| right.has_no_page() && !right.bounded;
        let saw_beyond =
            ending == Ending::RowBeyond && walk.last_finding() == Finding::Rows && !walk.is_beyond_its_end();
        let right = self.right_of(window).filter(|right| compares && saw_beyond && waits(right));
        let left = self.left_of(window).filter(|left| compares && !left.is_over() && !left.bounded);
        let mut beyond = right.map_or_else(Vec::new, |_| walk.sure_rows(window.range.end));
        beyond.retain(|row| right.is_some_and(|right| right.range.contains(row.second)));
        let is_seen = |plan: &&RegionPlan| saw_beyond && plan.neighbour() == Some(window.range.end);
        if let Some(plan) = self.region(&window.region).filter(is_seen) {
            // Another run compares it.
            beyond = walk.sure_rows(window.range.end);
            beyond.retain(|row| plan.range.contains(row.second));
        }
        let opening = left.map_or_else(Vec::new, |_| window.opening.clone());
        let (rows, pages, excess) = (walk.total_slots(), walk.total_pages(), walk.rows_beyond());
        let edges = self.edges(id);
        PlanEvent::WindowFinished { window: id, ending, rows, pages, excess, beyond, opening, edges }
    }

    /// Keeps what a finished window leaves to its neighbours.
    pub(super) fn keep_seams(&mut self, (id, ending): (WindowId, Ending), beyond: &[RowKey], opening: &[RowKey]) {
        let Some(window) = self.windows.get_mut(&id) else { return };
        window.opening = opening.to_vec();
        let (region, end) = (window.region.clone(), window.range.end);
        if let Some(plan) = self.region_mut(&region).filter(|plan| plan.neighbour() == Some(end)) {
            plan.neighbours.seen_beyond = (ending == Ending::RowBeyond).then(|| beyond.to_vec());
        }
        let right = self.region(&region).and_then(|plan| plan.windows.get(&end)).copied();
        if let Some(right) = right.and_then(|right| self.windows.get_mut(&right)) {
            right.expected = beyond.to_vec();
        }
    }

    /// Counts the seams at which two looks differed.
    pub(super) fn count_seam(&mut self, id: WindowId, why: ScanReason) {
        let is_again = self.windows.get(&id).and_then(Window::walk).is_some_and(|walk| walk.is_beyond_its_end());
        self.profile.seams += u64::from(matches!(why, ScanReason::Seam { .. }) && !is_again);
    }
}

/// From the first to the last second of an `owned` range in which `opening` lacks an id that was `seen`.
fn lacking(opening: &[RowKey], seen: &[RowKey], owned: TimeRange) -> Option<TimeRange> {
    let is_lacking = lacks(opening, owned)?;
    let seconds = || seen.iter().filter(|row| is_lacking(row)).map(|row| row.second);
    Some(TimeRange::new(seconds().min()?, seconds().max()?.shifted(1)))
}

/// Whether a row lies in seconds of an `owned` range that `opening` shows whole, and is not there; none where it shows nothing. The last
/// second of the opening may go on beyond its page, so it says nothing.
fn lacks(opening: &[RowKey], owned: TimeRange) -> Option<impl Fn(&RowKey) -> bool> {
    let covered = TimeRange::new(owned.start, opening.last()?.second.min(owned.end));
    Some(move |row: &RowKey| covered.contains(row.second) && opening.iter().all(|own| own.video != row.video))
}

#[cfg(test)]
mod tests;
