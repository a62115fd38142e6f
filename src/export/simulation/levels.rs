//! The price and the exposure of the consistency levels, measured.
//!
//! `cargo test --lib levels -- --ignored --nocapture` prints the tables of `docs/cost.md`.

use super::behaviour::{Behaviour, Drift};
use super::promises::{MONTH, read_month};
use super::scenario::{Scenario, bursty, daily, uniform};
use crate::plan::walk::Consistency;

const LEVELS: [Consistency; 3] = [Consistency::Anchored, Consistency::Atomic, Consistency::Deep];
/// Rows of a month, and a run's rows at the same density where the month itself is too long.
const ROWS: usize = 1_000_000;
const SHORT_ROWS: usize = 20_000;
const RUNS: u64 = 50;

#[test]
#[ignore = "takes minutes; the figures in docs/cost.md come from here"]
fn the_price_of_the_levels() {
    for level in LEVELS {
        for seconds in [uniform(ROWS, MONTH, 1), daily(ROWS, MONTH, 2), bursty(ROWS, MONTH, 3)] {
            let floor = seconds.len().div_ceil(10) as f64;
            let outcome = read_month(seconds, 16, level);
            let over = (outcome.requests as f64 / floor - 1.0) * 100.0;
            println!("{level:?}, 16 workers: {over:.4} % over the floor, {} s unproven", outcome.listed_seconds());
        }
    }
    println!("{:.3} rows a second", ROWS as f64 / MONTH as f64);
}

/// What deletions hid in some runs.
#[derive(Clone, Copy, Debug, Default)]
struct Exposure {
    rows: usize,
    deleted: usize,
    missing: usize,
    unproven_seconds: i64,
    requests: u64,
}

type Density = fn(usize, i64, u64) -> Vec<i64>;

/// How a run is read while rows go.
#[derive(Clone, Copy, Debug)]
struct Reading {
    level: Consistency,
    density: Density,
    /// Requests between two deletions.
    every: u32,
    workers: usize,
}

impl Reading {
    /// So many runs.
    fn exposure(self, runs: u64) -> Exposure {
        (0..runs).fold(Exposure::default(), |sum, run| self.once(run, sum))
    }

    fn once(self, run: u64, mut sum: Exposure) -> Exposure {
        let range_seconds = MONTH * SHORT_ROWS as i64 / ROWS as i64;
        let seconds = (self.density)(SHORT_ROWS, range_seconds, run);
        let drift = Drift { inserts: 0.0, deletes: 1.0 / f64::from(self.every), burst: 1 };
        let behaviour = Behaviour { drift, ..Behaviour::default() };
        let mut scenario = Scenario::with(behaviour, vec![("US", seconds)], range_seconds, run);
        (scenario.drive.workers, scenario.drive.tuning.consistency) = (self.workers, self.level);
        let range = scenario.drive.range;
        let outcome = scenario.run();
        assert_eq!((&outcome.stopped, outcome.is_unwell), (&None, false));
        let missing = outcome.missing(range);
        sum.rows += SHORT_ROWS;
        sum.deleted += outcome.service.deleted.len();
        sum.missing += missing.len();
        sum.unproven_seconds += outcome.listed_seconds();
        sum.requests += outcome.requests;
        sum
    }
}

impl Exposure {
    fn tell(&self, name: &str, reading: Reading) {
        let Reading { level, every, workers, .. } = reading;
        println!(
            "{level:?} {name}, {workers} workers, a deletion every {every} requests: {:.1} of a million rows missing, {:.3} for \
             each deletion, {} s unproven; {self:?}",
            self.missing as f64 * 1e6 / self.rows as f64,
            self.missing as f64 / self.deleted.max(1) as f64,
            self.unproven_seconds
        );
    }

    /// What `atomic` promises: none is missing.
    fn assert_atomic(&self) {
        assert_eq!(self.missing, 0, "{self:?}");
    }
}

#[test]
#[ignore = "takes minutes; the figures in docs/cost.md come from here"]
fn the_exposure_of_the_levels() {
    let densities: [(&str, Density); 3] = [("uniform", uniform), ("daily", daily), ("bursty", bursty)];
    for level in LEVELS {
        for (name, density) in densities {
            for every in [50, 200, 1_000] {
                for workers in [1, 16] {
                    let reading = Reading { level, density, every, workers };
                    let exposure = reading.exposure(RUNS);
                    exposure.tell(name, reading);
                    if level == Consistency::Atomic {
                        exposure.assert_atomic();
                    }
                }
            }
        }
    }
}

/// The same in small, at every run of the tests: `atomic` misses nothing where the others do.
#[test]
fn atomic_misses_nothing_that_deletions_hide_from_the_others() {
    let of = |level, density| Reading { level, density, every: 50, workers: 2 }.exposure(2);
    for density in [uniform as Density, daily, bursty] {
        of(Consistency::Atomic, density).assert_atomic();
        for level in [Consistency::Anchored, Consistency::Deep] {
            assert!(of(level, density).missing > 0, "{level:?} is not exposed, so nothing was tried");
        }
    }
}
