//! The rows of one region in memory, 8 bytes each, and the pages that can be cut from them.
//!
//! Sorted by time, so that a page of a query without filters is two binary searches away. A filtered view or another
//! order is computed when it is first asked and kept while memory allows.

use std::ops::Range;

use crate::api::contract::Filters;
use crate::simulator::chance::shuffled;
use crate::simulator::settings::TieOrder;

/// Filtered views that are kept for one region.
const MAX_VIEWS: usize = 8;
/// Rows that arranged queries of one region may hold together.
const MAX_ARRANGED_ROWS: usize = 16_000_000;

/// One row: everything else about it follows from these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::simulator) struct Row {
    /// Its second, counted from the world's first.
    pub(super) offset: u32,
    /// Its number in the region, unique; in order of time for the rows that the world began with.
    pub(super) serial: u32,
}

/// What rows are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) enum SortKey {
    /// `create_time`.
    Time,
    /// `total_digg_cnt`.
    Likes,
    /// `total_views_cnt`.
    Views,
    /// Nothing that the caller knows; stable.
    Arbitrary,
}

/// Which end of the order comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) enum Direction {
    /// The least.
    Ascending,
    /// The greatest.
    Descending,
}

/// A query, without its pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::simulator) struct Selection {
    pub(in crate::simulator) filters: Filters,
    /// The offsets inside, half-open.
    pub(in crate::simulator) offsets: Range<u32>,
    pub(in crate::simulator) sort: SortKey,
    pub(in crate::simulator) direction: Direction,
}

/// The order of rows that share a second, for one request.
#[derive(Clone, Copy, Debug)]
pub(in crate::simulator) struct Ties {
    pub(in crate::simulator) order: TieOrder,
    /// Distinguishes this request from every other, for the fresh order.
    pub(in crate::simulator) request: u64,
}

/// Answers what the rows themselves cannot: whether a row passes, and where it stands in another order.
pub(super) trait Judge {
    fn passes(&self, row: Row, filters: &Filters) -> bool;
    fn rank(&self, row: Row, sort: SortKey) -> i64;
}

struct View {
    filters: Filters,
    rows: Vec<Row>,
}

struct Arranged {
    selection: Selection,
    rows: Vec<Row>,
}

/// All rows of one region, as they stand.
pub(super) struct RegionRows {
    all: Vec<Row>,
    views: Vec<View>,
    arranged: Vec<Arranged>,
    deleted: Vec<Row>,
    /// Rows that are there and not shown yet.
    hidden: Vec<Row>,
    /// Serial numbers from here on were given while the service ran.
    born_later: u32,
    next_serial: u32,
}

impl RegionRows {
    /// Rows at `offsets`, which are ascending.
    pub(super) fn new(offsets: &[u32]) -> Self {
        let all: Vec<Row> = (0_u32..).zip(offsets).map(|(serial, offset)| Row { offset: *offset, serial }).collect();
        let count = u32::try_from(all.len()).unwrap_or(u32::MAX);
        Self {
            all,
            views: Vec::new(),
            arranged: Vec::new(),
            deleted: Vec::new(),
            hidden: Vec::new(),
            born_later: count,
            next_serial: count,
        }
    }

    /// The present rows at `offsets`, oldest first.
    pub(super) fn within(&self, offsets: &Range<u32>) -> &[Row] {
        cut(&self.all, offsets)
    }

    /// The rows that vanished while the service ran.
    pub(super) fn deleted(&self) -> &[Row] {
        &self.deleted
    }

    /// The rows that are not shown yet.
    pub(super) fn hidden(&self) -> &[Row] {
        &self.hidden
    }

    /// Has no other rows than these, before any page is cut.
    pub(super) fn keep(&mut self, is_held: impl Fn(Row) -> bool) {
        self.all.retain(|row| is_held(*row));
    }

    /// Shows some rows no more, before any page is cut.
    pub(super) fn hide(&mut self, is_hidden: impl Fn(Row) -> bool) {
        self.hidden = self.all.extract_if(.., |row| is_hidden(*row)).collect();
    }

    /// Shows every row.
    pub(super) fn show(&mut self) {
        self.all.append(&mut self.hidden);
        self.all.sort_unstable();
        self.views.clear();
        self.arranged.clear();
    }

    /// Whether the row appeared while the service ran.
    pub(super) fn is_late(&self, row: Row) -> bool {
        row.serial >= self.born_later
    }

    /// Whether the row is there now, or was.
    pub(super) fn knows(&self, row: Row) -> bool {
        self.all.binary_search(&row).is_ok() || self.deleted.contains(&row) || self.hidden.contains(&row)
    }

    /// Whether pages of `selection` can be cut without preparation.
    pub(super) fn is_ready(&self, selection: &Selection) -> bool {
        match selection.sort {
            SortKey::Time => self.view(&selection.filters).is_some(),
            _ => self.arranged.iter().any(|arranged| arranged.selection == *selection),
        }
    }

    /// Computes what pages of `selection` are cut from.
    pub(super) fn prepare(&mut self, selection: &Selection, judge: &impl Judge) {
        if self.is_ready(selection) {
            return;
        }
        let passing =
            |rows: &[Row]| rows.iter().copied().filter(|row| judge.passes(*row, &selection.filters)).collect();
        if selection.sort == SortKey::Time {
            let rows = passing(&self.all);
            self.views.push(View { filters: selection.filters.clone(), rows });
            let surplus = self.views.len().saturating_sub(MAX_VIEWS);
            self.views.drain(..surplus);
        } else {
            let mut rows: Vec<Row> = passing(self.within(&selection.offsets));
            rows.sort_by_cached_key(|row| (judge.rank(*row, selection.sort), row.serial));
            if selection.direction == Direction::Descending {
                rows.reverse();
            }
            self.arranged.push(Arranged { selection: selection.clone(), rows });
            self.trim_arranged();
        }
    }

    /// The rows in the slots `slots` of a prepared `selection`; fewer at its end, none past it or where nothing was prepared.
    pub(super) fn page(&self, selection: &Selection, slots: Range<u64>, ties: Ties) -> Vec<Row> {
        let numbers = slots.start as usize..slots.end as usize;
        if selection.sort != SortKey::Time {
            let found = self.arranged.iter().find(|arranged| arranged.selection == *selection);
            let rows = found.map(|arranged| arranged.rows.as_slice()).unwrap_or_default();
            return numbers.filter_map(|number| rows.get(number).copied()).collect();
        }
        let rows = cut(self.view(&selection.filters).unwrap_or_default(), &selection.offsets);
        let numbers = numbers.start.min(rows.len())..numbers.end.min(rows.len());
        numbers.filter_map(|number| in_time(rows, number, selection.direction, ties)).collect()
    }

    /// How many slots `selection` has; 0 where nothing was prepared.
    pub(super) fn slots(&self, selection: &Selection) -> usize {
        self.view(&selection.filters).map_or(0, |rows| cut(rows, &selection.offsets).len())
    }

    /// A new row at `offset`.
    pub(super) fn insert(&mut self, offset: u32, judge: &impl Judge) {
        let row = Row { offset, serial: self.next_serial };
        self.next_serial = self.next_serial.saturating_add(1);
        self.arranged.clear();
        put(&mut self.all, row);
        for view in self.views.iter_mut().filter(|view| judge.passes(row, &view.filters)) {
            put(&mut view.rows, row);
        }
    }

    /// Takes away the row at `place(rows)`, a number below the count of rows; nothing where there are none.
    pub(super) fn delete(&mut self, place: impl FnOnce(u64) -> u64) {
        let place = place(self.all.len() as u64) as usize;
        let Some(row) = self.all.get(place).copied() else { return };
        self.all.remove(place);
        self.arranged.clear();
        self.deleted.push(row);
        for view in &mut self.views {
            if let Ok(place) = view.rows.binary_search(&row) {
                view.rows.remove(place);
            }
        }
    }

    fn view(&self, filters: &Filters) -> Option<&[Row]> {
        if filters.is_empty() {
            return Some(&self.all);
        }
        self.views.iter().find(|view| view.filters == *filters).map(|view| view.rows.as_slice())
    }

    fn trim_arranged(&mut self) {
        let held = |arranged: &[Arranged]| arranged.iter().map(|one| one.rows.len()).sum::<usize>();
        while self.arranged.len() > 1 && held(&self.arranged) > MAX_ARRANGED_ROWS {
            self.arranged.remove(0);
        }
    }
}

/// The part of `rows`, sorted by time, that lies at `offsets`.
fn cut<'a>(rows: &'a [Row], offsets: &Range<u32>) -> &'a [Row] {
    let start = rows.partition_point(|row| row.offset < offsets.start);
    let end = rows.partition_point(|row| row.offset < offsets.end).max(start);
    rows.get(start..end).unwrap_or_default()
}

fn put(rows: &mut Vec<Row>, row: Row) {
    let place = rows.partition_point(|other| *other < row);
    rows.insert(place, row);
}

/// The row in slot `number` of a query by time, ties in the asked order.
fn in_time(rows: &[Row], number: usize, direction: Direction, ties: Ties) -> Option<Row> {
    let place = match direction {
        Direction::Ascending => number,
        Direction::Descending => rows.len().checked_sub(number + 1)?,
    };
    let row = *rows.get(place)?;
    if ties.order == TieOrder::Stable {
        return Some(row);
    }
    let start = rows.partition_point(|other| other.offset < row.offset);
    let length = rows.partition_point(|other| other.offset <= row.offset) - start;
    let position = place - start;
    let tied = match (ties.order, direction) {
        (TieOrder::Fresh, _) => shuffled(position as u64, length as u64, ties.request) as usize,
        (_, Direction::Descending) => length - 1 - position,
        (_, Direction::Ascending) => position,
    };
    rows.get(start + tied).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes even serial numbers for any filter; ranks by the serial number's last digit.
    struct Parity;

    impl Judge for Parity {
        fn passes(&self, row: Row, filters: &Filters) -> bool {
            filters.is_empty() || row.serial.is_multiple_of(2)
        }

        fn rank(&self, row: Row, _sort: SortKey) -> i64 {
            i64::from(row.serial % 10)
        }
    }

    fn selection(offsets: Range<u32>, direction: Direction) -> Selection {
        Selection { filters: Filters::default(), offsets, sort: SortKey::Time, direction }
    }

    fn some_filter() -> Filters {
        Filters { is_ad: Some(true), ..Filters::default() }
    }

    fn ties(order: TieOrder, request: u64) -> Ties {
        Ties { order, request }
    }

    fn serials(rows: &[Row]) -> Vec<u32> {
        rows.iter().map(|row| row.serial).collect()
    }

    #[test]
    fn pages_are_cut_in_both_directions_and_end_with_the_rows() {
        let rows = RegionRows::new(&[0, 1, 2, 3, 4, 5, 6]);
        let page =
            |direction, slots| serials(&rows.page(&selection(1..6, direction), slots, ties(TieOrder::Stable, 0)));
        assert_eq!(page(Direction::Ascending, 0..3), [1, 2, 3]);
        assert_eq!(page(Direction::Ascending, 3..6), [4, 5]);
        assert_eq!(page(Direction::Ascending, 6..9), Vec::<u32>::new());
        assert_eq!(page(Direction::Descending, 0..3), [5, 4, 3]);
        assert_eq!(page(Direction::Descending, 3..6), [2, 1]);
    }

    #[test]
    fn ties_come_in_the_order_that_is_set() {
        let rows = RegionRows::new(&[0, 7, 7, 7, 7, 7, 9]);
        let read =
            |direction, order, request| serials(&rows.page(&selection(0..10, direction), 0..7, ties(order, request)));
        assert_eq!(read(Direction::Descending, TieOrder::Stable, 0), [6, 5, 4, 3, 2, 1, 0]);
        assert_eq!(read(Direction::Descending, TieOrder::Unmirrored, 0), [6, 1, 2, 3, 4, 5, 0]);
        assert_eq!(read(Direction::Ascending, TieOrder::Unmirrored, 0), [0, 1, 2, 3, 4, 5, 6]);
        let fresh: Vec<Vec<u32>> = (0..5).map(|request| read(Direction::Ascending, TieOrder::Fresh, request)).collect();
        assert!(fresh.iter().any(|order| *order != fresh[0]));
        for mut order in fresh {
            assert_eq!((order[0], order[6]), (0, 6));
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3, 4, 5, 6]);
        }
    }

    #[test]
    fn other_orders_and_filters_are_prepared_once() {
        let mut rows = RegionRows::new(&(0..30).collect::<Vec<u32>>());
        let filtered = Selection { filters: some_filter(), ..selection(0..30, Direction::Ascending) };
        assert!(!rows.is_ready(&filtered));
        rows.prepare(&filtered, &Parity);
        assert_eq!(serials(&rows.page(&filtered, 0..3, ties(TieOrder::Stable, 0))), [0, 2, 4]);
        let by_likes = Selection { sort: SortKey::Likes, ..selection(10..30, Direction::Descending) };
        rows.prepare(&by_likes, &Parity);
        assert_eq!(serials(&rows.page(&by_likes, 0..3, ties(TieOrder::Stable, 0))), [29, 19, 28]);
        assert_eq!(rows.page(&by_likes, 0..100, ties(TieOrder::Stable, 0)).len(), 20);
    }

    #[test]
    fn inserted_and_deleted_rows_shift_every_view() {
        let mut rows = RegionRows::new(&[0, 1, 2, 3]);
        let filtered = Selection { filters: some_filter(), ..selection(0..9, Direction::Ascending) };
        rows.prepare(&filtered, &Parity);
        rows.insert(1, &Parity);
        rows.delete(|count| count - 5);
        assert_eq!(serials(rows.within(&(0..9))), [1, 4, 2, 3]);
        assert_eq!(serials(&rows.page(&filtered, 0..9, ties(TieOrder::Stable, 0))), [4, 2]);
        assert_eq!(serials(rows.deleted()), [0]);
        let late = Row { offset: 1, serial: 4 };
        assert!(rows.is_late(late) && rows.knows(late));
    }
}
