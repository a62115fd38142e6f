//! Single promises of the plan, each against a service that would break it.

use super::behaviour::{Behaviour, Drift, Other, PastCap, Short, Sort, Ties};
use super::model::{Shown, range_of};
use super::outcome::SimulationOutcome;
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
pub(super) fn read_month(seconds: Vec<i64>, workers: usize, consistency: Consistency) -> SimulationOutcome {
    let mut scenario = Scenario::of(seconds, MONTH);
    (scenario.drive.workers, scenario.drive.tuning.consistency, scenario.drive.slices) = (workers, consistency, 0.0);
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
    println!("{workers} {consistency:?}: {:.4} % over, alone {}, {:?}", over * 100.0, outcome.alone, outcome.scans);
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
    for past_cap in PAST_CAPS {
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
fn few_rows_and_none_are_read_for_at_most_six_requests() {
    let year = 365 * 86_400;
    assert!(exact(Scenario::of(uniform(10, year, 6), year)) <= 6);
    assert!(exact(Scenario::of(vec![MONTH + 5], MONTH)) <= 6);
    let nothing = Scenario::of(vec![], MONTH).run();
    assert_eq!(nothing.planner.unproven().len(), 1);
    assert!(nothing.requests <= 6, "{}", nothing.requests);
}

/// Two of them confirm its ends. With filters and without, and whether the region holds rows before the range, after it, or none at all.
#[test]
fn an_empty_range_of_an_honest_service_takes_at_most_six_requests() {
    for has_filters in [false, true] {
        for rows in [
            vec![],
            vec![-MONTH / 2],
            vec![MONTH + 7; 25],
            vec![-1; 30],
            (0..50).map(|day| MONTH + day * 86_400).collect(),
        ] {
            for (min_inclusive, max_inclusive) in [(true, true), (true, false), (false, true), (false, false)] {
                let behaviour = Behaviour { min_inclusive, max_inclusive, ..Behaviour::default() };
                let mut scenario = Scenario::with(behaviour, vec![("US", rows.clone())], MONTH, 1);
                scenario.drive.has_filters = has_filters;
                let outcome = scenario.run();
                assert_eq!(outcome.stopped, None);
                assert!(outcome.requests <= 6, "{} for {rows:?}, filters {has_filters}", outcome.requests);
                assert_eq!(outcome.listed().count(), usize::from(rows.is_empty()));
            }
        }
    }
}

/// The questions that confirm an empty answer are themselves answered wrongly, now and then or always.
#[test]
fn an_empty_range_whose_answers_contradict_each_other_takes_at_most_eleven_requests() {
    let mut most = 0;
    for falsely_empty in [0.2, 0.5, 0.8, 1.0] {
        for seed in 0..150 {
            let behaviour = Behaviour { falsely_empty, ..Behaviour::default() };
            let rows = if seed % 2 == 0 { vec![MONTH + 7; 25] } else { vec![-MONTH / 2] };
            let mut scenario = Scenario::with(behaviour, vec![("US", rows)], MONTH, seed);
            scenario.drive.has_filters = seed % 3 == 0;
            most = most.max(scenario.run().requests);
        }
    }
    println!("at most {most} requests");
    assert!(most <= 11, "{most}");
}

#[test]
fn rows_of_one_hour_and_of_one_second_are_exact() {
    exact(Scenario::of(uniform(50_000, 3_600, 7).into_iter().map(|second| second + 1_000_000).collect(), MONTH));
    assert!(exact(Scenario::of(vec![777; 5_000], MONTH)) <= 505);
}

/// A second of so many rows among some others, and a service that serves 50 pages.
fn above_the_cap(rows: usize, ties: Ties, past_cap: PastCap) -> (SimulationOutcome, u64) {
    let mut seconds = uniform(2_000, 100_000, 9);
    seconds.extend(vec![5_000; rows]);
    let pages = seconds.len().div_ceil(10) as u64;
    let behaviour = Behaviour { cap: 50, past_cap, ties, ..Behaviour::default() };
    let outcome = Scenario::with(behaviour, vec![("US", seconds)], 100_000, 1).run();
    println!("{rows} {ties:?} {past_cap:?}: {} requests for {pages} pages", outcome.requests);
    (outcome, pages)
}

const PAST_CAPS: [PastCap; 5] =
    [PastCap::Empty, PastCap::Refused, PastCap::LastPageAgain, PastCap::Forbidden, PastCap::Broken];

#[test]
fn a_second_above_the_cap_is_whole_where_its_two_readings_meet() {
    for past_cap in PAST_CAPS {
        for rows in [499, 500, 501, 700, 980] {
            let (outcome, pages) = above_the_cap(rows, Ties::Mirrored, past_cap);
            assert_eq!((&outcome.stopped, outcome.missing(range_of(START, 100_000))), (&None, vec![]));
            assert_eq!(outcome.listed_seconds(), 0, "{rows}: {:?}", outcome.listed().collect::<Vec<_>>());
            // A cap that nobody knows is found by asking twice, where everything before it is read again.
            assert!(outcome.requests <= pages + 130, "{rows} {past_cap:?}: {} for {pages}", outcome.requests);
        }
    }
}

#[test]
fn a_second_above_the_cap_is_listed_where_they_cannot_meet() {
    for past_cap in PAST_CAPS {
        for (rows, ties) in [(700, Ties::Stable), (700, Ties::Fresh), (1_020, Ties::Mirrored), (2_000, Ties::Mirrored)]
        {
            let (outcome, pages) = above_the_cap(rows, ties, past_cap);
            assert_eq!((&outcome.stopped, outcome.missing(range_of(START, 100_000))), (&None, vec![]));
            // A row that is alone in its second may come twice as well where ties move.
            assert!((1..=2).contains(&outcome.listed_seconds()), "{rows} {ties:?}");
            assert!(outcome.requests <= pages + 500, "{rows} {ties:?} {past_cap:?}: {}", outcome.requests);
        }
    }
}

#[test]
fn a_dense_second_is_read_by_several_workers() {
    let read = |workers| {
        let mut scenario = Scenario::of(vec![777; 6_000], MONTH);
        scenario.drive.workers = workers;
        let outcome = scenario.run();
        assert_eq!((outcome.missing(range_of(START, MONTH)).len(), outcome.listed_seconds()), (0, 0));
        println!("{workers} workers: {} requests, {} s", outcome.requests, outcome.seconds);
        (outcome.requests, outcome.seconds)
    };
    let (alone, together) = (read(1), read(16));
    assert!(together.1 * 3.0 < alone.1, "{alone:?} {together:?}");
    // What is asked beyond the end of the second is one page in thirty at most.
    assert!(together.0 <= alone.0 + 600 / 30, "{alone:?} {together:?}");
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

/// The first twenty short pages are looked around; what that costs does not grow with the run.
#[test]
fn short_pages_become_a_habit_that_costs_little() {
    for (rows, most) in [(5_000, 1.15), (30_000, 1.02), (60_000, 1.02), (100_000, 1.02)] {
        let behaviour = Behaviour { short: Short::Filtered(10), ..Behaviour::default() };
        let requests = exact(Scenario::with(behaviour, vec![("US", uniform(rows, MONTH, 10))], MONTH, 1));
        let ratio = requests as f64 / (rows / 10) as f64;
        println!("{rows} rows: {requests} requests, {ratio:.4} of the pages");
        assert!(ratio <= most, "{rows}: {ratio}");
    }
}

#[test]
fn an_ignored_sort_is_read_within_bounds_for_little_more() {
    let behaviour = Behaviour { sort: Sort::Ignored, ..Behaviour::default() };
    let mut scenario = Scenario::with(behaviour, vec![("US", uniform(21_000, MONTH, 11))], MONTH, 1);
    scenario.drive.tuning.window_pages = 200;
    let requests = exact(scenario);
    println!("{requests} requests for 2,100 pages");
    assert!(requests <= 2_310, "{requests}");
}

/// A walk once went on from the one row that could be placed, of a page that came after it without any: the others did not come again.
#[test]
fn rows_in_no_order_are_all_read_where_few_of_them_can_be_placed() {
    for sort in [Sort::AlwaysDescending, Sort::AlwaysAscending, Sort::Ignored] {
        for (placed, seed) in (1..=3).flat_map(|placed| (0..12).map(move |seed| (placed, seed))) {
            let behaviour = Behaviour { sort, ..Behaviour::default() };
            let rows = uniform(12 + 7 * placed, MONTH, seed);
            let mut scenario = Scenario::with(behaviour, vec![("US", rows)], MONTH, seed);
            scenario.drive.workers = 1 + seed as usize % 3;
            let rows = &mut scenario.service.regions[0].1;
            let unplaced = rows.len() - placed;
            rows.iter_mut().take(unplaced).for_each(|row| row.shown = Shown::Garbage);
            let range = scenario.drive.range;
            let outcome = scenario.run();
            let told = format!("{sort:?}, {placed} placed, seed {seed}: {:?}", outcome.listed().collect::<Vec<_>>());
            assert_eq!((&outcome.stopped, outcome.missing(range)), (&None, vec![]), "{told}");
        }
    }
}

/// Where each scan goes on from a row that cannot be placed any more, the service seemed to count pages from 0.
#[test]
fn pages_of_which_some_rows_cannot_be_placed_do_not_seem_to_miss_their_first() {
    for every in 2..6 {
        let mut scenario = Scenario::with(Behaviour::default(), vec![("US", uniform(2_000, MONTH, 17))], MONTH, 1);
        let unplaced = scenario.service.regions[0].1.iter_mut().enumerate().filter(|(place, _)| place % every == 0);
        unplaced.for_each(|(_, row)| row.shown = Shown::Garbage);
        let range = scenario.drive.range;
        let outcome = scenario.run();
        assert_eq!((&outcome.stopped, outcome.missing(range)), (&None, vec![]), "one in {every}");
    }
}

#[test]
fn a_page_number_that_counts_rows_is_refused_within_the_first_pages() {
    let behaviour = Behaviour { counts_rows: true, ..Behaviour::default() };
    let outcome = Scenario::with(behaviour, vec![("US", uniform(1_000, MONTH, 13))], MONTH, 1).run();
    assert!(outcome.stopped.is_some_and(|why| why.contains("counts rows")));
    assert!(outcome.requests <= 10, "{}", outcome.requests);
}

/// Rows that come between the two readings of a seam are read again, and cost little beside what they are worth.
#[test]
fn rows_that_come_where_two_windows_meet_are_read_again_for_little() {
    let price = |inserts| {
        let drift = Drift { inserts, deletes: 0.0, burst: 1 };
        let behaviour = Behaviour { drift, ..Behaviour::default() };
        let mut scenario = Scenario::with(behaviour, vec![("US", uniform(20_000, MONTH, 14))], MONTH, 1);
        (scenario.drive.tuning.window_pages, scenario.drive.restarts, scenario.drive.workers) = (5, 0.005, 7);
        let range = scenario.drive.range;
        let outcome = scenario.run();
        assert_eq!((&outcome.stopped, outcome.listed_seconds()), (&None, 0));
        assert_eq!(outcome.missing(range), vec![]);
        let begun =
            outcome.scans.iter().filter(|(why, _)| why.starts_with("Seam")).map(|(_, times)| times).sum::<u64>();
        println!(
            "{inserts}: {} requests, {} seams differed, {begun} readings",
            outcome.requests,
            outcome.planner.profile().seams
        );
        (outcome.planner.profile().seams, begun)
    };
    assert_eq!(price(0.0), (0, 0));
    let (seams, readings) = price(0.2);
    assert!(seams > 0 && readings <= seams + seams / 10, "{seams} {readings}");
}

/// One in a hundred answers is that to another question; and of those of another region also one in twenty.
#[test]
fn answers_to_another_question_lose_no_row_without_a_word() {
    // Of several workers the answer to another's question may lie beyond a window's end, and looks like proof that it is over.
    let kinds = [
        (Other::Region, 0.01, 16),
        (Other::Region, 0.05, 16),
        (Other::Time, 0.01, 16),
        (Other::Region, 0.05, 1),
        (Other::Time, 0.01, 1),
        (Other::Stale, 0.01, 1),
    ];
    for (other, share, workers) in kinds {
        for seed in 0..10 {
            let behaviour = Behaviour { another: Some((share, other)), ..Behaviour::default() };
            let regions = vec![("US", uniform(3_000, MONTH, seed)), ("GB", uniform(3_000, MONTH, seed + 100))];
            let mut scenario = Scenario::with(behaviour, regions, MONTH, seed);
            scenario.drive.workers = workers;
            let range = scenario.drive.range;
            let outcome = scenario.run();
            let told = format!("{other:?} {share} seed {seed}, {workers} workers");
            assert_eq!((&outcome.stopped, outcome.missing(range).len()), (&None, 0), "{told}");
            assert!(outcome.requests < 800, "{told}: {}", outcome.requests);
        }
    }
}

/// Where a window needs more pages, what came in place of another page shows itself on the next one.
#[test]
fn a_next_page_in_place_of_this_one_is_found_by_the_page_after_it() {
    for seed in 0..20 {
        let behaviour = Behaviour { another: Some((0.003, Other::NextPage)), ..Behaviour::default() };
        let mut scenario = Scenario::with(behaviour, vec![("US", uniform(3_000, MONTH, seed))], MONTH, seed);
        (scenario.drive.workers, scenario.drive.tuning.anchor_pages) = (1, 100_000);
        let range = scenario.drive.range;
        let outcome = scenario.run();
        assert_eq!((&outcome.stopped, outcome.missing(range).len()), (&None, 0), "seed {seed}");
    }
}

#[test]
fn a_page_number_that_counts_from_zero_is_refused_within_the_first_pages() {
    // Between eleven and some dozens of rows several workers may not find it out: docs/guarantees.md says so.
    for (rows, workers) in [(11, 1), (1_000, 1), (20_000, 4)] {
        let told = counted_from_zero(uniform(rows, MONTH, 13), workers);
        assert!(told.0 <= 30 + 10 * workers as u64, "{told:?}");
    }
}

/// The newest page began among rows of one second with those that it left out, and a region that one list holds ended with 0 without its first ten.
#[test]
fn a_page_number_that_counts_from_zero_is_refused_where_many_rows_share_a_second() {
    for per_second in 1..=10 {
        for workers in [1, 16] {
            counted_from_zero((0..1_000).map(|row| 20_000 + row / per_second).collect(), workers);
        }
    }
}

fn counted_from_zero(seconds: Vec<i64>, workers: usize) -> (u64, usize, usize) {
    let (rows, last) = (seconds.len(), seconds.last().copied());
    let behaviour = Behaviour { counts_from_zero: true, ..Behaviour::default() };
    let mut scenario = Scenario::with(behaviour, vec![("US", seconds)], MONTH, 1);
    scenario.drive.workers = workers;
    let outcome = scenario.run();
    let told = (outcome.requests, rows, workers);
    let is_refused = outcome.stopped.as_ref().is_some_and(|why| why.contains("count from 0"));
    assert!(is_refused, "{told:?}, up to {last:?}: {:?}, {} s listed", outcome.stopped, outcome.listed_seconds());
    told
}

#[test]
fn the_same_rows_to_every_question_end_the_run_within_a_few_requests_a_worker() {
    for workers in [1, 4, 16] {
        let behaviour = Behaviour { answers_the_same: true, ..Behaviour::default() };
        let mut scenario = Scenario::with(behaviour, vec![("US", uniform(1_000, MONTH, 13))], MONTH, 1);
        scenario.drive.workers = workers;
        let outcome = scenario.run();
        let told = format!("{workers} workers: {} requests, {:?}", outcome.requests, outcome.stopped);
        assert!(outcome.stopped.as_ref().is_some_and(|why| why.contains("the same rows")), "{told}");
        assert!(outcome.requests <= 20 + 5 * workers as u64, "{told}");
    }
}
