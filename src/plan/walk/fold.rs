//! Folding durable pages into a walk: what each shows, and what it teaches about the service. Pure.

use super::mode::Mode;
use super::{Lesson, Shown, Walk};
use crate::api::contract::SOURCE;
use crate::plan::event::ScanReason;
use crate::plan::fact::{PageFact, RowKey, Standing, VideoKey};
use crate::plan::heal::{Heal, HealPage, changes_places};
use crate::plan::page::{Finding, Reading, View};
use crate::plan::short::ShortDoubt;
use crate::units::EpochSeconds;

mod lessons;
mod short_pages;
mod unplaced;

use lessons::{bound_lessons, is_another, lesson_of, lessons_of};

/// Folding pages in.
impl Walk {
    /// Folds the next page of the running scan in.
    pub(super) fn fold(&mut self, page: &PageFact) -> Shown {
        self.last.at = page.fetched_at;
        self.so_far.pages += 1;
        self.totals.pages += 1;
        self.totals.slots += u64::from(page.slots);
        if self.takes_no_part(page) {
            return Shown::default();
        }
        let came_before = self.last.is_again(page);
        if page.slots > 0 && !self.is_after_the_end(page) {
            let is_after_short = self.so_far.pages > 1 && (1..SOURCE.page_size).contains(&self.last.previous_slots);
            self.short_pages.follow_here |= is_after_short && !came_before && is_another(page, &self.last);
            self.short_pages.is_refilled = is_after_short && page.slots > self.last.previous_slots;
            self.short_pages.rows_follow |= self.short_pages.follow_here;
            self.last.previous_slots = page.slots;
        }
        if let Mode::FromEnd(reading) = &mut self.mode {
            let mut lessons = bound_lessons(page, &self.scan);
            // Where the readings meet, rows lay behind the last page of the first.
            lessons.extend(reading.read(page).then_some(Lesson::MoreAfter { pages: self.doubts.good_pages_before }));
            self.count_dense();
            return Shown::lessons(lessons);
        }
        let reading = Reading {
            page,
            asked_min: self.scan.asked_min,
            asked_max: self.scan.asked_max,
            previous: &self.last.previous,
            came_before,
            held: &self.last.held,
            early: self.last.early.as_deref(),
            frontier: if self.so_far.pages == 1 { None } else { self.reach.frontier },
            at_frontier: &self.reach.scan_at_frontier,
            order_is_proven: self.has_ascended(),
            misdated: &self.anchor.misdated,
            watermark: self.read_until(),
            listed: self.listed,
            healing: self.heals.iter().map(Heal::second).collect(),
        };
        let asked: Vec<RowKey> = reading.asked().collect();
        let mut lessons = bound_lessons(page, &self.scan);
        if let Mode::Bounded(bounded) = &mut self.mode {
            self.last.finding = reading.unordered();
            lessons.extend(bounded.apply(page, self.last.finding, &asked, self.range));
            self.last.previous = asked;
            return Shown::lessons(lessons);
        }
        if let Mode::Seam(seam) = &mut self.mode {
            seam.read(self.so_far.pages, page.slots, &asked);
            return Shown::lessons(lessons);
        }
        let view = reading.view();
        let is_unjoined = self.leaps_after_early(page, &asked) || self.leaps_from_the_anchor(page, &asked);
        self.last.finding = if is_unjoined { Finding::Unjoined } else { view.finding };
        if self.last.finding == Finding::Rows {
            self.last.unjoined = None;
        }
        let is_early = matches!(self.last.finding, Finding::Early(_));
        self.so_far.opened_early |= is_early && self.so_far.pages == 1;
        lessons.extend(is_early.then_some(Lesson::Early { opens: self.so_far.pages == 1, at: page.fetched_at }));
        self.last.early = is_early.then(|| page.rows.clone());
        let anchor = self.anchor_lesson(&asked, page);
        let keeps_min =
            anchor == Some(Lesson::AnchorCame) && page.check.outside == 0 && self.reach.before_frontier.is_some();
        lessons.extend(anchor.into_iter().chain(keeps_min.then_some(Lesson::MinKept)));
        let is_unusable = self.last.finding == Finding::Unusable || self.last.finding.is_astray();
        self.last.unusable = if is_unusable { self.last.unusable + 1 } else { 0 };
        self.has_unplaced |= self.last.unusable > 0;
        if self.scan.why == ScanReason::KnownRow {
            self.so_far.brought_new =
                asked.iter().any(|row| self.reach.frontier.is_none_or(|frontier| row.second > frontier));
            return Shown::lessons(lessons);
        }
        if self.last.finding.is_astray() || self.loses_anchor(&asked, page.slots >= SOURCE.page_size) {
            return Shown::lessons(lessons);
        }
        self.so_far.is_clean &=
            view.is_plain(page) || view.finding == Finding::Empty || view.finding == Finding::SamePage;
        lessons.extend(lessons_of(page, &view));
        lessons.extend((self.so_far.pages == 1 && self.ties_moved(&asked)).then_some(Lesson::TiesMove));
        self.watch_places(page, &view);
        let strays = view.strays.clone();
        self.take(page, view, asked, &mut lessons);
        self.count_dense();
        self.watch_torn();
        Shown { lessons, strays }
    }

    /// The page after the last is refused, which is like an empty one.
    pub(in crate::plan) fn refused(&mut self) {
        self.last.finding = Finding::Empty;
        if let Mode::Bounded(reading) = &mut self.mode {
            reading.refused();
        }
        self.end_looks();
    }

    /// Whether the page answers another question and the walk is reading something apart, of which it then says nothing.
    fn takes_no_part(&mut self, page: &PageFact) -> bool {
        let is_apart = self.mode.is_apart();
        if is_apart && page.check.is_astray() {
            self.last.finding = Finding::OtherRegion;
        }
        is_apart && page.check.is_astray()
    }

    /// Whether every row lies beyond what was asked, after rows that did not.
    fn is_after_the_end(&self, page: &PageFact) -> bool {
        let is_late = page.rows.iter().all(|row| row.second > self.scan.asked_max);
        page.check.standing == Standing::Outside && is_late && !self.last.previous.is_empty()
    }

    /// Whether a page of the asked time follows pages that lay before it, and nothing shows that both are of one answer: it may be that the
    /// service answered another question for a while. It is believed where the two meet on the page, where it shows a known row of the
    /// anchor, or where the same came at the same place before.
    fn leaps_after_early(&mut self, page: &PageFact, asked: &[RowKey]) -> bool {
        let was_early = self.last.early.as_ref().is_some_and(|rows| !rows.is_empty());
        if !was_early || page.check.is_astray() || page.check.outside > 0 {
            return false;
        }
        let is_known = |row: &RowKey| row.second == self.scan.anchor && self.reach.at_frontier.contains(&row.video);
        let shows_known = asked.iter().any(is_known);
        !self.came_before(asked) && !shows_known
    }

    /// Whether a scan that looks for what was skipped begins behind the second that it asks from, though rows of that are known: they are
    /// gone, or another answer came in its place. It is believed where the same comes again, long enough after.
    fn leaps_from_the_anchor(&mut self, page: &PageFact, asked: &[RowKey]) -> bool {
        let looks = matches!(
            self.scan.why,
            ScanReason::Doubt | ScanReason::Disorder | ScanReason::Repeat | ScanReason::Seam { .. }
        );
        let is_behind = asked.first().is_some_and(|row| row.second > self.scan.anchor);
        let is_opening = looks && self.so_far.pages == 1 && self.anchor.is_known;
        is_opening && is_behind && !page.check.is_astray() && !self.came_before(asked)
    }

    /// Whether the page before that could not be joined was this one.
    fn came_before(&mut self, asked: &[RowKey]) -> bool {
        let place = (asked.first().map(|row| row.video), self.so_far.pages);
        self.last.unjoined.replace(place) == Some(place)
    }

    /// Whether a scan that goes on from known rows begins with one of them; none where its first page does not tell, or cannot be placed.
    fn anchor_lesson(&self, rows: &[RowKey], page: &PageFact) -> Option<Lesson> {
        let anchor = self.scan.anchor;
        let is_at_known =
            self.reach.frontier == Some(anchor) && self.so_far.goes_on && !self.reach.at_frontier.is_empty();
        if self.so_far.pages != 1 || !is_at_known || self.scan.why == ScanReason::KnownRow {
            return None;
        }
        if rows.iter().any(|row| self.reach.at_frontier.contains(&row.video)) {
            // Of a second with more rows than known ones lack, some come also where its first page is left out.
            let there = rows.iter().filter(|row| row.second == anchor).count();
            let is_whole = there >= self.reach.at_frontier.len().min(SOURCE.page_size as usize);
            return is_whole.then_some(Lesson::AnchorCame);
        }
        // Where a page with free places has been followed by rows, so may this one be.
        let may_go_on = page.slots >= SOURCE.page_size || (self.short_pages.rows_follow && !rows.is_empty());
        let may_come = may_go_on && rows.last().is_none_or(|last| last.second <= anchor);
        // An empty page may be trouble, unless it comes again, long enough after.
        let tells =
            self.last.finding == Finding::Rows || (self.last.finding == Finding::Empty && self.doubts.is_confirming);
        let tells = tells && !may_come && page.is_placed();
        tells.then_some(Lesson::AnchorLost(anchor))
    }

    /// Where a walk goes on from the last second seen, its rows are known and must come again. If none does, their date was
    /// wrong, or they are gone; either way what lies before them is not known to be whole.
    fn loses_anchor(&mut self, rows: &[RowKey], is_full: bool) -> bool {
        if rows.iter().any(|row| self.anchor.awaited.contains(&row.video)) {
            self.anchor.awaited.clear();
        }
        // A page that is full of the second before the anchor says nothing; it is asked again with the bound that it teaches.
        // Nor does one that is full of the anchor's own second: in another order its known rows come later.
        let anchor = self.scan.anchor;
        let may_come = match rows.last() {
            Some(last) => last.second < anchor || (is_full && last.second == anchor),
            // That nothing follows is what a doubt asks again by itself.
            None => is_full || self.so_far.pages > 1 || self.scan.why == ScanReason::Doubt,
        };
        if self.anchor.awaited.is_empty() || may_come {
            return false;
        }
        self.anchor.misdated.append(&mut self.anchor.awaited);
        self.reach.at_frontier.clear();
        self.reach.watermark = self.reach.watermark.min(self.anchor.sure_until);
        self.anchor.lost = Some(self.reach.before_frontier.unwrap_or(self.range.start));
        true
    }

    /// Whether the anchor's rows come in another order than before.
    fn ties_moved(&self, rows: &[RowKey]) -> bool {
        let now: Vec<VideoKey> = rows.iter().map(|row| row.video).collect();
        changes_places(&self.anchor.order, &now)
    }

    fn take(&mut self, page: &PageFact, view: View, asked: Vec<RowKey>, lessons: &mut Vec<Lesson>) {
        self.last.overlaps = if view.finding == Finding::ShiftedByOne { self.last.overlaps + 1 } else { 0 };
        match view.finding {
            Finding::Rows | Finding::ShiftedByOne => {
                if page.address.page.get() > 1 {
                    let is_shifted = view.finding == Finding::ShiftedByOne;
                    lessons.push(if is_shifted { Lesson::Shifted } else { Lesson::NotShifted });
                }
                lessons.push(Lesson::Served(page.address.page.get()));
                self.last.held = view.held;
                self.take_rows(page, (&view.rows, &view.strays), lessons);
                self.last.previous = asked;
            }
            Finding::Empty => {
                self.heals.iter_mut().for_each(Heal::end);
                self.short_pages.doubted.iter_mut().for_each(ShortDoubt::ends);
                let verdict = self.short_pages.doubted.as_mut().and_then(|doubt| doubt.look(&[], None, true));
                lessons.extend(verdict.map(lesson_of));
                self.end_looks();
            }
            Finding::Unusable => {
                // Rows without a usable time are rows all the same: a short page before them was not the last.
                let follows = self.short_pages.doubted.as_mut().is_some_and(ShortDoubt::followed_by_unplaced);
                lessons.extend(follows.then_some(Lesson::ShortPageFollowed));
            }
            Finding::Repeated(second) => {
                let of_it = view.rows.iter().filter(|row| row.second == second);
                self.last.repeated = of_it.map(|row| row.video).collect();
            }
            Finding::Disordered => self.reach.ascents = 0,
            _ => {}
        }
    }

    fn take_rows(&mut self, page: &PageFact, (rows, strays): (&[RowKey], &[RowKey]), lessons: &mut Vec<Lesson>) {
        let had_new = self.so_far.brought_new;
        let before = Before {
            frontier: self.reach.frontier,
            rows: self.reach.at_frontier.len(),
            second: self.reach.before_frontier,
            watermark: self.read_until(),
        };
        self.watch_refill(page, rows);
        for row in rows {
            self.take_row(*row);
        }
        let is_stale = (before.frontier, before.rows) == (self.reach.frontier, self.reach.at_frontier.len());
        self.doubts.stale_pages =
            if is_stale { self.doubts.stale_pages + 1 } else { self.doubts.stale_pages.saturating_sub(2) };
        if self.reach.frontier > self.reach.furthest {
            (self.reach.furthest, self.doubts.scans_here, self.doubts.stale_pages) = (self.reach.frontier, 0, 0);
        }
        if self.so_far.brought_new && !had_new && self.scan.why == ScanReason::Doubt {
            lessons.push(Lesson::MoreAfter { pages: self.doubts.good_pages_before });
        }
        if self.so_far.brought_new {
            (self.doubts.has_jumped, self.doubts.is_confirming) = (false, false);
        }
        let first = rows.first().map(|row| row.second);
        // Where all rows leap ahead, the page before is still the last that counts.
        if first.is_some() || self.so_far.pages == 1 {
            self.reach.junction = before.frontier.filter(|_| self.so_far.pages > 1).zip(first);
        }
        // A page that lies beyond the end whole may have skipped rows before it: its neighbour's page tells.
        if let Some(first) = first.filter(|first| self.has_ascended() && *first < self.range.end) {
            self.reach.watermark = self.reach.watermark.max(first);
        }
        let (opens, is_full) = (self.so_far.pages == 1, page.slots >= SOURCE.page_size);
        let read = HealPage { rows, strays, came: &page.rows, opens, is_full };
        self.heals.iter_mut().for_each(|heal| heal.read(&read));
        lessons.extend(self.heals.iter().any(Heal::has_moved).then_some(Lesson::TiesMove));
        self.watch_short_pages(page, rows, before, lessons);
    }

    pub(super) fn take_row(&mut self, row: RowKey) {
        // While a bound is not known, a row of the second before the anchor may come; it was read before.
        if row.second < self.scan.anchor {
            return;
        }
        let is_new = match self.reach.frontier {
            Some(frontier) if row.second < frontier => return,
            Some(frontier) => row.second > frontier,
            None => true,
        };
        if is_new {
            self.leave_second();
            self.reach.ascents = self.reach.ascents.saturating_add(u32::from(self.reach.frontier.is_some()));
            self.reach.before_frontier = self.reach.frontier.or(self.reach.before_frontier);
            self.reach.frontier = Some(row.second);
            self.reach.at_frontier.clear();
            self.reach.scan_at_frontier.clear();
        }
        // Where a scan begins earlier, what it reads again is not new.
        let may_be_new = self.so_far.goes_on || Some(row.second) > self.reach.reached_before;
        self.so_far.brought_new |= self.reach.at_frontier.insert(row.video) && may_be_new;
        self.reach.scan_at_frontier.insert(row.video);
    }
}

/// Where the walk stood before a page, and how many rows of its frontier had come.
#[derive(Clone, Copy, Debug)]
struct Before {
    frontier: Option<EpochSeconds>,
    rows: usize,
    /// The last second before the frontier.
    second: Option<EpochSeconds>,
    watermark: EpochSeconds,
}

#[cfg(test)]
mod tests;
