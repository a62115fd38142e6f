use super::*;
use crate::api::contract::Filters;
use crate::choices::Tuning;
use crate::plan::testing::{at, range, us};

/// A plan of the seconds from 0 to `end`, of which a thousand were read and held so many rows each.
fn plan(end: i64, density: u64) -> Planner {
    let mut plan = Planner::new(&[us()], Filters::default(), range(0, end));
    plan.opening().iter().for_each(|event| plan.apply_event(event));
    let region = plan.region_mut(&us()).unwrap();
    (region.extent.oldest, region.extent.newest) = (Some(at(0)), Some(at(end - 1)));
    region.count_finished(range(0, 1_000), 1_000 * density);
    plan
}

fn context(window_pages: u32) -> PlanContext {
    let tuning = Tuning { window_pages, ..PlanContext::usual().tuning };
    PlanContext { tuning, ..PlanContext::usual() }
}

/// The pages of a new window where so many workers have nothing to do and so many pages are left.
fn pages(pages_left: i64, workers: usize, window_pages: u32) -> i64 {
    let plan = plan(1_000_000, 1);
    let rest = range(0, pages_left * 10);
    plan.length(plan.region(&us()).unwrap(), rest, workers, &context(window_pages)) / 10
}

/// A window costs about half a page more than its rows take, so none is made that is not worth it.
#[test]
fn a_new_window_is_an_even_share_no_smaller_than_is_worth_it_and_no_larger_than_is_set() {
    let cases = [
        ("an even share", 1_000, 4, 2_000, 250),
        ("no more than is set", 10_000, 4, 2_000, 2_000),
        ("no more shares than are worth it", 40, 16, 2_000, 13),
        ("one that is too small to be shared", 20, 16, 2_000, 20),
        ("nobody waits", 1_000, 0, 2_000, 1_000),
    ];
    for (rule, left, workers, window_pages, wanted) in cases {
        assert_eq!(pages(left, workers, window_pages), wanted, "{rule}");
    }
}

#[test]
fn a_waiting_window_is_cut_to_size_where_it_may_be() {
    type Setup = fn(&mut Planner);
    let cases: [(&str, Setup, bool); 6] = [
        ("usually", |_| (), true),
        ("where it failed", |plan| plan.apply_event(&PlanEvent::WindowParked { window: WindowId(0), times: 1 }), false),
        ("within its own bounds", |plan| plan.apply_event(&PlanEvent::WindowBounded { window: WindowId(0) }), false),
        ("where it is read again", |plan| plan.windows.get_mut(&WindowId(0)).unwrap().again.times = 1, false),
        ("where the lower bound is not kept to", |plan| plan.profile.bounds.min_is_loose = true, false),
        (
            "where nobody knows where rows are",
            |plan| plan.region_mut(&us()).unwrap().newest_page.is_read = false,
            false,
        ),
    ];
    for (when, setup, is_cut) in cases {
        let mut plan = plan(100_000, 1);
        plan.region_mut(&us()).unwrap().newest_page.is_read = true;
        setup(&mut plan);
        let window = &plan.windows[&WindowId(0)];
        let Decision::Record(events) = plan.begin(WindowId(0), window, &context(100)) else { panic!("{when}") };
        let cut = events.iter().find_map(|event| match event {
            PlanEvent::WindowSplit { at, .. } => Some(at.get()),
            _ => None,
        });
        assert_eq!(cut, is_cut.then_some(1_000), "{when}");
        assert!(matches!(events.last(), Some(PlanEvent::ScanStarted { .. })), "{when}: {events:?}");
    }
}

#[test]
fn a_window_that_is_not_due_waits() {
    let mut plan = plan(100_000, 1);
    plan.windows.get_mut(&WindowId(0)).unwrap().again.not_before = Some(at(1_010));
    let begun =
        |now| plan.begin(WindowId(0), &plan.windows[&WindowId(0)], &PlanContext { now: at(now), ..context(100) });
    assert_eq!(begun(1_009), Decision::Wait(at(1_010)));
    assert!(matches!(begun(1_010), Decision::Record(_)));
}

/// Each window would read what lies before it, so those that have brought nothing are joined to the one before them.
#[test]
fn where_the_lower_bound_is_not_kept_to_windows_without_rows_are_joined() {
    let mut plan = plan(100_000, 1);
    for (window, second) in [(0, 10_000), (1, 20_000), (2, 30_000)] {
        let (window, new) = (WindowId(window), WindowId(window + 1));
        plan.apply_event(&PlanEvent::WindowSplit { window, at: at(second), new });
    }
    let joined = |plan: &Planner| -> Vec<(u32, i64)> {
        let joins = plan.stop_cutting().into_iter().filter_map(|event| match event {
            PlanEvent::WindowsJoined { window, until } => Some((window.0, until.get())),
            _ => None,
        });
        joins.collect()
    };
    assert_eq!(joined(&plan), [(0, 100_000)]);
    plan.windows.get_mut(&WindowId(2)).unwrap().bounded = true;
    assert_eq!(
        joined(&plan),
        [(0, 20_000)],
        "what is read within its own bounds keeps to them, and ends what is joined"
    );
}
