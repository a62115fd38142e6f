use super::*;
use crate::api::contract::Filters;
use crate::plan::event::{Ending, PlanEvent, ScanReason};
use crate::plan::fact::{PageAddress, RowKey, VideoKey, WindowId};
use crate::plan::planner::PlanContext;
use crate::plan::testing::{range, us};
use crate::units::{EpochSeconds, PageNumber};

/// A run of the seconds from 0 to 100, in two windows that meet at 50 and have begun.
fn begun() -> Planner {
    let mut plan = Planner::new(&[us()], Filters::default(), range(0, 100));
    plan.opening().iter().for_each(|event| plan.apply_event(event));
    plan.apply_event(&PlanEvent::WindowSplit { window: WindowId(0), at: EpochSeconds::new(50), new: WindowId(1) });
    for (window, anchor) in [(0, 0), (1, 50)] {
        plan.apply_event(&PlanEvent::ScanStarted {
            window: WindowId(window),
            scan: 0,
            anchor: EpochSeconds::new(anchor),
            asked_min: EpochSeconds::new(anchor - 1),
            asked_max: EpochSeconds::new(100),
            at: EpochSeconds::new(1_000),
            why: ScanReason::First,
        });
    }
    plan
}

/// Folds a page of a window's walk in, of these rows (second, id) and so many that cannot be placed.
fn read(plan: &mut Planner, (window, page): (u32, u32), rows: &[(i64, u64)], unplaced: u32) {
    let purpose = Purpose::Walk { window: WindowId(window), scan: 0 };
    let address = PageAddress { region: us(), purpose, page: PageNumber::new(page).unwrap() };
    let row = |(second, id): &(i64, u64)| RowKey { second: EpochSeconds::new(*second), video: VideoKey(*id) };
    let rows: Vec<RowKey> = rows.iter().map(row).collect();
    let slots = rows.len() as u32 + unplaced;
    let fetched_at = EpochSeconds::new(1_000 + i64::from(page));
    plan.apply_page(&PageFact { address, fetched_at, slots, rows, check: Default::default() });
}

fn rows(of: std::ops::Range<i64>) -> Vec<(i64, u64)> {
    of.map(|second| (second, second as u64 + 1)).collect()
}

/// The first window is read and over; the second page of it holds a row that cannot be placed, or else another one.
fn with_a_first_window(is_blind: bool) -> Planner {
    let mut plan = begun();
    read(&mut plan, (0, 1), &rows(0..10), 0);
    let (second, unplaced) = if is_blind { (rows(10..19), 1) } else { (rows(10..20), 0) };
    read(&mut plan, (0, 2), &second, unplaced);
    read(&mut plan, (0, 3), &rows(20..30), 0);
    read(&mut plan, (0, 4), &rows(30..40), 0);
    // Its last page goes on into the second window, where two rows share a second.
    read(&mut plan, (0, 5), &[rows(40..48), vec![(60, 61), (60, 62)]].concat(), 0);
    let window = &plan.windows[&WindowId(0)];
    let finished = plan.finished(WindowId(0), Ending::RowBeyond, window.walk().unwrap());
    let decision =
        plan.gate((WindowId(0), window), Ending::RowBeyond, Decision::Record(vec![finished]), &PlanContext::usual());
    let Decision::Record(events) = decision else { panic!("{decision:?}") };
    events.iter().for_each(|event| plan.apply_event(event));
    plan
}

/// The second window's first page, on which these two share second 60.
fn read_the_second(plan: &mut Planner, two: [u64; 2]) {
    read(plan, (1, 1), &[two.map(|id| (60, id)).to_vec(), rows(61..69)].concat(), 0);
}

/// What is listed now that the order is seen to change; none where it is not.
fn listed(plan: &Planner) -> Option<Vec<TimeRange>> {
    let Decision::Record(mut events) = plan.tell_ties_move()? else { panic!("nothing is recorded") };
    assert_eq!(events.pop(), Some(PlanEvent::TiesMove));
    let lists = events.iter().map(|event| match event {
        PlanEvent::UnprovenListed { range, lacks: Some(Lacks::StableTies), .. } => *range,
        other => panic!("{other:?}"),
    });
    Some(lists.collect())
}

#[test]
fn what_is_believed_on_an_order_is_listed_once_that_is_seen_to_change() {
    let mut plan = with_a_first_window(true);
    assert_eq!(listed(&plan), None, "nothing has moved");
    read_the_second(&mut plan, [62, 61]);
    let ranges = listed(&plan).unwrap();
    let lies_there = |range: &TimeRange| TimeRange::new(EpochSeconds::new(9), EpochSeconds::new(21)).covers(*range);
    assert!(!ranges.is_empty() && ranges.iter().all(lies_there), "{ranges:?}");
    assert!(plan.has_late_doubts());
    let Some(Decision::Record(events)) = plan.tell_ties_move() else { panic!("nothing is told") };
    events.iter().for_each(|event| plan.apply_event(event));
    assert_eq!((listed(&plan), plan.has_late_doubts()), (None, false), "it is told once");
}

#[test]
fn a_later_start_knows_what_was_believed_and_what_was_told() {
    let mut plan = begun();
    plan.apply_event(&PlanEvent::TiesBelieved { region: us(), ranges: vec![range(10, 20)] });
    read_the_second(&mut plan, [61, 62]);
    read(&mut plan, (0, 1), &[rows(0..8), vec![(60, 62), (60, 61)]].concat(), 0);
    assert_eq!(listed(&plan), Some(vec![range(10, 20)]));
    let mut later = begun();
    later.apply_event(&PlanEvent::TiesMove);
    assert!(later.profile.order.ties_move);
    assert_eq!(listed(&later), None);
}

#[test]
fn nothing_is_listed_where_the_order_stays() {
    let mut plan = with_a_first_window(true);
    read_the_second(&mut plan, [61, 62]);
    assert_eq!(listed(&plan), None);
}

#[test]
fn nothing_is_listed_where_every_row_can_be_told_from_others() {
    let mut plan = with_a_first_window(false);
    read_the_second(&mut plan, [62, 61]);
    assert_eq!(listed(&plan), Some(vec![]));
}
