//! What a run reads of each region: the asked range, without what need not be read. Pure.

use serde::{Deserialize, Serialize};

use crate::api::contract::Region;
use crate::units::{EpochSeconds, TimeRange};

pub use crate::choices::Reread;

/// What a run reads of one region it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reads {
    /// The region.
    pub region: Region,
    /// The seconds, in order, apart from each other; none where everything is there already.
    pub ranges: Vec<TimeRange>,
    /// What other runs read of the same region at the same time.
    #[serde(default, skip_serializing_if = "Beside::is_nothing")]
    pub beside: Beside,
}

/// What other runs read of a region beside what this one reads of it: its neighbours' time. Where they meet is no end of the region's
/// rows, so nothing is spent on proving one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// Whether they read what lies right before.
    pub before: bool,
    /// Up to where they read what lies right after: pages are asked for up to there, and a row of that time proves, as a row beyond any
    /// window does, that this run's own time is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<EpochSeconds>,
}

impl Beside {
    /// Whether nobody else reads anything.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// The seconds between a region's first and last that a run has not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotRead {
    /// All of them: gaps, what is kept of former runs, and what was left.
    pub all: Vec<TimeRange>,
    /// Those that were left when the run was closed.
    pub left: Vec<TimeRange>,
    /// Those that it has read in part, or may have: gaps, and what is unproven.
    pub in_part: Vec<TimeRange>,
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
        Self { region, ranges: vec![range], beside: Beside::default() }
    }

    /// What is read of `range` where these seconds are kept as they are; they may come in any order and overlap.
    pub fn of(region: Region, range: TimeRange, kept: &[TimeRange]) -> Self {
        Self { region, ranges: range.without(kept), beside: Beside::default() }
    }

    /// From the first second that is read to the last, or to the last of those who read what lies after; empty, at `from`, where
    /// nothing is read.
    pub fn hull(&self, from: EpochSeconds) -> TimeRange {
        match (self.ranges.first(), self.ranges.last()) {
            (Some(first), Some(last)) => {
                TimeRange::new(first.start, self.beside.after.map_or(last.end, |after| after.max(last.end)))
            }
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
        let reads = Reads { region: "US".parse().unwrap(), ranges: vec![], beside: Beside::default() };
        assert_eq!((reads.hull(EpochSeconds::new(7)), reads.kept()), (range(7, 7), vec![]));
        let reads = Reads { ranges: vec![range(3, 5), range(8, 9)], ..reads };
        assert_eq!((reads.hull(EpochSeconds::new(7)), reads.kept()), (range(3, 9), vec![range(5, 8)]));
        let beside = Beside { before: true, after: Some(EpochSeconds::new(20)) };
        let reads = Reads { beside, ..reads };
        assert_eq!((reads.hull(EpochSeconds::new(7)), reads.kept()), (range(3, 20), vec![range(5, 8), range(9, 20)]));
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
