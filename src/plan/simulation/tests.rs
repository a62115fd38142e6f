//! The promises of the plan, held against many seeds.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::scenario::Scenario;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs one seed; what is wrong with it, if anything.
fn judge(seed: u64) -> Result<(u64, u64), String> {
    let scenario = Scenario::from_seed(seed);
    let (exposed, range) = (scenario.is_exposed(), scenario.drive.range);
    let told = format!("{:?} {:?}", scenario.service.behaviour, scenario.drive);
    let outcome = catch_unwind(AssertUnwindSafe(|| scenario.run())).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        format!("{}\n{told}\n{text}", text.replace('\n', " ").chars().take(110).collect::<String>())
    })?;
    if let Some(why) = &outcome.stopped {
        return Err(format!("stopped: {why}\n{told}"));
    }
    let missing = outcome.missing(range);
    if !missing.is_empty() && !exposed {
        return Err(format!(
            "{} missing without a word: {:?}\n{told}",
            missing.len(),
            missing.iter().take(5).collect::<Vec<_>>()
        ));
    }
    Ok((missing.len() as u64, outcome.requests))
}

#[test]
fn whatever_the_service_is_like_every_row_is_there_or_listed() {
    if let Some(seed) = number("PLAN_SEED") {
        println!("{:?}", judge(seed).unwrap());
        return;
    }
    let seeds = number("PLAN_SEEDS").unwrap_or(220);
    let first = number("PLAN_FIRST_SEED").unwrap_or(0);
    let mut failures: BTreeMap<u64, String> = BTreeMap::new();
    let mut exposed = 0;
    for seed in first..first + seeds {
        match judge(seed) {
            Ok((missing, _)) => exposed += missing,
            Err(why) => {
                failures.insert(seed, why);
            }
        }
    }
    println!("{seeds} seeds, {exposed} rows lost to deletions");
    for (seed, why) in failures.iter().take(40) {
        let short: String = why.chars().take(number("PLAN_CHARS").unwrap_or(1_500) as usize).collect();
        println!("seed {seed}: {short}\n");
    }
    assert!(failures.is_empty(), "{} of {seeds} seeds failed", failures.len());
}
