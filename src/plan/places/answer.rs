//! What a page tells by its number of the rows before a second. Pure.

use crate::api::contract::SOURCE;
use crate::plan::fact::PageFact;
use crate::units::EpochSeconds;

/// What pages told of one second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// How many more rows lie before it than came, at least; none where the page did not tell.
    pub(super) more: Option<i64>,
    /// The second of the last row before it on the page, and how many rows of that the page holds.
    last: Option<(EpochSeconds, u64)>,
    /// Whether all of the page lies before it, so that there may be more.
    pub(super) is_full: bool,
    /// Whether the page after it came.
    pub(super) is_next_asked: bool,
    /// How often its page came, and when last.
    pub(super) asked: u32,
    pub(super) at: EpochSeconds,
}

/// Seconds between two pages in which a trouble may have ended; pages that are asked one after the other are closer.
const APART: i64 = 3;

/// A page that came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    /// The second that it is counted from.
    anchor: EpochSeconds,
    number: u32,
    /// What tells its rows from others; 0 where it has none.
    print: u64,
    at: EpochSeconds,
}

impl Came {
    pub(super) fn of(anchor: EpochSeconds, page: &PageFact) -> Self {
        let print = if page.slots > 0 { page.check.print } else { 0 };
        Self { anchor, number: page.address.page.get(), print, at: page.fetched_at }
    }

    /// Whether the page before it has another number and the same rows; from two seconds, pages of two numbers may well hold the same.
    pub(super) fn is_another_like(&self, last: &Self) -> bool {
        last.anchor == self.anchor && last.number != self.number && last.print == self.print && self.print != 0
    }

    /// Whether no trouble may have ended since the page before it.
    pub(super) fn is_right_after(&self, last: &Self) -> bool {
        self.at.since(last.at) < APART
    }
}

impl Answer {
    /// Nothing was told yet.
    pub(super) fn none(at: EpochSeconds) -> Self {
        Self { more: None, last: None, is_full: false, is_next_asked: false, asked: 0, at }
    }

    /// Takes a page that may be that of this second, before which so many rows came.
    pub(super) fn take(&mut self, page: &PageFact, (mark, rows): (EpochSeconds, u64)) {
        let (place, expected) = place_of(rows);
        let number = u64::from(page.address.page.get());
        if number == place {
            (self.asked, self.at) = (self.asked + 1, page.fetched_at);
            self.is_full = is_all_before(page, mark);
            // How many more lie behind a full page is told by the next one.
            if !(self.is_full && self.is_next_asked) {
                self.more = more_before(page, mark, expected);
            }
            let before = page.rows.iter().map(|row| row.second).filter(|second| *second < mark);
            let rows_of = |last| before.clone().filter(|second| *second == last).count() as u64;
            self.last = before.clone().max().map(|last| (last, rows_of(last)));
        } else if number == place + 1 && self.is_full {
            let beyond = more_before(page, mark, 0).unwrap_or_default();
            (self.more, self.is_next_asked) = (Some(i64::from(SOURCE.page_size) - expected + beyond), true);
        } else if number == place + 1 && expected == i64::from(SOURCE.page_size) {
            // Where the last row fills its page, none of this one should lie before.
            (self.asked, self.at, self.is_next_asked) = (self.asked + 1, page.fetched_at, true);
            self.more = more_before(page, mark, 0);
        }
    }

    /// Whether the last row that came is the last before the second, and stands where it should. On a full page, an earlier row of the last
    /// second may stand in its place, where rows of other seconds came before.
    pub(super) fn is_exact(&self, last: Option<(EpochSeconds, Option<u64>)>) -> bool {
        let is_same = self.last.zip(last).is_some_and(|(told, last)| {
            told.0 == last.0 && (!self.is_full || self.is_next_asked || last.1.is_none_or(|rows| told.1 == rows))
        });
        self.more == Some(0) && is_same
    }
}

/// The number of the page that holds the last of so many rows, and how many of them it holds.
pub(super) fn place_of(rows: u64) -> (u64, i64) {
    let pages_before = rows.saturating_sub(1) / u64::from(SOURCE.page_size);
    (pages_before + 1, i64::try_from(rows - pages_before * u64::from(SOURCE.page_size)).unwrap_or_default())
}

/// Whether all of a full page lies before a second.
fn is_all_before(page: &PageFact, second: EpochSeconds) -> bool {
    page.slots >= SOURCE.page_size && page.rows.iter().all(|row| row.second < second)
}

/// How many more rows of a page lie before a second than these; none where it does not tell.
fn more_before(page: &PageFact, second: EpochSeconds, expected: i64) -> Option<i64> {
    let is_ordered = page.rows.is_sorted_by_key(|row| row.second);
    if !page.is_placed() || !is_ordered || page.check.is_astray() {
        return None;
    }
    let before = page.rows.iter().filter(|row| row.second < second).count();
    match i64::try_from(before).unwrap_or(i64::MAX) {
        0 if expected > 0 && page.slots == 0 => None,
        // All of it lies behind: by how much, it does not tell.
        0 if expected > 0 => Some(-i64::from(SOURCE.page_size)),
        before => Some(before - expected),
    }
}
