//! Whether lower bounds that are kept to at times can be rounded ones. Pure.

use crate::units::EpochSeconds;

/// What a service may round a time down to, seconds: a minute, an hour, a day.
const UNITS: [i64; 3] = [60, 3_600, 86_400];
/// So many of each are remembered.
const MOST: usize = 8;

/// Lower bounds that were asked, each with a row before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedMinimums {
    /// The row came, though it was not asked for.
    early: Vec<Between>,
    /// The row is known and did not come.
    kept: Vec<Between>,
    /// No rounding explains both: so answers to other questions come at times.
    pub is_mixed: bool,
    /// The bound was even kept to again after it was not. A service may well keep to bounds up to a moment, and never after it.
    pub alternates: bool,
}

/// From behind a row up to the asked bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Between {
    row: EpochSeconds,
    bound: EpochSeconds,
}

impl AskedMinimums {
    /// A row before the asked bound came.
    pub(super) fn early(&mut self, row: EpochSeconds, bound: EpochSeconds) {
        self.early.push(Between { row, bound });
        // The further before the bound, the more it rules out.
        self.early.sort_by_key(|between| between.row.since(between.bound));
        self.early.truncate(MOST);
        self.judge();
    }

    /// A row that is known before the asked bound did not come.
    pub(super) fn kept(&mut self, row: EpochSeconds, bound: EpochSeconds) {
        self.kept.push(Between { row, bound });
        self.kept.sort_by_key(|between| between.bound.since(between.row));
        self.kept.truncate(MOST);
        self.judge();
        self.alternates |= self.is_mixed;
    }

    fn judge(&mut self) {
        self.is_mixed |= !self.early.is_empty() && !self.kept.is_empty() && !UNITS.iter().any(|unit| self.fits(*unit));
    }

    /// Whether bounds that are rounded down to such a unit, wherever that begins, explain everything: one begins behind each row that did
    /// not come, and none behind one that came.
    fn fits(&self, unit: i64) -> bool {
        let ends = |between: &Between| {
            [between.row, between.row.shifted(1), between.bound, between.bound.shifted(1)].map(EpochSeconds::get)
        };
        self.early.iter().chain(&self.kept).flat_map(ends).any(|begins| {
            let begins_in = |between: &Between| {
                let number = |second: EpochSeconds| (second.get() - begins).div_euclid(unit);
                number(between.bound) > number(between.row)
            };
            self.kept.iter().all(begins_in) && !self.early.iter().any(begins_in)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn told(early: &[(i64, i64)], kept: &[(i64, i64)]) -> bool {
        let mut minimums = AskedMinimums::default();
        let at = EpochSeconds::new;
        early.iter().for_each(|(row, bound)| minimums.early(at(*row), at(*bound)));
        kept.iter().for_each(|(row, bound)| minimums.kept(at(*row), at(*bound)));
        minimums.is_mixed
    }

    #[test]
    fn a_bound_that_is_not_kept_to_from_some_moment_on_does_not_alternate() {
        let mut minimums = AskedMinimums::default();
        let at = EpochSeconds::new;
        minimums.kept(at(0), at(10 * DAY));
        minimums.early(at(0), at(DAY + 1));
        minimums.early(at(0), at(20 * DAY));
        assert!(minimums.is_mixed && !minimums.alternates, "it changed once");
        minimums.kept(at(0), at(10 * DAY));
        assert!(minimums.alternates, "and back");
    }

    #[test]
    fn bounds_that_are_rounded_or_never_kept_to_are_no_answers_to_other_questions() {
        assert!(!told(&[(0, 10 * DAY), (0, 20 * DAY)], &[]), "none is ever kept to");
        assert!(!told(&[], &[(0, 10 * DAY), (5, 6)]), "each is kept to");
        // Rounded to days that begin at two o'clock, to hours, and to minutes.
        assert!(!told(&[(7_200, DAY + 7_199), (DAY + 8_000, DAY + 8_100)], &[(7_199, 7_200), (7_000, 9_000)]));
        assert!(!told(&[(3_600, 7_199), (3_700, 3_800)], &[(3_599, 3_600), (100, 7_300)]));
        assert!(!told(&[(120, 179)], &[(119, 120), (3, 70)]));
    }

    #[test]
    fn what_no_rounding_explains_is_answers_to_other_questions() {
        assert!(told(&[(0, DAY + 1)], &[(0, 10 * DAY)]), "more than a day early");
        assert!(told(&[(1_000, 1_060)], &[(1_020, 1_030)]), "between them no unit begins");
        assert!(told(&[(1_000, 5_000)], &[(2_000, 2_010), (3_000, 3_010)]));
        assert!(told(&[(0, 3_700)], &[(50_000, 50_010), (70_000, 70_010)]), "days begin once a day");
    }
}
