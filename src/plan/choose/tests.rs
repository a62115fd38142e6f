use super::*;
use crate::api::contract::{Filters, Region};
use crate::plan::fact::{PageFact, RowKey, VideoKey};
use crate::plan::testing::{read_to_the_end, served};
use crate::units::{EpochSeconds, TimeRange};

const FIRST: WindowId = WindowId(0);

fn us() -> Region {
    "US".parse().unwrap()
}

fn range(start: i64, end: i64) -> TimeRange {
    TimeRange::new(EpochSeconds::new(start), EpochSeconds::new(end))
}

fn begin(plan: &mut Planner, window: WindowId, anchor: i64) {
    plan.apply_event(&PlanEvent::ScanStarted {
        window,
        scan: 0,
        anchor: EpochSeconds::new(anchor),
        asked_min: EpochSeconds::new(anchor - 1),
        asked_max: EpochSeconds::new(10_000),
        at: EpochSeconds::new(1_000),
        why: ScanReason::First,
    });
}

/// Folds pages of a window's walk in, a row a second.
fn read(plan: &mut Planner, window: WindowId, from: i64, pages: u32) {
    for page in 1..=pages {
        let first = from + i64::from(page - 1) * 10;
        let row = |at: i64| RowKey { second: EpochSeconds::new(at), video: VideoKey(at as u64) };
        let purpose = Purpose::Walk { window, scan: 0 };
        plan.apply_page(&PageFact {
            address: PageAddress { region: us(), purpose, page: PageNumber::new(page).unwrap() },
            fetched_at: EpochSeconds::new(1_000 + i64::from(page)),
            slots: 10,
            rows: (first..first + 10).map(row).collect(),
            check: Default::default(),
        });
    }
}

/// A run of the seconds from 0 to 10,000 that hold a row each, whose only window has read 30 of them.
fn walking() -> Planner {
    let mut plan = Planner::new(&[us()], Filters::default(), range(0, 10_000));
    plan.opening().iter().for_each(|event| plan.apply_event(event));
    begin(&mut plan, FIRST, 0);
    read(&mut plan, FIRST, 0, 3);
    let region = plan.region_mut(&us()).unwrap();
    (region.extent.newest, region.newest_page.is_read) = (Some(EpochSeconds::new(9_999)), true);
    plan
}

/// A reopened range was cut into windows of one second, each of which cost a page.
#[test]
fn what_is_read_again_is_neither_cut_nor_shared() {
    for (times, is_cut_up) in [(0, true), (1, false), (3, false)] {
        let mut plan = walking();
        plan.windows.get_mut(&FIRST).unwrap().again.times = times;
        let context = PlanContext { idle_workers: 3, ..PlanContext::usual() };
        assert_eq!(plan.first_cut(&context).is_some(), is_cut_up, "{times} times, first cut");
        assert_eq!(plan.share(&context).is_some(), is_cut_up, "{times} times, share");
    }
}

#[test]
fn what_is_read_again_is_counted_once() {
    let mut plan = walking();
    plan.apply_event(&PlanEvent::WindowSplit { window: FIRST, at: EpochSeconds::new(5_000), new: WindowId(1) });
    let finished = |window, rows| {
        let (beyond, opening, edges) = (Vec::new(), Vec::new(), Vec::new());
        PlanEvent::WindowFinished {
            window,
            ending: Ending::RowBeyond,
            rows,
            pages: 500,
            excess: 0,
            beyond,
            opening,
            edges,
        }
    };
    plan.apply_event(&finished(FIRST, 5_000));
    let density = |plan: &Planner| plan.density(plan.region(&us()).unwrap());
    let counted = (density(&plan), plan.region(&us()).unwrap().finished_rows());
    assert_eq!(counted, (1.0, 5_000));
    plan.windows.get_mut(&WindowId(1)).unwrap().again.times = 1;
    begin(&mut plan, WindowId(1), 5_000);
    read(&mut plan, WindowId(1), 5_000, 100);
    assert_eq!(density(&plan), 1.0, "while it is read");
    plan.apply_event(&finished(WindowId(1), 90_000));
    assert_eq!((density(&plan), plan.region(&us()).unwrap().finished_rows()), counted, "once it is over");
}

/// Windows that nobody had begun were over with the end of another, and stayed so when rows came beyond all of them.
#[test]
fn an_end_that_is_refuted_is_refuted_for_the_windows_that_were_over_with_it() {
    let mut plan = walking();
    for (window, at) in [(0, 5_000), (1, 6_000), (2, 7_000)] {
        let (window, new) = (WindowId(window), WindowId(window + 1));
        plan.apply_event(&PlanEvent::WindowSplit { window, at: EpochSeconds::new(at), new });
    }
    begin(&mut plan, WindowId(3), 7_000);
    let region = plan.region_mut(&us()).unwrap();
    region.extent.newest = Some(EpochSeconds::new(29));
    let window = &plan.windows[&FIRST];
    let walk = window.walk().unwrap();
    let mut events: Vec<PlanEvent> = plan.nothing_follows(window, walk, Ending::EmptyPage).into_iter().collect();
    events.extend(plan.nothing_beyond(window, walk));
    events.iter().for_each(|event| plan.apply_event(event));
    assert!(plan.is_over(WindowId(1)) && plan.is_over(WindowId(2)) && !plan.is_over(WindowId(3)), "{events:?}");
    let refuted = |plan: &Planner, newest| plan.region(&us()).unwrap().ends.refuted(Some(EpochSeconds::new(newest)));
    assert_eq!(refuted(&plan, 4_999), None);
    assert_eq!(refuted(&plan, 7_500), Some(range(29, 7_000)));
}

/// A walk knows of the time that it asked for alone.
#[test]
fn an_empty_page_says_nothing_of_time_that_was_not_asked_for() {
    for (min_end, max_inclusive, is_over) in
        [(9_999, false, true), (10_000, false, true), (10_001, false, false), (10_001, true, true)]
    {
        let mut plan = walking();
        plan.apply_event(&PlanEvent::WindowSplit { window: FIRST, at: EpochSeconds::new(5_000), new: WindowId(1) });
        plan.windows.get_mut(&WindowId(1)).unwrap().range.end = EpochSeconds::new(min_end);
        plan.profile.bounds.max_inclusive = max_inclusive;
        plan.region_mut(&us()).unwrap().extent.newest = Some(EpochSeconds::new(29));
        let window = &plan.windows[&FIRST];
        let events = plan.nothing_beyond(window, window.walk().unwrap());
        let finishes = events.iter().any(|event| matches!(event, PlanEvent::WindowFinished { .. }));
        assert_eq!(finishes, is_over, "{min_end} {max_inclusive}");
    }
}

/// Windows were cut one second wide, and each cost a page that showed the next row days later: the density that they were cut by was that of
/// a crowded second behind them, and only the window right before a waiting one told where nothing is.
#[test]
fn what_any_window_has_shown_to_be_empty_is_no_share_of_the_next() {
    for empty in [range(100, 5_000), range(50, 5_000), range(0, 5_000)] {
        let mut plan = walking();
        plan.apply_event(&PlanEvent::WindowSplit { window: FIRST, at: EpochSeconds::new(100), new: WindowId(1) });
        plan.region_mut(&us()).unwrap().extent.empty = empty;
        let window = plan.windows.get(&WindowId(1)).unwrap();
        let Decision::Record(events) = plan.begin(WindowId(1), window, &PlanContext::usual()) else { panic!() };
        let [PlanEvent::WindowSplit { at, .. }, PlanEvent::ScanStarted { anchor, .. }] = events[..] else {
            panic!("{events:?}")
        };
        assert!(at > empty.end, "{empty}: {at}");
        assert_eq!(anchor, EpochSeconds::new(100), "it is read all the same");
    }
}

/// Pages come empty while trouble lasts, but for those that ask without a range or for a known second.
#[test]
fn a_range_that_seems_to_hide_its_rows_ends_the_run_only_where_it_does_so_apart_in_time() {
    for (trouble, is_read) in [(10, true), (100, false)] {
        let mut plan = Planner::new(&[us()], Filters::default(), range(0, 1_000));
        let mut came = 0;
        read_to_the_end(&mut plan, |task, now| {
            let is_shown = matches!(task.address.purpose, Purpose::WithoutRange | Purpose::KnownSecond);
            let page = served(task, 996, now, |_| is_shown || now.get() >= 1_000 + trouble);
            came += u32::from(!is_shown && page.slots > 0);
            Some(page)
        });
        assert_eq!((plan.is_done(), came > 20), (is_read, is_read), "{trouble}");
    }
}
