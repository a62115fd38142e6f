//! Kills at moments that nobody chose. `CRASH_KILLS=1000` kills as often as is asked for.

use std::time::Duration;

use keyapi_export::simulator::Density;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::amount;
use super::scene::{Figures, MAX_IN_FLIGHT, Scene};
use crate::support::{END_LOOKS, Job, asks_nothing_more, holds_exactly_the_truth, is_whole, serve, until};

/// Kills in the short form, of each of the two tests.
const SHORT: usize = 20;
/// The seed of every moment.
const SEED: u64 = 20_260_301;
/// Kills of one run.
const MOST_IN_A_ROW: u64 = 8;

/// Starts the job, and kills it somewhere between its first instruction and its last one; whether it was still alive.
fn is_killed(job: &Job, random: &mut StdRng, requests: impl Fn() -> u64) -> bool {
    let began = requests();
    let mut running = job.start();
    if random.random_bool(0.7) {
        let goal = began + random.random_range(1..90);
        until("the next kill", || requests() >= goal || !running.is_alive());
    }
    // Not to wait for anything: this is the moment that nobody chose.
    std::thread::sleep(Duration::from_micros(random.random_range(0..120_000)));
    running.kill()
}

#[test]
fn kills_at_random_moments_of_runs_over_former_parts_lose_nothing() {
    let mut random = StdRng::seed_from_u64(SEED);
    let wanted = amount("CRASH_KILLS", SHORT).div_ceil(2) as u64;
    let (mut scene, mut kills, mut sum) = (Scene::new(), 0, Figures::default());
    while kills < wanted {
        scene = scene.again();
        let goal = random.random_range(1..=MOST_IN_A_ROW);
        let met = (0..goal).filter(|_| is_killed(&scene.job, &mut random, || scene.simulator.stats().requests)).count();
        kills += met as u64;
        scene.misleads_nobody("after kills");
        sum += scene.ends_as_if_nothing_had_happened(met as u64, &format!("{met} kills"));
    }
    println!("{kills} kills: {sum:?}");
}

#[test]
fn kills_at_random_moments_of_first_runs_lose_nothing() {
    let mut random = StdRng::seed_from_u64(SEED + 1);
    let wanted = amount("CRASH_KILLS", SHORT).div_ceil(2) as u64;
    let (mut kills, mut sum) = (0, Figures::default());
    while kills < wanted {
        let (met, figures) = a_first_run(&mut random);
        kills += met;
        sum += figures;
    }
    println!("{kills} kills: {sum:?}");
}

/// A run of its own, among faults half of the time, that is killed up to eight times.
fn a_first_run(random: &mut StdRng) -> (u64, Figures) {
    let simulator = serve(|service| {
        service.seed = random.random();
        service.world.rows = random.random_range(300..2_500);
        service.world.density = if random.random_bool(0.5) { Density::Bursty } else { Density::default() };
        service.limits.latency_ms = random.random_range(0.0..3.0);
        if random.random_bool(0.5) {
            (service.faults.server_error, service.faults.reset, service.faults.cut_body) = (0.02, 0.02, 0.02);
        }
    });
    let job = Job::of(&simulator)
        .with(&format!("--max-in-flight {MAX_IN_FLIGHT} --partition month"))
        .with_variable("KEYAPI_EXPORT_OUTPUT__PART_ROWS", &random.random_range(50..1_000).to_string());
    let requests = || simulator.stats().requests;
    let kills =
        (0..random.random_range(1..=MOST_IN_A_ROW)).filter(|_| is_killed(&job, random, requests)).count() as u64;
    let ended = job.run();
    assert_eq!(ended.code, 0, "{kills} kills: {ended}");
    holds_exactly_the_truth(&simulator, &job);
    is_whole(&job);
    let stats = simulator.stats();
    assert!(stats.repeated_purchases <= kills * MAX_IN_FLIGHT + END_LOOKS, "{kills} kills: {stats:?}");
    let counted = &ended.summary["requests"];
    let surely = counted["attempts"].as_u64().unwrap();
    let perhaps = surely + counted["possibly_charged"].as_u64().unwrap();
    assert!(surely <= stats.requests && stats.requests <= perhaps, "{kills} kills: {} {ended}", stats.requests);
    asks_nothing_more(&simulator, &job);
    let rows = ended.summary["rows"].as_u64().unwrap();
    println!("{kills} kills: {rows} rows, {} requests, {} bought twice", stats.requests, stats.repeated_purchases);
    (kills, Figures { runs: 1, rows, carried: 0, requests: stats.requests, repeated: stats.repeated_purchases })
}

#[test]
fn no_schedule_of_kills_spends_more_than_the_run_may_cost() {
    let mut random = StdRng::seed_from_u64(SEED + 2);
    for round in 0..amount("CRASH_KILLS", SHORT).div_ceil(20) {
        let simulator = serve(|service| {
            service.seed = SEED + round as u64;
            service.world.rows = 3_000;
            service.limits.latency_ms = 2.0;
        });
        let max = random.random_range(20..250);
        let job = Job::of(&simulator).with(&format!("--max-in-flight {MAX_IN_FLIGHT} --max-credits {max}"));
        let requests = || simulator.stats().requests;
        let kills = (0..MOST_IN_A_ROW).filter(|_| is_killed(&job, &mut random, requests)).count() as u64;
        let ended = job.run();
        assert_eq!(ended.code, 4, "{kills} kills of a run with {max} credits: {ended}");
        let spent = simulator.stats().requests;
        println!("{kills} kills: {spent} of {max} credits");
        assert!(spent <= max, "{kills} kills: {spent} of {max} credits");
        assert!(spent + kills * 2 * MAX_IN_FLIGHT >= max, "{kills} kills: only {spent} of {max} credits were used");
    }
}
