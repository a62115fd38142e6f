//! What retries and rate promise, each against a service that would break it. `watch` holds more of it at every request.

use std::time::Duration;

use super::behaviour::{Behaviour, Limit, Other, Trouble};
use super::outcome::SimulationOutcome;
use super::scenario::{START, Scenario, uniform};
use crate::fetch::throttle::Rate;

const DAY: i64 = 86_400;

fn with(behaviour: Behaviour, rows: usize, workers: usize) -> Scenario {
    let mut scenario = Scenario::with(behaviour, vec![("US", uniform(rows, DAY, 21))], DAY, 1);
    scenario.drive.workers = workers;
    scenario
}

/// Runs to the end; nothing is missing and nothing is listed.
fn exact(scenario: Scenario) -> SimulationOutcome {
    let range = scenario.drive.range;
    let outcome = scenario.run();
    assert_eq!((&outcome.stopped, outcome.is_unwell), (&None, false));
    assert_eq!(outcome.missing(range), vec![]);
    assert_eq!(outcome.listed_seconds(), 0, "{:?}", outcome.listed().collect::<Vec<_>>());
    println!(
        "{} pages, {} requests, {} refused, {} retries, {:.0} s",
        outcome.pages, outcome.requests, outcome.service.throttled, outcome.watch.all_retries, outcome.seconds
    );
    outcome
}

#[test]
fn a_429_costs_a_page_none_of_its_attempts() {
    let limit = Limit { per_second: 1e6, burst: 1e6, retry_after: Some(Duration::from_secs(1)) };
    // More than a page has attempts. The backoff counts where it is longer than `Retry-After`, so that many more would outlast the
    // scan, and the page would come under another address.
    let outcome = exact(with(Behaviour { limit: Some(limit), closed: 20..32, ..Behaviour::default() }, 2_000, 1));
    assert_eq!((outcome.service.throttled, outcome.watch.most_throttled), (12, 12), "all of them met the same page");
    assert_eq!((outcome.parked, outcome.watch.all_retries), (0, 0), "it was not given up, and nothing was retried");
}

#[test]
fn an_unknown_limit_is_used_and_hardly_ever_passed() {
    for (per_second, retry_after) in [(20.0, None), (20.0, Some(Duration::from_secs(2))), (3.0, None)] {
        let limit = Limit { per_second, burst: per_second, retry_after };
        let mut scenario = with(Behaviour { limit: Some(limit), ..Behaviour::default() }, 40_000, 16);
        scenario.drive.rate = Rate::Auto;
        let outcome = exact(scenario);
        let used = outcome.requests as f64 / outcome.seconds / per_second;
        assert!(used >= 0.85, "{used} of {per_second}/s were used");
        assert!(outcome.service.throttled <= 60, "{} refused at {per_second}/s", outcome.service.throttled);
    }
}

#[test]
fn a_rate_far_beyond_the_limit_comes_down_to_it() {
    let limit = Limit { per_second: 20.0, burst: 20.0, retry_after: None };
    let mut scenario = with(Behaviour { limit: Some(limit), ..Behaviour::default() }, 40_000, 128);
    scenario.drive.rate = Rate::Fixed(500.0);
    let outcome = exact(scenario);
    assert!(outcome.service.throttled <= outcome.requests / 5, "{} refused", outcome.service.throttled);
}

/// Six in ten requests fail, so pages need one and a half retries each; only half a one is earned, and the seconds add one.
#[test]
fn a_storm_slows_a_run_down_and_loses_nothing() {
    let scenario = with(Behaviour { flaky: 0.6, ..Behaviour::default() }, 20_000, 16);
    let range = scenario.drive.range;
    let outcome = scenario.run();
    let (retries, pages) = (outcome.watch.all_retries as f64, outcome.pages as f64);
    println!("{retries} retries for {pages} pages in {:.0} s, {} parked", outcome.seconds, outcome.parked);
    assert_eq!((outcome.missing(range), outcome.is_unwell), (vec![], false));
    assert!(retries >= pages && outcome.watch.most_failures == 8, "no storm: {retries}, {:?}", outcome.watch);
    assert!(retries <= 50.0 + pages / 2.0 + outcome.seconds, "{retries} retries for {pages} pages");
}

#[test]
fn an_outage_ends_the_start_and_the_next_one_goes_on() {
    let mut scenario = with(Behaviour { outage: 100..1_500, ..Behaviour::default() }, 20_000, 16);
    scenario.drive.give_up_after = Duration::from_secs(900);
    let outcome = exact(scenario);
    assert!((1..=4).contains(&outcome.unwell), "{} starts ended unwell", outcome.unwell);
    // What was on its way when it began failed while the last pages still came; what fails later is nobody's fault.
    assert!(outcome.parked <= 32, "{} times a page was blamed for it", outcome.parked);
}

/// With one request on its way at a time, the harmless page came before the failing one was asked again, so that it was never
/// found to be at fault: every start ended with 5.
#[test]
fn one_worker_alone_lists_a_second_that_always_fails() {
    for workers in [1, 2, 16] {
        let poison = [START + 50_000].into();
        let mut seconds = uniform(500, DAY, 22);
        seconds.push(50_000);
        let behaviour = Behaviour { poison, min_inclusive: false, ..Behaviour::default() };
        let mut scenario = Scenario::with(behaviour, vec![("US", seconds)], DAY, 1);
        (scenario.drive.workers, scenario.drive.rate) = (workers, Rate::Fixed(20.0));
        let range = scenario.drive.range;
        let outcome = scenario.run();
        println!("{workers} workers: {} requests, {:.0} s", outcome.requests, outcome.seconds);
        assert_eq!((outcome.unwell, outcome.missing(range)), (0, vec![]));
        assert_eq!(outcome.listed_seconds(), 1, "{:?}", outcome.planner.gaps());
    }
}

/// An event of the moment at which the wait is over once found the silence of it unexplained, and the start ended as unwell.
#[test]
fn a_wait_for_the_ends_answers_that_is_longer_than_the_patience_is_no_silence() {
    for seed in 0..300 {
        let regions = vec![("US", uniform(100, DAY, seed)), ("GB", uniform(40, DAY, seed + 1_000))];
        let mut scenario = Scenario::with(Behaviour::default(), regions, DAY, seed);
        (scenario.drive.workers, scenario.drive.slices) = (1 + seed as usize % 4, 0.3);
        (scenario.drive.give_up_after, scenario.drive.commit) = (Duration::from_secs(8), (1, 50));
        let range = scenario.drive.range;
        let outcome = scenario.run();
        assert_eq!((outcome.unwell, outcome.missing(range)), (0, vec![]), "seed {seed}");
    }
}

/// Rows that name another region than the asked one in every answer are this service's way, and are believed before the patience ends.
#[test]
fn a_service_whose_rows_always_name_another_region_is_believed_by_the_impatient_too() {
    let always = Duration::ZERO..Duration::MAX;
    for workers in [1, 4] {
        let behaviour =
            Behaviour { trouble: Some((always.clone(), Trouble::Another(Other::Region))), ..Behaviour::default() };
        let regions = vec![("US", uniform(100, DAY, 1)), ("GB", uniform(100, DAY, 2))];
        let mut scenario = Scenario::with(behaviour, regions, DAY, 1);
        (scenario.drive.workers, scenario.drive.give_up_after) = (workers, Duration::from_secs(8));
        let outcome = scenario.run();
        assert_eq!((outcome.unwell, &outcome.stopped, outcome.listed_seconds()), (0, &None, 0));
    }
}
