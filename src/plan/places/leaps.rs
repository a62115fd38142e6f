//! Seconds without a row that the rows before them do not explain. Pure.

use super::{CountedRows, Places};
use crate::units::TimeRange;

/// A gap behind rows is odd from so many times their distance from each other on, ...
const ODD_LEAP: i64 = 8;
/// ... and so many such gaps of a region are read again, the widest first: a few, and one for so many rows, ...
const FEW_LEAPS: usize = 4;
const ROWS_A_LEAP: i64 = 200;
/// ... but no more than so many.
const MOST_LEAPS: usize = 40;

impl Places {
    /// Seconds without a row that are far wider than the rows before them explain, the widest first: an answer to another question may have
    /// come there.
    pub(in crate::plan) fn leaps(&self) -> Vec<TimeRange> {
        let (seconds, rows) = self.counted.values().fold((0, 0), |(seconds, rows), one| {
            (seconds + one.range.seconds(), rows + i64::try_from(one.rows).unwrap_or(i64::MAX))
        });
        let leap = |one: &CountedRows| {
            let rows_here = i64::try_from(one.rows).unwrap_or(i64::MAX);
            let (from, distance) = match one.last {
                // Of its last second, too, rows may be missing.
                Some(last) => (last, last.since(one.range.start) / rows_here.max(1)),
                None => (one.range.start, seconds / rows.max(1)),
            };
            let gap = TimeRange::new(from, one.range.end.max(from));
            let times = gap.seconds() / distance.max(1);
            (times >= ODD_LEAP && rows > 0).then_some((times, gap))
        };
        let mut leaps: Vec<(i64, TimeRange)> = self.counted.values().filter_map(leap).collect();
        leaps.sort_by_key(|(times, _)| std::cmp::Reverse(*times));
        let most = FEW_LEAPS.saturating_add(usize::try_from(rows / ROWS_A_LEAP).unwrap_or_default()).min(MOST_LEAPS);
        leaps.into_iter().map(|(_, gap)| gap).take(most).collect()
    }
}
