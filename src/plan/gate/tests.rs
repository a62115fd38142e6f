use super::*;
use crate::api::contract::Filters;
use crate::plan::event::{Again, ScanReason};
use crate::plan::fact::PageAddress;
use crate::plan::testing::{page_of, range, us};
use crate::units::PageNumber;

/// A run of the seconds from 0 to 100, whose only window has begun.
fn begun() -> Planner {
    let mut plan = Planner::new(&[us()], Filters::default(), range(0, 100));
    plan.opening().iter().for_each(|event| plan.apply_event(event));
    plan.apply_event(&PlanEvent::ScanStarted {
        window: WindowId(0),
        scan: 0,
        anchor: EpochSeconds::new(0),
        asked_min: EpochSeconds::new(-1),
        asked_max: EpochSeconds::new(100),
        at: EpochSeconds::new(1_000),
        why: ScanReason::First,
    });
    plan
}

/// Folds a page of its walk in, of rows at these seconds, whose second is their id.
fn read(plan: &mut Planner, page: u32, seconds: impl Iterator<Item = i64>) {
    let purpose = Purpose::Walk { window: WindowId(0), scan: 0 };
    let address = PageAddress { region: us(), purpose, page: PageNumber::new(page).unwrap() };
    plan.apply_page(&page_of(address, EpochSeconds::new(1_000 + i64::from(page)), seconds));
}

/// What would be listed and read again, were the window over.
fn decided(plan: &Planner, listed: &[PlanEvent]) -> (Vec<PlanEvent>, Vec<PlanEvent>) {
    let context = PlanContext::usual().confirming(20);
    plan.open_at_the_end((&plan.windows[&WindowId(0)], Ending::RowBeyond), listed, &context)
}

fn finish(plan: &mut Planner, events: Vec<PlanEvent>) {
    let walk = plan.windows[&WindowId(0)].walk().unwrap();
    let finished = plan.finished(WindowId(0), Ending::RowBeyond, walk);
    plan.apply_event(&finished);
    events.iter().for_each(|event| plan.apply_event(event));
}

/// Its second page never came.
fn with_a_hole() -> Planner {
    let mut plan = begun();
    read(&mut plan, 1, 0..10);
    read(&mut plan, 3, 30..40);
    (4..=10).for_each(|page| read(&mut plan, page, i64::from(page - 1) * 10 + 10..i64::from(page) * 10 + 10));
    plan
}

#[test]
fn what_pages_prove_passes() {
    let mut plan = begun();
    (1..=11).for_each(|page| read(&mut plan, page, i64::from(page - 1) * 10..i64::from(page) * 10));
    assert_eq!(decided(&plan, &[]), (vec![], vec![]));
}

#[test]
fn what_no_page_shows_is_read_again_by_a_window_of_its_own_and_the_rest_stays_done() {
    let mut plan = with_a_hole();
    let (lists, again) = decided(&plan, &[]);
    assert_eq!(lists, []);
    let [PlanEvent::SecondsReadAgain { window, range: open, times: 1, not_before: None, .. }] = again[..] else {
        panic!("{again:?}");
    };
    assert!(open.covers(range(10, 30)) && open.start >= EpochSeconds::new(9), "{open}");
    finish(&mut plan, again);
    let done = plan.done(plan.region(&us()).unwrap());
    assert_eq!(
        done,
        [TimeRange::new(EpochSeconds::new(0), open.start), TimeRange::new(open.end, EpochSeconds::new(100))]
    );
    assert_eq!((plan.watermark(&us()), plan.window_range(window)), (open.start, Some(open)));
    assert!(plan.reopened().is_empty(), "nothing of it was published");
}

#[test]
fn what_was_read_again_often_enough_is_listed_with_what_is_missing() {
    let mut plan = with_a_hole();
    plan.windows.get_mut(&WindowId(0)).unwrap().again.times = MOST_TIMES;
    let (lists, again) = decided(&plan, &[]);
    assert_eq!(again, []);
    let [PlanEvent::UnprovenListed { lacks: Some(lacks), again: Again::Once, why, range: open, .. }] = &lists[..]
    else {
        panic!("{lists:?}");
    };
    assert!(open.covers(range(10, 30)));
    assert_eq!(why, lacks.why());
    assert_eq!(decided(&plan, &lists), (vec![], vec![]), "what is listed is not listed twice");
}

#[test]
fn a_region_that_has_spent_its_budget_reads_nothing_again() {
    let mut plan = with_a_hole();
    plan.region_mut(&us()).unwrap().again.rows = FEW_ROWS;
    let (lists, again) = decided(&plan, &[]);
    assert_eq!((lists.len(), again), (1, vec![]));
}

/// A second beside it may be what cannot be read.
#[test]
fn what_was_read_within_its_own_bounds_is_read_again_within_them() {
    let mut plan = with_a_hole();
    plan.windows.get_mut(&WindowId(0)).unwrap().bounded = true;
    let (_, again) = decided(&plan, &[]);
    let [PlanEvent::SecondsReadAgain { window, .. }, PlanEvent::WindowBounded { window: bounded }] = again[..] else {
        panic!("{again:?}");
    };
    assert_eq!(window, bounded);
    finish(&mut plan, again);
    assert!(plan.windows[&window].bounded && plan.windows[&window].is_waiting());
}

#[test]
fn the_second_time_waits_until_trouble_had_time_to_pass() {
    let mut plan = with_a_hole();
    plan.windows.get_mut(&WindowId(0)).unwrap().again.times = 1;
    let (_, again) = decided(&plan, &[]);
    let until = EpochSeconds::new(1_020);
    assert!(matches!(again[..], [PlanEvent::SecondsReadAgain { times: 2, not_before: Some(at), .. }] if at == until));
    finish(&mut plan, again);
    let at = |now: EpochSeconds| PlanContext { now, ..PlanContext::usual().confirming(20) };
    assert_eq!(plan.next(None, &at(EpochSeconds::new(1_019))), Decision::Wait(until));
    let Decision::Record(events) = plan.next(None, &at(until)) else { panic!("it is not begun") };
    assert!(matches!(events[..], [PlanEvent::ScanStarted { why: ScanReason::First, .. }]), "{events:?}");
}

#[test]
fn what_takes_a_look_later_is_left_to_the_confirmation_of_ends_but_where_pages_strayed() {
    use crate::plan::evidence::premise::Missing;
    assert_eq!(lack_of(Missing::EndWitness(20), true), None);
    assert_eq!(lack_of(Missing::SecondReading(20), false), None);
    assert_eq!(lack_of(Missing::SecondReading(20), true), Some(Lacks::SecondReading));
    assert_eq!(lack_of(Missing::NewerBracket, false), Some(Lacks::ToAfter));
}

/// A stored name is read for ever.
#[test]
fn reasons_are_stored_by_their_names() {
    let names = [
        "reading",
        "to_before",
        "to_after",
        "full_pages",
        "rows",
        "stable_ties",
        "one_page",
        "whole_pages",
        "second_reading",
    ];
    for name in names {
        let lacks: Lacks = serde_json::from_str(&format!("\"{name}\"")).unwrap();
        assert_eq!(serde_json::to_string(&lacks).unwrap(), format!("\"{name}\""));
        assert_eq!(lacks.name(), name);
        assert!(lacks.why().ends_with("would settle it"), "{name}");
    }
}
