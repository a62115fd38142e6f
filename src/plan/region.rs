//! One region of the run: where its rows are, how densely, how far it is done, and whether an empty answer can be believed.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::ends::Ends;
use super::fact::{PageFact, Purpose, RowKey, WindowId};
use super::places::Places;
use super::reads::{Beside, Reads};
use super::recheck::Recheck;
use super::tally::CountedPages;
use crate::api::contract::{Region, SOURCE};
use crate::units::{EpochSeconds, TimeRange};

mod density;
mod emptiness;
mod names;
mod newest;
mod ties;

pub use density::Sizing;
pub use emptiness::{Answers, Emptiness};
pub use names::Names;
pub use newest::NewestPage;
pub(super) use ties::Ties;

/// A region's facts.
#[derive(Clone, Debug)]
pub struct RegionPlan {
    /// Its code.
    pub region: Region,
    /// From the first second that is read to the last; empty where nothing is.
    pub range: TimeRange,
    /// The seconds within it that are not read, in order: what the output holds of them is kept, or others read it.
    pub kept: Vec<TimeRange>,
    /// What others read of it, and what was seen of that.
    pub neighbours: Neighbours,
    /// Every second below is covered, or is listed as a gap.
    pub done_until: EpochSeconds,
    /// Every row below is in a published part.
    pub published_until: EpochSeconds,
    /// Its windows that are not merged into `done_until`, by their first second.
    pub windows: BTreeMap<EpochSeconds, WindowId>,
    /// Where its rows are.
    pub extent: Extent,
    /// What its newest page has shown.
    pub newest_page: NewestPage,
    /// What its windows are cut by.
    pub sizing: Sizing,
    /// What of it is read again.
    pub again: ReadAgain,
    /// What tells whether it is empty.
    pub answers: Answers,
    /// Which region its rows name as their own.
    pub names: Names,
    /// Where its rows begin and end, and whether that is confirmed.
    pub ends: Ends,
    /// What its rows are counted by.
    pub counted: Counted,
}

/// What others read of a region.
#[derive(Clone, Debug)]
pub struct Neighbours {
    /// What others read of it.
    pub beside: Beside,
    /// Rows that the walk before a neighbour's time saw of that time, once it has ended with one; of no use to the plan.
    pub seen_beyond: Option<Vec<RowKey>>,
}

/// Where a region's rows are.
#[derive(Clone, Debug)]
pub struct Extent {
    /// The second of the first row.
    pub oldest: Option<EpochSeconds>,
    /// The last second of any row that was seen within the range.
    pub newest: Option<EpochSeconds>,
    /// The last stretch of time after a window's end that its walk has shown to be empty.
    pub empty: TimeRange,
    /// The first second of page 1 of the range, asked from its start, where it held rows.
    opening: Option<EpochSeconds>,
}

/// What of a region is read again.
#[derive(Clone, Debug, Default)]
pub struct ReadAgain {
    /// Rows that were read again, or are, because their pages did not prove them; about.
    pub rows: u64,
    /// Seconds that were done and were, or are, read again.
    pub(super) ranges: Vec<TimeRange>,
    /// Seconds that were done by a row beyond them while few pages had shown an order, and were not read within bounds since.
    pub(super) by_order: Vec<TimeRange>,
    /// In which order rows of one second came, and what is believed because they keep it.
    pub(super) ties: Ties,
    /// What became of its short pages that are believed.
    pub(super) recheck: Recheck,
    /// How many of its rows came, and how they stand to their places.
    pub(super) places: Places,
}

/// What a region's rows are counted by.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// The pages that its rows were counted by, and pages of walks that tell the same.
    pub(super) pages: CountedPages,
    /// Those that were refused; not journalled, since they are asked for a forecast alone.
    pub(super) refused: BTreeSet<(EpochSeconds, u32)>,
    /// What came to pages of two numbers: it is the last page that the service serves, in place of those beyond.
    pub(super) repeated: BTreeSet<(EpochSeconds, u64)>,
    /// Whether a page to count by could not be had; not journalled either.
    pub(super) failed: bool,
}

impl Counted {
    /// Takes a page that rows are counted by. One that came to two numbers is that of neither, for all that is known.
    pub(super) fn take(&mut self, anchor: EpochSeconds, page: &PageFact) {
        let (number, print) = (page.address.page.get(), page.check.print);
        let pages = self.pages.entry(anchor).or_default();
        let is_counted = |page: &PageFact| matches!(page.address.purpose, Purpose::Count { .. });
        let is_same =
            |(other, known): &(&u32, &PageFact)| **other != number && known.check.print == print && known.slots > 0;
        let same = pages.iter().find(is_same).map(|(other, known)| (*other, is_counted(known)));
        if page.slots == 0 || print == 0 || !(same.is_some() || self.repeated.contains(&(anchor, print))) {
            pages.insert(number, page.clone());
            return;
        }
        self.repeated.insert((anchor, print));
        for (number, _) in same.into_iter().filter(|(_, is_counted)| *is_counted) {
            pages.remove(&number);
            self.refused.insert((anchor, number));
        }
        if is_counted(page) {
            self.refused.insert((anchor, number));
        } else {
            pages.insert(number, page.clone());
        }
    }
}

impl RegionPlan {
    /// A region of which nothing is known, in a run over `asked`.
    pub fn reading(reads: &Reads, asked: TimeRange) -> Self {
        let range = reads.hull(asked.start);
        Self {
            region: reads.region.clone(),
            range,
            kept: reads.kept(),
            neighbours: Neighbours { beside: reads.beside, seen_beyond: None },
            done_until: range.start,
            published_until: range.start,
            windows: BTreeMap::new(),
            extent: Extent {
                oldest: None,
                newest: None,
                empty: TimeRange::new(range.start, range.start),
                opening: None,
            },
            newest_page: NewestPage::default(),
            sizing: Sizing::default(),
            again: ReadAgain::default(),
            answers: Answers::default(),
            names: Names::default(),
            ends: Ends::default(),
            counted: Counted::default(),
        }
    }

    /// The seconds that are read, in order.
    pub fn read(&self) -> Vec<TimeRange> {
        self.range.without(&self.kept)
    }

    /// The first second at or after `second` that is not kept.
    pub fn past_kept(&self, second: EpochSeconds) -> EpochSeconds {
        self.kept.iter().fold(second, |second, kept| if kept.contains(second) { kept.end } else { second })
    }

    /// The range goes on to a later end.
    pub fn extend(&mut self, new: TimeRange) {
        if self.is_done() && self.ends.refuted(self.extent.newest).is_none() {
            self.ends.is_read();
        }
        if self.range.is_empty() {
            self.range = TimeRange::new(new.start, new.start);
            (self.done_until, self.published_until) = (new.start, new.start);
            self.extent.empty = self.range;
        }
        if self.range.end < new.start {
            self.kept.push(TimeRange::new(self.range.end, new.start));
            if self.done_until == self.range.end {
                self.done_until = new.start;
            }
        }
        self.range.end = new.end;
        self.newest_page.extensions += 1;
        self.ends.extend();
        self.again.places.extend();
        // What lay at the former end may go on now.
        self.counted.pages.values_mut().for_each(|pages| pages.retain(|_, page| page.slots >= SOURCE.page_size));
        self.counted.refused.clear();
        self.counted.repeated.clear();
        (self.newest_page.is_read, self.newest_page.is_unknown, self.newest_page.last_second) = (false, false, None);
        self.newest_page.rows.clear();
        self.newest_page.forget_passed();
        if !self.answers.has_answered {
            self.ask_anew();
        }
    }

    /// Its seconds are read again: where it has never shown a row, whether it is empty is asked anew too.
    pub(super) fn reopen(&mut self, range: TimeRange) {
        self.ends.reopened(range);
        self.again.places.forget_but(range, |beside| self.ends.rows_of(beside));
        self.again.ranges.push(range);
        if !self.answers.has_answered {
            self.ends.extend();
            self.ask_anew();
        }
    }

    /// The number of the next question for the newest page.
    pub fn next_newest(&self) -> u32 {
        1 + self.newest_page.extensions
    }

    /// Whether every second is covered or listed.
    pub fn is_done(&self) -> bool {
        self.done_until >= self.range.end
    }

    /// Whether the first walk's first page has come, with rows.
    pub fn has_rows(&self) -> bool {
        self.extent.oldest.is_some()
    }

    /// Whether rows of it that can be placed have come, also to a process before, whose pages nobody reads any more.
    pub fn has_shown_rows(&self) -> bool {
        self.has_rows() || self.ends.newest().is_some()
    }

    /// Where the time of a neighbour begins that goes on to the end of the range; none where this run reads that end.
    pub fn neighbour(&self) -> Option<EpochSeconds> {
        let last = self.kept.last().filter(|kept| kept.end == self.range.end);
        last.filter(|_| self.neighbours.beside.after.is_some()).map(|kept| kept.start)
    }

    /// Whether what the region's newest page would tell is known, or of no use: where a neighbour reads the end, rows may be
    /// everywhere.
    pub fn knows_its_extent(&self) -> bool {
        self.newest_page.is_read || self.neighbour().is_some()
    }

    /// The last second that may hold a row, as far as is known.
    pub fn last_second(&self) -> Option<EpochSeconds> {
        if let Some(neighbour) = self.neighbour() {
            return Some(neighbour.shifted(-1));
        }
        if self.newest_page.is_unknown { Some(self.range.end.shifted(-1)) } else { self.extent.newest }
    }

    /// The newest row is gone, and with it may be what lies before it: the last second that is known is that of the row before.
    pub fn row_gone(&mut self, range: TimeRange) {
        let gone = range.end.shifted(-1);
        self.ends.row_gone(range);
        self.newest_page.rows.retain(|row| row.second != gone);
        if self.extent.newest == Some(gone) {
            self.extent.newest = self.ends.newest().max(self.newest_page.rows.first().map(|row| row.second));
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
                self.answers.has_answered |= page.slots > 0;
                self.answers.first_pages_empty += u32::from(is_first && page.slots == 0);
                self.extent.oldest = self.extent.oldest.or(first);
                self.extent.newest = self.extent.newest.max(last);
                self.learn_ends(page);
            }
            Purpose::Newest => self.apply_newest(page, last),
            Purpose::WithoutFilters => {
                self.answers.times_without_filters += 1;
                self.answers.without_filters = Some(page.slots > 0 && !page.check.is_astray());
            }
            Purpose::WithoutRange => {
                self.answers.take_without_range(&page.rows);
            }
            Purpose::KnownSecond => {
                self.answers.take_known_second(page.slots > 0 && !page.check.is_astray());
                // What lies in the range comes first; a row of it further down has a wrong date.
                let first = page.rows.first().map(|row| row.second);
                self.answers.known_inside = first.filter(|second| self.range.contains(*second));
                self.answers.is_in_company = page.rows.get(1).is_some_and(|row| self.range.contains(row.second));
            }
            Purpose::ConfirmOldest | Purpose::ConfirmNewest => {
                self.answers.has_answered |= page.slots > 0 && !page.check.is_astray();
                self.extent.oldest = self.extent.oldest.or(first);
                self.extent.newest = self.extent.newest.max(last);
            }
            Purpose::Place { .. } => self.learn_place(page),
            Purpose::Bounds | Purpose::Count { .. } | Purpose::Recheck { .. } => {}
        }
        let is_probe = matches!(page.address.purpose, Purpose::Walk { .. } | Purpose::Newest);
        if is_probe && let (Some(first), Some(last)) = (first, last) {
            let density = page.rows.len() as f64 / (last.since(first) + 1) as f64;
            self.sizing.first_density =
                if self.sizing.is_cut { self.sizing.first_density } else { self.sizing.first_density.max(density) };
        }
    }
}

#[cfg(test)]
mod tests;
