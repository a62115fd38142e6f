//! How many rows a walk has seen, second by second: to be held against the places that the numbers of pages give them.

use std::collections::BTreeMap;

use super::Walk;
use crate::api::contract::SOURCE;
use crate::plan::fact::PageFact;
use crate::plan::page::View;
use crate::plan::places::CountedRows;
use crate::units::{EpochSeconds, TimeRange};

/// Seconds and groups of them that are counted; of more, the earlier half is counted in larger groups.
const MOST_SEEN: usize = 8_192;
/// Groups that are left of them at most.
const MOST_GROUPS: usize = MOST_SEEN / 4;
/// Rows of a group at first; each time that leaves too many of them, it doubles.
const GROUP_ROWS: u64 = 8;
/// Scans of a window that are told apart.
const STRETCHES: u64 = 8;
/// The least of them that fill as many pages as are served.
const LEAST_SCANS: u64 = 4;
/// The least rows of one, where nothing else parts it.
const LEAST_ROWS: u64 = 20;
/// Rows of one second from which on it is told apart.
const DENSE: u64 = 50;
/// Seconds that are read from their other end as well; of a walk with more, nothing is counted.
const MOST_FROM_END: usize = 64;

/// A second that was read from its other end as well, and how many rows that showed beside the others; none where nobody knows.
type FromEnd = (EpochSeconds, Option<u64>);

/// So many rows, of one second or of a group of them.
#[derive(Clone, Copy, Debug)]
struct Seen {
    first: EpochSeconds,
    last: EpochSeconds,
    rows: u64,
    /// How many of them are of the last second.
    last_rows: u64,
}

impl Seen {
    fn of((second, rows): (EpochSeconds, u64)) -> Self {
        Self { first: second, last: second, rows, last_rows: rows }
    }

    /// Whether it is one second with so many rows that it is told apart.
    fn is_dense(&self) -> bool {
        self.first == self.last && self.rows >= DENSE
    }

    /// It and the next one.
    fn and(self, next: Self) -> Self {
        Self { last: next.last, rows: self.rows + next.rows, last_rows: next.last_rows, ..self }
    }
}

/// The rows that a walk has seen, by their seconds.
#[derive(Clone, Debug, Default)]
pub(in crate::plan) struct SeenRows {
    seconds: Vec<Seen>,
    /// Rows that a group holds at most, unless they are of one second.
    group_rows: u64,
    /// Before this second several are counted as one.
    exact_from: Option<EpochSeconds>,
    /// Whether rows may have come that are not counted.
    is_unsure: bool,
    /// From this second on they may have, unless it is read again.
    unsure_from: Option<EpochSeconds>,
    /// Seconds that were also read from their other end, and how many rows that showed beside the others; none where nobody knows.
    from_end: BTreeMap<EpochSeconds, Option<u64>>,
}

impl SeenRows {
    /// The walk has left a second that showed so many rows.
    pub(in crate::plan) fn leave(&mut self, second: EpochSeconds, rows: usize) {
        self.go_back(second);
        self.seconds.push(Seen::of((second, rows as u64)));
        if self.seconds.len() > MOST_SEEN {
            let exact = self.seconds.split_off(MOST_SEEN / 2);
            self.group_rows = self.group_rows.max(GROUP_ROWS);
            self.group();
            while self.seconds.len() > MOST_GROUPS {
                self.group_rows *= 2;
                self.group();
            }
            self.exact_from = exact.first().map(|one| one.first);
            self.seconds.extend(exact);
        }
    }

    /// Neighbours become one, as far as they fit into a group.
    fn group(&mut self) {
        let mut groups: Vec<Seen> = Vec::new();
        for one in self.seconds.drain(..) {
            match groups.last_mut().filter(|last| last.rows + one.rows <= self.group_rows) {
                Some(last) => *last = last.and(one),
                None => groups.push(one),
            }
        }
        self.seconds = groups;
    }

    /// A second was read from its other end as well, which showed so many rows beside the others; none where nobody knows.
    pub(in crate::plan) fn read_from_end(&mut self, (second, more): FromEnd) {
        self.from_end.insert(second, more);
    }

    /// The walk reads again from this second on.
    pub(in crate::plan) fn go_back(&mut self, anchor: EpochSeconds) {
        self.is_unsure |= self.exact_from.is_some_and(|exact_from| anchor < exact_from);
        // A walk that goes on has nothing to take back, and is asked this for each second.
        if self.seconds.last().is_some_and(|one| one.first >= anchor) {
            self.seconds.truncate(self.seconds.partition_point(|one| one.first < anchor));
        }
    }

    /// The rows of a range in scans that begin and end at these cuts, and at others: none holds many more rows than `most`.
    fn counted(
        &self,
        (range, most): (TimeRange, u64),
        cuts: &[EpochSeconds],
        (last, reading): (&[(EpochSeconds, u64)], Option<FromEnd>),
    ) -> Vec<CountedRows> {
        let from_end: BTreeMap<EpochSeconds, Option<u64>> =
            self.from_end.iter().map(|(second, more)| (*second, *more)).chain(reading).collect();
        let around = |second: &EpochSeconds| [*second, second.shifted(1)];
        let cuts: Vec<EpochSeconds> = cuts.iter().copied().chain(from_end.keys().flat_map(around)).collect();
        let mut counted = self.counted_between((range, most), &cuts, last);
        for (second, more) in from_end {
            // Counted in a group, it cannot be told apart from its neighbours, to which its rows may be added.
            for one in counted.iter_mut().filter(|one| one.range.contains(second)) {
                one.rows += more.unwrap_or_default();
                one.last_rows += more.filter(|_| one.last == Some(second)).unwrap_or_default();
                one.is_unsure |= more.is_none();
            }
        }
        counted
    }

    fn counted_between(
        &self,
        (range, most): (TimeRange, u64),
        cuts: &[EpochSeconds],
        last: &[(EpochSeconds, u64)],
    ) -> Vec<CountedRows> {
        let is_unsure = self.is_unsure || self.unsure_from.is_some();
        let last = last.iter().copied().map(Seen::of);
        let all = self.seconds.iter().copied().chain(last).filter(|one| range.contains(one.first));
        let step = (all.clone().map(|one| one.rows).sum::<u64>() / STRETCHES).min(most).max(LEAST_ROWS);
        let mut cuts: Vec<EpochSeconds> = cuts.iter().copied().filter(|cut| Some(*cut) >= self.exact_from).collect();
        cuts.sort_unstable();
        let mut cuts = cuts.into_iter().peekable();
        let (mut counted, mut from, mut rows, mut last, mut was_dense) = (Vec::new(), range.start, 0, None, false);
        let mut close = |until: EpochSeconds, rows: &mut u64, last: &mut Option<(EpochSeconds, u64)>| {
            let range = TimeRange::new(from, until.min(range.end));
            if !range.is_empty() {
                let (last, last_rows) = last.take().unzip();
                let (rows, last_rows) = (std::mem::take(rows), last_rows.unwrap_or_default());
                // Of a group that goes on beyond its end nobody knows how many lie before that.
                let is_unsure = is_unsure || last >= Some(range.end);
                counted.push(CountedRows { range, rows, last, last_rows, is_unsure });
                from = range.end;
            }
        };
        for one in all {
            while let Some(cut) = cuts.next_if(|cut| *cut <= one.first) {
                close(cut, &mut rows, &mut last);
            }
            // A second of many rows is told apart, and so is what lies behind it: it may hold more than the service serves pages of.
            if rows >= step || one.is_dense() || was_dense {
                close(one.first, &mut rows, &mut last);
            }
            (rows, last, was_dense) = (rows + one.rows, Some((one.last, one.last_rows)), one.is_dense());
            if was_dense {
                close(one.last.shifted(1), &mut rows, &mut last);
            }
        }
        cuts.for_each(|cut| close(cut, &mut rows, &mut last));
        close(range.end, &mut rows, &mut last);
        counted
    }
}

impl Walk {
    /// How many rows its window has shown, in scans that begin and end at these cuts, and at others; none where some may not be
    /// counted.
    pub(in crate::plan) fn counted(&self, cuts: &[EpochSeconds], last_page: u32) -> Vec<CountedRows> {
        if self.is_bounded() || self.totals.seen.from_end.len() > MOST_FROM_END {
            return Vec::new();
        }
        let reading = self.read_from_end();
        // What the service does not serve pages of cannot be held against its place.
        let most = u64::from(last_page) * u64::from(SOURCE.page_size) / LEAST_SCANS;
        let last = self.reach.frontier.map(|frontier| (frontier, self.reach.at_frontier.len() as u64));
        // Rows that leap ahead at the end of its last page are rows all the same.
        let held = self.last.held.iter().map(|row| row.second).filter(|second| Some(*second) > self.reach.frontier);
        let held: Vec<EpochSeconds> = held.collect();
        let held = held.chunk_by(|one, next| one == next).filter_map(|rows| Some((*rows.first()?, rows.len() as u64)));
        self.totals.seen.counted((self.range, most), cuts, (&last.into_iter().chain(held).collect::<Vec<_>>(), reading))
    }

    /// Whether rows of this second have come.
    pub(in crate::plan) fn has_seen(&self, second: EpochSeconds) -> bool {
        let is_at_it = self.reach.frontier == Some(second) && !self.reach.at_frontier.is_empty();
        is_at_it || self.totals.seen.seconds.binary_search_by_key(&second, |one| one.first).is_ok()
    }

    /// Whether rows of any of these seconds have come.
    pub(in crate::plan) fn has_seen_any_of(&self, range: TimeRange) -> bool {
        let is_at_one = self.reach.frontier.is_some_and(|second| range.contains(second));
        is_at_one || self.totals.seen.seconds.iter().any(|one| range.contains(one.first))
    }

    /// The walk goes on to a later second than that which it has reached.
    pub(in crate::plan) fn leave_second(&mut self) {
        if let Some(left) = self.reach.frontier {
            self.totals.seen.leave(left, self.reach.at_frontier.len());
        }
    }

    /// The walk reads from this second on, again or for the first time.
    pub(in crate::plan) fn count_again_from(&mut self, anchor: EpochSeconds) {
        if self.reach.frontier != Some(anchor) {
            self.leave_second();
        }
        self.totals.seen.go_back(anchor);
        self.totals.seen.unsure_from = self.totals.seen.unsure_from.filter(|unsure| *unsure < anchor);
    }

    /// Places that are free, or hold rows that are not counted, say nothing of what is missing.
    pub(in crate::plan) fn watch_places(&mut self, page: &PageFact, view: &View) {
        if !page.is_placed() || !view.strays.is_empty() || self.short_pages.follow_here {
            self.totals.seen.unsure_from.get_or_insert(self.scan.anchor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::range;

    fn at(second: i64) -> EpochSeconds {
        EpochSeconds::new(second)
    }

    fn told(counted: &[CountedRows]) -> Vec<(i64, i64, u64)> {
        counted.iter().map(|one| (one.range.start.get(), one.range.end.get(), one.rows)).collect()
    }

    #[test]
    fn what_is_read_again_is_counted_once() {
        let mut seen = SeenRows::default();
        (0..100).for_each(|second| seen.leave(at(second), 2));
        let counted =
            |seen: &SeenRows, cuts: &[EpochSeconds]| told(&seen.counted((range(10, 90), u64::MAX), cuts, (&[], None)));
        let all = counted(&seen, &[]);
        assert_eq!((all.len(), all.iter().map(|one| one.2).sum::<u64>()), (8, 160));
        assert_eq!((all[0], all[7].1), ((10, 20, 20), 90));
        seen.go_back(at(50));
        assert_eq!(counted(&seen, &[]).iter().map(|one| one.2).sum::<u64>(), 80);
        (50..60).for_each(|second| seen.leave(at(second), 3));
        assert_eq!(counted(&seen, &[]).iter().map(|one| one.2).sum::<u64>(), 110);
        let cut = counted(&seen, &[at(55), at(57)]);
        assert!(cut.contains(&(55, 57, 6)), "{cut:?}");
    }

    #[test]
    fn of_many_seconds_the_earlier_ones_are_counted_in_groups() {
        let mut seen = SeenRows::default();
        (0..40_000).for_each(|second| seen.leave(at(second), 1));
        assert!(seen.seconds.len() <= MOST_SEEN && !seen.is_unsure);
        assert_eq!(
            told(&seen.counted((range(0, 40_000), u64::MAX), &[], (&[], None))).iter().map(|one| one.2).sum::<u64>(),
            40_000
        );
        seen.go_back(at(39_000));
        assert!(!seen.is_unsure);
        seen.go_back(at(20));
        assert!(seen.is_unsure);
    }

    #[test]
    fn a_group_of_seconds_is_counted_where_they_lie_and_knows_its_last() {
        let mut seen = SeenRows::default();
        let rows_of = |second: i64| if second % 1_000 == 0 { 200 } else { 1 + second.unsigned_abs() % 3 };
        (0..100_000).filter(|second| second % 5 > 0 || second % 1_000 == 0).for_each(|second| {
            seen.leave(at(second), usize::try_from(rows_of(second)).unwrap());
        });
        assert!(seen.seconds.len() <= MOST_SEEN && seen.exact_from > Some(at(80_000)));
        let counted = seen.counted((range(0, 100_000), u64::MAX), &[], (&[], None));
        assert!(counted.len() > 20, "{counted:?}");
        for one in &counted {
            let there =
                (one.range.start.get()..one.range.end.get()).filter(|second| second % 5 > 0 || second % 1_000 == 0);
            let last = there.clone().max();
            assert_eq!((one.rows, one.last), (there.map(rows_of).sum(), last.map(at)), "{one:?}");
            assert_eq!(one.last_rows, last.map_or(0, rows_of), "{one:?}");
        }
    }

    #[test]
    fn the_rows_of_one_second_alone_are_counted_too() {
        let one = SeenRows::default().counted((range(0, 100), u64::MAX), &[], (&[(at(5), 40)], None));
        assert_eq!((told(&one), one[0].last), (vec![(0, 100, 40)], Some(at(5))));
    }

    #[test]
    fn a_second_of_many_rows_is_told_apart_and_so_is_one_that_was_read_from_its_other_end() {
        let mut seen = SeenRows::default();
        for (second, rows) in [(10, 1), (20, 1), (30, 90), (40, 1), (50, 5), (60, 1)] {
            seen.leave(at(second), rows);
        }
        let counted = |seen: &SeenRows, reading| told(&seen.counted((range(0, 100), u64::MAX), &[], (&[], reading)));
        assert_eq!(counted(&seen, None), [(0, 30, 2), (30, 31, 90), (31, 40, 0), (40, 100, 7)]);
        seen.read_from_end((at(50), Some(30)));
        assert_eq!(counted(&seen, None)[3..], [(40, 50, 1), (50, 51, 35), (51, 100, 1)]);
        // Nobody knows how many of its rows another reading would bring, so that they are looked for where answers were odd.
        let unsure = seen.counted((range(0, 100), u64::MAX), &[], (&[], Some((at(50), None))));
        assert_eq!(told(&unsure)[3..], [(40, 50, 1), (50, 51, 5), (51, 100, 1)]);
        assert!(unsure.iter().all(|one| one.is_unsure == (one.range.start == at(50))));
    }
}
