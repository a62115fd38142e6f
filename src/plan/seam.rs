//! Where two windows meet: the rows that a walk saw beyond its end, against what their owner's first page showed. Pure.
//!
//! Both looks were paid for and both are delivered, so no row is lost by what they differ in. But an id that the owner's page
//! lacks, in a second that the page shows whole, says that one of the two answers left a row out, and then it may have left out
//! others, too. So these seconds are read again, and the later answer is believed.
//!
//! Whoever comes second compares. A walk that ends after its neighbour has begun reads the seconds itself, in a stretch beyond
//! its end that changes nothing else of it. One that ends before leaves what it saw to the neighbour, which goes back to the
//! first row that its first page lacks.
//!
//! The other direction: a row of the owner that the walk's last page lacks is what a deletion looks like, and nothing is asked.
//! But where that page lies beyond the end whole and the owner shows rows before it, the page came too late: rows that went have
//! moved it up, and with the owner's rows it skipped the last ones of the walk's own. The walk goes back to where the page before
//! it ended. Until a walk is compared, what lies before such a page does not count as settled.
//!
//! A window that is read within its own bounds, or again after it was done, takes no part.

use std::collections::BTreeSet;

use super::event::{Ending, PlanEvent, StretchReason};
use super::fact::{RowKey, VideoKey, WindowId};
use super::page::{Finding, longest_run};
use super::planner::Planner;
use super::region::RegionPlan;
use super::step::{WalkStep, anchor};
use super::walk::{Stretch, Walk};
use super::window::Window;
use crate::api::contract::SOURCE;
use crate::units::{EpochSeconds, PageNumber, TimeRange};

/// Readings of the seconds at one seam that may each bring a row that none before showed, or fail, before they are listed.
const MOST_READINGS: u32 = 3;
/// How often a walk goes back within its own window for its neighbours' rows.
const MOST_BACK: u32 = 2;
/// Pages of all readings of one seam.
const MOST_PAGES: u32 = 10;

/// A walk that reads seconds beyond its own end again.
#[derive(Clone, Debug)]
pub struct SeamReading {
    seconds: TimeRange,
    /// The ids that any look at these seconds has shown.
    known: BTreeSet<VideoKey>,
    readings: u32,
    /// Pages of all readings.
    pages: u32,
    /// Whether the running reading has shown an id that no look before it did.
    brought_new: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// The reading is past the seconds, or at the end of all rows.
    Whole,
    /// A page came without rows in order.
    Broken,
}

impl SeamReading {
    fn new(seconds: TimeRange, seen: &[RowKey]) -> Self {
        let known = seen.iter().filter(|row| seconds.contains(row.second)).map(|row| row.video).collect();
        Self { seconds, known, readings: 1, pages: 0, brought_new: false, state: State::Reading }
    }

    fn begin_again(&mut self) {
        self.readings += 1;
        (self.brought_new, self.state) = (false, State::Reading);
    }

    /// Takes the rows of one page within what was asked, and how many places it filled; `number` is its number.
    pub(super) fn read(&mut self, number: u32, slots: u32, asked: &[RowKey]) {
        self.pages += 1;
        let rows = longest_run(asked);
        let is_ordered = !rows.is_empty() && rows.len() * 4 >= asked.len() * 3;
        for row in rows.iter().filter(|row| self.seconds.contains(row.second)) {
            self.brought_new |= self.known.insert(row.video);
        }
        let is_past = rows.last().is_some_and(|row| row.second >= self.seconds.end);
        let is_end = slots == 0 && number > 1;
        self.state = match (is_ordered, is_past || is_end) {
            (_, true) if is_end || is_ordered => State::Whole,
            (true, _) => State::Reading,
            (false, _) => State::Broken,
        };
    }

    fn step(&self, pages: u32) -> WalkStep {
        let may_go_on = self.pages < MOST_PAGES;
        match self.state {
            State::Whole if !self.brought_new => finish(Vec::new()),
            State::Reading if may_go_on => PageNumber::new(pages + 1).map_or_else(|_| self.give_up(), WalkStep::Ask),
            State::Whole | State::Broken if may_go_on && self.readings < MOST_READINGS => {
                anchor(self.seconds.start, StretchReason::Seam { until: self.seconds.end })
            }
            _ => self.give_up(),
        }
    }

    fn give_up(&self) -> WalkStep {
        let why = "two windows meet here, and each reading of it showed other rows, or none could be had";
        finish(vec![(self.seconds, why.to_owned())])
    }
}

/// What a walk shows of its seams.
impl Walk {
    /// The rows of the window's first page, where it is whole and in order, from the window's start on. A page with free places
    /// says nothing of what it lacks.
    fn opening(&self) -> Option<Vec<RowKey>> {
        let is_first = self.stretch.number == 0 && self.so_far.pages == 1 && !self.is_bounded();
        let is_whole = self.last.finding == Finding::Rows && self.last.previous_slots >= SOURCE.page_size;
        (is_first && is_whole).then(|| self.sure_rows(self.range.start))
    }

    /// The rows of the last page from `start` on, without those of a wrong date and those that may be.
    fn sure_rows(&self, start: EpochSeconds) -> Vec<RowKey> {
        let mut rows = longest_run(&self.last.previous);
        rows.retain(|row| row.second >= start && !self.last.held.contains(row));
        rows
    }

    /// Begins to read seconds beyond the walk's own end, if that is what the stretch is for. It stands apart from all others.
    pub(super) fn begin_seam(&mut self, stretch: &Stretch) -> bool {
        let StretchReason::Seam { until } = stretch.why else {
            self.seam = None;
            return false;
        };
        if stretch.anchor < self.range.end {
            self.doubts.went_back += 1;
            return false;
        }
        match &mut self.seam {
            Some(seam) => seam.begin_again(),
            None => {
                let seconds = TimeRange::new(stretch.anchor, until);
                self.seam = Some(SeamReading::new(seconds, &self.sure_rows(self.range.end)));
            }
        }
        true
    }

    /// The next move of a walk that reads beyond its own end.
    pub(super) fn seam_step(&self) -> Option<WalkStep> {
        self.seam.as_ref().map(|seam| seam.step(self.so_far.pages))
    }

    /// Where a page beyond the walk's own end cannot be had, its window is read all the same.
    pub(super) fn leave_seam(&self) -> Option<WalkStep> {
        self.seam.as_ref().map(SeamReading::give_up)
    }
}

impl Window {
    /// Keeps the rows of the first page, if that is what has come.
    pub(super) fn keep_opening(&mut self) {
        if let Some(opening) = self.walk().and_then(Walk::opening) {
            self.opening = opening;
        }
    }

    /// Whether its first page is still to come.
    fn has_no_page(&self) -> bool {
        let is_first = |walk: &Walk| walk.stretch().number == 0 && walk.stretch_pages() == 0;
        !self.is_over() && self.walk().is_none_or(is_first)
    }

    /// The seconds in which the first page, just read, lacks a row that the left neighbour saw.
    fn lacking_of_opening(&self, walk: &Walk) -> Option<TimeRange> {
        let is_just_read = walk.stretch().number == 0 && walk.stretch_pages() == 1;
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
        let lacking = match &step {
            WalkStep::Finish { ending: Ending::RowBeyond, unproven } if unproven.is_empty() => window
                .lacking_of_opening(walk)
                .or_else(|| self.skipped_before_the_end(window, walk))
                .or_else(|| self.lacking_beyond(window, walk)),
            WalkStep::Anchor { why: StretchReason::Scheduled, unproven, .. } if unproven.is_empty() => {
                window.lacking_of_opening(walk)
            }
            WalkStep::Ask(_) => window.lacking_of_opening(walk),
            // Whatever else the walk wants, it reads these seconds again by itself, or leaves them listed.
            _ => None,
        };
        match lacking.filter(|_| self.compares(window)) {
            Some(seconds) if !self.is_listed(window, seconds) => {
                anchor(seconds.start, StretchReason::Seam { until: seconds.end })
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
        if walk.seam.is_some() || walk.last.finding != Finding::Rows {
            return None;
        }
        let owner = self.right_of(window).filter(|owner| !owner.bounded)?;
        lacking(&owner.opening, &walk.sure_rows(window.range.end), owner.range)
    }

    /// The seconds before the end that the last page may have skipped: it lies beyond the end whole, and the right neighbour's
    /// first page shows rows before it. Rows that went before it have moved it, and the walk's own last rows with it.
    fn skipped_before_the_end(&self, window: &Window, walk: &Walk) -> Option<TimeRange> {
        if walk.seam.is_some() || walk.last.finding != Finding::Rows || walk.doubts.went_back >= MOST_BACK {
            return None;
        }
        let (before, first) = walk.reach.junction?;
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
        let saw_beyond = ending == Ending::RowBeyond && walk.last.finding == Finding::Rows && walk.seam.is_none();
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
    pub(super) fn count_seam(&mut self, id: WindowId, why: StretchReason) {
        let is_again = self.windows.get(&id).and_then(Window::walk).is_some_and(|walk| walk.seam.is_some());
        self.profile.seams += u64::from(matches!(why, StretchReason::Seam { .. }) && !is_again);
    }
}

fn finish(unproven: Vec<(TimeRange, String)>) -> WalkStep {
    WalkStep::Finish { ending: Ending::RowBeyond, unproven }
}

/// From the first to the last second of an `owned` range in which `opening` lacks an id that was `seen`. The last second of the
/// opening may go on beyond its page, so it says nothing.
fn lacking(opening: &[RowKey], seen: &[RowKey], owned: TimeRange) -> Option<TimeRange> {
    let covered = TimeRange::new(owned.start, opening.last()?.second.min(owned.end));
    let is_lacking = |row: &&RowKey| covered.contains(row.second) && opening.iter().all(|own| own.video != row.video);
    let seconds = || seen.iter().filter(is_lacking).map(|row| row.second);
    Some(TimeRange::new(seconds().min()?, seconds().max()?.shifted(1)))
}

#[cfg(test)]
mod tests;
