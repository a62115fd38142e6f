//! The promises of the plan, held against many seeds.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::scenario::Scenario;

/// Seeds that every run of the tests walks.
const SEEDS: u64 = 10_000;
/// Seeds of honest services that every run of the tests walks.
const HONEST_SEEDS: u64 = 3_000;
/// Failures that are told in full.
const TOLD: usize = 40;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs one seed: the rows that deletions hid and the requests that it took, or what is wrong with it.
fn judge(seed: u64) -> Result<(u64, u64), String> {
    let scenario = Scenario::from_seed(seed);
    let (exposed, range) = (scenario.is_exposed(), scenario.drive.range);
    let told = format!("{:?} {:?}", scenario.service.behaviour, scenario.drive);
    let outcome = catch_unwind(AssertUnwindSafe(|| scenario.run())).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        format!("{}\n{told}", text.chars().take(200).collect::<String>())
    })?;
    if let Some(why) = &outcome.stopped {
        return Err(format!("stopped: {why}\n{told}"));
    }
    let missing = outcome.missing(range);
    if !missing.is_empty() && !exposed {
        let some = missing.iter().take(5).collect::<Vec<_>>();
        return Err(format!("{} missing without a word: {some:?}\n{told}", missing.len()));
    }
    Ok((missing.len() as u64, outcome.requests))
}

/// What the seeds from `first` came to: rows that deletions hid, and the seeds that failed.
fn judge_all(first: u64, seeds: u64) -> (u64, BTreeMap<u64, String>) {
    let (next, exposed) = (AtomicU64::new(first), AtomicU64::new(0));
    let failures = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return;
            }
            match judge(seed) {
                Ok((missing, _)) => {
                    exposed.fetch_add(missing, Ordering::Relaxed);
                }
                Err(why) => {
                    failures.lock().unwrap().insert(seed, why);
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    (exposed.into_inner(), failures.into_inner().unwrap())
}

#[test]
fn whatever_the_service_is_like_every_row_is_there_or_listed() {
    if let Some(seed) = number("PLAN_SEED") {
        println!("{:?}", judge(seed).unwrap());
        return;
    }
    let seeds = number("PLAN_SEEDS").unwrap_or(SEEDS);
    let (exposed, failures) = judge_all(number("PLAN_FIRST_SEED").unwrap_or(0), seeds);
    println!("{seeds} seeds, {exposed} rows lost to deletions");
    for (seed, why) in failures.iter().take(TOLD) {
        println!("seed {seed}: {why}\n");
    }
    let all: Vec<&u64> = failures.keys().collect();
    assert!(failures.is_empty(), "{} of {seeds} seeds failed: {all:?}", failures.len());
}

/// An honest service was once told that its last page, which is short by nature, had left rows out.
#[test]
fn an_honest_service_gets_no_doubt_of_it_listed() {
    let first = number("PLAN_FIRST_SEED").unwrap_or(0);
    for seed in first..first + number("PLAN_HONEST_SEEDS").unwrap_or(HONEST_SEEDS) {
        let scenario = Scenario::honest(seed);
        let range = scenario.drive.range;
        let told = format!("seed {seed}: {:?} {:?}", scenario.service.behaviour, scenario.drive);
        let outcome = scenario.run();
        let listed: Vec<_> = outcome.listed().filter(|listed| !listed.why.contains("no row at all")).collect();
        assert!(listed.is_empty(), "{listed:?}\n{told}");
        assert_eq!((&outcome.stopped, outcome.missing(range).len()), (&None, 0), "{told}");
    }
}
