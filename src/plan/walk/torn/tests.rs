use super::*;
use crate::api::contract::Filters;
use crate::plan::fact::{PageAddress, PageFact, Purpose, RowKey, VideoKey, WindowId};
use crate::plan::planner::{PlanContext, Planner};
use crate::plan::testing::{at, page_of, range, us};
use crate::plan::walk::Scan;
use crate::units::PageNumber;

const END: i64 = 1_000;

/// A walk at 100 that goes on from there, and what it was shown so far.
fn walk() -> Walk {
    let anchor = at(100);
    let scan = Scan {
        number: 0,
        anchor,
        asked_min: anchor,
        asked_max: at(END),
        started_at: at(1_000),
        why: ScanReason::First,
    };
    Walk::new(range(100, END), None, scan)
}

/// Folds pages in; rows are numbered through, so that each is another.
fn shown(pages: &[Vec<i64>]) -> Walk {
    let mut walk = walk();
    for (number, seconds) in (1..).zip(pages) {
        let purpose = Purpose::Walk { window: WindowId(0), scan: 0 };
        let address = PageAddress { region: us(), purpose, page: PageNumber::new(number).unwrap() };
        let key = |(place, second): (usize, &i64)| RowKey {
            second: at(*second),
            video: VideoKey(u64::from(number) * 100 + place as u64),
        };
        let rows: Vec<RowKey> = seconds.iter().enumerate().map(key).collect();
        walk.apply(&PageFact { slots: rows.len() as u32, rows, ..page_of(address, at(1_000), []) });
    }
    walk
}

/// What follows where rows are known to come oldest first.
fn step(walk: &Walk, consistency: Consistency) -> WalkStep {
    let mut context = PlanContext::usual();
    context.tuning.consistency = consistency;
    let planner = Planner::new(&[us()], Filters::default(), range(100, END));
    let mut context = planner.walk_context(planner.region(&us()).unwrap(), &context);
    context.order.is_proven = true;
    walk.step(&context)
}

fn ask(page: u32) -> WalkStep {
    WalkStep::Ask(PageNumber::new(page).unwrap())
}

fn goes_on_at(second: i64) -> WalkStep {
    WalkStep::Anchor { at: at(second), why: ScanReason::Scheduled, unproven: Vec::new() }
}

/// The seconds that a step lists.
fn lists(step: &WalkStep) -> Vec<TimeRange> {
    match step {
        WalkStep::List(unproven) | WalkStep::Anchor { unproven, .. } | WalkStep::Finish { unproven, .. } => {
            unproven.iter().map(|(range, _)| *range).collect()
        }
        WalkStep::ListLacking(range, _) => vec![*range],
        _ => Vec::new(),
    }
}

#[test]
fn each_page_is_asked_from_its_own_second_at_atomic_alone() {
    let walk = shown(&[(100..110).collect()]);
    let steps = [Consistency::Atomic, Consistency::Anchored, Consistency::Deep].map(|level| step(&walk, level));
    assert_eq!(steps, [goes_on_at(109), ask(2), ask(2)]);
}

#[test]
fn a_row_that_leaps_ahead_is_gone_on_from() {
    let walk = shown(&[[(100..109).collect(), vec![500]].concat()]);
    assert_eq!(step(&walk, Consistency::Atomic), goes_on_at(500));
}

#[test]
fn a_second_that_fills_the_first_page_is_listed_once_and_read_on() {
    let mut walk = shown(&[vec![100; 10]]);
    let listing = step(&walk, Consistency::Atomic);
    assert_eq!(listing, WalkStep::ListLacking(range(100, 101), Lacks::OnePage));
    assert_eq!([Consistency::Anchored, Consistency::Deep].map(|level| step(&walk, level)), [ask(2), ask(2)]);
    walk.is_listed(range(100, 101));
    assert_eq!(step(&walk, Consistency::Atomic), ask(2));
}

#[test]
fn a_second_that_leaves_a_place_free_is_not() {
    let walk = shown(&[[vec![100; 9], vec![101]].concat()]);
    assert_eq!(step(&walk, Consistency::Atomic), goes_on_at(101));
}

/// The page on which such a second ends may have skipped rows, so what follows the second is asked anew.
#[test]
fn what_follows_a_second_that_did_not_fit_is_asked_anew() {
    let mut walk = shown(&[vec![100; 10]]);
    walk.is_listed(range(100, 101));
    let next = shown_after(walk, [vec![100; 4], (101..107).collect()].concat());
    let after = step(&next, Consistency::Atomic);
    assert_eq!(after, WalkStep::Anchor { at: at(101), why: ScanReason::PastFullSecond, unproven: Vec::new() });
}

/// Where no order was proven when page 2 was asked, a row that went meanwhile may have let it skip the first ones that follow.
#[test]
fn what_follows_seconds_that_were_listed_for_want_of_an_order_is_listed_too() {
    let mut walk = shown(&[(100..110).collect()]);
    walk.is_listed(range(100, 110));
    let next = shown_after(walk, (112..122).collect());
    assert_eq!(lists(&step(&next, Consistency::Atomic)), [range(110, 122)]);
}

/// What lies beyond all rows that were seen was listed for another reason: nothing of it is passed over.
#[test]
fn a_listing_beyond_the_last_row_seen_moves_nothing() {
    let mut walk = shown(&[(100..110).collect()]);
    walk.is_listed(range(100, 500));
    let next = shown_after(walk, (112..122).collect());
    assert_eq!(step(&next, Consistency::Atomic), goes_on_at(121));
}

fn shown_after(mut walk: Walk, seconds: Vec<i64>) -> Walk {
    let purpose = Purpose::Walk { window: WindowId(0), scan: 0 };
    let page = PageNumber::new(walk.scan_pages() + 1).unwrap();
    let address = PageAddress { region: us(), purpose, page };
    let key = |(place, second): (usize, i64)| RowKey { second: at(second), video: VideoKey(9_000 + place as u64) };
    let rows: Vec<RowKey> = seconds.into_iter().enumerate().map(key).collect();
    walk.apply(&PageFact { slots: rows.len() as u32, rows, ..page_of(address, at(1_000), []) });
    walk
}

/// Rows that cannot be placed say of no second where it ends.
#[test]
fn a_full_first_page_of_which_no_row_has_a_time_lists_the_rest() {
    let mut walk = walk();
    let purpose = Purpose::Walk { window: WindowId(0), scan: 0 };
    let address = PageAddress { region: us(), purpose, page: PageNumber::FIRST };
    walk.apply(&PageFact { slots: 10, ..page_of(address, at(1_000), []) });
    assert_eq!(lists(&step(&walk, Consistency::Atomic)), [range(100, END)]);
    assert_eq!(step(&walk, Consistency::Anchored), ask(2));
}
