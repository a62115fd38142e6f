//! What one durable page is as evidence: which series asked it, which ranks it holds, what stood there, and when. Pure.
//!
//! An observation says what was answered and nothing of what it means. An empty page is one, too.

use crate::api::contract::{Region, SOURCE, TimeOrder};
use crate::plan::fact::UNPLACED_ROWS;
use crate::plan::fact::{PageFact, Purpose, RowKey};
use crate::plan::walk::Scan;
use crate::units::{EpochSeconds, PageNumber, TimeRange};

/// A list of rows that the service was asked for, page by page: one region, one order, one pair of bounds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// The queried region.
    pub region: Region,
    /// Why it was asked; a walk's window and scan tell its series apart.
    pub purpose: Purpose,
    /// Which of several questions of one purpose this is, from 1; a question is one page long.
    pub question: u32,
    /// Whether its rows come newest first.
    pub is_newest_first: bool,
    /// The seconds that lie within its bounds whether or not the bounds are inclusive.
    pub sure: TimeRange,
}

impl Series {
    /// The series of one scan of a walk. `end` is the first second that it was not meant to reach; what was sent lies a second
    /// further out while a bound is not known to be inclusive.
    pub fn of_scan((region, purpose): (&Region, Purpose), scan: &Scan, end: EpochSeconds) -> Self {
        Self {
            region: region.clone(),
            purpose,
            question: 1,
            is_newest_first: scan.order() == TimeOrder::NewestFirst,
            sure: TimeRange::new(scan.anchor, end),
        }
    }

    /// The series of a region's range of which its newest or its oldest page is the first.
    pub fn of_end(fact: &PageFact, range: TimeRange) -> Self {
        Self {
            region: fact.address.region.clone(),
            purpose: fact.address.purpose,
            question: fact.address.page.get(),
            is_newest_first: fact.address.purpose != Purpose::ConfirmOldest,
            sure: range,
        }
    }

    /// Its address apart from the region.
    pub fn id(&self) -> SeriesId {
        SeriesId { purpose: self.purpose, question: self.question }
    }
}

/// A series's address within its region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId {
    /// Why it was asked.
    pub purpose: Purpose,
    /// Which question of this purpose it is.
    pub question: u32,
}

/// An observation's address within its region: two with the same one are the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObservationId {
    /// Its series.
    pub series: SeriesId,
    /// Its page in the series.
    pub page: PageNumber,
}

/// When a page was asked, seen from the page before it in its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Turn {
    /// After the page before it had come, or as the first of its series: rows that are inserted can move none past it.
    InTurn,
    /// Before that, or nobody knows.
    Early,
}

/// One durable page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Observation {
    /// The list that it is a page of.
    pub series: Series,
    /// Its number there: it holds the ranks from `size * (page - 1)` up to, not including, `size * page`.
    pub page: PageNumber,
    /// When it was asked.
    pub turn: Turn,
    /// When the answer had arrived.
    pub made: EpochSeconds,
    /// The rows that can be placed, in the order that they came.
    pub rows: Vec<RowKey>,
    /// The rows that cannot be placed: no usable id or time. A [`PageFact`] does not say where among the others they stood, so
    /// they count against every second that the page may hold.
    pub unplaced: u32,
}

impl Observation {
    /// A durable page of a series. A walk's pages carry their number in the address; a probe's address counts its questions.
    pub fn of(fact: &PageFact, series: Series, turn: Turn) -> Self {
        let is_walk = matches!(fact.address.purpose, Purpose::Walk { .. });
        let placed = u32::try_from(fact.rows.len()).unwrap_or(u32::MAX);
        Self {
            series,
            page: if is_walk { fact.address.page } else { PageNumber::FIRST },
            turn,
            made: fact.fetched_at,
            rows: fact.rows.clone(),
            unplaced: fact.slots.saturating_sub(placed),
        }
    }

    /// Its address.
    pub fn id(&self) -> ObservationId {
        ObservationId { series: self.series.id(), page: self.page }
    }

    /// How many rows it held, placed or not.
    pub fn slots(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX).saturating_add(self.unplaced)
    }

    /// Whether it held no row at all.
    pub fn is_empty(&self) -> bool {
        self.slots() == 0
    }

    /// Whether it held rows of which none can be placed: it may be another answer, so that it says nothing of its ranks.
    pub fn says_nothing(&self) -> bool {
        self.rows.is_empty() && self.unplaced >= UNPLACED_ROWS
    }

    /// How many of a page's places held nothing; a full page of `size` has none.
    pub fn free(&self, size: u32) -> u32 {
        size.saturating_sub(self.slots())
    }

    /// The rows, oldest first as far as the service keeps its order.
    pub fn oldest_first(&self) -> Vec<RowKey> {
        let mut rows = self.rows.clone();
        if self.series.is_newest_first {
            rows.reverse();
        }
        rows
    }
}

/// What the kernel is to be strict about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Places on a page.
    pub page_size: u32,
    /// Seconds between two observations from which they are two witnesses of an end, of emptiness, or of a leap.
    pub confirm_after: i64,
    /// Rows that bracket a second on each side; one that has a wrong date then proves nothing where it is 2.
    pub witnesses: usize,
    /// A scan without rows is explained up to so many times the mean distance of the rows beside it; 0 asks for a second
    /// witness of every one.
    pub leap: i64,
    /// Looks around short pages that must have found nothing before short pages are believed.
    pub looks: u32,
    /// Whether so many are known to have found nothing elsewhere.
    pub is_habit: bool,
}

impl Rules {
    /// As the documented service is judged.
    pub const USUAL: Self =
        Self { page_size: SOURCE.page_size, confirm_after: 120, witnesses: 1, leap: 16, looks: 20, is_habit: false };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::event::ScanReason;
    use crate::plan::fact::{PageAddress, VideoKey, WindowId};

    fn fact(purpose: Purpose, page: u32, slots: u32) -> PageFact {
        let row = |second| RowKey { second: EpochSeconds::new(second), video: VideoKey(second as u64) };
        let address = PageAddress { region: "US".parse().unwrap(), purpose, page: PageNumber::new(page).unwrap() };
        PageFact {
            address,
            fetched_at: EpochSeconds::new(99),
            slots,
            rows: vec![row(5), row(7)],
            check: Default::default(),
        }
    }

    fn scan(why: ScanReason) -> Scan {
        let (asked_min, asked_max) = (EpochSeconds::new(4), EpochSeconds::new(10));
        Scan { number: 2, anchor: EpochSeconds::new(5), asked_min, asked_max, started_at: asked_max, why }
    }

    #[test]
    fn a_page_of_a_walk_holds_the_ranks_of_its_number() {
        let fact = fact(Purpose::Walk { window: WindowId(1), scan: 2 }, 3, 3);
        let series = Series::of_scan(
            (&fact.address.region, fact.address.purpose),
            &scan(ScanReason::First),
            EpochSeconds::new(10),
        );
        let page = Observation::of(&fact, series, Turn::InTurn);
        assert_eq!((page.page.get(), page.unplaced, page.slots(), page.free(10)), (3, 1, 3, 7));
        assert_eq!(page.series.sure, TimeRange::new(EpochSeconds::new(5), EpochSeconds::new(10)));
        assert_eq!(page.oldest_first(), fact.rows);
    }

    #[test]
    fn the_newest_page_is_the_first_of_its_scan_whichever_question_it_was() {
        let fact = fact(Purpose::Newest, 4, 2);
        let range = TimeRange::new(EpochSeconds::new(0), EpochSeconds::new(10));
        let page = Observation::of(&fact, Series::of_end(&fact, range), Turn::InTurn);
        assert_eq!((page.page, page.series.question), (PageNumber::FIRST, 4));
        assert_eq!(page.oldest_first().first(), fact.rows.last());
    }

    #[test]
    fn a_scan_from_the_end_is_read_newest_first() {
        let fact = fact(Purpose::Walk { window: WindowId(1), scan: 2 }, 1, 2);
        let series = Series::of_scan(
            (&fact.address.region, fact.address.purpose),
            &scan(ScanReason::FromEnd),
            EpochSeconds::new(6),
        );
        assert!(series.is_newest_first && series.sure.seconds() == 1);
    }
}
