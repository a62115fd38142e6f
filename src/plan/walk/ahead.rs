//! Pages of one second that came before their turn.

use std::collections::BTreeMap;

use super::{Shown, Walk};
use crate::api::contract::SOURCE;
use crate::plan::fact::PageFact;
use crate::plan::heal::Heal;
use crate::plan::page::Finding;
use crate::units::PageNumber;

/// Pages that one second must fill for each page of it that may be asked before its turn. Where the second ends, and the window
/// with it, the others are read for nothing: at most one in so many.
pub(in crate::plan) const PAGES_FOR_ONE_AHEAD: u32 = 30;

/// Pages that came before their turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Ahead {
    waiting: BTreeMap<u32, PageFact>,
    /// Pages in a row that one second filled.
    dense_pages: u32,
    /// Whether pages may have been asked before their turn.
    is_wide: bool,
}

impl Walk {
    /// Takes one durable page of the running scan, and says what has been shown by it and by pages that waited for it.
    pub fn apply(&mut self, page: &PageFact) -> Shown {
        let number = page.address.page.get();
        if self.dense.ahead.is_wide && (number != self.so_far.pages + 1 || !self.fills_a_second()) {
            self.dense.ahead.waiting.insert(number, page.clone());
            return Shown::default();
        }
        let mut shown = self.fold(page);
        self.take_all_waiting(&mut shown);
        shown
    }

    /// Folds a page in that waited.
    pub fn take_waiting(&mut self, number: u32, has_more: bool) -> Shown {
        let mut shown = Shown::default();
        if number == self.so_far.pages + 1
            && let Some(page) = self.dense.ahead.waiting.remove(&number)
        {
            shown = self.fold(&page);
            self.dense.ahead.is_wide = has_more || self.fills_a_second();
            self.take_all_waiting(&mut shown);
        }
        shown
    }

    fn take_all_waiting(&mut self, shown: &mut Shown) {
        while self.fills_a_second()
            && let Some(page) = self.dense.ahead.waiting.remove(&(self.so_far.pages + 1))
        {
            let more = self.fold(&page);
            shown.lessons.extend(more.lessons);
            shown.strays.extend(more.strays);
        }
    }

    /// Whether the last page lies within one second, without a free place and without a doubt: then the next page is wanted.
    fn fills_a_second(&self) -> bool {
        if let Some(reading) = self.mode.other_end() {
            return reading.is_going_on();
        }
        let is_full = self.last.finding == Finding::Rows
            && self.last.previous.len() == SOURCE.page_size as usize
            && self.ends_full();
        let is_one = self.last.previous.iter().all(|row| Some(row.second) == self.reach.frontier);
        let is_sure =
            self.last.held.is_empty() && self.short_pages.doubted.is_none() && self.heals.iter().all(Heal::is_over);
        is_full && is_one && is_sure && !self.is_bounded() && !self.is_endless()
    }

    pub(super) fn count_dense(&mut self) {
        self.dense.ahead.dense_pages = if self.fills_a_second() { self.dense.ahead.dense_pages + 1 } else { 0 };
        self.dense.ahead.is_wide |= self.dense.ahead.dense_pages >= PAGES_FOR_ONE_AHEAD;
    }

    /// Whether pages of its second may be asked, or were, before their turn.
    pub(in crate::plan) fn is_wide(&self) -> bool {
        self.dense.ahead.is_wide
    }

    /// How many pages have come before their turn.
    pub(in crate::plan) fn waiting_pages(&self) -> usize {
        self.dense.ahead.waiting.len()
    }

    /// Whether this page has come and waits.
    pub(in crate::plan) fn is_waiting(&self, number: u32) -> bool {
        self.dense.ahead.waiting.contains_key(&number)
    }

    /// The next page of the second that fills page after page, apart from those that are on their way, up to `last`.
    pub(in crate::plan) fn next_ahead(&self, is_on_way: impl Fn(PageNumber) -> bool, last: u32) -> Option<PageNumber> {
        if !self.dense.ahead.is_wide || !self.fills_a_second() {
            return None;
        }
        let is_last = |page: &PageFact| {
            page.slots < SOURCE.page_size || page.rows.iter().any(|row| Some(row.second) != self.reach.frontier)
        };
        let end =
            self.dense.ahead.waiting.iter().find(|(_, page)| is_last(page)).map_or(u32::MAX, |(number, _)| *number);
        let many = self.dense.ahead.dense_pages / PAGES_FOR_ONE_AHEAD;
        let numbers = self.so_far.pages + 1..=(self.so_far.pages + 1 + many).min(last).min(end);
        let mut wanted =
            numbers.filter(|number| !self.is_waiting(*number)).filter_map(|number| PageNumber::new(number).ok());
        wanted.find(|number| !is_on_way(*number))
    }
}
