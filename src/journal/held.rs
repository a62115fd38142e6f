//! Which pages hold a body, by region and time, in memory: so that the database needs no index of its bodies, which would cost
//! as much to write as they do. Pure. Some dozen bytes a page; the writer adds a page once it is durable, never before.
//!
//! A page that comes of time whose rows were taken already is *late*: what it alone shows is in no part. It is owed to whoever looks for that,
//! and not released with what lies around it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::api::contract::Region;
use crate::units::{EpochSeconds, TimeRange};

/// A page that holds a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeldPage {
    pub(super) region: Region,
    pub(super) sequence: i64,
    /// The seconds that it stands for.
    pub(super) span: TimeRange,
    /// Rows on it.
    pub(super) slots: u32,
}

/// Where a page stands in the order of time: its first second, then its sequence.
pub(super) type Place = (EpochSeconds, i64);
/// Where no page stands, before all that do.
pub(super) const BEFORE_ALL: Place = (EpochSeconds::new(i64::MIN), i64::MIN);

/// The pages of a region that meet some seconds, as they are held at one moment: another value later says that pages came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldIn {
    pages: usize,
    /// The page that came last.
    last: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Rest {
    end: EpochSeconds,
    slots: u32,
}

/// Sequences of one chunk of their table, which is swept as a whole: windows are read side by side, so what one of them releases lies
/// between what others hold, and to take it from there at once would change every page of the table, again for each window. A
/// page that is held keeps so many released bodies lying at most.
const CHUNK: i64 = 64;
/// Chunks that are swept at once: a bound on how long a transaction may hold up the pages behind it.
const SWEPT_AT_ONCE: usize = 32;

/// All pages that hold a body.
#[derive(Debug, Default)]
pub(super) struct Held {
    regions: BTreeMap<Region, BTreeMap<Place, Rest>>,
    pages: u64,
    /// How many there are in each chunk of their table that has any.
    chunks: BTreeMap<i64, u32>,
    /// Chunks in which nothing lies but what is released.
    ripe: BTreeSet<i64>,
    /// Up to where the rows of each region were taken.
    taken: BTreeMap<Region, EpochSeconds>,
    late: BTreeMap<Region, BTreeSet<Place>>,
}

impl Held {
    pub(super) fn add(&mut self, page: HeldPage) {
        let HeldPage { region, sequence, span, slots } = page;
        if self.taken.get(&region).is_some_and(|taken| span.start < *taken) {
            self.late.entry(region.clone()).or_default().insert((span.start, sequence));
        }
        let pages = self.regions.entry(region).or_default();
        let added = pages.insert((span.start, sequence), Rest { end: span.end, slots });
        if added.is_none() {
            let chunk = sequence.div_euclid(CHUNK);
            *self.chunks.entry(chunk).or_default() += 1;
            self.ripe.remove(&chunk);
            self.pages += 1;
        }
    }

    /// The page holds its body no more, which lies in its table until it is swept.
    pub(super) fn release(&mut self, region: &Region, place: Place) {
        if self.regions.get_mut(region).and_then(|pages| pages.remove(&place)).is_none() {
            return;
        }
        if let Some(late) = self.late.get_mut(region) {
            late.remove(&place);
        }
        if let Some(held) = self.chunks.get_mut(&place.1.div_euclid(CHUNK)) {
            *held = held.saturating_sub(1);
        }
        self.add_released(place.1);
        self.pages = self.pages.saturating_sub(1);
    }

    /// A body that is held no more lies in its table; told of after all that are held.
    pub(super) fn add_released(&mut self, sequence: i64) {
        let chunk = sequence.div_euclid(CHUNK);
        if self.chunks.get(&chunk).is_none_or(|held| *held == 0) {
            self.chunks.remove(&chunk);
            self.ripe.insert(chunk);
        }
    }

    /// Sequences between which every body is released, at most so many as are swept at once; of bodies that are durable.
    pub(super) fn ripe(&self) -> Vec<Range<i64>> {
        let mut ripe: Vec<Range<i64>> = Vec::new();
        for chunk in self.ripe.iter().take(SWEPT_AT_ONCE) {
            let (start, end) = (chunk * CHUNK, (chunk + 1) * CHUNK);
            match ripe.last_mut().filter(|last| last.end == start) {
                Some(last) => last.end = end,
                None => ripe.push(start..end),
            }
        }
        ripe
    }

    /// Whether anything may be swept.
    pub(super) fn is_ripe(&self) -> bool {
        !self.ripe.is_empty()
    }

    /// What was released between these sequences is gone.
    pub(super) fn swept(&mut self, sequences: &Range<i64>) {
        let chunks = sequences.start.div_euclid(CHUNK)..sequences.end.div_euclid(CHUNK);
        self.ripe.retain(|chunk| !chunks.contains(chunk));
    }

    /// The rows of a region are being taken up to a moment: every page that is here is looked at, and none that comes later.
    pub(super) fn take_up_to(&mut self, region: &Region, until: EpochSeconds) {
        let taken = self.taken.entry(region.clone()).or_insert(until);
        *taken = until.max(*taken);
    }

    /// The pages of these seconds that are here were not looked at.
    pub(super) fn owe(&mut self, region: &Region, range: TimeRange) {
        let owed = self.next(region, range, BEFORE_ALL, usize::MAX);
        self.late.entry(region.clone()).or_default().extend(owed);
    }

    /// The pages that lie within these seconds are looked at once more.
    pub(super) fn take_late(&mut self, region: &Region, range: TimeRange) {
        let pages = self.regions.get(region);
        let is_within = |place: &Place| {
            let end = pages.and_then(|pages| pages.get(place)).map_or(place.0, |rest| rest.end);
            range.covers(TimeRange::new(place.0, end))
        };
        if let Some(late) = self.late.get_mut(region) {
            late.retain(|place| !is_within(place));
        }
    }

    pub(super) fn is_late(&self, region: &Region, place: &Place) -> bool {
        self.late.get(region).is_some_and(|late| late.contains(place))
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn contains(&self, region: &Region, place: Place) -> bool {
        self.regions.get(region).is_some_and(|pages| pages.contains_key(&place))
    }

    /// How many there are.
    pub(super) const fn pages(&self) -> u64 {
        self.pages
    }

    /// Rows on the pages whose span begins in the range.
    pub(super) fn rows(&self, region: &Region, range: TimeRange) -> u64 {
        self.beginning_in(region, range.start, range.end).map(|(_, rest)| u64::from(rest.slots)).sum()
    }

    /// The first second of the range that a page stands for.
    pub(super) fn first(&self, region: &Region, range: TimeRange) -> Option<EpochSeconds> {
        let mut meeting = self.beginning_in(region, EpochSeconds::new(i64::MIN), range.end);
        meeting.find(|(_, rest)| rest.end > range.start).map(|((first, _), _)| first.max(range.start))
    }

    /// Pages that end at or before a moment and are not late, at most so many: those that came first, since they lie side by side in their table.
    pub(super) fn ended(&self, region: &Region, below: EpochSeconds, most: usize) -> Vec<Place> {
        let before = self.beginning_in(region, EpochSeconds::new(i64::MIN), below);
        let ended = before.filter(|(place, rest)| rest.end <= below && !self.is_late(region, place));
        let mut ended: Vec<Place> = ended.map(|(place, _)| place).collect();
        ended.sort_unstable_by_key(|(_, sequence)| *sequence);
        ended.truncate(most);
        ended
    }

    /// What is held of these seconds.
    pub(super) fn of(&self, region: &Region, range: TimeRange) -> HeldIn {
        let meeting = self.next(region, range, BEFORE_ALL, usize::MAX);
        HeldIn { pages: meeting.len(), last: meeting.iter().map(|(_, sequence)| *sequence).max() }
    }

    /// Pages behind a place whose span meets the range, in the order of time, at most so many.
    pub(super) fn next(&self, region: &Region, range: TimeRange, after: Place, most: usize) -> Vec<Place> {
        if after.0 >= range.end {
            return Vec::new();
        }
        let behind = self.beginning_in(region, after.0, range.end).filter(|(place, _)| *place > after);
        behind.filter(|(_, rest)| rest.end > range.start).map(|(place, _)| place).take(most).collect()
    }

    fn beginning_in(
        &self,
        region: &Region,
        from: EpochSeconds,
        until: EpochSeconds,
    ) -> impl Iterator<Item = (Place, Rest)> {
        let until = until.max(from);
        let pages = self.regions.get(region);
        let found = pages.into_iter().flat_map(move |pages| pages.range((from, i64::MIN)..(until, i64::MIN)));
        found.map(|(place, rest)| (*place, *rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us() -> Region {
        "US".parse().unwrap()
    }

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
    }

    fn held(spans: &[(i64, i64)]) -> Held {
        let mut held = Held::default();
        for (&(start, end), sequence) in spans.iter().zip(1..) {
            held.add(HeldPage { region: us(), sequence, span: range(start, end), slots: 10 });
        }
        held
    }

    fn sequences(places: &[Place]) -> Vec<i64> {
        places.iter().map(|(_, sequence)| *sequence).collect()
    }

    #[test]
    fn pages_come_in_the_order_of_time_and_in_pieces() {
        let held = held(&[(30, 40), (10, 35), (30, 31), (50, 60), (5, 9)]);
        let start = (EpochSeconds::new(i64::MIN), i64::MIN);
        let first = held.next(&us(), range(20, 50), start, 2);
        assert_eq!(sequences(&first), [2, 1]);
        assert_eq!(sequences(&held.next(&us(), range(20, 50), first[1], 2)), [3]);
        assert_eq!(sequences(&held.next(&us(), range(20, 20), start, 2)), [2]);
        assert!(held.next(&us(), range(60, 90), start, 9).is_empty());
        assert!(held.next(&us(), range(0, 5), (EpochSeconds::new(9), 0), 9).is_empty());
        assert!(held.next(&"GB".parse().unwrap(), range(0, 90), start, 9).is_empty());
    }

    #[test]
    fn rows_count_where_their_page_begins() {
        let held = held(&[(30, 40), (10, 35), (30, 31)]);
        assert_eq!((held.rows(&us(), range(20, 50)), held.rows(&us(), range(0, 30)), held.pages()), (20, 10, 3));
        assert_eq!(held.first(&us(), range(20, 50)), Some(EpochSeconds::new(20)));
        assert_eq!(held.first(&us(), range(0, 50)), Some(EpochSeconds::new(10)));
        assert_eq!(held.first(&us(), range(40, 50)), None);
    }

    #[test]
    fn a_chunk_is_swept_once_nothing_in_it_is_held() {
        let held_at = |sequences: &[i64]| {
            let mut held = Held::default();
            for &sequence in sequences {
                held.add(HeldPage { region: us(), sequence, span: range(sequence, sequence + 1), slots: 10 });
            }
            held
        };
        let mut held = held_at(&[1, 63, 64, 130, 400]);
        let release = |held: &mut Held, sequence| held.release(&us(), (EpochSeconds::new(sequence), sequence));
        release(&mut held, 1);
        release(&mut held, 1);
        assert!(!held.is_ripe() && held.ripe().is_empty());
        [63, 64, 400].into_iter().for_each(|sequence| release(&mut held, sequence));
        assert_eq!(held.ripe(), [0..128, 384..448]);
        // A page that lands there meanwhile stays.
        held.add(HeldPage { region: us(), sequence: 401, span: range(401, 402), slots: 10 });
        assert_eq!(held.ripe(), std::slice::from_ref(&(0..128)));
        held.swept(&(0..128));
        assert!(!held.is_ripe() && held.chunks.len() == 2 && held.pages() == 2);
        release(&mut held, 401);
        held.swept(&(384..448));
        held.add_released(500);
        assert_eq!(held.ripe(), std::slice::from_ref(&(448..512)));
    }

    /// What the last pages of a run showed of time that was published was dropped with their bodies.
    #[test]
    fn what_comes_of_time_whose_rows_were_taken_is_late_until_it_is_taken_too() {
        let mut held = held(&[(10, 20), (18, 35)]);
        let late = |held: &Held| -> Vec<i64> {
            let places = held.next(&us(), range(0, 99), BEFORE_ALL, 9);
            sequences(&places.into_iter().filter(|place| held.is_late(&us(), place)).collect::<Vec<_>>())
        };
        held.take_up_to(&us(), EpochSeconds::new(30));
        held.take_up_to(&us(), EpochSeconds::new(20));
        for (sequence, first, end) in [(3, 12, 14), (4, 29, 40), (5, 30, 33)] {
            held.add(HeldPage { region: us(), sequence, span: range(first, end), slots: 10 });
        }
        assert_eq!(late(&held), [3, 4]);
        let ended = |held: &Held| sequences(&held.ended(&us(), EpochSeconds::new(99), 9));
        assert_eq!(ended(&held), [1, 2, 5]);
        held.take_late(&us(), range(12, 39));
        assert_eq!((late(&held), ended(&held)), (vec![4], vec![1, 2, 3, 5]), "of the other something lies beyond");
        held.owe(&us(), range(20, 33));
        assert_eq!((late(&held), ended(&held)), (vec![2, 4, 5], vec![1, 3]));
        held.release(&us(), (EpochSeconds::new(18), 2));
        assert_eq!(late(&held), [4, 5]);
    }

    #[test]
    fn only_what_has_ended_is_released_and_never_twice() {
        let mut held = held(&[(30, 40), (10, 35), (30, 31)]);
        let ended = held.ended(&us(), EpochSeconds::new(35), 9);
        assert_eq!(sequences(&ended), [2, 3]);
        assert_eq!(held.ended(&us(), EpochSeconds::new(35), 1).len(), 1);
        ended.iter().chain(&ended).for_each(|place| held.release(&us(), *place));
        assert_eq!((held.pages(), held.rows(&us(), range(0, 99))), (1, 10));
    }
}
