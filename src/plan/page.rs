//! Reading one page of an ascending walk: is it ordered, within bounds, and apart from its predecessor? Pure.
//!
//! One row with a wrong date proves nothing: a row that stands out of an order that the others keep is a stray, and rows at
//! a page's end that leap far ahead are held back until the next page says whether they stand there rightly.

use std::collections::BTreeSet;

use super::answer::OUTSIDE_ROWS;
use super::fact::{PageFact, RowKey, Standing, VideoKey};
use crate::api::contract::SOURCE;
use crate::units::{EpochSeconds, TimeRange};

/// Seconds that must have gone up on ordered pages, and none down, before a row beyond a window's end is evidence: rows in
/// no order go up six times running less than once in five thousand pages.
pub const PROVEN_AFTER: u32 = 6;

/// Rows of one page that must stand at exactly the asked upper bound for it to count as inclusive: wrong dates do not come in
/// such numbers.
pub const ROWS_AT_MAX: usize = 3;

/// What one page is, seen against the page before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// No page of this scan has come.
    Nothing,
    /// No row at all.
    Empty,
    /// Rows, none of which can be placed in time.
    Unusable,
    /// Rows in order.
    Rows,
    /// Every row lies outside what was asked; the first of this second.
    OutsideAsked(EpochSeconds),
    /// Every row lies before what was asked, and no page of this scan before it showed another: the first of this second. Where
    /// the service does not keep to the lower bound, the wanted rows follow.
    Early(EpochSeconds),
    /// Every row is of another region.
    OtherRegion,
    /// It follows pages before what was asked, and nothing shows that it is of the same answer as they.
    Unjoined,
    /// The same rows as its predecessor's.
    SamePage,
    /// Its predecessor's rows without the first, and one more.
    ShiftedByOne,
    /// Rows go back in time.
    Disordered,
    /// A row that came before, from this second on; another may have been skipped. An insertion before the page looks the
    /// same as ties in another order, even for a row that stands alone in its second: its twin may be the skipped one.
    Repeated(EpochSeconds),
}

impl Finding {
    /// Whether the page answers another question than was asked, as far as its rows tell.
    pub fn is_astray(self) -> bool {
        matches!(self, Self::OutsideAsked(_) | Self::Early(_) | Self::OtherRegion | Self::Unjoined)
    }
}

/// A page as it is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// What it is.
    pub finding: Finding,
    /// The rows in order, those that the page before held back in front; empty unless there is an order.
    pub rows: Vec<RowKey>,
    /// Rows at the end that leap ahead: no evidence before the next page has come.
    pub held: Vec<RowKey>,
    /// Rows whose date does not fit the order.
    pub strays: Vec<RowKey>,
}

/// A page and what stands around it.
#[derive(Debug)]
pub struct Reading<'a> {
    /// The page.
    pub page: &'a PageFact,
    /// `min_create_time` as sent.
    pub asked_min: EpochSeconds,
    /// `max_create_time` as sent.
    pub asked_max: EpochSeconds,
    /// The rows of the page before it in the same scan, as they came.
    pub previous: &'a [RowKey],
    /// Whether that page held the same rows, those that cannot be placed among them.
    pub came_before: bool,
    /// The rows that the page before held back.
    pub held: &'a [RowKey],
    /// The rows of the page before it, where that page and all before it in the scan lay before what was asked.
    pub early: Option<&'a [RowKey]>,
    /// The last second before it in the same scan.
    pub frontier: Option<EpochSeconds>,
    /// The ids that this scan showed in that second.
    pub at_frontier: &'a BTreeSet<VideoKey>,
    /// Whether the walk has shown that its rows ascend; until then a row out of order is more than a wrong date.
    pub order_is_proven: bool,
    /// The low watermark: below this second nothing is missing, so that what comes again there is no sign.
    pub watermark: EpochSeconds,
    /// Rows that were the last seen and did not come when their second was asked: their dates are wrong.
    pub misdated: &'a BTreeSet<VideoKey>,
    /// Seconds that are listed as unproven already.
    pub listed: TimeRange,
    /// Seconds that are read again, within which repeats are expected.
    pub healing: Vec<EpochSeconds>,
}

/// The most rows at a page's end that are held back.
const MOST_HELD: usize = 2;
/// A leap is longer than this part of what the rows before it on the page span, ...
const LEAP_PART: i64 = 2;
/// ... and so many seconds.
const LEAP_SECONDS: i64 = 1;

impl Reading<'_> {
    /// What the page is, in a walk whose rows have an order.
    pub fn view(&self) -> View {
        let rows: Vec<RowKey> = self.asked().collect();
        match self.plain(&rows) {
            Some(finding) => View { held: self.held.to_vec(), ..View::of(finding) },
            None => self.ordered_view(&rows),
        }
    }

    /// What the page is where rows have no order.
    pub fn unordered(&self) -> Finding {
        let rows: Vec<RowKey> = self.asked().collect();
        match self.plain(&rows) {
            None | Some(Finding::ShiftedByOne) => Finding::Rows,
            Some(finding) => finding,
        }
    }

    /// The page's rows within what was asked: the others are no evidence.
    pub fn asked(&self) -> impl Iterator<Item = RowKey> {
        let (min, max) = (self.asked_min, self.asked_max);
        let is_asked = move |row: &RowKey| min <= row.second && row.second <= max;
        self.page.rows.iter().copied().filter(move |row| is_asked(row) && !self.misdated.contains(&row.video))
    }

    /// Whether enough rows came to say that the service does not honour the range, and none within it.
    fn is_outside(&self) -> bool {
        let is_asked = |row: &RowKey| self.asked_min <= row.second && row.second <= self.asked_max;
        self.page.rows.len() >= OUTSIDE_ROWS && !self.page.rows.iter().any(is_asked)
    }

    fn plain(&self, rows: &[RowKey]) -> Option<Finding> {
        match (self.page.slots, self.page.rows.first(), rows.is_empty()) {
            (0, _, _) => Some(Finding::Empty),
            _ if self.page.check.standing == Standing::OtherRegion => Some(Finding::OtherRegion),
            (_, None, _) => Some(self.unusable()),
            (_, Some(first), true) if self.is_outside() => Some(self.outside(first.second)),
            (_, Some(_), true) => Some(self.unusable()),
            _ if rows == self.previous => Some(Finding::SamePage),
            _ => None,
        }
    }

    /// What a page is of which no row can be placed.
    fn unusable(&self) -> Finding {
        if self.came_before { Finding::SamePage } else { Finding::Unusable }
    }

    /// What a page is of which every row lies outside what was asked.
    fn outside(&self, first: EpochSeconds) -> Finding {
        let rows = &self.page.rows;
        let is_ordered = rows.is_sorted_by_key(|row| row.second);
        let goes_on = |early: &[RowKey]| {
            early.last().is_none_or(|last| last.second <= first) && !rows.iter().any(|row| early.contains(row))
        };
        let is_early = rows.iter().all(|row| row.second < self.asked_min);
        let is_late = rows.iter().all(|row| row.second > self.asked_max);
        match self.early {
            Some(early) if is_ordered && is_early && goes_on(early) => Finding::Early(first),
            // Where the service does not keep to the upper bound, this is the end.
            _ if is_ordered && is_late && !self.previous.is_empty() => Finding::Empty,
            _ => Finding::OutsideAsked(first),
        }
    }

    fn ordered_view(&self, rows: &[RowKey]) -> View {
        let is_old = |row: &RowKey| self.frontier.is_some_and(|frontier| row.second < frontier);
        let ahead: Vec<RowKey> =
            rows.iter().copied().filter(|row| !is_old(row) || self.previous.contains(row)).collect();
        let in_order = longest_run(&ahead);
        let strays: Vec<RowKey> = rows.iter().copied().filter(|row| !in_order.contains(row)).collect();
        let repeated = self.first_repeat(&in_order).or_else(|| self.repeated_stray(&strays));
        let ascends = self.order_is_proven || ascents(&in_order) >= PROVEN_AFTER;
        // Until an order is proven, one row out of it is a wrong date only among rows that go up and come once.
        let is_alone = strays.len() == 1 && repeated.is_none() && ascents(&in_order) > 0;
        if strays.len() > rows.len() / 4 || !(ascends || strays.is_empty() || is_alone) {
            return View::of(Finding::Disordered);
        }
        let finding = if self.is_shifted(rows) {
            Finding::ShiftedByOne
        } else {
            repeated.map_or(Finding::Rows, Finding::Repeated)
        };
        self.settle_held(finding, in_order, strays)
    }

    /// The rows that were held back stand rightly where the page goes on from them; else they were strays.
    fn settle_held(&self, finding: Finding, in_order: Vec<RowKey>, mut strays: Vec<RowKey>) -> View {
        let goes_on = match (self.held.last(), in_order.first()) {
            (Some(held), Some(first)) => first.second >= held.second,
            _ => true,
        };
        let mut rows = if goes_on { self.held.to_vec() } else { Vec::new() };
        if !goes_on {
            strays.extend(self.held);
        }
        rows.extend(in_order);
        let held = rows.split_off(self.sure_rows(&rows));
        View { finding, rows, held, strays }
    }

    /// How many of the rows, from the first, do not stand behind a leap at the page's end.
    fn sure_rows(&self, rows: &[RowKey]) -> usize {
        let start = rows.first().map(|row| row.second);
        let from = rows.len().saturating_sub(MOST_HELD);
        let leaps = |index: usize| {
            let here = rows.get(index).map(|row| row.second)?;
            let before = if index == 0 { self.frontier } else { rows.get(index - 1).map(|row| row.second) }?;
            let span = before.since(start.filter(|_| index > 0).unwrap_or(before));
            (here.since(before) > span / LEAP_PART + LEAP_SECONDS).then_some(index)
        };
        (from..rows.len()).find_map(leaps).unwrap_or(rows.len())
    }

    /// Whether the page is its predecessor without the first row, with at most one more: what `page_num` as a count of rows
    /// gives.
    fn is_shifted(&self, rows: &[RowKey]) -> bool {
        let tail = self.previous.get(1..).unwrap_or_default();
        tail.len() >= 2 && rows.len() <= tail.len() + 1 && rows.get(..tail.len()) == Some(tail)
    }

    /// A row of a wrong date that came on the page before, too: another may have been skipped where the two pages meet.
    fn repeated_stray(&self, strays: &[RowKey]) -> Option<EpochSeconds> {
        let came_before = strays.iter().any(|row| self.previous.contains(row));
        let meets = self.frontier.filter(|second| came_before && *second >= self.watermark);
        meets.filter(|second| !self.listed.contains(*second) && !self.healing.contains(second))
    }

    /// The earliest second of a row that this scan showed before, or that stands twice on the page.
    fn first_repeat(&self, rows: &[RowKey]) -> Option<EpochSeconds> {
        let mut here = BTreeSet::new();
        rows.iter()
            .flat_map(|row| {
                let is_twice = !here.insert(*row);
                let known = self.frontier == Some(row.second) && self.at_frontier.contains(&row.video);
                let came_before = self.previous.contains(row);
                // A row of the page before that stands beyond all that was reached shows where the two meet, which is its own second
                // only if its date is right.
                let meets = self.frontier.filter(|frontier| came_before && row.second > *frontier);
                meets.into_iter().chain((came_before || is_twice || known).then_some(row.second))
            })
            .filter(|second| {
                *second >= self.watermark && !self.listed.contains(*second) && !self.healing.contains(second)
            })
            .min()
    }
}

impl View {
    /// Whether the page has no free place and every row on it stands in order.
    pub fn is_plain(&self, page: &PageFact) -> bool {
        let is_whole = page.slots >= SOURCE.page_size && self.rows.len() == page.slots as usize;
        is_whole && self.finding == Finding::Rows && self.held.is_empty() && self.strays.is_empty()
    }

    /// A page that brings no rows in order.
    pub fn of(finding: Finding) -> Self {
        Self { finding, rows: Vec::new(), held: Vec::new(), strays: Vec::new() }
    }
}

/// How often the seconds of ordered rows go up.
pub fn ascents(rows: &[RowKey]) -> u32 {
    let ups = rows.windows(2).filter(|pair| pair.first().map(|row| row.second) < pair.last().map(|row| row.second));
    u32::try_from(ups.count()).unwrap_or(u32::MAX)
}

/// The most rows that never go back in time, in the order that they came.
pub fn longest_run(rows: &[RowKey]) -> Vec<RowKey> {
    if rows.is_sorted_by_key(|row| row.second) {
        return rows.to_vec();
    }
    let mut runs: Vec<Vec<RowKey>> = Vec::with_capacity(rows.len());
    for row in rows {
        let goes_on = |run: &&Vec<RowKey>| run.last().is_some_and(|last| last.second <= row.second);
        let mut run = runs.iter().filter(goes_on).max_by_key(|run| run.len()).cloned().unwrap_or_default();
        run.push(*row);
        runs.push(run);
    }
    runs.into_iter().max_by_key(Vec::len).unwrap_or_default()
}

#[cfg(test)]
mod tests;
