//! One region of the run: where its rows are, how densely, how far it is done, and whether an empty answer can be believed.
//! Pure.

use std::collections::BTreeMap;

use super::event::Contradiction;
use super::fact::{PageFact, Purpose, RowKey, WindowId};
use crate::api::contract::{PAGE_SIZE, Region};
use crate::units::{EpochSeconds, TimeRange};

/// What an empty first page may mean, as far as other answers have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emptiness {
    /// Another answer is needed.
    Ask(Purpose),
    /// The question was understood, so the range holds nothing.
    Believed,
    /// The region holds nothing at all, so nothing shows that its code means anything.
    Unproven,
}

/// A region's facts.
#[derive(Clone, Debug)]
pub struct RegionPlan {
    /// Its code.
    pub region: Region,
    /// The run's range.
    pub range: TimeRange,
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
    finished_rows: u64,
    finished_seconds: i64,
    first_density: f64,
    first_pages_empty: u32,
    first_page_seen: bool,
    without_filters: Option<bool>,
    without_range: Option<Option<EpochSeconds>>,
    known_second: Option<bool>,
}

impl RegionPlan {
    /// A region of which nothing is known.
    pub fn new(region: Region, range: TimeRange) -> Self {
        Self {
            region,
            range,
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
            finished_rows: 0,
            finished_seconds: 0,
            first_density: 0.0,
            first_pages_empty: 0,
            first_page_seen: false,
            without_filters: None,
            without_range: None,
            known_second: None,
        }
    }

    /// Whether every second is covered or listed.
    pub fn is_done(&self) -> bool {
        self.done_until >= self.range.end
    }

    /// Whether the first walk's first page has come, with rows.
    pub fn has_rows(&self) -> bool {
        self.oldest.is_some()
    }

    /// Whether the first walk's first page has come, without rows, and nothing else has.
    pub fn looks_empty(&self) -> bool {
        self.first_pages_empty > 0 && self.newest.is_none() && self.finished_rows == 0
    }

    /// How often the first walk's first page came empty.
    pub fn times_empty(&self) -> u32 {
        self.first_pages_empty
    }

    /// Whether the range has an answer without the user's filters that is empty as well.
    pub fn is_empty_without_filters(&self) -> bool {
        self.without_filters == Some(false)
    }

    /// The last second that may hold a row, as far as is known.
    pub fn last_second(&self) -> Option<EpochSeconds> {
        if self.newest_is_unknown { Some(self.range.end.shifted(-1)) } else { self.newest }
    }

    /// Learns from any page of the region where rows are. `is_first` says that it is page 1 of the region's first seconds.
    pub fn apply(&mut self, page: &PageFact, is_first: bool) {
        let inside = page.rows.iter().map(|row| row.second).filter(|second| self.range.contains(*second));
        let (first, last) = (inside.clone().min(), inside.max());
        match page.address.purpose {
            Purpose::Walk { .. } => {
                self.first_page_seen |= is_first;
                self.first_pages_empty += u32::from(is_first && page.slots == 0);
                self.oldest = self.oldest.or(first);
                self.newest = self.newest.max(last);
            }
            Purpose::Newest => self.apply_newest(page, last),
            Purpose::WithoutFilters => self.without_filters = Some(first.is_some()),
            Purpose::WithoutRange => self.without_range = Some(page.rows.first().map(|row| row.second)),
            Purpose::KnownSecond => {
                let known = self.without_range.flatten();
                self.known_second = Some(page.rows.iter().any(|row| Some(row.second) == known));
            }
            Purpose::Bounds => {}
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
        let (first, last) = (page.rows.first().map(|row| row.second), page.rows.last().map(|row| row.second));
        self.newest_is_unknown = first < last && page.rows.is_sorted_by_key(|row| row.second);
    }

    /// Counts a finished window into the density.
    pub fn count_finished(&mut self, range: TimeRange, rows: u64) {
        let until = self.last_second().map_or(range.end, |newest| range.end.min(newest.shifted(1)));
        let from = self.oldest.map_or(range.start, |oldest| range.start.max(oldest));
        self.finished_rows += rows;
        self.finished_seconds += until.since(from).max(0);
    }

    /// Rows a second, as seen so far: `walked` adds what running windows saw, as (rows, seconds). A guess from the first
    /// pages, rather too high than too low, until a window has been walked.
    pub fn density(&self, walked: (u64, i64)) -> f64 {
        let rows = self.finished_rows + walked.0;
        let seconds = self.finished_seconds + walked.1;
        let enough = rows >= u64::from(PAGE_SIZE) * 20 && seconds > 0;
        if enough { rows as f64 / seconds as f64 } else { self.first_density }
    }

    /// What an empty first page means, once every needed answer is there.
    ///
    /// # Errors
    /// Where the answers contradict each other.
    pub fn emptiness(&self, has_filters: bool) -> Result<Emptiness, Contradiction> {
        if has_filters {
            match self.without_filters {
                None => return Ok(Emptiness::Ask(Purpose::WithoutFilters)),
                Some(true) => return Ok(Emptiness::Believed),
                Some(false) => {}
            }
        }
        let (region, range) = (self.region.clone(), self.range);
        match (self.without_range, self.known_second) {
            (None, _) => Ok(Emptiness::Ask(Purpose::WithoutRange)),
            (Some(None), _) => Ok(Emptiness::Unproven),
            (Some(Some(seen)), _) if range.contains(seen) => Err(Contradiction::RangeHidesRows { region, range, seen }),
            (Some(Some(_)), None) => Ok(Emptiness::Ask(Purpose::KnownSecond)),
            (Some(Some(_)), Some(true)) => Ok(Emptiness::Believed),
            (Some(Some(seen)), Some(false)) => Err(Contradiction::SecondsNotUnderstood { region, seen }),
        }
    }

    /// A second outside the range that holds a row, once it is known.
    pub fn row_outside(&self) -> Option<EpochSeconds> {
        self.without_range.flatten()
    }
}
