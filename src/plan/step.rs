//! What a walk does next: one move for each page, from what the pages have shown. Pure.

use super::event::{Ending, StretchReason};
use super::fact::RowKey;
use super::heal::Heal;
use super::page::Finding;
use super::walk::Walk;
use crate::api::contract::PAGE_SIZE;
use crate::units::{EpochSeconds, PageNumber, TimeRange};

/// How a walk trades credits for immunity to rows that come and go while it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Re-anchors when it is nearly free: the default.
    #[default]
    Anchored,
    /// Re-anchors after every page; about twice the credits.
    Atomic,
    /// Re-anchors at the cap alone; the fewest credits.
    Deep,
}

/// What a decision may look at beside the walk itself.
#[derive(Clone, Debug)]
pub struct WalkContext<'a> {
    /// The moment of the decision.
    pub now: EpochSeconds,
    /// The least pages of a stretch before a scheduled anchor.
    pub anchor_pages: u32,
    /// Pages that a window should hold.
    pub window_pages: u32,
    /// The age in seconds at which a stretch is left.
    pub stretch_age: i64,
    /// The level that was asked.
    pub consistency: Consistency,
    /// The last page that the service serves.
    pub cap: u32,
    /// The largest number of a page that held rows.
    pub deepest_page: u32,
    /// Short pages are this service's habit and prove nothing.
    pub short_is_habit: bool,
    /// Short or empty pages have hidden rows.
    pub service_hides: bool,
    /// Pages have shown that rows come in ascending order.
    pub order_is_proven: bool,
    /// The run has given the sort up.
    pub sort_ignored: bool,
    /// The lower bound is known to be inclusive.
    pub min_is_inclusive: bool,
    /// The newest second of the region that any page showed.
    pub known_newest: Option<EpochSeconds>,
    /// The newest second that the descending page showed: an end there needs no second look.
    pub probed_newest: Option<EpochSeconds>,
    /// The rows of the descending page.
    pub newest_rows: &'a [RowKey],
}

/// Seconds that stay unproven, and why.
pub type Unproven = Vec<(TimeRange, String)>;

/// A walk's next move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalkStep {
    /// Ask this page of the running stretch.
    Ask(PageNumber),
    /// Begin a stretch.
    Anchor {
        /// The first wanted second.
        at: EpochSeconds,
        /// Why.
        why: StretchReason,
        /// Seconds that stay unproven by it.
        unproven: Unproven,
    },
    /// List these seconds as unproven and go on.
    List(Unproven),
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
}

/// The largest share of a stretch's pages that a scheduled anchor may cost.
const ANCHOR_PRICE: f64 = 0.000_3;
/// The same where the stretch is old, until it is several times as old.
const OLD_ANCHOR_PRICE: f64 = 0.001;
/// At this many times the age a stretch is left at any price.
const VERY_OLD: i64 = 6;
/// Doubts in a row that must bring nothing before an end that nothing else confirms is believed.
const DOUBTS: u32 = 3;
/// The same where each costs many pages.
const LONG_DOUBTS: u32 = 2;
/// Pages in a row without a usable row after which a window is given up: nothing tells any more where the walk stands.
const MOST_UNUSABLE: u32 = 100;
/// What many pages are.
const LONG_DOUBT_PAGES: u32 = 30;

impl Walk {
    /// Decides the next move after the last page, or at the start of a stretch.
    pub fn step(&self, context: &WalkContext<'_>) -> WalkStep {
        let step = self.plain_step(context);
        self.with_open_heals(step)
    }

    fn plain_step(&self, context: &WalkContext<'_>) -> WalkStep {
        match self.finding {
            Finding::Nothing if !self.is_bounded() => self.ask_next(),
            Finding::OutsideAsked(seen) if context.known_newest.is_none() => WalkStep::RangeNotHonoured(seen),
            finding if let Some(reading) = &self.bounded => reading.step(self.range, finding, context),
            Finding::ShiftedByOne if self.overlaps >= 2 => WalkStep::PageNumberCountsRows,
            Finding::ShiftedByOne => self.ask_next(),
            _ if self.stretch.why == StretchReason::KnownRow => self.known_row_step(context),
            Finding::Disordered => self.disordered_step(context),
            Finding::Repeated(second) => {
                let open = self.open_heals().map(Heal::second).min().unwrap_or(second);
                anchor(second.min(open).max(self.stretch.anchor), StretchReason::Repeat)
            }
            Finding::SamePage => self.doubt_step(context),
            Finding::Empty => self.empty_step(context),
            Finding::Unusable if self.unusable >= MOST_UNUSABLE => {
                let why = "page after page holds no row with a usable time and id";
                end_of_rows(vec![(TimeRange::new(self.settled(), self.range.end), why.to_owned())])
            }
            Finding::Nothing | Finding::Unusable | Finding::OutsideAsked(_) => self.go_on(context),
            Finding::Rows => self.rows_step(context),
        }
    }

    /// Decides after the service refused a page beyond the first: a doubt, no durable page. None where it cannot be settled.
    pub fn refused_step(&self, context: &WalkContext<'_>) -> Option<WalkStep> {
        let step = match (self.pages, &self.bounded) {
            (0, _) => return None,
            (_, Some(reading)) => reading.halve(self.range),
            (_, None) => self.doubt_step(context),
        };
        Some(self.with_open_heals(step))
    }

    /// What the walk leaves before its readings agreed is listed.
    fn with_open_heals(&self, step: WalkStep) -> WalkStep {
        let left_behind = |at: EpochSeconds| {
            let why = "its rows came twice, and its readings did not agree before the walk had to leave it";
            let heals = self.open_heals().filter(move |heal| heal.second() < at);
            heals.map(move |heal| (one_second(heal.second()), why.to_owned()))
        };
        match step {
            WalkStep::Anchor { at, why, mut unproven } => {
                unproven.extend(left_behind(at));
                WalkStep::Anchor { at, why, unproven }
            }
            WalkStep::Finish { ending, mut unproven } => {
                unproven.extend(left_behind(self.range.end));
                WalkStep::Finish { ending, unproven }
            }
            other => other,
        }
    }

    fn ask_next(&self) -> WalkStep {
        match PageNumber::new(self.pages + 1) {
            Ok(page) => WalkStep::Ask(page),
            Err(_) => self.cap_step(),
        }
    }

    fn rows_step(&self, context: &WalkContext<'_>) -> WalkStep {
        let asks_too_early = context.min_is_inclusive && self.stretch.asked_min < self.stretch.anchor;
        let stands_before = self.frontier.is_some_and(|frontier| frontier < self.stretch.anchor);
        if asks_too_early && self.pages == 1 && (stands_before || self.is_torn(context)) {
            // The page is full of a second that is not wanted: the bound is exact by now, so it is asked exactly.
            return anchor(self.stretch.anchor, self.stretch.why);
        }
        if let Some(step) = self.heal_step().or_else(|| self.short_step(context)) {
            return step;
        }
        let is_past = self.frontier.is_some_and(|frontier| frontier >= self.range.end);
        if is_past && (context.order_is_proven || self.has_ascended) {
            return WalkStep::Finish { ending: Ending::RowBeyond, unproven: Vec::new() };
        }
        self.go_on(context)
    }

    fn go_on(&self, context: &WalkContext<'_>) -> WalkStep {
        if self.pages >= context.cap {
            return self.cap_step();
        }
        if self.is_torn(context) && self.pages == 1 {
            let why = "its rows do not fit one page, so rows that came or went between its pages may have moved others";
            let second = one_second(self.stretch.anchor);
            if second.start < self.range.end && !self.torn_is_listed() {
                return WalkStep::List(vec![(second, why.to_owned())]);
            }
        }
        match self.frontier {
            Some(frontier)
                if self.heals.iter().all(|heal| !heal.is_reading())
                    && frontier > self.stretch.anchor
                    && self.anchor_is_due(context) =>
            {
                anchor(frontier, StretchReason::Scheduled)
            }
            _ => self.ask_next(),
        }
    }

    /// At `atomic`: whether the anchor's second goes on beyond the full first page.
    fn is_torn(&self, context: &WalkContext<'_>) -> bool {
        let is_full = self.previous.len() >= PAGE_SIZE as usize;
        context.consistency == Consistency::Atomic
            && is_full
            && self.held.is_empty()
            && self.frontier.is_some_and(|frontier| frontier <= self.stretch.anchor)
    }

    fn anchor_is_due(&self, context: &WalkContext<'_>) -> bool {
        let age = age(self.stretch.started_at, context.now);
        let pages = f64::from(self.pages);
        let price = self.at_frontier.len() as f64 / f64::from(PAGE_SIZE);
        match context.consistency {
            Consistency::Atomic => true,
            Consistency::Deep => false,
            Consistency::Anchored => {
                let long = self.pages >= context.anchor_pages && price < ANCHOR_PRICE * pages;
                let old = age >= context.stretch_age && price < OLD_ANCHOR_PRICE * pages;
                long || old || age >= context.stretch_age.saturating_mul(VERY_OLD)
            }
        }
    }

    fn heal_step(&self) -> Option<WalkStep> {
        if let Some(heal) = self.heals.iter().find(|heal| heal.is_endless()) {
            return Some(self.past_second(heal.second(), "its rows come again and again, and their end does not come"));
        }
        if let Some(heal) = self.heals.iter().find(|heal| heal.has_failed()) {
            let why = "its rows come in another order on every request, and its readings did not agree";
            return Some(WalkStep::List(vec![(one_second(heal.second()), why.to_owned())]));
        }
        let again = self.heals.iter().filter(|heal| heal.needs_another_reading());
        again.map(Heal::second).min().map(|second| anchor(second, StretchReason::Repeat))
    }

    fn short_step(&self, context: &WalkContext<'_>) -> Option<WalkStep> {
        if context.short_is_habit {
            return None;
        }
        let doubt = self.short.as_ref()?;
        if doubt.has_failed() {
            let why = "a page left rows out, and reading it in other alignments did not show that none is missing";
            return Some(WalkStep::List(vec![(doubt.range(), why.to_owned())]));
        }
        let is_past = self.frontier.is_some_and(|frontier| frontier >= self.range.end);
        let at = if doubt.is_pending() && is_past { Some(doubt.from()) } else { doubt.next_look() };
        at.map(|at| anchor(at, StretchReason::ShortPage))
    }

    /// Gives one second up as unproven and goes on after it.
    fn past_second(&self, second: EpochSeconds, why: &str) -> WalkStep {
        let range = one_second(second);
        let unproven = vec![(range, why.to_owned())];
        if range.end >= self.range.end {
            return WalkStep::Finish { ending: Ending::RowBeyond, unproven };
        }
        WalkStep::Anchor { at: range.end, why: StretchReason::PastFullSecond, unproven }
    }

    fn cap_step(&self) -> WalkStep {
        let at = self.position();
        if at > self.stretch.anchor {
            return anchor(at, StretchReason::Cap);
        }
        self.past_second(at.max(self.stretch.anchor), "it holds more rows than the service serves pages of")
    }

    fn disordered_step(&self, context: &WalkContext<'_>) -> WalkStep {
        let at = self.settled().max(self.stretch.anchor);
        let is_stuck = self.stretch.why == StretchReason::Disorder && at == self.stretch.anchor;
        match (is_stuck, context.order_is_proven || self.has_ascended) {
            (false, _) => anchor(at, StretchReason::Disorder),
            (true, true) => WalkStep::ReadBounded,
            (true, false) => WalkStep::SortIgnored,
        }
    }

    fn empty_step(&self, context: &WalkContext<'_>) -> WalkStep {
        if let Some(step) = self.heal_step().or_else(|| self.last_short_step(context)) {
            return step;
        }
        let last = self.held.last().map(|row| row.second).max(self.frontier);
        let rows_follow = match (context.known_newest, last) {
            (Some(newest), Some(last)) => newest > last || context.probed_newest != Some(last),
            (Some(newest), None) => newest >= self.stretch.anchor,
            (None, _) => false,
        };
        if rows_follow {
            return self.doubt_step(context);
        }
        match self.unseen_at_the_end(context) {
            Some(second) if !self.end_was_checked => anchor(second, StretchReason::Scheduled),
            Some(second) if self.pages > 2 && self.frontier == Some(second) => {
                self.past_second(second, "the newest page shows rows of it that did not come when it was asked")
            }
            _ if self.end_may_be_a_cap(context) => {
                self.past_second(self.position(), "it fills pages, and their end may be the service's last page")
            }
            _ => end_of_rows(Vec::new()),
        }
    }

    /// Whether the rows end with a full page within one second, deeper than any page before, and the newest page does not
    /// show the same end.
    fn end_may_be_a_cap(&self, context: &WalkContext<'_>) -> bool {
        let is_full = self.previous.len() >= PAGE_SIZE as usize && self.pages > 3;
        let is_torn = self.frontier.is_some() && self.previous.first().map(|row| row.second) == self.frontier;
        let is_deepest = self.pages > context.deepest_page;
        let is_confirmed = self.previous.last().is_some_and(|row| context.newest_rows.contains(row));
        is_full && is_torn && is_deepest && !is_confirmed
    }

    /// A short page at the end of all rows is no doubt, but for one that rows followed, and where short pages hide rows.
    fn last_short_step(&self, context: &WalkContext<'_>) -> Option<WalkStep> {
        let doubt = self.short.as_ref().filter(|_| !context.short_is_habit)?;
        let looks = doubt.is_followed() || context.service_hides || !doubt.is_pending();
        if !looks {
            return None;
        }
        if doubt.is_pending() {
            let end = context.known_newest.unwrap_or(doubt.from()).max(self.position()).shifted(1);
            let why = "the last page is short, and this service's short pages leave rows out";
            return Some(WalkStep::List(vec![(TimeRange::new(doubt.from(), end.min(self.range.end)), why.to_owned())]));
        }
        self.short_step(context)
    }

    /// The first second of a row of the newest page that the walk should have seen on its last pages and has not.
    fn unseen_at_the_end(&self, context: &WalkContext<'_>) -> Option<EpochSeconds> {
        let first = self.previous.first()?.second;
        let is_seen = |row: &RowKey| self.previous.contains(row) || self.at_frontier.contains(&row.video);
        let unseen = context
            .newest_rows
            .iter()
            .filter(|row| (row.second > first || Some(row.second) == self.frontier) && !is_seen(row));
        unseen.map(|row| row.second).filter(|second| self.range.contains(*second)).min()
    }

    /// Settles a doubt by reading again from the last second seen: what follows there is the truth.
    fn doubt_step(&self, context: &WalkContext<'_>) -> WalkStep {
        let needed = if self.pages > LONG_DOUBT_PAGES { LONG_DOUBTS } else { DOUBTS };
        let is_fruitless = self.stretch.why == StretchReason::Doubt && !self.brought_new;
        if !is_fruitless || self.fruitless + 1 < needed {
            return anchor(self.position(), StretchReason::Doubt);
        }
        let fills_pages = self.pages > 2 || self.previous.len() >= PAGE_SIZE as usize;
        if self.finding != Finding::Empty
            && fills_pages
            && let Some(second) = self.frontier
        {
            return self.past_second(second, "it fills pages, and what follows them does not come");
        }
        if self.finding != Finding::Empty && self.frontier.is_none() && self.pages > 1 {
            let why = "no row with a usable time came, and what follows them does not come";
            return end_of_rows(vec![(TimeRange::new(self.settled(), self.range.end), why.to_owned())]);
        }
        match context.known_newest.filter(|newest| self.frontier.is_none_or(|frontier| *newest > frontier)) {
            // A row that was seen later: is it still there?
            Some(newest) if newest >= self.stretch.anchor => anchor(newest, StretchReason::KnownRow),
            _ => end_of_rows(Vec::new()),
        }
    }

    /// Nothing came after the last second, but a later row had been seen: it was deleted, or the service is silent about rows.
    fn known_row_step(&self, context: &WalkContext<'_>) -> WalkStep {
        if !self.brought_new {
            return end_of_rows(Vec::new());
        }
        let at = self.frontier.unwrap_or(self.range.start.max(self.settled()));
        if !self.has_jumped {
            return self.past_second(at, "rows follow it, but they did not come when it was asked");
        }
        let newest = context.known_newest.unwrap_or(self.stretch.anchor).min(self.range.end);
        let why = format!("nothing came after {at}, though later rows are there");
        let unproven = vec![(TimeRange::new(at.min(newest), newest.max(at.shifted(1))), why)];
        if newest >= self.range.end {
            return end_of_rows(unproven);
        }
        WalkStep::Anchor { at: newest, why: StretchReason::PastFullSecond, unproven }
    }
}

fn anchor(at: EpochSeconds, why: StretchReason) -> WalkStep {
    WalkStep::Anchor { at, why, unproven: Vec::new() }
}

fn end_of_rows(unproven: Unproven) -> WalkStep {
    WalkStep::Finish { ending: Ending::EmptyPage, unproven }
}

fn one_second(second: EpochSeconds) -> TimeRange {
    TimeRange::new(second, second.shifted(1))
}

/// A stretch's age in seconds. One that begins later than now was dated by a clock that has been set back since: how old it is
/// cannot be known, so it counts as old.
fn age(started_at: EpochSeconds, now: EpochSeconds) -> i64 {
    Some(now.since(started_at)).filter(|age| *age >= 0).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that was wrong when a stretch began, and was set right since, kept the stretch young for as long as it had been wrong.
    #[test]
    fn a_stretch_from_the_future_is_old_and_not_young() {
        let at = EpochSeconds::new;
        assert_eq!(age(at(1_000), at(1_060)), 60);
        assert_eq!(age(at(1_000), at(1_000)), 0);
        assert_eq!(age(at(1_000), at(999)), i64::MAX);
    }
}
