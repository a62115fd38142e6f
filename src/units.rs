//! The quantities that travel between the stages, each a type of its own.
//!
//! A unit is checked where it is made and carries its name into every message. Nothing here knows about the service.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares a whole-number quantity: a transparent newtype that prints itself with its unit.
macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident($inner:ty), $unit:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name($inner);

        impl $name {
            /// Nothing of it.
            pub const ZERO: Self = Self(0);

            /// Wraps a plain number of this unit.
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }

            /// The plain number, in this unit.
            pub const fn get(self) -> $inner {
                self.0
            }

            /// The sum, held at the largest value instead of wrapping.
            pub const fn plus(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }

            /// The difference, held at the smallest value instead of wrapping.
            pub const fn minus(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}{}", self.0, $unit)
            }
        }
    };
}

quantity!(
    /// What the service charges: one credit a request (documented).
    Credits(u64), " credits"
);
quantity!(
    /// A number of rows.
    RowCount(u64), " rows"
);
quantity!(
    /// A number of pages, counted from nothing.
    PageCount(u64), " pages"
);
quantity!(
    /// A number of bytes.
    ByteCount(u64), " B"
);

/// A moment in whole seconds since 1970-01-01T00:00:00Z; prints as RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EpochSeconds(i64);

/// Seconds in a day of UTC, which has no leap seconds on this time line.
pub const DAY_SECONDS: i64 = 86_400;

impl EpochSeconds {
    /// The last second that prints as a four-digit year: 9999-12-30T22:00:00Z.
    pub const MAX: Self = Self(253_402_207_200);

    /// Wraps seconds since the epoch.
    pub const fn new(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// This moment moved by `seconds`, which may be negative; saturates.
    pub const fn shifted(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this moment; negative when it lies after.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The midnight UTC that begins this moment's day.
    pub const fn day_start(self) -> Self {
        Self(self.0.div_euclid(DAY_SECONDS) * DAY_SECONDS)
    }
}

impl fmt::Display for EpochSeconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(moment) => write!(formatter, "{moment}"),
            Err(_) => write!(formatter, "{} s since the epoch", self.0),
        }
    }
}

/// A half-open stretch of time, `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimeRange {
    /// The first second inside.
    pub start: EpochSeconds,
    /// The first second after.
    pub end: EpochSeconds,
}

impl TimeRange {
    /// All time that a row can be of.
    pub const EVER: Self = Self { start: EpochSeconds::new(i64::MIN), end: EpochSeconds::MAX };

    /// The range from `start` up to, not including, `end`; empty when `end` is not after `start`.
    pub const fn new(start: EpochSeconds, end: EpochSeconds) -> Self {
        Self { start, end }
    }

    /// How many seconds lie inside; never negative.
    pub fn seconds(self) -> i64 {
        self.end.since(self.start).max(0)
    }

    /// Whether no second lies inside.
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// Whether `moment` lies inside.
    pub fn contains(self, moment: EpochSeconds) -> bool {
        self.start <= moment && moment < self.end
    }

    /// Whether every second of `other` lies inside.
    pub fn covers(self, other: Self) -> bool {
        other.is_empty() || (self.start <= other.start && other.end <= self.end)
    }

    /// Whether the two share at least one second.
    pub fn overlaps(self, other: Self) -> bool {
        self.start.max(other.start) < self.end.min(other.end)
    }

    /// The seconds that both hold; empty where they do not meet.
    pub fn intersection(self, other: Self) -> Self {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// The seconds of all ranges, in order; those that touch or overlap are one.
    pub fn merged(ranges: &[Self]) -> Vec<Self> {
        let mut sorted: Vec<Self> = ranges.iter().copied().filter(|range| !range.is_empty()).collect();
        sorted.sort_unstable();
        sorted.into_iter().fold(Vec::new(), |mut merged: Vec<Self>, range| {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
            merged
        })
    }

    /// The seconds that none of `others` holds, in order. They may come in any order and overlap.
    pub fn without(self, others: &[Self]) -> Vec<Self> {
        let mut sorted: Vec<Self> = others.iter().copied().filter(|range| !range.is_empty()).collect();
        sorted.sort_unstable();
        let mut left = Vec::new();
        let mut next = self.start;
        for range in sorted {
            left.push(Self::new(next, range.start.min(self.end)));
            next = next.max(range.end);
        }
        left.push(Self::new(next, self.end));
        left.retain(|range| !range.is_empty());
        left
    }
}

impl fmt::Display for TimeRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{}, {})", self.start, self.end)
    }
}

/// The largest page number that the service answers (documented).
pub const LAST_PAGE: u32 = 100_000;

/// A page's place in its query: 1 to 100,000 (documented: "Page numbers start from 1 and go up to a maximum of 100,000").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PageNumber(u32);

/// A page number outside 1 to 100,000.
#[derive(Debug, thiserror::Error)]
#[error("page number {0} is not within 1 to {LAST_PAGE}")]
pub struct PageNumberError(u32);

impl PageNumber {
    /// The first page of every query.
    pub const FIRST: Self = Self(1);

    /// Checks that `number` is a page that the service may be asked for.
    ///
    /// # Errors
    /// When `number` is 0 or above 100,000.
    pub const fn new(number: u32) -> Result<Self, PageNumberError> {
        if number >= 1 && number <= LAST_PAGE { Ok(Self(number)) } else { Err(PageNumberError(number)) }
    }

    /// The plain number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The page after this one, or none at the service's cap.
    pub const fn next(self) -> Option<Self> {
        if self.0 < LAST_PAGE { Some(Self(self.0 + 1)) } else { None }
    }
}

impl TryFrom<u32> for PageNumber {
    type Error = PageNumberError;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        Self::new(number)
    }
}

impl From<PageNumber> for u32 {
    fn from(page: PageNumber) -> Self {
        page.0
    }
}

impl fmt::Display for PageNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "page {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
    }

    #[test]
    fn a_page_number_is_within_the_documented_bounds() {
        assert!(PageNumber::new(0).is_err());
        assert_eq!(PageNumber::new(1).unwrap(), PageNumber::FIRST);
        assert_eq!(PageNumber::new(LAST_PAGE).unwrap().next(), None);
        let text = PageNumber::new(LAST_PAGE + 1).unwrap_err().to_string();
        assert_eq!(text, "page number 100001 is not within 1 to 100000");
    }

    #[test]
    fn a_moment_prints_as_utc_and_knows_its_day() {
        let moment = EpochSeconds::new(1_767_213_318);
        assert_eq!(moment.to_string(), "2025-12-31T20:35:18Z");
        assert_eq!(moment.day_start().to_string(), "2025-12-31T00:00:00Z");
        assert_eq!(EpochSeconds::new(-1).day_start().get(), -DAY_SECONDS);
    }

    #[test]
    fn ranges_are_half_open() {
        assert!(range(1, 3).contains(EpochSeconds::new(2)));
        assert!(!range(1, 3).contains(EpochSeconds::new(3)));
        assert!(!range(1, 3).overlaps(range(3, 5)));
        assert!(range(1, 5).covers(range(2, 5)));
        assert_eq!(range(4, 1).seconds(), 0);
        assert!(range(1, 3).intersection(range(5, 6)).is_empty());
    }

    #[test]
    fn ranges_that_touch_or_overlap_are_one() {
        let merged = TimeRange::merged(&[range(5, 7), range(0, 2), range(2, 3), range(6, 9), range(4, 4), range(5, 6)]);
        assert_eq!(merged, [range(0, 3), range(5, 9)]);
        assert_eq!(TimeRange::merged(&[]), []);
    }

    #[test]
    fn what_is_left_of_a_range_is_named() {
        assert_eq!(range(0, 10).without(&[]), [range(0, 10)]);
        assert_eq!(range(0, 10).without(&[range(5, 20), range(-3, 2)]), [range(2, 5)]);
        assert_eq!(range(0, 10).without(&[range(0, 10)]), []);
        assert_eq!(range(0, 10).without(&[range(20, 30)]), [range(0, 10)]);
        assert_eq!(range(5, 5).without(&[]), []);
    }

    proptest! {
        #[test]
        fn each_second_is_either_taken_away_or_left(pairs in prop::collection::vec((0..60_i64, 0..60_i64), 0..8)) {
            let others: Vec<TimeRange> = pairs.into_iter().map(|(start, end)| range(start, end)).collect();
            let left = range(10, 50).without(&others);
            for second in (0..60).map(EpochSeconds::new) {
                let taken = others.iter().any(|range| range.contains(second));
                let expected = range(10, 50).contains(second) && !taken;
                prop_assert_eq!(left.iter().any(|range| range.contains(second)), expected);
            }
        }
    }
}
