//! The page of a region's newest rows, which is asked at first, and what other pages say against it. Pure.

use std::collections::BTreeSet;

use super::RegionPlan;
use crate::api::contract::SOURCE;
use crate::plan::ends::End;
use crate::plan::fact::{PageFact, RowKey, VideoKey};
use crate::units::EpochSeconds;

/// Rows of a page.
const PAGE_ROWS: usize = SOURCE.page_size as usize;
/// First pages that lie after the newest one, in a row, which no deletion explains.
const LATE_OPENINGS: u32 = 2;

/// What a region's newest page has shown.
#[derive(Clone, Debug, Default)]
pub struct NewestPage {
    /// The last second of any row on the newest page.
    pub last_second: Option<EpochSeconds>,
    /// The rows of the newest page.
    pub rows: Vec<RowKey>,
    /// Whether the newest page has been read, or could not be.
    pub is_read: bool,
    /// Whether the newest page came oldest first, so that nothing is known of the newest row.
    pub is_unknown: bool,
    /// Rows that walks showed after the last of the newest page, up to one more than a page of them.
    pub(super) passed: BTreeSet<VideoKey>,
    /// Rows of that second that it does not show, up to as many.
    pub(super) tied: BTreeSet<VideoKey>,
    /// How often in a row the range, asked from its start, began after the newest row of the newest page.
    pub(super) opened_late: u32,
    /// Whether it has ever begun no later than that row: then page 1 is the first, and rows that went or came explain what is late.
    pub(super) opened_in_time: bool,
    /// How often its range was extended.
    pub(super) extensions: u32,
    /// Whether rows that it lacked came to another question, after it had been asked again and lacked them still.
    is_contradicted: bool,
}

impl NewestPage {
    /// The page, or what is known against it, is not what it was.
    pub(super) fn forget_passed(&mut self) {
        self.passed.clear();
        self.tied.clear();
        self.is_contradicted = false;
    }
}

impl RegionPlan {
    /// Whether the newest page lacks exactly a page of the newest rows, or shows none but rows before the first page of all: what
    /// counting from 0 gives.
    pub fn newest_is_second(&self) -> bool {
        let last = self.newest_page.last_second.filter(|_| !self.newest_page.opened_in_time);
        let lies_before = last.is_some() && last < self.extent.opening;
        // Of rows of one second nobody knows which come first.
        let (passed, tied) = (self.newest_page.passed.len(), self.newest_page.tied.len());
        lies_before || (1..=PAGE_ROWS).contains(&passed) && passed + tied >= PAGE_ROWS
    }

    /// The same, where the newest page lacked those rows also when it was asked again, and they came to another question after that: so none
    /// of them was deleted, and none came late.
    pub fn newest_stays_second(&self) -> bool {
        self.newest_page.is_contradicted && self.newest_is_second()
    }

    /// Learns from a page that was asked for its place.
    pub(super) fn learn_place(&mut self, page: &PageFact) {
        let came = |row: &RowKey| self.newest_page.passed.contains(&row.video);
        // Where the region's first rows come in place of its newest, the order that was asked for is not kept to.
        let begins = self.newest_page.rows.iter().map(|row| row.second).min();
        let is_of_the_newest = !self.newest_page.is_unknown && begins > self.extent.oldest;
        let is_lacking = is_of_the_newest && self.ends.lacks_its_outermost(End::Newest);
        self.newest_page.is_contradicted |= is_lacking && page.rows.iter().any(came);
    }

    /// Whether the first page lies after the newest one, also when it is asked again: what counting from 0 gives of less than two pages.
    pub fn opens_after_the_newest(&self) -> bool {
        self.newest_page.opened_late >= LATE_OPENINGS && !self.newest_page.opened_in_time
    }

    /// Learns from page 1 of the range, asked from its start.
    pub fn learn_opening(&mut self, page: &PageFact) {
        let first = page.rows.iter().map(|row| row.second).min();
        self.extent.opening = first.or(self.extent.opening);
        if let (Some(first), Some(newest)) = (first, self.newest_page.last_second) {
            self.newest_page.opened_late = if first > newest { self.newest_page.opened_late + 1 } else { 0 };
            self.newest_page.opened_in_time |= first <= newest;
        }
    }

    pub(super) fn learn_ends(&mut self, page: &PageFact) {
        let Some(last) = self.newest_page.last_second else { return };
        let shows = |row: &RowKey| self.newest_page.rows.iter().any(|shown| shown.video == row.video);
        let passed = |row: &&RowKey| self.range.contains(row.second) && row.second > last;
        let tied = |row: &&RowKey| row.second == last && !shows(row);
        if self.newest_page.passed.len() <= PAGE_ROWS {
            self.newest_page.passed.extend(page.rows.iter().filter(passed).map(|row| row.video));
        }
        if self.newest_page.tied.len() < PAGE_ROWS {
            let tied: Vec<VideoKey> = page.rows.iter().filter(tied).map(|row| row.video).collect();
            self.newest_page.tied.extend(tied);
        }
    }

    pub(super) fn apply_newest(&mut self, page: &PageFact, last: Option<EpochSeconds>) {
        self.newest_page.is_read = true;
        self.newest_page.last_second = last;
        self.newest_page.opened_in_time |= self.extent.opening.is_some() && self.extent.opening <= last;
        self.extent.newest = self.extent.newest.max(last);
        self.newest_page.rows = page.rows.iter().copied().filter(|row| self.range.contains(row.second)).collect();
        self.newest_page.is_unknown = page.check.is_astray() || page.is_oldest_first();
    }
}
