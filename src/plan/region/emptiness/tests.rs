use super::*;
use crate::plan::fact::PageAddress;
use crate::plan::reads::Reads;
use crate::plan::testing::{page_of, range, us};
use crate::units::PageNumber;

/// What a service answers to each question about a region that was asked for its seconds 200 to 300.
#[derive(Clone, Copy)]
struct Service<'a> {
    /// The range, without the user's filters.
    without_filters: &'a [i64],
    /// No range and no filters, newest first.
    without_range: &'a [i64],
    /// The time around a known row.
    known_second: &'a [i64],
    /// Whether the output has held rows of the region.
    is_known: bool,
}

const NOTHING: Service<'_> = Service { without_filters: &[], without_range: &[], known_second: &[], is_known: false };

/// What is believed in the end, and how many questions that took, the first page of the range among them.
fn judged(service: Service<'_>, has_filters: bool) -> (Result<Emptiness, Contradiction>, u32) {
    let mut plan = RegionPlan::reading(&Reads::whole(us(), range(200, 300)), range(200, 300));
    plan.answers.is_known = service.is_known;
    let mut asked = 1;
    plan.answers.first_pages_empty = 1;
    loop {
        let purpose = match plan.emptiness(has_filters) {
            Ok(Emptiness::Ask(purpose)) => purpose,
            Ok(Emptiness::AskAgain) => {
                (plan.answers.first_pages_empty, asked) = (plan.answers.first_pages_empty + 1, asked + 1);
                continue;
            }
            judged => return (judged, asked),
        };
        asked += 1;
        assert!(asked < 30, "no end: {purpose:?}");
        let seconds = match purpose {
            Purpose::WithoutFilters => service.without_filters,
            Purpose::WithoutRange => service.without_range,
            _ => service.known_second,
        };
        let address = PageAddress { region: us(), purpose, page: PageNumber::FIRST };
        plan.apply(&page_of(address, EpochSeconds::new(1_000), seconds.iter().copied()), false);
    }
}

#[test]
fn an_empty_range_is_believed_where_the_question_was_understood() {
    let outside = Service { without_range: &[150, 120], known_second: &[150], ..NOTHING };
    assert_eq!(judged(outside, false), (Ok(Emptiness::Believed), 3));
    let filtered = Service { without_filters: &[250], ..NOTHING };
    assert_eq!(judged(filtered, true), (Ok(Emptiness::Believed), 2), "the filters leave nothing of it");
    assert_eq!(judged(outside, true), (Ok(Emptiness::Believed), 4));
}

#[test]
fn a_region_without_any_row_is_believed_by_what_the_output_held_alone() {
    assert_eq!(judged(NOTHING, false), (Ok(Emptiness::Unproven), 2));
    assert_eq!(judged(Service { is_known: true, ..NOTHING }, false), (Ok(Emptiness::Believed), 2));
}

#[test]
fn a_known_row_that_is_never_found_says_that_seconds_are_not_understood() {
    let service = Service { without_range: &[150, 120], ..NOTHING };
    for has_filters in [false, true] {
        let (judged, asked) = judged(service, has_filters);
        assert!(matches!(judged, Err(Contradiction::SecondsNotUnderstood { .. })), "{judged:?}");
        assert_eq!(asked, if has_filters { 7 } else { 6 }, "the range, twice without one, three times around a row");
    }
}

#[test]
fn rows_of_the_range_that_come_only_when_another_is_asked_are_hidden_by_it() {
    let several = Service { without_range: &[260, 250], known_second: &[260, 250], ..NOTHING };
    let (hidden, _) = judged(several, false);
    assert!(matches!(hidden, Err(Contradiction::RangeHidesRows { .. })), "{hidden:?}");
    let (hidden, _) = judged(several, true);
    assert!(matches!(hidden, Err(Contradiction::RangeHidesRows { .. })), "{hidden:?}");
    let one = Service { without_range: &[260, 250], known_second: &[260], ..NOTHING };
    assert_eq!(judged(one, false).0, Ok(Emptiness::OneRow), "one alone may have a wrong date");
}

#[test]
fn what_could_not_be_asked_leaves_it_unproven() {
    let mut plan = RegionPlan::reading(&Reads::whole(us(), range(200, 300)), range(200, 300));
    plan.answers.failed = true;
    assert_eq!(plan.emptiness(true), Ok(Emptiness::Unproven));
}

/// What was answered before all was asked anew says nothing any more, and each question may be asked as often again.
#[test]
fn where_all_is_asked_anew_each_question_counts_from_the_start() {
    let mut plan = RegionPlan::reading(&Reads::whole(us(), range(200, 300)), range(200, 300));
    let answer = |plan: &mut RegionPlan, purpose, seconds: &[i64]| {
        let address = PageAddress { region: us(), purpose, page: PageNumber::FIRST };
        plan.apply(&page_of(address, EpochSeconds::new(1_000), seconds.iter().copied()), false);
    };
    for _ in 0..2 {
        let mut asked = Vec::new();
        while let Ok(Emptiness::Ask(purpose)) = plan.emptiness(false) {
            asked.push(purpose);
            let rows: &[i64] = if purpose == Purpose::WithoutRange { &[150] } else { &[] };
            answer(&mut plan, purpose, rows);
        }
        let (without, around) = (Purpose::WithoutRange, Purpose::KnownSecond);
        assert_eq!(asked, [without, around, around, without, around]);
        assert!(plan.emptiness(false).is_err());
        plan.ask_anew();
    }
}
