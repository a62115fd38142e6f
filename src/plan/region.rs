//! One region of the run: where its rows are, how densely, how far it is done, and whether an empty answer can be believed.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::ends::Ends;
use super::fact::{PageFact, Purpose, RowKey, VideoKey, WindowId};
use super::page::longest_run;
use super::reads::{Beside, Reads};
use super::tally::CountedPages;
use crate::api::contract::{PAGE_SIZE, Region};
use crate::units::{EpochSeconds, TimeRange};

mod density;
mod emptiness;
mod names;

pub use emptiness::Emptiness;

/// First pages that lie after the newest one, in a row, which no deletion explains.
const LATE_OPENINGS: u32 = 2;

/// A region's facts.
#[derive(Clone, Debug)]
pub struct RegionPlan {
    /// Its code.
    pub region: Region,
    /// From the first second that is read to the last; empty where nothing is.
    pub range: TimeRange,
    /// The seconds within it that are not read, in order: what the output holds of them is kept, or others read it.
    pub kept: Vec<TimeRange>,
    /// What others read of it.
    pub beside: Beside,
    /// Rows that the walk before a neighbour's time saw of that time, once it has ended with one; of no use to the plan.
    pub seen_beyond: Option<Vec<RowKey>>,
    /// Every second below is covered, or is listed as a gap.
    pub done_until: EpochSeconds,
    /// Every row below is in a published part.
    pub published_until: EpochSeconds,
    /// Its windows that are not merged into `done_until`, by their first second.
    pub windows: BTreeMap<EpochSeconds, WindowId>,
    /// The second of the first row.
    pub oldest: Option<EpochSeconds>,
    /// The last second of any row that was seen within the range.
    pub newest: Option<EpochSeconds>,
    /// The last second of any row on the newest page.
    pub probed_newest: Option<EpochSeconds>,
    /// The rows of the newest page.
    pub newest_rows: Vec<RowKey>,
    /// Whether the newest page has been read, or could not be.
    pub newest_read: bool,
    /// Whether the newest page came oldest first, so that nothing is known of the newest row.
    pub newest_is_unknown: bool,
    /// Whether the first window has been cut yet.
    pub is_cut: bool,
    /// The last stretch of time after a window's end that its walk has shown to be empty.
    pub empty: TimeRange,
    /// Rows that were read again, or are, because their pages did not prove them; about.
    pub rows_again: u64,
    finished_rows: u64,
    finished_seconds: i64,
    first_density: f64,
    first_pages_empty: u32,
    /// Whether a walk has brought any row, usable or not.
    has_answered: bool,
    without_filters: Option<bool>,
    times_without_filters: u32,
    without_range: Option<Option<EpochSeconds>>,
    times_without_range: u32,
    known_second: Option<bool>,
    times_known_second: u32,
    /// A row of the range that the question around the known row brought.
    known_inside: Option<EpochSeconds>,
    /// Whether another row of the range came with it.
    is_in_company: bool,
    /// What would confirm an empty answer could not be had.
    pub evidence_failed: bool,
    /// Questions of each kind that were asked before all was asked anew.
    asked_before: (u32, u32, u32),
    /// Pages of which every row names the region as its own, and those of which every row names another.
    own_pages: u32,
    other_pages: u32,
    /// What walks' pages cover that were taken although every row of them names another region.
    pub of_another_region: Vec<TimeRange>,
    /// What such pages of other questions cover.
    pub probes_of_another_region: Vec<TimeRange>,
    /// Rows that walks showed after the last of the newest page, up to one more than a page of them.
    past_newest: BTreeSet<VideoKey>,
    /// How often in a row the range, asked from its start, began after the newest row of the newest page.
    opened_late: u32,
    /// The first second of page 1 of the range, asked from its start, where it held rows.
    opening: Option<EpochSeconds>,
    /// Where its rows begin and end, and whether that is confirmed.
    pub ends: Ends,
    /// Seconds that were done and were, or are, read again.
    pub(super) read_again: Vec<TimeRange>,
    /// How often its range was extended.
    extensions: u32,
    /// Whether the output has held rows of it, so that its code is known to mean something.
    pub is_known: bool,
    /// The pages that its rows were counted by, and pages of walks that tell the same.
    pub(super) counted_pages: CountedPages,
    /// Those that were refused; not journalled, since they are asked for a forecast alone.
    pub(super) count_refused: BTreeSet<(EpochSeconds, u32)>,
    /// Whether a page to count by could not be had; not journalled either.
    pub(super) count_failed: bool,
}

impl RegionPlan {
    /// A region of which nothing is known, in a run over `asked`.
    pub fn reading(reads: &Reads, asked: TimeRange) -> Self {
        let range = reads.hull(asked.start);
        Self {
            region: reads.region.clone(),
            range,
            kept: reads.kept(),
            beside: reads.beside,
            seen_beyond: None,
            done_until: range.start,
            published_until: range.start,
            windows: BTreeMap::new(),
            oldest: None,
            newest: None,
            probed_newest: None,
            newest_rows: Vec::new(),
            newest_read: false,
            newest_is_unknown: false,
            is_cut: false,
            empty: TimeRange::new(range.start, range.start),
            rows_again: 0,
            finished_rows: 0,
            finished_seconds: 0,
            first_density: 0.0,
            first_pages_empty: 0,
            has_answered: false,
            without_filters: None,
            times_without_filters: 0,
            without_range: None,
            times_without_range: 0,
            known_second: None,
            times_known_second: 0,
            known_inside: None,
            is_in_company: false,
            evidence_failed: false,
            asked_before: (0, 0, 0),
            own_pages: 0,
            other_pages: 0,
            of_another_region: Vec::new(),
            probes_of_another_region: Vec::new(),
            past_newest: BTreeSet::new(),
            opened_late: 0,
            opening: None,
            ends: Ends::default(),
            read_again: Vec::new(),
            extensions: 0,
            is_known: false,
            counted_pages: CountedPages::new(),
            count_refused: BTreeSet::new(),
            count_failed: false,
        }
    }

    /// The seconds that are read, in order.
    pub fn read(&self) -> Vec<TimeRange> {
        self.range.without(&self.kept)
    }

    /// The first second at or after `second` that is not kept.
    pub fn past_kept(&self, second: EpochSeconds) -> EpochSeconds {
        self.kept.iter().find(|kept| kept.contains(second)).map_or(second, |kept| kept.end)
    }

    /// The range goes on to a later end.
    pub fn extend(&mut self, new: TimeRange) {
        if self.is_done() && self.ends.refuted(self.newest).is_none() {
            self.ends.is_read();
        }
        if self.range.is_empty() {
            self.range = TimeRange::new(new.start, new.start);
            (self.done_until, self.published_until) = (new.start, new.start);
            self.empty = self.range;
        }
        if self.range.end < new.start {
            self.kept.push(TimeRange::new(self.range.end, new.start));
            if self.done_until == self.range.end {
                self.done_until = new.start;
            }
        }
        self.range.end = new.end;
        self.extensions += 1;
        self.ends.extend();
        // What lay at the former end may go on now.
        self.counted_pages.values_mut().for_each(|pages| pages.retain(|_, page| page.slots >= PAGE_SIZE));
        self.count_refused.clear();
        (self.newest_read, self.newest_is_unknown, self.probed_newest) = (false, false, None);
        self.newest_rows.clear();
        self.past_newest.clear();
        if !self.has_answered {
            self.ask_anew();
        }
    }

    /// Its seconds are read again: where it has never shown a row, whether it is empty is asked anew too.
    pub(super) fn reopen(&mut self, range: TimeRange) {
        self.ends.reopened(range);
        self.read_again.push(range);
        if !self.has_answered {
            self.ends.extend();
            self.ask_anew();
        }
    }

    /// The number of the next question for the newest page.
    pub fn next_newest(&self) -> u32 {
        1 + self.extensions
    }

    /// Whether every second is covered or listed.
    pub fn is_done(&self) -> bool {
        self.done_until >= self.range.end
    }

    /// Whether the first walk's first page has come, with rows.
    pub fn has_rows(&self) -> bool {
        self.oldest.is_some()
    }

    /// Where the time of a neighbour begins that goes on to the end of the range; none where this run reads that end.
    pub fn neighbour(&self) -> Option<EpochSeconds> {
        let last = self.kept.last().filter(|kept| kept.end == self.range.end);
        last.filter(|_| self.beside.after.is_some()).map(|kept| kept.start)
    }

    /// Whether what the region's newest page would tell is known, or of no use: where a neighbour reads the end, rows may be
    /// everywhere.
    pub fn knows_its_extent(&self) -> bool {
        self.newest_read || self.neighbour().is_some()
    }

    /// The last second that may hold a row, as far as is known.
    pub fn last_second(&self) -> Option<EpochSeconds> {
        if let Some(neighbour) = self.neighbour() {
            return Some(neighbour.shifted(-1));
        }
        if self.newest_is_unknown { Some(self.range.end.shifted(-1)) } else { self.newest }
    }

    /// Whether the newest page lacks exactly a page of the newest rows, or shows none but rows before the first page of all: what
    /// counting from 0 gives.
    pub fn newest_is_second(&self) -> bool {
        let lies_before = self.probed_newest.is_some() && self.probed_newest < self.opening;
        lies_before || self.past_newest.len() == PAGE_SIZE as usize
    }

    /// Whether the first page lies after the newest one, also when it is asked again: what counting from 0 gives of less than two pages.
    pub fn opens_after_the_newest(&self) -> bool {
        self.opened_late >= LATE_OPENINGS
    }

    /// Learns from page 1 of the range, asked from its start.
    pub fn learn_opening(&mut self, page: &PageFact) {
        let first = page.rows.iter().map(|row| row.second).min();
        self.opening = first.or(self.opening);
        if let (Some(first), Some(newest)) = (first, self.probed_newest) {
            self.opened_late = if first > newest { self.opened_late + 1 } else { 0 };
        }
    }

    /// The newest row is gone, and with it may be what lies before it: the last second that is known is that of the row before.
    pub fn row_gone(&mut self, range: TimeRange) {
        let gone = range.end.shifted(-1);
        self.ends.row_gone(range);
        self.newest_rows.retain(|row| row.second != gone);
        if self.newest == Some(gone) {
            self.newest = self.ends.newest().max(self.newest_rows.first().map(|row| row.second));
        }
    }

    fn learn_ends(&mut self, page: &PageFact) {
        let room = PAGE_SIZE as usize + 1;
        let passed = |row: &&RowKey| self.range.contains(row.second) && Some(row.second) > self.probed_newest;
        if self.probed_newest.is_some() && self.past_newest.len() < room {
            self.past_newest.extend(page.rows.iter().filter(passed).map(|row| row.video));
        }
    }

    /// Learns from any page of the region where rows are. `is_first` says that it is page 1 of the region's first seconds.
    pub fn apply(&mut self, page: &PageFact, is_first: bool) {
        self.learn_region(page);
        let (range, kept) = (self.range, &self.kept);
        // A row of the neighbour's time contradicts a walk that found an end before it.
        let neighbour = if page.address.purpose == Purpose::ConfirmNewest { self.neighbour() } else { None };
        let is_kept = |second| kept.iter().any(|kept| kept.contains(second) && Some(kept.start) != neighbour);
        let is_read = |second| range.contains(second) && !is_kept(second);
        self.ends.learn(page, is_read);
        let inside = page.rows.iter().map(|row| row.second).filter(|second| self.range.contains(*second));
        let (first, last) = (inside.clone().min(), inside.max());
        match page.address.purpose {
            Purpose::Walk { .. } => {
                self.has_answered |= page.slots > 0;
                self.first_pages_empty += u32::from(is_first && page.slots == 0);
                self.oldest = self.oldest.or(first);
                self.newest = self.newest.max(last);
                self.learn_ends(page);
            }
            Purpose::Newest => self.apply_newest(page, last),
            Purpose::WithoutFilters => {
                self.times_without_filters += 1;
                self.without_filters = Some(page.slots > 0 && !page.check.is_astray());
            }
            Purpose::WithoutRange => {
                self.times_without_range += 1;
                // The newest row that stands in the order of the others: one of a wrong date is not found by it.
                let oldest_first: Vec<RowKey> = page.rows.iter().rev().copied().collect();
                self.without_range = Some(longest_run(&oldest_first).last().map(|row| row.second));
            }
            Purpose::KnownSecond => {
                self.times_known_second += 1;
                self.known_second = Some(page.slots > 0 && !page.check.is_astray());
                // What lies in the range comes first; a row of it further down has a wrong date.
                let first = page.rows.first().map(|row| row.second);
                self.known_inside = first.filter(|second| self.range.contains(*second));
                self.is_in_company = page.rows.get(1).is_some_and(|row| self.range.contains(row.second));
            }
            Purpose::ConfirmOldest | Purpose::ConfirmNewest => {
                self.has_answered |= page.slots > 0 && !page.check.is_astray();
                self.oldest = self.oldest.or(first);
                self.newest = self.newest.max(last);
            }
            Purpose::Bounds | Purpose::Count { .. } => {}
        }
        let is_probe = matches!(page.address.purpose, Purpose::Walk { .. } | Purpose::Newest);
        if is_probe && let (Some(first), Some(last)) = (first, last) {
            let density = page.rows.len() as f64 / (last.since(first) + 1) as f64;
            self.first_density = if self.is_cut { self.first_density } else { self.first_density.max(density) };
        }
    }

    fn apply_newest(&mut self, page: &PageFact, last: Option<EpochSeconds>) {
        self.newest_read = true;
        self.probed_newest = last;
        self.newest = self.newest.max(last);
        self.newest_rows = page.rows.iter().copied().filter(|row| self.range.contains(row.second)).collect();
        self.newest_is_unknown = page.check.is_astray() || page.is_oldest_first();
    }
}

#[cfg(test)]
mod tests;
