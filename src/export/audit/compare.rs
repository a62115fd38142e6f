//! Pages that were read again, held against the output: what is missing, what may have come later, what is gone. Pure.
//!
//! Any row that the service shows for the output's question, in a second that the output says it holds, belongs into it, in whatever order
//! it was asked. Whether it was there when its second was read cannot be seen by itself. The service is refreshed on the day after
//! (documented), so a row that was made less than [`REFRESH_SECONDS`] before that reading may have come later and is told apart; one that is
//! older was missed, or the service took it in later than it says.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::contract::{PageQuery, SOURCE, TimeOrder};
use crate::api::reply::{PageAnswer, Row};
use crate::sink::reading::RowId;
use crate::units::{DAY_SECONDS, EpochSeconds, TimeRange};

use super::frame::Scope;

/// How long after it was made a row may come into the service: what was made on a day is there at the end of the next (T+1, documented).
pub const REFRESH_SECONDS: i64 = 2 * DAY_SECONDS;
/// How far a moment that an id tells may be from its row's own to be believed, seconds; it is within 30 in all examples.
const NEAR: i64 = DAY_SECONDS;

/// A row of one of the scopes.
pub(super) type ScopedRow = (usize, RowId);

/// A page that came, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) scope: usize,
    /// Its rows in seconds that are looked at.
    pub(super) rows: BTreeSet<RowId>,
    /// The seconds of which it shows every row; none where its order tells nothing.
    pub(super) whole: Option<TimeRange>,
    /// Whether it has free places although the output holds rows that belong on it: the service may be unwell, so it proves nothing.
    pub(super) is_poor: bool,
}

impl Page {
    /// What a page shows of its scope. If it has free places, it is to show a row of the second `shows`, or to go beyond it.
    pub(super) fn of(
        (number, scope): (usize, &Scope),
        (query, shows): (&PageQuery, Option<EpochSeconds>),
        answer: &PageAnswer,
    ) -> Self {
        let ids = answer.rows.iter().filter_map(|row| match row {
            Row::Usable(identity) => Some((identity.second, identity.video_id.clone())),
            Row::Unusable { .. } => None,
        });
        let ids: Vec<RowId> = ids.collect();
        let whole = whole(query.order, &ids);
        let has_places = answer.rows.len() < SOURCE.page_size as usize;
        let comes = |wanted: EpochSeconds| match query.order {
            TimeOrder::OldestFirst => ids.iter().any(|(second, _)| *second >= wanted),
            TimeOrder::NewestFirst => ids.iter().any(|(second, _)| *second <= wanted),
            TimeOrder::MostViewedFirst => ids.iter().any(|(second, _)| *second == wanted),
        };
        let is_poor = has_places && shows.is_some_and(|wanted| !comes(wanted));
        let rows = ids.into_iter().filter(|(second, _)| scope.range_of(*second).is_some()).collect();
        Self { scope: number, rows, whole, is_poor }
    }
}

/// Between a page's first second and its last nothing stands beside it, if it is in order.
fn whole(order: TimeOrder, ids: &[RowId]) -> Option<TimeRange> {
    let (one, other) = (ids.first()?.0, ids.last()?.0);
    let (first, last) = match order {
        TimeOrder::OldestFirst if ids.is_sorted_by_key(|(second, _)| *second) => (one, other),
        TimeOrder::NewestFirst if ids.iter().rev().is_sorted_by_key(|(second, _)| *second) => (other, one),
        _ => return None,
    };
    Some(TimeRange::new(first.shifted(1), last)).filter(|range| !range.is_empty())
}

/// What is known of the output around the pages.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Its rows in the seconds that pages span.
    pub(super) rows: BTreeSet<ScopedRow>,
    /// Videos that it holds in another second than the service shows them.
    pub(super) elsewhere: BTreeSet<(usize, String)>,
}

/// What became of the rows of pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Compared {
    /// Rows that were looked for.
    pub(super) checked: u64,
    /// Rows that should be there.
    pub(super) missing: BTreeSet<ScopedRow>,
    /// Rows that may have come after their second was read.
    pub(super) later: BTreeSet<ScopedRow>,
    /// Rows that the output holds in another second.
    pub(super) moved: u64,
    /// Rows of the output that the service does not show any more.
    pub(super) gone: BTreeSet<ScopedRow>,
    /// The numbers of the pages that lack a row.
    pub(super) differ: BTreeSet<usize>,
}

/// Holds pages against the output. `read_at` tells when, at the earliest, a second was read.
pub(super) fn compare(
    pages: &BTreeMap<usize, Page>,
    held: &Held,
    read_at: impl Fn(usize, EpochSeconds) -> EpochSeconds,
) -> Compared {
    let mut compared = Compared::default();
    for (number, page) in pages {
        for row in &page.rows {
            compared.checked += 1;
            let scoped = (page.scope, row.clone());
            if held.rows.contains(&scoped) {
                continue;
            }
            if held.elsewhere.contains(&(page.scope, row.1.clone())) {
                compared.moved += 1;
            } else if may_have_come_later(row, read_at(page.scope, row.0)) {
                compared.later.insert(scoped);
            } else {
                compared.missing.insert(scoped);
                compared.differ.insert(*number);
            }
        }
        let Some(whole) = page.whole else { continue };
        let here =
            held.rows.range((page.scope, (whole.start, String::new()))..(page.scope, (whole.end, String::new())));
        compared.gone.extend(here.filter(|(_, row)| !page.rows.contains(row)).cloned());
    }
    compared
}

fn may_have_come_later(row: &RowId, read_at: EpochSeconds) -> bool {
    read_at.since(made_at(row)) < REFRESH_SECONDS
}

/// When a row was made: its second, or the later moment that its id tells where that is near.
fn made_at((second, video): &RowId) -> EpochSeconds {
    let of_id = video.parse::<u64>().ok().and_then(|id| i64::try_from(id >> 32).ok()).map(EpochSeconds::new);
    of_id.filter(|moment| moment.since(*second).abs() <= NEAR).map_or(*second, |moment| moment.max(*second))
}

/// The seconds of a region that are read again because of missing rows: from the row before to the row after, since where one is missing
/// its neighbours may be. `around` gives the last second before and the first after that hold a row, within the scope's own stretch.
pub(super) fn gaps(
    seconds: &BTreeSet<EpochSeconds>,
    scope: &Scope,
    around: impl Fn(EpochSeconds) -> (Option<EpochSeconds>, Option<EpochSeconds>),
) -> Vec<TimeRange> {
    let gap = |second: &EpochSeconds| {
        let within = scope.range_of(*second)?;
        let (before, after) = around(*second);
        let start = before.map_or(within.start, |before| before.shifted(1)).min(*second);
        let end = after.unwrap_or(within.end).max(second.shifted(1));
        Some(TimeRange::new(start, end).intersection(within))
    };
    TimeRange::merged(&seconds.iter().filter_map(gap).collect::<Vec<_>>())
}

/// Finds the rows before and after some seconds, while all rows of a region go by in the order of time.
#[derive(Debug)]
pub(super) struct Neighbours {
    seconds: Vec<EpochSeconds>,
    before: Vec<Option<EpochSeconds>>,
    after: Vec<EpochSeconds>,
    last: Option<EpochSeconds>,
}

impl Neighbours {
    pub(super) fn of(seconds: &BTreeSet<EpochSeconds>) -> Self {
        Self { seconds: seconds.iter().copied().collect(), before: Vec::new(), after: Vec::new(), last: None }
    }

    /// The next row goes by.
    pub(super) fn row(&mut self, second: EpochSeconds) {
        while self.seconds.get(self.before.len()).is_some_and(|wanted| *wanted <= second) {
            self.before.push(self.last);
        }
        while self.seconds.get(self.after.len()).is_some_and(|wanted| *wanted < second) {
            self.after.push(second);
        }
        self.last = Some(second);
    }

    /// The last second before one of the seconds, and the first after it, that hold a row.
    pub(super) fn around(&self, second: EpochSeconds) -> (Option<EpochSeconds>, Option<EpochSeconds>) {
        let Ok(place) = self.seconds.binary_search(&second) else { return (None, None) };
        (self.before.get(place).copied().unwrap_or(self.last), self.after.get(place).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::contract::Filters;
    use crate::api::reply::Identity;
    use crate::export::audit::testing::range;
    use crate::units::PageNumber;

    const NOW: i64 = 100 * DAY_SECONDS;

    fn id(second: i64, video: &str) -> RowId {
        (EpochSeconds::new(second), video.to_owned())
    }

    fn scope() -> Scope {
        Scope { region: "US".parse().unwrap(), ranges: vec![range(0, NOW)] }
    }

    fn query(order: TimeOrder) -> PageQuery {
        PageQuery {
            region: "US".parse().unwrap(),
            filters: Filters::default(),
            min_create_time: None,
            max_create_time: None,
            order,
            page: PageNumber::FIRST,
        }
    }

    fn page(order: TimeOrder, rows: &[RowId]) -> Page {
        let usable = |(second, video_id): &RowId| {
            Row::Usable(Identity { second: *second, video_id: video_id.clone(), region: None })
        };
        let rows = rows.iter().map(usable).chain([Row::Unusable { why: String::new(), text: String::new() }]);
        Page::of(
            (0, &scope()),
            (&query(order), None),
            &PageAnswer { request_id: None, rows: rows.collect(), packed: Default::default() },
        )
    }

    fn held(rows: &[RowId]) -> Held {
        Held { rows: rows.iter().map(|row| (0, row.clone())).collect(), ..Held::default() }
    }

    fn compared(page: Page, held: &Held) -> Compared {
        compare(&[(3, page)].into_iter().collect(), held, |_, _| EpochSeconds::new(NOW))
    }

    #[test]
    fn a_page_with_free_places_proves_nothing_where_the_output_has_rows_that_belong_on_it() {
        let is_poor = |order, rows: usize, shows: Option<i64>| {
            let mut ids: Vec<RowId> = (0..rows).map(|number| id(10 * number as i64, "v")).collect();
            if order == TimeOrder::NewestFirst {
                ids.reverse();
            }
            let usable = |(second, video_id): RowId| Row::Usable(Identity { second, video_id, region: None });
            let rows = ids.into_iter().map(usable).collect();
            let answer = PageAnswer { request_id: None, rows, packed: Default::default() };
            Page::of((0, &scope()), (&query(order), shows.map(EpochSeconds::new)), &answer).is_poor
        };
        use TimeOrder::{MostViewedFirst, NewestFirst, OldestFirst};
        assert!(is_poor(OldestFirst, 0, Some(5)) && !is_poor(OldestFirst, 0, None), "an empty page");
        assert!(is_poor(OldestFirst, 5, Some(41)) && !is_poor(OldestFirst, 5, Some(40)));
        assert!(!is_poor(OldestFirst, 10, Some(500)), "a full one goes on");
        assert!(is_poor(NewestFirst, 5, Some(-1)) && !is_poor(NewestFirst, 5, Some(0)));
        assert!(is_poor(MostViewedFirst, 5, Some(25)) && !is_poor(MostViewedFirst, 5, Some(20)));
    }

    #[test]
    fn a_row_that_the_output_lacks_is_missing_and_its_page_differs() {
        let shown = [id(10, "a"), id(20, "b"), id(20, "c"), id(30, "d")];
        let compared = compared(page(TimeOrder::OldestFirst, &shown), &held(&[id(10, "a"), id(20, "c"), id(30, "d")]));
        let missing: Vec<ScopedRow> = compared.missing.into_iter().collect();
        assert_eq!((missing, compared.checked), (vec![(0, id(20, "b"))], 4));
        assert_eq!(compared.differ, [3].into_iter().collect());
        assert!(compared.gone.is_empty());
    }

    #[test]
    fn an_output_that_holds_all_is_not_accused_whatever_else_it_holds() {
        for order in [TimeOrder::OldestFirst, TimeOrder::NewestFirst, TimeOrder::MostViewedFirst] {
            let shown = [id(10, "a"), id(20, "b")];
            let compared = compared(page(order, &shown), &held(&[id(10, "a"), id(20, "b"), id(50, "z")]));
            assert_eq!(compared, Compared { checked: 2, ..Compared::default() });
        }
    }

    #[test]
    fn what_was_made_shortly_before_the_reading_may_have_come_later() {
        let young = NOW - REFRESH_SECONDS + 1;
        let told_by_its_id = ((young as u64) << 32).to_string();
        let shown = [id(young - 10, &told_by_its_id), id(young, "young"), id(NOW - 5, "new")];
        let compared = compared(page(TimeOrder::OldestFirst, &shown), &held(&[]));
        assert_eq!((compared.later.len(), compared.missing.len(), compared.differ.len()), (3, 0, 0));
        let old = ((NOW as u64) << 32).to_string();
        let compared = self::compared(page(TimeOrder::OldestFirst, &[id(500, &old)]), &held(&[]));
        assert_eq!(
            (compared.later.len(), compared.missing.len()),
            (0, 1),
            "an id that is not of its second tells nothing"
        );
    }

    #[test]
    fn a_row_that_stands_in_another_second_is_not_missing() {
        let mut held = held(&[id(12, "a")]);
        held.elsewhere.insert((0, "a".to_owned()));
        let compared = compared(page(TimeOrder::OldestFirst, &[id(11, "a")]), &held);
        assert_eq!((compared.moved, compared.missing.len()), (1, 0));
    }

    #[test]
    fn what_is_not_shown_between_a_pages_ends_is_gone() {
        let shown = [id(10, "a"), id(30, "d")];
        let held = held(&[id(10, "a"), id(10, "b"), id(20, "c"), id(30, "e"), id(30, "d"), id(40, "f")]);
        let gone = |order, shown: &[RowId]| compared(page(order, shown), &held).gone.into_iter().collect::<Vec<_>>();
        assert_eq!(gone(TimeOrder::OldestFirst, &shown), [(0, id(20, "c"))], "its ends may go on on other pages");
        assert_eq!(gone(TimeOrder::NewestFirst, &[id(30, "d"), id(10, "a")]), [(0, id(20, "c"))]);
        assert_eq!(gone(TimeOrder::NewestFirst, &shown), [], "a page in no order tells nothing");
        assert_eq!(gone(TimeOrder::MostViewedFirst, &shown), []);
    }

    #[test]
    fn neighbours_are_the_rows_on_either_side() {
        let at = EpochSeconds::new;
        let mut neighbours = Neighbours::of(&[5, 20, 21, 60].map(at).into_iter().collect());
        [10, 20, 20, 30, 50].map(at).into_iter().for_each(|second| neighbours.row(second));
        let around = [5, 20, 21, 60].map(|second| neighbours.around(at(second)));
        let told = |(before, after): (Option<EpochSeconds>, Option<EpochSeconds>)| {
            (before.map(EpochSeconds::get), after.map(EpochSeconds::get))
        };
        assert_eq!(around.map(told), [(None, Some(10)), (Some(10), Some(30)), (Some(20), Some(30)), (Some(50), None)]);
    }

    #[test]
    fn a_gap_reaches_from_the_row_before_to_the_row_after() {
        let around = |second: EpochSeconds| match second.get() {
            20 | 22 => (Some(EpochSeconds::new(10)), Some(EpochSeconds::new(31))),
            40 => (Some(EpochSeconds::new(39)), Some(EpochSeconds::new(41))),
            _ => (Some(EpochSeconds::new(90)), None),
        };
        let seconds = [20, 22, 40, 95].map(EpochSeconds::new).into_iter().collect();
        let scope = Scope { region: "US".parse().unwrap(), ranges: vec![range(0, 100)] };
        assert_eq!(gaps(&seconds, &scope, around), [range(11, 31), range(40, 41), range(91, 100)]);
    }
}
