//! What a walk learns of short pages by the pages after them. Pure.

use super::Before;
use super::lessons::lesson_of;
use crate::api::contract::SOURCE;
use crate::plan::fact::{PageFact, RowKey};
use crate::plan::heal::Heal;
use crate::plan::recheck::ShortPage;
use crate::plan::short::{Follows, Place, ShortDoubt};
use crate::plan::walk::{Lesson, Walk};
use crate::units::TimeRange;

impl Walk {
    /// Between a short page and one with more rows others may have been skipped, where pages had fewer places up to there. Of such places the
    /// widest leap is remembered, in times of the distance between rows beside it.
    pub(super) fn watch_refill(&mut self, page: &PageFact, rows: &[RowKey]) {
        let is_refilled = std::mem::take(&mut self.short_pages.is_refilled) && self.so_far.pages > 1;
        let Some((from, first)) = self.reach.frontier.zip(rows.first()).filter(|_| is_refilled) else { return };
        let range = TimeRange::new(from, first.second.max(from));
        let distance = distance(&self.last.previous).max(distance(rows)).max(1);
        let times = range.seconds() / distance;
        if range.is_empty()
            || self.short_pages.leap.as_ref().and_then(|leap| leap.leap).is_some_and(|leap| leap >= times)
        {
            return;
        }
        let known = self.reach.at_frontier.iter().copied();
        let rows = known.chain(page.rows.iter().map(|row| row.video)).collect();
        let slots = u32::try_from(self.last.previous.len()).unwrap_or(u32::MAX);
        let leap = ShortPage { range, amid: None, rows, slots, ends: from, at: page.fetched_at, leap: Some(times) };
        self.short_pages.leap = leap.remembered();
    }

    /// A short page is doubted once rows have come after it.
    pub(super) fn watch_short_pages(
        &mut self,
        page: &PageFact,
        rows: &[RowKey],
        before: Before,
        lessons: &mut Vec<Lesson>,
    ) {
        let is_full = page.slots >= SOURCE.page_size;
        let follows = if self.so_far.pages == 1 { Follows::Anchored(self.scan.anchor) } else { Follows::NextPage };
        // Rows that leap ahead came after the page as well.
        let came: Vec<RowKey> = rows.iter().chain(&self.last.held).copied().collect();
        self.watch_unplaced((page, rows), &came, (before, follows));
        match &mut self.short_pages.doubted {
            Some(doubt) if doubt.is_looking() => {
                lessons.extend(doubt.look(rows, page.rows.first().map(|row| row.second), is_full).map(lesson_of));
                lessons.extend(doubt.has_failed().then_some(Lesson::ShortPageStaysOpen));
                if doubt.is_looking() {
                    return;
                }
                self.end_looks();
            }
            Some(doubt) if doubt.is_pending() => {
                doubt.followed_by(&came, follows);
                lessons.extend(doubt.is_followed().then_some(Lesson::ShortPageFollowed));
                // Where one row in each was all, both wait for the next page.
                self.short_pages.next.iter_mut().for_each(|next| next.followed_by(&came, follows));
            }
            // The walk went on without a look, so short pages are a habit.
            _ => {
                let over = self.short_pages.doubted.take().filter(|doubt| !doubt.is_listed());
                over.iter().for_each(|doubt| self.believe(doubt));
                self.short_pages.doubted = self.short_pages.next.take();
                self.short_pages.doubted.iter_mut().for_each(|doubt| doubt.followed_by(&came, follows));
            }
        }
        if !is_full {
            let doubt = self.doubt_about(page, rows, before);
            let is_replaced =
                self.short_pages.doubted.as_ref().is_none_or(|doubt| doubt.is_pending() && !doubt.is_followed());
            if is_replaced {
                // A scan that goes on from the last second does not show again what the page left out before it.
                let before = self.short_pages.doubted.take();
                self.short_pages.doubted = ShortDoubt::joined(before, doubt);
            } else {
                let over = std::mem::replace(&mut self.short_pages.next, doubt).filter(|next| !next.is_listed());
                over.iter().for_each(|next| self.believe(next));
            }
        }
    }

    pub(super) fn doubt_about(&self, page: &PageFact, rows: &[RowKey], before: Before) -> Option<ShortDoubt> {
        // Rows before the anchor come while a bound is not known, and are no part of what the page may have left out.
        let is_wanted = |row: &RowKey| row.second >= self.scan.anchor;
        let wanted = |rows: &[RowKey]| rows.iter().copied().filter(is_wanted).collect::<Vec<RowKey>>();
        let (in_order, all) = (wanted(rows), wanted(&page.rows));
        let leaps = rows.is_empty() || (in_order.is_empty() && !all.is_empty());
        let shown = match (leaps, in_order.is_empty()) {
            (true, _) if all.is_empty() => &page.rows,
            (true, _) => &all,
            (false, true) => rows,
            (false, false) => &in_order,
        };
        let (first, last) = (shown.first()?, shown.last()?);
        let (first_video, last_video) = (first.video, last.video);
        // Where all its rows leap ahead, they lie beyond what the page may have left out.
        let stands = if leaps { before.frontier.unwrap_or(self.scan.anchor) } else { first.second };
        let (first, last) = if leaps { (stands, stands) } else { (first.second, last.second) };
        let is_over = |heal: &Heal| heal.is_over() && heal.second() == first;
        let from = before.frontier.filter(|_| self.so_far.pages > 1).unwrap_or(self.scan.anchor);
        let from = from.min(first).max(before.watermark);
        // What the page before left out at its end lies before the first row of this one.
        let doubted = if self.so_far.pages > 1 { from.min(first) } else { first };
        if !leaps && first == last && self.heals.iter().any(is_over) {
            return None;
        }
        // It is read around no more, but what it left out may lie beyond what is listed, up to the next row.
        let listed = Some(self.listed).filter(|listed| listed.covers(TimeRange::new(doubted, last.shifted(1))));
        let look_from = if from == last { before.second.unwrap_or(from) } else { from };
        let known = shown.iter().chain(&self.last.held).chain(&self.last.previous).map(|row| row.video);
        let known = known.chain(self.reach.scan_at_frontier.iter().copied()).collect();
        let ends = page.rows.iter().map(|row| row.second).max()?;
        let (slots, asked_max) = (page.slots, self.scan.asked_max);
        let may_fill_pages =
            before.frontier == Some(from) && (before.rows >= SOURCE.page_size as usize || last == from);
        let is_amid = may_fill_pages || self.so_far.opened_early || page.slots >= SOURCE.page_size;
        let amid = is_amid.then_some((self.scan.asked_min, page.address.page));
        let place = Place { look_from, from, amid, first_video, last_video, first, last, ends, slots, asked_max };
        Some(ShortDoubt::new(place, known, listed))
    }

    pub(super) fn end_looks(&mut self) {
        let settled = self.short_pages.doubted.take_if(|doubt| doubt.is_settled());
        settled.iter().filter(|doubt| !doubt.is_proven()).for_each(|doubt| self.believe(doubt));
    }
}

/// Seconds between rows, on average.
fn distance(rows: &[RowKey]) -> i64 {
    let seconds = rows.iter().map(|row| row.second);
    let span = seconds.clone().max().zip(seconds.min()).map_or(0, |(last, first)| last.since(first));
    span / i64::try_from(rows.len()).unwrap_or(i64::MAX).max(1)
}
