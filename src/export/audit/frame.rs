//! Where pages are placed, so that each page of rows is equally likely, also one of rows that are not in the output. Pure; dice are handed in.
//!
//! A page that is placed at a random row of the output never falls into time that lost all its rows, and one at a random second seldom falls
//! into a dense second. So pages begin at random rows; in holes, at any of their seconds; and a few at any second at all. A hole is a stretch
//! without rows which chance does not explain among the rows around it, and weighs as many rows as stand on the average in as much time
//! on either side of it. A second that fills pages may have lost its last rows, behind the numbers of those that are known: the page behind
//! them weighs a quarter of them. What holes and time add makes each page of rows so much less likely than among the rows alone: that is the
//! frame's [`Frame::inflation`], and both the pages that are needed and the bound are larger by it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::api::contract::Region;
use crate::units::{EpochSeconds, TimeRange};

/// Seconds with rows on either side of a hole that tell how many rows should be in it.
const AROUND: usize = 20;
/// Rows that should be in a hole, at the least: among rows that come by chance, one interval of 160,000 is so long.
const HOLE_ROWS: f64 = 12.0;
/// Rows from which on a second fills pages, and what the page behind its last row weighs, as a share of them.
const DEEP_ROWS: u64 = 20;
const BEHIND_WEIGHS: f64 = 0.25;
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
    /// In a second that fills pages, behind so many rows of it.
    Behind(EpochSeconds, u64),
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
    /// The rows of its one second that are known; 0 of a stretch without rows.
    known: u64,
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
                let start = match hole.known {
                    0 => Start::Second(self.scopes.get(hole.scope)?.second_within(hole.range, dice())?),
                    known => Start::Behind(hole.range.start, known),
                };
                return Some(Place { scope: hole.scope, start });
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
        self.look_behind();
        if self.recent.len() == 2 * AROUND {
            self.begin();
            self.look_after(AROUND - 1);
            self.recent.pop_front();
        }
        self.recent.push_back((second, 1));
    }

    fn finished(mut self) -> Self {
        self.begin();
        self.look_behind();
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
        self.keep(Hole { scope: 0, range, rows, known: 0 });
    }

    /// Looks behind the rows of the last second, which is over.
    fn look_behind(&mut self) {
        let Some((second, known)) = self.recent.back().copied().filter(|(_, rows)| *rows >= DEEP_ROWS) else { return };
        let range = TimeRange::new(second, second.shifted(1));
        self.keep(Hole { scope: 0, range, rows: as_float(known) * BEHIND_WEIGHS, known });
    }

    fn keep(&mut self, hole: Hole) {
        self.holes.push(Reverse(Largest(hole)));
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
mod tests;
