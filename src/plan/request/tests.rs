use super::*;
use crate::plan::testing::{at, page_of, range, us};

const ALL: PageNumber = PageNumber::FIRST;

/// A run of the seconds from 1,000 to 2,000, with one window of the same, of a service whose bounds are known to be so.
fn plan(min_inclusive: bool, max_inclusive: bool) -> Planner {
    let filters = Filters { sales_flag: Some(1), ..Filters::default() };
    let mut plan = Planner::new(&[us()], filters, range(1_000, 2_000));
    plan.opening().iter().for_each(|event| plan.apply_event(event));
    (plan.profile.bounds.min_inclusive, plan.profile.bounds.max_inclusive) = (min_inclusive, max_inclusive);
    plan
}

/// The bounds that a scan of a window from 1,200 to 1,500 asks, from 1,300 on.
fn bounds(plan: &Planner, is_bounded: bool, why: ScanReason) -> (i64, i64) {
    let mut window = Window::new(us(), range(1_200, 1_500));
    window.bounded = is_bounded;
    match plan.scan((WindowId(0), &window), at(1_300), why, &PlanContext::usual()) {
        PlanEvent::ScanStarted { asked_min, asked_max, .. } => (asked_min.get(), asked_max.get()),
        other => panic!("{other:?}"),
    }
}

/// A bound that is not known to take its second in is asked a second wider, so that each meaning serves what is wanted.
#[test]
fn a_scan_asks_to_the_end_of_the_run_or_of_its_window_or_one_second() {
    let asked = |min, max| {
        let plan = plan(min, max);
        [
            bounds(&plan, false, ScanReason::Scheduled),
            bounds(&plan, true, ScanReason::Scheduled),
            bounds(&plan, false, ScanReason::FromEnd),
            bounds(&plan, true, ScanReason::FromEnd),
        ]
    };
    assert_eq!(asked(false, false), [(1_299, 2_000), (1_299, 1_500), (1_299, 1_301), (1_299, 1_301)]);
    assert_eq!(asked(true, false), [(1_300, 2_000), (1_300, 1_500), (1_300, 1_301), (1_300, 1_301)]);
    assert_eq!(asked(false, true), [(1_299, 1_999), (1_299, 1_499), (1_299, 1_300), (1_299, 1_300)]);
    assert_eq!(asked(true, true), [(1_300, 1_999), (1_300, 1_499), (1_300, 1_300), (1_300, 1_300)]);
}

#[test]
fn what_a_scan_surely_asks_for_ends_by_what_is_known_of_the_upper_bound() {
    let scan =
        |why| Scan { number: 0, anchor: at(1_300), asked_min: at(1_299), asked_max: at(1_999), started_at: at(0), why };
    let ends = |max| {
        let plan = plan(false, max);
        [ScanReason::First, ScanReason::FromEnd].map(|why| plan.asked_end(&scan(why)).get())
    };
    assert_eq!(ends(false), [1_999, 1_301]);
    assert_eq!(ends(true), [2_000, 1_301]);
}

/// A question about a region: its bounds, its order, and whether the user's filters are asked with it.
type Question = (Option<(i64, i64)>, TimeOrder, bool);

fn asked(plan: &Planner, purpose: Purpose) -> Option<Question> {
    let task = plan.probe((WindowId(0), plan.region(&us()).unwrap()), purpose)?;
    assert_eq!((task.query.page, task.address.purpose, task.window), (ALL, purpose, WindowId(0)));
    let bounds = task.query.min_create_time.zip(task.query.max_create_time);
    let bounds = bounds.map(|(min, max)| (min.get(), max.get()));
    Some((bounds, task.query.order, task.query.filters == plan.filters))
}

#[test]
fn what_each_question_about_a_region_asks() {
    use TimeOrder::{NewestFirst, OldestFirst};
    let (wide, exact) = (plan(false, false), plan(true, true));
    let whole = Some((999, 2_000));
    let rules: [(Purpose, Option<Question>, Option<Question>); 6] = [
        (Purpose::Newest, Some((whole, NewestFirst, true)), Some((Some((1_000, 1_999)), NewestFirst, true))),
        (Purpose::ConfirmOldest, Some((whole, OldestFirst, true)), Some((Some((1_000, 1_999)), OldestFirst, true))),
        (Purpose::ConfirmNewest, Some((whole, NewestFirst, true)), Some((Some((1_000, 1_999)), NewestFirst, true))),
        (Purpose::WithoutFilters, Some((whole, NewestFirst, false)), Some((whole, NewestFirst, false))),
        (Purpose::WithoutRange, Some((None, NewestFirst, false)), Some((None, NewestFirst, false))),
        // It is asked of a stretch of time, by who counts.
        (Purpose::Count { anchor: at(1_000) }, None, None),
    ];
    for (purpose, from_wide, from_exact) in rules {
        assert_eq!((asked(&wide, purpose), asked(&exact, purpose)), (from_wide, from_exact), "{purpose:?}");
    }
    assert_eq!(asked(&wide, Purpose::Bounds), None, "no row is known to ask by");
    assert_eq!(asked(&wide, Purpose::Recheck { from: at(1_000) }), None, "nothing was believed");
}

/// Between the range and a row outside it nothing may stand but that row, so the side of the range comes first.
#[test]
fn the_range_comes_first_where_a_known_row_outside_it_is_looked_for() {
    let known = |second: i64| {
        let mut plan = plan(true, true);
        let purpose = Purpose::WithoutRange;
        plan.apply_page(&page_of(PageAddress { region: us(), purpose, page: ALL }, at(0), [second]));
        asked(&plan, Purpose::KnownSecond)
    };
    assert_eq!(known(500), Some((Some((499, 2_001)), TimeOrder::NewestFirst, false)), "before the range");
    assert_eq!(known(2_500), Some((Some((999, 2_501)), TimeOrder::OldestFirst, false)), "after the range");
}

#[test]
fn a_known_row_is_due_on_the_page_that_follows_what_was_shown() {
    let due = |newest: Option<i64>, why, setup: fn(&mut Planner)| {
        let mut plan = plan(true, true);
        setup(&mut plan);
        plan.region_mut(&us()).unwrap().extent.newest = newest.map(at);
        let scan =
            Scan { number: 0, anchor: at(1_300), asked_min: at(1_300), asked_max: at(1_999), started_at: at(0), why };
        let window = Window::new(us(), range(1_300, 2_000));
        let mut walk = Walk::new(window.range, None, scan);
        let first = plan.walk_task(WindowId(0), &window, &walk, ALL).expected.row;
        let purpose = Purpose::Walk { window: WindowId(0), scan: 0 };
        walk.apply(&page_of(PageAddress { region: us(), purpose, page: ALL }, at(0), 1_300..1_310));
        let next = plan.walk_task(WindowId(0), &window, &walk, PageNumber::new(2).unwrap()).expected.row;
        [first, next].map(|row| row.map(EpochSeconds::get))
    };
    let usual: fn(&mut Planner) = |_| ();
    assert_eq!(due(Some(1_800), ScanReason::First, usual), [Some(1_800), Some(1_800)]);
    assert_eq!(due(Some(1_309), ScanReason::First, usual), [Some(1_309), None], "it has come");
    assert_eq!(due(Some(1_200), ScanReason::First, usual), [None, None], "it lies before the scan");
    assert_eq!(due(None, ScanReason::First, usual), [None, None], "none is known");
    for why in [ScanReason::Doubt, ScanReason::KnownRow, ScanReason::Seam { until: at(1_400) }] {
        assert_eq!(due(Some(1_800), why, usual), [None, None], "{why:?}: whether it comes is the question");
    }
    assert_eq!(due(Some(1_800), ScanReason::First, |plan| plan.profile.order.sort_ignored = true), [None, None]);
}

/// The last second known may be the range's last: asked up to the range's end, what a cache had kept of another question answered it, and the
/// bound seemed to be ignored.
#[test]
fn a_question_about_the_lower_bound_ends_where_no_other_does() {
    let mut plan = plan(true, true);
    let address = PageAddress { region: us(), purpose: Purpose::Newest, page: PageNumber::FIRST };
    plan.apply_page(&page_of(address, at(3_000), [1_999, 1_990]));
    let asked = |number| {
        let region = plan.region(&us()).unwrap();
        let query = plan.minimum_task((WindowId(0), region), MinimumQuestion { number, since: None }).unwrap().query;
        (query.min_create_time.unwrap().get(), query.max_create_time.unwrap().get())
    };
    assert_eq!([asked(4), asked(5)], [(1_995, 1_995), (1_994, 1_994)]);
}
