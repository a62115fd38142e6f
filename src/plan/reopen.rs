//! Seconds that were done and are read again: the gaps of a run that had ended, and what a lost part held. Pure.
//!
//! A reopened range gets a window of its own, and the time beside it stays done, so nothing else is read. The range is in
//! no part, and so not covered, until it is filled: published whole, in one step.

use super::event::{Ending, PlanEvent};
use super::fact::WindowId;
use super::planner::{Listed, Planner};
use super::reads::NotRead;
use super::region::RegionPlan;
use super::window::{Window, WindowState};
use crate::api::contract::Region;
use crate::units::TimeRange;

/// A second that has failed before is asked with the patience of a parked window.
const PARKED_ONCE: u32 = 1;

/// Why seconds are read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reopening {
    /// They could not be read.
    Gap,
    /// What was delivered of them is lost; in words for a person.
    Lost(String),
    /// They hold rows that no walk has seen.
    Unseen,
    /// What they hold was in doubt, and the run had ended.
    Doubt,
    /// Short pages of them were believed, and one had left rows out.
    ShortPages,
    /// By the numbers of its pages they hold more rows than came.
    Places,
    /// They hold no row, and are far wider than the rows before them explain.
    Leap,
    /// They were done by a row beyond them, and rows come in no order.
    Order,
}

/// What is wanted of a plan that cannot give it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("region {region}: {range} cannot be read again, because it is not done")]
pub struct NotDone {
    /// The region.
    pub region: Region,
    /// The seconds.
    pub range: TimeRange,
}

impl Planner {
    /// Ranges that are read again and not filled yet.
    pub fn reopened(&self) -> &[Listed] {
        &self.reopened
    }

    /// The decisions that open a range again.
    ///
    /// # Errors
    /// Where a second of it is not done, or lies in no region of the run.
    pub fn reopening(&self, region: &Region, range: TimeRange, why: &Reopening) -> Result<Vec<PlanEvent>, NotDone> {
        let mut next = self.next_window;
        self.reopening_from(&mut next, region, range, why)
    }

    /// The same, where other decisions have taken the numbers of windows before this one.
    pub(super) fn reopening_from(
        &self,
        next: &mut u32,
        region: &Region,
        range: TimeRange,
        why: &Reopening,
    ) -> Result<Vec<PlanEvent>, NotDone> {
        let refused = || NotDone { region: region.clone(), range };
        let plan = self.region(region).filter(|plan| plan.range.covers(range) && !range.is_empty());
        let plan = plan.ok_or_else(refused)?;
        let mut number = || {
            *next += 1;
            WindowId(*next - 1)
        };
        let mut events = Vec::new();
        for (id, window) in self.windows_in(plan, range).filter(|(_, window)| !window.is_over()) {
            // A part reaches into a running window as far as its walk has settled; what is left gets a walk of its own.
            let walk = window.walk().ok_or_else(refused)?;
            let watermark = self.proven_until(window, walk);
            if watermark < range.end.min(window.range.end) {
                return Err(refused());
            }
            if watermark < window.range.end {
                events.push(PlanEvent::WindowSplit { window: id, at: watermark, new: number() });
            }
            events.extend(self.settle_believed(window, walk));
            events.push(self.finished(id, Ending::RowBeyond, walk));
        }
        let (window, rest) = (number(), number());
        let was_unproven = *why == Reopening::Doubt;
        let text = match why {
            Reopening::Gap => "it was a gap, and is being read again".to_owned(),
            Reopening::Lost(text) => text.clone(),
            Reopening::Doubt => "it was in doubt, and is being read again".to_owned(),
            Reopening::ShortPages => "its pages were short, or held rows that cannot be placed, and one showed others when it was asked again".to_owned(),
            Reopening::Leap => "it holds no row, and is wider than the rows before it explain".to_owned(),
            Reopening::Order => "a row beyond it ended it, and then rows came in no order".to_owned(),
            Reopening::Places => "by the numbers of its pages it holds more rows than came".to_owned(),
            Reopening::Unseen => "it holds rows that came only when its end was asked again".to_owned(),
        };
        events.push(PlanEvent::RangeReopened { window, rest, region: region.clone(), range, why: text, was_unproven });
        if *why == Reopening::Leap {
            // Asked within their own bounds they are another question than that which brought a row from far beyond them.
            events.push(PlanEvent::WindowBounded { window });
        }
        if *why == Reopening::Gap && !self.is_of_a_region(region, range) {
            // A later second may still fail, so nothing beyond the gap is asked.
            events.push(PlanEvent::WindowBounded { window });
            events.push(PlanEvent::WindowParked { window, times: PARKED_ONCE });
        }
        Ok(events)
    }

    /// The first reopened range of a region, once every second of it is read or listed again.
    pub fn next_fill(&self, region: &Region) -> Option<TimeRange> {
        let first = self.reopened.iter().filter(|open| open.region == *region).map(|open| open.range).min()?;
        self.region(region).is_some_and(|plan| plan.done_until >= first.end).then_some(first)
    }

    /// Everything that is in no part of the run for another reason than that nobody has come there yet.
    pub fn lacking(&self) -> Vec<Listed> {
        let open = self.reopened.iter().flat_map(|open| {
            let pieces = open.range.without(&self.gaps_of(&open.region));
            pieces.into_iter().map(|range| Listed { range, ..open.clone() })
        });
        self.gaps.iter().cloned().chain(open).collect()
    }

    /// The seconds of a region whose rows are all in published parts of the run.
    pub fn covered(&self, plan: &RegionPlan) -> Vec<TimeRange> {
        let mut missing = self.gaps_of(&plan.region);
        missing.extend(self.reopened.iter().filter(|open| open.region == plan.region).map(|open| open.range));
        missing.extend(&plan.kept);
        missing.extend(self.left_of_region(&plan.region));
        TimeRange::new(plan.range.start, plan.published_until).without(&missing)
    }

    /// The seconds between a region's first and last that this run has not read.
    pub fn not_read(&self, region: &Region) -> NotRead {
        let left = self.left_of_region(region);
        let kept = self.region(region).map_or(&[][..], |plan| &plan.kept);
        let gaps = self.gaps_of(region);
        let unproven = self.unproven.iter().filter(|listed| listed.region == *region).map(|listed| listed.range);
        let in_part = gaps.iter().copied().chain(unproven).collect();
        NotRead { all: [gaps.as_slice(), &left, kept].concat(), left, in_part }
    }

    /// A region's gaps.
    pub fn gaps_of(&self, region: &Region) -> Vec<TimeRange> {
        self.gaps.iter().filter(|gap| gap.region == *region).map(|gap| gap.range).collect()
    }

    /// The seconds of a region that are read or listed, whether or not a hole lies before them.
    pub fn done(&self, plan: &RegionPlan) -> Vec<TimeRange> {
        let over = self.windows_in(plan, plan.range).filter(|(_, window)| window.is_over());
        let first = TimeRange::new(plan.range.start, plan.done_until);
        let mut done: Vec<TimeRange> = over.map(|(_, window)| window.range).chain([first]).collect();
        done.retain(|range| !range.is_empty());
        done.sort_unstable();
        done
    }

    fn windows_in(&self, plan: &RegionPlan, range: TimeRange) -> impl Iterator<Item = (WindowId, &Window)> {
        let windows = plan.windows.values().filter_map(|id| Some((*id, self.windows.get(id)?)));
        windows.filter(move |(_, window)| window.range.overlaps(range))
    }

    /// Folds a reopening in. What is done on both sides of the range stays done.
    pub(super) fn reopen(&mut self, (id, rest): (WindowId, WindowId), region: &Region, range: TimeRange, why: &str) {
        self.gaps = cut_out(&self.gaps, region, range);
        self.unproven = cut_out(&self.unproven, region, range);
        // A second is filled once: two fills that hold it would take each other's rows away. What is open already waits for this reading too.
        let open = self.reopened.iter().filter(|open| open.region == *region).map(|open| open.range);
        let open: Vec<TimeRange> = open.collect();
        // What is in no part yet is published in its turn, with what lies before it.
        if let Some(plan) = self.region_mut(region) {
            let published = TimeRange::new(range.start, range.end.min(plan.published_until).max(range.start));
            plan.reopen(range);
            for range in published.without(&open) {
                let (region, why) = (region.clone(), why.to_owned());
                self.reopened.push(Listed { region, range, why, fault: None, may_pass: false, lacks: None });
            }
        }
        self.carve_out((id, rest), region, range);
    }

    /// Makes a window of seconds that are done; what is done on both sides of them stays so.
    pub(super) fn carve_out(&mut self, (id, rest): (WindowId, WindowId), region: &Region, range: TimeRange) {
        self.next_window = self.next_window.max(id.0 + 1).max(rest.0 + 1);
        let Some(plan) = self.regions.iter_mut().find(|plan| plan.region == *region) else { return };
        // What is left of the first window is no share of the region to be cut any more.
        plan.sizing.is_cut = true;
        let mut done = vec![];
        // No window begins with time that is kept.
        let after = plan.past_kept(range.end);
        if range.start < plan.done_until {
            done.push(TimeRange::new(after, plan.done_until));
            plan.done_until = range.start;
        }
        let ids: Vec<WindowId> = plan.windows.values().copied().collect();
        for over in ids {
            let Some(window) = self.windows.get_mut(&over).filter(|window| window.range.overlaps(range)) else {
                continue;
            };
            plan.windows.remove(&window.range.start);
            let before = TimeRange::new(window.range.start, range.start);
            done.push(TimeRange::new(after, window.range.end));
            if before.is_empty() {
                self.windows.remove(&over);
            } else {
                window.range = before;
                plan.windows.insert(before.start, over);
            }
        }
        let mut window = Window::new(region.clone(), range);
        window.bounded = self.profile.order.sort_ignored;
        if window.bounded {
            let by_order = std::mem::take(&mut plan.again.by_order);
            plan.again.by_order = by_order.iter().flat_map(|done| done.without(&[range])).collect();
        }
        plan.windows.insert(range.start, id);
        self.windows.insert(id, window);
        // Only what held the range's end reaches beyond it.
        if let Some(after) = done.into_iter().find(|range| !range.is_empty()) {
            let mut window = Window::new(region.clone(), after);
            window.state = WindowState::Over;
            plan.windows.insert(after.start, rest);
            self.windows.insert(rest, window);
        }
    }
}

/// What is listed of a region outside `range`.
fn cut_out(listed: &[Listed], region: &Region, range: TimeRange) -> Vec<Listed> {
    let left = |one: &Listed| match one.region == *region {
        true => one.range.without(&[range]),
        false => vec![one.range],
    };
    listed.iter().flat_map(|one| left(one).into_iter().map(|range| Listed { range, ..one.clone() })).collect()
}

#[cfg(test)]
mod tests;
