//! A lower bound that is rounded down or ignored.

use super::behaviour::Behaviour;
use super::model::range_of;
use super::scenario::{START, Scenario, uniform};

/// Each scan then begins with what lies before its anchor, so that one walk reads on to the end.
#[test]
fn a_minimum_that_is_rounded_costs_little_and_loses_nothing() {
    for (rounded, most) in [(60, 700), (3_600, 700), (86_400, 800)] {
        let behaviour = Behaviour { min_rounded_to: rounded, ..Behaviour::default() };
        let scenario = Scenario::with(behaviour, vec![("US", uniform(6_000, 10 * 86_400, 15))], 10 * 86_400, 1);
        let range = scenario.drive.range;
        let outcome = scenario.run();
        assert_eq!((&outcome.stopped, outcome.missing(range).len()), (&None, 0), "{rounded}");
        assert!(outcome.requests <= most, "{rounded}: {}", outcome.requests);
    }
}

/// Then each scan begins with the region's first row, and the page on which the asked time begins is no sign of left out rows: it was asked
/// again, and its second was read again, every 20 s and without end.
#[test]
fn a_minimum_that_is_ignored_is_read_in_one_walk_and_nothing_is_listed() {
    for workers in [1, 16] {
        let behaviour = Behaviour { min_rounded_to: i64::MAX, ..Behaviour::default() };
        let mut scenario = Scenario::with(behaviour, vec![("US", uniform(3_000, 86_400, 15))], 86_400, 1);
        scenario.drive.workers = workers;
        let range = scenario.drive.range;
        let outcome = scenario.run();
        let told = format!("{workers} workers: {} requests, {:?}", outcome.requests, outcome.stopped);
        assert_eq!((&outcome.stopped, outcome.missing(range).len(), outcome.listed_seconds()), (&None, 0, 0), "{told}");
        assert!(outcome.requests <= 450, "{told}");
    }
}

/// A rounded minimum brings rows of before a range that begins at midnight, since what is asked is a second wider: each start ended with 6 after
/// four requests.
#[test]
fn rows_before_the_range_are_read_past_where_they_are_few_and_end_the_run_where_they_are_many() {
    const DAY: i64 = 86_400;
    for (rounded, most) in [(60, 360), (3_600, 390), (DAY, 460), (i64::MAX, 700)] {
        let behaviour = Behaviour { min_rounded_to: rounded, ..Behaviour::default() };
        let mut scenario = Scenario::with(behaviour, vec![("US", uniform(4_200, 14 * DAY, 15))], 14 * DAY, 1);
        scenario.drive.range = range_of(START + 4 * DAY, 10 * DAY);
        let range = scenario.drive.range;
        let outcome = scenario.run();
        let told = format!("{rounded}: {} requests, {:?}", outcome.requests, outcome.stopped);
        assert_eq!((&outcome.stopped, outcome.missing(range).len()), (&None, 0), "{told}");
        assert!(outcome.requests <= most, "{told}");
    }
    let behaviour = Behaviour { min_rounded_to: i64::MAX, ..Behaviour::default() };
    let mut scenario = Scenario::with(behaviour, vec![("US", uniform(42_000, 14 * DAY, 15))], 14 * DAY, 1);
    scenario.drive.range = range_of(START + 4 * DAY, 10 * DAY);
    let outcome = scenario.run();
    let told = format!("{} requests, {:?}", outcome.requests, outcome.stopped);
    assert!(outcome.stopped.is_some_and(|why| why.contains("alone")) && outcome.requests <= 11, "{told}");
}
