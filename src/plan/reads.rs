//! What a run reads of each region: the asked range, without what need not be read. Pure.

use serde::{Deserialize, Serialize};

use crate::api::contract::Region;
use crate::units::{EpochSeconds, TimeRange};

/// What a run reads of one region it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reads {
    /// The region.
    pub region: Region,
    /// The seconds, in order, apart from each other; none where everything is there already.
    pub ranges: Vec<TimeRange>,
}

/// The seconds between a region's first and last that a run has not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotRead {
    /// All of them: gaps, what is kept of former runs, and what was left.
    pub all: Vec<TimeRange>,
    /// Those that were left when the run was closed.
    pub left: Vec<TimeRange>,
}

impl NotRead {
    /// Whether something of the range was left.
    pub fn is_left(&self, range: TimeRange) -> bool {
        self.left.iter().any(|left| left.overlaps(range))
    }
}

impl Reads {
    /// A region that is read whole.
    pub fn whole(region: Region, range: TimeRange) -> Self {
        Self { region, ranges: vec![range] }
    }

    /// What is read of `range` where these seconds are kept as they are; they may come in any order and overlap.
    pub fn of(region: Region, range: TimeRange, kept: &[TimeRange]) -> Self {
        Self { region, ranges: range.without(kept) }
    }

    /// From the first second that is read to the last; empty, at `from`, where none is.
    pub fn hull(&self, from: EpochSeconds) -> TimeRange {
        match (self.ranges.first(), self.ranges.last()) {
            (Some(first), Some(last)) => TimeRange::new(first.start, last.end),
            _ => TimeRange::new(from, from),
        }
    }

    /// The seconds within the hull that are not read.
    pub fn kept(&self) -> Vec<TimeRange> {
        self.hull(EpochSeconds::new(0)).without(&self.ranges)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
    }

    fn of(kept: &[TimeRange]) -> Vec<TimeRange> {
        Reads::of("US".parse().unwrap(), range(10, 50), kept).ranges
    }

    #[test]
    fn what_is_not_kept_is_read() {
        assert_eq!(of(&[range(0, 20), range(30, 35)]), [range(20, 30), range(35, 50)]);
        assert_eq!(of(&[range(0, 60)]), []);
        assert_eq!(of(&[]), [range(10, 50)]);
    }

    #[test]
    fn a_region_of_which_nothing_is_read_has_an_empty_hull() {
        let reads = Reads { region: "US".parse().unwrap(), ranges: vec![] };
        assert_eq!((reads.hull(EpochSeconds::new(7)), reads.kept()), (range(7, 7), vec![]));
        let reads = Reads { ranges: vec![range(3, 5), range(8, 9)], ..reads };
        assert_eq!((reads.hull(EpochSeconds::new(7)), reads.kept()), (range(3, 9), vec![range(5, 8)]));
    }

    proptest! {
        #[test]
        fn each_second_of_the_range_is_read_or_kept_and_never_both(pairs in prop::collection::vec((0..60_i64, 0..60_i64), 0..8)) {
            let kept: Vec<TimeRange> = pairs.into_iter().map(|(start, end)| range(start, end)).collect();
            let read = of(&kept);
            for second in (10..50).map(EpochSeconds::new) {
                let is_kept = kept.iter().any(|range| range.contains(second));
                prop_assert_eq!(read.iter().filter(|range| range.contains(second)).count(), usize::from(!is_kept));
            }
        }
    }
}
