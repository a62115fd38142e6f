//! Where a walk seems to end: is it the end, the service's cap, an answer that is wrongly empty, or a row that is gone? Pure.

use super::Walk;
use super::step::{WalkContext, WalkStep, anchor, end_of_rows, one_second};
use crate::api::contract::SOURCE;
use crate::plan::event::ScanReason;
use crate::plan::fact::RowKey;
use crate::plan::page::Finding;
use crate::plan::short::ShortDoubt;
use crate::units::{EpochSeconds, TimeRange};

/// Doubts in a row that must bring nothing before an end that nothing else confirms is believed.
const DOUBTS: u32 = 3;
/// The same where each costs many pages, or nothing is known.
const LONG_DOUBTS: u32 = 2;
/// What many pages are.
const LONG_DOUBT_PAGES: u32 = 30;

/// Doubts in a row that must bring nothing, where each costs so many pages.
pub(super) fn doubts_needed(pages: u32) -> u32 {
    if pages > LONG_DOUBT_PAGES { LONG_DOUBTS } else { DOUBTS }
}

impl Walk {
    pub(super) fn empty_step(&self, context: &WalkContext<'_>) -> WalkStep {
        if let Some(step) = self.heal_step().or_else(|| self.followed_short_step(context)) {
            return step;
        }
        self.end_step(context)
    }

    /// What an empty page says of the end of rows, short pages apart.
    fn end_step(&self, context: &WalkContext<'_>) -> WalkStep {
        let last = self.last_shown();
        let rows_follow = match (context.newest.known, last) {
            // Beyond the run's range nothing is known, and nothing is wanted.
            (Some(newest), Some(last)) if last >= context.run_end => newest > last,
            (Some(newest), Some(last)) => {
                newest > last || (context.newest.probed != Some(last) && !self.ends_agree(context))
            }
            (Some(newest), None) => newest >= self.scan.anchor,
            (None, _) => false,
        };
        if rows_follow {
            return self.doubt_step(context);
        }
        match self.unseen_at_the_end(context) {
            Some(second) if second < self.read_until() && !self.is_listed_whole(one_second(second)) => {
                let why = "the newest page shows a row of it that did not come when it was asked";
                WalkStep::List(vec![(one_second(second), why.to_owned())])
            }
            Some(second) if !self.doubts.end_was_checked => {
                anchor(second.max(self.read_until()), ScanReason::Scheduled)
            }
            Some(second) if self.so_far.pages > 2 && self.reach.frontier == Some(second) => {
                self.past_second(second, "the newest page shows rows of it that did not come when it was asked")
            }
            _ if self.end_may_be_a_cap(context) => {
                let why = "it fills pages, and their end may be the service's last page";
                self.past_full_second(self.position(), context, why)
            }
            _ if self.end_is_open(context) => self.doubt_step(context),
            _ => end_of_rows(Vec::new()),
        }
    }

    /// Whether the last page that held anything is full, so that its rows may go on beyond the empty one.
    pub(super) fn ends_full(&self) -> bool {
        self.last.previous_slots >= SOURCE.page_size
    }

    /// Whether rows may follow the last page that held any: it is full, or pages with free places have been followed before.
    fn may_go_on(&self, context: &WalkContext<'_>) -> bool {
        self.ends_full() || self.short_pages.rows_follow || context.short.followed > 0
    }

    /// Whether the scans before ended with the same row on other pages: a cap, or an answer that is wrongly empty, would not.
    /// Where pages are known to come wrongly empty, two may do so by chance.
    fn ends_agree(&self, context: &WalkContext<'_>) -> bool {
        let last = self.last.previous.last().map(|row| row.video);
        let alike =
            self.doubts.ended_at.iter().filter(|(video, pages)| last == Some(*video) && *pages != self.so_far.pages);
        alike.count() >= if context.short.service_hides { 2 } else { 1 }
    }

    /// Whether nothing but the empty page itself says that this is the end: a page with free places would, and so does the
    /// newest page where it ends with the same row, or where it knows of no row after what this scan was to read.
    fn end_is_open(&self, context: &WalkContext<'_>) -> bool {
        if self.last.previous_slots == 0 {
            // Rows of the anchor's second are known, so an empty answer is either late news or none.
            return context.newest.probed.is_none() || self.reach.frontier == Some(self.scan.anchor);
        }
        if self.reach.frontier.is_some_and(|frontier| frontier >= context.run_end) {
            // Beyond the run's range nothing is wanted, so it is no matter how it ends.
            return false;
        }
        self.may_go_on(context) && !self.newest_confirms(context) && !self.ends_agree(context)
    }

    /// Whether the last page holds the newest row that is known: then it is the last of all, and may be short.
    pub(super) fn shows_the_newest(&self, context: &WalkContext<'_>) -> bool {
        let newest = context.newest.rows.first().filter(|_| !context.short.service_hides);
        newest.is_some_and(|row| self.last.previous.contains(row))
    }

    /// Whether the newest page ends where this walk does: it shows the whole last second and nothing that is unknown, or
    /// begins with the row that the walk ended with.
    fn newest_confirms(&self, context: &WalkContext<'_>) -> bool {
        // Rows beyond the run's range are not on the newest page.
        let held = self.last.held.iter().map(|row| row.second).filter(|second| *second < context.run_end).max();
        let last = held.max(self.reach.frontier);
        let Some(first) = context.newest.rows.first().filter(|row| Some(row.second) == last) else { return false };
        let is_whole = context.newest.rows.iter().any(|row| row.second < first.second);
        let is_seen = |row: &RowKey| self.reach.at_frontier.contains(&row.video) || self.last.held.contains(row);
        let mut last_second = context.newest.rows.iter().filter(|row| row.second == first.second);
        (is_whole && last_second.all(is_seen)) || self.last.previous.last() == Some(first)
    }

    /// Whether the rows end within one second, deeper than any page before, and the newest page does not show the same end. Their last
    /// page is full, or has a free place by chance: then the newest page knows nothing but other rows of that second.
    fn end_may_be_a_cap(&self, context: &WalkContext<'_>) -> bool {
        let mut newest = context.newest.rows.iter().peekable();
        let shows_others = newest.peek().is_some()
            && newest.all(|row| Some(row.second) == self.reach.frontier && !self.last.previous.contains(row));
        let is_full = (self.ends_full() || shows_others) && self.so_far.pages > 3;
        let is_torn =
            self.reach.frontier.is_some() && self.last.previous.first().map(|row| row.second) == self.reach.frontier;
        let is_deepest = self.so_far.pages > context.pages.deepest;
        is_full && is_torn && is_deepest && !self.newest_confirms(context)
    }

    /// A short page that rows followed is looked around. At the end of all rows it is no doubt.
    fn followed_short_step(&self, context: &WalkContext<'_>) -> Option<WalkStep> {
        self.short_pages.doubted.as_ref().filter(|doubt| !doubt.is_pending())?;
        self.short_step(context)
    }

    /// The seconds of a short page at the end of all rows, where one that rows followed has hidden some and nothing shows this one whole.
    pub(super) fn last_short(&self, context: &WalkContext<'_>) -> Option<(TimeRange, String)> {
        let doubt = self.short_pages.doubted.as_ref().filter(|doubt| !context.short.is_habit && doubt.is_pending())?;
        let is_doubtful = doubt.is_followed() || context.short.pages_hide;
        if !is_doubtful || self.full_page_shows_the_end(doubt, context) {
            return None;
        }
        let end = context.newest.known.unwrap_or(doubt.from()).max(self.position()).shifted(1).max(doubt.range().end);
        let range = TimeRange::new(doubt.from(), end.min(self.range.end));
        let why = "the last page is short, and this service's short pages leave rows out";
        (!self.is_listed_whole(range)).then(|| (range, why.to_owned()))
    }

    /// Whether a full page from the other end holds all rows of the last page, and reaches beyond them into what is known: then none is
    /// hidden there.
    fn full_page_shows_the_end(&self, doubt: &ShortDoubt, context: &WalkContext<'_>) -> bool {
        let is_known = |row: &RowKey| {
            self.last.previous.contains(row) || doubt.knows(row.video) || self.reach.at_frontier.contains(&row.video)
        };
        [context.newest.rows, context.newest.confirmed_rows].into_iter().any(|page| {
            let is_full = page.len() >= SOURCE.page_size as usize;
            let of_end: Vec<&RowKey> = page.iter().filter(|row| row.second >= doubt.from()).collect();
            let reaches_before = of_end.len() < page.len() && self.last.previous.iter().all(|row| page.contains(row));
            // Where all of it is of the same seconds, only the very same order tells that nothing lies between.
            let is_in_order = page.iter().take(self.last.previous.len()).eq(self.last.previous.iter().rev());
            is_full && of_end.into_iter().all(is_known) && (reaches_before || is_in_order)
        })
    }

    /// The first second of a row of the newest page that the walk should have seen on its last pages and has not.
    fn unseen_at_the_end(&self, context: &WalkContext<'_>) -> Option<EpochSeconds> {
        let first = self.last.previous.first()?.second;
        let is_seen = |row: &RowKey| self.last.previous.contains(row) || self.reach.at_frontier.contains(&row.video);
        let unseen = context
            .newest
            .rows
            .iter()
            .filter(|row| (row.second > first || Some(row.second) == self.reach.frontier) && !is_seen(row));
        unseen.map(|row| row.second).filter(|second| self.range.contains(*second)).min()
    }

    /// Settles a doubt by reading again from the last second seen: what follows there is the truth.
    pub(super) fn doubt_step(&self, context: &WalkContext<'_>) -> WalkStep {
        // Where no row of the range is known at all, there is the least to doubt.
        let needed = if context.newest.known.is_none() { LONG_DOUBTS } else { doubts_needed(self.so_far.pages) };
        let is_fruitless = self.scan.why == ScanReason::Doubt && !self.so_far.brought_new;
        let least = self.read_until().max(self.scan.anchor);
        let at = if self.position() < self.range.end { self.position().max(least) } else { least };
        let is_known_row_gone = self.doubts.is_confirming && context.newest.known > self.reach.frontier;
        if !is_known_row_gone && !self.has_doubted_enough(at) && (!is_fruitless || self.doubts.fruitless + 1 < needed) {
            // Where the same question would be asked again, rows that are new come from the second's other end.
            let asks_again = at == self.scan.anchor && self.can_turn_to_the_end(at, context);
            return anchor(at, if asks_again { ScanReason::FromEnd } else { ScanReason::Doubt });
        }
        let is_open = self.last.finding != Finding::Empty || self.end_is_open(context);
        let fills_pages =
            self.so_far.pages > 2 || self.ends_full() || self.reach.at_frontier.len() >= SOURCE.page_size as usize;
        if is_open
            && fills_pages
            && let Some(second) = self.reach.frontier
        {
            return self.past_full_second(second, context, "it fills pages, and what follows them does not come");
        }
        if is_open && self.reach.frontier.is_none() && (self.so_far.pages > 1 || self.has_unplaced) {
            let why = "no row with a usable time came, and what follows them does not come";
            return end_of_rows(vec![(TimeRange::new(self.read_until(), self.range.end), why.to_owned())]);
        }
        match context.newest.known.filter(|newest| self.reach.frontier.is_none_or(|frontier| *newest > frontier)) {
            // A row that was seen later: is it still there?
            Some(newest) if newest >= self.scan.anchor => anchor(newest, ScanReason::KnownRow),
            _ => end_of_rows(Vec::new()),
        }
    }

    /// Whether its last page was empty although a later row is known, or it is finding out whether that row is still there.
    pub(in crate::plan) fn misses_a_known_row(&self, newest: Option<EpochSeconds>) -> bool {
        let is_finding_out = match self.scan.why {
            ScanReason::KnownRow => true,
            ScanReason::Confirm => !self.so_far.brought_new,
            _ => self.last.finding == Finding::Empty,
        };
        let is_plain = self.mode.is_ordered();
        is_plain && is_finding_out && newest >= Some(self.scan.anchor) && newest > self.last_shown()
    }

    /// Whether a known row was not found by its own second, long enough after it had not been found before.
    pub(in crate::plan) fn believes_a_row_gone(&self) -> bool {
        self.doubts.is_confirming && self.scan.why == ScanReason::KnownRow && !self.so_far.brought_new
    }

    /// A known row is not found by its own second. It is deleted once that is so again, long enough after: what lies between it and
    /// the last second seen may be as silent.
    fn confirm_deletion(&self, context: &WalkContext<'_>) -> WalkStep {
        if self.doubts.is_confirming {
            return end_of_rows(Vec::new());
        }
        let (since, due) = (self.scan.started_at, self.scan.started_at.shifted(context.tuning.confirm_after));
        if (since..due).contains(&context.now) {
            return WalkStep::Wait(due);
        }
        anchor(self.reach.frontier.unwrap_or(self.range.start.max(self.read_until())), ScanReason::Confirm)
    }

    /// Nothing came after the last second, but a later row had been seen: it was deleted, or the service is silent about rows.
    pub(super) fn known_row_step(&self, context: &WalkContext<'_>) -> WalkStep {
        if !self.so_far.brought_new {
            return self.confirm_deletion(context);
        }
        let at = self.reach.frontier.unwrap_or(self.range.start.max(self.read_until()));
        if !self.doubts.has_jumped {
            return self.past_second(at, "rows follow it, but they did not come when it was asked");
        }
        let newest = context.newest.known.unwrap_or(self.scan.anchor).min(self.range.end);
        let why = format!("nothing came after {at}, though later rows are there");
        let range = TimeRange::new(at.min(newest), newest.max(at.shifted(1)));
        // Where the walk has jumped here before, the later row shows another second than that which it is found by.
        let has_been_here = self.is_listed_whole(range) && self.scan.anchor >= newest;
        let unproven = vec![(range, why)];
        if newest >= self.range.end || has_been_here {
            return end_of_rows(unproven);
        }
        WalkStep::Anchor { at: newest, why: ScanReason::PastFullSecond, unproven }
    }
}

#[cfg(test)]
mod tests;
