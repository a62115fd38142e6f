//! A window that is read within its own bounds to the empty page, trusting no order. Pure.

use std::collections::BTreeSet;

use super::step::{Consistency, WalkContext, WalkStep};
use super::{Lesson, Walk};
use crate::api::contract::SOURCE;
use crate::plan::event::{Ending, ScanReason};
use crate::plan::fact::{PageFact, RowKey, VideoKey};
use crate::plan::page::Finding;
use crate::units::{EpochSeconds, PageNumber, TimeRange};

/// Whole readings of one window before it is listed as unproven.
const MOST_READINGS: u32 = 6;
/// A window of more pages whose readings disagree is halved first, so that little is read again.
const REREAD_PAGES: u32 = 20;

/// Readings that may meet an answer to another question before the window is listed.
const ASTRAY_READINGS: u32 = 3;
/// Rows beyond twice the known ids after which a reading is taken for one without end.
const ENDLESS_ROWS: usize = 100;
/// Pages in a row without a usable row after which they are taken for endless.
const ENDLESS_PAGES: u32 = 100;
/// The second page after the last one that held rows: asked where the first is empty and the last was full.
const AFTER_THE_END: u32 = 2;

/// Readings that must come empty before a window of which no row is known is taken for empty.
fn empty_readings(context: &WalkContext) -> u32 {
    if context.short.service_hides { 4 } else { 2 }
}

/// What has been read of the window.
#[derive(Clone, Debug, Default)]
pub struct Bounded {
    /// Ids of all readings, and seconds of rows as far as they are needed to cut the window in two.
    known: BTreeSet<VideoKey>,
    seconds: Vec<EpochSeconds>,
    /// Whole readings so far.
    readings: u32,
    /// The running reading.
    running: Running,
    /// Whether a reading before this one had short pages before its last.
    was_short: bool,
    /// Rows within the window, of the reading before this one.
    own_rows_before: Option<u32>,
    /// What has come in place of a page after the last one.
    end: End,
    /// Rows of the window came before it was read within its bounds.
    is_known_to_hold_rows: bool,
}

/// The running reading of a window.
#[derive(Clone, Debug, Default)]
struct Running {
    /// Pages in a row from the first, usable rows, repeats, short pages before the last.
    pages: u32,
    rows: u32,
    unusable: u32,
    /// Places whose rows say nothing of themselves.
    unknown: u32,
    seen: BTreeSet<VideoKey>,
    short_pages: u32,
    last_was_full: bool,
    /// The last page that held any: when it came, its places, and its usable rows.
    last: Option<(EpochSeconds, u32, usize)>,
    /// Rows within the window.
    own_rows: u32,
    /// A page far ahead that tells whether the window is too large: its number, and whether it held rows.
    probe: Option<(u32, bool)>,
    last_was_probe: bool,
}

/// What has come in place of a page after the last one.
#[derive(Clone, Debug, Default)]
struct End {
    /// The page after the empty one that follows a full one is empty, too.
    is_sure: bool,
    /// When the page after the last one first came empty.
    ended_at: Option<EpochSeconds>,
    /// Whether the end is asked again, long enough after, and whether that showed the same or something else.
    is_asked_again: bool,
    is_confirmed: bool,
    is_refuted: bool,
    /// Whether the page after the last one was refused.
    is_refused: bool,
}

impl Walk {
    /// Whether a reading that trusts no order has shown a row of these seconds.
    pub fn shows_a_row_of(&self, range: TimeRange) -> bool {
        let seconds = self.mode.bounded().into_iter().flat_map(|reading| &reading.seconds);
        seconds.into_iter().any(|second| range.contains(*second))
    }

    /// Whether rows of it are known, and a reading within its own bounds has brought none.
    pub(in crate::plan) fn has_brought_nothing_known(&self) -> bool {
        self.mode.bounded().is_some_and(|reading| reading.running.pages == 0 && reading.end.ended_at.is_some())
    }

    /// Whether nothing but an empty page says that a reading within its own bounds is at its end: no page with free places came before it.
    pub(in crate::plan) fn ends_in_silence(&self) -> bool {
        self.mode.bounded().is_some_and(|reading| reading.running.pages == 0 || reading.running.last_was_full)
    }

    /// When the page came that a reading within its own bounds ended with, where that has not shown itself again, long enough after.
    pub(in crate::plan) fn unconfirmed_end(&self) -> Option<EpochSeconds> {
        let reading = self.mode.bounded()?;
        let ended_at = reading.end.ended_at.or(reading.running.last.map(|(at, ..)| at));
        ended_at.filter(|_| !reading.end.is_confirmed)
    }
}

impl Bounded {
    /// Nothing has been read yet within the bounds; whether rows of the window came before, and some that did.
    pub fn new(is_known_to_hold_rows: bool, known: BTreeSet<VideoKey>) -> Self {
        Self { is_known_to_hold_rows, known, ..Self::default() }
    }

    /// The same, whose next scan begins for this reason.
    #[must_use]
    pub(super) fn again(mut self, why: ScanReason) -> Self {
        match why {
            ScanReason::ConfirmEnd => self.begin_confirming(),
            _ => self.begin_reading(),
        }
        self
    }

    /// The window is read again from its first page.
    fn begin_reading(&mut self) {
        self.readings += 1;
        self.was_short |= self.running.short_pages > 0;
        self.own_rows_before = Some(self.running.own_rows);
        (self.running, self.end.is_sure) = (Running::default(), false);
        self.forget_end();
    }

    /// The end is asked again: the last page where it has free places, else the one after it; the reading goes on with that one, should it
    /// hold rows.
    fn begin_confirming(&mut self) {
        (self.end.is_sure, self.running.probe, self.running.last_was_probe, self.end.is_asked_again) =
            (false, None, false, true);
    }

    fn forget_end(&mut self) {
        self.end = End { is_sure: self.end.is_sure, ..End::default() };
    }

    /// The page after the last one is refused: the window may hold more than the service serves.
    pub fn refused(&mut self) {
        self.end.is_refused = true;
    }

    /// Whether pages had free places: the last one has, nearly always, and nothing tells whether it left a row out.
    pub fn has_short_pages(&self) -> bool {
        self.running.short_pages > 0 || self.ends_short()
    }

    /// Whether the last page has free places.
    fn ends_short(&self) -> bool {
        self.running.pages > 0 && !self.running.last_was_full
    }

    /// Folds one durable page of a window's `own` seconds in, and says what it taught.
    pub fn apply(&mut self, page: &PageFact, finding: Finding, rows: &[RowKey], own: TimeRange) -> Vec<Lesson> {
        let known_before = self.known.len();
        let number = page.address.page.get();
        let (pages, short_pages) = (self.running.pages, self.running.short_pages);
        let was_the_end = self.end.is_asked_again && number == pages + 1 && finding == Finding::Rows;
        self.take(page, finding, rows, own);
        let mut lessons = Vec::new();
        // What came where the reading had ended: the empty page was no end, so that no other is believed as before.
        lessons.extend(was_the_end.then_some(Lesson::MoreAfter { pages }));
        // A row that an earlier reading with short pages did not have.
        let shows_hidden = self.was_short && self.known.len() > known_before;
        lessons.extend(shows_hidden.then_some(Lesson::ShortPageHidRows));
        lessons.extend((self.running.short_pages > short_pages).then_some(Lesson::ShortPageFollowed));
        lessons.extend((finding == Finding::Rows).then_some(Lesson::Served(number)));
        let after_the_end =
            self.running.last_was_probe && finding == Finding::Rows && number == self.running.pages + AFTER_THE_END;
        lessons.extend(after_the_end.then_some(Lesson::MoreAfter { pages: self.running.pages }));
        lessons
    }

    fn take(&mut self, page: &PageFact, finding: Finding, rows: &[RowKey], own: TimeRange) {
        if self.end.is_asked_again && page.address.page.get() == self.running.pages {
            return self.take_last_again(page, rows, own);
        }
        let is_next = page.address.page.get() == self.running.pages + 1;
        self.running.last_was_probe = !is_next;
        if !is_next {
            self.end.is_sure =
                finding == Finding::Empty && page.address.page.get() == self.running.pages + AFTER_THE_END;
            let held_rows = !matches!(finding, Finding::Empty | Finding::SamePage);
            self.running.probe = Some((page.address.page.get(), held_rows));
            self.seconds.extend(rows.iter().map(|row| row.second));
            return;
        }
        match finding {
            Finding::Empty | Finding::SamePage => {
                self.end.ended_at.get_or_insert(page.fetched_at);
                self.end.is_confirmed |= self.end.is_asked_again;
            }
            _ => {
                self.forget_end();
                self.running.pages += 1;
                self.running.unusable = if rows.is_empty() { self.running.unusable + 1 } else { 0 };
                self.running.short_pages += u32::from(!self.running.last_was_full && self.running.pages > 1);
                self.running.last_was_full = page.slots >= SOURCE.page_size;
                self.running.last = Some((page.fetched_at, page.slots, rows.len()));
                let usable = u32::try_from(rows.len()).unwrap_or(u32::MAX);
                self.running.rows += usable;
                self.running.unknown += page.slots.saturating_sub(usable);
                self.running.seen.extend(rows.iter().map(|row| row.video));
                // While a bound is not known, rows beside the window come, too: readings need not agree on those.
                let own = rows.iter().filter(|row| own.contains(row.second)).map(|row| row.video);
                let own: Vec<VideoKey> = own.collect();
                self.running.own_rows += u32::try_from(own.len()).unwrap_or(u32::MAX);
                self.known.extend(own);
                if self.seconds.len() < 1_000 {
                    self.seconds.extend(rows.iter().map(|row| row.second));
                }
            }
        }
    }

    /// The last page once more: it left nothing out where it holds as many rows again, and none that is not known.
    fn take_last_again(&mut self, page: &PageFact, rows: &[RowKey], own: TimeRange) {
        let is_as_before =
            self.running.last.is_some_and(|(_, slots, usable)| (slots, usable) == (page.slots, rows.len()));
        let shows_the_same = is_as_before && rows.iter().all(|row| self.running.seen.contains(&row.video));
        (self.end.is_confirmed, self.end.is_refuted) = (shows_the_same, !shows_the_same);
        self.known.extend(rows.iter().filter(|row| own.contains(row.second)).map(|row| row.video));
    }

    /// Decides the next move.
    pub fn step(&self, range: TimeRange, finding: Finding, context: &WalkContext) -> WalkStep {
        match finding {
            _ if self.end.is_refused => self.halve(range),
            finding if finding.is_astray() && self.readings + 1 < ASTRAY_READINGS => WalkStep::ReadAgain,
            finding if finding.is_astray() => {
                let why = "what was asked of it is answered with rows of another time or region, also when asked again";
                WalkStep::Finish { ending: Ending::Listed, unproven: vec![(range, why.to_owned())] }
            }
            _ if self.end.is_refuted => self.read_again(range),
            _ if self.end.is_confirmed && self.ends_short() => self.at_the_end(range, context),
            _ if self.running.last_was_probe && self.running.probe.is_some_and(|(_, held_rows)| held_rows) => {
                self.halve(range)
            }
            Finding::Empty if self.end_is_unsure(context) => {
                PageNumber::new(self.running.pages + AFTER_THE_END).map_or_else(|_| self.halve(range), WalkStep::Ask)
            }
            Finding::Empty if !self.running.last_was_probe || self.end.is_sure => self.at_the_end(range, context),
            Finding::SamePage if !self.running.last_was_probe => self.halve(range),
            _ if self.running.pages >= context.pages.cap || self.is_endless() => self.halve(range),
            _ => self.ask(range, context),
        }
    }

    /// Whether far more rows came than there are: the last page again and again, in another order each time.
    fn is_endless(&self) -> bool {
        self.running.unusable >= ENDLESS_PAGES
            || self.running.rows as usize > 2 * self.running.seen.len() + ENDLESS_ROWS
    }

    /// Whether the empty page after a full one may be no end, and the one after it has not been asked.
    fn end_is_unsure(&self, context: &WalkContext) -> bool {
        let was_asked = self.running.probe.is_some_and(|(number, _)| number == self.running.pages + AFTER_THE_END);
        !self.running.last_was_probe
            && self.running.last_was_full
            && self.running.pages < context.pages.cap
            && !was_asked
    }

    fn ask(&self, range: TimeRange, context: &WalkContext) -> WalkStep {
        if self.end.is_asked_again && self.ends_short() && !context.short.is_habit {
            return PageNumber::new(self.running.pages).map_or_else(|_| self.halve(range), WalkStep::Ask);
        }
        if self.readings == 0 && self.running.probe.is_some_and(|(number, _)| number == self.running.pages + 1) {
            // It was asked before the others: rows may have moved onto it since.
            return if self.running.last_was_full { WalkStep::ReadAgain } else { self.at_the_end(range, context) };
        }
        let probe = context.tuning.window_pages.min(context.pages.cap);
        let may_be_large =
            self.running.pages == 1 && self.running.last_was_full && self.running.probe.is_none() && self.readings == 0;
        let may_be_large = may_be_large && !self.end.is_asked_again;
        let number = if context.order.sort_ignored && may_be_large && probe > 3 && range.seconds() > 1 {
            probe
        } else {
            self.running.pages + 1
        };
        PageNumber::new(number).map_or_else(|_| self.halve(range), WalkStep::Ask)
    }

    /// Whether the region's newest page shows a row of the window that this reading did not.
    fn misses_newest(&self, range: TimeRange, context: &WalkContext) -> bool {
        let mut own = context.newest.rows.iter().filter(|row| range.contains(row.second));
        own.any(|row| !self.known.contains(&row.video))
    }

    /// An empty page: the end, unless it may be a cap that nobody documented or the reading was not clean.
    fn at_the_end(&self, range: TimeRange, context: &WalkContext) -> WalkStep {
        let holds_rows = self.is_known_to_hold_rows || context.knows_a_row_of(range);
        let needed = if holds_rows { MOST_READINGS } else { empty_readings(context) };
        if self.running.pages == 0 && self.readings + 1 < needed {
            return WalkStep::ReadAgain;
        }
        if self.running.pages == 0 && holds_rows {
            let why = "rows of it are known, and they did not come when it was asked";
            return WalkStep::Finish { ending: Ending::EmptyPage, unproven: vec![(range, why.to_owned())] };
        }
        // Where all pages are short, a short one is no end either.
        let may_go_on = self.running.last_was_full || context.short.is_habit;
        if may_go_on && self.running.pages > 2 && self.running.pages >= context.pages.deepest {
            return self.halve(range);
        }
        let ids = u32::try_from(self.running.seen.len()).unwrap_or(u32::MAX);
        let is_short = self.running.short_pages > 0 && !context.short.is_habit;
        // A row that came before and lacks now was left out, or is gone.
        let shows_known = self.known.len() == self.running.own_rows as usize;
        let is_clean = ids == self.running.rows
            && !is_short
            && (shows_known || self.running.last_was_full)
            && !context.short.service_hides
            && !self.misses_newest(range, context);
        // A place that says nothing may hold one row twice, and another not at all.
        let is_filled = shows_known && self.running.unknown == 0;
        let agrees = self.own_rows_before == Some(self.running.own_rows) && is_filled && !is_short;
        let may_end_early = self.ends_short() && context.short.followed > 0 && !context.short.is_habit;
        if may_end_early {
            let why = "its last page is short, and other short pages of this service may have left rows out";
            return WalkStep::Finish { ending: Ending::EmptyPage, unproven: vec![(range, why.to_owned())] };
        }
        // A row that went between two pages may have moved another from the later onto the earlier: a second reading would show it.
        let may_be_torn =
            context.tuning.consistency == Consistency::Atomic && (self.running.pages > 1 || self.running.last_was_full);
        let is_proven =
            if may_be_torn { agrees && ids == self.running.rows } else { agrees || (is_clean && self.readings == 0) };
        if is_proven {
            return WalkStep::Finish { ending: Ending::EmptyPage, unproven: Vec::new() };
        }
        self.read_again(range)
    }

    /// Reads it once more, since its readings do not agree; a large one is cut in two first, and one that was read often is listed.
    fn read_again(&self, range: TimeRange) -> WalkStep {
        if self.running.pages > REREAD_PAGES && range.seconds() > 1 {
            return self.halve(range);
        }
        if self.readings + 1 < MOST_READINGS && self.running.pages <= 10 * REREAD_PAGES {
            return WalkStep::ReadAgain;
        }
        let why = "rows come in no order, and readings of the same seconds do not agree";
        WalkStep::Finish { ending: Ending::EmptyPage, unproven: vec![(range, why.to_owned())] }
    }

    /// A window that may hold more than the service serves is cut in two, each read anew.
    pub fn halve(&self, range: TimeRange) -> WalkStep {
        if range.seconds() >= 2 {
            return WalkStep::Bisect(self.middle(range));
        }
        let why = "this second may hold more rows than the service serves pages of";
        WalkStep::Finish { ending: Ending::EmptyPage, unproven: vec![(range, why.to_owned())] }
    }

    /// The second with as many of the rows seen before as after it.
    fn middle(&self, range: TimeRange) -> EpochSeconds {
        let mut inside: Vec<EpochSeconds> =
            self.seconds.iter().copied().filter(|second| range.contains(*second)).collect();
        inside.sort_unstable();
        let even = range.start.shifted(range.seconds() / 2);
        let median = inside.get(inside.len() / 2).copied().unwrap_or(even);
        median.max(range.start.shifted(1)).min(range.end.shifted(-1))
    }
}

#[cfg(test)]
mod tests;
