//! What a walk does next: one move for each page, from what the pages have shown. Pure.

use super::Walk;
use crate::api::contract::SOURCE;
use crate::plan::event::{Ending, Lacks, ScanReason};
use crate::plan::heal::Heal;
use crate::plan::page::Finding;
use crate::units::{EpochSeconds, PageNumber, TimeRange};

mod context;
mod leaving;

pub use context::{BoundsKept, Consistency, NewestRows, Pages, RowOrder, Short, Tuning, WalkContext};

/// Seconds that stay unproven, and why.
pub type Unproven = Vec<(TimeRange, String)>;

/// A walk's next move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalkStep {
    /// Ask this page of the running scan.
    Ask(PageNumber),
    /// Begin a scan.
    Anchor {
        /// The first wanted second.
        at: EpochSeconds,
        /// Why.
        why: ScanReason,
        /// Seconds that stay unproven by it.
        unproven: Unproven,
    },
    /// List these seconds as unproven and go on.
    List(Unproven),
    /// The same, where it is known what would prove them.
    ListLacking(TimeRange, Lacks),
    /// The window is read.
    Finish {
        /// What proves it.
        ending: Ending,
        /// Seconds that stay unproven.
        unproven: Unproven,
    },
    /// A bounded window holds more than the cap: cut it here and read both halves.
    Bisect(EpochSeconds),
    /// A bounded window is read once more.
    ReadAgain,
    /// Rows about here come in no order: a stretch of time is read within its own bounds.
    ReadBounded,
    /// Rows come in no order, however they are asked.
    SortIgnored,
    /// `page_num` counts rows.
    PageNumberCountsRows,
    /// Rows outside what was asked, and no others, the first of this second.
    RangeNotHonoured(EpochSeconds),
    /// The service does not keep to the lower bound.
    MinIsLoose,
    /// Nothing before this second: what contradicts what is known is asked again then.
    Wait(EpochSeconds),
}

/// The largest share of a scan's pages that a scheduled anchor may cost.
const ANCHOR_PRICE: f64 = 0.000_3;
/// The same where the scan is old, until it is several times as old.
const OLD_ANCHOR_PRICE: f64 = 0.001;
/// Pages that were their predecessor without the first row, in all walks, after which `page_num` is said to count rows.
const MOST_SHIFTED: u32 = 5;
/// At this many times the age a scan is left at any price.
const VERY_OLD: i64 = 6;
/// Doubts in a row, after pages that answer another question, that must bring nothing before what is left is listed.
const ASTRAY_DOUBTS: u32 = 3;
/// After so many pages the first walk of a run goes on from its last second once, ...
const PROVING_PAGES: u32 = 2;
/// ... where that holds at most so many rows: whether they come again shows whether page 1 is the first ...
const PROVING_ROWS: usize = 3;
/// ... or fewer than a page, after so many pages: of more, some would come also where page 1 is the second.
const PATIENT_PAGES: u32 = 8;
/// Pages in a row without a usable row after which a window is given up: nothing tells any more where the walk stands.
const MOST_UNUSABLE: u32 = 100;

impl Walk {
    /// Decides the next move after the last page, or at the start of a scan.
    pub fn step(&self, context: &WalkContext<'_>) -> WalkStep {
        if let Some(step) = self.leave_seam().filter(|_| self.last.finding.is_astray()).or_else(|| self.seam_step()) {
            return step;
        }
        let plain = self.plain_step(context);
        if self.asked_too_little(&plain, context) {
            return anchor(self.read_until(), ScanReason::Restart);
        }
        let step = match (plain, self.stuck_at()) {
            (WalkStep::Anchor { at, .. }, Some(second)) if at <= second => self.past_stuck(second),
            (step, _) => step,
        };
        self.with_what_stays_open(self.after_torn(self.in_order(step, context), context), context)
    }

    fn plain_step(&self, context: &WalkContext<'_>) -> WalkStep {
        if let Some(reading) = self.mode.other_end() {
            return match self.last.finding.is_astray() {
                true => self.leave_from_end(self.scan.anchor, context),
                false => self.step_from_end(reading, context),
            };
        }
        match self.last.finding {
            Finding::Nothing if !self.is_bounded() => self.ask_next(context),
            Finding::OutsideAsked(seen) | Finding::Early(seen) if context.newest.known.is_none() => {
                WalkStep::RangeNotHonoured(seen)
            }
            finding if let Some(reading) = self.mode.bounded() => reading.step(self.range, finding, context),
            _ if let Some(before) = self.anchor.lost => anchor(before.max(self.read_until()), ScanReason::Doubt),
            Finding::ShiftedByOne
                if !context.pages.are_counted && (self.last.overlaps >= 2 || context.pages.shifted >= MOST_SHIFTED) =>
            {
                WalkStep::PageNumberCountsRows
            }
            Finding::ShiftedByOne => self.ask_next(context),
            Finding::Early(_) if context.bounds.min_is_loose && context.bounds.may_read_early => self.ask_next(context),
            Finding::Early(_) if context.bounds.min_seems_loose && !context.bounds.min_is_loose => WalkStep::MinIsLoose,
            // The same again is believed, so it must not come from the same trouble. As long as no scan ever began with the row that it
            // goes on from, the service may count from 0, which is found out at once.
            Finding::Unjoined
                if !context.bounds.proves_anchor
                    && (self.last.at..self.last.at.shifted(context.tuning.confirm_after)).contains(&context.now) =>
            {
                WalkStep::Wait(self.last.at.shifted(context.tuning.confirm_after))
            }
            finding if finding.is_astray() => self.astray_step(),
            _ if self.scan.why == ScanReason::KnownRow => self.known_row_step(context),
            Finding::Disordered => self.disordered_step(context),
            Finding::Repeated(second) => {
                let open = self.open_heals().map(Heal::second).min().unwrap_or(second);
                anchor(self.again_from(second.min(open).min(self.position())), ScanReason::Repeat)
            }
            Finding::SamePage => self.same_page_step(context),
            Finding::Empty => self.empty_step(context),
            Finding::Unusable if self.last.unusable >= MOST_UNUSABLE => {
                let why = "page after page holds no row with a usable time and id";
                end_of_rows(vec![(TimeRange::new(self.read_until(), self.range.end), why.to_owned())])
            }
            Finding::Rows => self.rows_step(context),
            _ => self.go_on(context),
        }
    }

    /// Decides after the service refused a page beyond the first: a doubt, no durable page. None where it cannot be settled.
    pub fn refused_step(&self, context: &WalkContext<'_>) -> Option<WalkStep> {
        let step = match (self.so_far.pages, self.mode.bounded()) {
            (0, _) => return None,
            _ if self.mode.other_end().is_some() => self.leave_from_end(self.scan.anchor, context),
            (_, Some(reading)) => reading.halve(self.range),
            _ if let Some(step) = self.leave_seam() => return Some(self.with_what_stays_open(step, context)),
            (_, None) if self.asks_for_less(context) => anchor(self.read_until(), ScanReason::Restart),
            (_, None) => self.doubt_step(context),
        };
        Some(self.with_what_stays_open(self.in_order(step, context), context))
    }

    /// A step as it may be taken by what rows have shown of their order.
    fn in_order(&self, step: WalkStep, context: &WalkContext<'_>) -> WalkStep {
        // Of one second that was read from both ends no order of seconds is needed.
        let needs_no_order = self.is_bounded() || self.mode.other_end().is_some_and(|reading| reading.has_met());
        let is_ordered = needs_no_order || context.order.is_proven || self.has_ascended();
        if is_ordered { step } else { self.without_order(step, context) }
    }

    /// Until rows have shown an order, nothing follows from the last second seen: what lies before it may still come.
    fn without_order(&self, step: WalkStep, context: &WalkContext<'_>) -> WalkStep {
        match step {
            // Nor from a page of which no row can be placed: where rows come in no order, they need not be asked for again from there.
            WalkStep::Anchor { at, why: ScanReason::Scheduled, .. }
                if matches!(self.last.finding, Finding::Rows | Finding::Unusable) =>
            {
                self.next_without_anchor(at, context)
            }
            WalkStep::Anchor {
                at,
                why: why @ (ScanReason::Doubt | ScanReason::Repeat | ScanReason::ShortPage),
                unproven,
            } => WalkStep::Anchor { at: at.min(self.read_until().max(self.scan.anchor)), why, unproven },
            WalkStep::Anchor { why: ScanReason::Cap | ScanReason::PastFullSecond, .. }
            | WalkStep::Finish { ending: Ending::RowBeyond, .. } => WalkStep::SortIgnored,
            step => step,
        }
    }

    /// The same page twice: the end of what the service serves, or one of the two came in place of another, so that rows before it may
    /// have been skipped.
    fn same_page_step(&self, context: &WalkContext<'_>) -> WalkStep {
        let is_first_look = self.scan.why != ScanReason::Doubt || self.so_far.brought_new;
        let opens = (self.so_far.pages == 2 && self.scan.why == ScanReason::First).then_some(self.scan.anchor);
        match (self.doubt_step(context), self.before_last_page().or(opens).filter(|_| is_first_look)) {
            (WalkStep::Anchor { at, why: ScanReason::Doubt | ScanReason::FromEnd, unproven }, Some(before)) => {
                WalkStep::Anchor { at: at.min(before.max(self.scan.anchor)), why: ScanReason::Doubt, unproven }
            }
            (step, _) => step,
        }
    }

    /// A page that answers another question, also when it is asked again: what was asked is asked from the last second seen, which is
    /// another question; where that does not help, the rest of the window is listed.
    fn astray_step(&self) -> WalkStep {
        let least = self.read_until().max(self.scan.anchor);
        let at = if self.position() < self.range.end { self.position().max(least) } else { least };
        let is_fruitless = self.scan.why == ScanReason::Doubt && !self.so_far.brought_new;
        let may_help = !is_fruitless || self.doubts.fruitless + 1 < ASTRAY_DOUBTS;
        if may_help && !self.has_doubted_enough(at) && self.scan.why != ScanReason::KnownRow {
            return anchor(at, ScanReason::Doubt);
        }
        let why = "what was asked of it is answered with rows of another time or region, also when asked again";
        let unproven = vec![(TimeRange::new(self.watermark(), self.range.end), why.to_owned())];
        WalkStep::Finish { ending: Ending::Listed, unproven }
    }

    /// The number of the next page; none beyond the last that may be asked.
    pub fn next_page(&self) -> Option<PageNumber> {
        PageNumber::new(self.so_far.pages + 1).ok()
    }

    pub(super) fn ask_next(&self, context: &WalkContext<'_>) -> WalkStep {
        self.next_page().map_or_else(|| self.cap_step(context), WalkStep::Ask)
    }

    fn rows_step(&self, context: &WalkContext<'_>) -> WalkStep {
        let asks_too_early = context.bounds.min_is_inclusive && self.scan.asked_min < self.scan.anchor;
        let stands_before = self.last.previous.last().is_some_and(|row| row.second < self.scan.anchor);
        if asks_too_early && self.so_far.pages == 1 && (stands_before || self.is_torn(context)) {
            // The page is full of a second that is not wanted: the bound is exact by now, so it is asked exactly.
            return anchor(self.scan.anchor, self.scan.why);
        }
        if let Some(step) = self.heal_step().or_else(|| self.short_step(context)) {
            return step;
        }
        let is_past = self.reach.frontier.is_some_and(|frontier| frontier >= self.range.end);
        if is_past && (context.order.is_proven || self.has_ascended()) {
            return WalkStep::Finish { ending: Ending::RowBeyond, unproven: Vec::new() };
        }
        if is_past && context.bounds.max_is_inclusive && self.scan.asked_max >= context.run_end {
            // Rows that are not wanted stand among the others in no proven order: asked exactly, they do not come.
            return anchor(self.read_until().max(self.scan.anchor), ScanReason::Restart);
        }
        self.go_on(context)
    }

    fn go_on(&self, context: &WalkContext<'_>) -> WalkStep {
        if let Some(second) = self.reach.frontier.filter(|_| self.is_endless()) {
            return self.past_second(second, "its rows come again and again, and their end does not come");
        }
        if self.so_far.pages >= context.pages.cap {
            return self.cap_step(context);
        }
        if let Some(step) = self.list_torn(context) {
            return step;
        }
        match self.reached_in_order(context) {
            Some(frontier)
                if self.heals.iter().all(|heal| !heal.is_reading())
                    && frontier > self.scan.anchor
                    && frontier >= self.read_until()
                    && (self.short_pages.doubted.is_none() || context.short.is_habit)
                    && self.anchor_is_due(context) =>
            {
                anchor(frontier, ScanReason::Scheduled)
            }
            _ => self.ask_next(context),
        }
    }

    fn anchor_is_due(&self, context: &WalkContext<'_>) -> bool {
        if context.bounds.min_is_loose {
            // A scan would begin with all that lies before its anchor.
            return false;
        }
        let few = if self.so_far.pages < PATIENT_PAGES { PROVING_ROWS } else { SOURCE.page_size as usize - 1 };
        if context.bounds.proves_anchor && self.so_far.pages >= PROVING_PAGES && self.reach.at_frontier.len() <= few {
            return true;
        }
        let age = age(self.scan.started_at, context.now);
        let pages = f64::from(self.so_far.pages);
        let price = self.reach.at_frontier.len() as f64 / f64::from(SOURCE.page_size);
        match context.tuning.consistency {
            Consistency::Atomic => true,
            Consistency::Deep => false,
            Consistency::Anchored => {
                let long = self.so_far.pages >= context.tuning.anchor_pages && price < ANCHOR_PRICE * pages;
                let old = age >= context.tuning.stretch_age && price < OLD_ANCHOR_PRICE * pages;
                long || old || age >= context.tuning.stretch_age.saturating_mul(VERY_OLD)
            }
        }
    }

    pub(super) fn heal_step(&self) -> Option<WalkStep> {
        if let Some(heal) = self.heals.iter().find(|heal| heal.is_endless()) {
            return Some(self.past_second(heal.second(), "its rows come again and again, and their end does not come"));
        }
        if let Some(heal) = self.heals.iter().find(|heal| heal.has_failed()) {
            let why = "its rows come in another order on every request, and its readings did not agree";
            return Some(WalkStep::List(vec![(one_second(heal.second()), why.to_owned())]));
        }
        let again = self.heals.iter().filter(|heal| heal.needs_another_reading());
        again.map(Heal::second).min().map(|second| anchor(second, ScanReason::Repeat))
    }

    pub(super) fn short_step(&self, context: &WalkContext<'_>) -> Option<WalkStep> {
        if context.short.is_habit {
            return None;
        }
        let doubt = self.short_pages.doubted.as_ref()?;
        if doubt.is_pending() && self.shows_the_newest(context) {
            return None;
        }
        if doubt.has_failed() || (context.short.is_hopeless && doubt.next_look().is_some()) {
            let why = "a page left rows out, and reading it in other alignments did not show that none is missing";
            return Some(WalkStep::List(vec![(doubt.range(), why.to_owned())]));
        }
        let is_past = self.reach.frontier.is_some_and(|frontier| frontier >= self.range.end);
        if doubt.is_pending() && is_past && !self.is_endless() {
            // The last page of all is short by nature: does another follow it?
            return Some(self.ask_next(context));
        }
        doubt.next_look().map(|at| anchor(at, ScanReason::ShortPage))
    }

    fn cap_step(&self, context: &WalkContext<'_>) -> WalkStep {
        // A row that leaps ahead counts as well: whether it stands there rightly shows when its own second is asked.
        let ahead = self.last.held.last().map(|row| row.second).filter(|second| *second < context.run_end);
        let at = ahead.map_or(self.position(), |ahead| ahead.max(self.position()));
        if at > self.scan.anchor {
            return anchor(at, ScanReason::Cap);
        }
        let why = "it holds more rows than the service serves pages of";
        self.past_full_second(at.max(self.scan.anchor), context, why)
    }

    /// Either this page or the one before it may have come in place of another.
    fn disordered_step(&self, context: &WalkContext<'_>) -> WalkStep {
        let at = self.watermark().max(self.scan.anchor);
        let is_stuck = self.scan.why == ScanReason::Disorder && at == self.scan.anchor;
        match (is_stuck, context.order.is_proven || self.has_ascended()) {
            (false, _) => anchor(at, ScanReason::Disorder),
            (true, true) => WalkStep::ReadBounded,
            (true, false) => WalkStep::SortIgnored,
        }
    }
}

pub(in crate::plan) fn anchor(at: EpochSeconds, why: ScanReason) -> WalkStep {
    WalkStep::Anchor { at, why, unproven: Vec::new() }
}

pub(super) fn end_of_rows(unproven: Unproven) -> WalkStep {
    WalkStep::Finish { ending: Ending::EmptyPage, unproven }
}

pub(super) fn one_second(second: EpochSeconds) -> TimeRange {
    TimeRange::new(second, second.shifted(1))
}

/// A scan's age in seconds. One that begins later than now was dated by a clock that has been set back since: how old it is
/// cannot be known, so it counts as old.
fn age(started_at: EpochSeconds, now: EpochSeconds) -> i64 {
    Some(now.since(started_at)).filter(|age| *age >= 0).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
