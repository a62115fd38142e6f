//! Pages to ranks: which places of a list may hold the rows of a second, and which surely do. Pure.
//!
//! A *reading* is a run of pages of one series without a gap. Its places stand oldest first, whatever the order of the series. A
//! second's *zone* is every place between the rows that bracket it. A row brackets only if it stands in order wherever it was
//! seen and came once in the reading.

use std::collections::{BTreeMap, BTreeSet};

use super::observation::{Observation, Turn};
use crate::plan::fact::{RowKey, VideoKey};
use crate::units::{EpochSeconds, TimeRange};

/// What lies beside the first or the last place of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Nobody knows.
    Open,
    /// The bound that was asked: no row of the series's sure seconds.
    Bound,
    /// An empty page, which is the end of all rows if a second witness confirms it.
    End,
}

/// A run of pages of one series without a gap.
#[derive(Clone, Debug)]
pub struct Reading<'a> {
    /// Its pages by their number, none of them empty.
    pub pages: Vec<&'a Observation>,
    /// The empty page after the last of them, where it was seen.
    pub ended: Option<&'a Observation>,
    /// What lies before the oldest place, and after the newest.
    pub edges: (Edge, Edge),
    /// Every row that can be placed, with the index of its page; oldest first.
    places: Vec<(RowKey, usize)>,
    /// The places whose rows may bracket; their seconds never go back.
    brackets: Vec<usize>,
    /// Whether nothing is known of what it asked beyond its last page.
    pub is_at_end: bool,
    /// Whether the seconds of its places never go back.
    is_sorted: bool,
    /// The first and the last second that any of its rows shows.
    extent: Option<(EpochSeconds, EpochSeconds)>,
}

/// How a zone is closed on one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// By rows, not all of which have a wrong date; the second of the nearest.
    Rows(BTreeSet<VideoKey>, EpochSeconds),
    /// By what was asked, or by the end of all rows, at this second.
    Edge(Edge, EpochSeconds),
}

impl Side {
    /// The second up to which nothing of the zone is known to reach.
    pub fn second(&self) -> EpochSeconds {
        let (Self::Rows(_, second) | Self::Edge(_, second)) = self;
        *second
    }
}

/// Every place that may be of one second.
#[derive(Clone, Debug)]
pub struct Zone {
    /// What closes it on the side of older rows.
    pub older: Side,
    /// What closes it on the side of newer rows.
    pub newer: Side,
    /// Its rows, oldest first.
    pub rows: Vec<RowKey>,
    /// The first and the last page, by index, that it or its brackets touch.
    pub pages: (usize, usize),
}

/// The side on which nothing closes a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenSide {
    /// No earlier row and no bound stands before it.
    Older,
    /// No later row, no bound and no end stands after it.
    Newer,
}

impl<'a> Reading<'a> {
    /// The reading of these pages, which follow each other; no row brackets yet.
    pub fn new(pages: Vec<&'a Observation>, ended: Option<&'a Observation>) -> Self {
        let mut places: Vec<(RowKey, usize)> = Vec::new();
        for (index, page) in pages.iter().enumerate() {
            places.extend(page.rows.iter().map(|row| (*row, index)));
        }
        let is_newest_first = pages.iter().any(|page| page.series.is_newest_first);
        if is_newest_first {
            places.reverse();
        }
        let is_from_first = pages.first().is_some_and(|page| page.page.get() == 1);
        let first = if is_from_first { Edge::Bound } else { Edge::Open };
        let last = if ended.is_some() { Edge::End } else { Edge::Open };
        let edges = if is_newest_first { (Edge::Open, first) } else { (first, last) };
        let is_sorted = places.is_sorted_by_key(|(row, _)| row.second);
        let seconds = || places.iter().map(|(row, _)| row.second);
        let extent = seconds().min().zip(seconds().max());
        Self { pages, ended, edges, places, brackets: Vec::new(), is_at_end: false, is_sorted, extent }
    }

    /// Says which rows may bracket: those in order that came once, but for these.
    pub fn bracketed(mut self, strays: &BTreeSet<VideoKey>) -> Self {
        let twice = self.twice();
        let is_once = |row: &RowKey| twice.binary_search(&row.video).is_err() && !strays.contains(&row.video);
        let in_order = in_every_longest_run(&self.seconds());
        let places = self.places.iter().zip(in_order).enumerate();
        self.brackets = places.filter(|(_, ((row, _), fits))| *fits && is_once(row)).map(|(index, _)| index).collect();
        self
    }

    /// The rows that came more than once, sorted.
    fn twice(&self) -> Vec<VideoKey> {
        let mut videos: Vec<VideoKey> = self.places.iter().map(|(row, _)| row.video).collect();
        videos.sort_unstable();
        let mut twice: Vec<VideoKey> =
            videos.iter().zip(videos.iter().skip(1)).filter(|(one, next)| one == next).map(|(one, _)| *one).collect();
        twice.dedup();
        twice
    }

    /// The rows that stand out of the order that the others keep.
    pub fn strays(&self) -> impl Iterator<Item = VideoKey> {
        let in_order = in_every_longest_run(&self.seconds());
        self.places.iter().zip(in_order).filter(|(_, fits)| !fits).map(|((row, _), _)| row.video)
    }

    /// Its rows that can be placed, oldest first.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = RowKey> {
        self.places.iter().map(|(row, _)| *row)
    }

    /// Its rows on one page, by index, oldest first.
    pub fn rows_on(&self, page: usize) -> impl Iterator<Item = RowKey> {
        self.places.iter().filter(move |(_, on)| *on == page).map(|(row, _)| *row)
    }

    /// Its rows of these seconds, oldest first.
    pub fn rows_within(&self, seconds: TimeRange) -> impl Iterator<Item = RowKey> {
        let at = |second| self.places.partition_point(|(row, _)| row.second < second);
        let (from, to) = if self.is_sorted { (at(seconds.start), at(seconds.end)) } else { (0, self.places.len()) };
        let places = self.places.get(from..to.max(from)).unwrap_or_default();
        places.iter().map(|(row, _)| *row).filter(move |row| seconds.contains(row.second))
    }

    /// The rows of a second that stand next to each other, in their order: one with a wrong date may stand elsewhere.
    pub fn ties(&self, second: EpochSeconds) -> Vec<Vec<VideoKey>> {
        let at = TimeRange::new(second, second.shifted(1));
        let videos = |rows: &[RowKey]| rows.iter().map(|row| row.video).collect();
        if self.is_sorted {
            return vec![self.rows_within(at).map(|row| row.video).collect()];
        }
        let rows: Vec<RowKey> = self.rows().collect();
        let runs = rows.chunk_by(|one, next| one.second == next.second);
        runs.filter(|run| run.first().is_some_and(|row| row.second == second)).map(videos).collect()
    }

    /// Whether it begins before a second, and whether it goes on after it: with a row, or where what was asked begins or ends.
    pub fn reaches(&self, second: EpochSeconds) -> (bool, bool) {
        let (first, last) = self.extent.unwrap_or((second, second));
        let closed = |edge: Edge| edge != Edge::Open && self.asked(second);
        (
            first < second || closed(self.edges.0),
            last > second || closed(self.edges.1) || (self.is_at_end && self.edges.1 == Edge::Open && last == second),
        )
    }

    /// Whether any row shows a second between its first and its last one.
    pub fn spans(&self, second: EpochSeconds) -> bool {
        self.extent.is_some_and(|(first, last)| first <= second && second <= last)
    }

    /// Whether the second lies within what was asked.
    pub fn asked(&self, second: EpochSeconds) -> bool {
        self.pages.first().is_some_and(|page| page.series.sure.contains(second))
    }

    /// Whether the rows of a second may stand on it, as far as its edges tell.
    pub fn may_hold(&self, second: EpochSeconds) -> bool {
        let (is_before, is_after) = self.closes(second);
        self.asked(second) && (is_before || is_after)
    }

    /// Whether both sides of the second may be closed on it.
    pub fn may_close(&self, second: EpochSeconds) -> bool {
        let (is_before, is_after) = self.closes(second);
        self.asked(second) && is_before && is_after
    }

    fn closes(&self, second: EpochSeconds) -> (bool, bool) {
        let at = |place: Option<&(RowKey, usize)>| place.map(|(row, _)| row.second);
        let is_before = self.edges.0 != Edge::Open || at(self.bracket(0)).is_some_and(|first| first < second);
        let last = self.brackets.len().checked_sub(1).and_then(|last| self.bracket(last));
        let is_after = self.edges.1 != Edge::Open || at(last).is_some_and(|last| last > second);
        (is_before, is_after)
    }

    /// Every place that may be of the second, closed by so many rows on each side.
    ///
    /// # Errors
    /// The side on which nothing closes it.
    pub fn zone(&self, second: EpochSeconds, witnesses: usize) -> Result<Zone, OpenSide> {
        let (first_newer, from, older) = self.older_side(second, witnesses).ok_or(OpenSide::Older)?;
        let (to, newer) = self.newer_side((second, first_newer), witnesses).ok_or(OpenSide::Newer)?;
        let rows = self.places.get(from..to).unwrap_or_default().iter().map(|(row, _)| *row).collect();
        let touched = self.places.get(from.saturating_sub(1)..(to + 1).min(self.places.len())).unwrap_or_default();
        let mut on: Vec<usize> = touched.iter().map(|(_, page)| *page).collect();
        let is_newest_first = self.pages.first().is_some_and(|page| page.series.is_newest_first);
        let ends = if is_newest_first { (self.pages.len() - 1, 0) } else { (0, self.pages.len() - 1) };
        on.extend(matches!(older, Side::Edge(..)).then_some(ends.0));
        on.extend(matches!(newer, Side::Edge(..)).then_some(ends.1));
        let pages = (on.iter().copied().min().unwrap_or(0), on.iter().copied().max().unwrap_or(0));
        Ok(Zone { older, newer, rows, pages })
    }

    /// The number of brackets that are not newer than the second.
    pub fn newer_than(&self, second: EpochSeconds) -> usize {
        self.brackets.partition_point(|place| self.second_at(*place) <= Some(second))
    }

    /// What closes the zone before it, after the number of brackets that are not newer and the zone's first place.
    pub fn older_side(&self, second: EpochSeconds, witnesses: usize) -> Option<(usize, usize, Side)> {
        let before = self.brackets.partition_point(|place| self.second_at(*place) < Some(second));
        let newer_from = self.newer_than(second);
        if before >= witnesses.max(1) {
            let rows = self.brackets.get(before - witnesses.max(1)..before)?;
            let (outer, inner) = (*rows.first()?, *rows.last()?);
            return Some((newer_from, outer + 1, Side::Rows(self.videos(rows), self.second_at(inner)?)));
        }
        let start = self.pages.first()?.series.sure.start.shifted(-1);
        let start =
            start.max(before.checked_sub(1).and_then(|last| self.bracket(last)).map_or(start, |row| row.0.second));
        let is_closed = self.edges.0 != Edge::Open && self.asked(second);
        is_closed.then_some((newer_from, 0, Side::Edge(self.edges.0, start)))
    }

    /// What closes the zone after it, with the first place that is not of it.
    pub fn newer_side(&self, (second, from): (EpochSeconds, usize), witnesses: usize) -> Option<(usize, Side)> {
        if let Some(rows) = self.brackets.get(from..from + witnesses.max(1)) {
            let (inner, outer) = (*rows.first()?, *rows.last()?);
            return Some((outer, Side::Rows(self.videos(rows), self.second_at(inner)?)));
        }
        let end = self.bracket(from).map_or(self.pages.first()?.series.sure.end, |row| row.0.second);
        let is_closed = self.edges.1 != Edge::Open && self.asked(second);
        is_closed.then_some((self.places.len(), Side::Edge(self.edges.1, end)))
    }

    /// Whether a page, by index, is the last of the list, as far as anybody knows.
    pub fn is_last(&self, page: usize) -> bool {
        page + 1 == self.pages.len() && (self.ended.is_some() || self.is_at_end)
    }

    /// Whether each of these pages but the first was asked after the one before it had come.
    pub fn is_in_turn(&self, pages: (usize, usize)) -> bool {
        let later = self.pages.get(pages.0 + 1..=pages.1).unwrap_or_default();
        later.iter().all(|page| page.turn == Turn::InTurn)
    }

    /// The mean distance in seconds, at least one, of the rows on these pages, without the largest.
    pub fn mean_distance(&self, pages: (usize, usize)) -> i64 {
        let (from, to) = self.places_on(pages);
        let brackets = self.brackets_within(from, to);
        let second = |place: &usize| self.second_at(*place);
        let distances =
            || brackets.iter().zip(brackets.iter().skip(1)).filter_map(|(a, b)| Some(second(b)?.since(second(a)?)));
        let (sum, largest) = (distances().sum::<i64>(), distances().max().unwrap_or(0));
        let count = i64::try_from(brackets.len().saturating_sub(2)).unwrap_or(i64::MAX).max(1);
        ((sum - largest) / count).max(1)
    }

    /// The rows of a page, by index, if every one of them may bracket, oldest first; none where one may not.
    pub fn bracketing(&self, page: usize) -> Option<Vec<RowKey>> {
        let (from, to) = self.places_on((page, page));
        let all = self.brackets_within(from, to).len() == to - from && to > from;
        all.then(|| self.places.get(from..to).unwrap_or_default().iter().map(|(row, _)| *row).collect())
    }

    /// The places of these pages.
    fn places_on(&self, (first, last): (usize, usize)) -> (usize, usize) {
        let is_newest_first = self.pages.first().is_some_and(|page| page.series.is_newest_first);
        let before = |(_, page): &(RowKey, usize)| if is_newest_first { *page > last } else { *page < first };
        let upto = |(_, page): &(RowKey, usize)| if is_newest_first { *page >= first } else { *page <= last };
        (self.places.partition_point(before), self.places.partition_point(upto))
    }

    fn brackets_within(&self, from: usize, to: usize) -> &[usize] {
        let at = |place: usize| self.brackets.partition_point(|bracket| *bracket < place);
        self.brackets.get(at(from)..at(to)).unwrap_or_default()
    }

    fn seconds(&self) -> Vec<EpochSeconds> {
        self.places.iter().map(|(row, _)| row.second).collect()
    }

    fn bracket(&self, index: usize) -> Option<&(RowKey, usize)> {
        self.places.get(*self.brackets.get(index)?)
    }

    fn second_at(&self, place: usize) -> Option<EpochSeconds> {
        self.places.get(place).map(|(row, _)| row.second)
    }

    fn videos(&self, places: &[usize]) -> BTreeSet<VideoKey> {
        places.iter().filter_map(|place| self.places.get(*place)).map(|(row, _)| row.video).collect()
    }
}

/// For each second, whether every longest run of seconds that never go back holds it: the others stand out of order, or may.
fn in_every_longest_run(seconds: &[EpochSeconds]) -> Vec<bool> {
    if seconds.is_sorted() {
        return vec![true; seconds.len()];
    }
    let ending = run_lengths(seconds.iter().map(|second| second.get()));
    let mut starting = run_lengths(seconds.iter().rev().map(|second| -second.get()));
    starting.reverse();
    let longest = ending.iter().copied().max().unwrap_or(0);
    let both = || ending.iter().zip(&starting);
    let mut at_length: BTreeMap<usize, u32> = BTreeMap::new();
    both()
        .filter(|(end, start)| **end + **start == longest + 1)
        .for_each(|(end, _)| *at_length.entry(*end).or_default() += 1);
    both().map(|(end, start)| end + start == longest + 1 && at_length.get(end) == Some(&1)).collect()
}

/// For each value the length of the longest run that ends with it and never goes down.
fn run_lengths(values: impl Iterator<Item = i64>) -> Vec<usize> {
    let mut lowest_last: Vec<i64> = Vec::new();
    let mut lengths = Vec::new();
    for value in values {
        let length = lowest_last.partition_point(|last| *last <= value);
        match lowest_last.get_mut(length) {
            Some(last) => *last = value,
            None => lowest_last.push(value),
        }
        lengths.push(length + 1);
    }
    lengths
}

#[cfg(test)]
mod tests;
