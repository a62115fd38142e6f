//! A window whose rows come in no order ends with a page that has free places: whether it left a row out, asking it again shows.

use std::collections::BTreeSet;

use crate::api::contract::Filters;
use crate::plan::event::PlanEvent;
use crate::plan::fact::{PageFact, Purpose, WindowId};
use crate::plan::planner::Planner;
use crate::plan::testing::{page_of, range, read_on, served, us};
use crate::units::{EpochSeconds, PageNumber};

/// The last row.
const NEWEST: i64 = 196;
/// The number of its page, where five rows stand.
const LAST: u32 = 3;
const ROWS: usize = 25;

/// Reads the last 25 rows of a run of `[0, 200)` within their own bounds, trusting no order. `spoil` is told how often their last page was
/// asked before, and the page. Gives the rows that came, the pages that were asked of them, and whether anything is listed.
fn read(spoil: impl Fn(usize, PageFact) -> PageFact) -> (BTreeSet<i64>, Vec<u32>, bool) {
    let mut plan = Planner::new(&[us()], Filters::default(), range(0, 200));
    let split = PlanEvent::WindowSplit { window: WindowId(0), at: EpochSeconds::new(100), new: WindowId(1) };
    let events = plan.opening().into_iter().chain([split, PlanEvent::SortIgnored]);
    events.collect::<Vec<_>>().iter().for_each(|event| plan.apply_event(event));
    let (mut rows, mut asked) = (BTreeSet::new(), Vec::new());
    read_on(&mut plan, |task, at| {
        let page = served(task, NEWEST, at, |_| true);
        if !matches!(task.address.purpose, Purpose::Walk { window: WindowId(1), .. }) {
            return Some(page);
        }
        let number = task.address.page.get();
        let times = asked.iter().filter(|asked| **asked == LAST).count();
        let page = if number == LAST { spoil(times, page) } else { page };
        asked.push(number);
        rows.extend(page.rows.iter().map(|row| row.second.get()));
        Some(page)
    });
    assert!(plan.is_done());
    rows.retain(|second| *second >= 100);
    (rows, asked, !plan.unproven().is_empty())
}

/// The page without the row at this place.
fn without(mut page: PageFact, place: usize) -> PageFact {
    page.rows.remove(place);
    page.slots -= 1;
    page
}

fn is_whole(times: usize, of: usize, page: PageFact, spoiled: PageFact) -> PageFact {
    if times == of { spoiled } else { page }
}

#[test]
fn a_short_last_page_is_asked_again_in_place_of_the_empty_one_behind_it() {
    let (rows, asked, is_listed) = read(|_, page| page);
    assert_eq!((rows.len(), is_listed), (ROWS, false));
    assert_eq!(asked[asked.len() - 2..], [LAST + 1, LAST], "one request, as before: {asked:?}");
}

/// Seed 10144987: the page lacked a row when it was read, and nothing asked it again.
#[test]
fn a_row_that_the_last_page_left_out_once_is_found() {
    for place in 0..5 {
        let (rows, asked, is_listed) = read(|times, page| is_whole(times, 0, page.clone(), without(page, place)));
        assert_eq!((rows.len(), is_listed), (ROWS, false), "{place}: {asked:?}");
    }
}

#[test]
fn an_end_that_shows_less_when_it_is_asked_again_is_read_again() {
    let empty = |page: &PageFact| page_of(page.address.clone(), page.fetched_at, []);
    for spoiled in [empty, |page: &PageFact| without(page.clone(), 2)] {
        let (rows, asked, is_listed) = read(|times, page| is_whole(times, 1, page.clone(), spoiled(&page)));
        assert_eq!((rows.len(), is_listed), (ROWS, false), "{asked:?}");
        let readings = asked.iter().filter(|page| **page == PageNumber::FIRST.get()).count();
        assert_eq!(readings, 2, "{asked:?}");
    }
}

#[test]
fn a_last_page_that_lacks_another_row_each_time_is_listed() {
    let (_, asked, is_listed) = read(|times, page| without(page, times % 5));
    assert!(is_listed && asked.len() < 40, "{asked:?}");
}
