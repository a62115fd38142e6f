//! Runs whose range ends at the moment of each start, as that of a nightly job which dies and is started again.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::behaviour::Behaviour;
use super::model::{Shown, range_of};
use super::outcome::SimulationOutcome;
use super::scenario::{START, Scenario, uniform};
use super::tests::number;

/// Seconds of the range as the first start asks it.
const RANGE: i64 = 6_000;
/// Rows lie up to here, so that each later end finds some.
const ROWS_UNTIL: i64 = 6_400;
/// Seeds that every run of the tests walks.
const SEEDS: u64 = 120;
/// Seeds beyond those at which an empty page was held against rows after the time that it was asked for, and seconds were listed of which
/// nothing was missing.
const MENDED: [u64; 5] = [606, 915, 1_265, 1_516, 1_932];

/// An honest service, of whose rows some have no usable time, and a process that dies often.
fn later_ends(seed: u64) -> SimulationOutcome {
    let mut random = StdRng::seed_from_u64(seed);
    let mut rows = || uniform(350, ROWS_UNTIL, random.random());
    let regions = vec![("US", rows()), ("GB", rows())];
    let mut scenario = Scenario::with(Behaviour::default(), regions, RANGE, seed);
    for row in scenario.service.regions.iter_mut().flat_map(|(_, rows)| rows) {
        if random.random_range(0..20) == 0 {
            row.shown = Shown::Garbage;
        }
    }
    (scenario.drive.workers, scenario.drive.restarts, scenario.drive.extends) = (8, 0.03, 4);
    scenario.run()
}

/// Rows after the end that a page was asked up to were once taken for rows that it had left out.
#[test]
fn a_run_whose_range_ends_later_at_each_start_gets_nothing_of_an_honest_service_listed() {
    let mut later = 0;
    for seed in (0..number("LATER_SEEDS").unwrap_or(SEEDS)).chain(MENDED) {
        let outcome = later_ends(seed);
        let listed: Vec<_> = outcome.listed().collect();
        assert!(listed.is_empty(), "seed {seed}: {listed:?}");
        let end = outcome.planner.regions().iter().map(|plan| plan.range.end.get()).max().unwrap_or(START);
        let missing = outcome.missing(range_of(START, end - START));
        assert!(missing.is_empty(), "seed {seed}: {missing:?}");
        later += u64::from(end > START + RANGE);
    }
    assert!(later > SEEDS / 2, "{later} runs were ended later");
}
