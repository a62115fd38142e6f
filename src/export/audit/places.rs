//! From places to questions: what stands around a place's row in the output, and how the page there is asked. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::api::contract::{Filters, PageQuery, SOURCE, TimeOrder};
use crate::units::{EpochSeconds, LAST_PAGE, PageNumber};

use super::frame::{Place, Scope, Start};

/// The shares of pages that are asked newest first, and by another sort field.
const NEWEST_FIRST: f64 = 0.15;
const BY_VIEWS: f64 = 0.15;
/// Rows of a page, as a number of rows.
const PAGE_ROWS: u64 = SOURCE.page_size as u64;

/// A row of the output, and what stands around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Around {
    /// The last second before its own that holds a row.
    before: Option<EpochSeconds>,
    second: EpochSeconds,
    /// How many rows of its second stand before it.
    rank: u64,
    /// The second of the last row of a page that begins with it.
    last: EpochSeconds,
}

/// Finds what stands around wanted rows, while all rows of a region go by in the order of time.
#[derive(Debug, Default)]
pub(super) struct Finder {
    wanted: BTreeSet<u64>,
    passed: u64,
    before: Option<EpochSeconds>,
    current: Option<(EpochSeconds, u64)>,
    /// Those whose page is not over: at most one for each of its rows.
    open: VecDeque<u64>,
    found: BTreeMap<u64, Around>,
}

impl Finder {
    /// Looks for the rows with these numbers.
    pub(super) fn of(numbers: impl Iterator<Item = u64>) -> Self {
        Self { wanted: numbers.collect(), ..Self::default() }
    }

    /// The next row goes by.
    pub(super) fn row(&mut self, second: EpochSeconds) {
        let rank = match self.current {
            Some((current, rank)) if current == second => rank + 1,
            current => {
                self.before = current.map(|(second, _)| second);
                0
            }
        };
        self.current = Some((second, rank));
        for open in &self.open {
            self.found.entry(*open).and_modify(|around| around.last = second);
        }
        let number = self.passed;
        self.passed += 1;
        self.open.retain(|open| number < open + PAGE_ROWS - 1);
        if self.wanted.remove(&number) {
            self.open.push_back(number);
            self.found.insert(number, Around { before: self.before, second, rank, last: second });
        }
    }

    /// What was found of a row.
    pub(super) fn found(&self, number: u64) -> Option<Around> {
        self.found.get(&number).copied()
    }
}

/// The page at a place; `share` is a random number in `0..1` that decides about its order. None where the place is none of the scope's.
///
/// Bounds are asked so that either meaning of them takes the place in. A page begins right after the row before it, so that what is missing
/// there stands on it.
pub(super) fn question(
    (place, around): (Place, Option<Around>),
    scope: &Scope,
    filters: &Filters,
    share: f64,
) -> Option<PageQuery> {
    let second = match (place.start, around) {
        (Start::Second(second) | Start::Behind(second, _), _) => second,
        (Start::Row(_), around) => around?.second,
    };
    let range = scope.range_of(second)?;
    let ask = |(min, max): (EpochSeconds, EpochSeconds), order, page| PageQuery {
        region: scope.region.clone(),
        filters: filters.clone(),
        min_create_time: Some(min),
        max_create_time: Some(max),
        order,
        page,
    };
    let first = range.start.shifted(-1);
    // Deep inside a second that fills pages.
    let deep = |rank: u64| {
        let number = u32::try_from(rank / PAGE_ROWS + 1).unwrap_or(LAST_PAGE).min(LAST_PAGE);
        Some(ask((second.shifted(-1), range.end), TimeOrder::OldestFirst, PageNumber::new(number).ok()?))
    };
    if let Start::Behind(_, known) = place.start {
        return deep(known);
    }
    let Some(around) = around else {
        let order = if share < NEWEST_FIRST { TimeOrder::NewestFirst } else { TimeOrder::OldestFirst };
        let bounds = match order {
            TimeOrder::NewestFirst => (first, second.shifted(1)),
            _ => (second.shifted(-1), range.end),
        };
        return Some(ask(bounds, order, PageNumber::FIRST));
    };
    if around.rank >= PAGE_ROWS {
        return deep(around.rank);
    }
    let after_former = around.before.map_or(first, |before| before.max(first));
    let (order, bounds) = if share < NEWEST_FIRST {
        (TimeOrder::NewestFirst, (first, second.shifted(1)))
    } else if share < NEWEST_FIRST + BY_VIEWS {
        (TimeOrder::MostViewedFirst, (after_former, around.last.shifted(1).min(range.end)))
    } else {
        (TimeOrder::OldestFirst, (after_former, range.end))
    };
    Some(ask(bounds, order, PageNumber::FIRST))
}

/// The first and the last second of a scope's rows, in each of its stretches.
#[derive(Debug, Default)]
pub(super) struct Extents(BTreeMap<EpochSeconds, (EpochSeconds, EpochSeconds)>);

impl Extents {
    /// The next row goes by.
    pub(super) fn row(&mut self, scope: &Scope, second: EpochSeconds) {
        if let Some(range) = scope.range_of(second) {
            self.0.entry(range.start).or_insert((second, second)).1 = second;
        }
    }

    /// The second of a row that a page at this place comes to if it is not full: the outermost in the direction in which it is asked, or the
    /// place's own where it is asked by views. None where the output has no row there, or none that surely belongs on the page.
    pub(super) fn shown_by(
        &self,
        (place, around): (Place, Option<Around>),
        scope: &Scope,
        query: &PageQuery,
    ) -> Option<EpochSeconds> {
        let own = around.map(|around| around.second);
        let asked = match place.start {
            Start::Second(second) | Start::Behind(second, _) => second,
            Start::Row(_) => own?,
        };
        let (first, last) = self.0.get(&scope.range_of(asked)?.start).copied()?;
        match query.order {
            TimeOrder::MostViewedFirst => own,
            TimeOrder::NewestFirst => Some(first).filter(|first| *first < asked || own.is_some()),
            // Deep in a second, its own rows may be on the pages before.
            TimeOrder::OldestFirst if query.page > PageNumber::FIRST => Some(last).filter(|last| *last > asked),
            TimeOrder::OldestFirst => Some(last).filter(|last| *last > asked || own.is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::audit::testing::range;

    fn at(second: i64) -> EpochSeconds {
        EpochSeconds::new(second)
    }

    fn asked(seconds: &[i64], number: u64, share: f64) -> (i64, i64, TimeOrder, u32) {
        let mut finder = Finder::of([number].into_iter());
        seconds.iter().for_each(|second| finder.row(at(*second)));
        let scope = Scope { region: "US".parse().unwrap(), ranges: vec![range(0, 1_000)] };
        let place = Place { scope: 0, start: Start::Row(number) };
        let query = question((place, finder.found(number)), &scope, &Filters::default(), share).unwrap();
        (query.min_create_time.unwrap().get(), query.max_create_time.unwrap().get(), query.order, query.page.get())
    }

    #[test]
    fn a_page_begins_right_after_the_row_before_it() {
        let seconds = [10, 20, 20, 30, 40];
        assert_eq!(asked(&seconds, 0, 0.9), (-1, 1_000, TimeOrder::OldestFirst, 1));
        assert_eq!(asked(&seconds, 2, 0.9), (10, 1_000, TimeOrder::OldestFirst, 1));
        assert_eq!(asked(&seconds, 3, 0.9), (20, 1_000, TimeOrder::OldestFirst, 1));
        assert_eq!(asked(&seconds, 3, 0.1), (-1, 31, TimeOrder::NewestFirst, 1));
    }

    #[test]
    fn a_page_by_views_asks_for_a_page_of_rows() {
        let seconds: Vec<i64> = (0..40).map(|number| number * 10).collect();
        assert_eq!(asked(&seconds, 5, 0.2), (40, 141, TimeOrder::MostViewedFirst, 1));
        assert_eq!(asked(&seconds, 35, 0.2), (340, 391, TimeOrder::MostViewedFirst, 1));
    }

    #[test]
    fn inside_a_second_that_fills_pages_any_of_them_may_be_asked() {
        let seconds: Vec<i64> = [5].into_iter().chain([7; 100]).collect();
        assert_eq!(asked(&seconds, 5, 0.9), (5, 1_000, TimeOrder::OldestFirst, 1));
        assert_eq!(asked(&seconds, 1 + 57, 0.1), (6, 1_000, TimeOrder::OldestFirst, 6));
    }

    #[test]
    fn behind_the_known_rows_of_a_second_the_next_page_is_asked() {
        let scope = Scope { region: "US".parse().unwrap(), ranges: vec![range(0, 1_000)] };
        let place = Place { scope: 0, start: Start::Behind(at(7), 57) };
        let query = question((place, None), &scope, &Filters::default(), 0.1).unwrap();
        assert_eq!((query.min_create_time.unwrap().get(), query.page.get()), (6, 6));
    }

    #[test]
    fn a_second_without_rows_is_asked_from_there_on() {
        let scope = Scope { region: "US".parse().unwrap(), ranges: vec![range(0, 100), range(200, 300)] };
        let ask = |second, share| {
            let place = Place { scope: 0, start: Start::Second(at(second)) };
            question((place, None), &scope, &Filters::default(), share)
        };
        let bounds = |query: PageQuery| (query.min_create_time.unwrap().get(), query.max_create_time.unwrap().get());
        assert_eq!(bounds(ask(250, 0.9).unwrap()), (249, 300));
        assert_eq!(bounds(ask(250, 0.0).unwrap()), (199, 251));
        assert_eq!(ask(150, 0.9), None);
    }
}
