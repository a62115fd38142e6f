//! `kill -9` at any moment, then the same command: the same rows, and nothing bought twice but what was on its way.

use keyapi_export::simulator::{Density, RunningSimulator};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::{
    Job, asks_nothing_more, files_below, holds_exactly_the_truth, is_whole, parquet_files, serve, until,
};

/// Requests on their way at once in these runs.
const MAX_IN_FLIGHT: u64 = 8;
/// The seed of every random moment.
const SEED: u64 = 20_260_101;

/// 600 pages, slow enough that a test can aim.
fn serve_slowly(seed: u64) -> RunningSimulator {
    serve(|service| {
        service.seed = seed;
        service.world.rows = 6_000;
        service.world.density = Density::Bursty;
        (service.limits.latency_ms, service.limits.latency_p99_factor) = (4.0, 4.0);
    })
}

fn job(simulator: &RunningSimulator) -> Job {
    Job::of(simulator).with(&format!("--max-in-flight {MAX_IN_FLIGHT}"))
}

/// The same command to the end: the same rows as an undisturbed run, at the price of what the kills had on its way.
fn goes_on_to_the_truth(simulator: &RunningSimulator, job: &Job, kills: u64, moment: &str) {
    let ended = job.run();
    assert_eq!(ended.code, 0, "killed {moment}: {ended}");
    holds_exactly_the_truth(simulator, job);
    is_whole(job);
    let stats = simulator.stats();
    assert!(stats.repeated_purchases <= kills * MAX_IN_FLIGHT, "killed {moment}: {stats:?}");
    let counted = &ended.summary["requests"];
    let surely = counted["attempts"].as_u64().unwrap();
    let perhaps = surely + counted["possibly_charged"].as_u64().unwrap();
    assert!(
        surely <= stats.requests && stats.requests <= perhaps,
        "killed {moment}: {} requests, {ended}",
        stats.requests
    );
    asks_nothing_more(simulator, job);
}

fn killed_when(moment: &str, mut is_now: impl FnMut(&RunningSimulator, &Job) -> bool) {
    let simulator = serve_slowly(SEED);
    let job = job(&simulator);
    let mut running = job.start();
    until(moment, || is_now(&simulator, &job) || !running.is_alive());
    assert!(running.kill(), "the run was over {moment}");
    goes_on_to_the_truth(&simulator, &job, 1, moment);
}

#[test]
fn a_kill_before_the_first_answer_costs_nothing_but_what_was_on_its_way() {
    killed_when("at the first request", |simulator, _| simulator.stats().requests > 0);
}

#[test]
fn a_kill_while_the_first_part_is_written_loses_nothing() {
    let is_part = |path: &std::path::PathBuf| path.components().any(|part| part.as_os_str() == ".staging");
    killed_when("with a part in staging", |_, job| files_below(&job.out()).iter().any(is_part));
}

#[test]
fn a_kill_when_the_first_part_is_visible_loses_nothing() {
    killed_when("with a visible part", |_, job| !parquet_files(&job.out()).is_empty());
}

#[test]
fn a_kill_at_a_random_request_loses_nothing() {
    let mut random = StdRng::seed_from_u64(SEED);
    for _ in 0..5 {
        let requests = random.random_range(2..560);
        killed_when(&format!("at request {requests}"), |simulator, _| simulator.stats().requests >= requests);
    }
}

/// Parts that were published since the last start were once called damage, because the manifest did not list them yet.
#[test]
fn the_output_of_a_killed_run_is_unfinished_and_not_damaged() {
    let simulator = serve_slowly(SEED + 4);
    let job = job(&simulator);
    let mut running = job.start();
    until("two visible parts", || parquet_files(&job.out()).len() > 1 || !running.is_alive());
    assert!(running.kill(), "the run was over before it was killed");
    let verified = job.verify();
    assert_eq!(verified.code, 3, "{verified}");
    goes_on_to_the_truth(&simulator, &job, 1, "with two visible parts");
}

/// Parts of a run whose journal was gone were once left beside the new ones: every row stood twice.
#[test]
fn a_state_that_is_lost_costs_the_credits_again_and_doubles_no_row() {
    let simulator = serve(|service| service.world.rows = 2_000);
    let job = job(&simulator);
    assert_eq!(job.run().code, 0);
    std::fs::remove_dir_all(job.state()).unwrap();
    let again = job.run();
    assert_eq!(again.code, 0, "{again}");
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
    asks_nothing_more(&simulator, &job);
}

#[test]
fn many_kills_of_one_run_lose_nothing() {
    let mut random = StdRng::seed_from_u64(SEED + 1);
    let simulator = serve_slowly(SEED + 1);
    let job = job(&simulator);
    let mut kills = 0;
    for _ in 0..12 {
        // Some starts die before they send anything, others in the middle of what the last one left.
        let more = random.random_range(0..90);
        let goal = simulator.stats().requests + more;
        let mut running = job.start();
        until("the next kill", || simulator.stats().requests >= goal || !running.is_alive());
        kills += u64::from(running.kill());
    }
    assert!(kills >= 6, "only {kills} kills met a run");
    goes_on_to_the_truth(&simulator, &job, kills, "many times");
}

#[test]
fn kills_while_everything_goes_wrong_lose_nothing() {
    let mut random = StdRng::seed_from_u64(SEED + 2);
    let simulator = serve(|service| {
        service.limits.latency_ms = 4.0;
        (service.faults.server_error, service.faults.reset, service.faults.cut_body) = (0.04, 0.03, 0.03);
    });
    let job = job(&simulator);
    let mut kills = 0;
    for _ in 0..4 {
        let goal = simulator.stats().requests + random.random_range(20..90);
        let mut running = job.start();
        until("the next kill", || simulator.stats().requests >= goal || !running.is_alive());
        kills += u64::from(running.kill());
    }
    goes_on_to_the_truth(&simulator, &job, kills, "among faults");
}

#[test]
fn the_most_that_may_be_spent_holds_over_kills() {
    let mut random = StdRng::seed_from_u64(SEED + 3);
    let simulator = serve_slowly(SEED + 3);
    let job = job(&simulator).with("--max-credits 300");
    for _ in 0..4 {
        let goal = simulator.stats().requests + random.random_range(10..60);
        let mut running = job.start();
        until("the next kill", || simulator.stats().requests >= goal || !running.is_alive());
        assert!(running.kill(), "the run was over before {goal} requests");
    }
    let ended = job.run();
    assert_eq!(ended.code, 4, "{ended}");
    let spent = simulator.stats();
    assert!(spent.requests <= 300 && spent.credits <= 300, "{spent:?}");
    assert!(spent.requests >= 300 - 4 * MAX_IN_FLIGHT, "credits were left unused: {spent:?}");
    let again = job.run();
    assert_eq!(again.code, 4, "{again}");
    assert!(simulator.stats().requests <= 300, "{:?}", simulator.stats());
    let more = job.run_with("--max-credits 5000");
    assert_eq!(more.code, 0, "{more}");
    holds_exactly_the_truth(&simulator, &job);
    assert!(simulator.stats().repeated_purchases <= 4 * MAX_IN_FLIGHT, "{:?}", simulator.stats());
}
