//! At `atomic`: a second that does not fit one page, and what follows it. Pure.
//!
//! Where each page is asked from its own second on, rows that come or go between two pages move nothing. A second that fills a
//! page is read on without that, so it is listed, and what follows it is asked anew: the page on which it ended may have
//! skipped the first rows after it.

use super::Walk;
use super::step::{Consistency, WalkContext, WalkStep, one_second};
use crate::api::contract::SOURCE;
use crate::plan::event::{Lacks, ScanReason};
use crate::plan::page::Finding;
use crate::units::{EpochSeconds, TimeRange};

impl Walk {
    /// At `atomic` a page that is read on without a new anchor may have lost rows to a shift.
    pub(super) fn next_without_anchor(&self, at: EpochSeconds, context: &WalkContext<'_>) -> WalkStep {
        let seconds = TimeRange::new(self.scan.anchor, at.shifted(1).min(self.range.end).max(self.scan.anchor));
        if context.tuning.consistency != Consistency::Atomic || seconds.is_empty() || self.is_listed_whole(seconds) {
            return self.ask_next(context);
        }
        let why = "no order was proven, so rows that came or went between its pages may have moved others";
        WalkStep::List(vec![(seconds, why.to_owned())])
    }

    /// Up to where a scan may go on. At `atomic` rows that leap ahead count as well: whether they stand there rightly shows
    /// when their own second is asked.
    pub(super) fn reached_in_order(&self, context: &WalkContext<'_>) -> Option<EpochSeconds> {
        let ahead = self.last.held.last().map(|row| row.second).filter(|second| *second < context.run_end);
        ahead.filter(|_| context.tuning.consistency == Consistency::Atomic).max(self.reach.frontier)
    }

    /// At `atomic`: whether the anchor's second goes on beyond the full first page.
    pub(super) fn is_torn(&self, context: &WalkContext<'_>) -> bool {
        let is_full = self.last.previous_slots >= SOURCE.page_size;
        context.tuning.consistency == Consistency::Atomic
            && is_full
            && self.last.held.is_empty()
            && self.reach.frontier.is_some_and(|frontier| frontier <= self.scan.anchor)
    }

    /// Lists what the first page of a scan shows not to fit one page.
    pub(super) fn list_torn(&self, context: &WalkContext<'_>) -> Option<WalkStep> {
        let is_first =
            context.tuning.consistency == Consistency::Atomic && self.so_far.pages == 1 && !self.torn_is_listed();
        let has_no_place = self.last.finding == Finding::Unusable && self.reach.frontier.is_none() && self.ends_full();
        // Its end may have been given to another worker meanwhile.
        let rest = TimeRange::new(self.scan.anchor, self.range.end.max(self.scan.anchor));
        if is_first && has_no_place && !rest.is_empty() {
            let why = "no row of it has a usable time, so rows that went between its pages may have moved others";
            return Some(WalkStep::List(vec![(rest, why.to_owned())]));
        }
        let second = one_second(self.scan.anchor);
        (is_first && self.is_torn(context) && second.start < self.range.end)
            .then_some(WalkStep::ListLacking(second, Lacks::OnePage))
    }

    /// Remembers whether the scan's first page is full of its anchor's second.
    pub(super) fn watch_torn(&mut self) {
        if self.so_far.pages == 1 {
            let is_within = self.last.previous.iter().all(|row| row.second <= self.scan.anchor);
            self.anchor.opens_torn = self.last.finding == Finding::Rows && self.ends_full() && is_within;
            self.anchor.torn_was_listed = self.anchor.opens_torn && self.torn_is_listed();
        }
    }

    /// Where the walk would go on, or end, after a second that did not fit one page, or after pages in no proven order: what
    /// follows is asked anew.
    pub(super) fn after_torn(&self, step: WalkStep, context: &WalkContext<'_>) -> WalkStep {
        let is_past = self.reach.frontier.is_some_and(|frontier| frontier > self.scan.anchor);
        let has_left = self.so_far.pages > 1 && (is_past || self.last.finding == Finding::Empty);
        let is_apart = self.is_bounded() || self.mode.other_end().is_some() || self.scan.why == ScanReason::KnownRow;
        let torn = self.anchor.opens_torn.then(|| self.scan.anchor.shifted(1));
        let Some(after) = torn.max(self.listed_without_order()) else { return step };
        let may_skip = context.tuning.consistency == Consistency::Atomic && has_left && !is_apart;
        if may_skip && self.read_until() > after {
            return self.list_after_torn(step, after);
        }
        match step {
            WalkStep::Finish { unproven, .. } | WalkStep::Anchor { why: ScanReason::Scheduled, unproven, .. }
                if may_skip && after < self.range.end =>
            {
                self.past_second_with(after.shifted(-1), unproven)
            }
            step => step,
        }
    }

    /// The first second after those that [`Self::next_without_anchor`] listed, where rows of it were seen.
    fn listed_without_order(&self) -> Option<EpochSeconds> {
        let is_listed = self.listed.contains(self.scan.anchor) && self.listed.end > self.scan.anchor.shifted(1);
        (is_listed && self.listed.end <= self.position()).then_some(self.listed.end)
    }

    /// Where the walk had to read on behind such seconds, what it read is listed: it may be published already.
    fn list_after_torn(&self, mut step: WalkStep, after: EpochSeconds) -> WalkStep {
        let end = self.position().shifted(1).min(self.range.end);
        if let WalkStep::Finish { unproven, .. } | WalkStep::Anchor { why: ScanReason::Scheduled, unproven, .. } =
            &mut step
            && after < end
        {
            let why = "it was read on behind seconds that are listed, so rows that came or went may have moved others";
            unproven.push((TimeRange::new(after, end), why.to_owned()));
        }
        step
    }
}

#[cfg(test)]
mod tests;
