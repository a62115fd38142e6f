//! What a walk's decision may look at beside the walk itself.

use crate::plan::fact::RowKey;
use crate::units::{EpochSeconds, TimeRange};

/// How a walk trades credits for immunity to rows that come and go while it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Re-anchors when it is nearly free: the default.
    #[default]
    Anchored,
    /// Re-anchors after every page; from 12 % more credits up to twice as many.
    Atomic,
    /// Re-anchors at the cap alone; the fewest credits.
    Deep,
}

/// What a decision may look at beside the walk itself.
#[derive(Clone, Debug)]
pub struct WalkContext<'a> {
    /// The moment of the decision.
    pub now: EpochSeconds,
    /// The least pages of a stretch before a scheduled anchor.
    pub anchor_pages: u32,
    /// Pages that a window should hold.
    pub window_pages: u32,
    /// The age in seconds at which a stretch is left.
    pub stretch_age: i64,
    /// The level that was asked.
    pub consistency: Consistency,
    /// How far apart two answers must be to be two witnesses, seconds; with 0 nothing is confirmed.
    pub confirm_after: i64,
    /// The last page that the service serves.
    pub cap: u32,
    /// The largest number of a page that held rows.
    pub deepest_page: u32,
    /// Short pages are this service's habit and prove nothing.
    pub short_is_habit: bool,
    /// Pages that were their predecessor without the first row, in all walks.
    pub shifted_pages: u32,
    /// `page_num` is known to count pages.
    pub pages_are_counted: bool,
    /// Pages with free places were followed by rows.
    pub short_pages: u32,
    /// Short pages hide rows here, and looking around them shows too few of them.
    pub short_is_hopeless: bool,
    /// Short pages have hidden rows, or may have.
    pub short_pages_hide: bool,
    /// Short or empty pages have hidden rows.
    pub service_hides: bool,
    /// Pages have shown that rows come in ascending order.
    pub order_is_proven: bool,
    /// The run has given the sort up.
    pub sort_ignored: bool,
    /// The service does not keep to the lower bound, as is journalled, or as it seems.
    pub min_is_loose: bool,
    /// As it seems.
    pub min_seems_loose: bool,
    /// Another page that lies before what was asked is worth its price.
    pub may_read_early: bool,
    /// Nothing has shown that a stretch begins with its anchor's rows, and this walk is to.
    pub proves_anchor: bool,
    /// The lower bound is known to be inclusive.
    pub min_is_inclusive: bool,
    /// The upper bound is known to be inclusive.
    pub max_is_inclusive: bool,
    /// The end of the run's range.
    pub run_end: EpochSeconds,
    /// The newest second of the region that any page showed.
    pub known_newest: Option<EpochSeconds>,
    /// The newest second that the descending page showed: an end there needs no second look.
    pub probed_newest: Option<EpochSeconds>,
    /// The rows of the descending page.
    pub newest_rows: &'a [RowKey],
    /// Those of the last one by which the end was confirmed; empty where none was.
    pub confirmed_newest_rows: &'a [RowKey],
}

impl WalkContext<'_> {
    /// Whether a row of these seconds has been seen, as far as the region as a whole shows.
    pub fn knows_a_row_of(&self, range: TimeRange) -> bool {
        let known = self.known_newest.into_iter().chain(self.newest_rows.iter().map(|row| row.second));
        known.into_iter().any(|second| range.contains(second))
    }
}
