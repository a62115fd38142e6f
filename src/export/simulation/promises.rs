//! Single promises of the plan, each against a service that would break it.

use super::model::{Behaviour, PastCap, Short, Sort, Ties};
use super::outcome::Outcome;
use super::scenario::{START, Scenario, bursty, daily, uniform};
use crate::plan::walk::Consistency;

pub(super) const MONTH: i64 = 31 * 86_400;

/// Requests that the last worker may send while no other has anything to do.
const MOST_ALONE: u64 = 30;

fn exact(scenario: Scenario) -> u64 {
    let range = scenario.drive.range;
    let outcome = scenario.run();
    assert_eq!(outcome.stopped, None);
    assert_eq!(outcome.missing(range), vec![]);
    assert_eq!(outcome.listed_seconds(), 0, "{:?}", outcome.listed().collect::<Vec<_>>());
    outcome.requests
}

/// A month of an honest service, of which nothing is missing.
pub(super) fn read_month(seconds: Vec<i64>, workers: usize, consistency: Consistency) -> Outcome {
    let mut scenario = Scenario::of(seconds, MONTH);
    (scenario.drive.workers, scenario.drive.consistency, scenario.drive.slices) = (workers, consistency, 0.0);
    let range = scenario.drive.range;
    let outcome = scenario.run();
    assert_eq!(outcome.missing(range).len(), 0);
    outcome
}

/// Requests over the floor, as a share, and the requests that the last worker sent alone.
fn price(seconds: Vec<i64>, workers: usize, consistency: Consistency) -> (f64, u64) {
    let floor = seconds.len().div_ceil(10) as f64;
    let outcome = read_month(seconds, workers, consistency);
    assert_eq!(outcome.listed_seconds(), 0);
    let over = outcome.requests as f64 / floor - 1.0;
    println!("{workers} {consistency:?}: {:.4} % over, alone {}, {:?}", over * 100.0, outcome.alone, outcome.stretches);
    (over, outcome.alone)
}

#[test]
fn two_hundred_thousand_rows_cost_little_over_the_floor_and_leave_nobody_alone() {
    for (workers, most) in [(16, 0.004), (128, 0.03)] {
        for seconds in [uniform(200_000, MONTH, 1), daily(200_000, MONTH, 2), bursty(200_000, MONTH, 3)] {
            let (over, alone) = price(seconds, workers, Consistency::Anchored);
            assert!(over <= most && alone <= MOST_ALONE, "{workers} workers: {over} {alone}");
        }
    }
}

#[test]
#[ignore = "takes a minute"]
fn a_million_rows_cost_little_over_the_floor() {
    for (workers, consistency, most) in
        [(16, Consistency::Anchored, 0.001), (16, Consistency::Deep, 0.000_6), (128, Consistency::Anchored, 0.003_5)]
    {
        for seconds in [uniform(1_000_000, MONTH, 1), daily(1_000_000, MONTH, 2), bursty(1_000_000, MONTH, 3)] {
            let (over, _) = price(seconds, workers, consistency);
            assert!(over <= most, "{workers} {consistency:?}: {over}");
        }
    }
}

#[test]
fn a_low_cap_loses_nothing_however_it_shows() {
    for past_cap in [PastCap::Empty, PastCap::Refused, PastCap::LastPageAgain] {
        for cap in [5, 50, 500] {
            let behaviour = Behaviour { cap, past_cap, ..Behaviour::default() };
            exact(Scenario::with(behaviour, vec![("US", uniform(20_000, MONTH, 4))], MONTH, 1));
        }
    }
}

#[test]
fn each_reading_of_the_bounds_gives_every_row() {
    for (min_inclusive, max_inclusive) in [(true, true), (true, false), (false, true), (false, false)] {
        let behaviour = Behaviour { min_inclusive, max_inclusive, ..Behaviour::default() };
        exact(Scenario::with(behaviour, vec![("US", bursty(5_000, 20_000, 5))], 15_000, 1));
    }
}

#[test]
fn few_rows_and_none_are_read_for_at_most_four_requests() {
    let year = 365 * 86_400;
    assert!(exact(Scenario::of(uniform(10, year, 6), year)) <= 4);
    assert!(exact(Scenario::of(vec![MONTH + 5], MONTH)) <= 4);
    let nothing = Scenario::of(vec![], MONTH).run();
    assert_eq!(nothing.planner.unproven().len(), 1);
    assert!(nothing.requests <= 4, "{}", nothing.requests);
}

#[test]
fn rows_of_one_hour_and_of_one_second_are_exact() {
    exact(Scenario::of(uniform(50_000, 3_600, 7).into_iter().map(|second| second + 1_000_000).collect(), MONTH));
    assert!(exact(Scenario::of(vec![777; 5_000], MONTH)) <= 505);
}

/// A page of a poisoned second takes its neighbours with it while it is not known which bounds are inclusive.
#[test]
fn a_second_that_always_fails_is_the_only_gap() {
    for (min_inclusive, max_inclusive) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut seconds = uniform(5_000, MONTH, 12);
        seconds.push(1_000_000);
        let poison = [START + 1_000_000].into();
        let behaviour = Behaviour { poison, min_inclusive, max_inclusive, ..Behaviour::default() };
        let scenario = Scenario::with(behaviour, vec![("US", seconds)], MONTH, 1);
        let range = scenario.drive.range;
        let outcome = scenario.run();
        assert_eq!(outcome.missing(range), vec![]);
        assert_eq!(outcome.listed_seconds(), 1, "{:?}", outcome.planner.gaps());
    }
}

#[test]
fn ties_in_fresh_order_are_healed_or_listed_for_a_bounded_price() {
    for (ties, most) in [(8, 300), (35, 500), (200, 1_600), (6_000, 3_200)] {
        let mut seconds = uniform(2_000, 100_000, 9);
        seconds.extend(vec![5_000; ties]);
        let behaviour = Behaviour { ties: Ties::Fresh, ..Behaviour::default() };
        let scenario = Scenario::with(behaviour, vec![("US", seconds)], 100_000, 1);
        let range = scenario.drive.range;
        let outcome = scenario.run();
        assert_eq!(outcome.missing(range), vec![]);
        println!("{ties}: {} requests, {} s unproven", outcome.requests, outcome.listed_seconds());
        assert!(outcome.listed_seconds() <= 1 && outcome.requests <= most, "{ties}: {}", outcome.requests);
    }
}

#[test]
fn short_pages_become_a_habit_that_costs_little() {
    let behaviour = Behaviour { short: Short::Filtered(10), ..Behaviour::default() };
    let requests = exact(Scenario::with(behaviour, vec![("US", uniform(30_000, MONTH, 10))], MONTH, 1));
    assert!(requests <= 3_090, "{requests}");
}

#[test]
fn an_ignored_sort_is_read_within_bounds_for_little_more() {
    let behaviour = Behaviour { sort: Sort::Ignored, ..Behaviour::default() };
    let mut scenario = Scenario::with(behaviour, vec![("US", uniform(20_000, MONTH, 11))], MONTH, 1);
    scenario.drive.window_pages = 200;
    let requests = exact(scenario);
    println!("{requests} requests for 2,000 pages");
    assert!(requests <= 2_200, "{requests}");
}

#[test]
fn a_page_number_that_counts_rows_is_refused_within_the_first_pages() {
    let behaviour = Behaviour { counts_rows: true, ..Behaviour::default() };
    let outcome = Scenario::with(behaviour, vec![("US", uniform(1_000, MONTH, 13))], MONTH, 1).run();
    assert!(outcome.stopped.is_some_and(|why| why.contains("counts rows")));
    assert!(outcome.requests <= 10, "{}", outcome.requests);
}
