use super::*;
use crate::plan::fact::{PageAddress, Purpose};
use crate::plan::testing::{at, page_of, range, us, windows_of_a_hundred};
use crate::units::PageNumber;

fn finished(window: u32) -> PlanEvent {
    let (ending, rows, pages, excess) = (Ending::RowBeyond, 5, 1, 0);
    let (beyond, opening, edges) = (vec![], vec![], vec![]);
    PlanEvent::WindowFinished { window: WindowId(window), ending, rows, pages, excess, beyond, opening, edges }
}

fn listed(from: i64, to: i64, again: Again) -> PlanEvent {
    PlanEvent::UnprovenListed { region: us(), range: range(from, to), why: "why".to_owned(), again, lacks: None }
}

/// Up to where the region is done, and the windows that are left.
fn left(plan: &Planner) -> (EpochSeconds, Vec<u32>) {
    let region = plan.region(&us()).unwrap();
    (region.done_until, region.windows.values().map(|id| id.0).collect())
}

#[test]
fn windows_that_are_over_are_forgotten_from_the_left_alone() {
    let mut plan = windows_of_a_hundred(3);
    plan.apply_event(&finished(1));
    assert_eq!(left(&plan), (at(0), vec![0, 1, 2]), "one before it is open");
    plan.apply_event(&finished(0));
    assert_eq!(left(&plan), (at(200), vec![2]));
    plan.apply_event(&PlanEvent::GapListed { window: WindowId(2), why: "poisoned".to_owned() });
    assert_eq!(left(&plan), (at(300), vec![]), "a gap is over, too");
    assert_eq!(plan.gaps().iter().map(|gap| gap.range).collect::<Vec<_>>(), [range(200, 300)]);
}

#[test]
fn a_window_is_named_by_a_number_that_was_never_used() {
    let mut plan = windows_of_a_hundred(3);
    assert_eq!(plan.next_window, 3);
    [finished(0), finished(1), finished(2)].iter().for_each(|event| plan.apply_event(event));
    assert_eq!(plan.next_window, 3, "a forgotten window keeps its number");
    plan.apply_event(&PlanEvent::WindowOpened { window: WindowId(9), region: us(), range: range(300, 400) });
    assert_eq!(plan.next_window, 10);
}

#[test]
fn windows_that_are_joined_become_one() {
    let mut plan = windows_of_a_hundred(3);
    plan.apply_event(&PlanEvent::WindowsJoined { window: WindowId(0), until: at(200) });
    assert_eq!(plan.windows[&WindowId(0)].range, range(0, 200));
    assert_eq!(left(&plan), (at(0), vec![0, 2]));
}

/// What a later start reads again of what is listed.
#[test]
fn what_is_listed_may_pass_as_often_as_is_told_and_once_unless_it_was_read_twice_already() {
    let cases = [
        (Again::Never, false, false),
        (Again::Once, false, true),
        (Again::Once, true, false),
        (Again::Always, true, true),
    ];
    for (again, was_read_twice, may_pass) in cases {
        let mut plan = windows_of_a_hundred(3);
        if was_read_twice {
            plan.read_twice.push((us(), range(40, 60)));
        }
        plan.apply_event(&listed(50, 70, again));
        let told: Vec<bool> = plan.unproven().iter().map(|listed| listed.may_pass).collect();
        assert_eq!(told, [may_pass], "{again:?}, twice {was_read_twice}");
    }
}

#[test]
fn late_rows_of_what_is_listed_are_told_already() {
    let mut plan = windows_of_a_hundred(3);
    plan.late = [30, 55, 69, 70].map(|second| (us(), at(second))).to_vec();
    plan.apply_event(&listed(50, 70, Again::Once));
    assert_eq!(plan.late.iter().map(|(_, second)| second.get()).collect::<Vec<_>>(), [30, 70]);
}

/// Else a run would wait for ever for what its newest page is needed for.
#[test]
fn a_run_goes_on_without_its_newest_page_once_that_has_failed_twice() {
    for (times, is_unknown) in [(1, false), (2, true), (3, true)] {
        let mut plan = windows_of_a_hundred(3);
        let purpose = Purpose::Walk { window: WindowId(0), scan: 0 };
        let address = PageAddress { region: us(), purpose, page: PageNumber::FIRST };
        plan.apply_page(&page_of(address, at(1_000), [1, 2, 3]));
        plan.apply_event(&PlanEvent::WindowParked { window: WindowId(0), times });
        let newest = &plan.region(&us()).unwrap().newest_page;
        assert_eq!((newest.is_read, newest.is_unknown), (is_unknown, is_unknown), "{times}");
        assert_eq!(plan.windows[&WindowId(0)].parked, times);
    }
}

#[test]
fn what_is_published_never_goes_back() {
    let mut plan = windows_of_a_hundred(3);
    for (until, published) in [(100, 100), (50, 100), (200, 200)] {
        plan.apply_event(&PlanEvent::SlicePublished { region: us(), until: at(until) });
        assert_eq!(plan.region(&us()).unwrap().published_until, at(published), "{until}");
    }
}

#[test]
fn where_the_sort_is_ignored_each_window_that_is_not_over_is_read_within_its_own_bounds() {
    let mut plan = windows_of_a_hundred(3);
    plan.apply_event(&finished(1));
    plan.apply_event(&PlanEvent::SortIgnored);
    let bounded: Vec<(u32, bool)> = plan.windows.iter().map(|(id, window)| (id.0, window.bounded)).collect();
    assert_eq!(bounded, [(0, true), (1, false), (2, true)]);
    assert!(plan.profile().order.sort_ignored);
}
