use super::*;
use crate::api::contract::Filters;
use crate::plan::fact::PageAddress;
use crate::plan::testing::{at, page_of, range, us};
use crate::units::PageNumber;

const WINDOW: WindowId = WindowId(0);

/// A run of the seconds from 0 to `end`, a row a second, whose only window has failed so often.
fn failed(end: i64, times: u32) -> Planner {
    let mut plan = Planner::new(&[us()], Filters::default(), range(0, end));
    plan.opening().iter().for_each(|event| plan.apply_event(event));
    (plan.profile.bounds.min_inclusive, plan.profile.bounds.max_inclusive) = (true, true);
    let region = plan.region_mut(&us()).unwrap();
    (region.extent.oldest, region.extent.newest) = (Some(at(0)), Some(at(end - 1)));
    park(&mut plan, times);
    plan
}

fn park(plan: &mut Planner, times: u32) {
    plan.apply_event(&PlanEvent::WindowParked { window: WINDOW, times });
}

fn begin(plan: &mut Planner, anchor: i64) {
    plan.apply_event(&PlanEvent::ScanStarted {
        window: WINDOW,
        scan: 0,
        anchor: at(anchor),
        asked_min: at(anchor),
        asked_max: at(10_000),
        at: at(1_000),
        why: ScanReason::First,
    });
}

/// Folds pages of its walk in, a row a second.
fn read(plan: &mut Planner, pages: u32) {
    for page in 1..=pages {
        let purpose = Purpose::Walk { window: WINDOW, scan: 0 };
        let address = PageAddress { region: us(), purpose, page: PageNumber::new(page).unwrap() };
        let first = i64::from(page - 1) * 10;
        plan.apply_page(&page_of(address, at(1_000 + i64::from(page)), first..first + 10));
    }
}

fn next(plan: &Planner) -> Option<Decision> {
    plan.retry_parked(&PlanContext::usual())
}

fn recorded(plan: &Planner) -> Vec<PlanEvent> {
    match next(plan) {
        Some(Decision::Record(events)) => events,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_nobody_has_failed_to_read_is_not_retried() {
    let mut plan = failed(1_000, 0);
    assert_eq!(next(&plan), None);
    park(&mut plan, 1);
    assert!(next(&plan).is_some());
}

/// The page that failed may be too deep for the service.
#[test]
fn at_first_a_walk_begins_anew_where_it_stands() {
    let mut plan = failed(1_000, 0);
    begin(&mut plan, 0);
    read(&mut plan, 3);
    park(&mut plan, 1);
    let events = recorded(&plan);
    let anchors = |event: &PlanEvent| matches!(event, PlanEvent::ScanStarted { anchor, why: ScanReason::Scheduled, .. } if *anchor == at(29));
    assert!(events.len() == 1 && anchors(&events[0]), "{events:?}");
}

/// What its pages prove stays done, and what failed is a window of its own, which is narrowed down next.
#[test]
fn what_was_read_before_it_failed_is_kept() {
    let mut plan = failed(1_000, 0);
    begin(&mut plan, 0);
    read(&mut plan, 3);
    park(&mut plan, PARKED_TIMES);
    let events = recorded(&plan);
    let [
        PlanEvent::WindowSplit { window: WINDOW, at: split, new },
        ..,
        PlanEvent::WindowFinished { window: WINDOW, ending: Ending::RowBeyond, .. },
        PlanEvent::WindowParked { window: rest, times: PARKED_TIMES },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert!(at(0) < *split && *split <= at(29) && new == rest, "{events:?}");
}

#[test]
fn a_long_window_is_cut_near_its_beginning_and_that_part_is_read_within_its_own_bounds() {
    let near = |end| {
        let mut plan = failed(end, PARKED_TIMES);
        plan.region_mut(&us()).unwrap().count_finished(range(0, 1_000), 1_000);
        match &recorded(&plan)[..] {
            [
                PlanEvent::WindowSplit { window: WINDOW, at, new },
                PlanEvent::WindowBounded { window: WINDOW },
                PlanEvent::WindowParked { window: WINDOW, times: 1 },
                PlanEvent::WindowParked { window: rest, times: 1 },
            ] if new == rest => at.get(),
            events => panic!("{events:?}"),
        }
    };
    let (short, long) = (near(100_000), near(10_000_000));
    assert_eq!((short, long), (100_000 / MOST_CUTS, 10_000_000 / MOST_CUTS), "no cut leaves off less than its share");
}

#[test]
fn one_second_is_read_within_its_own_bounds_before_it_is_listed() {
    let mut plan = failed(1, PARKED_TIMES);
    assert_eq!(
        recorded(&plan),
        [PlanEvent::WindowBounded { window: WINDOW }, PlanEvent::WindowParked { window: WINDOW, times: 1 }]
    );
    recorded(&plan).iter().for_each(|event| plan.apply_event(event));
    park(&mut plan, PARKED_TIMES);
    let events = recorded(&plan);
    assert!(matches!(&events[..], [PlanEvent::GapListed { window: WINDOW, .. }]), "{events:?}");
}

/// A bound that takes its second in would make the neighbours of what cannot be read look as if they could not either.
#[test]
fn bounds_that_are_not_known_are_asked_before_what_is_bounded_is_cut() {
    let mut plan = failed(100, 0);
    (plan.profile.bounds.min_inclusive, plan.profile.bounds.max_inclusive) = (false, false);
    plan.region_mut(&us()).unwrap().newest_page.last_second = Some(at(99));
    plan.apply_event(&PlanEvent::WindowBounded { window: WINDOW });
    for (times, asks) in [(PARKED_TIMES, true), (PARKED_TIMES + BOUNDS_FAILURES, false)] {
        park(&mut plan, times);
        let asked =
            |decision: &Decision| matches!(decision, Decision::Ask(task) if task.address.purpose == Purpose::Bounds);
        // A window within its own bounds is read on first; what is left to narrow asks.
        let window = &plan.windows[&WINDOW];
        assert_eq!(asked(&plan.narrow((WINDOW, window), &PlanContext::usual())), asks, "{times} times");
    }
}

#[test]
fn the_near_part_holds_about_twenty_rows_and_at_most_half() {
    let near = |end: i64, rows_a_second: f64| {
        let mut plan = failed(end, PARKED_TIMES);
        let rows = (end as f64 * rows_a_second) as u64;
        let region = plan.region_mut(&us()).unwrap();
        region.count_finished(range(0, end), rows);
        plan.near(&plan.windows[&WINDOW], at(0)).map(EpochSeconds::get)
    };
    assert_eq!(near(300, 1.0), Some(20));
    assert_eq!(near(1_000, 0.5), Some(40));
    assert_eq!(near(30, 0.1), Some(15), "half of what is left");
    assert_eq!(near(3_200, 1_000.0), Some(100), "not second by second");
    assert_eq!((near(2, 1.0), near(1, 1.0)), (Some(1), None));
}
