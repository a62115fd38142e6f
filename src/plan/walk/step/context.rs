//! What a walk's decision may look at beside the walk itself.

use crate::plan::fact::RowKey;
use crate::units::{EpochSeconds, TimeRange};

pub use crate::choices::{Consistency, Tuning};

/// What a decision may look at beside the walk itself.
#[derive(Clone, Debug)]
pub struct WalkContext<'a> {
    /// The moment of the decision.
    pub now: EpochSeconds,
    /// What a person may set of it.
    pub tuning: Tuning,
    /// What the numbers of pages have shown.
    pub pages: Pages,
    /// What short pages have shown.
    pub short: Short,
    /// In which order rows come.
    pub order: RowOrder,
    /// How the asked bounds are kept to.
    pub bounds: BoundsKept,
    /// The end of the run's range.
    pub run_end: EpochSeconds,
    /// The newest rows of the region.
    pub newest: NewestRows<'a>,
}

/// What the numbers of the service's pages have shown.
#[derive(Clone, Copy, Debug)]
pub struct Pages {
    /// The last page that the service serves.
    pub cap: u32,
    /// The largest number of a page that held rows.
    pub deepest: u32,
    /// Pages that were their predecessor without the first row, in all walks.
    pub shifted: u32,
    /// `page_num` is known to count pages.
    pub are_counted: bool,
}

/// What short pages of the service have shown.
#[derive(Clone, Copy, Debug)]
pub struct Short {
    /// Short pages are this service's habit and prove nothing.
    pub is_habit: bool,
    /// Pages with free places were followed by rows.
    pub followed: u32,
    /// Short pages hide rows here, and looking around them shows too few of them.
    pub is_hopeless: bool,
    /// Short pages have hidden rows, or may have.
    pub pages_hide: bool,
    /// Short or empty pages have hidden rows.
    pub service_hides: bool,
}

/// In which order the service's rows come.
#[derive(Clone, Copy, Debug)]
pub struct RowOrder {
    /// Pages have shown that rows come in ascending order.
    pub is_proven: bool,
    /// The run has given the sort up.
    pub sort_ignored: bool,
}

/// How the service keeps to the asked bounds.
#[derive(Clone, Copy, Debug)]
pub struct BoundsKept {
    /// The service does not keep to the lower bound, as is journalled, or as it seems.
    pub min_is_loose: bool,
    /// As it seems.
    pub min_seems_loose: bool,
    /// Another page that lies before what was asked is worth its price.
    pub may_read_early: bool,
    /// Nothing has shown that a scan begins with its anchor's rows, and this walk is to.
    pub proves_anchor: bool,
    /// The lower bound is known to be inclusive.
    pub min_is_inclusive: bool,
    /// The upper bound is known to be inclusive.
    pub max_is_inclusive: bool,
}

/// The newest rows of a region.
#[derive(Clone, Copy, Debug)]
pub struct NewestRows<'a> {
    /// The newest second of the region that any page showed.
    pub known: Option<EpochSeconds>,
    /// The newest second that the descending page showed: an end there needs no second look.
    pub probed: Option<EpochSeconds>,
    /// The rows of the descending page.
    pub rows: &'a [RowKey],
    /// Those of the last one by which the end was confirmed; empty where none was.
    pub confirmed_rows: &'a [RowKey],
}

impl WalkContext<'_> {
    /// Whether a row of these seconds has been seen, as far as the region as a whole shows.
    pub fn knows_a_row_of(&self, range: TimeRange) -> bool {
        let known = self.newest.known.into_iter().chain(self.newest.rows.iter().map(|row| row.second));
        known.into_iter().any(|second| range.contains(second))
    }
}
