//! Where pages are placed, so that each page of rows is equally likely, also one of rows that are not in the output. Pure; dice are handed in.
//!
//! A page that is placed at a random row of the output never falls into time that lost all its rows, and one at a random second seldom falls
//! into a dense second. So pages begin at random rows; in holes, at any of their seconds; and a few at any second at all. A hole is a stretch
//! without rows which chance does not explain among the rows around it, and weighs as many rows as stand on the average in as much time
//! on either side of it. What holes and time add makes each page of rows so much less likely than among the rows alone: that is the
//! frame's [`Frame::inflation`], and both the pages that are needed and the bound are larger by it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::api::contract::Region;
use crate::units::{EpochSeconds, TimeRange};

/// Seconds with rows on either side of a hole that tell how many rows should be in it.
const AROUND: usize = 20;
/// Rows that should be in a hole, at the least: among rows that come by chance, one interval of 160,000 is so long.
const HOLE_ROWS: f64 = 12.0;
/// Holes of an output that are looked into, the largest first.
const MOST_HOLES: usize = 20_000;
/// The most that all holes together weigh, as a share of the rows: nights and ends are holes too.
const MOST_HOLES_WEIGH: f64 = 0.5;
/// What time alone weighs, as a share of the rows.
const TIME_WEIGHS: f64 = 0.04;

/// A region's seconds that are looked at: in order, apart from each other, none of them empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) region: Region,
    pub(super) ranges: Vec<TimeRange>,
}

impl Scope {
    /// The stretch that a second lies in.
    pub(super) fn range_of(&self, second: EpochSeconds) -> Option<TimeRange> {
        let after = self.ranges.partition_point(|range| range.end <= second);
        self.ranges.get(after).copied().filter(|range| range.contains(second))
    }

    fn hull(&self) -> TimeRange {
        let ends = self.ranges.first().zip(self.ranges.last());
        ends.map_or_else(
            || TimeRange::new(EpochSeconds::MAX, EpochSeconds::MAX),
            |(first, last)| TimeRange::new(first.start, last.end),
        )
    }

    fn within(&self, range: TimeRange) -> impl Iterator<Item = TimeRange> {
        let first = self.ranges.partition_point(|own| own.end <= range.start);
        let own = self.ranges.iter().skip(first).take_while(move |own| own.start < range.end);
        own.map(move |own| own.intersection(range))
    }

    fn seconds_within(&self, range: TimeRange) -> i64 {
        self.within(range).map(TimeRange::seconds).sum()
    }

    /// A second of those that are looked at within a range, by a share of them.
    fn second_within(&self, range: TimeRange, share: f64) -> Option<EpochSeconds> {
        let mut left = i64::try_from(share_of(share, u64::try_from(self.seconds_within(range)).ok()?)).ok()?;
        for both in self.within(range) {
            if left < both.seconds() {
                return Some(both.start.shifted(left));
            }
            left -= both.seconds();
        }
        None
    }
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At a row of the output: its number among those of the region that are looked at, in the order of time, from 0.
    Row(u64),
    /// At a second, wherever rows are.
    Second(EpochSeconds),
}

/// A page's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The region, as the number of its scope.
    pub(super) scope: usize,
    pub(super) start: Start,
}

/// A stretch without rows, where rows should be.
#[derive(Clone, Copy, Debug)]
struct Hole {
    scope: usize,
    range: TimeRange,
    /// How many.
    rows: f64,
}

/// All seconds that are looked at, and what they weigh.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    scopes: Vec<Scope>,
    /// Rows of each scope.
    rows: Vec<u64>,
    holes: Vec<Hole>,
    /// What a row weighs that should be in a hole.
    hole_weight: f64,
}

impl Frame {
    /// The frame of these scopes, whose rows were counted.
    pub(super) fn new(counted: Vec<Census>) -> Self {
        let mut frame = Self { scopes: Vec::new(), rows: Vec::new(), holes: Vec::new(), hole_weight: 1.0 };
        for (number, census) in counted.into_iter().enumerate() {
            let Census { scope, rows, holes, .. } = census.finished();
            let holes = holes.into_iter().map(|Reverse(Largest(hole))| Hole { scope: number, ..hole });
            frame.holes.extend(holes);
            frame.rows.push(rows);
            frame.scopes.push(scope);
        }
        let holes: f64 = frame.holes.iter().map(|hole| hole.rows).sum();
        let most = MOST_HOLES_WEIGH * as_float(frame.rows());
        frame.hole_weight = if holes > most { most / holes } else { 1.0 };
        frame
    }

    /// Rows of the output that are looked at.
    pub(super) fn rows(&self) -> u64 {
        self.rows.iter().sum()
    }

    /// How much more the frame weighs than the rows of the output; 1 where there are no rows, and only time is looked at.
    pub(super) fn inflation(&self) -> f64 {
        if self.rows() == 0 { 1.0 } else { 1.0 + TIME_WEIGHS + self.holes_weigh() / as_float(self.rows()) }
    }

    /// A place for dice in `0..1`; none where no second is looked at.
    pub(super) fn place(&self, mut dice: impl FnMut() -> f64) -> Option<Place> {
        let rows = as_float(self.rows());
        let mut left = dice() * (rows * (1.0 + TIME_WEIGHS) + self.holes_weigh());
        if left < rows {
            return self.row(share_of(left / rows, self.rows()));
        }
        left -= rows;
        for hole in &self.holes {
            let weight = hole.rows * self.hole_weight;
            if left < weight {
                let second = self.scopes.get(hole.scope)?.second_within(hole.range, dice())?;
                return Some(Place { scope: hole.scope, start: Start::Second(second) });
            }
            left -= weight;
        }
        self.second(dice())
    }

    fn holes_weigh(&self) -> f64 {
        self.holes.iter().map(|hole| hole.rows).sum::<f64>() * self.hole_weight
    }

    fn row(&self, mut number: u64) -> Option<Place> {
        for (scope, rows) in self.rows.iter().enumerate() {
            if number < *rows {
                return Some(Place { scope, start: Start::Row(number) });
            }
            number -= rows;
        }
        None
    }

    /// Any second at all, by a share of them.
    fn second(&self, share: f64) -> Option<Place> {
        let seconds = |scope: &Scope| u64::try_from(scope.seconds_within(scope.hull())).unwrap_or(0);
        let mut left = share_of(share, self.scopes.iter().map(seconds).sum());
        for (number, scope) in self.scopes.iter().enumerate() {
            let own = seconds(scope);
            if left < own {
                let second = scope.second_within(scope.hull(), (as_float(left) + 0.5) / as_float(own))?;
                return Some(Place { scope: number, start: Start::Second(second) });
            }
            left -= own;
        }
        None
    }
}

/// A hole that is ordered by its rows, of equal ones by its time.
#[derive(Clone, Copy, Debug)]
struct Largest(Hole);

impl PartialEq for Largest {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Largest {}

impl PartialOrd for Largest {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Largest {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.rows.total_cmp(&other.0.rows).then(self.0.range.cmp(&other.0.range))
    }
}

/// The rows of one scope while they go by in the order of time: how many there are, and the holes between them.
#[derive(Debug)]
pub(super) struct Census {
    scope: Scope,
    rows: u64,
    /// The last seconds with rows, and how many each has; at most twice [`AROUND`].
    recent: VecDeque<(EpochSeconds, u64)>,
    /// Whether the interval before the first of them was looked at, and those up to the middle.
    is_begun: bool,
    /// The largest, at most [`MOST_HOLES`].
    holes: BinaryHeap<Reverse<Largest>>,
}

impl Census {
    pub(super) fn of(scope: Scope) -> Self {
        Self { scope, rows: 0, recent: VecDeque::new(), is_begun: false, holes: BinaryHeap::new() }
    }

    /// The next row goes by; one outside the scope is passed over.
    pub(super) fn row(&mut self, second: EpochSeconds) {
        if self.scope.range_of(second).is_none() {
            return;
        }
        self.rows += 1;
        match self.recent.back_mut() {
            Some((last, rows)) if *last == second => {
                *rows += 1;
                return;
            }
            _ => {}
        }
        if self.recent.len() == 2 * AROUND {
            self.begin();
            self.look_after(AROUND - 1);
            self.recent.pop_front();
        }
        self.recent.push_back((second, 1));
    }

    fn finished(mut self) -> Self {
        self.begin();
        for place in (AROUND - 1).min(self.recent.len())..self.recent.len() {
            self.look_after(place);
        }
        self
    }

    /// Looks at the intervals before the first that has enough on either side.
    fn begin(&mut self) {
        if std::mem::replace(&mut self.is_begun, true) {
            return;
        }
        if let Some((first, _)) = self.recent.front().copied() {
            let range = TimeRange::new(self.scope.hull().start, first);
            self.look_at(range, (None, self.density(0, AROUND)));
        }
        for place in 0..(AROUND - 1).min(self.recent.len()) {
            self.look_after(place);
        }
    }

    /// Looks at the interval after one of the recent seconds.
    fn look_after(&mut self, place: usize) {
        let Some((before, _)) = self.recent.get(place).copied() else { return };
        let after = self.recent.get(place + 1).map_or(self.scope.hull().end, |(after, _)| *after);
        let densities =
            (self.density((place + 1).saturating_sub(AROUND), place + 1), self.density(place + 1, place + 1 + AROUND));
        self.look_at(TimeRange::new(before.shifted(1), after), densities);
    }

    /// Rows a second between some of the recent seconds: as many seconds with rows, each with as many rows as the one in the middle. A
    /// second with very many rows says nothing of those beside it.
    fn density(&self, from: usize, to: usize) -> Option<f64> {
        let seconds: Vec<(EpochSeconds, u64)> = self.recent.range(from..to.min(self.recent.len())).copied().collect();
        let span = seconds.last()?.0.since(seconds.first()?.0);
        let mut rows: Vec<u64> = seconds.iter().map(|(_, rows)| *rows).collect();
        rows.sort_unstable();
        let usual = rows.get(rows.len() / 2).copied()?;
        (span > 0).then(|| as_float(usual) * as_float(seconds.len() as u64 - 1) / as_float(span.unsigned_abs()))
    }

    fn look_at(&mut self, range: TimeRange, (before, after): (Option<f64>, Option<f64>)) {
        // Beyond an end nothing is.
        let density = f64::midpoint(before.unwrap_or(0.0), after.unwrap_or(0.0));
        let seconds = self.scope.seconds_within(range);
        let rows = density * as_float(u64::try_from(seconds).unwrap_or(0));
        if rows < HOLE_ROWS {
            return;
        }
        self.holes.push(Reverse(Largest(Hole { scope: 0, range, rows })));
        if self.holes.len() > MOST_HOLES {
            self.holes.pop();
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "rows and seconds are far below 2^52")]
fn as_float(count: u64) -> f64 {
    count as f64
}

/// A whole number below `count`, by a share of it; 0 where there is none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share in 0..1 of a count far below 2^52"
)]
fn share_of(share: f64, count: u64) -> u64 {
    ((share * as_float(count)) as u64).min(count.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::audit::testing::{dice, range};

    fn frame(ranges: &[TimeRange], seconds: &[i64]) -> Frame {
        let mut census = Census::of(Scope { region: "US".parse().unwrap(), ranges: ranges.to_vec() });
        seconds.iter().for_each(|second| census.row(EpochSeconds::new(*second)));
        Frame::new(vec![census])
    }

    /// The seconds where pages are placed; a row stands for its own.
    fn places(frame: &Frame, seconds: &[i64], count: usize) -> Vec<i64> {
        let mut dice = dice(7);
        let second = |place: Place| match place.start {
            Start::Row(number) => seconds[usize::try_from(number).unwrap()],
            Start::Second(second) => second.get(),
        };
        (0..count).map(|_| second(frame.place(&mut dice).unwrap())).collect()
    }

    #[test]
    fn evenly_spread_rows_cost_next_to_nothing_more() {
        let seconds: Vec<i64> = (0..20_000).map(|number| number * 50).collect();
        let frame = frame(&[range(0, 1_000_000)], &seconds);
        assert!((1.0..1.05).contains(&frame.inflation()), "{}", frame.inflation());
        let early = places(&frame, &seconds, 4_000).into_iter().filter(|second| *second < 100_000).count();
        assert!((320..480).contains(&early), "a tenth of the time has a tenth of the places: {early}");
    }

    #[test]
    fn a_hole_among_rows_is_looked_at_as_if_its_rows_were_there() {
        for length in [1_000, 10_000, 100_000, 300_000] {
            let hole = range(500_000, 500_000 + length);
            let there = (0..20_000).map(|number| number * 50);
            let seconds: Vec<i64> = there.filter(|second| !hole.contains(EpochSeconds::new(*second))).collect();
            let frame = frame(&[range(0, 1_000_000)], &seconds);
            let inside = places(&frame, &seconds, 40_000).into_iter();
            let inside = inside.filter(|second| hole.contains(EpochSeconds::new(*second))).count() as i64;
            assert!(
                inside * 25 > length * 7 / 10,
                "{inside} of 40000 places for a hole of {length} seconds in 1000000"
            );
        }
    }

    #[test]
    fn what_is_before_the_first_row_and_after_the_last_is_looked_at_too() {
        let seconds: Vec<i64> = (3_000..7_000).map(|number| number * 100).collect();
        let frame = frame(&[range(0, 1_000_000)], &seconds);
        let places = places(&frame, &seconds, 4_000);
        let early = places.iter().filter(|second| **second < 299_900).count();
        let late = places.iter().filter(|second| **second > 700_000).count();
        assert!(early > 500 && late > 500, "{early} and {late}");
        assert!(frame.inflation() <= 1.0 + MOST_HOLES_WEIGH + TIME_WEIGHS + 1e-9, "{}", frame.inflation());
    }

    #[test]
    fn a_second_that_fills_pages_makes_no_holes_beside_it() {
        let seconds: Vec<i64> =
            (0..1_000).flat_map(|number| vec![number * 1_000; if number % 100 == 0 { 500 } else { 1 }]).collect();
        let frame = frame(&[range(0, 1_000_000)], &seconds);
        assert!(frame.inflation() < 1.1, "{}", frame.inflation());
    }

    #[test]
    fn what_is_not_looked_at_has_no_places() {
        let ranges = [range(0, 100), range(900, 1_000)];
        let seconds: Vec<i64> = (0..100).chain(400..600).chain(900..1_000).collect();
        let frame = frame(&ranges, &seconds);
        assert_eq!(frame.rows(), 200);
        let looked_at: Vec<i64> = (0..100).chain(900..1_000).collect();
        let inside = |second: &i64| ranges.iter().any(|range| range.contains(EpochSeconds::new(*second)));
        assert!(places(&frame, &looked_at, 1_000).iter().all(inside));
    }

    #[test]
    fn an_output_without_rows_is_looked_at_all_over() {
        let frame = frame(&[range(0, 1_000)], &[]);
        assert_eq!((frame.rows(), frame.inflation() as u64), (0, 1));
        let late = places(&frame, &[], 1_000).into_iter().filter(|second| *second >= 500).count();
        assert!((400..600).contains(&late), "{late}");
        assert!(Frame::new(vec![]).place(dice(1)).is_none());
    }
}
