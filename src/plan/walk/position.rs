//! Where a walk stands: how far it has come, and up to where nothing is read again.

use super::Walk;
use super::step::{WalkContext, WalkStep};
use crate::api::contract::TimeOrder;
use crate::plan::event::ScanReason;
use crate::plan::heal::Heal;
use crate::plan::page::Finding;
use crate::plan::short::ShortDoubt;
use crate::units::{EpochSeconds, TimeRange};

impl Walk {
    /// The last second seen in order; none before the first row, and none while rows have no order.
    pub fn frontier(&self) -> Option<EpochSeconds> {
        if self.is_bounded() { None } else { self.reach.frontier }
    }

    /// The second of the last row before those of the frontier.
    pub fn known_before(&self) -> Option<EpochSeconds> {
        self.reach.before_frontier
    }

    /// The walk's low watermark: up to where (exclusive) it has every row, as far as is known: nothing below it is read again. The last page counts only
    /// once another has followed it: should that be the same, one of the two came in place of another.
    pub fn watermark(&self) -> EpochSeconds {
        let last_page = self.before_last_page().map(|before| before.max(self.reach.watermark_before));
        self.read_until().min(last_page.unwrap_or(EpochSeconds::MAX)).max(self.range.start)
    }

    /// Where the last page would have to be looked for again, had another come in its place; none where a scan's first page began
    /// with rows that were known.
    pub(in crate::plan) fn before_last_page(&self) -> Option<EpochSeconds> {
        let first = (self.so_far.pages == 1 && self.scan.why == ScanReason::First).then_some(self.scan.anchor);
        self.reach.junction.map(|(before, _)| before).or(first)
    }

    /// Up to where (exclusive) its pages have shown every row, the last page among them.
    pub(in crate::plan) fn read_until(&self) -> EpochSeconds {
        if self.is_bounded() {
            return self.range.start;
        }
        let doubted = self.short_pages.doubted.as_ref().map_or(EpochSeconds::MAX, ShortDoubt::from);
        let healing = self.open_heals().map(Heal::second).min().unwrap_or(EpochSeconds::MAX);
        let torn = if self.anchor.torn_was_listed { self.scan.anchor.shifted(1) } else { EpochSeconds::MAX };
        let awaiting = if self.anchor.awaited.is_empty() { EpochSeconds::MAX } else { self.anchor.sure_until };
        self.reach.watermark.min(doubted).min(healing).min(torn).min(awaiting).max(self.range.start).min(self.range.end)
    }

    /// Below this second nothing may be given to another window: the walk has been there.
    pub fn reached(&self) -> EpochSeconds {
        self.reach.frontier.unwrap_or(self.scan.anchor).max(self.reach.watermark)
    }

    /// Where the walk stands when a page has no usable row.
    pub fn position(&self) -> EpochSeconds {
        self.reach.frontier.unwrap_or(self.scan.anchor)
    }

    /// The last second that its pages have shown, also where it leaps ahead.
    pub(in crate::plan) fn last_shown(&self) -> Option<EpochSeconds> {
        self.last.held.last().map(|row| row.second).max(self.reach.frontier)
    }

    /// About how many pages older than what is asked are still to come, as the last of them shows them; none where it held others.
    pub(in crate::plan) fn early_pages_to_go(&self) -> Option<u32> {
        let (first, last) = self.last.early.as_ref().and_then(|rows| rows.first().zip(rows.last()))?;
        let span = last.second.since(first.second).max(0) + 1;
        let pages = self.scan.asked_min.since(last.second).max(0) / span;
        Some(u32::try_from(pages).unwrap_or(u32::MAX))
    }

    /// Whether all rows of its scan lie beyond its window, which is no evidence before they have shown an order.
    pub(in crate::plan) fn stands_beyond(&self) -> bool {
        self.mode.is_ordered() && self.reach.frontier >= Some(self.range.end) && !self.has_seen_any_of(self.range)
    }

    /// From the window's end to the first row beyond it, none where none has been seen: nothing lies between.
    pub fn empty_beyond(&self) -> Option<TimeRange> {
        let first = self.last.previous.iter().map(|row| row.second).filter(|second| *second >= self.range.end).min()?;
        Some(TimeRange::new(self.range.end, first))
    }

    /// Rows of the last page beyond the window's end.
    pub fn rows_beyond(&self) -> u64 {
        self.last.previous.iter().filter(|row| row.second >= self.range.end).count() as u64
    }

    /// The last second before the last page, and the first of it; none where it is its scan's first.
    pub(in crate::plan) fn junction(&self) -> Option<(EpochSeconds, EpochSeconds)> {
        self.reach.junction
    }

    /// When the last page came.
    pub(in crate::plan) fn last_page_at(&self) -> EpochSeconds {
        self.last.at
    }

    /// What the last page is.
    pub(in crate::plan) fn last_finding(&self) -> Finding {
        self.last.finding
    }

    /// Whether it asks for less time than the run reads by now: a row after that is no sign that it was answered wrongly.
    pub(super) fn asks_for_less(&self, context: &WalkContext<'_>) -> bool {
        let last = if context.bounds.max_is_inclusive { context.run_end.shifted(-1) } else { context.run_end };
        let has_own_end = self.is_bounded() || self.scan.order() == TimeOrder::NewestFirst;
        !has_own_end && self.scan.asked_max < last
    }

    /// Whether what would follow from an end of rows is more than the end of its window, and that end may be the one of the time that it
    /// asks for.
    pub(super) fn asked_too_little(&self, step: &WalkStep, context: &WalkContext<'_>) -> bool {
        let ends = matches!(step, WalkStep::Finish { unproven, .. } if unproven.is_empty());
        matches!(self.last.finding, Finding::Empty | Finding::SamePage) && !ends && self.asks_for_less(context)
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::event::ScanReason;
    use crate::plan::testing::range;
    use crate::plan::walk::{Scan, Walk};
    use crate::units::EpochSeconds;

    fn scan(number: u32, anchor: i64, why: ScanReason) -> Scan {
        let at = EpochSeconds::new;
        Scan { number, anchor: at(anchor), asked_min: at(anchor), asked_max: at(100), started_at: at(1_000), why }
    }

    /// What had been settled, and published, was taken back where a look around a short page read the seconds before it again.
    #[test]
    fn what_is_settled_stays_so_while_the_time_before_it_is_read_again() {
        let at = EpochSeconds::new;
        let mut walk = Walk::new(range(0, 100), None, scan(0, 0, ScanReason::First));
        (walk.reach.watermark, walk.reach.junction) = (at(55), Some((at(54), at(55))));
        assert_eq!(walk.watermark(), at(54));
        walk.restart(scan(1, 40, ScanReason::ShortPage), None);
        walk.reach.junction = Some((at(42), at(43)));
        assert_eq!(walk.watermark(), at(54), "of the look's pages another says nothing of the time before");
        walk.reach.junction = Some((at(58), at(60)));
        assert_eq!(walk.watermark(), at(55));
        walk.restart(scan(2, 45, ScanReason::Repeat), None);
        assert_eq!(walk.watermark(), at(45), "what is doubted is not settled");
    }
}
