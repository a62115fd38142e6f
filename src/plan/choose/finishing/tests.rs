use super::*;
use crate::plan::event::ScanReason;
use crate::plan::fact::{PageAddress, Purpose};
use crate::plan::testing::{at, page_of, range, us, windows_of_a_hundred};
use crate::units::PageNumber;

/// The seconds 0 to 400 in windows of a hundred, the first of which asks to the end of the run and has read rows at these seconds, and an
/// empty page.
fn ended_at(seconds: impl IntoIterator<Item = i64>) -> Planner {
    let mut plan = windows_of_a_hundred(4);
    plan.apply_event(&PlanEvent::ScanStarted {
        window: WindowId(0),
        scan: 0,
        anchor: at(0),
        asked_min: at(-1),
        asked_max: at(400),
        at: at(1_000),
        why: ScanReason::First,
    });
    let purpose = Purpose::Walk { window: WindowId(0), scan: 0 };
    let address = |page| PageAddress { region: us(), purpose, page: PageNumber::new(page).unwrap() };
    plan.apply_page(&page_of(address(1), at(1_001), seconds));
    plan.apply_page(&page_of(address(2), at(1_002), []));
    plan
}

fn with_walk<T>(plan: &Planner, of: impl FnOnce(&Window, &Walk) -> T) -> T {
    let window = &plan.windows[&WindowId(0)];
    of(window, window.walk().unwrap())
}

fn nothing_follows(plan: &Planner, ending: Ending) -> Option<TimeRange> {
    match with_walk(plan, |window, walk| plan.nothing_follows(window, walk, ending)) {
        None => None,
        Some(PlanEvent::NothingFollows { range, .. }) => Some(range),
        Some(other) => panic!("{other:?}"),
    }
}

/// What is read of the time after a window by others may show that its end was false.
#[test]
fn an_empty_page_says_that_nothing_follows_where_others_read_on_and_no_later_row_is_known() {
    type Setup = fn(&mut Planner);
    let knows = |plan: &mut Planner, second| plan.region_mut(&us()).unwrap().extent.newest = Some(at(second));
    let cases: [(&str, Setup, Ending, Option<TimeRange>); 4] = [
        ("usually", |_| (), Ending::EmptyPage, Some(range(30, 100))),
        ("where a row beyond ended it", |_| (), Ending::RowBeyond, None),
        ("where no other window follows", join_all, Ending::EmptyPage, None),
        ("where it was listed", |_| (), Ending::Listed, None),
    ];
    for (when, setup, ending, wanted) in cases {
        let mut plan = ended_at([28, 29, 30]);
        setup(&mut plan);
        assert_eq!(nothing_follows(&plan, ending), wanted, "{when}");
    }
    for (newest, wanted) in [(99, Some(range(30, 100))), (100, None), (250, None)] {
        let mut plan = ended_at([28, 29, 30]);
        knows(&mut plan, newest);
        assert_eq!(nothing_follows(&plan, Ending::EmptyPage), wanted, "a row of {newest} is known");
    }
}

fn join_all(plan: &mut Planner) {
    plan.apply_event(&PlanEvent::WindowsJoined { window: WindowId(0), until: at(400) });
}

/// The windows that need no page any more.
fn finished_unread(plan: &Planner) -> Vec<u32> {
    let finished = |event: PlanEvent| match event {
        PlanEvent::WindowFinished { window, rows: 0, pages: 0, .. } => Some(window.0),
        _ => None,
    };
    with_walk(plan, |window, walk| plan.nothing_beyond(window, walk)).into_iter().filter_map(finished).collect()
}

#[test]
fn the_end_of_a_walk_is_that_of_every_window_it_asked_for_that_nobody_has_begun() {
    assert_eq!(finished_unread(&ended_at([10])), [1, 2, 3]);
    let mut begun = ended_at([10]);
    let (anchor, asked_min, asked_max, started) = (at(200), at(199), at(400), at(1_003));
    let (window, scan, why) = (WindowId(2), 0, ScanReason::First);
    begun.apply_event(&PlanEvent::ScanStarted { window, scan, anchor, asked_min, asked_max, at: started, why });
    assert_eq!(finished_unread(&begun), [1, 3], "one that was begun shows its own end");
    let mut bounded = ended_at([10]);
    bounded.apply_event(&PlanEvent::WindowBounded { window: WindowId(3) });
    assert_eq!(finished_unread(&bounded), [1, 2], "one within its own bounds is read by itself");
    let mut extended = ended_at([10]);
    extended.apply_event(&PlanEvent::RangeExtended { window: WindowId(4), region: us(), range: range(400, 500) });
    assert_eq!(finished_unread(&extended), [1, 2, 3], "what the run was extended by was not asked for");
}

#[test]
fn windows_up_to_a_later_row_that_is_known_are_read_and_the_others_are_told_to_be_empty() {
    let mut plan = ended_at([10]);
    plan.region_mut(&us()).unwrap().extent.newest = Some(at(299));
    assert_eq!(finished_unread(&plan), [3]);
    let told: Vec<TimeRange> = with_walk(&plan, |window, walk| plan.nothing_beyond(window, walk))
        .into_iter()
        .filter_map(|event| match event {
            PlanEvent::NothingFollows { range, .. } => Some(range),
            _ => None,
        })
        .collect();
    assert_eq!(told, [range(300, 400)]);
}

#[test]
fn nothing_is_said_of_short_pages_or_rows_that_are_gone_where_there_were_none() {
    let plan = ended_at([28, 29, 30]);
    assert_eq!(with_walk(&plan, |window, walk| plan.settle_believed(window, walk)), []);
    assert_eq!(with_walk(&plan, |window, walk| plan.gone(window, walk, Ending::EmptyPage)), None);
}
