//! Which seconds an output holds, and when each of them was read: the union of all runs. Pure.
//!
//! A second is read by one run, the last that read it; what lies between is a hole. Nothing is ever forgotten because a later run does
//! not ask for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::contract::Region;
use crate::units::{EpochSeconds, TimeRange};

/// Seconds that one run has read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// The first second.
    pub start: EpochSeconds,
    /// The first second after.
    pub end: EpochSeconds,
    /// When the run began: nothing of it was read before that.
    pub read_at: EpochSeconds,
    /// The run.
    pub run: String,
}

/// A run, as far as it matters to what it has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader<'a> {
    /// Its name.
    pub run: &'a str,
    /// When it began.
    pub at: EpochSeconds,
}

/// For each region, its stretches in order, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Coverage(BTreeMap<Region, Vec<Stretch>>);

impl Stretch {
    /// Its seconds.
    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.start, self.end)
    }

    fn within(&self, range: TimeRange) -> Self {
        Self { start: range.start, end: range.end, ..self.clone() }
    }
}

impl Coverage {
    /// The regions of which anything was ever asked.
    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        self.0.keys()
    }

    /// A region's stretches, in order.
    pub fn stretches(&self, region: &Region) -> &[Stretch] {
        self.0.get(region).map_or(&[], Vec::as_slice)
    }

    /// The seconds of a region that were read, in order; stretches that touch are one.
    pub fn of(&self, region: &Region) -> Vec<TimeRange> {
        TimeRange::merged(&self.stretches(region).iter().map(Stretch::range).collect::<Vec<_>>())
    }

    /// The seconds of a region that a run has read, in order.
    pub fn of_run(&self, region: &Region, run: &str) -> Vec<TimeRange> {
        self.of_those(region, |reader| reader == run)
    }

    /// The seconds of a region that other runs have read, in order.
    pub fn of_others(&self, region: &Region, run: &str) -> Vec<TimeRange> {
        self.of_those(region, |reader| reader != run)
    }

    fn of_those(&self, region: &Region, is_wanted: impl Fn(&str) -> bool) -> Vec<TimeRange> {
        let wanted = self.stretches(region).iter().filter(|stretch| is_wanted(&stretch.run));
        TimeRange::merged(&wanted.map(Stretch::range).collect::<Vec<_>>())
    }

    /// The seconds between the first and the last of a region that nobody has read.
    pub fn holes(&self, region: &Region) -> Vec<TimeRange> {
        let read = self.of(region);
        match (read.first(), read.last()) {
            (Some(first), Some(last)) => TimeRange::new(first.start, last.end).without(&read),
            _ => Vec::new(),
        }
    }

    /// A region is asked for, whether or not anything of it is read yet.
    pub fn ask(&mut self, region: &Region) {
        self.0.entry(region.clone()).or_default();
    }

    /// A run has read these seconds; whoever had read them before has not any more.
    pub fn read(&mut self, region: &Region, ranges: &[TimeRange], by: Reader<'_>) {
        self.lose(region, ranges);
        let stretches = self.0.entry(region.clone()).or_default();
        let added = ranges.iter().filter(|range| !range.is_empty());
        stretches.extend(added.map(|range| Stretch {
            start: range.start,
            end: range.end,
            read_at: by.at,
            run: by.run.to_owned(),
        }));
        join(stretches);
    }

    /// Of these seconds, what another coverage says counts.
    pub fn take_in(&mut self, region: &Region, range: TimeRange, other: &Self) {
        self.lose(region, &[range]);
        let stretches = self.0.entry(region.clone()).or_default();
        let within = other.stretches(region).iter().map(|stretch| stretch.within(stretch.range().intersection(range)));
        stretches.extend(within.filter(|stretch| !stretch.range().is_empty()));
        join(stretches);
    }

    /// These seconds are not there any more.
    pub fn lose(&mut self, region: &Region, ranges: &[TimeRange]) {
        if let Some(stretches) = self.0.get_mut(region) {
            let left = |stretch: &Stretch| {
                stretch.range().without(ranges).into_iter().map(|range| stretch.within(range)).collect::<Vec<_>>()
            };
            *stretches = stretches.iter().flat_map(left).collect();
        }
    }

    /// What a run had read of these seconds is not there any more; what others had, is.
    pub fn lose_of(&mut self, region: &Region, ranges: &[TimeRange], run: &str) {
        let own = self.of_run(region, run);
        let lost = own.iter().flat_map(|own| ranges.iter().map(|range| range.intersection(*own))).collect::<Vec<_>>();
        self.lose(region, &lost);
    }
}

/// Puts stretches in order, and makes one of neighbours that one run has read.
fn join(stretches: &mut Vec<Stretch>) {
    stretches.sort_by_key(|stretch| (stretch.start, stretch.end));
    let sorted = std::mem::take(stretches);
    for stretch in sorted {
        match stretches.last_mut() {
            Some(last) if last.run == stretch.run && last.read_at == stretch.read_at && stretch.start <= last.end => {
                last.end = last.end.max(stretch.end);
            }
            _ => stretches.push(stretch),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn us() -> Region {
        "US".parse().unwrap()
    }

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
    }

    fn night(number: i64) -> (String, EpochSeconds) {
        (format!("r{number}"), EpochSeconds::new(number * 100))
    }

    fn reads(coverage: &mut Coverage, number: i64, ranges: &[TimeRange]) {
        let (run, at) = night(number);
        coverage.read(&us(), ranges, Reader { run: &run, at });
    }

    fn told(coverage: &Coverage) -> Vec<(i64, i64, i64)> {
        let stretches = coverage.stretches(&us()).iter();
        stretches.map(|one| (one.start.get(), one.end.get(), one.read_at.get() / 100)).collect()
    }

    #[test]
    fn nights_leave_the_time_at_which_each_second_was_last_read() {
        let mut coverage = Coverage::default();
        for number in [7, 8, 9, 20] {
            reads(&mut coverage, number, &[range((number - 7) * 10, number * 10)]);
        }
        assert_eq!(told(&coverage), [(0, 10, 7), (10, 20, 8), (20, 90, 9), (130, 200, 20)]);
        assert_eq!(coverage.holes(&us()), [range(90, 130)], "ten nights were missed");
        reads(&mut coverage, 21, &[range(85, 140)]);
        assert_eq!(coverage.holes(&us()), []);
        assert_eq!(told(&coverage)[3..], [(85, 140, 21), (140, 200, 20)]);
    }

    #[test]
    fn slices_of_one_run_are_one_stretch() {
        let mut coverage = Coverage::default();
        for start in [0, 20, 10] {
            reads(&mut coverage, 1, &[range(start, start + 10)]);
        }
        assert_eq!(told(&coverage), [(0, 30, 1)]);
        assert_eq!(coverage.of_others(&us(), "r1"), []);
        assert_eq!(coverage.of_others(&us(), "r2"), [range(0, 30)]);
    }

    #[test]
    fn what_is_lost_of_a_run_leaves_what_others_have_read() {
        let mut coverage = Coverage::default();
        reads(&mut coverage, 1, &[range(0, 30)]);
        reads(&mut coverage, 2, &[range(10, 20)]);
        coverage.lose_of(&us(), &[range(5, 15)], "r2");
        assert_eq!(told(&coverage), [(0, 10, 1), (15, 20, 2), (20, 30, 1)]);
        coverage.lose(&us(), &[range(0, 100)]);
        assert_eq!(told(&coverage), []);
        assert_eq!(coverage.regions().collect::<Vec<_>>(), [&us()], "that it was asked is known all the same");
    }

    proptest! {
        /// Against a table of seconds.
        #[test]
        fn each_second_is_of_the_run_that_read_it_last(steps in prop::collection::vec((0..60_i64, 0..30_i64, prop::bool::ANY), 0..12)) {
            let mut coverage = Coverage::default();
            let mut table: BTreeMap<i64, i64> = BTreeMap::new();
            for (number, (start, length, loses)) in steps.into_iter().enumerate() {
                let number = i64::try_from(number).unwrap();
                if loses {
                    coverage.lose(&us(), &[range(start, start + length)]);
                    table.retain(|second, _| *second < start || *second >= start + length);
                } else {
                    reads(&mut coverage, number, &[range(start, start + length)]);
                    table.extend((start..start + length).map(|second| (second, number)));
                }
            }
            let told = told(&coverage);
            for second in 0..100 {
                let of: Vec<i64> = told.iter().filter(|(start, end, _)| (*start..*end).contains(&second)).map(|one| one.2).collect();
                prop_assert_eq!(of, table.get(&second).copied().into_iter().collect::<Vec<_>>());
            }
            prop_assert!(told.iter().zip(told.iter().skip(1)).all(|(one, next)| one.1 <= next.0));
            let read = coverage.of(&us());
            let seconds: i64 = read.iter().copied().map(TimeRange::seconds).sum();
            prop_assert_eq!(seconds, i64::try_from(table.len()).unwrap());
        }
    }
}
